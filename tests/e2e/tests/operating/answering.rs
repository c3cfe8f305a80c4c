//! Whoever answers a user: one question over all broadcasts, in the shell and in the console.

use fantoccini::Locator;
use fantoccini::key::Key;
use issei_aws::AwsCall;
use issei_sim::{Account, EventRule, Events, Fault, Rule};
use issei_test_support::{Browser, Processes, command_body};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of, raw};

/// Two broadcasts that are over, and what the provider told of them; in the second, user 7 has no address any more.
async fn two_broadcasts() -> Processes {
    let events = Processes::account_with_events().events;
    let rules = vec![EventRule { address: "user000002@".to_owned(), event: "Bounce".to_owned() }];
    let world = Processes::simulated(20, Account { events: Events { rules, ..events }, ..Account::default() }).await;
    let services: Vec<_> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    for id in ["terms", "prices"] {
        if id == "prices" {
            world.users.execute("UPDATE users SET email = NULL WHERE id = 7").await;
        }
        let words =
            json!({ "inline": { "subject": format!("New {id} for {{{{name}}}}"), "text": format!("Dear {{{{name}}}}, new {id}.") } });
        let command = world.write("command.json", &command_body(id, |body| body["content"] = words.clone()));
        world.run(&["send", "--yes", &command]).await;
        world.wait_for(id, "complete").await;
    }
    world.carry_all_events().await;
    world.wait_until("prices", |status| status["delivered"] == 18 && status["bounced"] == 1).await;
    world.wait_until("terms", |status| status["delivered"] == 19 && status["bounced"] == 1).await;
    for service in services {
        service.end().await;
    }
    world
}

