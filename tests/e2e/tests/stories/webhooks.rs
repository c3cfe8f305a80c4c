//! What a provider tells by webhooks: believed by its signature, and by nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{Broadcast, BroadcastState, RecipientOutcome};
use issei_provider::{
    ApiKey, Exported, Known, Provider, Providers, Resend, ResendOptions, SendGrid, SendGridOptions, Webhook, WebhookKeys,
};
use issei_schema::{BroadcastCommand, EventKind, ProviderName};
use issei_sim::{EventRule, Fault, RESEND_WEBHOOK_SECRET, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use serde_json::json;

use crate::accounts::{looked_at, resume};
use crate::event_details::assert_delivered_and_bounced;
use crate::feedback::told;

pub(crate) fn by(id: &str, provider: &str) -> BroadcastCommand {
    command(id, |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = provider.into();
    })
}

fn by_sendgrid(id: &str) -> BroadcastCommand {
    by(id, "sendgrid")
}

/// A world with an account of `SendGrid`'s, whose webhooks come to the feedback queue.
async fn world_of_sendgrid(ends: &[(&str, &str)]) -> World {
    world_of("sendgrid", ends).await
}

/// A world with an account of another provider than SES, whose webhooks come to the feedback queue.
pub(crate) async fn world_of(name: &str, ends: &[(&str, &str)]) -> World {
    let rules = ends.iter().map(|(address, event)| EventRule { address: (*address).to_owned(), event: (*event).to_owned() });
    let options = told(|events| events.rules = rules.collect());
    let mut world = World::new(WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..options }).await;
    let (web, key, rate, timeout) = (world.clients.web.clone(), ApiKey::new("SG.x").unwrap(), 1_000.0, world.options.timing.send);
    let base_url = format!("https://api.{name}.com");
    let (provider, keys): (Arc<dyn Provider>, _) = if name == "resend" {
        let provider = Resend::new(web, ResendOptions { base_url, key, rate, timeout });
        (Arc::new(provider), WebhookKeys::Resend(vec![RESEND_WEBHOOK_SECRET.parse().unwrap()]))
    } else {
        let (service_group, marketing_group) = (None, None);
        let provider = SendGrid::new(web, SendGridOptions { base_url, key, rate, timeout, service_group, marketing_group });
        (Arc::new(provider), WebhookKeys::SendGrid(vec![world.cloud.sendgrid_webhook_key().parse().unwrap()]))
    };
    let carrier: ProviderName = name.parse().unwrap();
    world.known.insert(carrier.clone(), Known { facts: provider.facts(), rate: Some(rate), carried_by: provider.carried_by() });
    world.providers = Providers::new(world.ses()).with(carrier, provider);
    world.options.webhooks = [(name.to_owned(), keys)].into();
    world
}

