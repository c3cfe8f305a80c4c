//! Lists of other senders: `SendGrid`'s and listmonk's CSV, SES's JSON and CSV. Each is known by its columns, and what
//! is known by none is refused, since a guess would keep the wrong people from being mailed.

use std::path::Path;

use anyhow::{Context, bail};
use issei_ledger::Suppression;
use issei_producer::{CsvList, CsvRow, NoCsvRow};
use issei_schema::{Address, on_one_line, without_addresses};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::suppression;
use crate::args::Because;
use crate::{input, refused};

/// Characters of a word that is not known which are shown.
const WORD_CHARS: usize = 40;

/// A file, read.
pub(super) struct Import {
    pub(super) format: &'static str,
    /// What a row of it is called.
    pub(super) row: &'static str,
    pub(super) source: String,
    pub(super) entries: Vec<Entry>,
    /// Rows of addresses that are not suppressed there.
    pub(super) left_out: u64,
    /// Of these, those with the word that listmonk had before it had `blocklisted`, and passes over since.
    pub(super) disabled: u64,
    /// Rows whose address or reason can't be read.
    pub(super) unreadable: Vec<Unreadable>,
    /// It is one page of several, and not the last.
    pub(super) has_more: bool,
}

/// A row that can't be read: nothing of an address is in it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unreadable {
    /// Its line in a CSV, or its number in a list of JSON.
    pub(super) row: u64,
    pub(super) why: String,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) address: Address,
    pub(super) why: Suppression,
    pub(super) since: Option<Timestamp>,
    pub(super) reason: Option<String>,
}

/// What `aws sesv2 list-suppressed-destinations` prints (SES API v2 reference, `SuppressedDestinationSummary`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SesList {
    suppressed_destination_summaries: Vec<SesSummary>,
    /// There where this is one page of several.
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SesSummary {
    email_address: String,
    reason: String,
    #[serde(default)]
    last_update_time: serde_json::Value,
}

/// By its columns; those of the exports are in the order of `SendGrid`'s pages for bounces, spam reports and unsubscribes,
/// of listmonk's `cmd/subscribers.go`, and of the fields of SES's API.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    SendGrid,
    Listmonk,
    Ses,
}

impl Format {
    fn of(columns: &[String]) -> Option<Self> {
        let has = |names: &[&str]| names.iter().all(|name| columns.iter().any(|column| column == name));
        if has(&["uuid", "email", "name", "attributes", "status", "created_at", "updated_at"]) {
            Some(Self::Listmonk)
        } else if has(&["email", "created"])
            && columns.iter().all(|column| ["status", "reason", "email", "created", "ip"].contains(&column.as_str()))
        {
            Some(Self::SendGrid)
        } else if has(&["emailaddress", "reason", "lastupdatetime"]) {
            Some(Self::Ses)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SendGrid => "SendGrid's CSV",
            Self::Listmonk => "listmonk's CSV of subscribers",
            Self::Ses => "SES's suppression list",
        }
    }
}

pub(super) fn read(file: &Path, because: Option<Because>) -> anyhow::Result<Import> {
    let text = input::text(file)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let name = file.file_name().map(|name| on_one_line(&name.to_string_lossy())).unwrap_or_default();
    let source = format!("import of {}", without_addresses(&name));
    let is_json = text.trim_start().starts_with('{');
    let (row, read) = if is_json { ("entry", json(text, because)) } else { ("line", csv(text, because)) };
    let Read { format, entries, left_out, disabled, unreadable, has_more } =
        read.with_context(|| file.display().to_string()).map_err(refused)?;
    Ok(Import { format, row, source, entries, left_out, disabled, unreadable, has_more })
}

struct Read {
    format: &'static str,
    entries: Vec<Entry>,
    left_out: u64,
    disabled: u64,
    unreadable: Vec<Unreadable>,
    has_more: bool,
}

fn json(text: &str, because: Option<Because>) -> anyhow::Result<Read> {
    says_itself(Format::Ses, because)?;
    let list: SesList = serde_json::from_str(text).map_err(|error| anyhow::anyhow!(issei_schema::without_values(&error)))?;
    let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
    for (at, summary) in list.suppressed_destination_summaries.into_iter().enumerate() {
        let since = match &summary.last_update_time {
            serde_json::Value::String(text) => moment(text),
            other => moment(&other.to_string()),
        };
        match read_row(&summary.email_address, of_ses(&summary.reason)) {
            Ok((address, why)) => entries.push(Entry { address, why, since, reason: None }),
            Err(why) => unreadable.push(Unreadable { row: at as u64 + 1, why }),
        }
    }
    let has_more = list.next_token.is_some_and(|token| !token.is_empty());
    Ok(Read { format: Format::Ses.name(), entries, left_out: 0, disabled: 0, unreadable, has_more })
}

