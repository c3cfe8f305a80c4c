//! Several persons must agree: nobody is sent to before another than whoever asked has approved this very thing.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::config::Credentials;
use issei_aws::AwsCall;
use issei_ledger::{Approval, Broadcast, BroadcastState, LedgerError, ReasonCode, Transition};
use issei_producer::Approvals;
use issei_schema::{BroadcastCommand, Identity};
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// By the key that somebody signs with, as the simulator names sessions of a role.
fn who(key: &str) -> Identity {
    format!("AROA0000000000000000:{key}").parse().unwrap()
}

fn options(persons: u32) -> WorldOptions {
    let approvals = Approvals { persons, ..Approvals::default() };
    WorldOptions { users: 50, page_size: 15, chunk_size: 5, approvals, ..WorldOptions::default() }
}

/// Somebody puts a command on the queue, under a key of their own.
async fn ask(world: &World, key: &str, command: &BroadcastCommand) {
    let url = world.clients.sqs.get_queue_url().queue_name("commands").call().await.unwrap().queue_url.unwrap();
    let request = world.clients.sqs.send_message().queue_url(url).message_body(command.to_body());
    let credentials = aws_sdk_sqs::config::Config::builder().credentials_provider(Credentials::new(key, "secret", None, None, "test"));
    request.customize().config_override(credentials).send().await.unwrap();
}

