//! What the console and the report say in Japanese is Japanese, on every page and in every answer. What stays are names: of commands,
//! of broadcasts and people, of services and their calls, and the code words of the ledger.

use issei_sim::Account;
use issei_test_support::{Carrier, Process, Processes, command_body, until, write_keys};
use serde_json::json;

use crate::console::{Door, csrf_of, lets_go_on, status};

/// Words that are the same in Japanese: names of ours, of others, and code words.
const NAMES: &[&str] = &[
    "issei", "producer", "consumer", "feedback", "commands", "chunks", "terms", "prices", "users", "canary", "ses", "aws", "lambda",
    "dynamodb", "sqs", "resend", "epoch", "complete", "stopped", "running", "stopping", "holding", "true", "false", "utc", "id", "html",
    "json", "key", "ms", "etag", "user",
];

/// The texts of a page that people see or hear, and none of what is quoted as it was written or as a command.
fn texts(page: &str) -> Vec<String> {
    let body = page.split_once("\r\n\r\n").map_or(page, |(_, body)| body);
    let (mut texts, mut skipped, mut rest): (Vec<String>, Vec<&str>, &str) = (Vec::new(), Vec::new(), body);
    while let Some((text, tag_on)) = rest.split_once('<') {
        let Some((tag, after)) = tag_on.split_once('>') else { break };
        if skipped.is_empty() {
            texts.push(text.to_owned());
        }
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap();
        let is_quoted =
            ["script", "style", "code", "time", "svg"].contains(&name) || tag.contains("as-written") || tag.contains("lang=\"en\"");
        match skipped.last() {
            // An element within one of its own kind is counted, too.
            Some(outer) if name == *outer && tag.starts_with('/') => drop(skipped.pop()),
            Some(outer) if name == *outer => skipped.push(name),
            Some(_) => {}
            None if is_quoted && name != "html" && !tag.starts_with('/') => skipped.push(name),
            None => {
                for attribute in ["aria-label", "title", "data-head", "data-words", "placeholder"] {
                    let value = tag.split_once(&format!("{attribute}=\"")).and_then(|(_, value)| value.split_once('"'));
                    texts.extend(value.map(|(value, _)| value.to_owned()));
                }
            }
        }
        rest = after;
    }
    if skipped.is_empty() {
        texts.push(rest.to_owned());
    }
    texts
}

/// A name, a number, a moment, a code word: what no language says otherwise.
fn is_name(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let has_mark = bare.contains(|c: char| c.is_ascii_digit() || "_@/:.".contains(c)) || bare.starts_with("--");
    let is_camel = bare.chars().skip(1).any(|c| c.is_ascii_uppercase());
    bare.len() < 2
        || word.starts_with('/')
        || word.contains('{')
        || has_mark
        || is_camel
        || NAMES.contains(&bare.to_ascii_lowercase().as_str())
}

/// Words of English in a text, with what stands around them.
fn english(text: &str) -> Option<String> {
    let text = text
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    // What others have said is marked as theirs.
    let text = text.split("原文: ").next().unwrap();
    // Commands and code words stand between backticks.
    let plain: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    // A service goes by its host, too.
    let (before, host) = plain.split_once(" on ").unwrap_or((&plain, ""));
    let plain = host.split_once(", process ").map_or_else(|| plain.clone(), |(_, after)| format!("{before} {after}"));
    let is_latin = |c: char| c.is_ascii_graphic();
    let found: Vec<&str> =
        plain.split(|c| !is_latin(c)).filter(|word| word.chars().any(|c| c.is_ascii_alphabetic()) && !is_name(word)).collect();
    (!found.is_empty()).then(|| format!("{found:?} in: {}", text.trim()))
}

/// Each page that was looked at, with what was found on it.
#[derive(Default)]
struct Walk(Vec<String>);

impl Walk {
    fn look(&mut self, what: &str, page: &str) {
        self.0.extend(texts(page).iter().filter_map(|text| english(text)).map(|found| format!("{what}: {found}")));
    }