/// All that lies on the feedback queue, taken off it.
pub(crate) async fn taken_off(world: &World) -> Vec<String> {
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

pub(crate) async fn put(world: &World, bodies: &[String]) {
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
        "the body begins as a webhook's does and is none: it has 3 fields, and a call has 5",
        "the webhook is not its provider's: it has no header `X-Twilio-Email-Event-Webhook-Signature`",
        "the webhook is not its provider's: its signature is old",
        "the webhook is not its provider's: its signature is wrong",
        "the webhook is not its provider's: no key of `mailgun` is configured here",
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

/// Staging and production share an account of a provider, or two providers are configured: what one has signed says nothing of
/// what the other carries.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_provider_has_signed_ends_no_doubt() {
    let mut world = world_of_sendgrid(&[]).await;
    let keys = world.options.webhooks.values().next().unwrap().clone();
    world.options.webhooks.insert("staging".to_owned(), keys);
    world.cloud.inject(Rule::every("MailSend", Fault::ResetAfter).after(2).times(1));
    world.post_command(&by_sendgrid("terms")).await;
    world.run_to_the_end("terms").await;
    let told = taken_off(&world).await;
    let as_staging = |event: &String| {
        let mut webhook = Webhook::read(event).unwrap().unwrap();
        webhook.provider = "staging".to_owned();
        webhook.to_line()
    };
    put(&world, &told.iter().map(as_staging).collect::<Vec<_>>()).await;
    world.take_events().await;
    assert_eq!(world.in_doubt("terms").await.len(), 5);
    let reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
    assert!(
        reasons.len() == told.len()
            && reasons.iter().all(|reason| reason == "`terms` is carried by `sendgrid`, and the event is told by `staging`"),
        "{reasons:?}"
    );
}

/// Takes back what a build that marks its letters writes when it registers a broadcast.
pub(crate) async fn as_registered_before_letters_were_marked(world: &World) {
    let change = "SET chunk_recipients = named_chunk_recipients REMOVE named_chunk_recipients, letters_name, marks_letters";
    registered_otherwise(world, change).await;
}

/// Changes what its registration wrote.
pub(crate) async fn registered_otherwise(world: &World, change: &str) {
    let key = [("pk", "b#terms"), ("sk", "broadcast")].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
    let update = world.clients.dynamodb.update_item().table_name("ledger").set_key(Some(key.into()));
    update.update_expression(change).call().await.unwrap();
}

/// Staging sends through the same account, and names its broadcasts as production does: the provider signs what becomes of its
/// letters for whoever has a webhook there.
#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_stagings_letters_is_no_evidence_about_those_of_production() {
    for name in ["resend", "sendgrid"] {
        let staging = world_of(name, &[("user000003@", "Bounce"), ("user000004@", "Complaint")]).await;
        staging.post_command(&by("terms", name)).await;
        staging.run_to_the_end("terms").await;
        let events = taken_off(&staging).await;
        let mut production = world_of(name, &[]).await;
        if name == "sendgrid" {
            // Each fake has a key of its own, and one account has one.
            let keys = [&staging, &production].map(|world| world.cloud.sendgrid_webhook_key().parse().unwrap());
            production.options.webhooks.insert(name.to_owned(), WebhookKeys::SendGrid(keys.into()));
            production.cloud.inject(Rule::every("MailSend", Fault::ResetBefore).times(1));
        }
        (production.options.limits.recipients_min, production.options.limits.events_min) = (5, 1);
        let mut wanted = by("terms", name);
        wanted.canary = Some(serde_json::from_value(json!(20)).unwrap());
        production.post_command(&wanted).await;
        let accepted = if name == "sendgrid" { 15 } else { 20 };
        let is_so = |broadcast: &Broadcast| broadcast.broadcast_state == BroadcastState::Holding && production.cloud.accepted() == accepted;
        production.run_until("terms", 1, is_so).await;
        let own = taken_off(&production).await;
        let before = production.outcomes("terms").await;
        put(&production, &events).await;
        production.take_events().await;
        production.feedback().await.sweep().await.unwrap();
        let after = production.outcomes("terms").await;
        assert!(after.iter().all(|recipient| recipient.events.is_empty()), "{name}: an event of staging's letters counts");
        let outcomes = |of: &[RecipientOutcome]| of.iter().map(|recipient| recipient.outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(&before), outcomes(&after), "{name}");
        let broadcast = production.broadcast("terms").await;
        assert_eq!(broadcast.broadcast_state, BroadcastState::Holding, "{name}: {:?}", broadcast.audit_trail);
        for address in production.addresses().await {
            assert_eq!(production.ledger().suppression_of(&address.parse().unwrap()).await.unwrap(), None, "{name}: {address}");
        }
        assert_eq!(production.dead_letters("feedback").await, [], "{name}: no certificate is given while one lies there");
        // What it tells of production's own letters counts.
        put(&production, &own).await;
        production.take_events().await;
        let told = production.outcomes("terms").await.iter().filter(|recipient| !recipient.events.is_empty()).count() as u64;
        assert_eq!(told, accepted, "{name}");
    }
}

/// Letters of an older build name no registration. Such an event is believed of a broadcast that one registered, and of no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_names_no_registration_counts_where_an_older_build_registered_the_broadcast_and_nowhere_else() {
    for name in ["resend", "sendgrid"] {
        let old = world_of(name, &[]).await;
        old.post_command(&by("terms", name)).await;
        old.run_until("terms", 0, Broadcast::is_enqueued).await;
        as_registered_before_letters_were_marked(&old).await;
        old.run_to_the_end("terms").await;
        let (unmarked, new) = (taken_off(&old).await, world_of(name, &[]).await);
        new.post_command(&by("terms", name)).await;
        new.run_to_the_end("terms").await;
        let marked = taken_off(&new).await;
        let body = |line: &String| String::from_utf8_lossy(&Webhook::read(line).unwrap().unwrap().body).into_owned();
        assert!(marked.iter().map(body).all(|body| body.contains("registration")), "{name}");
        assert!(!unmarked.iter().map(body).any(|body| body.contains("registration")), "{name}: another body than the older build's");
        for (mut world, foreign, own, says) in [
            (old, &marked, &unmarked, "its letter was sent for another registration of `terms`"),
            (new, &unmarked, &marked, "its letter names no registration"),
        ] {
            if name == "sendgrid" {
                // Each fake has a key of its own.
                world.options.webhooks.insert("sendgrid".to_owned(), WebhookKeys::Brought(Exported::SendGrid));
            }
            put(&world, foreign).await;
            world.take_events().await;
            assert!(world.outcomes("terms").await.iter().all(|recipient| recipient.events.is_empty()), "{name}: {says}");
            let reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
            // What Resend has signed, and another ledger's letters name, is let go.
            let buried = if name == "resend" && says.contains("another registration") { 0 } else { foreign.len() };
            assert!(reasons.len() == buried && reasons.iter().all(|reason| reason.starts_with(says)), "{name}: {reasons:?}");
            put(&world, own).await;
            world.take_events().await;
            assert!(world.outcomes("terms").await.iter().all(|recipient| !recipient.events.is_empty()), "{name}: {says}");
        }
    }
}

