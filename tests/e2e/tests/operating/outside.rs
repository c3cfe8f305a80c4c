//! What others have written, and what others send: shown for what it is, and answered in our own words.

use issei_sim::Account;
use issei_test_support::{Processes, command_body};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of, raw, status};

/// A reason that turns round whatever stands behind it, and is longer than a screen.
fn reason() -> String {
    format!("sent to \u{202e}lla\u{202c} of them, {}", "again and ".repeat(60))
}

async fn paused(reason: &str) -> Processes {
    let world = Processes::simulated(10, Account::default()).await;
    let producer = world.start("producer");
    let subject = json!({ "inline": { "subject": "Terms \u{202e}for you", "text": "Dear {{name}}." } });
    let command = world.write("command.json", &command_body("terms", |body| body["content"] = subject.clone()));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "running").await;
    producer.end().await;
    world.run(&["pause", "terms", "--reason", reason]).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_written_turns_nothing_round_and_a_long_reason_is_folded() {
    let reason = reason();
    let world = paused(&reason).await;
    let shown = world.run(&["status", "terms"]).await;
    assert!(shown.contains("sent to \\u202ella\\u202c of them") && !shown.contains('\u{202e}'), "{shown}");
    // For programs it is the same text.
    let status: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert!(status["reason"].as_str().unwrap().starts_with(reason.trim()), "{status}");

    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    for path in ["/", "/b/terms", "/b/terms/live", "/b/terms/evidence"] {
        let page = door.get(path).await;
        assert!(!page.contains('\u{202e}'), "{path}");
    }
    let page = door.get("/b/terms").await;
    assert!(page.contains("<strong id=\"subject\"><bdi>Terms \\u202efor you</bdi></strong>"), "{page}");
    let folded = page.split("<div id=\"reason\">").nth(1).unwrap();
    assert!(folded.starts_with("<details class=\"folded\"><summary><bdi>sent to \\u202ella"), "{folded}");
    console.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_form_and_an_odd_address_are_answered_in_our_own_words() {
    let world = paused("a test").await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let csrf = csrf_of(&door.get("/b/terms").await);
    let form = "Content-Type: application/x-www-form-urlencoded";
    let post = async |path: &str, kind: &str, body: &str| {
        let answer = raw(door.port, &format!("{}\r\n{kind}", door.head(&format!("POST {path}"))), body).await;
        match door.sent_on(&answer) {
            Some(page) => door.get(&page).await,
            None => answer,
        }
    };
    // What is missing is asked for, as what is wrong.
    for (path, body, code, told) in [
        ("/b/terms/stop", "", "403", "another run of the console"),
        ("/b/terms/stop", "reason=x&confirm=terms", "403", "another run of the console"),
        ("/b/terms/stop", &*format!("csrf={csrf}"), "422", "type `terms` to confirm"),
        ("/b/terms/resume", &*format!("csrf={csrf}&confirm=terms"), "422", "give a reason"),
        ("/stop-all", &*format!("csrf={csrf}&reason=x"), "422", "type `STOP ALL` to confirm"),
        ("/who", "", "403", "another run of the console"),
        ("/who", &*format!("csrf={csrf}"), "422", "<form"),
        // Twice, and what is no text.
        ("/b/terms/stop", &*format!("csrf={csrf}&confirm=terms&confirm=terms"), "422", "this is no form of the console"),
        ("/who", "who=%ff&csrf=%80", "403", "another run of the console"),
    ] {
        let answer = post(path, form, body).await;
        assert!(status(&answer) == code && answer.contains(told), "{path} {body}: {answer}");
    }
    let json = post("/b/terms/stop", "Content-Type: application/json", "{}").await;
    assert!(status(&json) == "415" && json.contains("this is no form of the console"), "{json}");
    let large = post("/b/terms/stop", form, &format!("csrf={csrf}&reason={}", "x".repeat(3_000_000))).await;
    assert!(status(&large) == "413" && large.contains("the form is too large"), "{large}");
    for path in ["/b/a%20b", "/b/a%20b/live", "/b/%ff", "/b/%ff/evidence", "/b/a%20b/letters", "/b/a%20b/letter/0/0/0"] {
        let answer = door.get(path).await;
        assert!(status(&answer) == "404" && answer.contains("there is no such broadcast"), "{path}: {answer}");
    }
    for path in ["/b/terms/letter/x/0/0", "/b/terms/letter/-1/0/0", "/b/terms/letter/0/0/99999999999999999999"] {
        let answer = door.get(path).await;
        assert!(status(&answer) == "404" && answer.contains("there is no such page"), "{path}: {answer}");
    }
    for path in ["/b/terms/letter/9/0/0", "/b/terms/letter/0/9/0", "/b/terms/letter/0/0/9999"] {
        let answer = door.get(path).await;
        assert!(status(&answer) == "404" && answer.contains("nobody stands there"), "{path}: {answer}");
    }
    let odd = post("/b/a%20b/stop", form, &format!("csrf={csrf}&reason=x&confirm=a b")).await;
    assert_eq!(status(&odd), "404", "{odd}");
    for query in ["lang=en&lang=ja", "lang=%ff", "lang", "x=1"] {
        assert_eq!(status(&door.get(&format!("/?{query}")).await), "200", "{query}");
    }
    let told: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!(told["state"], "paused", "something of this changed it");
    console.end().await;
}
