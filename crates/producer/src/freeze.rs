//! Freezing the audience: page after page into the ledger, before anything is enqueued.

use issei_ledger::{Broadcast, BroadcastState, Enumerated, Frozen, LedgerError, Page, PageBuilder, SkipReason, Suppression, Transition};
use issei_schema::{Address, BroadcastCommand};
use tokio_util::sync::CancellationToken;

use crate::row::{Judged, Needed, judge, quotable};
use crate::service::{Producer, ProducerError};
use crate::skipping::Objection;
use crate::source::{Row, Source, size_of};

/// A page with what it says of the source.
struct Built {
    page: Page,
    /// The source had no further row.
    is_last: bool,
}

impl Producer {
    /// Freezes what is not frozen yet. Ends when the broadcast no longer enumerates, whoever ended it, and
    /// between two pages where `stop` is cancelled.
    pub(crate) async fn freeze(
        &self,
        command: &BroadcastCommand,
        mut broadcast: Broadcast,
        stop: &CancellationToken,
    ) -> Result<Broadcast, ProducerError> {
        if broadcast.broadcast_state != BroadcastState::Enumerating {
            return Ok(broadcast);
        }
        let Ok((audience, needed)) = crate::command::needed(command, &self.options.audiences) else {
            return Err(ProducerError::AudienceGone { audience: command.audience.to_string() });
        };
        let source = Source::open(command.audience.as_str(), &audience).await?;
        while broadcast.broadcast_state == BroadcastState::Enumerating && !stop.is_cancelled() {
            let built = self.build(&broadcast, &source, &needed).await?;
            if broadcast.recipients + built.page.recipients() as u64 > broadcast.max_recipients {
                broadcast = self.over_budget(&broadcast, &source).await?;
                continue;
            }
            if !built.page.is_empty() {
                match self.ledger.freeze_page(&broadcast, &built.page).await? {
                    Frozen::Written(after) => {
                        tracing::info!(page.seq = built.page.seq, recipients = after.recipients, skipped = after.skipped, "page frozen");
                        broadcast = after;
                    }
                    Frozen::Changed(now) => {
                        broadcast = now;
                        continue;
                    }
                }
            }
            if built.is_last {
                if let Some(reason) = self.lacks_rehearsal(&broadcast).await? {
                    broadcast = self.refuse(&broadcast, &reason).await?;
                    continue;
                }
                match self.objection(&broadcast).await? {
                    None => {}
                    Some(Objection::Nobody(reason)) => {
                        broadcast = self.refuse(&broadcast, &reason).await?;
                        continue;
                    }
                    Some(Objection::TooManySkipped(reason)) => {
                        tracing::warn!(reason, "the broadcast holds before its first send");
                        broadcast = self.ledger.hold_before_send(&broadcast, self.incarnation.actor(), &reason).await?;
                        continue;
                    }
                }
                broadcast = match self.ledger.finish_enumeration(&broadcast, self.incarnation.actor()).await? {
                    Enumerated::Running(after) => {
                        tracing::info!(recipients = after.recipients, skipped = after.skipped, chunks = after.chunks, "audience frozen");
                        after
                    }
                    Enumerated::Changed(now) => now,
                };
            }
        }
        Ok(broadcast)
    }

    async fn build(&self, broadcast: &Broadcast, source: &Source, needed: &Needed) -> Result<Built, ProducerError> {
        let rows = source.rows_after(broadcast.last_key.as_deref(), self.options.page_size).await?;
        let mut builder = PageBuilder::after(broadcast);
        if broadcast.pages == 0 {
            let without_key = source.count_without_key().await?;
            if without_key > 0 {
                builder.skip("(null)".to_owned(), SkipReason::NoKey, without_key);
            }
        }
        // A short read is the end only where nothing more comes after it; the next read tells.
        let is_last = rows.is_empty();
        let mut candidates = candidates(rows, needed);
        self.skip_suppressed(&mut candidates).await?;
        fill(&mut builder, candidates);
        Ok(Built { page: builder.build(), is_last })
    }

