//! A ledger that goes back in time under services that run: they find it out, and nothing of an earlier
//! registration is sent.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::{AwsCall, Queue};
use issei_ledger::{Asked, BroadcastState, LedgerError, OnCall, Outcome, ReasonCode, Registered};
use issei_schema::{Actor, EventKind};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::json;
use tokio_util::sync::CancellationToken;

fn actor() -> Actor {
    "an operator".parse().unwrap()
}

/// Waits for what others bring about.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not so after a minute: {what}");
}

async fn is_found_restored(world: &World, mirror: &Queue) -> bool {
    matches!(world.ledger().check_whole(mirror).await, Err(LedgerError::Restored { .. }))
}

/// Services start at once, and what the first writes into the mirror lands last.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_tags_late_takes_nothing_from_the_mirror() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    world.cloud.inject(Rule::every("TagQueue", Fault::LateMs(4_000)).times(1));
    let mut hanging = world.cloud.hanging();
    let first = tokio::spawn(world.consumer().await.run(stop.clone()));
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    let backup = world.cloud.back_up("ledger").unwrap();
    let others = world.start(&stop).await;
    until("three more have started", async || world.ledger().heartbeats(world.now()).await.unwrap().len() == 3).await;
    // The tag of the first start lands when all others are there.
    let landed = || mirror.tags();
    until("the first tag has landed", async || landed().await.unwrap().values().any(|mark| mark == "1.1")).await;
    first.abort();
    stop.cancel();
    others.join_all().await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    assert!(is_found_restored(&world, &mirror).await, "{:?}", mirror.tags().await);
}

/// Restored to a moment after the last start of all, which no count of starts can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_its_own_heartbeat_gone_tells_everybody() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    let run = world.consumer().await.incarnation().clone();
    let mut service = OnCall::new(world.ledger(), mirror.clone(), run);
    service.call(&stop, async |_, _| ()).await.unwrap();
    let backup = world.cloud.back_up("ledger").unwrap();
    service.call(&stop, async |_, _| ()).await.unwrap();
    world.cloud.restore("ledger", &backup, false).unwrap();
    assert!(world.ledger().check_whole(&mirror).await.is_ok(), "nothing else tells");
    for _ in 0..2 {
        let done = service.call(&stop, async |_, _| ()).await;
        assert!(matches!(done, Err(LedgerError::Restored { .. })), "{done:?}");
    }
    assert!(is_found_restored(&world, &mirror).await);
    let mut another = OnCall::new(world.ledger(), mirror.clone(), world.consumer().await.incarnation().clone());
    assert!(matches!(another.call(&stop, async |_, _| ()).await, Err(LedgerError::Restored { .. })));
    // An operator opens a new epoch, in which both work again.
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    for service in [&mut service, &mut another] {
        assert_eq!(service.call(&stop, async |epoch, _| epoch.epoch).await.unwrap(), 2);
        service.call(&stop, async |_, _| ()).await.unwrap();
    }
}

/// The same under a service that runs all the time: found by the next beat, within ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_in_place_is_found_by_the_services_that_run() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    let seen = async || world.ledger().heartbeats(world.now()).await.unwrap().iter().map(|run| run.seen_at).max();
    let before = seen().await;
    until("the consumer has beaten again", async || seen().await > before).await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    until("the restore is found", async || is_found_restored(&world, &mirror).await).await;
    stop.cancel();
    consumer.await.unwrap();
}

