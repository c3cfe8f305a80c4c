//! Two operators, of whom one asks and the other approves, with the real binary and in the console.

use issei_sim::Account;
use issei_test_support::{Processes, command_body};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of};

/// A page with each time as its own moment alone.
fn without_times(page: &str) -> String {
    let mut plain = String::new();
    let mut rest = page;
    while let Some((before, (moment, after))) =
        rest.split_once("<time datetime=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?)))
    {
        plain.extend([before, moment]);
        rest = after.split_once("</time>").unwrap().1;
    }
    plain + rest
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operator_sends_and_another_approves_what_they_have_read() {
    let mut world = Processes::simulated(20, Account::default()).await;
    world.set("ISSEI_APPROVALS", "2");
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let (code, told, error) = world.try_run_as("ann", &["send", "--yes", &command]).await;
    assert!(code == Some(0) && told.contains("agreement      2 persons must agree, whoever sends this among them"), "{told}{error}");
    let status = world.wait_for("terms", "holding").await;
    assert_eq!(status["agreement"]["requesters"], json!(["AROA0000000000000000:ann"]), "{status}");
    let digest = status["agreement"]["subject"]["digest"].as_str().unwrap().to_owned();

    // What there is to agree to is shown, with the letters, and nobody approves by the way.
    let text = world.run(&["status", "terms"]).await;
    assert!(
        text.contains(&format!("issei approve terms --agreed {}", &digest[..16])) && text.contains("letter         the first"),
        "{text}"
    );
    let approve = |key: &'static str, agreed: &str| {
        let agreed = agreed.to_owned();
        let world = &world;
        async move {
            let mut arguments = vec!["approve", "terms", "--reason", "read and liked"];
            if !agreed.is_empty() {
                arguments.extend(["--agreed", &agreed]);
            }
            world.try_run_as(key, &arguments).await
        }
    };
    let (code, _, error) = world.try_run_as("ben", &["approve", "terms", "--agreed", &digest]).await;
    assert!(code == Some(2) && error.contains("--reason"), "{error}");
    let (code, told, _) = world.try_run_as("ben", &["approve", "terms"]).await;
    assert!(code == Some(3) && told.contains("nothing was approved"), "{told}");
    let (code, _, error) = approve("ben", &digest[..8]).await;
    assert!(code == Some(3) && error.contains("are 8 characters") && error.contains("give 16 at least"), "{error}");
    let (code, told, _) = approve("ben", "").await;
    assert!(code == Some(3) && told.contains("nothing was approved") && told.contains("20 recipients, 0 skipped"), "{told}");
    // With when, how fast and to whom first, when that is done, and the letters.
    for words in [
        "\ncarried by SES by the AWS account 000000000000; to the audience users, ",
        "; not after 20",
        "\napproved now, it is done 20",
        "recipients a second",
        "letter         the first",
        "Terms for User 1",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // Whoever is to agree may look in four places, and each shows the same.
    let (_, approving, _) = world.try_run_as("ben", &["approve", "terms", "--reason", "a look", "--json"]).await;
    let terms = serde_json::from_str::<Value>(&approving).unwrap()["terms"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("terms         {terms}\n")) && told.contains(&terms), "{terms}: {text}");
    let shown = world.run(&["show", "terms"]).await;
    assert!(shown.contains(&format!("terms          {terms}\n")), "{shown}");
    for command in ["status", "show"] {
        let told: Value = serde_json::from_str(&world.run(&[command, "terms", "--json"]).await).unwrap();
        assert_eq!(told["terms"], json!(terms), "{command}");
    }
    let (code, _, error) = approve("ben", "0000000000000000").await;
    assert!(code == Some(3) && error.contains("what you agree to is 0000000000000000"), "{error}");
    let (code, _, error) = approve("ann", &digest[..16]).await;
    assert!(code == Some(3) && error.contains("you (AROA0000000000000000:ann) asked for it"), "{error}");
    assert_eq!(world.cloud.accepted(), 0);

    // The console of whoever asked shows what there is to read, and approves nothing in her name.
    world.set("AWS_ACCESS_KEY_ID", "ann");
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let shown = door.get("/b/terms").await;
    assert!(shown.contains("2 persons must agree to it") && shown.contains(&format!("name=\"agreed\" value=\"{digest}\"")), "{shown}");
    // Moments are times, which a browser shows by its reader's clocks.
    assert!(shown.contains("<li><bdi>not after <time datetime=\""), "{shown}");
    let plain = without_times(&shown);
    for term in terms.split("; ") {
        assert!(plain.contains(&format!("<li><bdi>{term}</bdi></li>")), "{term}: {shown}");
    }
    let japanese = door.get("/b/terms?lang=ja").await;
    assert!(japanese.contains("<li><bdi>送信の経路: SES、AWSアカウント 000000000000</bdi></li>"), "{japanese}");
    assert!(japanese.contains("今承認すると、早くて<time datetime=\"20") && !japanese.contains("approved now"), "{japanese}");
    let letters = door.get("/b/terms/letters?lang=ja").await;
    assert!(letters.contains("プレビュー: terms") && !letters.contains("As their recipients get them"), "{letters}");
    let letters = door.get("/b/terms/letters?lang=en").await;
    let head = letters.split("\r\n\r\n").next().unwrap();
    assert!(head.contains("frame-ancestors 'self'; sandbox") && !head.contains("script-src"), "{head}");
    assert!(letters.contains("Dear User 1") || letters.contains("the first"), "{letters}");
    let csrf = csrf_of(&shown);
    let form = |csrf: &str, agreed: &str| format!("csrf={csrf}&reason=read+and+liked&confirm=terms&agreed={agreed}");
    let own = door.post("/b/terms/approve", &form(&csrf, &digest)).await;
    assert!(own.starts_with("HTTP/1.1 409") && own.contains("asked for it, and it needs the approval of 1 person other than you"), "{own}");
    console.end().await;

    // Whoever started the console approves, what it has shown and nothing else.
    world.set("AWS_ACCESS_KEY_ID", "ben");
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let shown = door.get("/b/terms").await;
    let csrf = csrf_of(&shown);
    for seen in ["", &"0".repeat(64)] {
        assert!(door.post("/b/terms/approve", &form(&csrf, seen)).await.starts_with("HTTP/1.1 409"));
    }
    let approved = door.post("/b/terms/approve", &form(&csrf, &digest)).await;
    assert!(approved.starts_with("HTTP/1.1 200") && approved.contains("approve terms: running"), "{approved}");
    world.wait_for("terms", "complete").await;
    assert_eq!(world.cloud.accepted(), 20);
    let trail: Value = serde_json::from_str(&world.run(&["audit", "terms", "--json"]).await).unwrap();
    let reasons = trail.to_string();
    for says in ["command received from AROA0000000000000000:ann", &format!("AROA0000000000000000:ben agrees to {digest}")] {
        assert!(reasons.contains(says), "{says}: {reasons}");
    }
    for process in [console, producer, consumer] {
        process.end().await;
    }
}
