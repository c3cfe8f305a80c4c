//! Which account carries a broadcast: the one that it was registered for, and no other that comes to stand under its name.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{Broadcast, BroadcastState, NotAsked, ReasonCode, ServiceKind};
use issei_provider::{ApiKey, Known, Provider, Providers, Resend, ResendOptions};
use issei_schema::{Actor, ProviderName};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, until};
use tokio_util::sync::CancellationToken;

use crate::asking::OtherBuild;

/// As long as Resend's keys are, and as short as a proxy's may be. To the simulator each opens an account of its own.
pub(crate) const KEY: &str = "re_Production_0123456789abcdefghijkl";
const OTHER_KEY: &str = "re_Staging00_0123456789abcdefghijkl";
const SHORT_KEY: &str = "a-short-key";
const OTHER_SHORT_KEY: &str = "another-short-key";
pub(crate) const PLACE: &str = "env:RESEND_KEY";

pub(crate) fn name() -> ProviderName {
    "resend".parse().unwrap()
}

pub(crate) fn resend(world: &World, base_url: &str, key: &str, place: &str) -> Arc<dyn Provider> {
    let key = ApiKey::new(key).unwrap().kept_in(Some(place.to_owned()));
    let (base_url, rate, timeout) = (base_url.to_owned(), 1_000.0, world.options.timing.send);
    Arc::new(Resend::new(world.clients.web.clone(), ResendOptions { base_url, key, rate, timeout }))
}

/// What its consumers send by from now on.
pub(crate) fn configure(world: &mut World, base_url: &str, key: &str, place: &str) {
    world.providers = Providers::new(world.ses()).with(name(), resend(world, base_url, key, place));
}

pub(crate) const URL: &str = "https://api.resend.com";

/// Who registers a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Producer {
    Ours,
    /// One that knows nothing of accounts.
    Older,
}

/// A broadcast by Resend of which every request was accepted, and every answer lost.
pub(crate) async fn every_answer_lost(key: &str, producer: Producer) -> World {
    every_answer_lost_to(|world| resend(world, URL, key, PLACE), producer).await
}

async fn every_answer_lost_to(consumer: impl Fn(&World) -> Arc<dyn Provider>, producer: Producer) -> World {
    let options = WorldOptions { users: 40, page_size: 20, chunk_size: 5, ..WorldOptions::default() };
    let mut world = World::new(options).await;
    let provider = consumer(&world);
    let carried_by = provider.carried_by().filter(|_| producer == Producer::Ours);
    world.known.insert(name(), Known { facts: provider.facts(), rate: Some(1_000.0), carried_by });
    world.providers = Providers::new(world.ses()).with(name(), provider);
    // Also those who ask again at once hear nothing, for as long as this consumer lives.
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter));
    let by_resend = command("terms", |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = "resend".into();
    });
    world.post_command(&by_resend).await;
    world.run_until("terms", 1, |_| world.cloud.accepted() == 40).await;
    world.cloud.heal();
    assert_eq!(world.in_doubt("terms").await.len(), 40);
    world.cloud.show_all_messages();
    world
}

/// Runs a consumer until it has looked at every message.
pub(crate) async fn looked_at(world: &World) {
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    until("each is looked at and put away", async || {
        let counts = world.queue("chunks").await.counts().await.unwrap().0;
        counts.visible + counts.in_flight == 0
    })
    .await;
    stop.cancel();
    consumer.await.unwrap();
}

pub(crate) async fn resume(world: &World) {
    let (id, actor): (_, Actor) = ("terms".parse().unwrap(), "an operator".parse().unwrap());
    let wanted = issei_ledger::Transition { to: BroadcastState::Running, actor: &actor, reason: "mended" };
    world.ledger().transition(&id, wanted).await.unwrap();
    world.cloud.show_all_messages();
}

fn assert_nobody_twice(world: &World) {
    assert_eq!(judge(&world.cloud, "terms").duplicates(), Vec::<&str>::new(), "mailed by both");
}

