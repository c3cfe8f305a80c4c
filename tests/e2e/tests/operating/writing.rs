//! Whoever writes the words keeps them in files, looks at the letters before, and at what was sent afterwards.

use issei_sim::Account;
use issei_test_support::{Processes, command_body};
use serde_json::{Value, json};

const MJML: &str = "<mjml><mj-body><mj-section><mj-column><mj-text>{{name}}様</mj-text><mj-button href=\"https://example.com/u?n={{name}}\">規約</mj-button></mj-column></mj-section></mj-body></mjml>";

/// A command in two languages, whose words are in files.
fn in_files(world: &Processes) -> String {
    _ = world.write("ja.txt", "\u{feff}{{name | \"お客様\"}}\n{{#if car}}\nお車は{{car}}です。\n{{/if}}\n");
    _ = world.write("ja.mjml", MJML);
    _ = world.write("en.txt", "Dear {{name | \"customer\"}},\nnew terms.\n");
    _ = world.write("subject.txt", "規約の変更\n");
    let body = command_body("terms", |command| {
        command["version"] = 2.into();
        command["class"] = "legal_notice".into();
        command["content"] = json!({ "variants": { "by": "locale", "fallback": "en", "of": {
            "ja": { "subject_file": "subject.txt", "text_file": "ja.txt", "html_file": "ja.mjml" },
            "en": { "subject": "Our terms change", "text_file": "en.txt" },
        } } });
    });
    world.write("command.json", &body)
}

