//! A command as people keep it: a `.json` or `.toml` file, whose words may stand in files beside it. What is enqueued has
//! everything in itself.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use issei_schema::BroadcastCommand;
use mrml::prelude::render::RenderOptions;
use serde_json::{Map, Value};

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
        let value: Value = toml::from_str(&text).with_context(|| format!("command {}", file.display()))?;
        return Ok(value.to_string());
    }
    Ok(text)
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
            html_of(&text).with_context(|| path.display().to_string())?
        }
        _ => text,
    })
}

/// The HTML that an MJML text stands for.
fn html_of(mjml: &str) -> anyhow::Result<String> {
    let parsed = mrml::parse(mjml).map_err(|error| anyhow::anyhow!("it is no MJML: {error}; correct it there"))?;
    parsed.element.render(&RenderOptions::default()).map_err(|error| anyhow::anyhow!("its MJML can't be rendered: {error}"))
}
