//! Reading a whole audience for those of it who can be mailed, with no ledger: judged as they are when they are
//! frozen, each key once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use issei_ledger::SkipReason;
use issei_schema::{BroadcastCommand, Recipient};

use crate::SourceError;
use crate::aside::Aside;
use crate::audience::AudienceConfig;
use crate::command::needed;
use crate::judging::{Candidate, JudgingError, candidates};
use crate::row::Judged;
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
) -> Result<BTreeMap<SkipReason, Skips>, JudgingError> {
    let name = command.audience.as_str();
    let (audience, needed) = needed(command, &BTreeMap::from([(name.to_owned(), audience.clone())]))
        .map_err(|refusal| SourceError::Config { audience: name.to_owned(), reason: refusal.to_string() })?;
    let source = Source::read(name, &audience, spool_dir, String::new(), &Progress::default()).await?;
    let (mut skipped, mut cursor, needed) = (BTreeMap::new(), source.beginning(), Arc::new(needed));
    skip(&mut skipped, SkipReason::NoKey, source.counts().without_key, None);
    loop {
        let page = candidates(None, &source, &mut cursor, PAGE, &needed, Aside::Threads).await?;
        if page.is_empty() {
            return Ok(skipped);
        }
        for Candidate { key, judged, repeats, .. } in page {
            match judged {
                Judged::Recipient(recipient, _) => {
                    each(recipient);
                    skip(&mut skipped, SkipReason::DuplicateKey, repeats, (repeats > 0).then(|| quotable(&key)));
                }
                Judged::Skipped(key, reason) => skip(&mut skipped, reason, 1 + repeats, Some(key)),
                Judged::SkippedFor { key, .. } => skip(&mut skipped, SkipReason::DuplicateAddress, 1 + repeats, Some(key)),
            }
        }
    }
}
