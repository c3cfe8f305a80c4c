//! Hostile content: what users and apps may put where it does harm.

use std::time::Duration;

use issei_schema::{ChunkMessage, MessageKey};
use issei_test_support::{World, WorldOptions, command, command_body, judge};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::on_call::enqueued;

#[tokio::test(flavor = "multi_thread")]
async fn a_users_name_can_open_no_tag_and_no_header() {
    let world = World::new(WorldOptions { users: 3, ..WorldOptions::default() }).await;
    world.users.execute("UPDATE users SET name = '<script>alert(1)</script>' WHERE id = 1").await;
    world.users.execute("UPDATE users SET name = 'Ann' || char(13) || char(10) || 'Bcc: victim@example.com' WHERE id = 2").await;
    world.users.execute("UPDATE users SET name = '{{name}} \"quoted\" \\ 名前 😀' WHERE id = 3").await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let mut mails = world.cloud.mails().unwrap();
    mails.sort_by(|a, b| a.address.cmp(&b.address));
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].html, "<p>Dear &lt;script&gt;alert(1)&lt;/script&gt;</p>");
    assert_eq!(mails[0].text, "Dear <script>alert(1)</script>, new terms.");
    assert_eq!(mails[1].subject, "Terms for Ann  Bcc: victim@example.com");
    assert!(!mails[1].subject.contains(['\r', '\n']));
    assert_eq!(mails[2].subject, "Terms for {{name}} \"quoted\" \\ 名前 😀");
    assert!(
        mails.iter().all(|mail| mail.tags.contains("broadcast=terms") && mail.tags.contains("chunk=0") && mail.tags.contains("recipient="))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_in_a_command_cannot_be_broken_open() {
    let crlf = "x\r\nBcc: victim@example.com";
    let bad = [
        command_body("a", |body| body["content"]["inline"]["subject"] = json!(crlf)),
        command_body("a", |body| body["from"] = json!(format!("Name {crlf} <a@example.com>"))),
        command_body("a", |body| body["reply_to"] = json!(format!("a@example.com{crlf}"))),
        command_body("a", |body| body["requested_by"] = json!(crlf)),
        command_body(crlf, |_| {}),
        command_body("a", |body| body["content"]["inline"]["text"] = json!("\u{0}")),
    ];
    let world = World::new(WorldOptions { users: 3, ..WorldOptions::default() }).await;
    for body in &bad {
        world.post(body).await;
    }
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    assert_eq!(world.dead_letters("commands").await.len(), bad.len());
    assert_eq!(judge(&world.cloud, "terms").total(), 3);
    assert_eq!(world.cloud.accepted(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_of_text_are_refused_unread() {
    let world = World::new(WorldOptions { users: 3, ..WorldOptions::default() }).await;
    world.post(&command_body("a", |body| body["content"]["inline"]["html"] = json!("x".repeat(1_000_000)))).await;
    world.post(&format!("{}{}", "[".repeat(500_000), "]".repeat(500_000))).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_to_the_end("terms").await;
    let letters = world.dead_letters("commands").await;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|(_, reason)| reason.contains("at most 327680 are allowed")), "{letters:?}");
    assert_eq!(world.cloud.accepted(), 3);
}

/// Whoever may enqueue, and may not read the ledger, names whom they like; the right messages come after.
#[tokio::test(flavor = "multi_thread")]
async fn forged_chunk_messages_are_buried_and_reach_nobody() {
    let world = enqueued(WorldOptions { users: 20, page_size: 20, ..WorldOptions::default() }).await;
    let queue = world.queue("chunks").await;
    let messages = queue.receive(10, Duration::ZERO).await.unwrap();
    assert_eq!(messages.len(), 2);
    let altered = |pointer: &str, value: Value| {
        let mut body: Value = serde_json::from_str(&messages[0].body).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let ChunkMessage { broadcast_id, page, chunk, mut recipients, .. } = ChunkMessage::parse(&messages[0].body).unwrap();
    let beyond = ChunkMessage::new(None, broadcast_id.clone(), page, 99, recipients.clone(), None);
    recipients.iter_mut().for_each(|recipient| recipient.address = "eve@example.com".parse().unwrap());
    let of = |key: Option<&MessageKey>| ChunkMessage::new(key, broadcast_id.clone(), page, chunk, recipients.clone(), None).to_body();
    let forged = [
        altered("/recipients/3/address", json!("eve@example.com")),
        altered("/recipients/3/data/name", json!("Eve")),
        altered("/chunk", json!(1)),
        altered("/chunk", json!(99)),
        altered("/page", json!(7)),
        altered("/proof", json!("0".repeat(64))),
        of(None),
        of(Some(&MessageKey::new([0; 32]))),
        beyond.to_body(),
    ];
    for body in &forged {
        queue.send(body, Duration::ZERO).await.unwrap();
    }
    // The right ones are in hand meanwhile, and come back afterwards.
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    for _ in 0..1_200 {
        if queue.depths().await.unwrap()[2] == forged.len() as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(world.cloud.accepted(), 0, "a forged message was sent");
    world.cloud.show_all_messages();
    world.run_to_the_end("terms").await;
    let buried = world.dead_letters("chunks").await;
    assert_eq!(buried.len(), forged.len(), "{buried:?}");
    assert!(buried.iter().all(|(_, reason)| reason.contains("its proof is not of this registration") || reason.contains("proves nothing")));
    assert!(buried.iter().all(|(_, reason)| !reason.contains("example.com")), "{buried:?}");
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}
