//! Reading a whole audience for those of it who can be mailed: judged as they are when they are frozen, each key once; without
//! any ledger, or by its list of suppressed addresses too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use issei_ledger::{Ledger, SkipReason};
use issei_letter::Letters;
use issei_schema::{BroadcastCommand, Recipient};

use crate::SourceError;
use crate::aside::Aside;
use crate::audience::AudienceConfig;
use crate::command::{Refusal, needed};
use crate::judging::{Candidate, JudgingError, candidates};
use crate::row::{Judged, ReadLetters};
use crate::source::{Progress, ReadObjects, Source, quotable};
use crate::survey::{Skips, skip};

const PAGE: usize = 2_000;

/// What kept an audience from being looked through.
#[derive(Debug, thiserror::Error)]
pub enum MailableError {
    #[error(transparent)]
    Judging(#[from] JudgingError),
    /// The command can't be carried out by this audience, whoever is in it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<SourceError> for MailableError {
    fn from(error: SourceError) -> Self {
        Self::Judging(error.into())
    }
}

/// What is known of an audience that was looked through.
pub struct JudgedAll {
    /// The rows that are no recipients.
    pub skipped: BTreeMap<SkipReason, Skips>,
    /// Of one in S3, what it was read from.
    pub objects: Option<ReadObjects>,
}

/// Gives each recipient of the command's audience to `each`, in the order of the bytes of their keys, and the rows that
/// are none, by their reason. Whether an address stands under several keys is for whoever asks; who is on the list is not
/// asked, nor whether the letter may be sent.
pub async fn each_mailable(
    command: &BroadcastCommand,
    audience: &AudienceConfig,
    spool_dir: &Path,
    mut each: impl FnMut(Recipient),
) -> Result<BTreeMap<SkipReason, Skips>, MailableError> {
    Ok(judge_all(command, audience, spool_dir, (None, Letters::as_taken), |judged| _ = judged.map(&mut each)).await?.skipped)
}

/// The same with the key and the reason of whoever is not mailed. A letter that may not be sent is refused.
pub async fn each_judged(
    command: &BroadcastCommand,
    audience: &AudienceConfig,
    spool_dir: &Path,
    each: impl FnMut(Result<Recipient, (String, SkipReason)>),
) -> Result<JudgedAll, MailableError> {
    judge_all(command, audience, spool_dir, (None, Letters::of), each).await
}

/// The same by the ledger's list of suppressed addresses, with the key and the reason of whoever is not mailed, of a command
/// that was taken already.
pub async fn each_by_the_list(
    command: &BroadcastCommand,
    audience: &AudienceConfig,
    spool_dir: &Path,
    ledger: &Ledger,
    each: impl FnMut(Result<Recipient, (String, SkipReason)>),
) -> Result<BTreeMap<SkipReason, Skips>, MailableError> {
    Ok(judge_all(command, audience, spool_dir, (Some(ledger), Letters::as_taken), each).await?.skipped)
}

async fn judge_all(
    command: &BroadcastCommand,
    audience: &AudienceConfig,
    spool_dir: &Path,
    (ledger, letters): (Option<&Ledger>, ReadLetters),
    mut each: impl FnMut(Result<Recipient, (String, SkipReason)>),
) -> Result<JudgedAll, MailableError> {
    let name = command.audience.as_str();
    let (audience, needed) = needed(command, &BTreeMap::from([(name.to_owned(), audience.clone())]), letters)?;
    let source = Source::read(name, &audience, spool_dir, String::new(), &Progress::default()).await?;
    let mut list = ledger.map(|ledger| ledger.suppressions(source.counts().rows));
    if let Some(list) = &mut list {
        list.look().await.map_err(JudgingError::from)?;
    }
    let (mut skipped, mut cursor, needed) = (BTreeMap::new(), source.beginning(), Arc::new(needed));
    skip(&mut skipped, SkipReason::NoKey, source.counts().without_key, None);
    loop {
        let page = candidates(list.as_ref(), &source, &mut cursor, PAGE, &needed, Aside::Threads).await?;
        if page.is_empty() {
            return Ok(JudgedAll { skipped, objects: source.objects().cloned() });
        }
        for Candidate { key, judged, repeats, .. } in page {
            match judged {
                Judged::Recipient(recipient, _) => {
                    each(Ok(recipient));
                    skip(&mut skipped, SkipReason::DuplicateKey, repeats, (repeats > 0).then(|| quotable(&key)));
                }
                Judged::Skipped(quoted, reason) => {
                    each(Err((key, reason)));
                    skip(&mut skipped, reason, 1 + repeats, Some(quoted));
                }
                Judged::SkippedFor { key, .. } => skip(&mut skipped, SkipReason::DuplicateAddress, 1 + repeats, Some(key)),
            }
        }
    }
}
