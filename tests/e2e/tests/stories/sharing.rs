//! Two ledgers share an account of a provider: each hears what becomes of the other's letters. What is surely the other's is counted
//! and let go, so that nobody waits for a certificate because of it; what may be this ledger's own is kept for somebody to look at.

use issei_aws::{AwsCall, Queue};
use issei_ledger::{Asked, Broadcast, OfOthers, Registered};
use issei_provider::{Exported, Webhook, WebhookKeys};
use issei_schema::{Actor, ProviderName};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::feedback::told;
use crate::webhooks::{as_registered_before_letters_were_marked, by, put, registered_otherwise, taken_off, world_of};

fn actor() -> Actor {
    "an operator".parse().unwrap()
}

/// What a provider tells of the broadcasts of a ledger.
async fn told_of(world: &World, name: &str, ids: &[&str]) -> Vec<String> {
    for id in ids {
        let mut command = by(id, name);
        command.again = Some("another id".parse().unwrap());
        world.post_command(&command).await;
        world.run_to_the_end(id).await;
    }
    taken_off(world).await
}

fn body(line: &str) -> Value {
    serde_json::from_slice(&Webhook::read(line).unwrap().unwrap().body).unwrap()
}

/// `SendGrid` tells of several letters with one call.
fn events(lines: &[String]) -> u64 {
    lines.iter().map(|line| body(line).as_array().map_or(1, Vec::len) as u64).sum()
}

async fn reasons(world: &World) -> Vec<String> {
    world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect()
}

async fn counted(world: &World) -> Vec<(String, u64)> {
    let told = world.ledger().events_of_others().await.unwrap();
    told.into_iter().map(|OfOthers { provider, events, .. }| (provider.to_string(), events)).collect()
}

async fn nothing_is_told(world: &World) -> bool {
    world.outcomes("terms").await.iter().all(|recipient| recipient.events.is_empty())
}

/// Both under one account: whoever has signed for one has signed for both.
async fn staging_and_production(name: &str) -> (World, World) {
    let (staging, mut production) = (world_of(name, &[("user000003@", "Bounce")]).await, world_of(name, &[]).await);
    if name == "sendgrid" {
        let keys = [&staging, &production].map(|world| world.cloud.sendgrid_webhook_key().parse().unwrap());
        production.options.webhooks.insert(name.to_owned(), WebhookKeys::SendGrid(keys.into()));
    }
    (staging, production)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_has_signed_for_another_ledger_is_counted_and_lies_in_no_queue() {
    for name in ["resend", "sendgrid"] {
        let (staging, production) = staging_and_production(name).await;
        // One that both know by its id, and one that production has never heard of.
        let foreign = told_of(&staging, name, &["terms", "a-trial"]).await;
        let own = told_of(&production, name, &["terms"]).await;
        assert_eq!(counted(&production).await, []);
        for times in 1..=2 {
            put(&production, &foreign).await;
            production.take_events().await;
            assert!(nothing_is_told(&production).await, "{name}: it counts");
            assert_eq!(reasons(&production).await, Vec::<String>::new(), "{name}");
            assert_eq!(counted(&production).await, [(name.to_owned(), times * events(&foreign))], "{name}");
        }
        assert_eq!(taken_off(&production).await, Vec::<String>::new(), "{name}");
        let [of_others]: [OfOthers; 1] = production.ledger().events_of_others().await.unwrap().try_into().unwrap();
        assert!(of_others.first_at <= of_others.last_at && of_others.last_at <= production.now(), "{of_others:?}");
        // Its own count beside them.
        put(&production, &own).await;
        production.take_events().await;
        assert!(production.outcomes("terms").await.iter().all(|recipient| !recipient.events.is_empty()), "{name}");
        assert_eq!(reasons(&production).await, Vec::<String>::new(), "{name}");
    }
}

/// `SendGrid` gathers what becomes of all letters of an account into its calls.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_call_with_events_of_both_ledgers_each_event_is_taken_for_what_it_is() {
    let (staging, production) = staging_and_production("sendgrid").await;
    let foreign = told_of(&staging, "sendgrid", &["terms"]).await;
    let own = told_of(&production, "sendgrid", &["terms"]).await;
    let all = |more: Vec<Value>| {
        let all: Vec<Value> = foreign.iter().chain(&own).flat_map(|line| body(line).as_array().unwrap().clone()).chain(more).collect();
        let (body, timestamp) = (Value::Array(all).to_string(), production.now().as_second().to_string());
        let signature = production.cloud.sendgrid_signature(&timestamp, &body);
        Webhook { provider: "sendgrid".to_owned(), id: String::new(), timestamp, signature, body: body.into_bytes() }.to_line()
    };
    // One that is not to be read in the midst, for whose sake the call is kept.
    put(&production, &[all(vec![serde_json::json!({ "event": "delivered", "broadcast": "terms", "chunk": "x" })])]).await;
    production.take_events().await;
    assert!(production.outcomes("terms").await.iter().all(|recipient| !recipient.events.is_empty()));
    let reasons_then = reasons(&production).await;
    assert!(reasons_then.len() == 1 && reasons_then[0].contains("its `chunk` is not one of issei's"), "{reasons_then:?}");
    put(&production, &[all(Vec::new())]).await;
    production.take_events().await;
    assert_eq!(counted(&production).await, [("sendgrid".to_owned(), 2 * events(&foreign))]);
    assert_eq!((reasons(&production).await, taken_off(&production).await), (Vec::new(), Vec::new()));
}

