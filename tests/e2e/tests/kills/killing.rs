//! What all who kill share: moods of a provider, services that are started again where they were killed, and a broadcast
//! that there always is to kill in.

use issei_clock::Dice;
use issei_sim::{Fault, Rule};
use issei_test_support::{Process, Processes};
use serde_json::Value;

use super::status;

/// What befalls the calls of whoever carries it, each with its probability; and all of them are slow.
pub(super) fn moods(world: &Processes, call: &str, moods: &[(Fault, f64)]) {
    for (fault, probability) in moods.iter().chain(&[(Fault::LateMs(700), 0.02), (Fault::Throttle, 0.03), (Fault::DelayMs(120), 1.0)]) {
        world.cloud.inject(Rule::every(call, *fault).with_probability(*probability));
    }
}

/// Services, and what was done to them. On a quiet machine one broadcast outlasts the kills; on a busy one, on which each
/// look takes longer than it takes to send, the next is sent as soon as one is over.
pub(super) struct Killing<'a> {
    pub(super) dice: Dice,
    pub(super) ids: Vec<String>,
    pub(super) services: Vec<Process>,
    pub(super) kills: u64,
    /// Of these, while a broadcast ran: they are what counts.
    pub(super) while_running: u64,
    /// The audience of the last one.
    pub(super) is_frozen: bool,
    world: &'a Processes,
    places: &'static [&'static str],
    in_flight: String,
    command: Box<dyn Fn(&str) -> String>,
}

impl<'a> Killing<'a> {
    /// Sends the first broadcast, and starts a service in each place. Of each consumer so many chunks are in flight.
    pub(super) async fn begin(
        world: &'a Processes,
        seed: u64,
        places: &'static [&'static str],
        in_flight: u64,
        command: impl Fn(&str) -> String + 'static,
    ) -> Self {
        let mut killing = Self {
            dice: Dice::seeded(seed),
            ids: Vec::new(),
            services: Vec::new(),
            kills: 0,
            while_running: 0,
            is_frozen: false,
            world,
            places,
            in_flight: in_flight.to_string(),
            command: Box::new(command),
        };
        killing.send().await;
        killing.services = (0..places.len()).map(|place| killing.start(place)).collect();
        killing
    }

    fn start(&self, place: usize) -> Process {
        match self.places[place] {
            "consumer" => self.world.start_with("consumer", &["--chunks-in-flight", &self.in_flight]),
            service => self.world.start(service),
        }
    }

    async fn send(&mut self) {
        self.ids.push(format!("terms-{}", self.ids.len() + 1));
        let command = self.world.write("command.json", &(self.command)(self.ids.last().unwrap()));
        self.world.run(&["send", "--yes", &command]).await;
        self.is_frozen = false;
    }

    /// Kills whoever is in this place, and starts another there. Gives what it was.
    pub(super) async fn kill(&mut self, place: u64) -> &'static str {
        let place = usize::try_from(place).unwrap();
        let another = self.start(place);
        std::mem::replace(&mut self.services[place], another).kill_without_mercy().await;
        self.kills += 1;
        self.places[place]
    }

    /// How the last broadcast stands, where it can be asked after `since` kills; where it is over, the next is sent.
    pub(super) async fn look(&mut self, since: u64) -> Option<(String, Value)> {
        let id = self.ids.last().unwrap().clone();
        let status = status(self.world, &id).await?;
        self.is_frozen = status["state"] != "enumerating";
        match status["state"].as_str().unwrap() {
            "running" => self.while_running += since,
            "enumerating" => {}
            "complete" => self.send().await,
            other => panic!("it is {other}: {status}"),
        }
        Some((id, status))
    }

    /// Peace, until all is complete.
    pub(super) async fn end(&self) {
        self.world.cloud.heal();
        for id in &self.ids {
            self.world.wait_for(id, "complete").await;
        }
    }
}
