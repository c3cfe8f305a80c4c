//! What a provider tells by webhooks: believed by its signature, and by nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use issei_ledger::BroadcastState;
use issei_provider::{ApiKey, Known, Provider, Providers, SendGrid, SendGridOptions, Webhook, WebhookKeys};
use issei_schema::{BroadcastCommand, ProviderName};
use issei_sim::{EventRule, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};

use crate::feedback::told;

fn sendgrid() -> ProviderName {
    "sendgrid".parse().unwrap()
}

fn by_sendgrid(id: &str) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = "sendgrid".into();
    })
}

/// A world with an account of `SendGrid`'s, whose webhooks come to the feedback queue.
async fn world_of_sendgrid(ends: &[(&str, &str)]) -> World {
    let rules = ends.iter().map(|(address, event)| EventRule { address: (*address).to_owned(), event: (*event).to_owned() });
    let options = told(|events| events.rules = rules.collect());
    let mut world = World::new(WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..options }).await;
    let options = SendGridOptions {
        base_url: "https://api.sendgrid.com".to_owned(),
        key: ApiKey::new("SG.x").unwrap(),
        rate: 1_000.0,
        timeout: world.options.timing.send,
        sandbox: false,
        service_group: None,
        marketing_group: None,
    };
    let provider = SendGrid::new(world.clients.web.clone(), options);
    world.known.insert(sendgrid(), Known { facts: provider.facts(), rate: Some(1_000.0) });
    world.providers = Providers::new(world.ses()).with(sendgrid(), Arc::new(provider));
    let key = world.cloud.sendgrid_webhook_key().parse().unwrap();
    world.options.webhooks = [("sendgrid".to_owned(), WebhookKeys::SendGrid(vec![key]))].into();
    world
}

/// All that lies on the feedback queue, taken off it.
async fn taken_off(world: &World) -> Vec<String> {
    let (queue, mut bodies) = (world.queue("feedback").await, Vec::new());
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            return bodies;
        }
        queue.delete_batch(messages.iter().map(|message| message.receipt.clone()).collect()).await.unwrap();
        bodies.extend(messages.into_iter().map(|message| message.body));
    }
}

async fn put(world: &World, bodies: &[String]) {
    let queue = world.queue("feedback").await;
    for body in bodies {
        queue.send(body, Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_sendgrids_leaves_doubt_that_only_what_it_has_signed_can_end() {
    let world = world_of_sendgrid(&[]).await;
    world.cloud.inject(Rule::every("MailSend", Fault::ResetAfter).after(2).times(1));
    world.post_command(&by_sendgrid("terms")).await;
    let totals = world.run_to_the_end("terms").await.totals;
    assert_eq!(totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((35, 5)));
    let events = taken_off(&world).await;
    // One more byte in a body, a provider of which no key is there, and a line that was cut.
    let forged = |change: fn(&mut Webhook)| {
        let mut webhook = Webhook::read(&events[2]).unwrap().unwrap();
        change(&mut webhook);
        webhook.to_line()
    };
    let forgeries = [
        forged(|webhook| webhook.body.push(b' ')),
        forged(|webhook| webhook.timestamp = "1".to_owned()),
        forged(|webhook| webhook.signature = String::new()),
        forged(|webhook| webhook.provider = "mailgun".to_owned()),
        "webhook~sendgrid~~".to_owned(),
    ];
    put(&world, &forgeries).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await.len(), 5, "nothing forged counts");
    let mut reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
    reasons.sort();
    let expected = [
        "it is a webhook of `mailgun`, of which no key is configured here",
        "the body begins as a webhook's does and is none: it has 3 fields, and a call has 5",
        "the webhook is not its provider's: it has no header `X-Twilio-Email-Event-Webhook-Signature`",
        "the webhook is not its provider's: its signature is old",
        "the webhook is not its provider's: its signature is wrong",
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.starts_with(expected), "{reason}");
    }
    put(&world, &events).await;
    // Each once more, as a provider tells it that heard no answer.
    put(&world, &events).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await, Vec::<String>::new());
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Complete, "nothing was taken for a second acceptance");
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_bounced_at_sendgrid_is_on_isseis_list_and_not_on_that_of_ses() {
    let world = world_of_sendgrid(&[("user000007@", "Bounce")]).await;
    world.post_command(&by_sendgrid("terms")).await;
    world.run_to_the_end("terms").await;
    world.take_events().await;
    let bounced = world.addresses().await.into_iter().find(|address| address.starts_with("user000007@")).unwrap();
    let listed = world.ledger().suppression_of(&bounced.parse().unwrap()).await.unwrap();
    assert!(listed.is_some(), "{bounced}");
    assert_eq!(world.cloud.suppressed(), BTreeMap::new());
}
