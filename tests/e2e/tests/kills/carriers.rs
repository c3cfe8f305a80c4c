//! Consumers killed, and answers lost, while another provider than SES carries the broadcast: over its own API by HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use issei_clock::Clock;
use issei_provider::Webhook;
use issei_sim::{Account, EntryRule, Events, Fault};
use issei_test_support::{Carrier, Process, Processes, judge};
use serde_json::json;

use super::killing::{Killing, moods};
use super::{exported, status};

/// So many kills while there is something left to do.
const KILLS: u64 = 40;
/// How many kills come between two looks.
const LOOK_EVERY: u64 = 5;
const USERS: u32 = 600;
/// Recipients a second: a broadcast of this size outlasts most kills.
const RATE: f64 = 40.0;
/// Whom Resend refuses, and their calls with them: 24 of the audience, in as many chunks but for those who stand side by side.
const REFUSED: [&str; 4] = ["07@", "33@", "34@", "68@"];

/// No event is lost: what the provider took, it tells of.
async fn world_of(carrier: Carrier, account: Account) -> Processes {
    let mut world = Processes::brisk(USERS, account).await;
    world.carried_by(carrier, RATE);
    let faults = [
        (Fault::HangAfter, 0.02),
        (Fault::ResetAfter, 0.05),
        (Fault::ResetBefore, 0.02),
        (Fault::ErrorAfter, 0.03),
        (Fault::ReplacedAfter(502), 0.02),
    ];
    moods(&world, carrier.call(), &faults);
    world
}

/// Kills at random moments while there is something left to do, and then peace until all is complete. Gives the broadcasts,
/// and the services that still run.
async fn killed(world: &Processes, carrier: Carrier) -> (Vec<String>, Vec<Process>) {
    let places = &["consumer", "consumer", "feedback", "producer"];
    let mut killing = Killing::begin(world, 20_261_126, places, 2, move |id| carrier.command(id)).await;
    while killing.while_running < KILLS {
        tokio::time::sleep(Duration::from_millis(100 + killing.dice.below(600))).await;
        // A producer that is killed while it freezes hides its command for as long as all of this takes.
        let place = killing.dice.below(3);
        killing.kill(place).await;
        if killing.kills.is_multiple_of(LOOK_EVERY) {
            killing.look(LOOK_EVERY).await;
        }
    }
    killing.end().await;
    println!("{}: {} kills, {} broadcasts", carrier.name(), killing.kills, killing.ids.len());
    (killing.ids, killing.services)
}

/// By the provider's record: nobody twice. Gives whom it took.
async fn reached_once(world: &Processes, id: &str) -> BTreeSet<String> {
    let judged = judge(&world.cloud, id);
    assert_eq!(judged.duplicates(), Vec::<&str>::new(), "mailed twice");
    let wanted: BTreeSet<String> = world.users.all().await.into_iter().filter_map(|(_, address)| address).collect();
    let reached: BTreeSet<String> = judged.reached().into_iter().map(str::to_owned).collect();
    assert!(reached.is_subset(&wanted), "mailed somebody who is not in the audience");
    reached
}

/// I1 and I2 where requests have keys: whoever is killed whenever and whatever answer is lost, the answer comes in the end, also
/// where a call is refused as a whole for the sake of somebody in it, and goes in parts.
/// No event is told, so nothing else can have ended the doubt. Over a provider that forgets its keys (`replay_window_s` of the
/// account 0, or the mutant `provider-forgets-keys`) the same kills mail somebody twice, and this fails.
#[tokio::test(flavor = "multi_thread")]
async fn under_resends_keys_kills_and_lost_answers_leave_nobody_twice_nobody_missing_and_nobody_in_doubt() {
    let refuses =
        |whom: &&str| EntryRule { address: (*whom).to_owned(), status: "BAD_REQUEST: Invalid `to` field.".to_owned(), times: None };
    let account = Account { entry_rules: REFUSED.iter().map(refuses).collect(), ..Account::default() };
    let world = world_of(Carrier::Resend, account).await;
    let is_refused = |address: &String| REFUSED.iter().any(|whom| address.contains(whom));
    let refused = world.users.all().await.into_iter().filter_map(|(_, address)| address).filter(is_refused).count();
    let (ids, services) = killed(&world, Carrier::Resend).await;
    let mut asked = 0;
    for id in &ids {
        let last = status(&world, id).await.unwrap();
        let (accepted, rejected) = (USERS as usize - refused, refused);
        assert_eq!((&last["in_doubt"], &last["accepted"], &last["rejected"]), (&json!(0), &json!(accepted), &json!(rejected)), "{last}");
        assert_eq!(reached_once(&world, id).await.len(), accepted, "somebody is missing: {last}");
        asked += last["asked_again"].as_u64().unwrap_or(0);
    }
    println!("asked again {asked} times");
    assert!(asked > 0, "no answer was lost, and no kill met a request");
    assert_eq!(world.cloud.counts().get(&("ses", "SendBulkEmail".to_owned())), None, "Resend alone carried it");
    for service in services {
        service.end().await;
    }
}

/// I1 and I2 where they have none: of whom the provider has taken its signed events tell, and the others are listed.
#[tokio::test(flavor = "multi_thread")]
async fn by_sendgrid_kills_and_lost_answers_leave_nobody_twice_and_whoever_was_not_mailed_is_listed() {
    let events = Events { repeated: 0.3, late_s: 2, ..Processes::account_with_events().events };
    let world = world_of(Carrier::SendGrid, Account { events, ..Account::default() }).await;
    let (ids, services) = killed(&world, Carrier::SendGrid).await;
    let mut before = 0;
    for id in &ids {
        before += status(&world, id).await.unwrap()["in_doubt"].as_u64().unwrap();
    }
    assert!(before > 0, "no answer was lost, and no kill met a request");
    // What nobody has signed comes first, counts for nothing, and lies nowhere.
    world.post("ISSEI_FEEDBACK_QUEUE", &forged_about(&ids[0])).await;
    world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
    assert_eq!(world.dead_reasons("ISSEI_FEEDBACK_QUEUE").await, Vec::<String>::new());
    world.carry_all_events().await;
    for id in &ids {
        let reached = reached_once(&world, id).await;
        let told = reached.len() as u64;
        let last = world.wait_until(id, |status| status["accepted"] == told).await;
        let (settled, doubtful) = (exported(&world, id, "accepted").await, exported(&world, id, "in-doubt").await);
        assert_eq!(settled, reached, "accepted by the provider, and by the ledger: {last}");
        assert_eq!(settled.len() + doubtful.len(), USERS as usize, "somebody is neither accepted nor listed: {last}");
        assert!(settled.is_disjoint(&doubtful));
    }
    println!("{before} in doubt before the events");
    assert_eq!(world.cloud.counts().get(&("ses", "SendBulkEmail".to_owned())), None, "SendGrid alone carried it");
    for service in services {
        service.end().await;
    }
}

/// An event about the first recipient of the first chunk, as anybody could write one who knows the names.
fn forged_about(id: &str) -> String {
    let event = json!([{ "event": "bounce", "email": "user000001@example.com", "broadcast": id, "chunk": "0", "recipient": "0" }]);
    let webhook = Webhook {
        provider: "sendgrid".to_owned(),
        id: String::new(),
        timestamp: Clock::system().wall().as_second().to_string(),
        // ECDSA's, of the numbers 1 and 1 (RFC 3279 section 2.2.3).
        signature: "MAYCAQECAQE=".to_owned(),
        body: event.to_string().into_bytes(),
    };
    webhook.to_line()
}
