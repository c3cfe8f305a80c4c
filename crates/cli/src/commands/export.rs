//! `issei export`: recipients by what became of them, in a file that can be an audience again.
//!
//! It prints addresses, since that is what it is asked for, and goes page by page, so that memory stays flat.

use issei_assembly::{Parts, Settings, say, say_error};
use issei_ledger::{Broadcast, Ledger, LedgerError, Outcome, RecipientOutcome};
use issei_schema::{Content, EventKind};
use serde_json::{Map, Value};

use super::inspect::name_of;
use crate::Ended;
use crate::args::{ExportFormat, ExportOptions, Wanted};

pub(crate) async fn run(settings: &Settings, options: &ExportOptions, as_json: bool) -> anyhow::Result<Ended> {
    // An object on each line: the rows are more than one object could hold.
    let format = if as_json { ExportFormat::Jsonl } else { options.format };
    let parts = Parts::connect(settings).await;
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(&options.id).await?;
    if options.outcome == Wanted::Skipped {
        return skipped(&ledger, &broadcast, format).await;
    }
    let columns = columns(&ledger, &broadcast).await?;
    let kind = options.outcome.kind();
    // When it was and why is known of what an event has told.
    let details_told: &[&str] = if kind.is_some() { &["event_at", "event_reason"] } else { &[] };
    let own = ["key", "address", "outcome"].iter().chain(details_told).map(|name| own_name(name, &columns));
    let mut table = Table::new(format, own.chain(columns.iter().cloned()).collect())?;
    let mut forgotten = 0;
    let (log, details) = ledger.event_log_with(&broadcast, |(told, ..)| Some(told) == kind).await?;
    for seq in 0..broadcast.pages {
        for recipient in
            ledger.page_outcomes(&broadcast.placed(), seq, &log).await?.iter().filter(|recipient| options.outcome.is_of(recipient))
        {
            let Some(who) = &recipient.recipient else {
                forgotten += 1;
                continue;
            };
            let mut row = vec![Some(who.key.as_str()), Some(who.address.as_str()), options.outcome.word(recipient)];
            let detail = kind.and_then(|kind| details.of((kind, recipient.chunk, u32::try_from(recipient.at).ok()?)));
            let at = detail.and_then(|detail| detail.at).map(|at| at.to_string());
            let reason = detail.and_then(|detail| detail.reason.as_ref()).map(ToString::to_string);
            row.extend([at.as_deref(), reason.as_deref()].into_iter().take(details_told.len()));
            row.extend(columns.iter().map(|column| who.data.get(column).map(String::as_str)));
            table.row(row)?;
        }
        table.flush()?;
    }
    tell_left_out(forgotten);
    Ok(Ended::Well)
}

/// Whoever was forgotten has no row, and the count would be wrong without a word.
fn tell_left_out(forgotten: u64) {
    if forgotten > 0 {
        say_error(&format!("{forgotten} more were forgotten (`issei forget`), and have no row"));
    }
}

/// Those who were not mailed for a reason of their own. Neither their address nor their data was frozen.
async fn skipped(ledger: &Ledger, broadcast: &Broadcast, format: ExportFormat) -> anyhow::Result<Ended> {
    let mut table = Table::new(format, ["key", "outcome", "reason", "rows", "detail"].map(str::to_owned).to_vec())?;
    let mut forgotten = 0;
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        forgotten += page.forgotten_rows();
        for skipped in page.skipped() {
            let (reason, rows) = (skipped.reason.to_string(), skipped.rows.to_string());
            table.row(vec![Some(skipped.name()), Some("skipped"), Some(&reason), Some(&rows), skipped.detail()])?;
        }
        table.flush()?;
    }
    tell_left_out(forgotten);
    Ok(Ended::Well)
}

/// The columns of the audience that were frozen: those that the content names, or for a template stored in SES
/// all that any recipient has. All recipients have the same.
pub(super) async fn columns(ledger: &Ledger, broadcast: &Broadcast) -> Result<Vec<String>, LedgerError> {
    let content = ledger.command(&broadcast.broadcast_id).await?.content;
    if !matches!(content, Content::Template { .. }) {
        return Ok(content.placeholders().into_iter().map(|name| name.as_str().to_owned()).collect());
    }
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        if let Some(first) = page.known_recipients().next() {
            return Ok(first.data.keys().cloned().collect());
        }
    }
    Ok(Vec::new())
}

/// A column of ours, which must not meet one of the audience's.
pub(super) fn own_name(name: &str, columns: &[String]) -> String {
    let mut name = name.to_owned();
    while columns.contains(&name) {
        name.insert_str(0, "issei_");
    }
    name
}

/// Rows on standard output.
enum Table {
    Csv(Box<csv::Writer<std::io::Stdout>>),
    Jsonl(Vec<String>),
}

impl Table {
    fn new(format: ExportFormat, names: Vec<String>) -> anyhow::Result<Self> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Jsonl(names),
            ExportFormat::Csv => {
                let mut csv = csv::Writer::from_writer(std::io::stdout());
                csv.write_record(names)?;
                Self::Csv(Box::new(csv))
            }
        })
    }

    fn row(&mut self, values: Vec<Option<&str>>) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => csv.write_record(values.iter().map(|value| value.unwrap_or_default()))?,
            Self::Jsonl(names) => {
                let value = |value: Option<&str>| value.map_or(Value::Null, |value| Value::String(value.to_owned()));
                let row: Map<String, Value> = names.iter().cloned().zip(values.into_iter().map(value)).collect();
                say(&Value::Object(row).to_string());
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if let Self::Csv(csv) = self {
            csv.flush()?;
        }
        Ok(())
    }
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
            Self::Accepted | Self::Rejected | Self::InDoubt | Self::Missing | Self::AcceptedTwice | Self::Skipped => None,
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
            Self::Accepted | Self::Rejected | Self::InDoubt | Self::Missing => recipient.outcome.map(name_of),
        }
    }

    pub(super) fn is_of(self, recipient: &RecipientOutcome) -> bool {
        let has = |kind| recipient.events.contains(&kind);
        match self {
            Self::Accepted => recipient.outcome == Some(Outcome::Accepted),
            Self::Rejected => recipient.outcome == Some(Outcome::Rejected),
            Self::InDoubt => matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open)),
            Self::Missing => matches!(recipient.outcome, None | Some(Outcome::Retryable)),
            Self::Delivered => has(EventKind::Delivered),
            Self::Bounced => has(EventKind::Bounced),
            Self::Complained => has(EventKind::Complained),
            Self::RenderFailed => has(EventKind::RenderFailed),
            Self::Suppressed => has(EventKind::Suppressed),
            Self::Delayed => has(EventKind::Delayed),
            Self::AcceptedTwice => recipient.accepted_twice,
            // Nobody who was frozen as a recipient.
            Self::Skipped => false,
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
}