#[tokio::test(flavor = "multi_thread")]
async fn words_in_files_are_previewed_sent_and_shown_again_as_they_were_read() {
    let world = Processes::new(30, Account { keep_mails: true, ..Account::default() }).await;
    world.users.execute("ALTER TABLE users ADD COLUMN locale TEXT").await;
    world.users.execute("ALTER TABLE users ADD COLUMN car TEXT").await;
    world.users.execute("UPDATE users SET locale = 'ja' WHERE id > 20").await;
    world.users.execute("UPDATE users SET car = '<Mini>' WHERE id = 25").await;
    let config = world.read("issei.toml").replace("columns = [\"name\"]", "columns = [\"name\", \"locale\", \"car\"]");
    _ = world.write("issei.toml", &config);
    let command = in_files(&world);
    // The first rows are all in English; the first of each variant is shown all the same.
    let text = world.run(&["preview", &command, "--rows", "2", "-o", "preview.html"]).await;
    for words in [
        "variant en, the fallback, since locale is empty: key 1\n  subject      Our terms change\n  text         Dear User 1,",
        "variant ja: key 21\n  subject      規約の変更\n  text         User 21\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Nobody is left to find out by a refusal that its time is over; a program has it in the command.
    assert!(!text.contains("it would be refused now"), "{text}");
    let mut over: Value = serde_json::from_str(&world.read(&command)).unwrap();
    over["not_after"] = "2019-01-01T00:00:00Z".into();
    let of_over = world.run(&["preview", &world.write("over.json", &over.to_string()), "--rows", "1"]).await;
    assert!(of_over.contains("it would be refused now: field `not_after` is 2019-01-01T00:00:00Z, and now it is "), "{of_over}");
    let page = world.read("preview.html");
    assert!(page.contains("class=\"wide\"") && page.contains("class=\"narrow\"") && page.contains("User 21様"), "{page}");
    let one: Value = serde_json::from_str(&world.run(&["preview", &command, "--as", "25", "--json"]).await).unwrap();
    assert_eq!(one["letters"][0]["rendered"]["text"], "User 25\nお車は<Mini>です。\n", "{one}");
    let html = one["letters"][0]["rendered"]["html"].as_str().unwrap();
    assert!(html.contains("User 25様") && html.contains("https://example.com/u?n=User%2025"), "{html}");
    // A writer who can't reach the table has rows of her own.
    let rows = world.write("rows.jsonl", "{\"locale\": \"ja\", \"name\": \" \"}\n{\"locale\": \"fr\", \"name\": \"Zoë\"}\n");
    let text = world.run(&["--config", "/dev/null", "preview", &command, "--data", &rows]).await;
    // Rows of one's own are judged as those of an audience: the mark, the digits, what is no text and what may not be sent.
    let mine = "\u{feff}{N1}\n{N2}\n{N3}\n{N4}\n"
        .replace("{N1}", "{\"id\": 1, \"email\": \"a@example.com\", \"name\": 12345678901234567890123}")
        .replace("{N2}", "{\"id\": 2, \"email\": \"b@example.com\", \"name\": 1.50}")
        .replace("{N3}", "{\"id\": 3, \"email\": \"c@example.com\", \"name\": \"A\\u0000n\"}")
        .replace("{N4}", "{\"id\": 4, \"email\": \"d@example.com\", \"name\": [\"D\"]}");
    let mine = world.write("mine.jsonl", &mine);
    let plain = command_body("plain", |body| body["content"] = json!({ "inline": { "subject": "Hi", "text": "Dear {{name}}" } }));
    let plain = world.write("plain.json", &plain);
    let audience = format!("[audiences.users]\nfile = {}\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n", json!(mine));
    let of_file = world.write("mine.toml", &audience);
    let seen = async |arguments: &[&str]| {
        let seen: Value = serde_json::from_str(&world.run(arguments).await).unwrap();
        let letters: Vec<String> =
            seen["letters"].as_array().unwrap().iter().map(|letter| letter["rendered"]["text"].to_string()).collect();
        (letters, seen["skipped"].clone())
    };
    let given = seen(&["--config", "/dev/null", "preview", &plain, "--data", &mine, "--json"]).await;
    assert_eq!(given, seen(&["--config", &of_file, "preview", &plain, "--json"]).await);
    assert_eq!(given.0, ["\"Dear 12345678901234567890123\"", "\"Dear 1.50\""]);
    assert_eq!(given.1.as_array().map(Vec::len), Some(2), "{}", given.1);
    // Whoever is in no letter is said with the reason, and not sent elsewhere for it.
    world.users.execute("UPDATE users SET email = 'broken' WHERE id = 30").await;
    let skipped = world.run(&["preview", &command, "--rows", "1"]).await;
    assert!(skipped.contains("skipped        1 bad_address, with the keys 30"), "{skipped}");
    let json: Value = serde_json::from_str(&world.run(&["preview", &command, "--json"]).await).unwrap();
    assert_eq!(json["skipped"], json!([{ "reason": "bad_address", "rows": 1, "examples": ["30"] }]), "{json}");
    let empty = world.write("empty.jsonl", "\n");
    for (arguments, says) in [
        (
            ["--as", "30"],
            "the row with the key 30 of the audience `users` is skipped as bad_address, so it gets no letter: correct the row",
        ),
        (["--as", "0030"], "the audience `users` has no row with the key 0030: a key is compared sign by sign, as the column `id` has it"),
        (["--data", empty.as_str()], "empty.jsonl holds no row, so there is no letter to show; write one object a line"),
        (["--audience", "members"], "the configuration has no audience `members`"),
    ] {
        let (code, output, error) = world.try_run(&[&["preview", command.as_str()][..], &arguments].concat()).await;
        assert!(code == Some(3) && output.is_empty() && error.contains(says), "{arguments:?}: {output}{error}");
    }
    world.users.execute("UPDATE users SET email = 'user000030@example.com' WHERE id = 30").await;
    assert!(text.contains("  text         お客様") && text.contains("  text         Dear Zoë,"), "{text}");
    let forecast = world.run(&["send", "--dry-run", &command]).await;
    assert!(forecast.contains("variants       20 en, 10 ja"), "{forecast}");
    world.run(&["send", "--yes", &command]).await;
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    let mails = world.cloud.mails().unwrap();
    let mail = mails.iter().find(|mail| mail.address == "user000025@example.com").unwrap();
    let shown: Value = serde_json::from_str(&world.run(&["show", "terms", "--as", "user000025@example.com", "--json"]).await).unwrap();
    let letter = &shown["letters"][0]["rendered"];
    assert_eq!(
        (letter["subject"].as_str(), letter["text"].as_str(), letter["html"].as_str()),
        (Some(&*mail.subject), Some(&*mail.text), Some(&*mail.html))
    );
    assert_eq!((mails.len(), mail.html.as_str()), (30, html));
    let text = world.run(&["show", "terms"]).await;
    let hash = shown["content_hash"].as_str().unwrap();
    for words in [
        hash,
        "class          legal_notice",
        "content.variants.of.ja.text\n{{name | \"お客様\"}}\n{{#if car}}\n",
        "content.variants.of.en.subject\nOur terms change\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_missing_or_no_mjml_is_named_with_its_field() {
    let world = Processes::new(1, Account::default()).await;
    let command = in_files(&world);
    for (file, content, says) in [
        ("ja.mjml", "<mjml><mj-body>", "field `content.variants.of.ja.html_file`: "),
        (
            "command.json",
            "{ \"content\": { \"inline\": { \"text\": \"x\", \"text_file\": \"y\" } } }",
            "field `content.inline.text_file`: `text` is given, too",
        ),
        (
            "command.json",
            "{ \"content\": { \"inline\": { \"text_file\": \"nowhere.txt\" } } }",
            "nowhere.txt: it can't be read; correct the name",
        ),
        (
            "command.json",
            "{ \"content\": { \"inline\": { \"text_file\": 1 } } }",
            "field `content.inline.text_file`: is no text; name a file",
        ),
    ] {
        let kept = world.read(file);
        _ = world.write(file, content);
        let (code, _, error) = world.try_run(&["send", "--dry-run", &command]).await;
        _ = world.write(file, &kept);
        assert_eq!(code, Some(3), "{error}");
        assert!(error.contains(says) && error.contains("command.json"), "{says}: {error}");
    }
}

/// Through the same services, and of no audience: nobody but whoever asked gets it, and the broadcast itself may come after.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_to_whoever_asked_marked_as_one_and_the_broadcast_is_still_to_come() {
    let world = Processes::new(20, Account { keep_mails: true, ..Account::default() }).await;
    world.users.execute("UPDATE users SET name = 'Zoë <Z>' WHERE id = 7").await;
    let command = world.write("command.json", &command_body("terms", |_| {}));
    let (producer, consumer) = (world.start("producer"), world.start("consumer"));
    let (code, _, error) = world.try_run(&["test-send", &command, "--to", "stranger@elsewhere.example.net", "--as", "7"]).await;
    assert!(code == Some(3) && error.contains("field `test_copy.to`: the address is neither in the sender's domain"), "{error}");
    let told: Value =
        serde_json::from_str(&world.run(&["--json", "test-send", &command, "--to", "me@example.com", "--as", "7"]).await).unwrap();
    assert_eq!(told["sent"], true, "{told}");
    let mails = world.cloud.mails().unwrap();
    let [mail] = mails.as_slice() else { panic!("{} mails", mails.len()) };
    assert_eq!((mail.address.as_str(), mail.subject.as_str()), ("me@example.com", "[Test] Terms for Zoë <Z>"));
    assert_eq!(mail.headers, [("X-Issei-Test-Copy".to_owned(), "yes".to_owned())]);
    let id = told["broadcast_id"].as_str().unwrap();
    let trail = world.run(&["audit", id]).await;
    assert!(trail.contains("enumerating"), "{trail}");
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    producer.end().await;
    consumer.end().await;
    let subjects: Vec<String> = world.cloud.mails().unwrap().into_iter().skip(1).map(|mail| mail.subject).collect();
    assert!(subjects.len() == 20 && subjects.iter().all(|subject| subject.starts_with("Terms for ")), "{subjects:?}");
}

/// Nobody sends, so the copy stays where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_waits_among_the_chunks_of_others_says_so() {
    let world = Processes::new(60, Account::default()).await;
    let command = world.write("command.json", &command_body("letter", |body| body["content"]["inline"]["subject"] = "Another".into()));
    let asks = ["test-send", &command, "--to", "me@example.com", "--wait-s", "3"];
    let (code, _, error) = world.try_run(&asks).await;
    assert!(code == Some(1) && error.contains("no producer has taken it yet, and 1 messages are in the commands queue"), "{error}");
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    world.wait_for("terms", "running").await;
    let (code, _, error) = world.try_run(&asks).await;
    let says = error.contains("messages of the chunks queue, its own with them, and ") && error.contains("`terms`");
    assert!(code == Some(1) && says && error.contains("it may still be sent"), "{error}");
    let copy = error.split("`issei status ").nth(1).unwrap().split('`').next().unwrap();
    let status = world.run(&["status", copy]).await;
    assert!(status.contains("messages of the chunks queue, with those of ") && status.contains("`terms`"), "{status}");
    producer.end().await;
}