/// Everybody is asked about where they were sent, and the broadcast ends.
async fn assert_ends_well(world: &World) {
    let over = world.run_to_the_end("terms").await;
    assert_eq!((over.broadcast_state, over.totals.unwrap().accepted), (BroadcastState::Complete, 40));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Somebody gives the name to another account, of staging say: in each way in which a configuration can. Here by the same key,
/// so that nothing but the place and the URL tells.
#[tokio::test(flavor = "multi_thread")]
async fn another_account_under_the_same_name_pauses_the_broadcast_and_mails_nobody_a_second_time() {
    for (base_url, place, variable) in [(URL, "env:STAGING_KEY", "STAGING_KEY"), ("https://proxy.example.com", PLACE, "RESEND_KEY")] {
        let mut world = every_answer_lost(KEY, Producer::Ours).await;
        let asked = world.calls_of("SendBatchEmails");
        configure(&mut world, base_url, KEY, place);
        // Whoever resumes it without mending anything finds it paused again.
        for _ in 0..2 {
            let is_asked = || world.calls_of("SendBatchEmails") > asked;
            let paused = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused || is_asked()).await;
            assert_nobody_twice(&world);
            assert_eq!(paused.reason_code(world.now()), Some(ReasonCode::PausedOtherAccount));
            let reason = &paused.last_step().unwrap().reason;
            assert!(
                reason.starts_with(&format!(
                    "`resend` is Resend at {base_url} by the environment variable {variable} in a consumer's configuration"
                )) && reason.contains(&format!("registered for Resend at {URL} by the environment variable RESEND_KEY:"))
                    && reason.contains("issei resend"),
                "{reason}"
            );
            resume(&world).await;
        }
        world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
        assert_nobody_twice(&world);
        assert_eq!((world.calls_of("SendBatchEmails"), world.in_doubt("terms").await.len()), (asked, 40), "somebody was asked");
        configure(&mut world, URL, KEY, PLACE);
        resume(&world).await;
        assert_ends_well(&world).await;
    }
}

/// The variable is the same, and what stands in it is not: a key that was replaced, or one of another account. Nobody can tell
/// which, so whoever is in doubt under the first is not asked about with the second: however short the keys are, and whichever
/// build's producer registered the broadcast, as in the midst of an upgrade.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_in_the_same_variable_asks_about_nobody_whom_the_first_was_asked_with() {
    for (key, other, producer) in [
        (KEY, OTHER_KEY, Producer::Ours),
        (KEY, OTHER_KEY, Producer::Older),
        (SHORT_KEY, OTHER_SHORT_KEY, Producer::Ours),
        (SHORT_KEY, OTHER_SHORT_KEY, Producer::Older),
    ] {
        let mut world = every_answer_lost(key, producer).await;
        let asked = world.calls_of("SendBatchEmails");
        configure(&mut world, URL, other, PLACE);
        looked_at(&world).await;
        assert_nobody_twice(&world);
        assert_eq!((world.calls_of("SendBatchEmails"), world.in_doubt("terms").await.len()), (asked, 40), "asked: {key}, {producer:?}");
        configure(&mut world, URL, key, PLACE);
        world.cloud.show_all_messages();
        assert_ends_well(&world).await;
    }
}

