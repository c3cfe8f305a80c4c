//! One schedule, from its seed to what came of it.

use std::time::Duration;

use issei_ledger::Broadcast;
use issei_sim::{Fault, Rule};

use crate::judge::Broken;
use crate::plan::{Plan, WhenHanging};
use crate::watched::Watched;
use crate::world::World;

/// A schedule that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Over every call, its moment and its fault.
    pub digest: u64,
    pub calls: u64,
    /// Which operations were called.
    pub operations: Vec<String>,
    pub accepted: u64,
    pub state: String,
    pub broken: Option<Broken>,
    pub keyed: Keyed,
}

/// Broadcasts that ended complete under a provider that remembers keys for longer than anything took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    pub complete: u64,
    /// How often a request of them was repeated under its key.
    pub asked_again: u64,
    /// Of their recipients, so many are in doubt.
    pub in_doubt: u64,
}

impl Keyed {
    pub fn add(&mut self, other: &Self) {
        let Self { complete, asked_again, in_doubt } = other;
        (self.complete, self.asked_again, self.in_doubt) =
            (self.complete + complete, self.asked_again + asked_again, self.in_doubt + in_doubt);
    }

    pub(crate) fn note(&mut self, broadcast: &Broadcast, in_doubt: u64) {
        self.add(&Self { complete: 1, asked_again: broadcast.asked_again, in_doubt });
    }
}

/// Runs one schedule in virtual time.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn run(seed: u64) -> anyhow::Result<Ran> {
    run_plan(seed, Plan::of(seed))
}

/// Whether a broadcast of this schedule goes by a provider that remembers keys.
#[must_use]
pub fn has_keys(seed: u64) -> bool {
    Plan::of(seed).keys.is_some()
}

/// Runs a schedule in which nothing goes wrong but this: one call hangs, before or after its effect,
/// every service is killed in that moment, and all are started again.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn run_killed_at(call: u64, fault: Fault) -> anyhow::Result<Ran> {
    let mut plan = Plan::calm();
    plan.rules.push(Rule::every("*", fault).after(call).times(1));
    plan.when_hanging = Some(WhenHanging::KillEverything);
    run_plan(call, plan)
}

pub(crate) fn run_plan(seed: u64, plan: Plan) -> anyhow::Result<Ran> {
    // The SDK's jitter comes from this generator of the thread.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let mut world = World::new(seed, plan).await?;
        let broken = world.live().await.err();
        Ok(Ran {
            digest: world.cloud.digest(),
            calls: world.cloud.counts().values().sum(),
            operations: world.cloud.counts().into_keys().map(|(_, operation)| operation).collect(),
            accepted: world.cloud.accepted(),
            state: world.watched.first().and_then(Watched::state).map_or_else(|| "never registered".to_owned(), |state| state.to_string()),
            broken,
            keyed: world.keyed,
        })
    })
}

impl World {
    /// Lives through the plan and to the end.
    async fn live(&mut self) -> Result<(), Broken> {
        if let Some(then) = self.plan.when_hanging {
            self.when_hanging(then).await;
        }
        let (began, every) = (self.clock.now(), self.plan.look_every);
        let mut deeds = std::mem::take(&mut self.plan.deeds).into_iter().peekable();
        while self.clock.now() < began + self.plan.calm_after {
            let now = self.clock.now();
            while let Some((_, deed)) = deeds.next_if(|(at, _)| began + *at <= now) {
                self.perform(deed).await;
            }
            self.look().await?;
            let next = deeds.peek().map_or(every, |(at, _)| (began + *at).saturating_duration_since(now)).min(every);
            tokio::time::sleep(next.max(Duration::from_millis(1))).await;
        }
        self.cloud.heal();
        self.cloud.configure(|account| {
            (account.redelivery, account.batch_entry_failure, account.latency_ms) = (0.0, 0.0, 0);
            account.entry_rules.clear();
            // A message that waits is put back again and again, and would be three times as many each time.
            account.deliveries = 1;
        });
        self.come_to_an_end().await?;
        self.forget_all().await?;
        self.judge().await
    }
}
