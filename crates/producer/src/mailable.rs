//! Reading a whole audience for those of it who can be mailed, with no ledger: judged as they are when they are
//! frozen, each key once.

use std::collections::BTreeMap;
use std::path::Path;

use issei_ledger::SkipReason;
use issei_schema::{BroadcastCommand, Recipient};

use crate::SourceError;
use crate::audience::AudienceConfig;
use crate::command::needed;
use crate::row::{Judged, judge};
use crate::source::{Progress, Source, quotable};
use crate::survey::{Skips, skip};

const PAGE: usize = 2_000;

/// Gives each recipient of the command's audience to `each`, in the order of the bytes of their keys, and the rows that
/// are none, by their reason. Whether an address stands under several keys is for whoever asks.
pub async fn each_mailable(
    command: &BroadcastCommand,
    audience: &AudienceConfig,
    spool_dir: &Path,
    mut each: impl FnMut(Recipient),
) -> Result<BTreeMap<SkipReason, Skips>, SourceError> {
    let name = command.audience.as_str();
    let (audience, needed) = needed(command, &BTreeMap::from([(name.to_owned(), audience.clone())]))
        .map_err(|refusal| SourceError::Config { audience: name.to_owned(), reason: refusal.to_string() })?;
    let source = Source::read(name, &audience, spool_dir, String::new(), &Progress::default()).await?;
    let (mut skipped, mut cursor) = (BTreeMap::new(), source.beginning());
    skip(&mut skipped, SkipReason::NoKey, source.counts().without_key, None);
    loop {
        let page = source.page(&mut cursor, PAGE).await?;
        let Some(spooled) = page.last() else { return Ok(skipped) };
        cursor.after = Some(spooled.row.key.clone());
        for spooled in page {
            let repeated = (spooled.repeats > 0).then(|| quotable(&spooled.row.key));
            match judge(spooled.row, &needed) {
                Judged::Recipient(recipient, _) => {
                    each(recipient);
                    skip(&mut skipped, SkipReason::DuplicateKey, spooled.repeats, repeated);
                }
                Judged::Skipped(key, reason) => skip(&mut skipped, reason, 1 + spooled.repeats, Some(key)),
                Judged::SkippedFor { key, .. } => skip(&mut skipped, SkipReason::DuplicateAddress, 1 + spooled.repeats, Some(key)),
            }
        }
    }
}
