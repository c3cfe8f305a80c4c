//! What a page says and how it is seen: a broadcast that runs well has nothing against it, one that ended well and mailed somebody
//! twice is not well, what became of a form is said once, and a page that can't be shown is one all the same.

use fantoccini::Locator;
use fantoccini::key::Key;
use issei_sim::Account;
use issei_test_support::{Browser, Processes, command_body, until};
use serde_json::json;

use crate::console::{Door, by_keyboard, csrf_of, running_slowly, status};

/// What stands in the tag with this id.
fn tag<'a>(page: &'a str, id: &str) -> &'a str {
    let at = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id} is not on the page: {page}"));
    let begin = page[..at].rfind('<').unwrap();
    &page[begin..begin + page[begin..].find('>').unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_runs_well_has_nothing_against_it_while_its_sums_move() {
    let (world, services) = running_slowly().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    for _ in 0..12 {
        let page = door.get("/b/terms/evidence").await;
        assert!(!tag(&page, "verdict").contains("bad") && !page.contains("id=\"broken\""), "{page}");
        assert!(page.contains("It is not over yet. Nothing speaks against it so far."), "{page}");
        assert!(tag(&page, "so-far").starts_with("<table") && page.contains("so far: ") && !page.contains("BROKEN"), "{page}");
        // No certificate is given for all that.
        assert!(page.contains("<code id=\"machine-verdict\">NOT_CONVERGED</code>"), "{page}");
        for topic in ["Settings", "Services", "Audience and broadcast", "Outcomes"] {
            assert!(page.contains(&format!("<summary>What holds: {topic} (")), "{topic}: {page}");
        }
    }
    // What is wrong is red, whether it is over or not.
    let (db, table) = world.table().await;
    let key = |name: &str, value: &str| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned()));
    db.update_item()
        .table_name(&table)
        .set_key(Some([key("pk", "b#terms"), key("sk", "broadcast")].into()))
        .update_expression("SET held_before_send = :yes")
        .expression_attribute_values(":yes", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
        .send()
        .await
        .unwrap();
    let page = door.get("/b/terms/evidence").await;
    assert!(tag(&page, "verdict").contains("bad") && page.contains("1 finding speaks against it:"), "{page}");
    assert!(page.contains("audit trail: leads to the state"), "{page}");
    console.end().await;
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_mailed_twice_after_the_end_is_seen_in_red_with_a_code_and_what_to_do() {
    let world = Processes::new(20, Processes::account_with_events()).await;
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let before = door.get("/b/terms").await;
    assert!(before.contains("class=\"state good\"") && !before.contains("accepted-twice"), "{before}");
    let tags = json!({ "broadcast": ["terms"], "chunk": ["0"], "recipient": ["1"], "registration": [world.letter_mark("terms").await] });
    world.carry_events().await;
    let second = json!({ "eventType": "Send", "mail": { "messageId": "another", "tags": tags } });
    world.post("ISSEI_FEEDBACK_QUEUE", &second.to_string()).await;
    until("the trail tells of it", async || world.run(&["audit", "terms"]).await.contains("more than once")).await;
    let page = door.get("/b/terms").await;
    assert!(page.contains("class=\"state bad\"") && page.contains("Somebody was mailed twice"), "{page}");
    assert!(tag(&page, "accepted-twice").contains("bad") && page.contains("href=\"../reason/ACCEPTED_TWICE\""), "{page}");
    assert!(door.get("/").await.contains("<span class=\"bad\"><a href=\"") && door.get("/").await.contains("<code>ACCEPTED_TWICE</code>"));
    let reason = door.get("/reason/ACCEPTED_TWICE").await;
    assert!(status(&reason) == "200" && reason.contains("issei export ID --outcome accepted-twice"), "{reason}");
    let japanese = door.get("/b/terms?lang=ja").await;
    assert!(japanese.contains("同じ人に2通以上送られました"), "{japanese}");
    let told: serde_json::Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!((&told["state"], &told["reason_code"]), (&json!("complete"), &json!("ACCEPTED_TWICE")), "{told}");
    let trail = world.run(&["audit", "terms", "--json"]).await;
    assert!(trail.contains("\"code\":\"ACCEPTED_TWICE\""), "{trail}");
    console.end().await;
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_form_is_said_once_and_neither_a_reload_nor_the_way_back_does_it_again() {
    let (world, services) = running_slowly().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let csrf = csrf_of(&door.get("/b/terms").await);
    let answer = door.post_alone("/b/terms/pause", &format!("csrf={csrf}&reason=a+look&confirm=terms")).await;
    let page = door.sent_on(&answer).unwrap_or_else(|| panic!("{answer}"));
    assert!(page.starts_with("/b/terms?said="), "{page}");
    assert!(door.get(&page).await.contains("id=\"message\""));
    assert!(!door.get(&page).await.contains("id=\"message\""), "it is said twice");
    // So is what was refused, with what was typed but for the confirmation, in the form that it was typed in.
    for (form, refused, code, kept) in [
        ("/b/terms/resume", format!("csrf={csrf}&reason=once+more&confirm=term"), "422", "name=\"reason\" required maxlength=\"1000\""),
        (
            "/b/terms/resume",
            format!("csrf={csrf}&reason=once+more&confirm=terms&seen=0"),
            "409",
            "name=\"reason\" required maxlength=\"1000\"",
        ),
        ("/b/terms/stop", "csrf=0&reason=once+more&confirm=terms".to_owned(), "403", "name=\"reason\" required maxlength=\"1000\""),
        ("/stop-all", format!("csrf={csrf}&reason=once+more&confirm=stop"), "422", "name=\"reason\" required maxlength=\"1000\""),
        ("/b/terms/copy", format!("csrf={csrf}&page=0&chunk=0&place=0&to=once+more"), "422", "name=\"to\" type=\"email\""),
        ("/b/terms/copy", format!("csrf={csrf}&page=9&chunk=0&place=0&to=once+more"), "404", ""),
        ("/b/terms/words", "csrf=0&who=once+more".to_owned(), "403", "name=\"who\""),
        ("/who", "csrf=0&who=once+more".to_owned(), "403", "name=\"who\""),
        ("/b/terms/stop", format!("csrf={csrf}&confirm=terms&confirm=terms"), "422", ""),
    ] {
        let answer = door.post_alone(form, &refused).await;
        let page = door.sent_on(&answer).unwrap_or_else(|| panic!("{form} {refused}: {answer}"));
        assert!(!page.contains("more"), "{page}");
        let shown = door.get(&page).await;
        assert!(status(&shown) == code && shown.contains("id=\"message\""), "{form} {refused}: {shown}");
        let inputs: Vec<&str> = shown.split('<').filter(|tag| tag.contains("value=\"once more\"")).collect();
        assert_eq!(inputs.len(), usize::from(!kept.is_empty()), "{form} {refused}: {inputs:?}");
        assert!(inputs.iter().all(|input| input.contains(kept)), "{form} {refused}: {inputs:?}");
        let again = door.get(&page).await;
        assert!(status(&again) == "200" && !again.contains("id=\"message\"") && !again.contains("once more"), "{form}: {again}");
    }

    let Some(browser) = Browser::start(390, 844).await else { return };
    browser.page.goto(url.as_str()).await.unwrap();
    browser.page.goto(&format!("http://127.0.0.1:{}{}/b/terms", door.port, door.base)).await.unwrap();
    by_keyboard(&browser, "resume", "well", "terms").await;
    let entries = || async { world.run(&["audit", "terms"]).await.matches("paused -> running").count() };
    assert_eq!(entries().await, 1);
    let at = browser.page.current_url().await.unwrap();
    assert!(at.path().ends_with("/b/terms") && at.query().is_none(), "{at}");
    browser.page.refresh().await.unwrap();
    browser.wait_until("document.querySelector('#state')?.textContent === 'running'").await;
    assert_eq!(browser.value("document.getElementById('message')").await, json!(null));
    // Back leads to the broadcast as it is, with the buttons of its state.
    browser.page.back().await.unwrap();
    browser
        .wait_until("document.querySelector('#state')?.textContent === 'running' && document.getElementById('open-pause') !== null")
        .await;
    assert_eq!(browser.value("document.getElementById('open-resume')").await, json!(null));
    assert_eq!(entries().await, 1);
    // What is refused stands at the address of the broadcast, too: the page is loaded again without a question, and nothing is sent.
    let refuse =
        "const form = document.getElementById('form-pause'); form.reason.value = 'once more'; form.confirm.value = 'term'; form.submit()";
    browser.page.execute(refuse, Vec::new()).await.unwrap();
    browser.wait_until("document.querySelector('#message.bad') !== null").await;
    let at = browser.page.current_url().await.unwrap();
    assert!(at.path().ends_with("/b/terms") && at.query().is_none(), "{at}");
    assert_eq!(browser.value("document.querySelector('#form-pause [name=reason]').value").await, json!("once more"));
    assert_eq!(browser.value("document.querySelector('#form-stop [name=reason]').value").await, json!(""));
    browser.assert_accessible("a broadcast whose form was refused").await;
    browser.page.refresh().await.unwrap();
    browser.wait_until("document.querySelector('#state') !== null && document.getElementById('message') === null").await;
    // Everything is stopped from the list, whose button is to be seen at once, on a phone too.
    browser.page.goto(&format!("http://127.0.0.1:{}{}/", door.port, door.base)).await.unwrap();
    browser.wait_until("document.getElementById('open-stop-all')?.getBoundingClientRect().bottom < window.innerHeight").await;
    by_keyboard(&browser, "stop-all", "the wrong text", "stop all").await;
    browser.assert_fits().await;
    browser.assert_accessible("the list after everything was stopped").await;
    assert!(browser.text("#message").await.starts_with("stop --all: terms"));
    browser.end().await;
    console.end().await;
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cant_be_shown_has_a_heading_and_a_way_back_and_keeps_nobody_out() {
    let Some(browser) = Browser::start(390, 844).await else { return };
    let world = Processes::simulated(10, Account::default()).await;
    let (console, addresses) = world.start_console_with(&["--port", "0", "--right", "everything,stop"], &[], 2).await;
    let doors: Vec<Door> = addresses.iter().map(|line| Door::at(line.split_once(' ').unwrap().1.trim())).collect();
    for (door, path, heading, told) in [
        (&doors[0], "/b/nobody", "Not found", "nobody"),
        (&doors[0], "/b/%20", "Not found", "no broadcast's id"),
        (&doors[0], "/nothing", "Not found", "there is no such page"),
        (&doors[1], "/who", "Not allowed", "this address may only stop"),
    ] {
        browser.page.goto(addresses[usize::from(door.base == doors[1].base)].split_once(' ').unwrap().1.trim()).await.unwrap();
        browser.page.goto(&format!("http://127.0.0.1:{}{}{path}", door.port, door.base)).await.unwrap();
        browser.wait_until("document.querySelector('h1') !== null").await;
        assert_eq!(browser.text("h1").await, heading, "{path}");
        assert!(browser.text("#told").await.contains(told), "{path}");
        browser.assert_fits().await;
        browser.assert_accessible(path).await;
        browser.page.find(Locator::LinkText("All broadcasts")).await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
        browser.wait_until("document.querySelector('h1')?.textContent === 'Broadcasts'").await;
    }
    // What stands where a letter would is shown in its frame.
    let framed = doors[0].get("/b/nobody/letters").await;
    assert!(status(&framed) == "404" && framed.contains("frame-ancestors 'self'") && framed.contains("<p id=\"told\">"), "{framed}");
    // Whoever has no door is shown nothing of the console, and can read it.
    browser.page.goto(&format!("http://127.0.0.1:{}/", doors[0].port)).await.unwrap();
    browser.wait_until("document.querySelector('h1') !== null").await;
    assert!(browser.text("#told").await.contains("open the address that `issei console` printed"));
    browser.assert_accessible("without a door").await;
    browser.end().await;
    console.end().await;
}

/// Whoever approves names a row, reads its letter and has a copy of it sent, by keyboard; and reads the words once it is approved, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_approver_reads_the_letter_of_a_row_and_is_sent_a_copy_and_reads_on_after_the_approval() {
    let Some(browser) = Browser::start(390, 844).await else { return };
    let world = Processes::simulated(20, Account { keep_mails: true, ..Account::default() }).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let at = |path: &str| format!("http://127.0.0.1:{}{}{path}", door.port, door.base);
    browser.page.goto(url.as_str()).await.unwrap();
    browser.page.goto(&at("/b/terms")).await.unwrap();
    browser.page.find(Locator::Css("#to-words")).await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    browser.wait_until("document.querySelector('#row') !== null").await;
    browser.assert_accessible("the letters").await;
    let ask = async |who: &str| {
        let field = browser.page.find(Locator::Css("#row input[name=who]")).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(&format!("{who}{}", Key::Enter)).await.unwrap();
    };
    ask("nobody").await;
    browser.wait_until("document.querySelector('#message')?.textContent.includes('nobody with that key or address')").await;
    ask("user000007@example.com").await;
    browser.wait_until("document.querySelector('#found iframe') !== null").await;
    assert!(!browser.page.current_url().await.unwrap().as_str().contains("user000007"), "an address stands in the address of a page");
    browser.assert_fits().await;
    browser.assert_accessible("the letter of a row").await;
    browser.picture("words-row-en-phone").await;
    let place = browser.value("document.querySelector('#found iframe').getAttribute('src')").await;
    let letter = door.get(place.as_str().unwrap().strip_prefix(&door.base).unwrap()).await;
    assert!(letter.contains("Terms for User 7"), "{letter}");
    // To a stranger nothing goes, by the same rule as in the shell.
    let copy_to = async |to: &str| {
        let field = browser.page.find(Locator::Css("#found input[name=to]")).await.unwrap();
        // What was refused stands in it still.
        field.clear().await.unwrap();
        field.send_keys(&format!("{to}{}", Key::Enter)).await.unwrap();
    };
    copy_to("stranger@elsewhere.example.net").await;
    browser.wait_until("document.querySelector('#message')?.textContent.includes('neither in the sender')").await;
    copy_to("me@example.com").await;
    browser
        .wait_until("document.querySelector('#message')?.textContent.includes('a copy is on its way as the broadcast terms-test-')")
        .await;
    let mails = || world.cloud.mails().unwrap();
    until("the copy is sent", async || mails().len() == 1).await;
    assert_eq!((mails()[0].address.as_str(), mails()[0].subject.as_str()), ("me@example.com", "[Test] Terms for User 7"));
    assert_eq!(world.run(&["status", "terms", "--json"]).await.matches("\"state\":\"holding\"").count(), 1);
    // It is approved by keyboard, and its words stay.
    browser.page.goto(&at("/b/terms")).await.unwrap();
    by_keyboard(&browser, "approve", "read and copied", "terms").await;
    world.wait_for("terms", "complete").await;
    browser.page.goto(&at("/b/terms")).await.unwrap();
    browser.page.find(Locator::Css("#to-words")).await.unwrap().send_keys(&Key::Enter.to_string()).await.unwrap();
    browser.wait_until("(document.getElementById('letters')?.contentDocument?.body?.textContent ?? '').includes('Terms for User')").await;
    ask("3").await;
    browser.wait_until("document.querySelector('#found iframe') !== null").await;
    browser.end().await;
    console.end().await;
    for service in services {
        service.end().await;
    }
}