/// A broadcast that holds before its first send was approved and sent after the backup. The ledger that is restored says that it
/// never was granted anything; whoever lived through the restore may still hold permits.
#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_restored_ledger_calls_never_granted_a_stop_is_not_proved_by_that() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let mirror = world.queue("chunks").await;
    let held = |id: &str| {
        command(id, |body| {
            (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into());
            body["content"]["inline"]["subject"] = json!(id);
        })
    };
    let is_proved = async |broadcast: &issei_ledger::Broadcast| world.ledger().was_never_granted(&mirror, broadcast).await.unwrap();
    for id in ["one", "two", "three"] {
        world.post_command(&held(id)).await;
        world.run_until(id, 0, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    }
    let [one, two, three] = ["one", "two", "three"].map(|id| id.parse().unwrap());
    // It only is once nothing can be granted any more.
    assert!(!is_proved(&world.broadcast("one").await).await);
    let ended = world.ledger().end(&one, &actor(), "wrong text").await.unwrap();
    assert!(is_proved(&ended).await);
    let approve = issei_ledger::Transition { to: BroadcastState::Running, actor: &actor(), reason: "read" };
    let backup = world.cloud.back_up("ledger").unwrap();
    let running = world.ledger().transition(&two, approve).await.unwrap();
    let granted = world.ledger().grant(&running.registration(), running.epoch, (5, 5), None, Duration::from_secs(8)).await.unwrap();
    assert!(matches!(granted, issei_ledger::Granted::Block(_)), "{granted:?}");
    // Also where all of it was given back: whoever gave it may have claimed before.
    world.ledger().give_back(&running.registration(), running.epoch, 5).await.unwrap();
    let ended = world.ledger().end(&two, &actor(), "wrong text").await.unwrap();
    assert!(ended.granted == 0 && !is_proved(&ended).await);

    let consumer = world.consumer().await;
    world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    let ended = world.ledger().end(&three, &actor(), "wrong text").await.unwrap();
    assert!(is_found_restored(&world, &mirror).await && !is_proved(&ended).await);
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    for id in ["two", "three"] {
        let ended = world.broadcast(id).await;
        assert!(ended.is_never_granted() && !is_proved(&ended).await, "{id} was granted, and nobody remembers it");
    }
}

/// A machine was paused for the whole morning, and the broadcast that it may hold permits of is stopped at noon.
#[tokio::test(flavor = "multi_thread")]
async fn no_age_of_a_heartbeat_proves_what_another_provider_than_ses_carries() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let mirror = world.queue("chunks").await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    let consumer = world.consumer().await;
    world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
    let now = world.now();
    let ago = |hours| now.checked_sub(jiff::SignedDuration::from_hours(hours)).unwrap();
    let mut runs = world.ledger().heartbeats(now).await.unwrap();
    runs.retain(|run| run.service == issei_ledger::ServiceKind::Consumer);
    for run in &mut runs {
        (run.seen_at, run.ended_at) = (ago(7), None);
    }
    assert_eq!(runs.len(), 1);
    let draining = issei_ledger::Draining::after_stop(&runs, now);
    let mut broadcast = world.broadcast("terms").await;
    let is_over = async |broadcast: &issei_ledger::Broadcast| {
        let awaited = world.ledger().awaited(broadcast).await.unwrap();
        draining.is_over(&awaited, &runs)
    };
    broadcast.created_at = ago(9);
    assert!(is_over(&broadcast).await, "SES refuses whatever it holds");
    broadcast.provider = Some("resend".parse().unwrap());
    assert!(!is_over(&broadcast).await, "nobody refuses what it holds");
    // It was silent before there was anything to hold.
    broadcast.created_at = now;
    assert!(is_over(&broadcast).await);
    // The ledger keeps no heartbeats for so long.
    broadcast.created_at = ago(24 * 365 * 20);
    let nobody = issei_ledger::Draining::after_stop(&[], now);
    assert!(!nobody.is_over(&world.ledger().awaited(&broadcast).await.unwrap(), &[]), "who was there is forgotten");

    // Nor does a ledger know of everybody that was restored since.
    broadcast.created_at = now;
    world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    let started_since = world.consumer().await;
    world.call(&started_since, Vec::new(), &CancellationToken::new()).await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    assert!(is_found_restored(&world, &mirror).await);
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    assert!(!nobody.is_over(&world.ledger().awaited(&broadcast).await.unwrap(), &[]), "who was there since the backup is forgotten");

    // By SES what they hold is refused in time, and until then their silence is no word of theirs.
    broadcast.provider = None;
    assert!(!nobody.is_over(&world.ledger().awaited(&broadcast).await.unwrap(), &[]), "who was granted permits by the other table");
    broadcast.ledger_epoch = Some(2);
    assert!(nobody.is_over(&world.ledger().awaited(&broadcast).await.unwrap(), &[]), "it was registered since");
}

