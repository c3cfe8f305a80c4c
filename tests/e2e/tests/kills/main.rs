//! Real processes killed at random moments, and stopped in the midst of their work.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and one that has done much says so"
)]

mod carriers;
mod killing;

use std::collections::BTreeSet;
use std::time::Duration;

use issei_sim::{Account, Events, Fault, Rule};
use issei_test_support::{Process, Processes, command_body, judge, seen};
use serde_json::{Value, json};

use killing::{Killing, moods};

/// So many kills while there is something left to do.
const KILLS: u64 = 200;
/// How many kills come between two looks.
const LOOK_EVERY: u64 = 10;
const USERS: u32 = 1_500;
/// Of each consumer, so that what a kill leaves in doubt has a bound.
const IN_FLIGHT: u64 = 2;
const CHUNK: u64 = 10;

/// A provider of fifty recipients a second that accepts and then hangs, resets, answers late,
/// throttles, and tells some events twice, some late and some never.
fn moody() -> Account {
    let events = Events { lost: 0.05, repeated: 0.3, late_s: 2, ..Processes::account_with_events().events };
    Account { max_send_rate: 50.0, events, ..Account::default() }
}

async fn status(world: &Processes, id: &str) -> Option<Value> {
    let (code, output, _) = world.try_run(&["status", id, "--json"]).await;
    (code == Some(0)).then(|| serde_json::from_str(&output).unwrap())
}

/// The addresses that `issei export` lists.
async fn exported(world: &Processes, id: &str, outcome: &str) -> BTreeSet<String> {
    let rows = world.run(&["export", id, "--outcome", outcome]).await;
    rows.lines().skip(1).filter_map(|row| row.split(',').nth(1)).map(str::to_owned).collect()
}

/// I1, I2, I5, I6: whoever is killed whenever, nobody is mailed twice and nobody is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_at_random_moments_mail_nobody_twice_and_lose_nobody() {
    let world = Processes::brisk(USERS, moody()).await;
    let faults = [(Fault::HangAfter, 0.01), (Fault::ResetAfter, 0.02), (Fault::ResetBefore, 0.01), (Fault::ErrorAfter, 0.01)];
    moods(&world, "SendBulkEmail", &faults);
    // Two producers freeze at once while rows come and go before them and behind them.
    let places = &["producer", "producer", "consumer", "consumer", "feedback"];
    let mut killing = Killing::begin(&world, 20_261_124, places, IN_FLIGHT, |id| command_body(id, |_| {})).await;
    let mut consumers_killed = 0;
    while killing.while_running < KILLS {
        tokio::time::sleep(Duration::from_millis(50 + killing.dice.below(400))).await;
        // The first kills fall while the audience is being frozen. On a busy machine it would never be, were the
        // producers not spared then: the command of a killed one stays hidden for as long as all the kills take.
        let place = match killing.kills {
            0..6 => killing.kills % 2,
            _ if killing.is_frozen => killing.dice.below(places.len() as u64),
            _ => 2 + killing.dice.below(places.len() as u64 - 2),
        };
        let before = killing.kills;
        consumers_killed += u64::from(killing.kill(place).await == "consumer");
        if before < 3 {
            world
                .users
                .execute(&format!("INSERT INTO users VALUES ({}, 'late{before}@example.com', 'Late')", i64::try_from(before).unwrap() - 5))
                .await;
        }
        if !killing.kills.is_multiple_of(LOOK_EVERY) {
            continue;
        }
        world.carry_events().await;
        let Some((id, status)) = killing.look(LOOK_EVERY).await else { continue };
        let number = |name: &str| status[name].as_u64().unwrap();
        assert!(number("permits_granted") + number("permits_left") <= number("recipients"), "{status}");
        assert!(judge(&world.cloud, &id).total() <= number("recipients").max(1), "{status}");
    }
    world.cloud.configure(|account| account.max_send_rate = 10_000.0);
    killing.end().await;
    let Killing { ids, services, kills, .. } = killing;
    // Events end the doubt about everybody whom the provider took; one in four hundred has lost both.
    world.carry_all_events().await;
    for service in services {
        service.end().await;
    }
    let (mut all, mut all_in_doubt) = (0, 0);
    for id in &ids {
        let (recipients, in_doubt) = assert_nobody_twice_and_nobody_lost(&world, id).await;
        (all, all_in_doubt) = (all + recipients, all_in_doubt + in_doubt);
    }
    println!("{kills} kills ({consumers_killed} of consumers), {} broadcasts: {all} recipients, {all_in_doubt} in doubt", ids.len());
    assert!(all_in_doubt >= CHUNK, "no kill met a chunk in flight");
    // What stays in doubt was in flight at some kill, or its request or its answer was lost.
    let lost_answers = 2 * all / 20;
    assert!(all_in_doubt <= consumers_killed * IN_FLIGHT * CHUNK + lost_answers, "{all_in_doubt} in doubt after {consumers_killed} kills");
}

