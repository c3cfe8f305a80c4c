//! Every page of the console, in both languages, on a phone, at a desk and in the dark: `docs/pictures` keeps what this sees.

use fantoccini::Locator;
use issei_sim::Account;
use issei_test_support::{Browser, Processes, command_body};

use crate::console::{Door, csrf_of};

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
        // What a letter says runs nothing, nor does what would look it over.
        browser.page.goto(&format!("http://127.0.0.1:{}{}/b/terms/letters", door.port, door.base)).await.unwrap();
        browser.picture(&format!("letters-{screen}")).await;
    }
    let csrf = csrf_of(&door.get("/b/terms").await);
    let approved = door.post("/b/terms/approve", &format!("csrf={csrf}&reason=read&confirm=terms")).await;
    assert!(approved.starts_with("HTTP/1.1 200"), "{approved}");
    world.wait_for("terms", "complete").await;
    for (browser, screen) in browsers {
        for page in [("list", "/"), ("complete", "/b/terms"), ("evidence", "/b/terms/evidence")] {
            look(browser, screen, &door, page).await;
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
