//! Who carries a broadcast: one provider, from its first mail to its last, and nobody else.

use std::sync::Arc;

use issei_ledger::{BroadcastState, ServiceKind};
use issei_provider::{Known, Providers, Ses};
use issei_schema::{BroadcastCommand, ProviderName};
use issei_test_support::{World, WorldOptions, command, judge, until};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

fn small() -> WorldOptions {
    WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..WorldOptions::default() }
}

fn second() -> ProviderName {
    "second".parse().unwrap()
}

fn by(id: &str, provider: &str) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = provider.into();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_nobody_has_configured_is_refused_with_field_cause_and_what_to_do() {
    let world = World::new(small()).await;
    world.post_command(&by("terms", "resend")).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    world.assert_commands_drained().await;
    stop.cancel();
    services.join_all().await;
    let letters = world.dead_letters("commands").await;
    let (_, reason) = letters.last().unwrap();
    assert!(reason.starts_with("field `provider`: the producer's configuration has no provider `resend`; it has `ses`"), "{reason}");
    assert!(reason.contains("add it under [providers]"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
    assert!(world.ledger().find_broadcast(&"terms".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_lacks_the_provider_sends_nothing_by_another_and_says_so_until_one_comes_that_has_it() {
    let mut world = World::new(small()).await;
    let ses = Known::ses().remove(&ProviderName::default()).unwrap();
    world.known.insert(second(), ses);
    world.post_command(&by("terms", "second")).await;
    world.run_until("terms", 0, issei_ledger::Broadcast::is_enqueued).await;
    let stop = CancellationToken::new();
    let consumer = world.consumer().await;
    let running = tokio::spawn(consumer.run(stop.clone()));
    until("the consumer has said what it lacks", async || {
        let runs = world.ledger().heartbeats(world.now()).await.unwrap();
        runs.iter().any(|run| run.service == ServiceKind::Consumer && run.lacks.contains(&second()))
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    let broadcast = world.broadcast("terms").await;
    assert_eq!((world.cloud.accepted(), broadcast.granted, broadcast.broadcast_state), (0, 0, BroadcastState::Running));
    // Nothing of it is lost, and none of its messages is buried.
    assert_eq!(world.dead_letters("chunks").await.len(), 0);
    world.providers = Providers::new(world.ses()).with(second(), Arc::new(Ses::new(world.clients.ses.clone(), "issei")));
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_of_commands_did_not_know_is_refused_in_it() {
    let mut body: Value = serde_json::from_str(&by("terms", "ses").to_body()).unwrap();
    body["version"] = 1.into();
    body.as_object_mut().unwrap().remove("class");
    let refused = BroadcastCommand::parse(&body.to_string()).unwrap_err().to_string();
    assert!(refused.contains("`provider`") && refused.contains("version 2"), "{refused}");
}
