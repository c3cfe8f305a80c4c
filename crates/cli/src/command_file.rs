//! A command as people keep it: a `.json` or `.toml` file, whose words may stand in files beside it. What is enqueued has
//! everything in itself.
//!
//! What is wrong with what it says, or with what it names, is a refusal like the producer's own; that it is not there itself has
//! failed.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};
use issei_schema::{BroadcastCommand, named_once};
use serde_json::{Map, Value};

use crate::{Refused, input, mjml};

/// Fields whose text a file may hold, by the field `NAME_file`.
const PARTS: [&str; 3] = ["subject", "text", "html"];

/// Reads a command with its files; `-` is JSON from standard input, with files beside the working directory.
pub(crate) fn read(file: &Path) -> anyhow::Result<BroadcastCommand> {
    let named = || format!("command {}", file.display());
    let body = whole(&body(file)?, file.parent().unwrap_or(Path::new(""))).with_context(named)?;
    BroadcastCommand::parse(&body).with_context(named)
}

fn body(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(no_text).context("standard input can't be read")?;
        return Ok(without_mark(text));
    }
    let text = without_mark(input::text(file).context("the command")?);
    if is_of(file, "toml") {
        let named = || format!("command {}", file.display());
        let table: toml::Table = toml::from_str(&text).map_err(|error| Refused(format!("it is no TOML: {error}"))).with_context(named)?;
        return Ok(json(toml::Value::Table(table), "").with_context(named)?.to_string());
    }
    Ok(text)
}

/// Whether a file is of this kind by its name, which some systems write in capitals.
fn is_of(file: &Path, kind: &str) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(kind))
}

/// What was read and is no UTF-8 is refused for what it holds.
fn no_text(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::InvalidData {
        return Refused("it holds bytes that are not UTF-8; save it as UTF-8".to_owned()).into();
    }
    error.into()
}

/// The same in JSON, which has no moments but as text.
fn json(value: toml::Value, place: &str) -> anyhow::Result<Value> {
    let within = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    Ok(match value {
        toml::Value::Table(table) => {
            let field = |(name, value): (String, toml::Value)| {
                let value = json(value, &within(&name))?;
                anyhow::Ok((name, value))
            };
            Value::Object(table.into_iter().map(field).collect::<anyhow::Result<_>>()?)
        }
        toml::Value::Array(items) => Value::Array(items.into_iter().map(|item| json(item, place)).collect::<anyhow::Result<_>>()?),
        toml::Value::Datetime(moment) if moment.date.is_some() && moment.time.is_some() && moment.offset.is_some() => {
            Value::String(moment.to_string())
        }
        toml::Value::Datetime(moment) if moment.date.is_none() => {
            bail!(Refused(format!("field `{place}`: is {moment}; write a time of day in quotes, with hours and minutes, as in \"09:00\"")))
        }
        toml::Value::Datetime(moment) => bail!(Refused(format!(
            "field `{place}`: is {moment}, which is no moment without an offset from UTC; write one as in 2026-11-27T09:00:00Z or 2026-11-27T18:00:00+09:00"
        ))),
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        // JSON has no such number, and would have nothing in its place.
        toml::Value::Float(number) if !number.is_finite() => {
            bail!(Refused(format!("field `{place}`: is {number}, which is no number that can be meant; write one, or take it out")))
        }
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
    })
}

