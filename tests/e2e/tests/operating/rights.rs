//! What an address of the console may: whoever looks, whoever may only stop, and by which names it is asked for.

use fantoccini::Locator;
use issei_sim::Account;
use issei_test_support::{Browser, Process, Processes, command_body};
use serde_json::{Value, json};

use crate::console::{Door, csrf_of, raw, status};

/// Every way in, by what it needs. `crates/cli/src/console/routes.rs` has the list that this must be.
const WAYS: [(&str, &str, &str); 25] = [
    ("GET", "/", "entry"),
    ("GET", "/style.css", "entry"),
    ("GET", "/console.js", "entry"),
    ("GET", "/b/terms", "entry"),
    ("GET", "/b/terms/live", "entry"),
    ("GET", "/b/terms/evidence", "look"),
    ("GET", "/b/terms/letters", "look"),
    ("GET", "/b/terms/letter/0/0/0", "look"),
    ("GET", "/b/terms/words", "look"),
    ("POST", "/b/terms/words", "look"),
    ("GET", "/b/terms/copy", "steer"),
    ("POST", "/b/terms/copy", "steer"),
    ("GET", "/reason/PAUSED_QUOTA", "look"),
    ("GET", "/who", "look"),
    ("POST", "/who", "look"),
    ("GET", "/stop-all", "stop"),
    ("GET", "/b/terms/stop", "stop"),
    ("GET", "/b/terms/pause", "steer"),
    ("GET", "/b/terms/resume", "steer"),
    ("GET", "/b/terms/approve", "steer"),
    ("POST", "/stop-all", "stop"),
    ("POST", "/b/terms/stop", "stop"),
    ("POST", "/b/terms/pause", "steer"),
    ("POST", "/b/terms/resume", "steer"),
    ("POST", "/b/terms/approve", "steer"),
];

fn may(right: &str, needs: &str) -> bool {
    match right {
        "everything" => true,
        "look" => matches!(needs, "entry" | "look"),
        _ => matches!(needs, "entry" | "stop"),
    }
}

