//! `issei export`: recipients by what became of them, in a file that can be an audience again.
//!
//! It prints addresses, since that is what it is asked for, and goes page by page, so that memory stays flat.

mod rows;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use issei_assembly::{Settings, say, say_warning};
use issei_certificate::told_in_time;
use issei_ledger::{Broadcast, EventLog, Ledger, LedgerError, Outcome, RecipientOutcome};
use issei_producer::AudienceConfig;
use issei_schema::{AudienceName, BroadcastCommand, Content, EventKind, Placeholder, UNSUBSCRIBE_PLACEHOLDER, Unsubscribe};
use jiff::Timestamp;
use serde_json::json;

use self::rows::Table;
use super::inspect::name_of;
use super::resend::section;
use crate::args::{ExportOptions, Wanted};
use crate::in_use::{self, Care};
use crate::output::{is_standard, takes};
use crate::{Ended, Refused, operator};

pub(crate) async fn run(settings: &Settings, options: &ExportOptions, as_json: bool) -> anyhow::Result<Ended> {
    options.output.as_deref().map_or(Ok(()), |file| takes(file, "the rows"))?;
    let parts = in_use::open(settings, Care::Says).await?;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    if options.outcome == Wanted::NotInTime && broadcast.effective_at.is_none() {
        let why = format!("the command of `{}` has no `effective_at`, so nobody was to be told before any day", options.id);
        return Err(Refused(why).into());
    }
    may_still_be_sent_to(&broadcast, options.outcome)?;
    if options.outcome == Wanted::Missing
        && let Some(at) = ledger.may_have_forgotten(&broadcast).await?
    {
        say_warning(&format!(
            "the ledger was restored, and has forgotten what was sent between the backup and {at:.0}: some of these may have got it, and would get it twice if the rows were an audience"
        ));
    }
    let mut table = Table::new(options, as_json)?;
    if options.outcome == Wanted::Skipped {
        let rows = skipped(&ledger, &broadcast, table).await?;
        tell_written(options, rows, as_json);
        return Ok(Ended::Well);
    }
    let configured = parts.settings.audiences.get(broadcast.audience.as_str());
    let columns = Columns::of(configured, columns(&ledger, &broadcast).await?);
    let kind = options.outcome.kind();
    // When it was and why is known of what an event has told.
    let details_told: &[&str] = match (kind, options.outcome) {
        (Some(_), _) => &["event_at", "event_reason"],
        (None, Wanted::Spared) => &["reason"],
        (None, _) => &[],
    };
    table.head(columns.head(details_told))?;
    let (mut forgotten, mut rows) = (0, 0_u64);
    let bound = match broadcast.effective_at.filter(|_| options.outcome == Wanted::NotInTime) {
        Some(effective_at) => Some((operator::widest(&parts).await?.timing.refused_after(), effective_at)),
        None => None,
    };
    let (log, details) = ledger.event_log_with(&broadcast, |(told, ..)| Some(told) == kind).await?;
    for seq in 0..broadcast.pages {
        let late = match bound {
            Some(bound) => Some(not_in_time(&ledger, &broadcast, bound, seq, &log).await?),
            None => None,
        };
        let is_wanted = |recipient: &&RecipientOutcome| match &late {
            Some(late) => late.contains(&(recipient.chunk, recipient.at)),
            None => options.outcome.is_of(recipient),
        };
        for recipient in ledger.page_outcomes(&broadcast.placed(), seq, &log).await?.iter().filter(is_wanted) {
            let Some(who) = &recipient.recipient else {
                forgotten += 1;
                continue;
            };
            let mut row: Vec<Option<&str>> = columns.identity(who.key.as_str(), who.address.as_str());
            row.push(options.outcome.word(recipient));
            let detail = kind.and_then(|kind| details.of((kind, recipient.chunk, u32::try_from(recipient.at).ok()?)));
            let at = detail.and_then(|detail| detail.at).map(|at| at.to_string());
            let reason = detail.and_then(|detail| detail.reason.as_ref()).map(ToString::to_string);
            match recipient.spared.filter(|_| options.outcome == Wanted::Spared) {
                Some(why) => row.push(Some(why.as_str())),
                None => row.extend([at.as_deref(), reason.as_deref()].into_iter().take(details_told.len())),
            }
            row.extend(columns.data.iter().map(|column| who.data.get(column).map(String::as_str)));
            table.row(row)?;
            rows += 1;
        }
        table.flush()?;
    }
    let name = table.name();
    table.end()?;
    tell_written(options, rows, as_json);
    tell_left_out(forgotten);
    if let Some(told) =
        configured.and_then(|configured| other_encoding(&broadcast.audience, configured, &columns, options.output.as_deref(), name))
    {
        say_warning(&told);
    }
    if !columns.not_frozen.is_empty() {
        say_warning(&format!(
            "the content names no {}, so nothing of it was frozen, and the rows have no such column: as an audience they are refused until it stands there",
            columns.not_frozen.join(", ")
        ));
    }
    Ok(Ended::Well)
}