/// By the provider's record and the ledger's lists. Gives how many recipients there were, and how many are in doubt.
async fn assert_nobody_twice_and_nobody_lost(world: &Processes, id: &str) -> (u64, u64) {
    let last = status(world, id).await.unwrap();
    let number = |name: &str| last[name].as_u64().unwrap();
    let (recipients, accepted, in_doubt) = (number("recipients"), number("accepted"), number("in_doubt"));
    let judged = judge(&world.cloud, id);
    assert_eq!(judged.duplicates(), Vec::<&str>::new(), "mailed twice");
    assert_eq!(accepted + in_doubt, recipients, "somebody is lost: {last}");
    let (settled, doubtful) = (exported(world, id, "accepted").await, exported(world, id, "in-doubt").await);
    let reached: BTreeSet<String> = judged.reached().into_iter().map(str::to_owned).collect();
    assert_eq!((settled.len() as u64, doubtful.len() as u64), (accepted, in_doubt), "{last}");
    assert!(settled.is_subset(&reached), "recorded as accepted, and never accepted");
    let unheard: Vec<&String> = reached.difference(&settled).collect();
    assert!(unheard.iter().all(|address| doubtful.contains(*address)), "accepted, and neither recorded nor listed: {unheard:?}");
    assert!(unheard.len() <= 3, "events did not end the doubt about {unheard:?}");
    let wanted: BTreeSet<String> = world.users.all().await.into_iter().filter_map(|(_, address)| address).collect();
    assert!(judged.reached().iter().all(|address| wanted.contains(*address)));
    assert!(recipients >= u64::from(USERS) && recipients <= wanted.len() as u64, "{recipients} frozen of {}", wanted.len());
    (recipients, in_doubt)
}

/// I4 and I7.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_midst_leaks_no_more_than_the_permits_that_were_out() {
    // Slow enough for minutes of work to be left, however long the stop takes to begin.
    let world = Processes::new(4_000, Account { max_send_rate: 20.0, ..Account::default() }).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(50)));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let services: Vec<Process> = ["producer", "consumer", "consumer"].iter().map(|service| world.start(service)).collect();
    world.wait_for_accepted(100).await;
    world.run(&["stop", "terms", "--reason", "the text is wrong"]).await;
    let after = world.cloud.accepted();
    assert!(after < 4_000, "nothing was left to stop");
    // Old commands, redelivered messages and new consumers: nothing is sent any more.
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("command.json")).await;
    world.cloud.show_all_messages();
    world.run(&["redrive", "chunks"]).await;
    let unsent = judge(&world.cloud, "terms").accepted;
    let never: Vec<_> =
        world.users.all().await.into_iter().filter(|(_, address)| !unsent.contains_key(address.as_ref().unwrap())).collect();
    let (key, address) = never.last().unwrap();
    world.return_chunk("terms", &json!([{ "key": key.to_string(), "address": address, "data": { "name": "User" } }])).await;
    let late = world.start("consumer");
    world.wait_until_drained("ISSEI_CHUNKS_QUEUE").await;
    world.wait_until_drained("ISSEI_COMMANDS_QUEUE").await;
    let status = world.wait_for("terms", "stopped").await;
    assert_eq!(world.cloud.accepted(), after, "sent after the stop was called done");
    assert!(after <= status["permits_granted"].as_u64().unwrap(), "{after} accepted: {status}");
    assert!(status["accepted"].as_u64().unwrap() <= after);
    for service in services {
        service.end().await;
    }
    late.end().await;
    assert_eq!(judge(&world.cloud, "terms").duplicates(), Vec::<&str>::new());
}

/// I7: what is complete stays so, whatever comes back.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_after_complete_whatever_comes_back() {
    let world = Processes::new(60, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    let accepted = world.cloud.accepted();
    assert_eq!(accepted, 60);
    world.return_chunk("terms", &json!([{ "key": "1", "address": "user000001@example.com", "data": { "name": "User 1" } }])).await;
    world.post("ISSEI_COMMANDS_QUEUE", &world.read("command.json")).await;
    world.run(&["redrive", "chunks"]).await;
    let another = world.start("consumer");
    world.wait_until_drained("ISSEI_CHUNKS_QUEUE").await;
    world.wait_until_drained("ISSEI_COMMANDS_QUEUE").await;
    assert_eq!(world.wait_for("terms", "complete").await["waiting_messages"], 0);
    assert_eq!(world.cloud.accepted(), accepted);
    for process in [producer, consumer, another] {
        process.end().await;
    }
}