/// The log of a consumer is no place where anybody looks who asks how a broadcast stands.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stays_in_doubt_since_a_key_was_replaced_is_told_of_as_long_as_somebody_may_ask() {
    let mut world = every_answer_lost(KEY, Producer::Ours).await;
    let met = async |world: &World| {
        let runs = world.ledger().heartbeats(world.now()).await.unwrap();
        NotAsked::of(&world.broadcast("terms").await, &runs, world.now())
    };
    let certified = async |world: &World| {
        let certificate = crate::scheduled::certifier(world).glance(&"terms".parse().unwrap()).await.unwrap();
        certificate.findings.into_iter().find(|finding| finding.what == "claims: in doubt, and asked about").unwrap()
    };
    assert!(met(&world).await.is_none() && certified(&world).await.holds(), "whoever has the key asks about them");
    configure(&mut world, URL, OTHER_KEY, PLACE);
    looked_at(&world).await;
    let told = met(&world).await.unwrap();
    assert!(told.requests == 8 && told.until > world.now() && told.met_by.len() == 1, "{told:?}");
    let finding = certified(&world).await;
    assert!(
        !finding.holds() && finding.value.starts_with("8 requests whose answer was lost were made with another key of resend"),
        "{finding:?}"
    );
    assert!(finding.mend.is_some_and(|mend| mend.contains("issei export terms --outcome in-doubt")));
    configure(&mut world, URL, KEY, PLACE);
    world.cloud.show_all_messages();
    assert_ends_well(&world).await;
    assert!(met(&world).await.is_none() && certified(&world).await.holds());
}

/// It is the same account, and nobody has heard of it: an older build registered the broadcast, or one reads it that knows
/// nothing of accounts.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_an_older_build_registered_is_carried_and_asked_about_as_ever() {
    let world = every_answer_lost(KEY, Producer::Older).await;
    assert_eq!(world.broadcast("terms").await.carried_by, None);
    assert_ends_well(&world).await;
}

/// One that claims without a mark of its key, as consumers did before marks.
fn older(world: &World) -> Arc<dyn Provider> {
    let (provider, reply_to, is_marked) = (resend(world, URL, KEY, PLACE), None, false);
    Arc::new(OtherBuild { provider, reply_to, is_marked })
}

/// An older consumer's claims tell no key from another. Where nothing is registered either, that is all that was ever known of
/// the account; where it is, it was told apart, and these claims say too little.
#[tokio::test(flavor = "multi_thread")]
async fn whom_an_older_consumer_has_sent_to_is_asked_about_where_an_older_producer_registered_the_broadcast_alone() {
    let mut world = every_answer_lost_to(older, Producer::Older).await;
    configure(&mut world, URL, KEY, PLACE);
    assert_ends_well(&world).await;
    let mut world = every_answer_lost_to(older, Producer::Ours).await;
    let asked = world.calls_of("SendBatchEmails");
    configure(&mut world, URL, OTHER_KEY, PLACE);
    looked_at(&world).await;
    assert_nobody_twice(&world);
    assert_eq!((world.calls_of("SendBatchEmails"), world.in_doubt("terms").await.len()), (asked, 40), "somebody was asked");
}

/// In the midst of an upgrade the key is replaced, while a consumer of before has people in doubt. Nothing in its claims says that it
/// asked with the first; but the ledger has seen that there was one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_about_whom_an_older_consumer_has_sent_to_once_two_keys_were_seen() {
    let mut world = every_answer_lost_to(older, Producer::Older).await;
    // A first consumer of this build, which has no chance to ask.
    let (id, actor): (_, Actor) = ("terms".parse().unwrap(), "an operator".parse().unwrap());
    let paused = issei_ledger::Transition { to: BroadcastState::Paused, actor: &actor, reason: "an upgrade" };
    world.ledger().transition(&id, paused).await.unwrap();
    configure(&mut world, URL, KEY, PLACE);
    looked_at(&world).await;
    resume(&world).await;
    let asked = world.calls_of("SendBatchEmails");
    // Nor does whoever has the first key know that it is the first.
    for key in [OTHER_KEY, KEY] {
        configure(&mut world, URL, key, PLACE);
        looked_at(&world).await;
        assert_nobody_twice(&world);
        assert_eq!((world.calls_of("SendBatchEmails"), world.in_doubt("terms").await.len()), (asked, 40), "asked with {key}");
        world.cloud.show_all_messages();
    }
    let runs = world.ledger().heartbeats(world.now()).await.unwrap();
    assert_eq!(NotAsked::of(&world.broadcast("terms").await, &runs, world.now()).unwrap().requests, 8);
}