/// Quotes and a blank are of the address, to whoever looks for it and in a row of CSV.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_blank_in_quotes_is_found_exported_and_kept_off() {
    let world = Processes::simulated(10, Account::default()).await;
    let configured = world.read("issei.toml").replace("columns = [\"name\"]", "columns = [\"name\"]\nlegacy_local_parts = \"quote\"");
    let _ = world.write("issei.toml", &configured);
    world.users.execute("UPDATE users SET email = '\"john smith\"@example.com' WHERE id = 3").await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    let told = world.run(&["who", "\"john smith\"@EXAMPLE.com"]).await;
    assert!(told.contains("  3 <\"john smith\"@example.com>") && told.contains("  outcome   accepted"), "{told}");
    let rows = world.run(&["export", "terms", "--outcome", "accepted"]).await;
    assert!(rows.contains("\n3,\"\"\"john smith\"\"@example.com\",accepted,"), "{rows}");
    world.run(&["suppress", "add", "\"john smith\"@example.com", "--reason", "asked"]).await;
    let again = world.write("again.json", &command_body("again", |_| {}));
    let told = world.run(&["send", "--dry-run", &again]).await;
    assert!(told.contains("1 suppressed, with the keys 3"), "{told}");
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_found_in_every_broadcast_with_a_sentence_in_their_language() {
    let world = two_broadcasts().await;
    // The newest first, and by the address however it is written.
    let told = world.run(&["who", "User000003@EXAMPLE.com", "--letter"]).await;
    let (prices, terms) = (told.find("prices  complete").unwrap(), told.find("terms  complete").unwrap());
    assert!(prices < terms, "{told}");
    for words in [
        "  3 <user000003@example.com>",
        "  outcome   accepted, delivered",
        "accepted  by SES as message 0100",
        "to them   We sent you “New terms for User 3” on ",
        ", and your mail server took it at ",
        "  delivered at 20",
        "text         Dear User 3, new terms.",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let (code, output, error) = world.try_run(&["--json", "who", "2", "--lang", "ja", "--broadcast", "terms"]).await;
    let one: Value = serde_json::from_str(&output).unwrap();
    let seen = &one["broadcasts"][0];
    assert_eq!((code, one["broadcasts"].as_array().unwrap().len(), &one["looked_at"]), (Some(0), 1, &1.into()), "{one}{error}");
    assert_eq!((&seen["outcome"], &seen["key"]), (&"accepted".into(), &"2".into()), "{seen}");
    assert!(seen["events"].to_string().contains("bounced"), "{seen}");
    let sentence = seen["sentence"].as_str().unwrap();
    assert!(sentence.contains("「New terms for User 2」をお送りしましたが、"), "{sentence}");
    let why = "お客様のメールサーバーに受け取りを拒否されました(理由: このメールアドレスは存在しません)。";
    assert!(sentence.ends_with(why), "{sentence}");
    // When it bounced and why, in the words of the mail server without the address.
    let bounced = seen["told"].as_array().unwrap().iter().find(|told| told["event"] == "bounced").unwrap();
    assert_eq!((&bounced["reason"]["kind"], &bounced["reason"]["status"]), (&"Permanent/General".into(), &"5.1.1".into()), "{bounced}");
    let said = "550 5.1.1 <(an address)>: Recipient address rejected: User unknown in local recipient table";
    assert_eq!(bounced["reason"]["diagnostic"], said);
    assert!(bounced["at"].as_str().unwrap().ends_with('Z'), "{bounced}");
    let told = world.run(&["why", "terms", "2"]).await;
    assert!(told.contains("  bounced at 20") && told.contains(&format!(": Permanent/General: {said}")), "{told}");
    let told = world.run(&["who", "2", "--broadcast", "terms"]).await;
    assert!(told.contains(", and your mail server refused it at ") && told.contains(": there is no such mailbox."), "{told}");
    // The same as a table, and how many for which reason, without naming anybody.
    let rows = world.run(&["export", "terms", "--outcome", "bounced"]).await;
    let (head, row) = rows.trim().split_once('\n').unwrap();
    assert_eq!(head, "id,email,outcome,event_at,event_reason,name");
    assert!(row.starts_with("2,user000002@example.com,bounced,20") && row.contains(said), "{row}");
    let report = world.run(&["report", "terms", "--lang", "ja", "-o", "-"]).await;
    assert!(report.contains("このメールアドレスは存在しません (5.1.1 Permanent/General)"), "{report}");
    assert!(!report.contains("user000002"), "{report}");
    assert_eq!(seen["letter"]["rendered"]["text"], "Dear User 2, new terms.");
    // Whoever bounced is not mailed any more, which is what support has to know.
    let told = world.run(&["who", "user000002@example.com"]).await;
    assert!(told.contains("on the list of those that are not mailed: bounced since "), "{told}");

    // Of who was skipped the ledger keeps the key, which another broadcast to the audience knows by the address.
    for who in ["7", "user000007@example.com"] {
        let told = world.run(&["who", who]).await;
        assert!(
            told.contains("  skipped   no_address") && told.contains("“New prices for …” was not sent to you: we had no address"),
            "{told}"
        );
        assert!(told.contains("We sent you “New terms for User 7”"), "{told}");
        assert_eq!(told.contains("found     by the key 7"), who.contains('@'), "{told}");
    }
    // That nobody is there is an answer.
    let (code, output, error) = world.try_run(&["who", "nobody@example.com"]).await;
    assert_eq!((code, error.as_str()), (Some(5), ""), "{output}");
    let alone =
        "of 1 row that was skipped the key alone is kept, so an address is not found among them: ask by the key, too (`issei who KEY`)";
    assert!(output.contains("no recipient with that address in 2 broadcasts (2 pages read)") && output.contains(alone), "{output}");
    let (_, _, why) = world.try_run(&["why", "prices", "nobody@example.com"]).await;
    let (_, none, _) = world.try_run(&["forget", "nobody@example.com", "--yes", "--reason", "ticket 1"]).await;
    assert!(why.contains(alone) && none.contains(&format!("no recipient with that address was found; {alone}")), "{why}{none}");
    // Where nobody was skipped nothing is left open, and by a key nothing ever is.
    for who in [["nobody@example.com", "--broadcast", "terms"], ["nobody", "--broadcast", "prices"]] {
        let (code, output, _) = world.try_run(&[&["who"][..], &who[..]].concat()).await;
        assert!(code == Some(5) && output.contains("nobody of that name in 1 broadcasts") && !output.contains("key alone"), "{output}");
    }
    let (code, output, _) = world.try_run(&["--json", "who", "nobody", "--since", "2099-01-01T00:00:00Z"]).await;
    let none: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &none["looked_at"], &none["complete"]), (Some(5), &0.into(), &true.into()), "{none}");

    // Somebody who was forgotten is told that, and a broadcast that can't be read hides nothing and is named.
    world.run(&["forget", "4", "--yes", "--reason", "ticket 1"]).await;
    for who in ["4", "user000004@example.com"] {
        let told = world.run(&["who", who]).await;
        assert!(told.contains("forgotten at ") && told.contains("Your data was deleted on "), "{told}");
    }
}

