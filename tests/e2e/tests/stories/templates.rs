//! A template that SES stores: what it said when the broadcast was registered is what everybody reads.

use aws_sdk_dynamodb::types::AttributeValue;
use issei_aws::AwsCall;
use issei_ledger::{Asked, BroadcastState, Registered, Transition};
use issei_schema::BroadcastCommand;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use jiff::SignedDuration;
use serde_json::{Value, json};

async fn world() -> World {
    let account = Account { keep_mails: true, ..Account::default() };
    World::new(WorldOptions { users: 30, page_size: 15, chunk_size: 5, account, ..WorldOptions::default() }).await
}

/// Somebody stores a template in SES, or edits the one that is there.
fn store(world: &World, text: &str) {
    let template = json!({ "Subject": "Terms for {{name}}", "Text": text });
    world.cloud.configure(|account| _ = account.templates.insert("terms".to_owned(), template));
}

fn asks(id: &str, change: impl FnOnce(&mut Value)) -> BroadcastCommand {
    command(id, |body| {
        (body["version"], body["class"], body["content"]) = (json!(2), json!("service"), json!({ "template": { "name": "terms" } }));
        body["again"] = json!("a test");
        change(body);
    })
}

/// Why a command lies in the dead-letter queue.
async fn refused(world: &World, command: &BroadcastCommand) -> String {
    let stop = tokio_util::sync::CancellationToken::new();
    let services = world.start(&stop).await;
    world.post_command(command).await;
    issei_test_support::until("it is refused", async || world.queue("commands").await.depths().await.unwrap()[2] == 1).await;
    stop.cancel();
    services.join_all().await;
    assert!(world.ledger().find_broadcast(&command.broadcast_id).await.unwrap().is_none());
    let reason = world.dead_letters("commands").await.remove(0).1;
    let url = world.clients.sqs.get_queue_url().queue_name("commands-dead").call().await.unwrap().queue_url.unwrap();
    world.clients.sqs.purge_queue().queue_url(url).call().await.unwrap();
    reason
}

