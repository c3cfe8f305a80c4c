//! A command as people keep it: a `.json` or `.toml` file, whose words may stand in files beside it. What is enqueued has
//! everything in itself.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use issei_schema::BroadcastCommand;
use serde_json::{Map, Value};

use crate::{Refused, mjml};

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
        std::io::stdin().read_to_string(&mut text).context("standard input can't be read")?;
        return Ok(without_mark(text));
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("command {} can't be read", file.display()))?;
    let text = without_mark(text);
    if file.extension().is_some_and(|extension| extension == "toml") {
        let named = || format!("command {}", file.display());
        let table: toml::Table = toml::from_str(&text).with_context(named)?;
        return Ok(json(toml::Value::Table(table), "").with_context(named)?.to_string());
    }
    Ok(text)
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
    let mut has_files = false;
    for (place, words) in words(&mut command) {
        for part in PARTS {
            let field = format!("{part}_file");
            let Some(name) = words.remove(&field) else { continue };
            let Some(name) = name.as_str() else { bail!("field `{place}.{field}`: is no text; name a file") };
            if words.contains_key(part) {
                bail!("field `{place}.{field}`: `{part}` is given, too; take one of them out");
            }
            let path = beside.join(name);
            let text = text_of(&path, part).with_context(|| format!("field `{place}.{field}`"))?;
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

fn text_of(path: &PathBuf, part: &str) -> anyhow::Result<String> {
    let named = || format!("{} can't be read", path.display());
    let text = without_mark(String::from_utf8(std::fs::read(path).with_context(named)?).with_context(named)?);
    Ok(match part {
        // An editor ends a file with a line's end, which no subject has.
        "subject" => text.trim_end_matches(['\r', '\n']).to_owned(),
        "html" if path.extension().is_some_and(|extension| extension == "mjml") => {
            mjml::html_of(&text).with_context(|| path.display().to_string())?
        }
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
}