async fn held(world: &World, id: &str) -> Broadcast {
    world.run_until(id, 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await
}

async fn approve(world: &World, id: &str, key: &str, agreed: &str) -> Result<Broadcast, LedgerError> {
    let approval = Approval { by: &who(key), actor: &key.parse().unwrap(), reason: "read and liked", agreed };
    world.ledger().approve(&id.parse().unwrap(), approval).await
}

/// A wish of an operator, whoever that is, without an approval.
async fn let_it_run(world: &World, id: &str) -> Result<Broadcast, LedgerError> {
    let wanted = Transition { to: BroadcastState::Running, actor: &"an operator".parse().unwrap(), reason: "it must go" };
    world.ledger().transition(&id.parse().unwrap(), wanted).await
}

/// What a certificate says of the trail.
async fn of_trail(world: &World, id: &str) -> (bool, String) {
    let later = world.now().saturating_add(SignedDuration::from_hours(1)).unwrap();
    let held = world.options.timing.refused_after();
    let findings = issei_certificate::what_the_ledger_holds(&world.ledger(), &world.broadcast(id).await, held, later).await;
    let finding = findings.iter().find(|finding| finding.what.starts_with("audit trail")).unwrap();
    (finding.holds(), finding.value.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_before_another_than_whoever_asked_has_approved_this_very_thing() {
    let world = World::new(options(2)).await;
    world.users.execute("UPDATE users SET email = NULL WHERE id = 7").await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let held = held(&world, "terms").await;
    assert!(held.holds_before_first_send() && held.awaited().is_some());
    assert_eq!(held.reason_code(world.now()), Some(ReasonCode::HoldingAgreement));
    let reason = &held.decided().unwrap().reason;
    for says in [
        "2 persons must agree to it: AROA0000000000000000:ann asked for it, and 1 other person must approve it",
        "49 of 50 rows",
        "1 no_address",
    ] {
        assert!(reason.contains(says), "{says}: {reason}");
    }
    assert_eq!(held.audit_trail[0].reason, "command received from AROA0000000000000000:ann");
    let subject = held.subject();

    // Neither by an operator's word, nor by whoever asked, nor for anything else.
    let refused = let_it_run(&world, "terms").await.unwrap_err().to_string();
    assert!(refused.contains("`terms` is not approved: 2 persons must agree"), "{refused}");
    let own = approve(&world, "terms", "ann", &subject.digest).await.unwrap_err().to_string();
    assert!(own.contains("you (AROA0000000000000000:ann) asked for it, and it needs the approval of 1 person other than you"), "{own}");
    let other = approve(&world, "terms", "ben", &"0".repeat(64)).await.unwrap_err().to_string();
    assert!(other.contains("what you agree to is 0000"), "{other}");
    let now = world.broadcast("terms").await;
    assert_eq!((&now.audit_trail, &now.agreement, world.cloud.accepted()), (&held.audit_trail, &held.agreement, 0));

    let running = approve(&world, "terms", "ben", &subject.digest).await.unwrap();
    assert_eq!((running.broadcast_state, running.remaining, running.awaits_agreement), (BroadcastState::Running, 49, false));
    let last = running.audit_trail.last().unwrap();
    assert_eq!(subject.approver(last), Some(who("ben")), "{last:?}");
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(of_trail(&world, "terms").await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_persons_are_three_and_an_approval_counts_once_however_its_answer_is_lost() {
    let world = World::new(options(3)).await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let subject = held(&world, "terms").await.subject();
    for fault in [Fault::ResetAfter, Fault::ErrorAfter] {
        world.cloud.inject(Rule::every("UpdateItem", fault).times(4));
    }
    // Written, and its every answer lost; what was meant once is asked for once more by whoever saw an error.
    let first = approve(&world, "terms", "ben", &subject.digest).await;
    world.cloud.heal();
    let again = approve(&world, "terms", "ben", &subject.digest).await.unwrap_err().to_string();
    assert!(again.contains("have approved it already, and it needs the approval of 1 person more"), "{first:?} {again}");
    let still = world.broadcast("terms").await;
    assert_eq!((still.awaited().unwrap().approved_by.clone(), still.broadcast_state), (vec![who("ben")], BroadcastState::Holding));
    assert_eq!(still.audit_trail.iter().filter(|entry| subject.approver(entry).is_some()).count(), 1);
    // Two at the same moment are both taken down.
    let (cid, dan) = tokio::join!(approve(&world, "terms", "cid", &subject.digest), approve(&world, "terms", "dan", &subject.digest));
    assert_eq!([&cid, &dan].iter().filter(|done| done.is_ok()).count(), 1, "{cid:?} {dan:?}");
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    assert_eq!(of_trail(&world, "terms").await, (true, "5 entries, 5 of them chained".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_known_may_be_one_of_those_who_approve_so_one_more_must() {
    let world = World::new(options(2)).await;
    ask(&world, "anonymous", &command("terms", |_| {})).await;
    let held = held(&world, "terms").await;
    assert!(held.decided().unwrap().reason.contains("nobody knows who asked for it, so that 2 persons must approve it"));
    let subject = held.subject();
    let after = approve(&world, "terms", "ann", &subject.digest).await.unwrap();
    assert_eq!((after.broadcast_state, after.awaited().unwrap().missing()), (BroadcastState::Holding, 1));
    assert_eq!(approve(&world, "terms", "ben", &subject.digest).await.unwrap().broadcast_state, BroadcastState::Running);
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    assert!(of_trail(&world, "terms").await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_command_was_refused_first_is_still_whoever_asked_when_somebody_moves_it_back() {
    let world = World::new(options(2)).await;
    let (ledger, actor) = (world.ledger(), "an operator".parse().unwrap());
    ledger.close(&actor, "a test").await.unwrap();
    ask(&world, "ann", &command("terms", |_| {})).await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    issei_test_support::until("it is refused", async || world.queue("commands").await.depths().await.unwrap()[2] == 1).await;
    stop.cancel();
    services.join_all().await;
    ledger.open(&actor, "a test").await.unwrap();
    world.queue("commands").await.redrive().await.unwrap();
    let held = held(&world, "terms").await;
    let requesters = &held.awaited().unwrap().requesters;
    assert!(requesters.contains(&who("ann")), "{requesters:?}");
    assert!(approve(&world, "terms", "ann", &held.subject().digest).await.is_err());
    approve(&world, "terms", "ben", &held.subject().digest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_configuration_names_needs_agreement() {
    let mut world = World::new(options(2)).await;
    world.options.approvals = Approvals { persons: 2, from_recipients: 51, classes: [issei_schema::Class::LegalNotice].into() };
    let of = |id: &str, class: &str| {
        let class = class.to_owned();
        command(id, |body| {
            (body["version"], body["class"], body["content"]["inline"]["subject"]) = (json!(2), json!(class), json!(id));
        })
    };
    // Of another class, and of this one to too few.
    for (id, class, waits) in [("news", "service", false), ("small", "legal_notice", true)] {
        ask(&world, "ann", &of(id, class)).await;
        let broadcast = world.run_to_the_end(id).await;
        assert_eq!(
            (broadcast.broadcast_state, broadcast.awaits_agreement, broadcast.agreement.is_some()),
            (BroadcastState::Complete, false, waits)
        );
        assert!(of_trail(&world, id).await.0);
    }
    world.options.approvals.from_recipients = 50;
    ask(&world, "ann", &of("notice", "legal_notice")).await;
    assert!(held(&world, "notice").await.awaited().is_some());
    // One person is enough, where the configuration says so.
    for persons in [0, 1] {
        world.options.approvals = Approvals { persons, ..Approvals::default() };
        let id = format!("alone-{persons}");
        ask(&world, "ann", &of(&id, "legal_notice")).await;
        assert_eq!(world.run_to_the_end(&id).await.broadcast_state, BroadcastState::Complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agreement_is_to_the_audience_and_its_canary_is_approved_as_ever() {
    let world = World::new(options(2)).await;
    ask(&world, "ann", &command("terms", |body| body["canary"] = json!(12))).await;
    let subject = held(&world, "terms").await.subject();
    approve(&world, "terms", "ben", &subject.digest).await.unwrap();
    let canary =
        world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding && broadcast.granted > 0).await;
    assert_eq!((canary.withheld, world.cloud.accepted(), canary.awaited()), (38, 12, None));
    let_it_run(&world, "terms").await.unwrap();
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    assert!(of_trail(&world, "terms").await.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_while_it_waits_can_be_approved_by_nobody() {
    let world = World::new(options(2)).await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let subject = held(&world, "terms").await.subject();
    world.ledger().end(&"terms".parse().unwrap(), &"an operator".parse().unwrap(), "it is wrong").await.unwrap();
    let refused = approve(&world, "terms", "ben", &subject.digest).await.unwrap_err().to_string();
    assert!(refused.contains("is stopping, and from there it can't become running"), "{refused}");
    world.run_to_the_end("terms").await;
    assert_eq!((world.cloud.accepted(), of_trail(&world, "terms").await.0), (0, true));
}

/// What it is sent by stands in the ledger beside its command, and somebody may write there between a look and an approval.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_agrees_agrees_to_the_times_and_the_pace_that_it_is_sent_by_too() {
    let world = World::new(options(2)).await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let seen = held(&world, "terms").await;
    let forecast = seen.held_audience.as_ref().unwrap().forecast.unwrap();
    assert!(forecast.recipients_a_second > 0.0 && forecast.done_at.is_some_and(|done| done > seen.created_at), "{forecast:?}");
    let s = |s: &str| AttributeValue::S(s.to_owned());
    let write = |attribute: &str, value: AttributeValue| {
        let write = world.clients.dynamodb.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
        write.update_expression("SET #it = :it").expression_attribute_names("#it", attribute).expression_attribute_values(":it", value)
    };
    let ramp = AttributeValue::M([("first_hour".to_owned(), AttributeValue::N("1000000".to_owned()))].into());
    let earlier = world.now().to_string();
    for (attribute, value) in
        [("not_before", s(&earlier)), ("ramp", ramp), ("in_doubt", s("at_least_once")), ("canary", AttributeValue::N("7".to_owned()))]
    {
        let before = world.broadcast("terms").await.subject().digest;
        write(attribute, value).call().await.unwrap();
        let refused = approve(&world, "terms", "ben", &before).await.unwrap_err().to_string();
        assert!(refused.contains("look again at what it says"), "{attribute}: {refused}");
    }
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Holding);
}

/// An older build knows nothing of agreements: it lets whatever holds run, as one conditional write.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_build_lets_run_gets_no_permit_before_others_have_approved_it() {
    let world = World::new(WorldOptions { account: Account::default(), ..options(2) }).await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let subject = held(&world, "terms").await.subject();
    let (n, s) = (|n: u64| AttributeValue::N(n.to_string()), |s: &str| AttributeValue::S(s.to_owned()));
    let write = world.clients.dynamodb.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
    let write = write.update_expression("SET broadcast_state = :to, epoch = epoch + :one, remaining = :all, withheld = :none");
    let write = write.expression_attribute_values(":to", s("running")).expression_attribute_values(":one", n(1));
    write.expression_attribute_values(":all", n(50)).expression_attribute_values(":none", n(0)).call().await.unwrap();
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    // Everything is enqueued, handed out, and put back.
    issei_test_support::until("the chunks are put back", async || {
        world.cloud.accepted() > 0
            || world.broadcast("terms").await.is_enqueued()
                && world.calls_of("ChangeMessageVisibilityBatch") + world.calls_of("SendMessageBatch") > 10
    })
    .await;
    let waiting = world.broadcast("terms").await;
    assert_eq!((waiting.granted, waiting.grant_count, world.cloud.accepted()), (0, 0, 0));
    let after = approve(&world, "terms", "ben", &subject.digest).await.unwrap();
    assert_eq!((after.broadcast_state, after.awaited()), (BroadcastState::Running, None));
    world.cloud.show_all_messages();
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Complete).await;
    stop.cancel();
    services.join_all().await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_finds_an_agreement_that_nobody_gave() {
    let world = World::new(options(2)).await;
    ask(&world, "ann", &command("terms", |_| {})).await;
    let subject = held(&world, "terms").await.subject();
    approve(&world, "terms", "ben", &subject.digest).await.unwrap();
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    let (s, n) = (|text: &str| AttributeValue::S(text.to_owned()), |number: u32| AttributeValue::N(number.to_string()));
    let db = &world.clients.dynamodb;
    let read = db.get_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast")).call().await.unwrap();
    let agreement = read.item.unwrap().remove("agreement").unwrap().as_m().unwrap().clone();
    let before = world.cloud.back_up("ledger").unwrap();
    let with = |name: &str, value: AttributeValue| {
        let mut agreement = agreement.clone();
        agreement.insert(name.to_owned(), value);
        Some(("agreement", AttributeValue::M(agreement)))
    };
    let eve = AttributeValue::L(vec![s(who("eve").as_str())]);
    let skipped = AttributeValue::M([("no_address".to_owned(), n(1))].into());
    let rows = [
        (None, "its steps tell of an agreement, and the broadcast needs none"),
        (with("persons", n(3)), "others must approve it, where 3 persons must agree"),
        (with("others", n(0)), "0 others must approve it, where 2 persons must agree"),
        (with("requesters", eve.clone()), "eve is said to have asked for it"),
        (with("approved_by", eve), "1 have approved it by its steps, and others by the broadcast"),
        (with("approved_by", AttributeValue::L(Vec::new())), "1 have approved it by its steps, and others by the broadcast"),
        (Some(("awaits_agreement", AttributeValue::Bool(true))), "permits were granted, and it still waits"),
        (Some(("skipped_by", skipped)), "0 have approved it by its steps, and others by the broadcast"),
    ];
    for (change, says) in rows {
        let write = db.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s("broadcast"));
        let write = match change {
            None => write.update_expression("REMOVE agreement"),
            Some((name, value)) => write.update_expression(format!("SET {name} = :value")).expression_attribute_values(":value", value),
        };
        write.call().await.unwrap();
        let (holds, value) = of_trail(&world, "terms").await;
        assert!(!holds && value.contains(says), "{says}: {value}");
        world.cloud.restore("ledger", &before, false).unwrap();
    }
    assert!(of_trail(&world, "terms").await.0);
}
