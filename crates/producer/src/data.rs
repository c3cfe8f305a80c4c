//! Rows that stand for those of an audience, for whoever looks at letters without it. They are judged as rows of an audience
//! are, so that no letter is shown that nobody would get.

use std::collections::BTreeMap;
use std::path::Path;

use issei_ledger::SkipReason;
use issei_schema::{BroadcastCommand, Placeholder, Recipient, StoredTemplate, UNSUBSCRIBE_PLACEHOLDER, Unsubscribe};

use crate::SourceError;
use crate::audience::AudienceConfig;
use crate::command::lacking;
use crate::mailable::MailableError;
use crate::row::{Judged, Needed, judge};
use crate::source::Data;
use crate::survey::{Skips, skip};

/// Gives those of a file (an array of JSON objects, or an object a line) whom the command can be written to, and the others
/// by their reason. Their keys are their numbers.
pub fn mailable_data(command: &BroadcastCommand, file: &Path) -> Result<(Vec<Recipient>, BTreeMap<SkipReason, Skips>), MailableError> {
    let wrong = |reason: String| SourceError::File { audience: command.audience.to_string(), file: file.display().to_string(), reason };
    let data = Data::read(file).map_err(wrong)?;
    let way_out = command.unsubscribe.as_ref();
    let column = way_out.and_then(Unsubscribe::column);
    let mut columns = data.names();
    columns.extend(command.content.placeholders().into_iter().map(Placeholder::as_str).chain(column).map(str::to_owned));
    let of_template = command.content.frozen().and_then(StoredTemplate::placeholders).unwrap_or_default();
    let has = |name: &str| columns.contains(name) || name.strip_prefix("html_").is_some_and(|plain| columns.contains(plain));
    let others: Vec<String> = of_template.into_iter().filter(|name| !has(name)).collect();
    columns.extend(others);
    if way_out.is_some() && column != Some(UNSUBSCRIBE_PLACEHOLDER) {
        // The URL itself is made when the mail is.
        columns.remove(UNSUBSCRIBE_PLACEHOLDER);
    }
    let audience = AudienceConfig { columns: columns.into_iter().collect(), ..AudienceConfig::default() };
    let needed = Needed::of(command, &audience).map_err(|lack| lacking(lack, command, &audience))?;
    let (mut recipients, mut skipped) = (Vec::new(), BTreeMap::new());
    for row in data.rows(&audience.columns).map_err(wrong)? {
        match judge(row, &needed) {
            Judged::Recipient(recipient, _) => recipients.push(recipient),
            Judged::Skipped(key, reason) => skip(&mut skipped, reason, 1, Some(key)),
            Judged::SkippedFor { key, .. } => skip(&mut skipped, SkipReason::DuplicateAddress, 1, Some(key)),
        }
    }
    Ok((recipients, skipped))
}