/// The letters were taken, and a filter in between did not like the answer. Of what it says in the provider's place nothing shows
/// that nobody has a letter, so nobody gets a second one; where the provider remembers the request it is asked in the end.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_proxy_refuses_after_the_provider_took_the_letters_nobody_mails_again() {
    for (provider, call, doubt) in [("resend", "SendBatchEmails", 0), ("sendgrid", "MailSend", 5)] {
        // Each in another form: a page, and errors as many services write them.
        // SendGrid's own acceptance is a 202, and so is a filter's challenge.
        for status in [400, 401, 402].into_iter().chain((provider == "sendgrid").then_some(202)) {
            let world = world_of(provider, &[]).await;
            world.cloud.inject(Rule::every(call, Fault::ReplacedAfter(status)).after(2).times(1));
            world.post_command(&by("terms", provider)).await;
            let paused = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
            let reason = &paused.audit_trail.last().unwrap().reason;
            assert!(reason.contains(&format!("{status} with ")) && reason.contains("which is no answer of"), "{reason}");
            resume(&world).await;
            world.cloud.show_all_messages();
            let totals = world.run_to_the_end("terms").await.totals;
            assert_eq!(totals.map(|totals| (totals.accepted, totals.in_doubt)), Some((40 - doubt, doubt)), "{provider}, {status}");
            judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
        }
    }
}

/// Events of SES are not signed where they come raw, and whoever may write to the queue can say what they like: also that SES
/// has delivered what another provider was asked for and nobody knows of.
#[tokio::test(flavor = "multi_thread")]
async fn what_ses_is_said_to_have_delivered_ends_no_doubt_about_what_another_provider_carries() {
    for is_registered in [true, false] {
        let mut world = world_of_sendgrid(&[]).await;
        if !is_registered {
            world.known.get_mut(&"sendgrid".parse().unwrap()).unwrap().carried_by = None;
        }
        world.cloud.inject(Rule::every("MailSend", Fault::ResetBefore).after(2).times(1));
        world.post_command(&by_sendgrid("terms")).await;
        world.run_to_the_end("terms").await;
        let told = taken_off(&world).await;
        for at in 0..40 {
            let tags = world.tags("terms", at / 5, at as usize % 5).await;
            put(&world, &[json!({ "eventType": "Delivery", "mail": { "messageId": format!("m{at}"), "tags": tags } }).to_string()]).await;
        }
        world.take_events().await;
        assert_eq!(world.in_doubt("terms").await.len(), 5, "{is_registered}");
        let reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
        assert!(
            reasons.len() == 40
                && reasons.iter().all(|reason| reason == "`terms` is carried by `sendgrid`, and the event is told by `ses`"),
            "{reasons:?}"
        );
        put(&world, &told).await;
        world.take_events().await;
        let tally = world.ledger().tally(&world.broadcast("terms").await).await.unwrap();
        assert_eq!(tally.totals().delivered, 35, "of whom SendGrid told");
    }
}

/// A chunk has so many places, and nobody is at another one.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_place_that_no_chunk_has_counts_for_nobody() {
    let world = World::new(WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..told(|_| {}) }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let tags = world.tags("terms", 0, 5).await;
    put(&world, &[json!({ "eventType": "Delivery", "mail": { "messageId": "m", "tags": tags } }).to_string()]).await;
    world.take_events().await;
    let reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["a chunk of broadcast `terms` has 5 recipients at most, and the event names place 5"]);
    let tally = world.ledger().tally(&world.broadcast("terms").await).await.unwrap();
    assert_eq!(tally.totals().delivered, 40);
}

