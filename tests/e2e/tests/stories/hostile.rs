//! Hostile content: what users and apps may put where it does harm.

use issei_test_support::{World, WorldOptions, command, command_body, judge};
use serde_json::json;

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