/// Whoever is missed by a broadcast that is not over may get it yet, and would get it twice if the rows were an audience.
fn may_still_be_sent_to(broadcast: &Broadcast, wanted: Wanted) -> anyhow::Result<()> {
    let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
    match wanted {
        Wanted::Missing if !state.is_over() => bail!(Refused(format!(
            "broadcast `{id}` is {state}: whoever it has missed it may still send to, and `issei status {id}` counts them; once it is over, this lists them, and `issei resend {id} --as NEW_ID` makes a broadcast for them"
        ))),
        Wanted::InDoubt if !state.is_over() => {
            say_warning(&format!(
                "broadcast `{id}` is {state}: some of these may still get it; once it is over, `issei resend {id} --as NEW_ID` is for them"
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whoever of a page was not surely told before the day from which it binds, by chunk and place.
async fn not_in_time(
    ledger: &Ledger,
    broadcast: &Broadcast,
    (held, effective_at): (Duration, Timestamp),
    seq: u32,
    log: &EventLog,
) -> anyhow::Result<BTreeSet<(u32, usize)>> {
    let page = ledger.page(&broadcast.placed(), seq).await?;
    let chunks: Vec<(u32, usize)> = page.chunks().map(|(chunk, recipients)| (chunk, recipients.len())).collect();
    let mut late = BTreeSet::new();
    // `BatchGetItem` takes a hundred keys (API reference).
    for some in chunks.chunks(100) {
        let numbers: Vec<u32> = some.iter().map(|(chunk, _)| *chunk).collect();
        let inspected = ledger.inspect(&broadcast.placed(), &numbers, log).await?;
        for (looked, (chunk, recipients)) in inspected.iter().zip(some) {
            let told = told_in_time(looked, *recipients, held, effective_at);
            late.extend(told.into_iter().enumerate().filter(|(_, is_told)| !is_told).map(|(at, _)| (*chunk, at)));
        }
    }
    Ok(late)
}

/// What the columns are called, so that the file is the same audience again under its own configuration.
struct Columns {
    key: String,
    /// Nothing where the address is the key.
    address: Option<String>,
    /// Of the audience, beside these two.
    data: Vec<String>,
    /// Those of its configuration that the content does not name. They have no column here.
    not_frozen: Vec<String>,
}

impl Columns {
    /// As the audience's configuration has them; `key` and `address` where it is not at hand.
    fn of(configured: Option<&AudienceConfig>, frozen: Vec<String>) -> Self {
        let Some(AudienceConfig { key, address, columns, .. }) = configured else {
            let [key, address] = ["key", "address"].map(|name| own_name(name, &frozen));
            return Self { key, address: Some(address), data: frozen, not_frozen: Vec::new() };
        };
        let is_other = |name: &&String| *name != key && *name != address;
        let data: Vec<String> = frozen.iter().filter(is_other).cloned().collect();
        // Empty cells would be read as values that are missing, and letters would go out without them.
        let not_frozen: Vec<String> = columns.iter().filter(is_other).filter(|name| !data.contains(name)).cloned().collect();
        Self { key: key.clone(), address: (address != key).then(|| address.clone()), data, not_frozen }
    }

    fn head(&self, details: &[&str]) -> Vec<String> {
        // One of the audience's that is not there must not be found in one of ours either.
        let taken: Vec<String> =
            std::iter::once(&self.key).chain(&self.address).chain(&self.data).chain(&self.not_frozen).cloned().collect();
        let own = std::iter::once(&"outcome").chain(details).map(|name| own_name(name, &taken));
        std::iter::once(self.key.clone()).chain(self.address.clone()).chain(own).chain(self.data.iter().cloned()).collect()
    }

    fn identity<'a>(&self, key: &'a str, address: &'a str) -> Vec<Option<&'a str>> {
        if self.address.is_some() { vec![Some(key), Some(address)] } else { vec![Some(key)] }
    }
}

/// Of rows in a file; those on standard output speak for themselves.
fn tell_written(options: &ExportOptions, rows: u64, as_json: bool) {
    let Some(file) = options.output.as_deref().filter(|file| !is_standard(file)) else { return };
    say(&if as_json {
        json!({ "broadcast_id": options.id, "written": file, "rows": rows }).to_string()
    } else {
        format!("{} written, {rows} rows with the outcome that was asked for; it names people, and nobody else may read it", file.display())
    });
}

/// Whoever was forgotten has no row, and the count would be wrong without a word.
fn tell_left_out(forgotten: u64) {
    if forgotten > 0 {
        say_warning(&format!("{forgotten} more were forgotten (`issei forget`), and have no row"));
    }
}

/// Those who were not mailed for a reason of their own. Neither their address nor their data was frozen.
async fn skipped(ledger: &Ledger, broadcast: &Broadcast, mut table: Table) -> anyhow::Result<u64> {
    table.head(["key", "outcome", "reason", "rows", "detail"].map(str::to_owned).to_vec())?;
    let (mut forgotten, mut written) = (0, 0);
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        forgotten += page.forgotten_rows();
        for skipped in page.skipped() {
            let (reason, rows) = (skipped.reason.to_string(), skipped.rows.to_string());
            table.row(vec![Some(skipped.name()), Some("skipped"), Some(&reason), Some(&rows), skipped.detail()])?;
            written += 1;
        }
        table.flush()?;
    }
    table.end()?;
    tell_left_out(forgotten);
    Ok(written)
}

/// How the rows are read where the audience's own section would read them in another encoding than they are in.
fn other_encoding(
    audience: &AudienceName,
    configured: &AudienceConfig,
    columns: &Columns,
    output: Option<&Path>,
    name: &str,
) -> Option<String> {
    let encoding = configured.encoding.as_ref().filter(|label| !["utf-8", "utf8"].contains(&label.trim().to_lowercase().as_str()))?;
    let file = output.filter(|file| !is_standard(file)).unwrap_or(Path::new(name));
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let read = AudienceConfig {
        file: Some(file.display().to_string()),
        key: columns.key.clone(),
        address: columns.address.clone().unwrap_or_else(|| columns.key.clone()),
        columns: columns.data.clone(),
        unique_by: configured.unique_by,
        ..AudienceConfig::default()
    };
    Some(format!(
        "the rows are UTF-8, and the section of the audience `{audience}` says encoding = {encoding:?}, by which they can't be read; this section reads them:\n\n{}",
        section(&format!("{audience}-export"), &read)
    ))
}

/// The columns of the audience that were frozen: those that the command names, or for a template stored in SES
/// all that any recipient has. All recipients have the same.
pub(super) async fn columns(ledger: &Ledger, broadcast: &Broadcast) -> Result<Vec<String>, LedgerError> {
    let command = ledger.command(&broadcast.broadcast_id).await?;
    if !matches!(command.content, Content::Template { .. }) {
        return Ok(named_by(&command));
    }
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        if let Some(first) = page.known_recipients().next() {
            return Ok(first.data.keys().cloned().collect());
        }
    }
    Ok(Vec::new())
}

/// What a command asks of an audience: its placeholders, and the column of the URL to unsubscribe. By the name of that URL each
/// mail has its own, which is a column only where the command says so.
fn named_by(command: &BroadcastCommand) -> Vec<String> {
    let way_out = command.unsubscribe.as_ref();
    let column = way_out.and_then(Unsubscribe::column);
    let asked = command.content.placeholders().into_iter().map(Placeholder::as_str);
    let asked = asked.filter(|name| way_out.is_none() || *name != UNSUBSCRIBE_PLACEHOLDER);
    asked.chain(column).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// A column of ours, which must not meet one of the audience's.
pub(super) fn own_name(name: &str, columns: &[String]) -> String {
    let mut name = name.to_owned();
    while columns.contains(&name) {
        name.insert_str(0, "issei_");
    }
    name
}

impl Wanted {
    /// The kind of event that tells of it.
    fn kind(self) -> Option<EventKind> {
        match self {
            Self::Delivered => Some(EventKind::Delivered),
            Self::Bounced => Some(EventKind::Bounced),
            Self::Complained => Some(EventKind::Complained),
            Self::RenderFailed => Some(EventKind::RenderFailed),
            Self::Suppressed => Some(EventKind::Suppressed),
            Self::Delayed => Some(EventKind::Delayed),
            Self::Accepted
            | Self::Rejected
            | Self::InDoubt
            | Self::Missing
            | Self::AcceptedTwice
            | Self::Skipped
            | Self::Spared
            | Self::NotInTime => None,
        }
    }

    /// What stands in the column `outcome`: the word that was asked for, or how the claim of the chunk ended.
    pub(super) fn word(self, recipient: &RecipientOutcome) -> Option<&'static str> {
        match self {
            Self::Delivered => Some("delivered"),
            Self::Bounced => Some("bounced"),
            Self::Complained => Some("complained"),
            Self::RenderFailed => Some("render-failed"),
            Self::Suppressed => Some("suppressed"),
            Self::Delayed => Some("delayed"),
            Self::AcceptedTwice => Some("accepted-twice"),
            Self::Skipped => Some("skipped"),
            Self::Spared => Some("spared"),
            Self::Rejected => Some("rejected"),
            Self::Accepted | Self::InDoubt | Self::Missing | Self::NotInTime => recipient.outcome.map(name_of),
        }
    }

    pub(super) fn is_of(self, recipient: &RecipientOutcome) -> bool {
        let has = |kind| recipient.events.contains(&kind);
        match self {
            Self::Accepted => recipient.outcome == Some(Outcome::Accepted),
            // Also what the provider took first, and nobody about whom it was not asked.
            Self::Rejected => (recipient.outcome == Some(Outcome::Rejected) && recipient.spared.is_none()) || has(EventKind::Rejected),
            Self::Spared => recipient.spared.is_some(),
            Self::InDoubt => matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open)),
            Self::Missing => matches!(recipient.outcome, None | Some(Outcome::Retryable)),
            Self::Delivered => has(EventKind::Delivered),
            Self::Bounced => has(EventKind::Bounced),
            Self::Complained => has(EventKind::Complained),
            Self::RenderFailed => has(EventKind::RenderFailed),
            Self::Suppressed => has(EventKind::Suppressed),
            Self::Delayed => has(EventKind::Delayed),
            Self::AcceptedTwice => recipient.accepted_twice,
            // Nobody who was frozen as a recipient; and what the chunk's lease tells, and not the outcome.
            Self::Skipped | Self::NotInTime => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_the_audience_keeps_its_name_and_ours_makes_way() {
        let columns = ["address", "issei_address", "name"].map(str::to_owned);
        assert_eq!(own_name("address", &columns), "issei_issei_address");
        assert_eq!(own_name("key", &columns), "key");
    }

    #[test]
    fn the_columns_are_those_of_the_audience_each_once() {
        let config = |key: &str, address: &str, columns: &[&str]| AudienceConfig {
            key: key.to_owned(),
            address: address.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            ..AudienceConfig::default()
        };
        let head = |config: Option<&AudienceConfig>, frozen: &[&str]| {
            let columns = Columns::of(config, frozen.iter().map(|name| (*name).to_owned()).collect());
            (columns.head(&["event_at"]).join(","), columns.not_frozen.join(","))
        };
        assert_eq!(head(None, &["name"]), ("key,address,outcome,event_at,name".to_owned(), String::new()));
        let of = config("id", "email", &["name", "outcome"]);
        assert_eq!(head(Some(&of), &["name"]), ("id,email,issei_outcome,event_at,name".to_owned(), "outcome".to_owned()));
        // One column may be two things.
        let of = config("email", "email", &["email", "name"]);
        assert_eq!(head(Some(&of), &["email", "name"]), ("email,outcome,event_at,name".to_owned(), String::new()));
    }

    #[test]
    fn what_the_audiences_own_section_could_not_read_is_told_with_one_that_can() {
        let own = |encoding: Option<&str>| AudienceConfig {
            file: Some("members.csv".to_owned()),
            encoding: encoding.map(str::to_owned),
            key: "id".to_owned(),
            address: "email".to_owned(),
            columns: vec!["name".to_owned(), "plan".to_owned()],
            ..AudienceConfig::default()
        };
        let told = |encoding: Option<&str>, output: Option<&str>| {
            let own = own(encoding);
            let columns = Columns::of(Some(&own), vec!["name".to_owned()]);
            other_encoding(&"users".parse().unwrap(), &own, &columns, output.map(Path::new), "export.csv")
        };
        assert_eq!([told(None, None), told(Some("UTF-8"), None), told(Some("utf8"), Some("x.csv"))], [None, None, None]);
        let told = told(Some("shift_jis"), Some("/data/x.csv")).unwrap();
        assert!(told.contains("the rows are UTF-8") && told.contains("encoding = \"shift_jis\""), "{told}");
        let section: toml::Table = told.split_once("\n\n").unwrap().1.parse().unwrap();
        let read: AudienceConfig = section["audiences"]["users-export"].clone().try_into().unwrap();
        assert_eq!((read.file.as_deref(), read.encoding.as_deref()), (Some("/data/x.csv"), None));
        assert_eq!((read.key.as_str(), read.address.as_str(), read.columns), ("id", "email", vec!["name".to_owned()]));
    }
}