/// Whoever may write to the queue could make anything vanish otherwise, and a letter of an older build does not say whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_signed_or_what_names_no_other_ledger_is_kept() {
    let (staging, mut production) = staging_and_production("resend").await;
    let foreign = told_of(&staging, "resend", &["terms", "a-trial"]).await;
    let own = told_of(&production, "resend", &["terms"]).await;
    let older = world_of("resend", &[]).await;
    older.post_command(&by("terms", "resend")).await;
    older.run_until("terms", 0, Broadcast::is_enqueued).await;
    registered_otherwise(&older, "SET marked_chunk_recipients = named_chunk_recipients REMOVE named_chunk_recipients, letters_name").await;
    older.run_to_the_end("terms").await;
    let before_ledgers_were_named = taken_off(&older).await;
    let oldest = world_of("resend", &[]).await;
    oldest.post_command(&by("terms", "resend")).await;
    oldest.run_until("terms", 0, Broadcast::is_enqueued).await;
    as_registered_before_letters_were_marked(&oldest).await;
    oldest.run_to_the_end("terms").await;
    let before_marks = taken_off(&oldest).await;
    for (what, lines, says) in [
        ("of before ledgers were named", &before_ledgers_were_named, "its letter was sent for another registration of `terms`"),
        ("of before marks", &before_marks, "its letter names no registration"),
    ] {
        put(&production, lines).await;
        production.take_events().await;
        let told = reasons(&production).await;
        assert!(told.len() == lines.len() && told.iter().all(|reason| reason.starts_with(says)), "{what}: {told:?}");
    }
    // Somebody brings them in a file, or says that another provider told them.
    let signed = production.options.webhooks.insert("resend".to_owned(), WebhookKeys::Brought(Exported::Resend)).unwrap();
    put(&production, &foreign).await;
    production.take_events().await;
    assert_eq!(reasons(&production).await.len(), foreign.len());
    production.options.webhooks = [("other".to_owned(), signed)].into();
    put(&production, &own.iter().map(|line| line.replacen("webhook~resend~", "webhook~other~", 1)).collect::<Vec<_>>()).await;
    production.take_events().await;
    let told = reasons(&production).await;
    assert!(told.len() == own.len() && told.iter().all(|reason| reason.contains("the event is told by `other`")), "{told:?}");
    assert!(nothing_is_told(&production).await);
    assert_eq!(counted(&production).await, []);
}

/// SES tells of a configuration set, and signs nothing: whatever names another registration there is to be looked at.
#[tokio::test(flavor = "multi_thread")]
async fn of_ses_nothing_is_let_go() {
    let [staging, production] = [(); 2].map(|()| World::new(WorldOptions { users: 20, ..told(|_| {}) }));
    let (staging, production) = (staging.await, production.await);
    for world in [&staging, &production] {
        world.post_command(&command("terms", |_| {})).await;
        world.run_to_the_end("terms").await;
    }
    let (foreign, _) = (taken_off(&staging).await, taken_off(&production).await);
    assert!(!foreign.is_empty());
    put(&production, &foreign).await;
    production.take_events().await;
    let told = reasons(&production).await;
    let says = "its letter was sent for another registration of `terms`";
    assert!(told.len() == foreign.len() && told.iter().all(|reason| reason.starts_with(says)), "{told:?}");
    assert_eq!(counted(&production).await, []);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Nobody has noticed.
    Unnoticed,
    WithItsQueues,
    WithOthers,
}

