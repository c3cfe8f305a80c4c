//! The console: who may use it, and what an operator does with it in a browser.

use std::sync::{Arc, Mutex};

use fantoccini::Locator;
use fantoccini::key::Key;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Browser, Process, Processes, command_body, judge};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request, as raw as an attacker sends it. Gives the status line and everything after.
pub(crate) async fn raw(port: u16, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn status(answer: &str) -> &str {
    answer.split_whitespace().nth(1).unwrap_or(answer)
}

/// A door of a console, and whoever has come in by its address.
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) base: String,
    token: String,
}

impl Door {
    pub(crate) fn at(address: &str) -> Self {
        let (before, token) = address.split_once("/?token=").unwrap();
        let (host, base) = before.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
        Self { port: host.parse().unwrap(), base: format!("/{base}"), token: token.to_owned() }
    }

    /// What every request of theirs says.
    pub(crate) fn head(&self, request: &str) -> String {
        let (method, path) = request.split_once(' ').unwrap();
        let Self { port, base, token } = self;
        format!("{method} {base}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: issei_console={token}")
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        raw(self.port, &self.head(&format!("GET {path}")), "").await
    }

    /// As a browser does it: what was done is said by the page that it is sent on to.
    pub(crate) async fn post(&self, path: &str, form: &str) -> String {
        let answer = self.post_alone(path, form).await;
        match self.sent_on(&answer) {
            Some(page) => self.get(&page).await,
            None => answer,
        }
    }

    pub(crate) async fn post_alone(&self, path: &str, form: &str) -> String {
        raw(self.port, &format!("{}\r\n{FORM}", self.head(&format!("POST {path}"))), form).await
    }

    /// Where an answer sends a browser on to, within the door.
    pub(crate) fn sent_on(&self, answer: &str) -> Option<String> {
        let location = answer.split_once("\r\nlocation: ").filter(|_| status(answer) == "303")?.1;
        Some(location.lines().next()?.strip_prefix(&self.base)?.to_owned())
    }
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// The word that every form of a page carries.
pub(crate) fn csrf_of(page: &str) -> String {
    page.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}")).split('"').next().unwrap().to_owned()
}

/// What whoever lets a broadcast go on sends from its page.
pub(crate) fn lets_go_on(page: &str, confirm: &str) -> String {
    let seen = page.split("name=\"seen\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}")).split('"').next().unwrap();
    format!("csrf={}&reason=well&confirm={confirm}&seen={seen}", csrf_of(page))
}

