//! Whether services work with the ledger. One that was restored from a backup, and that nobody has taken into use yet, knows nothing
//! of what was sent since, and services that go on with another table heed nothing that is written in it. Every command opens the
//! ledger here, so that each says so beside what it shows, or refuses.
//!
//! What this must never do: keep anybody from stopping something.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::bail;
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::LedgerError;
use issei_schema::{Bilingual, both};
use serde::Serialize;
use serde_json::json;

use crate::Refused;

/// How long whoever asks something else of the ledger waits for this.
const LOOK: Duration = Duration::from_secs(5);

/// What this run of the program has found, where that is not that all is well.
static FOUND: OnceLock<Standing> = OnceLock::new();

/// What a command does where the ledger is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// It looks itself, or asks nothing that a restore makes wrong.
    Itself,
    /// It looks, or keeps somebody from being sent to: it says so, and goes on.
    Says,
    /// It changes something, and is refused.
    Refuses,
    /// It goes by whom the ledger knows to have been sent to, or lets more be sent: refused also where nobody can tell.
    MustKnow,
}

/// How it stands with the ledger.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    InUse,
    /// It was restored from a backup, or its queues are another ledger's.
    NotInUse(Bilingual),
    /// Nobody knows, and why.
    Untold(Bilingual),
}

impl Standing {
    /// One look: the table, its lineage, and the tags of the chunks queue.
    pub(crate) async fn of(parts: &Parts) -> Self {
        let looked = async {
            let mirror = parts.chunks_queue().await.map_err(|error| format!("{error:#}"))?;
            match parts.ledger().restored(&mirror).await {
                Ok(None) => Ok(Self::InUse),
                Ok(Some(reason)) => Ok(Self::restored(&reason)),
                Err(error @ LedgerError::Foreign { .. }) => Ok(Self::NotInUse(error.told())),
                Err(error) => Err(error.to_string()),
            }
        };
        let looked = tokio::time::timeout(LOOK, looked).await;
        let looked = looked.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK.as_secs())));
        looked.unwrap_or_else(|why| Self::untold(&why))
    }

    fn restored(reason: &str) -> Self {
        Self::NotInUse(both!(
            "THIS LEDGER WAS RESTORED from a backup and is not in use yet: it knows nothing of what was sent since the backup, so nobody is to be told by it that they got nothing, and services that go on with another table heed nothing that is written here. `issei accept-restored-ledger` takes it into use, `--table` names another. It shows by this: {reason}",
            "この台帳はバックアップから復元されたもので、まだ使用を再開していません。バックアップ以降の送信は記録されていないため、この台帳をもとに「送っていない」と回答しないでください。別のテーブルで動いているサービスには、ここでの操作は届きません。使用を再開するには `issei accept-restored-ledger` を実行し、別のテーブルを見るには `--table` で指定してください。判定の根拠(原文): {reason}"
        ))
    }

    fn untold(why: &str) -> Self {
        Self::Untold(both!(
            "whether this ledger was restored from a backup can't be told: where it was, it knows nothing of what was sent since. Who may sqs:GetQueueUrl and sqs:ListQueueTags of the chunks queue and dynamodb:DescribeTable of the ledger is told. The cause: {why}",
            "この台帳がバックアップから復元されたものかどうかを確認できません。復元されたものであれば、バックアップ以降の送信は記録されていません。確認には、chunksキューの sqs:GetQueueUrl と sqs:ListQueueTags、台帳の dynamodb:DescribeTable の権限が必要です。原因(原文): {why}"
        ))
    }

    /// What people are told; nothing where it is in use.
    pub(crate) fn told(&self) -> Option<&Bilingual> {
        match self {
            Self::InUse => None,
            Self::NotInUse(told) | Self::Untold(told) => Some(told),
        }
    }

    pub(crate) fn is_not_in_use(&self) -> bool {
        matches!(self, Self::NotInUse(_))
    }

    /// Why something of this care is not done; nothing where it is.
    pub(crate) fn against(&self, care: Care) -> Option<&Bilingual> {
        match (self, care) {
            (Self::NotInUse(told), Care::Refuses | Care::MustKnow) | (Self::Untold(told), Care::MustKnow) => Some(told),
            _ => None,
        }
    }
}

/// Connects for a command, and looks once whether services work with its ledger.
pub(crate) async fn open(settings: &Settings, care: Care) -> anyhow::Result<Parts> {
    let parts = Parts::connect(settings).await;
    if care == Care::Itself {
        return Ok(parts);
    }
    let standing = Standing::of(&parts).await;
    // Whoever can't read the ledger at all says that by itself.
    if matches!(standing, Standing::Untold(_)) && parts.ledger().epoch().await.is_err() {
        return Ok(parts);
    }
    if let Some(against) = standing.against(care) {
        bail!(Refused(format!("nothing was done: {}", against.english)));
    }
    if let Some(told) = standing.told() {
        say_warning(&told.english);
    }
    note(standing);
    Ok(parts)
}

/// Keeps what a command has found by itself, for its document.
pub(crate) fn note(standing: Standing) {
    if standing.told().is_some() {
        // It is found once.
        let _ = FOUND.set(standing);
    }
}

/// Whether this run has found its ledger to be restored and not in use.
pub(crate) fn is_found_not_in_use() -> bool {
    FOUND.get().is_some_and(Standing::is_not_in_use)
}

/// What this run has found, for a page of it.
pub(crate) fn found() -> Option<Bilingual> {
    FOUND.get().and_then(Standing::told).cloned()
}

/// Says a document for programs, with what was found of the ledger in it.
pub(crate) fn say_document(document: impl Serialize) -> anyhow::Result<()> {
    let mut document = serde_json::to_value(document)?;
    if let (Some(document), Some(standing)) = (document.as_object_mut(), FOUND.get()) {
        let in_use = match standing {
            Standing::InUse => Some(true),
            Standing::NotInUse(_) => Some(false),
            Standing::Untold(_) => None,
        };
        document.insert("ledger".to_owned(), json!({ "in_use": in_use, "told": standing.told().map(|told| &told.english) }));
    }
    say(&document.to_string());
    Ok(())
}

/// Says beside a list of documents that has no row what the rows would have said of the ledger: a list of a ledger that is not in use
/// must not look like one of which all is known.
pub(crate) fn say_of_no_rows() -> anyhow::Result<()> {
    if FOUND.get().is_some() { say_document(json!({})) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn nothing_is_kept_from_being_stopped_and_nothing_goes_on_by_a_ledger_that_is_not_in_use() {
        let (restored, untold) = (Standing::restored("its table"), Standing::untold("no right"));
        for (standing, care, is_refused) in [
            (&restored, Care::Itself, false),
            (&restored, Care::Says, false),
            (&restored, Care::Refuses, true),
            (&restored, Care::MustKnow, true),
            (&untold, Care::Says, false),
            (&untold, Care::Refuses, false),
            (&untold, Care::MustKnow, true),
            (&Standing::InUse, Care::MustKnow, false),
        ] {
            assert_eq!(standing.against(care).is_some(), is_refused, "{standing:?} {care:?}");
        }
    }

    /// A command that connected by itself would believe a restored ledger without a word.
    #[test]
    fn every_command_opens_the_ledger_here() {
        let mut others = Vec::new();
        let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(concat!("Parts::", "connect("))) {
                others.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
        others.sort();
        // Services look for themselves, and all the time; a preview asks nothing of the ledger.
        assert_eq!(others, ["in_use.rs", "preview.rs", "serve.rs"]);
    }
}