/// The ledger is restored to before the registration, a new epoch is opened, and the same id is registered
/// anew with other words, all while a consumer runs that knows the old ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_lives_through_a_restore_sends_the_new_words() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    let backup = world.cloud.back_up("ledger").unwrap();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    let of = |subject: &str| command("terms", |body| body["content"]["inline"]["subject"] = json!(subject));
    world.post_command(&of("Old words")).await;
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Complete).await;
    let old = world.ledger().broadcast(&"terms".parse().unwrap()).await.unwrap().registration();
    world.cloud.restore("ledger", &backup, false).unwrap();
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    world.post_command(&of("New words")).await;
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Complete).await;
    // What the old registration still had in hand is worth nothing under the new one.
    let broadcast = world.broadcast("terms").await;
    assert_ne!(broadcast.registration(), old);
    world.ledger().give_back(&old, broadcast.epoch, 5).await.unwrap();
    assert_eq!((world.broadcast("terms").await.granted, world.broadcast("terms").await.remaining), (20, 0));
    stop.cancel();
    consumer.await.unwrap();
    let mails = world.cloud.mails().unwrap();
    let with = |subject: &str| mails.iter().filter(|mail| mail.subject == subject).count();
    assert_eq!((with("Old words"), with("New words"), mails.len()), (20, 20, 40));
    assert_eq!(judge(&world.cloud, "terms").total(), 40);
}

/// Somebody names the production's queues for another ledger, and does as each message advises.
#[tokio::test(flavor = "multi_thread")]
async fn queues_of_another_ledger_are_refused_by_services_setup_and_operators_and_stay_its_own() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    let run = async || world.consumer().await.incarnation().clone();
    let mut ours = OnCall::new(world.ledger(), mirror.clone(), run().await);
    ours.call(&stop, async |_, _| ()).await.unwrap();

    let other = world.ledger_in("other");
    other.ensure_table().await.unwrap();
    let is_foreign = |found: Result<(), LedgerError>| {
        let error = found.unwrap_err();
        assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("that of the ledger in table `ledger`, and not of table `other`"), "{error}");
    };
    let refused = async || {
        let mut service = OnCall::new(other.clone(), mirror.clone(), run().await);
        is_foreign(service.call(&stop, async |_, _| panic!("it worked with them")).await);
        is_foreign(other.check_queues(&mirror).await);
        is_foreign(other.check_whole(&mirror).await.map(drop));
        is_foreign(other.restored(&mirror).await.map(drop));
        is_foreign(other.accept_restored(&mirror, &actor(), "as it advised").await.map(drop));
    };
    refused().await;
    // And where it has queues of its own, with which it was started more often.
    world.clients.sqs.create_queue().queue_name("other-chunks-dead").call().await.unwrap();
    world.clients.sqs.create_queue().queue_name("other-chunks").call().await.unwrap();
    let elsewhere = world.queue("other-chunks").await;
    for _ in 0..3 {
        OnCall::new(other.clone(), elsewhere.clone(), run().await).call(&stop, async |_, _| ()).await.unwrap();
    }
    refused().await;
    other.check_queues(&elsewhere).await.unwrap();
    // And where it was restored: what is asked for then would take them from a ledger that is there.
    let item = [("pk", "ledger"), ("sk", "lineage")].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    let update =
        world.clients.dynamodb.update_item().table_name("other").set_key(Some(item.into())).update_expression("SET table_id = :old");
    update.expression_attribute_values(":old", AttributeValue::S("another table".to_owned())).call().await.unwrap();
    refused().await;
    // Nothing of it is to be seen by whose they are.
    assert!(world.ledger().check_whole(&mirror).await.is_ok());
    ours.call(&stop, async |_, _| ()).await.unwrap();
}