/// The row that is mailed is one of two with the key, and whoever asks may mean the other.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_that_stands_twice_the_row_that_was_skipped_is_told_of_too() {
    let world = Processes::simulated(1, Account::default()).await;
    _ = world.write("list.csv", "id,email,name\n1,ann@example.com,Ann\n1,bob@example.com,Bob\n2,,Cid\n");
    let list =
        format!("\n[audiences.list]\nfile = \"{}\"\nkey = \"id\"\naddress = \"email\"\ncolumns = [\"name\"]\n", world.path("list.csv"));
    _ = world.write("issei.toml", &(world.read("issei.toml") + &list));
    let command = world.write("command.json", &command_body("terms", |body| body["audience"] = "list".into()));
    let services = ["producer", "consumer"].map(|service| world.start(service));
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    world.run(&["approve", "terms", "--reason", "few of them, and so many are skipped"]).await;
    world.wait_for("terms", "complete").await;
    let told = world.run(&["who", "1"]).await;
    assert!(told.contains("We sent you “") && told.contains("  other row with this key was skipped: duplicate_key"), "{told}");
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let csrf = csrf_of(&door.get("/who").await);
    let found = door.post("/who", &format!("csrf={csrf}&who=1")).await;
    assert!(found.contains("Another row with this key, skipped</th><td><bdi>duplicate_key</bdi>"), "{found}");
    console.end().await;
    for service in services {
        service.end().await;
    }
}