/// Editors put a byte order mark before a text, which is no part of it (RFC 8259 section 8.1).
fn without_mark(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

/// The body with what stands in files; as it is where none is named, so that what is wrong with it is told by its parser.
fn whole(body: &str, beside: &Path) -> anyhow::Result<String> {
    let Ok(mut command) = serde_json::from_str::<Value>(body) else { return Ok(body.to_owned()) };
    // Of two of one name the first is gone from here on.
    named_once(body)?;
    let mut has_files = false;
    for (place, words) in words(&mut command) {
        for part in PARTS {
            let field = format!("{part}_file");
            let Some(name) = words.remove(&field) else { continue };
            let Some(name) = name.as_str() else { bail!(Refused(format!("field `{place}.{field}`: is no text; name a file"))) };
            if words.contains_key(part) {
                bail!(Refused(format!("field `{place}.{field}`: `{part}` is given, too; take one of them out")));
            }
            let path = beside.join(name);
            let text = text_of(&path, part).map_err(|why| Refused(format!("field `{place}.{field}`: {}: {why:#}", path.display())))?;
            words.insert(part.to_owned(), text.into());
            has_files = true;
        }
    }
    Ok(if has_files { command.to_string() } else { body.to_owned() })
}

/// Every object of words in a command, with its place.
fn words(command: &mut Value) -> Vec<(String, &mut Map<String, Value>)> {
    let Some(content) = command.get_mut("content").and_then(Value::as_object_mut) else { return Vec::new() };
    let mut found = Vec::new();
    for (name, value) in content {
        match name.as_str() {
            "inline" => found.extend(value.as_object_mut().map(|words| ("content.inline".to_owned(), words))),
            "variants" => {
                let of = value.get_mut("of").and_then(Value::as_object_mut).into_iter().flatten();
                found.extend(of.filter_map(|(name, words)| Some((format!("content.variants.of.{name}"), words.as_object_mut()?))));
            }
            _ => {}
        }
    }
    found
}

fn text_of(path: &Path, part: &str) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).context("it can't be read; correct the name, which is beside the command's file, or its rights")?;
    let text = String::from_utf8(bytes).context("it holds bytes that are not UTF-8; save it as UTF-8")?;
    let text = without_mark(text);
    Ok(match part {
        // An editor ends a file with a line's end, which no subject has.
        "subject" => text.trim_end_matches(['\r', '\n']).to_owned(),
        "html" if is_of(path, "mjml") => mjml::html_of(&text)?,
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_toml_is_one_with_and_without_quotes_and_what_is_none_is_said_to_be() {
        let read = |text: &str| json(toml::Value::Table(toml::from_str(text).unwrap()), "").map_err(|error| error.to_string());
        let quoted = read("not_after = \"2026-11-27T09:00:00Z\"\nmax_recipients = 7\n[ramp]\nfirst_hour = 500");
        assert_eq!(read("not_after = 2026-11-27T09:00:00Z\nmax_recipients = 7\nramp = { first_hour = 500 }"), quoted);
        assert_eq!(read("at = 2026-11-27 18:00:00+09:00").unwrap()["at"], "2026-11-27T18:00:00+09:00");
        for (text, says) in [
            ("not_after = 2026-11-27T09:00:00", "field `not_after`: is 2026-11-27T09:00:00, which is no moment without an offset"),
            ("not_before = 2026-11-27", "field `not_before`: is 2026-11-27, which is no moment without an offset"),
            ("[send_window]\nfrom = 09:00:00", "field `send_window.from`: is 09:00:00; write a time of day in quotes"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_refused_by_its_field_and_never_left_out() {
        let file = |canary: &str| {
            format!(
                "version = 2\nbroadcast_id = \"terms\"\naudience = \"users\"\nclass = \"service\"\nfrom = \"a@example.com\"\nmax_recipients = 10\nrequested_by = \"me\"\nnot_after = 2026-12-01T00:00:00Z\ncanary = {canary}\n[content.inline]\nsubject = \"s\"\ntext = \"t\"\n"
            )
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("command.toml");
        for (canary, field) in [
            ("nan", "canary"),
            ("-nan", "canary"),
            ("inf", "canary"),
            ("-inf", "canary"),
            ("-1", "canary"),
            ("0", "canary"),
            ("1.5", "canary"),
            ("-0.1", "canary"),
            ("{ share = nan }", "canary.share"),
            ("{ share = inf }", "canary.share"),
            ("{ share = -0.1 }", "canary"),
            ("{ share = 1.01 }", "canary"),
            ("{ share = 2 }", "canary"),
        ] {
            std::fs::write(&path, file(canary)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(crate::is_refusal(&error) && format!("{error:#}").contains(&format!("field `{field}")), "{canary}: {error:#}");
        }
        std::fs::write(&path, file("{ share = 0.1 }")).unwrap();
        assert!(read(&path).unwrap().canary.is_some());
    }

    /// Exit code 3, as whatever else a command is refused for; 1 only where there is none.
    #[test]
    fn whatever_is_wrong_with_what_a_command_says_or_names_is_a_refusal() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
        write("no.mjml", b"<mjml>\n<mj-txt>Hi</mj-txt></mjml>");
        write("NO.MJML", b"<mjml>\n<mj-txt>Hi</mj-txt></mjml>");
        write("sjis.html", b"\x8e\x52\x93\x63");
        write("text.txt", b"Hi");
        for (words, says) in [
            (r#"{ "subject": "s", "html_file": "no.mjml" }"#, "field `content.inline.html_file`: "),
            (r#"{ "subject": "s", "html_file": "no.mjml" }"#, "no.mjml: line 2: MJML has no element <mj-txt>"),
            (r#"{ "subject": "s", "html_file": "NO.MJML" }"#, "NO.MJML: line 2: MJML has no element <mj-txt>"),
            (r#"{ "subject": "s", "html_file": "nowhere.html" }"#, "nowhere.html: it can't be read; correct the name"),
            (r#"{ "subject": "s", "text_file": "nowhere.txt" }"#, "field `content.inline.text_file`: "),
            (r#"{ "subject": "s", "html_file": "sjis.html" }"#, "sjis.html: it holds bytes that are not UTF-8"),
            (r#"{ "subject": "s", "html_file": 7 }"#, "is no text; name a file"),
            (r#"{ "subject": "s", "text": "t", "text_file": "text.txt" }"#, "`text` is given, too"),
            (r#"{ "subject_file": "nowhere.txt", "text": "t" }"#, "field `content.inline.subject_file`: "),
        ] {
            write("command.json", format!(r#"{{ "content": {{ "inline": {words} }} }}"#).as_bytes());
            let error = read(&directory.path().join("command.json")).unwrap_err();
            assert!(crate::is_refusal(&error) && format!("{error:#}").contains(says), "{words}: {error:#}");
        }
        // Of two of one name one would be sent, and the other forgotten without a word.
        let of = r#""ja": { "subject": "s", "text_file": "text.txt" }, "\u006aa": { "subject": "s", "text": "t" }"#;
        for (body, field) in [
            (format!(r#"{{ "content": {{ "variants": {{ "by": "locale", "of": {{ {of} }} }} }} }}"#), "content.variants.of.ja"),
            (
                r#"{ "content": { "inline": { "subject": "s", "text": "t", "text_file": "text.txt", "text_file": "text.txt" } } }"#
                    .to_owned(),
                "content.inline.text_file",
            ),
            (
                r#"{ "max_recipients": 1, "max_recipients": 9, "content": { "inline": { "subject": "s", "text_file": "text.txt" } } }"#
                    .to_owned(),
                "max_recipients",
            ),
        ] {
            write("command.json", body.as_bytes());
            let error = read(&directory.path().join("command.json")).unwrap_err();
            let says = format!("field `{field}`: stands there twice; leave one of them");
            assert!(crate::is_refusal(&error) && format!("{error:#}").contains(&says), "{error:#}");
        }
        write("command.toml", b"version = = 2");
        write("bytes.toml", b"version = \"\xff\"");
        write("command.json", b"{");
        write("COMMAND.TOML", b"version = 2\nversion = 2");
        let error = format!("{:#}", read(&directory.path().join("COMMAND.TOML")).unwrap_err());
        assert!(error.contains("it is no TOML"), "{error}");
        for file in ["command.toml", "bytes.toml", "command.json"] {
            let error = read(&directory.path().join(file)).unwrap_err();
            assert!(crate::is_refusal(&error), "{file}: {error:#}");
        }
        assert!(!crate::is_refusal(&read(&directory.path().join("nowhere.json")).unwrap_err()));
        // A version in quotes is told for what it is.
        write("command.json", br#"{ "version": "2" }"#);
        let error = format!("{:#}", read(&directory.path().join("command.json")).unwrap_err());
        assert!(error.contains("field `version`: is a text in quotes and must be a number; write 2 without quotes"), "{error}");
    }
}