/// The table was deleted with all that it knew. Another can take its place, when somebody says so.
#[tokio::test(flavor = "multi_thread")]
async fn queues_of_a_ledger_that_is_gone_can_be_taken_over() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    let (mirror, stop) = (world.queue("chunks").await, CancellationToken::new());
    mirror.tag([("issei-ledger-3", "1.3"), ("issei-ledger-id", "0123 gone")]).await.unwrap();
    let ledger = world.ledger();
    ledger.check_queues(&mirror).await.unwrap();
    let reason = ledger.restored(&mirror).await.unwrap().unwrap();
    assert!(reason.contains("the ledger in table `gone`, which is gone"), "{reason}");
    let run = world.consumer().await.incarnation().clone();
    let mut service = OnCall::new(ledger.clone(), mirror.clone(), run);
    assert!(matches!(service.call(&stop, async |_, _| ()).await, Err(LedgerError::Foreign { .. })));
    assert_eq!(ledger.accept_restored(&mirror, &actor(), "the table is lost").await.unwrap().unwrap().epoch, 2);
    service.call(&stop, async |_, _| ()).await.unwrap();
    let tags = mirror.tags().await.unwrap();
    assert_eq!(tags["issei-ledger-id"], "0123 ledger");
}

/// Who runs `issei setup` with the name of a table that an application has must not find its items deleted by their age.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_an_application_is_no_ledger_and_nothing_in_it_is_changed() {
    let world = World::new(WorldOptions { users: 5, ..WorldOptions::default() }).await;
    // An empty one could become a ledger.
    let sessions = world.ledger_in("sessions");
    sessions.ensure_table().await.unwrap();
    sessions.ensure_table().await.unwrap();
    let app = world.ledger_in("app");
    let db = &world.clients.dynamodb;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    world.create_table("app").await;
    db.put_item().table_name("app").item("pk", text("user#1")).item("sk", text("profile")).call().await.unwrap();
    let error = app.ensure_table().await.unwrap_err();
    assert!(error.to_string().starts_with("table `app` is no ledger: it has items, and none that a ledger has"), "{error}");
    let told = db.describe_time_to_live().table_name("app").call().await.unwrap().time_to_live_description.unwrap();
    assert_eq!(told.time_to_live_status, Some(aws_sdk_dynamodb::types::TimeToLiveStatus::Disabled));
}

/// A restore in place that nobody has noticed: the backup knows the chunks' pages, and none of their claims.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_claims_that_a_restore_made_the_ledger_forget_are_told_alike_by_whoever_counts_and_whoever_lists() {
    let world = World::new(WorldOptions { users: 20, ..crate::feedback::told(|_| {}) }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    world.run_to_the_end("terms").await;
    world.cloud.restore("ledger", &backup, false).unwrap();
    world.take_events().await;
    let broadcast = world.broadcast("terms").await;
    let totals = world.ledger().tally(&broadcast).await.unwrap().totals();
    let outcomes = world.outcomes("terms").await;
    let has = |kind| outcomes.iter().filter(|one| one.events.contains(&kind)).count() as u64;
    let accepted = outcomes.iter().filter(|one| one.outcome == Some(Outcome::Accepted)).count();
    assert_eq!((totals.delivered, totals.accepted), (20, 20), "{totals:?}");
    assert_eq!((has(EventKind::Delivered), accepted), (20, 20));
    let found = world.ledger().finder("user000003@example.com").await.unwrap().look(&broadcast, |_| ()).await.unwrap();
    let fate = world.ledger().fate(&broadcast, &found.recipients[0]).await.unwrap();
    assert_eq!(fate.outcome.outcome, Some(Outcome::Accepted));
}

