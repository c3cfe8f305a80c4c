//! Every page of the console, in both languages, on a phone, at a desk and in the dark: `docs/pictures` keeps what this sees.

use fantoccini::Locator;
use issei_sim::Account;
use issei_test_support::{Browser, Processes, command_body};

use crate::console::{Door, lets_go_on};

const TONGUES: [&str; 2] = ["en", "ja"];

/// Opens a page as its reader does, and looks whether it can be read there.
async fn look(browser: &Browser, screen: &str, door: &Door, (name, path): (&str, &str)) {
    for tongue in TONGUES {
        let at = format!("http://127.0.0.1:{}{}{path}?lang={tongue}", door.port, door.base);
        browser.page.goto(&at).await.unwrap();
        let is_there = format!("document.documentElement.lang === '{tongue}' && document.querySelector('main') !== null");
        browser.wait_until(&is_there).await;
        browser.assert_fits().await;
        browser.assert_accessible(&format!("{name} in {tongue} {screen}")).await;
        browser.picture(&format!("{name}-{tongue}-{screen}")).await;
    }
}

/// What a form without an address in its own finds. The language is the one that was asked for last.
async fn ask(browser: &Browser, screen: &str, door: &Door, who: &str) {
    look(browser, screen, door, ("who", "/who")).await;
    let field = browser.page.find(Locator::Css("form input[name=who]")).await.unwrap();
    field.send_keys(&format!("{who}{}", fantoccini::key::Key::Enter)).await.unwrap();
    browser.wait_until("document.getElementById('found') !== null").await;
    browser.assert_fits().await;
    browser.picture(&format!("who-found-{}-{screen}", TONGUES[1])).await;
}

/// Whoever is to approve sees how many letters there are, and each of them, below the state; and reads on while it is kept up to date.
async fn letters_are_all_seen(browser: &Browser) {
    let frame = "document.getElementById('letters')";
    let height = format!("{frame}.contentDocument?.scrollingElement?.scrollHeight ?? 0");
    browser.wait_until(&format!("({height}) > 300 && ({height}) <= {frame}.clientHeight && {frame}.clientHeight % 1200 !== 0")).await;
    let letters = browser.value(&format!("{frame}.contentDocument.querySelectorAll('section').length")).await;
    assert_eq!(browser.text("#letters-count").await, letters.to_string());
    let places = "['state', 'letters', 'counts'].map((id) => document.getElementById(id).getBoundingClientRect().top)";
    let in_order = format!("((tops) => tops[0] < tops[1] && tops[1] < tops[2])({places})");
    assert_eq!(browser.value(&in_order).await, true, "{places}");
    browser.value("void (document.querySelector('#live > section').dataset.before = 'yes')").await;
    browser.value("void (document.getElementById('letters').contentDocument.body.dataset.before = 'yes')").await;
    browser.wait_until("document.querySelector('#live > section[data-before]') === null").await;
    assert_eq!(browser.value(&format!("{frame}.contentDocument.body.dataset.before")).await, "yes", "it was loaded anew");
    let parts = "[document.querySelectorAll('#live > section').length, document.querySelectorAll('#counts').length]";
    assert_eq!(browser.value(parts).await, serde_json::json!([1, 1]));
    assert_eq!(browser.value(&in_order).await, true, "{places}");
}

/// No table's last column lies off the screen, and no state is broken one sign a line.
async fn rows_are_seen_to_their_end(browser: &Browser) {
    let off = "Array.from(document.querySelectorAll('#audit td, #broadcasts td, #broken td, #so-far td, #findings details[open] td'))
        .filter((cell) => cell.getBoundingClientRect().right > document.documentElement.clientWidth).map((cell) => cell.textContent)";
    assert_eq!(browser.value(off).await, serde_json::json!([]));
    let broken = "Array.from(document.querySelectorAll('td.short')).filter((cell) => { const text = document.createRange();
        text.selectNodeContents(cell); return text.getClientRects().length > 1; }).length";
    assert_eq!(browser.value(broken).await, 0);
}

/// What stands along the plot is large enough, hides nothing else of it, and is by the reader's own clock.
async fn plot_can_be_read(browser: &Browser) {
    browser.wait_until("document.querySelector('.plot')?.dataset.day === undefined").await;
    let texts = "Array.from(document.querySelectorAll('.plot text')).filter((text) => text.getBoundingClientRect().width > 0)";
    let pixels = "(text) => parseFloat(text.getAttribute('font-size')) * text.ownerSVGElement.getBoundingClientRect().width / text.ownerSVGElement.viewBox.baseVal.width";
    let small = browser.value(&format!("{texts}.filter((text) => ({pixels})(text) < 12).map((text) => text.textContent)")).await;
    assert_eq!(small, serde_json::json!([]));
    let hidden = format!(
        "((boxes) => boxes.flatMap(([one, a], at) => boxes.slice(at + 1).filter(([, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1).map(([other]) => `${{one}} and ${{other}}`)))({texts}.map((text) => [text.textContent.trim(), text.getBoundingClientRect()]))"
    );
    assert_eq!(browser.value(&hidden).await, serde_json::json!([]));
    let by_utc = browser.value(&format!("{texts}.some((text) => text.textContent.includes('UTC'))")).await;
    assert_eq!(by_utc, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_read_in_both_languages_on_a_phone_at_a_desk_and_in_the_dark() {
    let Some(phone) = Browser::start(390, 844).await else { return };
    let Some(desk) = Browser::start(1_280, 900).await else { return };
    let Some(night) = Browser::start_dark(390, 844).await else { return };
    let browsers = [(&phone, "phone"), (&desk, "desk"), (&night, "dark")];
    let world = Processes::new(60, Account { max_send_rate: 1_000.0, ..Processes::account_with_events() }).await;
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    for (browser, screen) in browsers {
        browser.page.goto(url.as_str()).await.unwrap();
        browser.wait_until("document.querySelector('#broadcasts a') !== null").await;
        look(browser, screen, &door, ("holding", "/b/terms")).await;
        letters_are_all_seen(browser).await;
        // What a letter says runs nothing, nor does what would look it over.
        browser.page.goto(&format!("http://127.0.0.1:{}{}/b/terms/letters", door.port, door.base)).await.unwrap();
        browser.picture(&format!("letters-{screen}")).await;
    }
    let approved = door.post("/b/terms/approve", &lets_go_on(&door.get("/b/terms").await, "terms")).await;
    assert!(approved.starts_with("HTTP/1.1 200"), "{approved}");
    world.wait_for("terms", "complete").await;
    for (browser, screen) in browsers {
        for page in [
            ("list", "/"),
            ("complete", "/b/terms"),
            ("evidence", "/b/terms/evidence"),
            ("words", "/b/terms/words"),
            ("reason", "/reason/HOLDING_ASKED"),
            ("failed", "/b/nobody"),
        ] {
            look(browser, screen, &door, page).await;
            rows_are_seen_to_their_end(browser).await;
            if page.0 == "complete" {
                plot_can_be_read(browser).await;
            }
        }
        ask(browser, screen, &door, "user000007@example.com").await;
    }
    console.end().await;
    for browser in [phone, desk, night] {
        browser.end().await;
    }
    for service in services {
        service.end().await;
    }
}