/// What a certificate says of the account of those who sent.
async fn those_who_sent(world: &World) -> (bool, String) {
    let certificate = crate::scheduled::certifier(world).glance(&"terms".parse().unwrap()).await.unwrap();
    let own = certificate.findings.iter().find(|finding| finding.what == "provider resend: its account").unwrap();
    assert!(own.holds(), "whoever certifies has the right account throughout: {own:?}");
    let found = certificate.findings.iter().find(|finding| finding.what == "provider resend: the account of those who sent").unwrap();
    (found.holds(), found.value.clone())
}

/// Whoever certifies has sent nothing. What its own configuration says is right, and a consumer's is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_holds_those_who_sent_against_the_registered_account_and_not_whoever_certifies() {
    let mut world = every_answer_lost(KEY, Producer::Ours).await;
    let ours = format!("Resend at {URL} by the environment variable RESEND_KEY");
    assert_eq!(those_who_sent(&world).await, (true, ours.clone()));
    configure(&mut world, URL, KEY, "env:STAGING_KEY");
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    // It has sent nothing, and could as soon as somebody resumes.
    let theirs = format!("Resend at {URL} by the environment variable STAGING_KEY");
    let (holds, value) = those_who_sent(&world).await;
    assert!(!holds && value.starts_with("ANOTHER ACCOUNT: ") && value.ends_with(&format!(": {theirs}; {ours}")), "{value}");
    stop.cancel();
    consumer.await.unwrap();
    // Nor has it now that it has ended: who had sent is held against what was registered, and it is named.
    let (holds, value) = those_who_sent(&world).await;
    let named = format!("{ours}; another, of which there is no claim: ");
    assert!(holds && value.starts_with(&named) && value.ends_with(&theirs), "{value}");

    // Nobody was kept from anything where an older producer has registered none: two of them have had it in hand.
    let mut world = every_answer_lost(KEY, Producer::Older).await;
    assert_eq!(those_who_sent(&world).await, (true, ours.clone()));
    configure(&mut world, URL, KEY, "env:STAGING_KEY");
    assert_ends_well(&world).await;
    let (holds, value) = those_who_sent(&world).await;
    assert!(!holds && value.contains(&ours) && value.contains(&theirs), "{value}");

    // An older consumer tells nothing, and that is said.
    let world = every_answer_lost(KEY, Producer::Ours).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for run in world.ledger().heartbeats(world.now()).await.unwrap().into_iter().filter(|run| run.service == ServiceKind::Consumer) {
        let day = run.seen_at.as_second().div_euclid(86_400);
        let update = world.clients.dynamodb.update_item().table_name("ledger").key("pk", text(&format!("services#{day}")));
        update.key("sk", text(&format!("consumer#{}", run.token))).update_expression("REMOVE carries").call().await.unwrap();
    }
    let (holds, value) = those_who_sent(&world).await;
    assert!(holds && value.starts_with("not known, since their build is older: "), "{value}");
}

/// As an older build reads what this one registers, this one reads what a later one may: past what it does not know.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_build_knows_of_the_account_keeps_nobody_from_reading_the_broadcast() {
    let world = every_answer_lost(KEY, Producer::Ours).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let get = world.clients.dynamodb.get_item().table_name("ledger").key("pk", text("b#terms")).key("sk", text("broadcast"));
    let mut item = get.call().await.unwrap().item.unwrap();
    let Some(AttributeValue::M(carried_by)) = item.get_mut("carried_by") else { panic!("{item:?}") };
    carried_by.insert("later".to_owned(), text("x"));
    item.insert("later".to_owned(), text("x"));
    world.clients.dynamodb.put_item().table_name("ledger").set_item(Some(item)).call().await.unwrap();
    assert!(world.broadcast("terms").await.carried_by.is_some());
    assert_ends_well(&world).await;
}

/// By SES a consumer sends as the account of the queue that it takes chunks from, which stands there too.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_broadcast_by_ses_the_ledger_has_the_aws_account() {
    let world = World::new(WorldOptions { users: 3, ..WorldOptions::default() }).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast: Broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.carried_by.unwrap().to_string(), "SES by the AWS account 000000000000");
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}
