//! The configuration file as it is written, with what else could stand there.

use super::propose::Proposal;
use super::{ITEMS, Place, attribute_exists};

/// What follows where an address is the key.
const BY_ADDRESS: [&str; 4] = [
    "# An address is a weak key. Whoever changes theirs is another user, and is mailed again by a resend or a repeated command.",
    "# Rows of one address are one user, who gets one mail. Capitals before the @ count: A@example.com and a@example.com are two.",
    "# Keys stand in `issei status`, in exports and in the ledger, where addresses of skipped rows else do not.",
    "# Where your application has an id, export it, and name it here.",
];

/// Of columns that no content can name.
pub(super) const NOT_NAMEABLE: &str =
    "A placeholder has the letters A to Z and a to z, digits and `_` alone: rename it in the header, or by AS in a `query`.";

/// The file. A URL with a password is named by its variable alone.
pub(super) fn written(name: &str, place: &Place, proposal: &Proposal) -> String {
    let Proposal { key, key_reason, address, address_reason, columns, others, unnameable, filter, only_with, addressed, not_keys } =
        proposal;
    let mut lines = vec![
        "# Written by `issei init`. docs/configuration.md lists every key; flags and variables go before this file.".to_owned(),
        String::new(),
        format!("[audiences.{name}]"),
    ];
    match place {
        Place::File { file: at, encoding, allow_broken_rows } | Place::S3 { url: at, encoding, allow_broken_rows, .. } => {
            let key = if let Place::S3 { .. } = place { "s3" } else { "file" };
            lines.push(format!("{key} = {}", quoted(at)));
            lines.extend(encoding.iter().map(|encoding| format!("encoding = {}", quoted(encoding))));
            lines.push("# Skips lines that can't be read, and records them, instead of refusing the file:".to_owned());
            lines.push(format!("{}allow_broken_rows = true", if *allow_broken_rows { "" } else { "# " }));
        }
        Place::DynamoDb { table, .. } => {
            lines.push(format!("# Looked at by one page, of {ITEMS} items at most."));
            lines.push(format!("dynamodb_table = {}", quoted(table)));
        }
        Place::Database { url, variable, table } => {
            match variable {
                Some(variable) => {
                    lines.push("# The variable that holds the database's URL, which may have a password.".to_owned());
                    lines.push(format!("url_env = {}", quoted(variable)));
                }
                None => lines.push(format!("url = {}", quoted(url))),
            }
            lines.push(format!("table = {}", quoted(table)));
        }
    }
    lines.push(format!("# What tells one user from another, and never changes: {key_reason}."));
    if key == address {
        lines.extend(BY_ADDRESS.map(str::to_owned));
    }
    lines.extend(not_keys.iter().map(|why| format!("# No key: {}.", one_line(why))));
    lines.push(format!("key = {}", quoted(key)));
    lines.push(format!("# {address_reason}."));
    lines.push(format!("address = {}", quoted(address)));
    lines.push("# What the content's placeholders may name.".to_owned());
    if !others.is_empty() {
        lines.push(format!("# Also there: {}", list(others)));
    }
    if !unnameable.is_empty() {
        lines.push(format!("# Left out: {}. {NOT_NAMEABLE}", list(unnameable)));
    }
    lines.push(format!("columns = [{}]", list(columns)));
    let filter = filter.as_ref().and_then(|column| match place {
        Place::Database { .. } => Some(format!("{column} IS NULL")),
        Place::DynamoDb { .. } => Some(format!("attribute_not_exists({column})")),
        Place::File { .. } | Place::S3 { .. } => None,
    });
    if let Some(column) = only_with {
        lines.push("# Users have several items each; theirs is the one that has this:".to_owned());
        lines.push(format!("filter = {}", quoted(&attribute_exists(column))));
    } else if let Some(filter) = filter {
        lines.push("# Whom to leave out:".to_owned());
        lines.push(format!("# filter = {}", quoted(&filter)));
    }
    lines.push(format!("# {}.", addressed.told()));
    lines.push(if addressed.stand_several_times() {
        "# So each address is mailed once. Take this out where each of its rows is a user who is to get a letter of their own.".to_owned()
    } else {
        "# Mails each address once, where several users have it:".to_owned()
    });
    lines.push(format!("{}unique_by = \"address\"", if proposal.is_unique_by_address() { "" } else { "# " }));
    lines.join("\n") + "\n"
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// What is told by a database may have several lines, and a comment has one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str) -> String {
    // One line, whatever is in it: a name must not end a comment.
    serde_json::Value::String(text.to_owned()).to_string()
}
