//! What `issei send` says before it sends anything, and what it then does.

use issei_aws::AwsCall;
use issei_clock::Clock;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Processes, command_body};
use jiff::SignedDuration;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::console::Door;
use crate::initializing::server;

/// How many commands wait.
async fn commands(world: &Processes) -> String {
    let (sqs, url) = world.queue_url("ISSEI_COMMANDS_QUEUE", "").await;
    let name = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
    let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone()).call().await.unwrap();
    answer.attributes.unwrap_or_default().remove(&name).unwrap()
}

/// The command in TOML, with the byte order mark that editors put before a text.
fn in_toml(body: &str) -> String {
    let body: serde_json::Map<String, Value> = serde_json::from_str(body).unwrap();
    let lines = |values: &serde_json::Map<String, Value>| {
        let plain = values.iter().filter(|(_, value)| !value.is_object());
        plain.map(|(name, value)| format!("{name} = {value}\n")).collect::<Vec<_>>().concat()
    };
    format!("\u{feff}{}[content.inline]\n{}", lines(&body), lines(body["content"]["inline"].as_object().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn send_names_whom_it_will_skip_and_that_it_will_hold() {
    let world = Processes::new(60, Account::default()).await;
    for statement in [
        "UPDATE users SET email = 'nobody' WHERE id IN (7, 8, 9, 10)",
        "UPDATE users SET email = NULL WHERE id = 11",
        "UPDATE users SET email = 'ann@example.com' WHERE id IN (21, 22, 23)",
        // A no-break space, and one without width.
        "UPDATE users SET email = char(160) || email || char(8203) WHERE id IN (31, 32)",
    ] {
        world.users.execute(statement).await;
    }
    let command = world.write("command.toml", &in_toml(&command_body("terms", |_| {})));
    let text = world.run(&["send", "--dry-run", &command]).await;
    for line in [
        "audience       users (60 rows now)",
        "to be mailed   55",
        "skipped        4 bad_address, with the keys 10, 7, 8, …",
        "               1 no_address, with the keys 11",
        "repeated       1 address stands under several keys: each key is mailed; unique_by",
        "trimmed        2 addresses have invisible white space around: that is left out, and they are mailed without it",
        "warning        5 of 60 rows are skipped, 8.3 % where skipped_share_max is 5.0 %: the broadcast will hold",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}: {text}");
    }
    let told: Value = serde_json::from_str(&world.run(&["send", "--yes", "--json", &command]).await).unwrap();
    let forecast = &told["forecast"];
    assert_eq!((&told["enqueued"], &forecast["mailable"], &forecast["refused"]), (&json!(true), &json!(55), &json!([])), "{told}");
    assert_eq!(forecast["skipped"][0], json!({ "reason": "bad_address", "rows": 4, "examples": ["10", "7", "8"] }));
    let producer = world.start("producer");
    let status = world.wait_for("terms", "holding").await;
    assert_eq!((&status["recipients"], &status["skipped"]), (&json!(55), &json!(5)), "{status}");
    producer.end().await;
}

/// A condition that is the wrong way round, or a column that nobody has filled in, shows by how many it leaves out.
#[tokio::test(flavor = "multi_thread")]
async fn of_an_offer_it_is_said_how_many_want_none_before_it_is_sent_and_while_it_holds() {
    let world = Processes::new(30, Account::default()).await;
    world.users.execute("ALTER TABLE users ADD COLUMN way_out TEXT").await;
    world.users.execute("ALTER TABLE users ADD COLUMN newsletter INTEGER").await;
    world.users.execute("UPDATE users SET newsletter = id <= 4, way_out = 'https://app.example.com/u/' || id").await;
    let wants = "columns = [\"name\", \"way_out\"]\nmarketing_filter = \"newsletter = 1\"";
    let config = world.read("issei.toml");
    let _ = world.write("issei.toml", &config.replace("columns = [\"name\"]", wants));
    let command = command_body("terms", |body| {
        (body["version"], body["class"]) = (2.into(), "marketing".into());
        body["unsubscribe"] = json!({ "column": "way_out" });
        body["content"]["inline"]["text"] = "Dear {{name}}, an offer. No more of it: {{unsubscribe_url}}".into();
    });
    let command = world.write("command.json", &command);
    let line = "left out       26 other rows are of those who want no marketing, by `marketing_filter` or `consent_column`";
    let text = world.run(&["send", "--dry-run", &command]).await;
    assert!(text.contains("users (4 rows now)") && text.contains(line), "{text}");
    let told: Value = serde_json::from_str(&world.run(&["send", "--dry-run", "--json", &command]).await).unwrap();
    assert_eq!((&told["forecast"]["rows"], &told["forecast"]["left_out"]), (&json!(4), &json!(26)), "{told}");
    // Nobody wants it, which is another thing than a table without rows.
    let nobody = world.write("nobody.toml", &config.replace("columns = [\"name\"]", &wants.replace("= 1", "= 7")));
    let (code, _, error) = world.try_run(&["--config", &nobody, "send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("all 30 rows of the audience `users` are left out"), "{error}");

    world.run(&["send", "--yes", "--hold", &command]).await;
    let producer = world.start("producer");
    let status = world.wait_for("terms", "holding").await;
    assert_eq!((&status["recipients"], &status["left_out"]), (&json!(4), &json!(26)), "{status}");
    let text = world.run(&["status", "terms"]).await;
    assert!(text.contains("left out      26 other rows are of those who want no marketing"), "{text}");
    let (_console, url) = world.start_console().await;
    let page = Door::at(url.as_str()).get("/b/terms").await;
    assert!(page.contains("<td id=\"count-left-out\">26</td>"), "{page}");
    producer.end().await;
}

/// The producer decides, by its own settings, whether others must agree, and what audiences there are.
#[tokio::test(flavor = "multi_thread")]
async fn send_refuses_what_the_producers_at_work_would_not_do_as_it_says() {
    let world = Processes::new(20, Account::default()).await;
    let producer = world.start("producer");
    world.wait_for_heartbeat("producer").await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    for hold in [&["send", "--yes"][..], &["send", "--yes", "--hold"]] {
        let (code, output, error) = world.try_run(&[&["--approvals", "2"], hold, &[&command]].concat()).await;
        assert_eq!(code, Some(3), "{output}{error}");
        assert!(error.contains("asks for 1 from 0 recipients on, and this configuration for 2 from 0 on"), "{error}");
        assert!(output.contains("approvals is at its default there and `2` here"), "{output}");
    }
    let others = world.write("others.toml", &world.read("issei.toml").replace("audiences.users", "audiences.others"));
    let to_others = world.write("others.json", &command_body("others", |body| body["audience"] = json!("others")));
    let (code, _, error) = world.try_run(&["--config", &others, "send", "--yes", &to_others]).await;
    assert!(code == Some(3) && error.contains("the audience `others` is not configured at issei producer"), "{error}");
    assert_eq!(commands(&world).await, "0");
    // As many as here, or more, is no reason to refuse.
    producer.end().await;
    let producer = world.start_with("producer", &["--approvals", "3"]);
    world.wait_for_heartbeat("producer").await;
    let text = world.run(&["--approvals", "2", "send", "--yes", &command]).await;
    assert!(text.contains("enqueued; watch it"), "{text}");
    world.wait_for("terms", "holding").await;
    producer.end().await;
    assert_eq!(world.cloud.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_reach_the_database_sends_a_command_that_the_producer_judges_and_holds() {
    let world = Processes::new(60, Account::default()).await;
    for statement in [
        "UPDATE users SET email = NULL WHERE id IN (7, 9)",
        "UPDATE users SET email = 'ann@example.com' WHERE id IN (21, 22, 23)",
        "UPDATE users SET email = email || char(8203) WHERE id IN (31, 32)",
        "UPDATE users SET name = 'Hubert Blaine Wolfeschlegelsteinhausenbergerdorff the Elder' WHERE id = 12",
    ] {
        world.users.execute(statement).await;
    }
    let audience = "[audiences.users]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\ntable = \"users\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n";
    let elsewhere = world.write("elsewhere.toml", audience);
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let (code, _, error) = world.try_run(&["--config", &elsewhere, "send", "--yes", &command]).await;
    assert_eq!(code, Some(1), "{error}");
    let text = world.run(&["--config", &elsewhere, "send", "--hold", "--yes", &command]).await;
    assert!(text.contains("users, not read from here") && text.contains("`issei approve terms --reason \"…\"` sends"), "{text}");
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let status = world.wait_for("terms", "holding").await;
    assert_eq!((&status["recipients"], &status["skipped"]), (&json!(58), &json!(2)), "{status}");
    let text = world.run(&["status", "terms"]).await;
    assert!(text.contains("58 of 60 rows of the audience `users` are to be mailed") && text.contains("2 no_address (keys 7, 9)"), "{text}");
    // From the pages that are frozen: nothing of anybody stands in the broadcast's own item.
    for words in [
        "audience      60 (58 recipients, 2 skipped: 2 no_address)",
        "repeated      1 address stands under several keys",
        "trimmed       2 addresses had invisible white space around",
        "letter         the first, the oddest characters: key 1\n  subject      Terms for User 1\n",
        "letter         the longest data: key 12\n  subject      Terms for Hubert Blaine",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let told: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!(told["held_audience"]["letters"][0], json!({ "of": ["first", "oddest_characters"], "page": 0, "at": 0 }), "{told}");
    assert_eq!(told["letters"][1]["key"], "12", "{told}");
    assert_eq!(world.cloud.accepted(), 0);
    // Whoever is to approve it looks at these, too, wherever that is: each has the same three letters.
    let shown = world.run(&["show", "terms"]).await;
    assert!(shown.contains("letter         the longest data: key 12\n  subject      Terms for Hubert Blaine"), "{shown}");
    assert!(text.contains("forecast      approved now, it is done 20") && text.contains("recipients a second"), "{text}");
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let page = door.get("/b/terms").await;
    assert!(page.contains("id=\"letters\"") && page.contains("id=\"if-approved\""), "{page}");
    let letters = door.get("/b/terms/letters").await;
    assert!(letters.contains("Terms for Hubert Blaine"), "{letters}");
    console.end().await;
    let approved = world.run(&["approve", "terms", "--reason", "58 are all who are meant"]).await;
    assert!(approved.contains("terms is running") && approved.contains("approved now, it is done 20"), "{approved}");
    world.wait_for("terms", "complete").await;
    assert!(!world.run(&["status", "terms"]).await.contains("letter "));
    producer.end().await;
    consumer.end().await;
    assert_eq!(world.cloud.accepted(), 58);
}

/// By the code that writes what SES renders: what is shown is what is then mailed.
#[tokio::test(flavor = "multi_thread")]
async fn send_shows_three_letters_as_they_will_be_mailed() {
    let world = Processes::new(30, Account { keep_mails: true, ..Account::default() }).await;
    for statement in [
        "UPDATE users SET name = 'Hubert Blaine Wolfeschlegelsteinhausenbergerdorff the Elder' WHERE id = 12",
        "UPDATE users SET name = '<script>alert(1)</script> & \"O''Hara\"' WHERE id = 23",
    ] {
        world.users.execute(statement).await;
    }
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let text = world.run(&["send", "--dry-run", &command, "-o", "preview.html"]).await;
    for words in
        ["letter         the first: key 1\n  subject      Terms for User 1\n", "the longest data: key 12", "the oddest characters: key 23"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let page = world.read("preview.html");
    // What a user is called is escaped for the letter, and the letter once more for the page.
    assert!(
        page.contains("<iframe class=\"wide\" sandbox title=\"HTML, 640 pixels wide\" srcdoc=\"&#60;p&#62;Dear &#38;lt;script&#38;gt;"),
        "{page}"
    );
    assert!(!page.contains("<script>") && page.contains("default-src 'none'"), "{page}");
    let told: Value = serde_json::from_str(&world.run(&["send", "--yes", "--json", &command]).await).unwrap();
    let letters = told["forecast"]["letters"].as_array().unwrap();
    assert_eq!(letters.iter().map(|letter| letter["key"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "12", "23"]);
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mails = world.cloud.mails().unwrap();
    for letter in letters {
        let address = format!("user{:0>6}@example.com", letter["key"].as_str().unwrap());
        let mail = mails.iter().find(|mail| mail.address == address).unwrap();
        assert_eq!(letter["rendered"], json!({ "subject": mail.subject, "text": mail.text, "html": mail.html }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn send_looks_at_the_template_that_ses_stores() {
    let world = Processes::new(10, Account::default()).await;
    let body = |body: &mut Value| body["content"] = json!({ "template": { "name": "terms-2026" } });
    let command = world.write("command.json", &command_body("terms", body));
    let (code, _, error) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("template terms-2026: SES stores none of this name"), "{error}");
    let template = |text: &str| json!({ "Subject": "Terms for {{name}}", "Text": text, "Html": "<p>{{html_name}}</p>" });
    let put = |text: &str| world.cloud.configure(|account| _ = account.templates.insert("terms-2026".to_owned(), template(text)));
    put("Dear {{nmae}}");
    let (code, _, error) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("the audience lacks nmae"), "{error}");
    // What SES alone can read nobody can judge, so it is no letter of ours.
    put("{{#each name}}Dear {{name}}{{/each}}");
    for of in [&["send", "--yes", &command][..], &["preview", &command], &["test-send", &command, "--to", "me@example.com"]] {
        let (code, output, error) = world.try_run(of).await;
        let says = "in its text `{{#each name}}` at byte 0 is a block beside `#if` and `#unless`";
        assert!(code == Some(3) && error.contains(says) && error.contains("or write the words into the command itself"), "{output}{error}");
    }
    // Who lacks what is shown is told beforehand, by the code that freezes.
    put("{{#if name}}Dear {{name}}{{else}}Hello{{/if}}");
    world.users.execute("UPDATE users SET name = NULL WHERE id = 3").await;
    let text = world.run(&["send", "--dry-run", &command]).await;
    assert!(
        text.contains("ok          template terms-2026: html_name, name") && text.contains("1 data_missing, with the keys 3"),
        "{text}"
    );
    let text = world.run(&["preview", &command]).await;
    assert!(text.contains("text         Dear User 1"), "{text}");
    world.users.execute("UPDATE users SET name = 'User 3' WHERE id = 3").await;
    put("Dear {{name}}");
    let text = world.run(&["send", "--yes", &command]).await;
    assert!(text.contains("ok          template terms-2026: html_name, name") && text.contains("subject      Terms for User 1"), "{text}");
    assert_eq!(commands(&world).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_and_doctor_say_the_same_of_the_sender() {
    let world = Processes::new(10, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |body| body["from"] = json!("no-reply@mail.example.com")));
    let look = async || {
        let (code, output, _) = world.try_run(&["send", "--dry-run", "--json", &command]).await;
        let told: Value = serde_json::from_str(&output).unwrap();
        let (_, output, _) = world.try_run(&["doctor", "--from", "no-reply@mail.example.com", "--json"]).await;
        let doctor: Value = serde_json::from_str(&output).unwrap();
        let found = |findings: &Value| {
            findings.as_array().unwrap().iter().find(|finding| finding["what"] == "identity of mail.example.com").unwrap().clone()
        };
        let (mut of_send, found) = (found(&told["forecast"]["findings"]), found(&doctor["findings"]));
        // What only a send can be refused for, only `send` says.
        let forbids = of_send.as_object_mut().unwrap().remove("forbids_send");
        assert_eq!((&of_send, forbids), (&found, (found["judgement"] == "broken").then_some(Value::Bool(true))));
        // SES would refuse every letter of a sender that it does not know.
        let (refused, is_broken) = (told["forecast"]["refused"].to_string(), found["judgement"] == "broken");
        assert_eq!((code == Some(3), refused.contains("identity of mail.example.com: ")), (is_broken, is_broken), "{refused}");
        [found["judgement"].clone(), found["value"].clone()].map(|text| text.as_str().unwrap().to_owned()).join(": ")
    };
    assert_eq!(look().await, "holds: mail.example.com verified");
    world.cloud.configure(|account| account.identities = Some([].into()));
    assert_eq!(look().await, "broken: SES knows neither the domain nor the address");
    let (_, text, _) = world.try_run(&["doctor", "--from", "no-reply@mail.example.com"]).await;
    assert!(text.contains("aws sesv2 create-email-identity --email-identity mail.example.com, then publish "), "{text}");
    // A domain's verification is that of those below it.
    for (name, verified, says) in [
        ("example.com", true, "holds: example.com verified"),
        ("no-reply@mail.example.com", false, "broken: no-reply@mail.example.com not verified"),
    ] {
        let identity = json!({ "IdentityType": "DOMAIN", "VerifiedForSendingStatus": verified });
        world.cloud.configure(|account| account.identities = Some([(name.to_owned(), identity)].into()));
        assert_eq!(look().await, says);
    }
    world.cloud.inject(Rule::every("GetEmailIdentity", Fault::ErrorBefore));
    assert!(look().await.starts_with("unreadable: "), "what nobody told is called fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_refuses_what_would_reach_nobody_or_come_too_late() {
    let world = Processes::new(60, Account { max_send_rate: 0.0001, ..Account::default() }).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let (code, output, error) = world.try_run(&["send", "--yes", &command]).await;
    assert!(code == Some(3) && error.contains("60 recipients take 600000 s at 0.0001 a second, and not_after is"), "{output}{error}");
    world.users.execute("UPDATE users SET email = 'ann@nowhere'").await;
    let (code, output, error) = world.try_run(&["send", "--yes", "--json", &command]).await;
    let told: Value = serde_json::from_str(&output).unwrap();
    let refused = "nobody of the 60 rows of the audience `users` can be mailed; correct the rows or the audience";
    assert_eq!((code, &told["forecast"]["refused"], &told["enqueued"]), (Some(3), &json!([refused]), &json!(false)), "{told}");
    assert!(!error.contains("nowhere"), "{error}");
    world.users.execute("DELETE FROM users").await;
    let (code, _, error) = world.try_run(&["send", "--dry-run", &command]).await;
    assert!(code == Some(3) && error.contains("the audience `users` has no rows"), "{error}");
    assert_eq!(commands(&world).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_asks_at_a_terminal_and_sends_nothing_without_a_yes() {
    let world = Processes::new(20, Account::default()).await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    // Nobody can be asked.
    for arguments in [&["send", &command][..], &["send", "--json", &command]] {
        let (code, output, error) = world.try_run(arguments).await;
        assert!(code == Some(3) && output.contains("--yes"), "{output}{error}");
    }
    for answer in ["n\n", "\n", "\u{4}"] {
        let mut terminal = world.at_terminal(&["send", &command]);
        terminal.wait_for("[y/N]").await;
        terminal.type_in(answer).await;
        let (code, screen) = terminal.end().await;
        assert!(code == Some(3) && screen.contains("to be mailed   20") && screen.contains("nothing was sent"), "{screen}");
    }
    let mut terminal = world.at_terminal(&["send", &command]);
    terminal.wait_for("[y/N]").await;
    terminal.interrupt();
    let (code, screen) = terminal.end().await;
    assert!(code == Some(130) && screen.contains("interrupted; nothing was sent"), "{screen}");
    // In the midst of it.
    world.cloud.inject(Rule::every("GetAccount", Fault::HangBefore));
    let terminal = world.at_terminal(&["send", "--yes", &command]);
    let mut hanging = world.cloud.hanging();
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    terminal.interrupt();
    let (code, screen) = terminal.end().await;
    assert!(code == Some(130) && screen.contains("interrupted; nothing was sent"), "{screen}");
    world.cloud.heal();
    assert_eq!(commands(&world).await, "0");
    let mut terminal = world.at_terminal(&["send", &command]);
    terminal.wait_for("[y/N]").await;
    terminal.type_in("y\n").await;
    let (code, screen) = terminal.end().await;
    assert!(code == Some(0) && screen.contains("enqueued"), "{screen}");
    assert_eq!(commands(&world).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_says_when_a_broadcast_goes_on_and_refuses_what_cannot_be_done_in_its_time() {
    let world = Processes::new(60, Account::default()).await;
    let after = |hours: i64| (Clock::system().wall() + SignedDuration::from_hours(hours)).to_string();
    let write = |said: &Value| {
        let body = command_body("terms", |body| {
            (body["version"], body["class"]) = (json!(2), json!("legal_notice"));
            body.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        });
        world.write("command.json", &body)
    };
    for (said, why) in [
        (
            json!({ "not_before": after(10), "effective_at": after(11), "ramp": { "first_hour": 10 } }),
            "not everybody can be told before effective_at",
        ),
        (json!({ "effective_at": after(-1) }), "not everybody can be told before effective_at"),
        (json!({ "ramp": { "first_hour": 10 }, "not_after": after(2) }), "a second, its ramp is slower, and not_after is"),
    ] {
        let (code, _, error) = world.try_run(&["send", "--yes", &write(&said)]).await;
        assert!(code == Some(3) && error.contains(why), "{error}");
    }
    let good = json!({ "not_before": after(10), "effective_at": after(20), "ramp": { "first_hour": 40 }, "not_after": after(24 * 10) });
    let text = world.run(&["send", "--yes", &write(&good)]).await;
    for line in
        ["waits          until ", "done           ", "binds from     ", "ramp           40, 20 recipients at most in its first hours"]
    {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}: {text}");
    }
    let producer = world.start("producer");
    let status = world.wait_for("terms", "waiting").await;
    assert!(status["waits_until"].as_str().unwrap().starts_with(&good["not_before"].as_str().unwrap()[..19]), "{status}");
    assert!(world.run(&["status", "terms"]).await.contains("state         waiting: audience frozen: 60 recipients"));
    let listed: Value = serde_json::from_str(&world.run(&["list", "--json"]).await).unwrap();
    assert_eq!((&listed["state"], &listed["waits_until"]), (&json!("waiting"), &status["waits_until"]));
    producer.end().await;
    assert_eq!(world.cloud.accepted(), 0);
}

/// Whoever approves what goes to customers and mechanics reads both, though the first, the longest and the oddest are customers.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_approves_sees_a_letter_of_each_variant_and_of_whoever_gets_the_fallback_for_want_of_one() {
    let world = Processes::new(60, Account::default()).await;
    for statement in [
        "ALTER TABLE users ADD COLUMN role TEXT",
        "UPDATE users SET role = 'customer'",
        "UPDATE users SET role = 'mechanic' WHERE id BETWEEN 30 AND 50",
        "UPDATE users SET role = 'admin' WHERE id = 55",
        "UPDATE users SET role = 'Customer' WHERE id IN (56, 57)",
        "UPDATE users SET role = NULL WHERE id = 58",
        "UPDATE users SET name = 'Hubert Blaine Wolfeschlegelsteinhausenbergerdorff the Elder' WHERE id = 12",
    ] {
        world.users.execute(statement).await;
    }
    let config = world.read("issei.toml").replace("columns = [\"name\"]", "columns = [\"name\", \"role\"]");
    _ = world.write("issei.toml", &config);
    let words = |subject: &str| json!({ "subject": subject, "text": "Dear {{name}}" });
    let command = world.write(
        "command.json",
        &command_body("terms", |command| {
            (command["version"], command["class"]) = (2.into(), "legal_notice".into());
            let of = json!({ "customer": words("To customers"), "mechanic": words("To mechanics"), "owner": words("To owners") });
            command["content"] = json!({ "variants": { "by": "role", "fallback": "customer", "of": of } });
        }),
    );
    let fallback = "4 of these get `customer` since no variant is named as their role is: 2 `Customer`, 1 empty, 1 `admin`";
    let letters = [
        ": key 12\n  subject      To customers\n",
        "letter         variant mechanic: key 30\n  subject      To mechanics\n",
        "letter         variant customer, the fallback, since role is `admin`: key 55\n",
        "letter         variant customer, the fallback, since role is empty: key 58\n",
    ];
    let forecast = world.run(&["send", "--dry-run", &command]).await;
    for words in ["variants       39 customer, 21 mechanic, 0 owner", &format!("fallback       {fallback}")].iter().chain(&letters) {
        assert!(forecast.contains(words), "{words}: {forecast}");
    }
    assert!(!forecast.contains("To owners"), "{forecast}");
    world.run(&["send", "--hold", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "holding").await;
    let status = world.run(&["status", "terms"]).await;
    for words in ["variants      39 customer, 21 mechanic; 4 of these get the fallback"].iter().chain(&letters) {
        assert!(status.contains(words), "{words}: {status}");
    }
    // Nothing of anybody stands in the item: the values are those of the frozen pages.
    let told: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!(told["held_audience"]["variants"], json!({ "customer": 39, "mechanic": 21 }), "{told}");
    assert!(told["held_audience"]["fell_back"] == 4 && !told["held_audience"].to_string().contains("admin"), "{told}");
    let (console, url) = world.start_console().await;
    let page = Door::at(url.as_str()).get("/b/terms/letters").await;
    assert!(page.contains("To mechanics") && page.contains("the fallback, since role is `admin`"), "{page}");
    console.end().await;
    world.run(&["approve", "terms", "--reason", "all of them read well"]).await;
    world.wait_for("terms", "complete").await;
    assert_eq!(world.cloud.accepted(), 60);
    producer.end().await;
    consumer.end().await;
}

/// A function of the customer's may say what it likes, as loudly as it likes, also where the connection asked for silence.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_in_the_database_says_of_a_row_is_in_no_log() {
    let Some(url) = server("ISSEI_TEST_POSTGRES_URL") else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "CREATE OR REPLACE FUNCTION chatters(email text) RETURNS text LANGUAGE plpgsql SET client_min_messages TO debug5 AS $$
         BEGIN RAISE WARNING 'told %', email; RAISE NOTICE 'told %', email; RAISE INFO 'told %', email; RETURN email; END $$",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let world = Processes::simulated(1, Account::default()).await;
    let query = "SELECT 1 AS id, chatters('ann' || '@example.com') AS email, 'Ann' AS name";
    let line = |line: &str| match line {
        line if line.starts_with("url = ") => format!("url = \"{url}\"\n"),
        line if line.starts_with("table = ") => format!("query = \"{query}\"\n"),
        line => format!("{line}\n"),
    };
    let _ = world.write("issei.toml", &world.read("issei.toml").lines().map(line).collect::<String>());
    let command = world.write("command.json", &command_body("terms", |_| {}));
    for asked in [None, Some("trace"), Some("sqlx::postgres::notice=trace")] {
        let (code, told, log) = world.try_run_under(&[("RUST_LOG", asked)], &["--json", "send", "--dry-run", &command]).await;
        assert!(code == Some(0) && told.contains("\"mailable\":1,"), "{told}{log}");
        assert!(!log.contains("told ann"), "{asked:?}: {log}");
    }
}