pub(crate) async fn running_slowly() -> (Processes, Vec<Process>) {
    let events = Processes::account_with_events();
    // Slow enough for minutes of work to be left, however long browsers take.
    let world = Processes::new(10, Account { max_send_rate: 10.0, ..events }).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::DelayMs(50)));
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms", |body| body["audience"] = json!("rehearsal-6000")));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for_accepted(20).await;
    (world, services)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_page_can_make_the_console_act() {
    let (world, services) = running_slowly().await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let (port, base, token) = (door.port, &door.base, &door.token);
    let host = format!("Host: 127.0.0.1:{port}");
    let deed = |csrf: &str, confirm: &str| format!("csrf={csrf}&reason=test&confirm={confirm}");

    // Neither without the token, nor with another, nor with it and without the door, nor under a name that somebody points here.
    for head in [
        format!("GET / HTTP/1.1\r\n{host}"),
        format!("GET /b/terms HTTP/1.1\r\n{host}\r\nCookie: issei_console={token}"),
        format!("GET /s/0/b/terms HTTP/1.1\r\n{host}\r\nCookie: issei_console={token}"),
        format!("GET /?token={token} HTTP/1.1\r\n{host}"),
        format!("GET {base}/ HTTP/1.1\r\n{host}"),
        format!("GET {base}/style.css HTTP/1.1\r\n{host}"),
        format!("GET {base}/?token=0 HTTP/1.1\r\n{host}"),
        format!("GET {base}/b/terms HTTP/1.1\r\n{host}\r\nCookie: issei_console=0"),
        format!("POST {base}/b/terms/stop?token={token} HTTP/1.1\r\n{host}\r\n{FORM}"),
        format!("GET {base}/b/terms HTTP/1.1\r\n{host}\r\nCookie: lang={token}; issei={token}"),
    ] {
        assert_eq!(status(&raw(port, &head, "").await), "401", "{head}");
    }
    let rebound = door.head("GET /").replace(&host, &format!("Host: evil.example:{port}"));
    assert_eq!(status(&raw(port, &rebound, "").await), "421");

    // What a browser may do with the cookie, whoever asks it.
    let welcome = raw(port, &format!("GET {base}/?token={token} HTTP/1.1\r\n{host}"), "").await;
    assert!(welcome.contains(&format!("\r\nset-cookie: issei_console={token}; SameSite=Lax; Path={base}/; HttpOnly\r\n")), "{welcome}");

    // A page with everything that keeps others out, and the word that every form must carry.
    let page = door.get("/b/terms").await;
    assert_eq!(status(&page), "200", "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'") && page.contains("frame-ancestors 'none'"), "{page}");
    for header in ["referrer-policy: same-origin", "x-content-type-options: nosniff", "cache-control: no-store"] {
        assert!(page.contains(&format!("\r\n{header}\r\n")), "{header}: {page}");
    }
    let csrf = csrf_of(&page);

    // Another site's form, even with the cookie; a guessed word; a confirmation that was not typed.
    let foreign = format!("{}\r\n{FORM}\r\nOrigin: https://evil.example", door.head("POST /b/terms/stop"));
    assert_eq!(status(&raw(port, &foreign, &deed(&csrf, "terms")).await), "403");
    let neighbour = foreign.replace("https://evil.example", "http://127.0.0.1:1");
    assert_eq!(status(&raw(port, &neighbour, &deed(&csrf, "terms")).await), "403");
    assert_eq!(status(&door.post("/b/terms/stop", &deed("0", "terms")).await), "403");
    assert_eq!(status(&door.post("/b/terms/stop", &deed(&csrf, "term")).await), "422");
    assert_eq!(status(&door.post("/b/terms/resume", &format!("csrf={csrf}&reason=+&confirm=terms")).await), "422");
    assert_eq!(status(&door.post("/b/terms/pause", &format!("csrf={csrf}&reason=+&confirm=terms")).await), "422");
    assert_eq!(status(&door.post("/b/terms/resume", &deed(&csrf, "terms")).await), "409");
    // The answer to a form has links to the other language: they lead back to the page, and do nothing.
    for (form, page) in [("/b/terms/stop", "/b/terms"), ("/b/terms/pause", "/b/terms"), ("/stop-all", "/")] {
        let back = door.get(&format!("{form}?lang=ja")).await;
        assert!(status(&back) == "303" && back.contains(&format!("\r\nlocation: {base}{page}?lang=ja\r\n")), "{form}: {back}");
    }
    assert_eq!(status(&door.get("/b/nobody").await), "404");
    assert!(world.run(&["status", "terms", "--json"]).await.contains("\"state\":\"running\""), "something of this stopped it");

    // With all of it, it stops.
    assert_eq!(status(&door.post_alone("/b/terms/stop", &deed(&csrf, "terms")).await), "303");
    world.wait_for("terms", "stopped").await;
    console.end().await;
    for service in services {
        service.end().await;
    }
}