/// Row 34 of the catalogue: an address that stands in good rows, bad rows, broken messages and
/// broken events is in no log, no reason and no output; nor are other addresses, or a letter's words, however loudly a service logs.
#[tokio::test(flavor = "multi_thread")]
async fn row_34_an_address_is_in_no_log_no_reason_and_no_output() {
    const CANARY: &str = "canary7f3a";
    let world = Processes::new(30, Account { keep_mails: false, ..Processes::account_with_events() }).await;
    world.users.execute(&format!("UPDATE users SET email = '{CANARY}@example.com' WHERE id = 3")).await;
    world.users.execute(&format!("UPDATE users SET email = '{CANARY}@@example', name = '{CANARY}' WHERE id = 4")).await;
    world.users.execute(&format!("UPDATE users SET email = '{CANARY}.reset@example.com' WHERE id = 5")).await;
    world.users.execute(&format!("UPDATE users SET email = 'aa{CANARY}@example.com' WHERE id = 6")).await;
    // An audience whose keys are addresses, too: the last of a page, and that of whoever was accepted twice.
    let config = world.read("issei.toml");
    let url = world.users.url();
    let mails =
        format!("\n[audiences.mails]\nurl = \"{url}\"\ntable = \"users\"\nkey = \"email\"\naddress = \"email\"\ncolumns = [\"name\"]\n");
    let _ = world.write("issei.toml", &format!("{config}{mails}"));
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).times(1));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world
        .post("ISSEI_COMMANDS_QUEUE", &command_body("mails", |body| (body["audience"], body["canary"]) = (json!("mails"), json!(10))))
        .await;
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("version", |body| body["version"] = json!(format!("{CANARY}@example.com")))).await;
    world.post("ISSEI_CHUNKS_QUEUE", &format!("{{\"version\":1,\"recipients\":\"{CANARY}@example.com\"}}")).await;
    world.post("ISSEI_CHUNKS_QUEUE", &format!("{CANARY}@example.com")).await;
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("bad", |body| body["from"] = json!(format!("{CANARY}@@example.com")))).await;
    let event =
        json!({ "eventType": 7, "mail": { "destination": [format!("{CANARY}@example.com")], "tags": format!("{CANARY}@example.com") } });
    world.post("ISSEI_FEEDBACK_QUEUE", &event.to_string()).await;
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start_loud(service)).collect();
    let mut outputs = vec![world.wait_for("terms", "complete").await.to_string()];
    world.carry_events().await;
    world.wait_until("terms", |status| status["in_doubt"] == 0).await;
    outputs.push(world.run(&["status", "terms", "--exact"]).await);
    outputs.push(accepted_twice(&world, "mails", &format!("aa{CANARY}@example.com")).await);
    let (_, output, errors) = world.try_run(&["repair", "terms", "--reason", "a look"]).await;
    outputs.extend([output, errors]);
    for service in services {
        service.end().await;
    }
    for service in ["producer", "consumer", "feedback"] {
        let log = world.log(service);
        assert!(log.contains("INFO"), "the log of the {service} is empty");
        for told in ["user0000", "new terms", "<p>Dear"] {
            let line = log.lines().find(|line| line.contains(told));
            assert_eq!(line, None, "the {service} tells of `{told}`");
        }
        outputs.push(log);
    }
    let mut reasons = Vec::new();
    for queue in ["ISSEI_COMMANDS_QUEUE", "ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE"] {
        reasons.extend(world.dead_reasons(queue).await);
    }
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    for text in outputs.iter().chain(&reasons) {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "the address is told");
    }
}

/// Lets the provider tell of a second message to whoever has this key. Gives the audit trail, which names them by a hash.
async fn accepted_twice(world: &Processes, id: &str, key: &str) -> String {
    let (chunk, at) = seen(format!("{id} has sent to one of its recipients"), async || {
        let (_, why, _) = world.try_run(&["why", id, key, "--json"]).await;
        let why: Value = serde_json::from_str(&why).ok()?;
        (why["outcome"] == "accepted").then(|| (why["chunk"].to_string(), why["recipient"].to_string()))
    })
    .await;
    let tags = json!({ "broadcast": [id], "chunk": [chunk], "recipient": [at], "registration": [world.letter_mark(id).await] });
    let second = json!({ "eventType": "Send", "mail": { "messageId": "another", "tags": tags } });
    world.post("ISSEI_FEEDBACK_QUEUE", &second.to_string()).await;
    seen(format!("the trail of {id} tells of it"), async || {
        world.carry_events().await;
        let (_, trail, _) = world.try_run(&["audit", id]).await;
        (trail.contains("more than once") && trail.contains("first the recipient with the address hash")).then_some(trail)
    })
    .await
}