    async fn get(&mut self, door: &Door, path: &str, wanted: &str) -> String {
        let page = door.get(&format!("{path}?lang=ja")).await;
        assert_eq!(status(&page), wanted, "{path}: {page}");
        self.look(path, &page);
        page
    }

    async fn post(&mut self, door: &Door, path: &str, form: &str, wanted: &str) -> String {
        let page = door.post(&format!("{path}?lang=ja"), form).await;
        assert_eq!(status(&page), wanted, "{path} {form}: {page}");
        self.look(&format!("{path} {form}"), &page);
        page
    }

    fn end(mut self) {
        self.0.sort();
        self.0.dedup();
        assert!(self.0.is_empty(), "{} texts are not Japanese:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Whatever an operator has written themselves is left as it is, so here they write Japanese.
fn deed(page: &str, confirm: &str) -> String {
    format!("csrf={}&reason=%E7%A2%BA%E8%AA%8D&confirm={confirm}", csrf_of(page))
}

/// The same from a page whose broadcast may go on.
fn going_on(page: &str, confirm: &str) -> String {
    lets_go_on(page, confirm).replace("reason=well", "reason=%E7%A2%BA%E8%AA%8D")
}

/// A command whose words are Japanese, and whose author is.
fn in_japanese(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    command_body(id, |body| {
        body["content"] = json!({ "inline": { "subject": format!("利用規約の改定 {id} {{{{name}}}}"), "text": "改定します。" } });
        (body["requested_by"], body["from"]) = (json!("法務"), json!("運営 <no-reply@example.com>"));
        change(body);
    })
}

/// Somebody without an address, and a command in Japanese with a canary.
async fn with_a_canary(id: &str) -> (Processes, Vec<Process>) {
    let world = Processes::new(30, Processes::account_with_events()).await;
    world.users.execute("UPDATE users SET email = '' WHERE id = 7").await;
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service)).into();
    let command = in_japanese(id, |body| body["canary"] = json!(5));
    let command = world.write("command.json", &command);
    world.run(&["send", "--yes", "--hold", &command]).await;
    (world, services)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_every_answer_of_the_console_is_japanese_in_japanese() {
    let (world, services) = with_a_canary("terms").await;
    world.wait_for("terms", "holding").await;
    let (console, addresses) = world.start_console_with(&["--port", "0", "--right", "everything,look,stop"], &[], 3).await;
    let doors: Vec<Door> = addresses.iter().map(|line| Door::at(line.split_once(' ').unwrap().1.trim())).collect();
    let (door, mut walk) = (&doors[0], Walk::default());

    // Before its first send, and what is refused.
    walk.get(door, "/", "200").await;
    let page = walk.get(door, "/b/terms", "200").await;
    walk.get(door, "/b/terms/evidence", "200").await;
    walk.get(door, "/b/terms/letters", "200").await;
    walk.get(door, "/reason/HOLDING_AGREEMENT", "200").await;
    walk.get(door, "/b/terms/words", "200").await;
    for who in ["8", "7", "nobody", "user000008@example.com"] {
        walk.post(door, "/b/terms/words", &format!("csrf={}&who={who}", csrf_of(&page)), "200").await;
    }
    walk.post(door, "/b/terms/words", "csrf=0&who=8", "403").await;
    for to in ["nobody", "stranger%40elsewhere.example.net"] {
        walk.post(door, "/b/terms/copy", &format!("csrf={}&page=0&chunk=0&place=0&to={to}", csrf_of(&page)), "422").await;
    }
    walk.post(door, "/b/terms/copy", &format!("csrf={}&page=9&to=me%40example.com", csrf_of(&page)), "404").await;
    walk.post(door, "/b/terms/copy", &format!("csrf={}&page=0&chunk=0&place=0&to=me%40example.com", csrf_of(&page)), "200").await;
    walk.get(door, "/reason/NOTHING", "404").await;
    walk.get(&doors[1], "/b/terms", "200").await;
    walk.get(&doors[2], "/b/terms", "200").await;
    for (path, code) in [("/b/nobody", "404"), ("/nothing", "404"), ("/b/%20", "404"), ("/b/terms/letter/9/9/9", "404")] {
        walk.get(door, path, code).await;
    }
    walk.get(&doors[2], "/b/terms/evidence", "403").await;
    walk.post(&doors[1], "/b/terms/pause", &deed(&page, "terms"), "403").await;
    walk.post(door, "/b/terms/approve", "csrf=0&reason=x&confirm=terms", "403").await;
    walk.post(door, "/who", "csrf=0&who=1", "403").await;
    walk.post(door, "/b/terms/approve", &deed(&page, "term"), "422").await;
    walk.post(door, "/b/terms/approve", &format!("csrf={}&confirm=terms", csrf_of(&page)), "422").await;
    walk.post(door, "/b/terms/resume", &deed(&page, "terms"), "409").await;
    walk.post(door, "/b/terms/pause", &deed(&page, "terms"), "409").await;

    // Its canary, and then all of it.
    walk.post(door, "/b/terms/approve", &going_on(&page, "terms"), "200").await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["accepted"] == 5).await;
    walk.post(door, "/b/terms/approve", &going_on(&page, "terms"), "409").await;
    let page = walk.get(door, "/b/terms", "200").await;
    walk.get(door, "/b/terms/letters", "200").await;
    walk.post(door, "/b/terms/approve", &going_on(&page, "terms"), "200").await;
    world.wait_for("terms", "complete").await;
    for path in ["/", "/b/terms", "/b/terms/live", "/b/terms/evidence", "/who"] {
        walk.get(door, path, "200").await;
    }
    for who in ["8", "7", "nobody", "user000008@example.com", "user000099@example.com"] {
        walk.post(door, "/who", &format!("csrf={}&who={who}", csrf_of(&page)), "200").await;
    }
    walk.post(door, "/b/terms/stop", &deed(&page, "terms"), "409").await;

    // One that is paused, goes on and is stopped; and everything.
    let prices = in_japanese("prices", |body| (body["hold"], body["version"], body["class"]) = (json!(true), json!(2), json!("service")));
    world.post("ISSEI_COMMANDS_QUEUE", &prices).await;
    world.wait_for("prices", "holding").await;
    walk.post(door, "/b/prices/stop", &deed(&page, "prices"), "200").await;
    walk.get(door, "/b/prices", "200").await;
    walk.get(door, "/b/prices/evidence", "200").await;
    walk.post(door, "/stop-all", &deed(&page, "STOP+ALL"), "200").await;
    world.post("ISSEI_COMMANDS_QUEUE", &in_japanese("notice-2", |_| {})).await;
    until("the command is refused", async || door.get("/").await.contains("id=\"refused\"")).await;
    walk.get(door, "/", "200").await;
    walk.get(door, "/b/notice-2", "404").await;
    world.break_broadcast("prices").await;
    walk.get(door, "/", "200").await;
    walk.get(door, "/b/prices", "502").await;
    console.end().await;
    for service in services {
        service.end().await;
    }
    walk.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_paused_and_stopped_in_japanese() {
    let world = Processes::new(10, Account { max_send_rate: 10.0, ..Processes::account_with_events() }).await;
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let command = in_japanese("terms", |body| {
        (body["version"], body["class"], body["ramp"]) = (json!(2), json!("service"), json!({ "first_hour": 5_000 }));
        (body["audience"], body["effective_at"]) = (json!("rehearsal-6000"), json!("2020-01-01T00:00:00Z"));
    });
    world.post("ISSEI_COMMANDS_QUEUE", &command).await;
    world.wait_for_accepted(20).await;
    let (console, url) = world.start_console().await;
    let (door, mut walk) = (Door::at(url.as_str()), Walk::default());
    let mut page = walk.get(&door, "/b/terms", "200").await;
    walk.get(&door, "/b/terms/evidence", "200").await;
    for (verb, state) in [("pause", "paused"), ("resume", "running"), ("stop", "")] {
        let form = if verb == "resume" { going_on(&page, "terms") } else { deed(&page, "terms") };
        walk.post(&door, &format!("/b/terms/{verb}"), &form, "200").await;
        if !state.is_empty() {
            world.wait_for("terms", state).await;
        }
        page = walk.get(&door, "/b/terms", "200").await;
    }
    world.wait_for("terms", "stopped").await;
    walk.get(&door, "/b/terms", "200").await;
    walk.get(&door, "/b/terms/evidence", "200").await;
    console.end().await;
    for service in services {
        service.end().await;
    }
    walk.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_must_agree_to_is_said_in_japanese_and_so_is_the_report_with_its_certificate() {
    let mut world = Processes::brisk(20, Processes::account_with_events()).await;
    world.set("ISSEI_APPROVALS", "2");
    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    let command = world.write("command.json", &in_japanese("terms", |_| {}));
    let (code, _, error) = world.try_run_as("ann", &["send", "--yes", &command]).await;
    assert_eq!(code, Some(0), "{error}");
    world.wait_for("terms", "holding").await;
    let (console, url) = world.start_console().await;
    let (door, mut walk) = (Door::at(url.as_str()), Walk::default());
    let page = walk.get(&door, "/b/terms", "200").await;
    assert!(page.contains("AROA0000000000000000:ann で、ほかに1人の承認が必要です"), "{page}");
    walk.get(&door, "/b/terms/evidence", "200").await;
    // Something else than what is there, and then that.
    let digest = page.split("id=\"agreed-digest\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    walk.post(&door, "/b/terms/approve", &format!("{}&agreed=00", deed(&page, "terms")), "409").await;
    walk.post(&door, "/b/terms/approve", &format!("{}&agreed={digest}", deed(&page, "terms")), "200").await;
    world.wait_for("terms", "complete").await;
    walk.get(&door, "/b/terms", "200").await;
    console.end().await;
    world.carry_events().await;
    world.wait_until("terms", |status| status["delivered"] == 20).await;
    let (private, public) = write_keys(&world, "ours", 1);
    let (code, told, error) = world.try_run(&["certify", "terms", "--signing-key", &private, "-o", "terms.cert.json"]).await;
    assert_eq!(code, Some(0), "{told}{error}");
    let report = ["report", "terms", "--lang", "ja", "--certificate", "terms.cert.json", "--public-key", &public, "-o", "report.html"];
    world.run(&report).await;
    let report = world.read("report.html");
    assert!(report.contains("監査証跡: 現在の状態に至る") && report.contains("テーブル "), "{report}");
    walk.look("the report", &report);
    for service in services {
        service.end().await;
    }
    walk.end();
}

/// Another provider than SES has findings of its own, and nobody can say by time when its requests are over.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_provider_carries_is_told_of_in_japanese() {
    let mut world = Processes::simulated(20, Account::default()).await;
    world.carried_by(Carrier::Resend, 100.0);
    let services = ["producer", "consumer"].map(|service| world.start(service));
    let mut command: serde_json::Value = serde_json::from_str(&Carrier::Resend.command("terms")).unwrap();
    command["content"] = json!({ "inline": { "subject": "利用規約の改定", "text": "改定します。" } });
    (command["canary"], command["requested_by"], command["from"]) = (json!(10), json!("法務"), json!("運営 <no-reply@example.com>"));
    world.post("ISSEI_COMMANDS_QUEUE", &command.to_string()).await;
    world.wait_until("terms", |status| status["state"] == "holding" && status["accepted"] == 10).await;
    let (console, url) = world.start_console().await;
    let (door, mut walk) = (Door::at(url.as_str()), Walk::default());
    let page = walk.get(&door, "/b/terms", "200").await;
    let evidence = walk.get(&door, "/b/terms/evidence", "200").await;
    assert!(evidence.contains("イベント: 別の台帳のもの") && evidence.contains("送信事業者 resend: アカウント"), "{evidence}");
    walk.post(&door, "/b/terms/stop", &deed(&page, "terms"), "200").await;
    walk.get(&door, "/b/terms", "200").await;
    walk.get(&door, "/b/terms/evidence", "200").await;
    console.end().await;
    for service in services {
        service.end().await;
    }
    walk.end();
}