/// What a certificate says of the command.
async fn of_command(world: &World, id: &str) -> (bool, String) {
    let later = world.now().saturating_add(SignedDuration::from_hours(1)).unwrap();
    let held = world.options.timing.refused_after();
    let findings = issei_certificate::what_the_ledger_holds(&world.ledger(), &world.broadcast(id).await, held, later).await;
    let finding = findings.iter().find(|finding| finding.what.starts_with("command")).unwrap();
    (finding.holds(), finding.value.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_edited_in_the_midst_is_in_nobodys_mail() {
    let world = world().await;
    store(&world, "Dear {{name}}, as agreed.");
    world.post_command(&asks("terms", |body| body["canary"] = json!(5))).await;
    let held = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let hash = held.template_hash.clone().unwrap();
    assert_eq!(held.audit_trail[0].reason, format!("command received from AIDA0000000000000000, its template read: {hash}, again: a test"));
    store(&world, "Dear {{name}}, something else, {{and}} nobody has that.");
    // Another consumer, which has seen nothing of it before.
    let wanted = Transition { to: BroadcastState::Running, actor: &"an operator".parse().unwrap(), reason: "its canary is well" };
    world.ledger().transition(&"terms".parse().unwrap(), wanted).await.unwrap();
    world.cloud.show_all_messages();
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    let mails = world.cloud.mails().unwrap();
    assert_eq!(mails.len(), 30);
    for mail in &mails {
        assert!(mail.subject.starts_with("Terms for User ") && mail.text.ends_with(", as agreed."), "{} {}", mail.subject, mail.text);
    }
    let kept = world.ledger().command_of(&world.broadcast("terms").await).await.unwrap();
    assert_eq!(kept.content.frozen().unwrap().text.as_deref(), Some("Dear {{name}}, as agreed."));
    // The same command later is the same broadcast, whatever SES stores by then.
    world.post_command(&asks("terms", |body| body["canary"] = json!(5))).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let services = world.start(&stop).await;
    world.assert_commands_drained().await;
    stop.cancel();
    services.join_all().await;
    assert_eq!((world.cloud.accepted(), of_command(&world, "terms").await.0), (30, true));

    // Whoever alters what is kept is found, and nothing more is sent with it.
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let before = world.cloud.back_up("ledger").unwrap();
    for (item, change, says) in [
        ("command", "REMOVE template", "has the hash none, and the broadcast's template_hash is"),
        ("command", "SET template = body", "command"),
        ("broadcast", "REMOVE template_hash", "and the broadcast's template_hash is none"),
    ] {
        let write = world.clients.dynamodb.update_item().table_name("ledger").key("pk", s("b#terms")).key("sk", s(item));
        write.update_expression(change).call().await.unwrap();
        let (holds, value) = of_command(&world, "terms").await;
        assert!(!holds && value.contains(says), "{change}: {value}");
        let broadcast = world.broadcast("terms").await;
        assert!(world.ledger().command_of(&broadcast).await.is_err(), "{change}");
        world.cloud.restore("ledger", &before, false).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_lacks_anything_is_refused_before_anything_is_frozen() {
    let world = world().await;
    let none = refused(&world, &asks("none", |_| {})).await;
    assert!(none.starts_with("field `content.template`: the template `terms`: SES stores none of this name"), "{none}");
    store(&world, "Dear {{nmae}}");
    let unknown = refused(&world, &asks("unknown", |_| {})).await;
    assert!(unknown.starts_with("field `content`: the placeholder {{nmae}} is no column of the audience `users`"), "{unknown}");
    store(&world, &"x".repeat(300_000));
    let large = refused(&world, &asks("large", |_| {})).await;
    assert!(large.contains("it has 300018 bytes") && large.contains("at most 262144"), "{large}");
    store(&world, "  ");
    let empty = refused(&world, &asks("empty", |_| {})).await;
    assert!(empty.contains("neither text nor HTML"), "{empty}");

    // Whoever has seen it names its hash, and gets that or nothing.
    store(&world, "Dear {{name}}");
    let wants = |id: &str, hash: &str| asks(id, |body| body["content"]["template"]["sha256"] = json!(hash));
    let other = refused(&world, &wants("other", &"0".repeat(64))).await;
    assert!(other.contains("the command is for the template with the hash 0000") && other.contains("and SES stores one with "), "{other}");
    let hash = other.split("SES stores one with ").nth(1).unwrap().split(';').next().unwrap().to_owned();
    world.post_command(&wants("seen", &hash)).await;
    assert_eq!(world.run_to_the_end("seen").await.template_hash.unwrap().as_str(), hash);
    assert!(of_command(&world, "seen").await.0);
}

/// A letter in which something lacks is found out by SES after it has been accepted, and nobody is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_needs_what_its_letter_shows_and_nothing_that_a_condition_leaves_out() {
    let mut world = world().await;
    world.options.skipped_share_max = 1.0;
    world.users.execute("ALTER TABLE users ADD COLUMN car TEXT").await;
    world.users.execute("UPDATE users SET car = 'a car' WHERE id > 10").await;
    world.users.execute("UPDATE users SET name = NULL WHERE id = 20").await;
    world.audiences.get_mut("users").unwrap().columns.push("car".to_owned());
    for (id, text, mailed) in [
        ("plain", "Dear {{html_name}}", 29),
        ("logic", "{{#if car}}Dear {{name}}{{else}}Hello{{/if}}", 29),
        ("shown", "{{#unless car}}Dear {{name}}, {{car}}{{/unless}} you.", 20),
        ("both", "{{!-- {{nobody}} --}}{{~#if car~}} {{{car}}} {{~else if name~}} none {{~/if}} of {{&name}}", 29),
    ] {
        // The subject asks for no name.
        let template = json!({ "Subject": "Terms", "Text": text });
        world.cloud.configure(|account| _ = account.templates.insert("terms".to_owned(), template));
        world.post_command(&asks(id, |_| {})).await;
        let broadcast = world.run_to_the_end(id).await;
        assert_eq!((broadcast.broadcast_state, broadcast.recipients), (BroadcastState::Complete, mailed), "{id}");
        assert_eq!(broadcast.skipped_by.get("data_missing").copied().unwrap_or(0), 30 - mailed, "{id}");
        // What SES makes of a name that is not there at all, a condition's too, nobody has tried.
        let page = world.ledger().page(&broadcast.placed(), 0).await.unwrap();
        assert!(id == "plain" || page.known_recipients().all(|recipient| recipient.data.contains_key("car")), "{id}");
    }
    let mails = world.cloud.mails().unwrap();
    assert_eq!(mails.len(), 29 + 29 + 20 + 29);
    assert!(mails.iter().all(|mail| mail.text != "RENDERING FAILED"));
    let hello = mails.iter().filter(|mail| mail.text == "Hello").count();
    assert_eq!(hello, 10, "whoever has no car");
}

/// Registered, nobody would find out what lacks in it until SES does.
#[tokio::test(flavor = "multi_thread")]
async fn what_ses_alone_can_read_is_refused_before_anything_is_frozen() {
    let world = world().await;
    for (id, text, says) in [
        ("loop", "Dear {{name}} {{#each cars}}{{this}}{{/each}}", "in its text `{{#each cars}}` at byte 14 is a block"),
        ("path", "{{#if name}}{{name.first}}{{/if}}", "`{{name.first}}` at byte 12 asks for a part of a value"),
        ("part", "{{> footer}}", "`{{> footer}}` at byte 0 is a part that the provider puts in"),
        ("open", "{{#if name}}x", "`{{#if name}}` at byte 0 is not closed"),
    ] {
        store(&world, text);
        let reason = refused(&world, &asks(id, |_| {})).await;
        assert!(reason.contains(says) && reason.contains("or write the words into the command itself"), "{reason}");
    }
    // A name in a condition is one that the audience must have, as in words of one's own.
    store(&world, "{{#if nmae}}Dear {{name}}{{/if}}x");
    let unknown = refused(&world, &asks("unknown", |_| {})).await;
    assert!(unknown.starts_with("field `content`: the placeholder {{nmae}} is no column of the audience `users`"), "{unknown}");
    assert_eq!(world.cloud.accepted(), 0);
}

/// SES renders it, and takes for something whatever is not empty.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_would_see_is_empty_in_what_a_stored_template_gets() {
    let world = world().await;
    world.users.execute("UPDATE users SET name = char(0x200b, 0x3164) WHERE id <= 3").await;
    store(&world, "Dear {{name}}{{html_name}}.");
    world.post_command(&asks("terms", |_| {})).await;
    assert_eq!(world.run_to_the_end("terms").await.broadcast_state, BroadcastState::Complete);
    let texts: Vec<String> = world.cloud.mails().unwrap().into_iter().map(|mail| mail.text).collect();
    assert_eq!((texts.len(), texts.iter().filter(|text| *text == "Dear .").count()), (30, 3), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_ses_does_not_tell_what_a_template_says_its_command_waits() {
    let world = world().await;
    store(&world, "Dear {{name}}");
    world.cloud.inject(Rule::every("GetEmailTemplate", Fault::ErrorBefore).times(1));
    world.post_command(&asks("terms", |_| {})).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let services = world.start(&stop).await;
    // Once it has waited its turn.
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Complete).await;
    stop.cancel();
    services.join_all().await;
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// It was registered by a build that read no template.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_of_before_is_sent_by_the_name_of_its_template() {
    let world = world().await;
    store(&world, "Dear {{name}}, of old.");
    let asked = asks("terms", |_| {});
    let registered = world.ledger().register(&asked, 5, false, &Asked::default(), &issei_clock::Dice::system()).await.unwrap();
    assert!(matches!(registered, Registered::New(_)));
    world.post_command(&asked).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!((broadcast.broadcast_state, broadcast.template_hash), (BroadcastState::Complete, None));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
    assert!(world.cloud.mails().unwrap().iter().all(|mail| mail.text.ends_with(", of old.")));
    assert!(of_command(&world, "terms").await.0);
}