fn csv(text: &str, because: Option<Because>) -> anyhow::Result<Read> {
    let place_of = |columns: &[String], names: &[&str]| columns.iter().position(|column| names.contains(&column.to_lowercase().as_str()));
    let list = CsvList::of(text, |columns| place_of(columns, &["email", "emailaddress"])).map_err(|broken| not_csv(&broken))?;
    let columns: Vec<String> = list.columns().iter().map(|name| name.to_lowercase()).collect();
    let Some(format) = Format::of(&columns) else {
        bail!(
            "it has the columns {}, and is none of: SendGrid's exports (email and created, with status, reason or ip), listmonk's of subscribers (uuid, email, name, attributes, status, created_at, updated_at), SES's (EmailAddress, Reason, LastUpdateTime, or the JSON of `aws sesv2 list-suppressed-destinations`); nothing was entered",
            columns.iter().map(|column| without_addresses(column)).collect::<Vec<_>>().join(", ")
        );
    };
    if format == Format::SendGrid {
        if because.is_none() {
            bail!(
                "SendGrid's exports of bounces, blocks, spam reports and unsubscribes can't be told apart by their columns; say what this one holds with --because bounced, complained or unsubscribed (blocks are no reason to suppress anybody)"
            );
        }
    } else {
        says_itself(format, because)?;
    }
    let (mut entries, mut left_out, mut disabled, mut unreadable) = (Vec::new(), 0, 0, Vec::new());
    for row in list {
        // Whoever stands behind a quote that does not close is on no list, and would be mailed: so it is all of the file or nothing.
        let CsvRow { line, fields } = row.map_err(|broken| not_csv(&broken))?;
        let cell = |name: &str| place_of(&columns, &[name]).and_then(|at| fields.get(at)).map(|cell| cell.trim()).unwrap_or_default();
        // None of these goes over several lines anywhere.
        if ["email", "created", "emailaddress", "lastupdatetime", "status", "updated_at"].iter().any(|name| cell(name).contains('\n')) {
            bail!("line {line}: a quote is not closed; correct it; nothing was entered");
        }
        let (email, why, since, reason) = match format {
            Format::SendGrid => (cell("email"), because.map(suppression).ok_or_else(String::new), cell("created"), cell("reason")),
            Format::Ses => (cell("emailaddress"), of_ses(cell("reason")), cell("lastupdatetime"), ""),
            Format::Listmonk => match cell("status") {
                "blocklisted" => (cell("email"), Ok(Suppression::Unsubscribed), cell("updated_at"), ""),
                status @ ("enabled" | "disabled") => {
                    left_out += 1;
                    disabled += u64::from(status == "disabled");
                    continue;
                }
                status => (cell("email"), Err(unknown("status", status, "enabled, disabled and blocklisted")), "", ""),
            },
        };
        // What a mail server said may quote the address.
        let reason = (!reason.is_empty()).then(|| on_one_line(&without_addresses(reason)).chars().take(200).collect());
        match read_row(email, why) {
            Ok((address, why)) => entries.push(Entry { address, why, since: moment(since), reason }),
            Err(why) => unreadable.push(Unreadable { row: line, why }),
        }
    }
    Ok(Read { format: format.name(), entries, left_out, disabled, unreadable, has_more: false })
}

fn not_csv(NoCsvRow { line, reason }: &NoCsvRow) -> anyhow::Error {
    anyhow::anyhow!("line {line} can't be read as CSV: {reason}; nothing was entered")
}

/// What a file says itself nobody has to say beside it.
fn says_itself(format: Format, because: Option<Because>) -> anyhow::Result<()> {
    if because.is_some() {
        bail!("{} says itself why each address is in it; leave --because out", format.name());
    }
    Ok(())
}

/// Whom a row is about and why, or what of it can't be read.
fn read_row(email: &str, why: Result<Suppression, String>) -> Result<(Address, Suppression), String> {
    let address = Address::quoting_legacy(bare(email)).map_err(|error| format!("it is no address that can be mailed: it {error}"))?;
    Ok((address, why?))
}

