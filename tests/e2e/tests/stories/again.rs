//! The same words to the same audience under another id: what an app does that retries with a fresh id.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{
    Asked, Broadcast, BroadcastState, Granted, Ledger, LedgerError, Looked, Noted, Registered, Repeated, Transition, reason_for,
};
use issei_schema::{Actor, BroadcastCommand};
use issei_sim::{Cloud, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, seen};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The words of `terms`, whatever the id.
fn same(id: &str, change: impl FnOnce(&mut Value)) -> BroadcastCommand {
    command(id, |body| {
        body["content"]["inline"]["subject"] = json!("Terms for {{name}}");
        change(body);
    })
}

fn actor() -> Actor {
    "an operator".parse().unwrap()
}

/// Runs a producer until it has refused one more command, and gives the reason.
pub(crate) async fn refused(world: &World, command: &BroadcastCommand) -> String {
    world.post_command(command).await;
    let (stop, producer) = (CancellationToken::new(), world.producer().await);
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { producer.run(stop).await }
    });
    let reason = seen("it is refused or registered", async || {
        let registered = world.ledger().find_broadcast(&command.broadcast_id).await.unwrap();
        assert!(registered.is_none(), "it is registered");
        world.dead_letters("commands").await.pop()
    });
    let (body, reason) = reason.await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(body, command.to_body());
    reason
}

fn mailed(cloud: &Cloud, ids: &[&str]) -> Vec<u64> {
    ids.iter().map(|id| judge(cloud, id).total()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_retries_under_a_fresh_id_mails_nobody_twice() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |_| {})).await;
    let first = world.run_to_the_end("terms").await;
    let reason = refused(&world, &same("terms-retried", |_| {})).await;
    assert_eq!(mailed(&world.cloud, &["terms", "terms-retried"]), [100, 0]);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let date = format!("of {:.0},", first.created_at);
    for part in ["field `content`: the same content", "`terms`", &date, "complete with 100 of 100", "\"again\": \"REASON\"", "--again"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(reason.len() < 600, "{reason}");
    // An app that says the same in other words means the same.
    let other = same("terms-reworded", |body| body["content"]["inline"]["text"] = json!("Dear {{name}}, newer terms."));
    let reason = refused(&world, &other).await;
    assert!(reason.contains("field `content.inline.subject`: the same subject") && reason.contains("`terms`"), "{reason}");
    assert_eq!(world.cloud.accepted(), 100);
}

/// One that has missed everybody.
async fn stopped_before_its_first_send(world: &World) -> Broadcast {
    let held = same("first", |body| (body["version"], body["class"], body["hold"]) = (json!(2), json!("service"), json!(true)));
    world.post_command(&held).await;
    world.run_until("first", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.ledger().end(&"first".parse().unwrap(), &"ann".parse().unwrap(), "wrong day").await.unwrap()
}

/// Looks for whom a broadcast has missed, and notes another for them at once.
async fn note(ledger: &Ledger, of: &Broadcast, new: &str) -> Noted {
    let looked = ledger.looked(&ledger.command(&of.broadcast_id).await.unwrap()).await.unwrap();
    ledger.note_resend(of, &new.parse().unwrap(), &looked).await.unwrap()
}

async fn registered(ledger: &Ledger, command: &BroadcastCommand) -> Registered {
    ledger.register(command, 50, false, &Asked::default(), &issei_clock::Dice::system()).await.unwrap()
}

/// A command that `issei resend` has made, under other ids, at other times, and after others have said the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_for_whom_another_has_missed_is_taken_as_it_was_noted_and_while_nothing_else_was_said() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, ended) = (world.ledger(), stopped_before_its_first_send(&world).await);
    let look = async || ledger.looked(&ledger.command(&ended.broadcast_id).await.unwrap()).await.unwrap();
    let noted = async |looked: &Looked| {
        let ended = ledger.broadcast(&ended.broadcast_id).await.unwrap();
        ledger.note_resend(&ended, &"rest".parse().unwrap(), looked).await.unwrap()
    };
    let made = |id: &str, audience: &str, looked: &Looked| {
        let again = reason_for(&ended.broadcast_id, looked).unwrap().to_string();
        same(id, |body| (body["audience"], body["again"]) = (json!(audience), json!(again)))
    };
    let refused = async |command: &BroadcastCommand| match registered(&ledger, command).await {
        Registered::Repeated(repeated) => {
            assert_eq!(ledger.repeats(command).await.unwrap().as_ref(), Some(&repeated), "`issei send` says something else");
            repeated.to_string()
        }
        other => panic!("{other:?}"),
    };
    let first = look().await;
    let none = refused(&made("made-up", "made-up", &first)).await;
    assert!(none.contains("the broadcast that the ledger has noted for them is none"), "{none}");
    assert_eq!(noted(&first).await, Noted::Noted);
    for edited in [made("edited", "edited", &first), made("rest", "users", &first)] {
        let told = refused(&edited).await;
        assert!(told.contains("noted for them is `rest`; nobody is mailed"), "{told}");
    }
    // Somebody says why they say it to all, and its files are of before.
    let again = same("reminder", |body| body["again"] = json!("everybody was to have it by post as well"));
    assert!(matches!(registered(&ledger, &again).await, Registered::New(_)));
    let since = refused(&made("rest", "rest", &first)).await;
    assert!(since.contains("said since its files were made") && since.contains("last by the broadcast `reminder` of "), "{since}");
    assert!(since.contains("`issei resend first --as rest`"), "{since}");
    let (slow, second) = (look().await, look().await);
    assert_eq!(noted(&second).await, Noted::Noted);
    // Files of an earlier look, which may name others.
    let stale = refused(&made("rest", "rest", &first)).await;
    assert!(stale.contains("or they were made anew"), "{stale}");
    // Whoever looked at the same time is told so, and has made the others void.
    assert_eq!(noted(&slow).await, Noted::SaidSince);
    refused(&made("rest", "rest", &second)).await;
    let third = look().await;
    assert_eq!(noted(&third).await, Noted::Noted);
    let taken = made("rest", "rest", &third);
    assert!(matches!(registered(&ledger, &taken).await, Registered::New(_)));
    assert!(matches!(registered(&ledger, &taken).await, Registered::Same(_)));
    let retry = ledger.repeats(&same("retry", |_| {})).await.unwrap().unwrap().to_string();
    assert!(retry.contains("by the broadcast `rest` of "), "{retry}");
}