/// The app's message came again after the restore and was refused for its age. Whoever sends the same once more by hand would mail
/// everybody who had it before, whatever it was refused for meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_was_refused_as_older_than_a_restore_is_not_taken_once_more_without_a_reason() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let mirror = world.queue("chunks").await;
    world.post_command(&command("before", |_| {})).await;
    world.run_until("before", 0, issei_ledger::Broadcast::is_enqueued).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    let terms = command("terms", |body| body["content"]["inline"]["subject"] = json!("The terms"));
    world.post_command(&terms).await;
    world.run_to_the_end("terms").await;
    // Its repeat waits in the queue meanwhile.
    world.post_command(&terms).await;
    world.cloud.restore("ledger", &backup, true).unwrap();
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    let refused = async |wanted: &str| {
        let (stop, producer) = (CancellationToken::new(), world.producer().await);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { producer.run(stop).await }
        });
        until(wanted, async || {
            let found = world.ledger().refused(&terms.broadcast_id).await.unwrap();
            found.is_some_and(|refused| refused.reason.contains(wanted))
        })
        .await;
        stop.cancel();
        running.await.unwrap();
        assert!(world.ledger().find_broadcast(&terms.broadcast_id).await.unwrap().is_none(), "{wanted}");
    };
    refused("older than epoch 2").await;
    let why = world.ledger().repeats(&terms).await.unwrap().unwrap().to_string();
    assert!(why.contains("a command of the id `terms` was refused at") && why.contains("issei send --again REASON"), "{why}");
    world.post_command(&terms).await;
    refused("whether it was carried out before the restore the ledger has forgotten").await;
    // Another refusal of the id takes nothing of that away.
    world.post_command(&command("terms", |body| body["audience"] = json!("nobody-knows"))).await;
    refused("nobody-knows").await;
    world.post_command(&terms).await;
    refused("whether it was carried out before the restore the ledger has forgotten").await;
    let code = world.ledger().refused(&terms.broadcast_id).await.unwrap().unwrap().code;
    assert_eq!(code, Some(ReasonCode::RefusedRestored));
    // By hand something else may have been sent, too, of which no message came again.
    let other = command("other", |body| body["content"]["inline"]["subject"] = json!("Other words"));
    assert!(world.ledger().repeats(&other).await.unwrap().is_none());
    let why = world.ledger().perhaps_said(&other).await.unwrap().unwrap().to_string();
    assert!(why.contains("which broadcasts there were between the backup and then it has forgotten"), "{why}");
    // An app that writes a reason into each of its commands repeats that one, too, and by it nothing is carried out once more.
    let weekly = |why: &str| command("weekly", |body| body["again"] = json!(why));
    let note = async |why: &str| {
        let said = (ReasonCode::RefusedRestored, "older than epoch 2");
        world.ledger().note_refused(&"weekly".parse().unwrap(), &actor(), said, weekly(why).again.as_ref()).await.unwrap();
    };
    note("each monday").await;
    note("each monday, as always").await;
    for why in ["each monday", "each monday, as always"] {
        let against = world.ledger().repeats(&weekly(why)).await.unwrap().unwrap().to_string();
        assert!(against.contains("a reason that it bore already is none"), "{against}");
        let said = world.ledger().register(&weekly(why), 50, false, &Asked::default(), &issei_clock::Dice::system()).await.unwrap();
        assert!(matches!(said, Registered::Repeated(_)), "{said:?}");
    }
    assert!(world.ledger().repeats(&weekly("nothing of it was sent, by SES's records")).await.unwrap().is_none());
    // Whoever says why is taken at their word.
    let again = command("terms", |body| {
        (body["content"]["inline"]["subject"], body["again"]) = (json!("The terms"), json!("nothing of it was sent, by SES's records"));
    });
    assert!(world.ledger().perhaps_said(&again).await.unwrap().is_none());
    world.post_command(&again).await;
    world.run_to_the_end("terms").await;
    assert_eq!(judge(&world.cloud, "terms").total(), 40);
}