/// The address of what may have a name before it, as mail programs write one. A second one is nobody's name.
fn bare(text: &str) -> &str {
    let named = text.trim().strip_suffix('>').and_then(|rest| rest.split_once('<'));
    named.filter(|(name, _)| !name.contains('@')).map_or(text, |(_, address)| address)
}

/// Of a word that may hold anything.
fn unknown(what: &str, word: &str, known: &str) -> String {
    let word: String = on_one_line(&without_addresses(word)).chars().take(WORD_CHARS).collect();
    format!("the {what} {word} is none that is known ({known} are)")
}

fn of_ses(reason: &str) -> Result<Suppression, String> {
    match reason {
        "BOUNCE" => Ok(Suppression::Bounced),
        "COMPLAINT" => Ok(Suppression::Complained),
        other => Err(unknown("reason", other, "BOUNCE and COMPLAINT")),
    }
}

/// Seconds of the epoch, also with a fraction, or a date of RFC 3339.
fn moment(text: &str) -> Option<Timestamp> {
    let seconds = text.split('.').next().and_then(|seconds| seconds.parse::<i64>().ok());
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(read: anyhow::Result<Read>) -> (Vec<String>, u64, Vec<u64>) {
        let Read { entries, left_out, unreadable, .. } = read.unwrap();
        let unreadable = unreadable.iter().map(|unreadable| unreadable.row).collect();
        let show = |entry: &Entry| {
            let since = entry.since.map_or("-".to_owned(), |since| since.to_string());
            format!("{} {} {since} {}", entry.address.as_str(), entry.why.as_str(), entry.reason.as_deref().unwrap_or("-"))
        };
        (entries.iter().map(show).collect(), left_out, unreadable)
    }

    #[test]
    fn the_exports_of_others_are_read_as_they_are_written() {
        let sendgrid = "status,reason,email,created\n5.1.1,\"550 5.1.1 <ann@example.com>: no such user,\nsorry\",ann@example.com,1790083507\n,,no address,1\n";
        let ann = "ann@example.com bounced 2026-09-22T13:25:07Z 550 5.1.1 <(an address)>: no such user, sorry";
        assert_eq!(shown(csv(sendgrid, Some(Because::Bounced))), (vec![ann.to_owned()], 0, vec![4]));
        let spam = shown(csv("ip,email,created\n192.0.2.1,bob@example.com,1790083507\n", Some(Because::Complained)));
        assert_eq!(spam.0, ["bob@example.com complained 2026-09-22T13:25:07Z -"]);
        let listmonk = "uuid,email,name,attributes,status,created_at,updated_at\n\
            u1,ann@example.com,Ann,\"{\"\"a\"\":1}\",enabled,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n\
            u2,bob@example.com,Bob,{},blocklisted,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n";
        assert_eq!(shown(csv(listmonk, None)), (vec!["bob@example.com unsubscribed 2026-01-02T00:00:00Z -".to_owned()], 1, vec![]));
        let ses = r#"{ "SuppressedDestinationSummaries": [
            { "EmailAddress": "ann@example.com", "Reason": "BOUNCE", "LastUpdateTime": "2026-01-02T09:00:00.123000+09:00" },
            { "EmailAddress": "bob@example.com", "Reason": "COMPLAINT", "LastUpdateTime": 1790083507.5 },
            { "EmailAddress": "eve@example.com", "Reason": "MOOD", "LastUpdateTime": 1790083507 } ] }"#;
        let (entries, _, unreadable) = shown(json(ses, None));
        let expected = ["ann@example.com bounced 2026-01-02T00:00:00.123Z -", "bob@example.com complained 2026-09-22T13:25:07Z -"];
        assert_eq!((entries.as_slice(), unreadable), (expected.map(str::to_owned).as_slice(), vec![3]));
        let ses = shown(csv("EmailAddress,Reason,LastUpdateTime\nann@example.com,BOUNCE,2026-01-02T00:00:00Z\n", None));
        assert_eq!(ses.0, ["ann@example.com bounced 2026-01-02T00:00:00Z -"]);
    }

    /// What can't be read is told without anybody's address, and one with a name before it is read.
    #[test]
    fn whoever_can_not_be_read_is_told_by_the_row_and_the_cause() {
        let read = |rows: &str| csv(&format!("EmailAddress,Reason,LastUpdateTime\n{rows}"), None).unwrap();
        let named = read("Gus <gus@example.com>,BOUNCE,\n\"\"\"Gus, Jr.\"\" <gus2@example.com>\",BOUNCE,\ng..g@docomo.example,BOUNCE,\n");
        let addresses: Vec<&str> = named.entries.iter().map(|entry| entry.address.as_str()).collect();
        assert_eq!(addresses, ["gus@example.com", "gus2@example.com", "\"g..g\"@docomo.example"]);
        let read = read("\"a@example.com, Gus <gus@example.com>\",BOUNCE,\neve@example.com,MOOD eve@example.com,\n,BOUNCE,\n");
        let told: Vec<String> = read.unreadable.iter().map(|row| format!("{} {}", row.row, row.why)).collect();
        let expected = [
            "2 it is no address that can be mailed: it is not a name, one `@` and a domain with a dot",
            "3 the reason MOOD (an address) is none that is known (BOUNCE and COMPLAINT are)",
            "4 it is no address that can be mailed: it is empty",
        ];
        assert_eq!((told.as_slice(), read.entries.len()), (expected.map(str::to_owned).as_slice(), 0));
        let listmonk = |status: &str| {
            csv(&format!("uuid,email,name,attributes,status,created_at,updated_at\nu,a@example.com,A,{{}},{status},,\n"), None).unwrap()
        };
        assert_eq!((listmonk("disabled").disabled, listmonk("disabled").left_out, listmonk("enabled").disabled), (1, 1, 0));
        assert!(listmonk("paused").unreadable.first().unwrap().why.contains("the status paused is none that is known"));
    }

    /// Somebody whose name begins with a quote must not take those after it from the list, who would all be mailed.
    #[test]
    fn a_quote_that_does_not_close_hides_nobody_who_stands_behind_it() {
        let listmonk = |rows: &[(&str, &str)]| {
            let row = |(at, (name, status)): (usize, &(&str, &str))| {
                format!("u{at},u{at}@example.com,{name},\"{{\"\"a\"\":1}}\",{status},2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n")
            };
            let rows: String = rows.iter().enumerate().map(row).collect();
            format!("uuid,email,name,attributes,status,created_at,updated_at\n{rows}")
        };
        let plain = |rows: &[(&str, &str)]| listmonk(rows).replace("\"{\"\"a\"\":1}\"", "{}");
        let off = "blocklisted";
        let last = "email,created,reason\nann@example.com,1,550\nbob@example.com,2,\"550\neve@example.com,3,550\n";
        for (text, because, line) in [
            (
                plain(&[("Ann", "enabled"), ("\"Bob", "enabled"), ("Carl", off), ("Dora \"D\" D", off), ("\"Eve\"", off), ("Fay", off)]),
                None,
                3,
            ),
            (last.to_owned(), Some(Because::Bounced), 3),
            (format!("{last}fay@example.com,4,\"550\"\n"), Some(Because::Bounced), 3),
            (plain(&[("\"Bob", "enabled"), ("Carl", off), ("Fay", off)]), None, 2),
            (listmonk(&[("Ann", "enabled"), ("\"Bob", "enabled"), ("Carl", off), ("\"Eve\"", off), ("Fay", off)]), None, 3),
        ] {
            let error = csv(&text, because).err().map_or_else(|| "it was taken".to_owned(), |error| error.to_string());
            let says = format!("line {line} can't be read as CSV: a quote opens");
            assert!(error.starts_with(&says) && error.ends_with("nothing was entered") && !error.contains('@'), "{text}\n{error}");
        }
    }

    #[test]
    fn what_is_no_list_that_is_known_is_refused_whole() {
        for (text, because, says) in [
            ("email,name\nann@example.com,Ann\n", None, "it has the columns email, name, and is none of"),
            ("ann@example.com\nbob@example.com\n", None, "it has the columns (an address), and is none of"),
            ("status,reason,email,created\n,,ann@example.com,1\n", None, "--because bounced"),
            (
                "status,reason,email,created\n,\"550,ann@example.com,1\n",
                Some(Because::Bounced),
                "line 2 can't be read as CSV: a quote opens",
            ),
            ("email,created\nann@example.com,1\nbob@example.com\n", Some(Because::Bounced), "line 3 can't be read as CSV: it has 1 fields"),
            (
                "email,created\nann@example.com,\"1\nbob@example.com,2\n",
                Some(Because::Bounced),
                "line 2 can't be read as CSV: a quote opens",
            ),
            ("EmailAddress,Reason,LastUpdateTime\nann@example.com,BOUNCE,\n", Some(Because::Operator), "leave --because out"),
        ] {
            let error = csv(text, because).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(says) && !error.contains("ann@"), "{text:?}: {error}");
        }
        assert!(json("{ \"data\": [] }", None).is_err());
    }
}