    /// Whoever bounced or complained in an earlier broadcast is not mailed again.
    async fn skip_suppressed(&self, candidates: &mut [Candidate]) -> Result<(), LedgerError> {
        let recipients: Vec<usize> =
            (0..candidates.len()).filter(|at| candidates.get(*at).is_some_and(|c| matches!(c.judged, Judged::Recipient(..)))).collect();
        let addresses: Vec<&Address> = candidates
            .iter()
            .filter_map(|candidate| match &candidate.judged {
                Judged::Recipient(recipient, _) => Some(&recipient.address),
                Judged::Skipped(..) => None,
            })
            .collect();
        for (place, why) in self.ledger.suppressed(&addresses).await? {
            let reason = match why {
                Suppression::Bounced => SkipReason::Bounced,
                Suppression::Complained => SkipReason::Complained,
            };
            if let Some(candidate) = recipients.get(place).and_then(|at| candidates.get_mut(*at)) {
                candidate.judged = Judged::Skipped(quotable(&candidate.key), reason);
            }
        }
        Ok(())
    }

    async fn over_budget(&self, broadcast: &Broadcast, source: &Source) -> Result<Broadcast, ProducerError> {
        let rows = source.count().await?;
        let reason = format!(
            "the audience `{}` has {rows} rows, more than max_recipients ({}); nothing was sent; raise max_recipients in a new command, with a new broadcast_id, if all of them are meant",
            broadcast.audience, broadcast.max_recipients
        );
        self.refuse(broadcast, &reason).await
    }

    /// What keeps a broadcast of this size from beginning, where rehearsals are required.
    async fn lacks_rehearsal(&self, broadcast: &Broadcast) -> Result<Option<String>, LedgerError> {
        if !self.options.require_rehearsal || size_of(broadcast.audience.as_str()).is_some() {
            return Ok(None);
        }
        let (version, settings) = self.incarnation.version_and_settings();
        let lacks = self.ledger.lacks_rehearsal(version, settings, broadcast.recipients).await?;
        Ok(lacks
            .map(|why| format!("require_rehearsal is on: {why}, and send it in a new command, with a new broadcast_id; nothing was sent")))
    }

    /// Ends a broadcast before its first permit.
    async fn refuse(&self, broadcast: &Broadcast, reason: &str) -> Result<Broadcast, ProducerError> {
        tracing::error!(broadcast.id = %broadcast.broadcast_id, reason, "broadcast refused");
        let wanted = Transition { to: BroadcastState::Stopped, actor: self.incarnation.actor(), reason };
        match self.ledger.transition(&broadcast.broadcast_id, wanted).await {
            Ok(after) => Ok(after),
            Err(LedgerError::Transition { .. }) => Ok(self.ledger.broadcast(&broadcast.broadcast_id).await?),
            Err(error) => Err(error.into()),
        }
    }
}

/// A key of the audience with what its first row comes to, and in how many more rows it stands.
struct Candidate {
    key: String,
    judged: Judged,
    repeats: u64,
}

/// Judges rows. All rows of one key go together: the first is the recipient, and the others are
/// recorded as duplicates.
fn candidates(rows: Vec<Row>, needed: &Needed) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter().peekable();
    while let Some(row) = rows.next() {
        let key = row.key.clone();
        let mut repeats = 0;
        while rows.next_if(|next| next.key == key).is_some() {
            repeats += 1;
        }
        candidates.push(Candidate { key, judged: judge(row, needed), repeats });
    }
    candidates
}

/// Puts candidates into the page until it is full.
fn fill(builder: &mut PageBuilder, candidates: Vec<Candidate>) {
    for Candidate { key, judged, repeats } in candidates {
        let fits = match judged {
            Judged::Recipient(recipient, bytes) => builder.push(recipient, bytes, repeats),
            Judged::Skipped(key, reason) => builder.skip(key, reason, 1 + repeats),
        };
        if !fits {
            return;
        }
        builder.advance(key);
    }
}