/// The provider has an outage, and somebody quickly configures another one under its name. Of a broadcast that an older build
/// registered nobody knows for which account.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_at_a_provider_that_remembers_no_keys() {
    let mut world = world_of("resend", &[]).await;
    world.known.get_mut(&"resend".parse().unwrap()).unwrap().carried_by = None;
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter).times(8));
    world.post_command(&by("terms", "resend")).await;
    world.run_until("terms", 1, |_| world.cloud.accepted() == 40).await;
    let in_doubt = world.in_doubt("terms").await.len();
    assert!(in_doubt > 0, "asked about before anybody could");
    let (web, timeout) = (world.clients.web.clone(), world.options.timing.send);
    let other = SendGridOptions {
        base_url: "https://api.sendgrid.com".to_owned(),
        key: ApiKey::new("SG.x").unwrap(),
        rate: 1_000.0,
        timeout,
        service_group: None,
        marketing_group: None,
    };
    world.providers = Providers::new(world.ses()).with("resend".parse().unwrap(), Arc::new(SendGrid::new(web, other)));
    world.cloud.show_all_messages();
    looked_at(&world).await;
    assert_eq!(judge(&world.cloud, "terms").duplicates(), Vec::<&str>::new(), "mailed by both");
    assert_eq!((world.cloud.accepted(), world.in_doubt("terms").await.len()), (40, in_doubt));
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

/// The same for each: what nobody has signed, what was signed long ago, what was changed since. It lies among the dead letters
/// with its reason, and neither the ledger nor the list of suppressed addresses knows of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_with_a_wrong_signature_an_old_moment_or_another_body_is_buried_and_changes_nothing() {
    for name in ["sendgrid", "resend"] {
        let world = world_of(name, &[("user000007@", "Bounce")]).await;
        world.post_command(&by("terms", name)).await;
        world.run_to_the_end("terms").await;
        let events = taken_off(&world).await;
        let read: Vec<Webhook> = events.iter().map(|line| Webhook::read(line).unwrap().unwrap()).collect();
        let bounce = read.iter().position(|webhook| String::from_utf8_lossy(&webhook.body).contains("bounce")).unwrap();
        let forged = |change: &dyn Fn(&mut Webhook)| {
            let mut webhook = read[bounce].clone();
            change(&mut webhook);
            webhook.to_line()
        };
        let another = read.iter().find(|webhook| webhook.signature != read[bounce].signature).unwrap().signature.clone();
        let forgeries = [
            forged(&|webhook| webhook.signature.clone_from(&another)),
            // A minute more or less is no other signature for whoever does not look at it.
            forged(&|webhook| webhook.timestamp = (webhook.timestamp.parse::<i64>().unwrap() - 60).to_string()),
            forged(&|webhook| webhook.timestamp = (webhook.timestamp.parse::<i64>().unwrap() - 100_000).to_string()),
            forged(&|webhook| {
                let body = String::from_utf8_lossy(&webhook.body).replace("user000007@", "user000008@");
                webhook.body = body.into_bytes();
            }),
        ];
        put(&world, &forgeries).await;
        world.take_events().await;
        let mut reasons: Vec<_> = world.dead_letters("feedback").await.into_iter().map(|(_, reason)| reason).collect();
        reasons.sort();
        let begin = |reason: &str| reason.starts_with("the webhook is not its provider's: its signature is wrong: none of the 1 keys");
        assert_eq!(reasons.len(), 4, "{name}: {reasons:?}");
        assert!(
            reasons[0].starts_with("the webhook is not its provider's: its signature is old: it was signed 100"),
            "{name}: {reasons:?}"
        );
        assert!(reasons[1..].iter().all(|reason| begin(reason)), "{name}: {reasons:?}");
        let outcomes = world.outcomes("terms").await;
        assert!(outcomes.iter().all(|recipient| recipient.events.is_empty()), "{name}: a forged event counts");
        for address in world.addresses().await {
            assert_eq!(world.ledger().suppression_of(&address.parse().unwrap()).await.unwrap(), None, "{name}: {address}");
        }
        // The same as they were signed.
        put(&world, &events).await;
        world.take_events().await;
        let bounced: Vec<_> =
            world.outcomes("terms").await.into_iter().filter(|recipient| recipient.events.contains(&EventKind::Bounced)).collect();
        assert_eq!(bounced.len(), 1, "{name}");
        assert!(bounced[0].recipient.as_ref().unwrap().address.as_str().starts_with("user000007@"), "{name}");
        assert_eq!(world.dead_letters("feedback").await.len(), 0, "{name}: nothing else was buried");
    }
}

/// Whoever answers them reads when it was delivered, or when it bounced and why, and the mail server's words name nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_tells_when_it_was_delivered_and_why_it_bounced() {
    for (name, word) in [("sendgrid", "bounce"), ("resend", "Permanent/General")] {
        let world = world_of(name, &[("user000007@", "Bounce")]).await;
        let began = world.now();
        world.post_command(&by("terms", name)).await;
        world.run_to_the_end("terms").await;
        world.take_events().await;
        assert_delivered_and_bounced(&world, began, word).await;
    }
}