/// Its files are of an older build, which looked in its own way.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_build_made_for_whom_another_has_missed_is_taken_while_nobody_else_says_it() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, ended) = (world.ledger(), stopped_before_its_first_send(&world).await);
    assert_eq!(note(&ledger, &ended, "rest").await, Noted::Noted);
    let key = [("pk", "b#first"), ("sk", "broadcast")].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    let older = world.clients.dynamodb.update_item().table_name("ledger").set_key(Some(key.into()));
    older.update_expression("REMOVE resent_look, resent_looked_at").call().await.unwrap();
    let rest = same("rest", |body| (body["audience"], body["again"]) = (json!("rest"), json!("for those whom first has missed")));
    assert_eq!(ledger.repeats(&rest).await.unwrap(), None);
    let again = same("reminder", |body| body["again"] = json!("everybody was to have it by post as well"));
    assert!(matches!(registered(&ledger, &again).await, Registered::New(_)));
    let since = ledger.repeats(&rest).await.unwrap().unwrap().to_string();
    assert!(since.contains("last by the broadcast `reminder` of "), "{since}");
}

/// Three in a row, of which the first two were stopped before they sent anything; then it was sent to whom the first had missed.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_mailed_nobody_is_not_forgotten_for_what_was_said_after_it() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, ended) = (world.ledger(), stopped_before_its_first_send(&world).await);
    assert!(matches!(registered(&ledger, &same("second", |_| {})).await, Registered::New(_)));
    ledger.end(&"second".parse().unwrap(), &actor(), "wrong day").await.unwrap();
    assert_eq!(ledger.repeats(&same("third", |_| {})).await.unwrap(), None);
    // By an older build, which says it to an audience of its own alone.
    assert_eq!(note(&ledger, &ended, "rest").await, Noted::Noted);
    let repeated = ledger.repeats(&same("third", |_| {})).await.unwrap().unwrap().to_string();
    assert!(repeated.contains("by the broadcast `first` of "), "{repeated}");
}

/// The operator has made a broadcast for whom the first had missed, which are all, and the app tries again under another id.
#[tokio::test(flavor = "multi_thread")]
async fn what_whoever_was_missed_may_have_had_from_a_resend_is_said() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, ended) = (world.ledger(), stopped_before_its_first_send(&world).await);
    let retry = same("retry", |_| {});
    assert_eq!(ledger.repeats(&retry).await.unwrap(), None);
    assert_eq!(note(&ledger, &ended, "rest").await, Noted::Noted);
    let repeated = ledger.repeats(&retry).await.unwrap().unwrap().to_string();
    assert!(repeated.contains("`rest` was made for those whom it had missed"), "{repeated}");
}