/// Its registration is forgotten, and the events alone say who was mailed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_registration_that_a_restore_made_the_ledger_forget_is_kept() {
    for taken in [Taken::Unnoticed, Taken::WithItsQueues, Taken::WithOthers] {
        let world = world_of("resend", &[]).await;
        let consumer = world.consumer().await;
        world.call(&consumer, Vec::new(), &CancellationToken::new()).await;
        let backup = world.cloud.back_up("ledger").unwrap();
        let forgotten = told_of(&world, "resend", &["terms"]).await;
        world.cloud.restore("ledger", &backup, taken != Taken::Unnoticed).unwrap();
        let mirror: Queue = match taken {
            Taken::Unnoticed | Taken::WithItsQueues => world.queue("chunks").await,
            Taken::WithOthers => {
                for name in ["other-chunks-dead", "other-chunks"] {
                    world.clients.sqs.create_queue().queue_name(name).call().await.unwrap();
                }
                world.queue("other-chunks").await
            }
        };
        if taken != Taken::Unnoticed {
            world.ledger().accept_restored(&mirror, &actor(), "restored").await.unwrap().unwrap();
        }
        let says = "its letter was sent by this ledger, or by the one that it was restored from";
        let kept = async |when: &str| {
            put(&world, &forgotten).await;
            world.take_events().await;
            let told = reasons(&world).await;
            assert!(told.len() == forgotten.len() && told.iter().all(|reason| reason.starts_with(says)), "{taken:?}, {when}: {told:?}");
            assert_eq!(counted(&world).await, [], "{taken:?}, {when}");
        };
        kept("it knows no broadcast of the id").await;
        let registered = world.ledger().register(&by("terms", "resend"), 5, false, &Asked::default(), &issei_clock::Dice::system()).await;
        let Registered::New(anew) = registered.unwrap() else { panic!("it is there") };
        kept("the id is registered anew").await;
        // And once more, in a ledger that was restored before.
        if taken == Taken::WithOthers {
            world.cloud.restore("ledger", &world.cloud.back_up("ledger").unwrap(), true).unwrap();
            world.ledger().accept_restored(&mirror, &actor(), "restored again").await.unwrap().unwrap();
            kept("it was restored twice").await;
            assert_eq!(world.broadcast("terms").await.letter_mark(), anew.letter_mark());
        }
    }
}

/// What is let go is nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_counted_is_not_let_go() {
    let (staging, production) = staging_and_production("resend").await;
    let foreign = told_of(&staging, "resend", &["a-trial"]).await;
    told_of(&production, "resend", &["terms"]).await;
    production.cloud.inject(Rule::every("UpdateItem", Fault::ErrorBefore).holding("\"others\""));
    put(&production, &foreign[..1]).await;
    production.take_events().await;
    assert_eq!((reasons(&production).await, counted(&production).await), (Vec::new(), Vec::new()));
    production.cloud.heal();
    production.cloud.show_all_messages();
    production.take_events().await;
    assert_eq!(counted(&production).await, [("resend".to_owned(), 1)]);
    assert_eq!((reasons(&production).await, taken_off(&production).await), (Vec::new(), Vec::new()));
}

/// Its consumers would name no ledger, and the events of their letters would be buried.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_build_can_not_read_a_broadcast_whose_letters_name_the_ledger() {
    let world = world_of("resend", &[]).await;
    world.post_command(&by("terms", "resend")).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let key = [("pk", "b#terms"), ("sk", "broadcast")]
        .map(|(name, value)| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned())));
    let item = world.clients.dynamodb.get_item().table_name("ledger").set_key(Some(key.into())).call().await.unwrap().item.unwrap();
    for name in ["chunk_size", "chunk_recipients", "marked_chunk_recipients"] {
        assert!(!item.contains_key(name), "an older build wants one of them");
    }
    let carrier: ProviderName = "resend".parse().unwrap();
    assert_eq!((broadcast.chunk_size, broadcast.provider), (5, Some(carrier)));
}