/// One of which the item is broken, and one of which a frozen page is: neither hides the others, and each is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_can_not_be_read_is_named_and_all_others_answer() {
    let world = two_broadcasts().await;
    let command = world.write("command.json", &command_body("hello", |_| {}));
    let producer = world.start("producer");
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("hello", "holding").await;
    producer.end().await;
    world.break_broadcast("prices").await;
    let (db, table) = world.table().await;
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let page = db.update_item().table_name(table).key("pk", text("b#hello#00")).key("sk", text("page#00000000"));
    page.update_expression("SET page_hash = :hash").expression_attribute_values(":hash", text("0")).call().await.unwrap();
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let csrf = csrf_of(&door.get("/who").await);
    for who in ["3", "user000003@example.com"] {
        let (code, output, error) = world.try_run(&["who", who]).await;
        assert_eq!(code, Some(1), "{error}");
        assert!(output.contains("terms  complete") && output.contains("We sent you “New terms for User 3”"), "{output}");
        for broken in ["prices", "hello"] {
            assert!(error.contains(&format!("broadcast `{broken}` can't be read, and may have them: ")), "{broken}: {error}");
        }
        let (code, output, _) = world.try_run(&["--json", "who", who]).await;
        let told: Value = serde_json::from_str(&output).unwrap();
        let mut unreadable: Vec<_> =
            told["unreadable"].as_array().unwrap().iter().map(|one| one["broadcast_id"].as_str().unwrap()).collect();
        unreadable.sort_unstable();
        assert_eq!((code, &told["complete"], &told["looked_at"], unreadable), (Some(1), &false.into(), &1.into(), vec!["hello", "prices"]));
        let found = door.post("/who", &format!("csrf={csrf}&who={}", who.replace('@', "%40"))).await;
        assert!(found.starts_with("HTTP/1.1 200") && found.contains("We sent you “New terms for User 3”"), "{found}");
        for broken in ["prices", "hello"] {
            assert!(found.contains(&format!("<div class=\"bad unreadable\">{broken}: can&#39;t be read: ")), "{broken}: {found}");
        }
    }
    // Nobody is said to be in none of them, as long as some can't be read.
    let (code, output, error) = world.try_run(&["who", "nobody@example.com"]).await;
    assert!(code == Some(1) && !output.contains("nobody of that name") && error.contains("`hello`"), "{output}{error}");
    let found = door.post("/who", &format!("csrf={csrf}&who=nobody%40example.com")).await;
    assert!(found.contains("unreadable") && !found.contains("id=\"nobody\""), "{found}");
    console.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_long_search_and_says_that_it_was_not_all_of_it() {
    let world = two_broadcasts().await;
    world.cloud.inject(Rule::every("GetItem", Fault::DelayMs(400)));
    let mut terminal = world.at_terminal(&["who", "user000003@example.com"]);
    terminal.wait_for("of 2 pages").await;
    terminal.interrupt();
    let (code, screen) = terminal.end().await;
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("interrupted after 0 broadcasts") || screen.contains("interrupted after 1 broadcasts"), "{screen}");
    assert!(!screen.contains("nobody of that name"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_finds_a_user_without_writing_the_address_where_browsers_keep_it() {
    let world = two_broadcasts().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let list = door.get("/").await;
    assert!(list.contains(&format!("href=\"{}/who\"", door.base)), "{list}");
    let csrf = csrf_of(&door.get("/who").await);
    let stranger =
        format!("POST {}/who HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/x-www-form-urlencoded", door.base, door.port);
    let stranger = raw(door.port, &stranger, "who=3").await;
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
    let foreign = door.post("/who", "csrf=0&who=3").await;
    assert!(foreign.starts_with("HTTP/1.1 403") && !foreign.contains("user000003"), "{foreign}");
    // An address in the address of a page is not looked for.
    let asked = door.get("/who?who=user000003%40example.com").await;
    assert!(asked.starts_with("HTTP/1.1 200") && !asked.contains("user000003"), "{asked}");
    let found = door.post("/who", &format!("csrf={csrf}&who=user000003%40example.com")).await;
    assert!(found.starts_with("HTTP/1.1 200"), "{found}");
    assert_eq!(found.matches("We sent you “New ").count(), 2, "{found}");
    // By its place, and not by the address.
    let letter = found.split(&format!("src=\"{}/b/prices/", door.base)).nth(1).unwrap().split('"').next().unwrap();
    assert!(letter.starts_with("letter/") && !letter.contains("user"), "{letter}");
    let letter = door.get(&format!("/b/prices/{letter}")).await;
    assert!(letter.contains("Dear User 3") && letter.contains("sandbox"), "{letter}");
    let japanese = format!("{}\r\nAccept-Language: ja\r\nContent-Type: application/x-www-form-urlencoded", door.head("POST /who"));
    let japanese = raw(door.port, &japanese, &format!("csrf={csrf}&who=2")).await;
    assert!(japanese.contains("お客様のメールサーバーに受け取りを拒否されました"), "{japanese}");
    let nobody = door.post("/who", &format!("csrf={csrf}&who=nobody%40example.com")).await;
    assert!(nobody.contains("<p id=\"nobody\">No recipient has this address, in so many broadcasts: 2</p>"), "{nobody}");
    assert!(nobody.contains("<p id=\"by-key-alone\">") && nobody.contains("Such rows: 1</p>"), "{nobody}");
    let japanese = format!("{}\r\nAccept-Language: ja\r\nContent-Type: application/x-www-form-urlencoded", door.head("POST /who"));
    let japanese = raw(door.port, &japanese, &format!("csrf={csrf}&who=nobody%40example.com")).await;
    assert!(japanese.contains("キーでも探してください。該当する行数: 1</p>"), "{japanese}");
    console.end().await;
    assert!(!world.log("console").contains("user000003"), "{}", world.log("console"));
}

#[tokio::test(flavor = "multi_thread")]
async fn support_asks_in_a_browser_by_keyboard_on_a_phone_in_japanese() {
    let Some(phone) = Browser::start(390, 844).await else { return };
    let world = two_broadcasts().await;
    let (console, url) = world.start_console().await;
    phone.page.goto(url.as_str()).await.unwrap();
    phone.wait_until("document.querySelector('#broadcasts a') !== null").await;
    phone.page.find(Locator::Css("a[hreflang=ja]")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.documentElement.lang === 'ja'").await;
    phone.page.find(Locator::Css("#who")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.querySelector('form input[name=who]') !== null").await;
    phone.assert_fits().await;
    let field = phone.page.find(Locator::Css("form input[name=who]")).await.unwrap();
    field.send_keys(&format!("user000002@example.com{}", Key::Enter)).await.unwrap();
    phone.wait_until("document.getElementById('found') !== null").await;
    assert!(!phone.page.current_url().await.unwrap().as_str().contains("user"), "the address stands in the history");
    assert!(phone.text("#found .sentence").await.contains("受け取りを拒否されました"));
    assert!(phone.text("#is-suppressed").await.contains("bounced"));
    phone.assert_fits().await;
    // The letter is in a frame that may run nothing.
    phone.page.find(Locator::Css("#found summary")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.querySelector('#found details').open").await;
    assert_eq!(phone.value("document.querySelector('#found iframe').getAttribute('sandbox')").await, json!(""));
    phone.picture("console-who").await;
    console.end().await;
    phone.end().await;
}