/// A list is a file, and somebody has put a row back into it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_frozen_for_a_resend_whose_list_has_somebody_who_has_the_letter() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&same("first", |body| body["canary"] = json!(10))).await;
    world.run_until("first", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.ledger().end(&"first".parse().unwrap(), &actor(), "a test").await.unwrap();
    let stopped = world.run_to_the_end("first").await;
    let ledger = world.ledger();
    let looked = ledger.looked(&ledger.command(&stopped.broadcast_id).await.unwrap()).await.unwrap();
    assert_eq!(ledger.note_resend(&stopped, &"rest".parse().unwrap(), &looked).await.unwrap(), Noted::Noted);
    let again = reason_for(&stopped.broadcast_id, &looked).unwrap().to_string();
    let rest = same("rest", |body| (body["audience"], body["again"]) = (json!("rest"), json!(again)));

    let reached = judge(&world.cloud, "first").reached().into_iter().map(|address| format!("'{address}'")).collect::<Vec<_>>();
    assert_eq!(reached.len(), 10);
    let but = |some: &[String]| {
        let filter = format!("email NOT IN ({})", some.join(", "));
        issei_producer::AudienceConfig { filter: Some(filter), ..world.users.audience() }
    };
    let (edited, whole) = (but(&reached[1..]), but(&reached));
    world.audiences.insert("rest".to_owned(), edited);
    world.post_command(&rest).await;
    let held_up = world.run_until("rest", 2, |broadcast| broadcast.held_up.is_some()).await;
    let why = held_up.held_up.unwrap().reason;
    assert!(why.contains("1 of its rows are of users whom `first`") && !why.contains('@'), "{why}");
    assert_eq!((held_up.pages, judge(&world.cloud, "rest").total()), (0, 0));

    world.audiences.insert("rest".to_owned(), whole);
    world.run_to_the_end("rest").await;
    assert_eq!(mailed(&world.cloud, &["first", "rest"]), [10, 90]);
}

/// Both look at the same moment: the app's registration has read that the first mailed nobody, and waits for the ledger's answer,
/// when the operator notes a broadcast for whom it had missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_was_under_way_when_a_resend_was_noted_looks_again() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, ended) = (world.ledger(), stopped_before_its_first_send(&world).await);
    let looked = ledger.looked(&ledger.command(&"first".parse().unwrap()).await.unwrap()).await.unwrap();
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::DelayMs(1_500)).times(1));
    let registering = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.register(&same("retry", |_| {}), 50, false, &Asked::default(), &issei_clock::Dice::system()).await }
    });
    seen("the registration is under way", async || (world.cloud.befallen("TransactWriteItems", Fault::DelayMs(1_500)) > 0).then_some(()))
        .await;
    assert_eq!(ledger.note_resend(&ended, &"rest".parse().unwrap(), &looked).await.unwrap(), Noted::Noted);
    let registered = registering.await.unwrap().unwrap();
    assert!(matches!(&registered, Registered::Repeated(_)), "{registered:?}");
}

/// A subject of one variant is said, whoever gets it.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_variant_says_is_not_said_again_by_all_nor_by_another_variant() {
    let variants = |id: &str, subjects: [&str; 2]| {
        let words = |subject: &str| json!({ "subject": subject, "text": "New terms." });
        let of = json!({ "en": words(subjects[0]), "ja": words(subjects[1]) });
        command(id, |body| {
            (body["version"], body["class"]) = (json!(2), json!("service"));
            body["content"] = json!({ "variants": { "by": "name", "of": of, "fallback": "en" } });
        })
    };
    for inline_first in [true, false] {
        let world = World::new(WorldOptions::default()).await;
        let (alone, of_two) = (same("alone", |_| {}), variants("of-two", ["Terms for {{name}}", "規約"]));
        let (first, second) = if inline_first { (&alone, &of_two) } else { (&of_two, &alone) };
        world.post_command(first).await;
        world.run_to_the_end(first.broadcast_id.as_str()).await;
        let reason = refused(&world, second).await;
        let what =
            if inline_first { "field `content.variants`: one of its subjects is said" } else { "field `content.inline.subject`: the same" };
        assert!(reason.contains(what) && reason.contains(first.broadcast_id.as_str()), "{reason}");
        let reason = refused(&world, &variants("others", ["Other", if inline_first { "Terms for {{name}}" } else { "規約" }])).await;
        assert!(reason.contains("one of its subjects is said"), "{reason}");
        assert_eq!(world.cloud.accepted(), 100);
    }
}