/// A server of somebody else on the same machine, that keeps what browsers send to it.
async fn neighbour() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(String::new())));
    let heard_there = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16_384];
            let length = stream.read(&mut request).await.unwrap_or_default();
            heard_there.lock().unwrap().push_str(&String::from_utf8_lossy(&request[..length]));
            let page = "<title>neighbour</title>";
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_tells_the_token_to_no_other_server_on_the_machine() {
    let Some(browser) = Browser::start(1_280, 900).await else { return };
    let world = Processes::simulated(10, Account::default()).await;
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let (port, heard) = neighbour().await;

    // As from a mail or a chat: a link on a page of another site.
    browser.page.goto(&format!("data:text/html,<a id='in' href='{url}'>in</a>")).await.unwrap();
    browser.page.find(Locator::Css("#in")).await.unwrap().click().await.unwrap();
    browser.wait_until("document.querySelector('h1')?.textContent === 'Broadcasts'").await;
    browser.page.find(Locator::Css("a[hreflang=ja]")).await.unwrap().click().await.unwrap();
    browser.wait_until("document.documentElement.lang === 'ja'").await;
    let at = browser.page.current_url().await.unwrap();
    assert!(at.path().starts_with(&door.base) && !at.as_str().contains(&door.token), "{at}");

    // What others on this machine serve is opened in the same browser, from the address bar and by the console's own page.
    for path in ["/", "/b/terms", "/s/"] {
        browser.page.goto(&format!("http://127.0.0.1:{port}{path}")).await.unwrap();
        browser.wait_until("document.title === 'neighbour'").await;
    }
    browser.page.goto(&format!("http://127.0.0.1:{}{}/", door.port, door.base)).await.unwrap();
    browser.wait_until("document.querySelector('main') !== null").await;
    browser.value(&format!("void (location.href = 'http://127.0.0.1:{port}/from-the-console')")).await;
    browser.wait_until("document.title === 'neighbour'").await;
    let heard = heard.lock().unwrap().clone();
    assert!(heard.contains("/from-the-console") && heard.contains("GET /b/terms"), "{heard}");
    let secret = door.base.strip_prefix("/s/").unwrap();
    assert!(!heard.contains(&door.token) && !heard.contains(secret) && !heard.contains("Cookie:"), "{heard}");

    // The pages that it has seen open for it alone.
    let copied = format!("GET {}/b/terms HTTP/1.1\r\nHost: 127.0.0.1:{}", door.base, door.port);
    assert_eq!(status(&raw(door.port, &copied, "").await), "401");
    console.end().await;
    browser.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_follows_and_stops_a_broadcast_in_a_browser_by_keyboard_and_on_a_phone() {
    let Some(phone) = Browser::start(390, 844).await else { return };
    let Some(desk) = Browser::start(1_280, 900).await else { return };
    let Some(night) = Browser::start_dark(390, 844).await else { return };
    let (world, services) = running_slowly().await;
    let (console, url) = world.start_console().await;

    // Three people follow the same broadcast.
    for browser in [&phone, &desk, &night] {
        browser.page.goto(url.as_str()).await.unwrap();
        browser.wait_until("document.querySelector('#broadcasts a') !== null").await;
        assert!(!browser.page.current_url().await.unwrap().as_str().contains("token="), "the token stays in the address");
        assert!(browser.value("document.querySelector('#broadcasts time').title").await.as_str().unwrap().ends_with(" UTC"));
        browser.page.find(Locator::Css("#broadcasts a")).await.unwrap().click().await.unwrap();
        browser.wait_until("document.querySelector('#live svg') !== null").await;
        browser.assert_fits().await;
        browser.assert_accessible("a broadcast that runs").await;
    }
    assert_eq!(night.value("getComputedStyle(document.body).backgroundColor").await, json!("rgb(22, 22, 22)"));
    night.picture("console-night").await;
    night.end().await;
    // What it means and what is to be done, the words that are sent, one bar, and times by the reader's own clock.
    assert_eq!(desk.text("#next").await, "It goes on by itself. Nothing is to be done.");
    assert_eq!(desk.text("#subject").await, "Terms for {{name}}");
    let bar = "Array.from(document.querySelectorAll('.legend strong[id^=bar]')).map((part) => part.textContent.replace(/,/g, ''))";
    let sum = format!("{bar}.reduce((sum, part) => sum + Number(part), 0)");
    assert_eq!(desk.value(&sum).await, json!(6_000));
    desk.wait_until("document.getElementById('time-left') !== null").await;
    assert!(desk.value("document.querySelector('#audit time').title").await.as_str().unwrap().ends_with(" UTC"));
    let before: u64 = desk.text("#count-accepted").await.replace(',', "").trim().parse().unwrap();
    desk.wait_until(&format!("Number(document.getElementById('count-accepted').textContent.replace(/,/g, '')) > {before}")).await;
    assert_eq!(desk.text("#state").await, "running");
    desk.picture("console-desk").await;
    desk.pictures_in_both("console").await;

    // In Japanese, and at the width of a phone.
    phone.page.find(Locator::Css("a[hreflang=ja]")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.documentElement.lang === 'ja' && document.getElementById('state').textContent === '送信中'").await;
    phone.assert_fits().await;
    // A plot that can be read on a phone stands in the place of the one for a desk.
    assert_eq!(phone.value("getComputedStyle(document.querySelector('.plot .desk')).display").await, json!("none"));
    phone.picture("console-phone").await;
    // The sheet of an action, too.
    phone.page.find(Locator::Css("#open-stop")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.activeElement.name === 'reason'").await;
    phone.assert_fits().await;
    phone.assert_accessible("the sheet of a stop").await;
    phone.picture("console-phone-stop").await;
    phone.page.find(Locator::Css("#do-stop .plain")).await.unwrap().click().await.unwrap();
    phone.wait_until("!document.querySelector('#do-stop').matches(':popover-open')").await;

    // Pause and stop, by keyboard alone: to the summary, Enter, and on from there by Tab. A reason is text
    // from outside, and must never become part of the page.
    by_keyboard(&desk, "pause", "<script>document.title='owned'</script>", "terms").await;
    desk.wait_until("document.getElementById('state').textContent === 'paused'").await;
    assert!(desk.text("#audit").await.contains("<script>document.title='owned'</script>"));
    assert_ne!(desk.value("document.title").await, json!("owned"));
    assert_eq!(desk.value("document.querySelector('#form-stop button').disabled").await, json!(true));
    by_keyboard(&desk, "stop", "the wrong text", "terms").await;
    desk.wait_until("document.getElementById('state').textContent.startsWith('stop')").await;
    // It counts down, whatever the reader's own clock says, and calls nothing proved before.
    desk.value("void (Date.now = () => 0)").await;
    let left = "Number(/[0-9]+/.exec(document.getElementById('countdown')?.textContent ?? '')?.[0] ?? 0)";
    desk.wait_until(&format!("{left} > 0 && {left} < 1000")).await;
    assert_eq!(desk.value("document.getElementById('proved')").await, json!(null));
    world.wait_for("terms", "stopped").await;
    // The other one sees it without doing anything.
    phone.wait_until("document.getElementById('state').textContent === '停止済み'").await;
    let after = world.cloud.accepted();
    assert!(after < 6_000, "{after}");
    desk.wait_until("document.getElementById('proved') !== null").await;
    assert!(desk.text("#next").await.starts_with("It is over: nothing of it can be sent or accepted any more."));
    desk.picture("console-stopped").await;

    desk.page.find(Locator::LinkText("Evidence")).await.unwrap().click().await.unwrap();
    desk.wait_until("document.querySelector('#findings') !== null").await;
    assert_eq!(desk.text("#machine-verdict").await, "NOT_CONVERGED", "a glance is never a certificate");
    desk.assert_accessible("the evidence").await;
    desk.assert_fits().await;
    desk.picture("console-evidence").await;
    assert_eq!(world.cloud.accepted(), after);
    console.end().await;
    desk.end().await;
    phone.end().await;
    for service in services {
        service.end().await;
    }
    assert_eq!(judge(&world.cloud, "terms").duplicates(), Vec::<&str>::new());
}

/// Opens an action, fills it in and sends it, with keys alone.
pub(crate) async fn by_keyboard(browser: &Browser, verb: &str, reason: &str, confirm: &str) {
    let summary = browser.page.find(Locator::Css(&format!("#open-{verb}"))).await.unwrap();
    summary.send_keys(&Key::Enter.to_string()).await.unwrap();
    // To the reason, to the confirmation, and Enter in a field sends the form.
    summary.send_keys(&Key::Tab.to_string()).await.unwrap();
    let focused = |what: &str| format!("document.activeElement.name === '{what}'");
    browser.wait_until(&focused("reason")).await;
    let field = browser.page.active_element().await.unwrap();
    field.send_keys(&format!("{reason}{}", Key::Tab)).await.unwrap();
    browser.wait_until(&focused("confirm")).await;
    let field = browser.page.active_element().await.unwrap();
    field.send_keys(&format!("{confirm}{}", Key::Enter)).await.unwrap();
    browser.wait_until("document.getElementById('message') !== null").await;
}