/// A broadcast that waits before its first send, and the producer that ends it once somebody stops it.
async fn holding() -> (Processes, Process) {
    let world = Processes::simulated(20, Account::default()).await;
    let producer = world.start("producer");
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", "--hold", &command]).await;
    world.wait_for("terms", "holding").await;
    (world, producer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_may_look_or_stop_can_do_nothing_else_by_any_page_or_method() {
    let (world, producer) = holding().await;
    let (console, addresses) = world.start_console_with(&["--port", "0", "--right", "everything,look,stop"], &[], 3).await;
    let doors: Vec<(&str, Door)> =
        addresses.iter().map(|line| line.split_once(' ').unwrap()).map(|(right, at)| (right, Door::at(at.trim()))).collect();
    assert_eq!(doors.iter().map(|(right, _)| *right).collect::<Vec<_>>(), ["everything", "look", "stop"]);
    for (right, door) in &doors {
        for (known, path, _) in WAYS {
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                let answers = WAYS.iter().find(|way| way.1 == path && (way.0 == method || method == "HEAD" && way.0 == "GET"));
                // A form without the word of the page does nothing, so that the next right finds the broadcast as it was.
                let head = format!("{}\r\nContent-Type: application/x-www-form-urlencoded", door.head(&format!("{method} {path}")));
                let answer = raw(door.port, &head, "csrf=0&reason=x&confirm=terms&who=1").await;
                // What became of a form is said by the page that it belongs to.
                let answer = match door.sent_on(&answer).filter(|_| method == "POST") {
                    Some(page) => door.get(&page).await,
                    None => answer,
                };
                let got = status(&answer);
                match answers {
                    None => assert_eq!(got, "405", "{right} {method} {path} ({known})"),
                    Some((.., needs)) if !may(right, needs) => assert_eq!(got, "403", "{right} {method} {path}: {answer}"),
                    // Whoever may is refused for the word alone.
                    Some(_) if method == "POST" => {
                        assert!(got == "403" && answer.contains("another run of the console"), "{right} {path}: {answer}");
                    }
                    Some(_) => assert!(!["401", "403", "405"].contains(&got), "{right} {method} {path}: {answer}"),
                }
            }
        }
        assert_eq!(status(&door.get("/b/terms/anything").await), "404");
        assert_eq!(status(&door.post("/b/terms/anything", "").await), "404");
    }
    // The right is the door's: the token of one opens no other, nor does the word of its forms act there.
    let (everything, look, stop) = (&doors[0].1, &doors[1].1, &doors[2].1);
    let foreign = look.head("GET /").replace(&look.base, &everything.base);
    assert_eq!(status(&raw(look.port, &foreign, "").await), "401");
    let csrf = csrf_of(&stop.get("/b/terms").await);
    for verb in ["pause", "resume", "approve"] {
        let tried = stop.post(&format!("/b/terms/{verb}"), &format!("csrf={csrf}&reason=x&confirm=terms")).await;
        assert_eq!(status(&tried), "403", "{verb}: {tried}");
    }
    let borrowed = everything.post("/b/terms/stop", &format!("csrf={csrf}&reason=x&confirm=terms")).await;
    assert_eq!(status(&borrowed), "403");
    // Who looks sees whom it is for, and no button.
    let shown = look.get("/b/terms").await;
    assert!(shown.contains("Terms for") && shown.contains("id=\"audit\"") && !shown.contains("id=\"form-stop\""), "{shown}");
    assert!(!look.get("/").await.contains("/stop-all"));

    // Who may only stop sees numbers: nobody's key or address, no letter, no words, no reason.
    for path in ["/", "/b/terms", "/b/terms/live"] {
        let shown = stop.get(path).await;
        for hidden in ["@", "user00", "Terms for", "Dear", "id=\"audit\"", "id=\"reason", "/who", "/evidence", "asked for a hold"] {
            assert!(!shown.contains(hidden), "{path} shows {hidden}: {shown}");
        }
    }
    assert!(stop.get("/").await.contains("terms"));
    // Nor what somebody has been shown a moment ago who may see it.
    for _ in 0..3 {
        assert!(everything.get("/b/terms/live").await.contains("id=\"audit\""));
        assert!(!stop.get("/b/terms/live").await.contains("id=\"audit\""));
    }
    let before: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!(before["state"], "holding", "something of this changed it");
    let stopped = stop.post("/b/terms/stop", &format!("csrf={csrf}&reason=wrong+text&confirm=terms")).await;
    assert!(status(&stopped) == "200" && stopped.contains("stop terms: no permit of it was ever granted"), "{stopped}");
    world.wait_for("terms", "stopped").await;
    console.end().await;
    producer.end().await;
}

/// Why something stands where it does is words of somebody's, in every place where the list has them.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_stop_is_told_no_reason_in_the_list_either() {
    let (world, producer) = holding().await;
    let (console, addresses) = world.start_console_with(&["--port", "0", "--right", "look,stop"], &[], 2).await;
    let door = |at: usize| Door::at(addresses[at].split_once(' ').unwrap().1.trim());
    let (look, stop) = (door(0), door(1));
    let shown = async |words: &str| {
        let (seen, hidden) = (look.get("/").await, stop.get("/").await);
        assert!(seen.contains(words), "{words}: {seen}");
        assert!(status(&hidden) == "200" && !hidden.contains(words), "{words}: {hidden}");
    };
    shown("HOLDING_").await;
    world.run(&["stop", "--all", "--reason", "Mallory wrote it"]).await;
    // That it is closed is told, and not why.
    shown("Mallory wrote it").await;
    assert!(stop.get("/").await.contains("Closed for new broadcasts."));
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("prices", |_| {})).await;
    issei_test_support::until("the command is refused", async || look.get("/").await.contains("id=\"refused\"")).await;
    shown("id=\"refused\"").await;
    world.break_broadcast("terms").await;
    shown("nonsense").await;
    console.end().await;
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_call_stops_a_broadcast_by_the_link_of_an_alarm_on_a_phone() {
    let Some(phone) = Browser::start(390, 844).await else { return };
    let (world, producer) = holding().await;
    let key = [("ISSEI_CONSOLE_KEY", "0123456789abcdef0123456789abcdef")];
    let (first, before) = world.start_console_with(&["--port", "0", "--right", "stop"], &key, 1).await;
    first.end().await;
    // The link in the alarm is as old as the key.
    let (console, addresses) = world.start_console_with(&["--port", "0", "--right", "stop"], &key, 1).await;
    let after_port = |address: &str| address.split_once("/s/").unwrap().1.to_owned();
    assert_eq!(after_port(&before[0]), after_port(&addresses[0]));
    phone.page.goto(&addresses[0]).await.unwrap();
    phone.wait_until("document.querySelector('#broadcasts a') !== null").await;
    phone.assert_fits().await;
    phone.assert_accessible("the list of whoever may only stop").await;
    phone.page.find(Locator::Css("a[hreflang=ja]")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.getElementById('right')?.textContent === 'このアドレスでできるのは停止だけです。'").await;
    phone.page.find(Locator::Css("#broadcasts a")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.querySelector('#form-stop') !== null").await;
    phone.assert_fits().await;
    phone.assert_accessible("a broadcast, for whoever may only stop").await;
    phone.picture("console-stop-only").await;
    phone.page.find(Locator::Css("#form-stop [name=confirm]")).await.unwrap().send_keys("terms").await.unwrap();
    phone.page.find(Locator::Css("#form-stop button")).await.unwrap().click().await.unwrap();
    phone.wait_until("document.getElementById('message') !== null && document.getElementById('form-stop') === null").await;
    assert_eq!(phone.value("document.getElementById('audit')").await, json!(null));
    world.wait_for("terms", "stopped").await;
    console.end().await;
    producer.end().await;
    phone.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_others_reach_answers_to_the_name_of_its_proxy_alone() {
    let world = Processes::simulated(10, Account::default()).await;
    let (code, _, error) = world.try_run(&["console", "--listen", "0.0.0.0:0"]).await;
    assert!(code == Some(1) && error.contains("--public-url https://") && error.contains("forward the port"), "{error}");
    let (code, _, error) = world.try_run(&["console", "--public-url", "http://issei.example.com"]).await;
    assert!(code == Some(2) && error.contains("it must be https"), "{error}");
    let listen = format!("127.0.0.1:{}", issei_test_support::free_port());
    let public = ["--listen", &listen, "--public-url", "https://issei.example.com"];
    let (console, addresses) = world.start_console_with(&public, &[], 1).await;
    let path = addresses[0].strip_prefix("https://issei.example.com").unwrap_or_else(|| panic!("{addresses:?}"));
    let door = Door::at(&format!("http://{listen}{path}"));
    // What a proxy passes on: the name that the browser has asked for.
    let by_proxy = |head: String| head.replace(&format!("Host: {listen}"), "Host: issei.example.com");
    let welcome = raw(door.port, &format!("GET {path} HTTP/1.1\r\nHost: issei.example.com"), "").await;
    assert!(status(&welcome) == "303" && welcome.contains("; Secure") && welcome.contains("HttpOnly"), "{welcome}");
    assert_eq!(status(&raw(door.port, &by_proxy(door.head("GET /")), "").await), "200");
    for other in ["127.0.0.1", "localhost", "issei.example.com.evil.example", "evil.example"] {
        let head = door.head("GET /").replace(&format!("Host: {listen}"), &format!("Host: {other}"));
        assert_eq!(status(&raw(door.port, &head, "").await), "421", "{other}");
    }
    assert_eq!(status(&door.get("/").await), "421");
    let post = format!("{}\r\nContent-Type: application/x-www-form-urlencoded", by_proxy(door.head("POST /stop-all")));
    for (origin, told) in [
        ("http://issei.example.com", "this form comes from another site"),
        (&*format!("http://{listen}"), "this form comes from another site"),
        ("null", "this form comes from another site"),
        ("https://issei.example.com", "another run of the console"),
    ] {
        let answer = raw(door.port, &format!("{post}\r\nOrigin: {origin}"), "csrf=0&reason=x&confirm=STOP+ALL").await;
        let answer = match door.sent_on(&answer) {
            Some(page) => raw(door.port, &by_proxy(door.head(&format!("GET {page}"))), "").await,
            None => answer,
        };
        assert!(status(&answer) == "403" && answer.contains(told), "{origin}: {answer}");
    }
    console.end().await;
}