/// It asked for ten, one after the other, each since it heard nothing of the one before; all are taken at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_ten_ids_that_say_the_same_at_once_one_is_registered() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, dice) = (world.ledger(), issei_clock::Dice::system());
    let commands: Vec<_> = (0..10).map(|number| same(&format!("terms-{number}"), |_| {})).collect();
    // Each has read before any writes.
    world.cloud.inject(Rule::every("GetItem", Fault::AnswerMs(100)));
    let (mut new, mut repeated) = (0, 0);
    let asked = Asked::default();
    for registered in futures_of(commands.iter().map(|command| ledger.register(command, 10, false, &asked, &dice))).await {
        match registered {
            Ok(Registered::New(_)) => new += 1,
            Ok(Registered::Repeated(_)) => repeated += 1,
            // Several transactions met, and neither went through; its message comes again.
            Err(LedgerError::Unavailable { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(new, 1, "{repeated} were refused");
    assert_eq!(world.ledger().known_broadcasts().await.unwrap().len(), 1);
}

/// Polls all at once.
async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in all.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = one.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_why_sends_the_same_once_more_and_the_trail_says_so() {
    let world = World::new(WorldOptions::default()).await;
    let first = same("terms", |_| {});
    world.post_command(&first).await;
    world.run_to_the_end("terms").await;
    world.post_command(&same("reminder", |body| body["again"] = json!("the first had a broken link"))).await;
    let reminder = world.run_to_the_end("reminder").await;
    assert_eq!(mailed(&world.cloud, &["terms", "reminder"]), [100, 100]);
    assert_eq!(reminder.audit_trail[0].reason, "command received from AIDA0000000000000000, again: the first had a broken link");
    // The same command is the same broadcast, and whoever does not say why is refused as before.
    world.post_command(&first).await;
    let reason = refused(&world, &same("third", |_| {})).await;
    assert!(reason.contains("`reminder`"), "{reason}");
    assert_eq!(world.cloud.accepted(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_before_its_first_send_keeps_nobody_from_asking_anew() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |body| body["max_recipients"] = json!(50))).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Stopped);
    world.post_command(&same("terms-again", |_| {})).await;
    assert_eq!(world.run_to_the_end("terms-again").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms-again").assert_each_once(world.addresses().await);
    assert_eq!(world.cloud.accepted(), 100);
}

/// Whom it has reached by then has had the mail.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_in_its_midst_counts_with_those_whom_it_reached() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |body| body["canary"] = json!(30))).await;
    world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let wanted = Transition { to: BroadcastState::Stopping, actor: &actor(), reason: "a test" };
    world.ledger().transition(&"terms".parse().unwrap(), wanted).await.unwrap();
    let reason = refused(&world, &same("terms-again", |_| {})).await;
    assert!(reason.contains("with 30 of 100 recipients accepted"), "{reason}");
    assert_eq!(world.cloud.accepted(), 30);
}

/// The second said why, and was stopped before it sent anything. The first still has mailed everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_that_mailed_nobody_does_not_make_the_first_forgotten() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let second = same("second", |body| (body["again"], body["max_recipients"]) = (json!("they asked for it"), json!(50)));
    world.post_command(&second).await;
    assert_eq!(world.run_to_the_end("second").await.broadcast_state, BroadcastState::Stopped);
    let reason = refused(&world, &same("third", |_| {})).await;
    assert!(reason.contains("`terms`") && reason.contains("100 of 100"), "{reason}");
    assert_eq!(world.cloud.accepted(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_days_later_the_same_may_be_said_again() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let again = same("next", |_| {});
    let repeats = async |world: &World| {
        world.ledger().repeats(&again).await.unwrap().map(|repeated| match repeated {
            Repeated::Said(said) => said.broadcast_id.to_string(),
            other => panic!("{other}"),
        })
    };
    world.later(SignedDuration::from_hours(30 * 24 - 1));
    assert_eq!(repeats(&world).await.as_deref(), Some("terms"));
    world.later(SignedDuration::from_hours(1));
    assert_eq!(repeats(&world).await, None);
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A notice that is registered twelve days before it is sent is a repeat as long as its readers remember it.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_its_time_counts_from_when_it_was_over() {
    let mut world = World::new(WorldOptions::default()).await;
    let (not_before, not_after) = (world.now() + DAY * 12, world.now() + DAY * 13);
    let first = same("terms", |body| {
        (body["version"], body["class"]) = (json!(2), json!("legal_notice"));
        (body["not_before"], body["not_after"]) = (json!(not_before.to_string()), json!(not_after.to_string()));
    });
    world.post_command(&first).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    world.pass(DAY * 12);
    world.cloud.show_all_messages();
    let told = world.run_to_the_end("terms").await;
    assert_eq!((told.broadcast_state, world.cloud.accepted()), (BroadcastState::Complete, 100));
    let repeats = async |world: &World| world.ledger().repeats(&same("next", |_| {})).await.unwrap().map(|repeated| repeated.to_string());
    // A month after it was registered, and 19 days after it was read.
    world.later(DAY * 19);
    let reason = repeats(&world).await.expect("it is a repeat");
    let since = format!("which is complete since {:.0} with 100 of 100", told.last_step().unwrap().at);
    assert!(reason.contains(&since), "{since}: {reason}");
    world.later(DAY * 10);
    assert!(repeats(&world).await.is_some());
    world.later(DAY * 2);
    assert_eq!(repeats(&world).await, None);
}

/// Whom the first had missed were told later, so that the same is new to nobody before a month has passed since then.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_again_to_whoever_was_missed_counts_from_then() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&same("terms", |body| body["canary"] = json!(30))).await;
    world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.ledger().end(&"terms".parse().unwrap(), &actor(), "a test").await.unwrap();
    let stopped = world.run_to_the_end("terms").await;
    world.pass(DAY * 12);
    assert_eq!(note(&world.ledger(), &stopped, "rest").await, Noted::Noted);
    let not_after = (world.now() + DAY).to_string();
    let rest = same("rest", |body| (body["audience"], body["not_after"]) = (json!("users-rest"), json!(not_after)));
    let (dice, asked) = (issei_clock::Dice::system(), Asked::default());
    assert!(matches!(world.ledger().register(&rest, 10, false, &asked, &dice).await.unwrap(), Registered::New(_)));
    let repeats = async |world: &World| world.ledger().repeats(&same("next", |_| {})).await.unwrap().is_some();
    world.later(DAY * 19);
    assert!(repeats(&world).await);
    // Its time was over a day after it was registered, whatever became of it.
    world.later(DAY * 12);
    assert!(!repeats(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_audience_and_a_rehearsal_hear_what_they_are_told() {
    let mut world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    world.audiences.insert("staff".to_owned(), world.users.audience());
    for (id, audience) in [("terms", "users"), ("terms-staff", "staff"), ("one", "rehearsal-20"), ("two", "rehearsal-20")] {
        world.post_command(&same(id, |body| body["audience"] = json!(audience))).await;
        assert_eq!(world.run_to_the_end(id).await.broadcast_state, BroadcastState::Complete, "{id}");
    }
    let template = |id: &str| command(id, |body| body["content"] = json!({ "template": { "name": "news" } }));
    let (ledger, dice) = (world.ledger(), issei_clock::Dice::system());
    assert!(matches!(ledger.register(&template("news-1"), 10, false, &Asked::default(), &dice).await.unwrap(), Registered::New(_)));
    let Registered::Repeated(repeated) = ledger.register(&template("news-2"), 10, false, &Asked::default(), &dice).await.unwrap() else {
        panic!("not refused")
    };
    assert!(repeated.to_string().starts_with("field `content.template`: the same template"), "{repeated}");
    assert!(repeated.to_string().contains("`issei stop news-1`"), "{repeated}");
}

/// In the backup it had sent nothing, and it is ended. It has mailed everybody since.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_is_not_believed_that_nobody_was_mailed() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    world.post_command(&same("terms", |_| {})).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    world.run_to_the_end("terms").await;
    world.cloud.restore("ledger", &backup, true).unwrap();
    world.ledger().accept_restored(&world.queue("chunks").await, &actor(), "restored").await.unwrap().unwrap();
    assert_eq!(world.broadcast("terms").await.grant_count, 0);
    let reason = refused(&world, &same("terms-again", |_| {})).await;
    assert!(reason.contains("`terms`"), "{reason}");
    assert_eq!(world.cloud.accepted(), 20);
    // Nor does a certificate call those not sent to whom it has forgotten.
    let certificate = crate::scheduled::certifier(&world).glance(&"terms".parse().unwrap()).await.unwrap();
    let finding = certificate.against().find(|finding| finding.what == "ledger: whom it has mailed").unwrap();
    assert!(finding.value.contains("more may have been mailed than it knows"), "{}", finding.value);
}

/// What was registered since is known for what it is at once; where an older build registered it clocks must tell, and they may be
/// hours apart.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_registered_since_a_restore_and_mailed_nobody_is_believed_to_have_mailed_nobody() {
    let world = World::new(WorldOptions { users: 20, ..WorldOptions::default() }).await;
    let mirror = world.queue("chunks").await;
    let consumer = world.consumer().await;
    world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
    let held = |id: &str| same(id, |body| (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into()));
    let is_holding = |broadcast: &Broadcast| broadcast.broadcast_state == BroadcastState::Holding;
    world.post_command(&held("before")).await;
    world.run_until("before", 0, is_holding).await;
    let backup = world.cloud.back_up("ledger").unwrap();
    world.cloud.restore("ledger", &backup, true).unwrap();
    world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
    let reason = refused(&world, &held("since")).await;
    assert!(reason.contains("`before`"), "{reason}");
    let since = same("since", |body| {
        (body["version"], body["class"], body["hold"]) = (2.into(), "service".into(), true.into());
        (body["again"], body["content"]["inline"]["subject"]) = ("whom it mailed is known".into(), json!("Other terms"));
    });
    world.post_command(&since).await;
    world.run_until("since", 0, is_holding).await;
    let ended = world.ledger().end(&since.broadcast_id, &actor(), "a wrong text").await.unwrap();
    let ledger = world.ledger();
    assert_eq!(ledger.may_have_forgotten(&ended).await.unwrap(), None);
    assert!(ledger.was_never_granted(&mirror, &ended).await.unwrap());
    let again = |id: &str| same(id, |body| body["content"]["inline"]["subject"] = json!("Other terms"));
    assert_eq!(ledger.repeats(&again("corrected")).await.unwrap(), None);
    // What is noted counts, and no clock, of whoever registered it or of whoever took the ledger into use.
    let later = ended.created_at.checked_add(SignedDuration::from_hours(24)).unwrap();
    let before = Broadcast { created_at: later, ..world.broadcast("before").await };
    assert!(ledger.may_have_forgotten(&before).await.unwrap().is_some() && !ledger.was_never_granted(&mirror, &before).await.unwrap());
    // An older build notes nothing.
    let by_older = |created_at| Broadcast { ledger_epoch: None, created_at, ..ended.clone() };
    assert!(ledger.may_have_forgotten(&by_older(ended.created_at)).await.unwrap().is_some());
    assert_eq!(ledger.may_have_forgotten(&by_older(later)).await.unwrap(), None);
    // Nor is it known of one that a second restore may have made it forget.
    let backup = world.cloud.back_up("ledger").unwrap();
    world.cloud.restore("ledger", &backup, true).unwrap();
    ledger.accept_restored(&mirror, &actor(), "restored again").await.unwrap().unwrap();
    assert!(ledger.may_have_forgotten(&ended).await.unwrap().is_some());
    assert!(matches!(ledger.repeats(&again("corrected")).await.unwrap(), Some(Repeated::Said(_))));
}

/// By force it is stopped sooner than everybody has lost their permits. Whoever holds one may claim yet, so no count of that time says
/// that nobody was mailed, and that the same may be said.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_by_force_has_mailed_nobody_only_once_nobody_can_claim_any_more() {
    let mut world = World::new(WorldOptions::default()).await;
    world.post_command(&same("first", |_| {})).await;
    let running = world.run_until("first", 0, Broadcast::is_enqueued).await;
    let granted = world.ledger().grant(&running.registration(), running.epoch, (10, 10), None, Duration::from_secs(6)).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
    for (to, reason) in [(BroadcastState::Stopping, "a wrong text"), (BroadcastState::Stopped, "SES may not send until `issei open`")] {
        let wanted = Transition { to, actor: &actor(), reason };
        world.ledger().transition(&"first".parse().unwrap(), wanted).await.unwrap();
    }
    world.feedback().await.sweep().await.unwrap();
    assert_eq!(world.broadcast("first").await.totals, None, "it is counted, and may be claimed");
    let reason = refused(&world, &same("second", |_| {})).await;
    assert!(reason.contains("`first`"), "{reason}");
    world.later(SignedDuration::from_mins(1));
    world.feedback().await.sweep().await.unwrap();
    let totals = world.broadcast("first").await.totals.unwrap();
    assert_eq!((totals.accepted, totals.in_doubt), (0, 0));
}
