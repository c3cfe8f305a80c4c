//! Freezing the audience: page after page from the spool into the ledger, before anything is enqueued. Each is written only
//! once the one before it is; what comes after is made meanwhile (`line.rs`).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use issei_ledger::{Broadcast, BroadcastState, Enumerated, Frozen, LastKey, LedgerError, ReasonCode, Transition};
use issei_letter::Letters;
use issei_schema::BroadcastCommand;
use tokio_util::sync::CancellationToken;

use crate::SourceError;
use crate::audience::{AudienceConfig, UniqueBy};
use crate::chosen::ChosenCanary;
use crate::command::needed;
use crate::held_up;
use crate::line::{Built, Line};
use crate::missed::{SentBefore, sent_before};
use crate::service::{Producer, ProducerError};
use crate::skipping::Objection;
use crate::source::{Progress, Source, objects_of, size_of};

/// Pages of another reading that are looked at before it is gone on with.
const COMPARED: u32 = 12;

/// Why a broadcast is not gone on with.
const OTHER_ORDER: &str = "an earlier version has frozen a part of this audience in the order of its database, and whoever goes on in another order mails some twice and others never; nothing was sent; send it in a new command, with a new broadcast_id";

impl Producer {
    /// Freezes what is not frozen yet. Ends when the broadcast no longer enumerates, whoever ended it, and
    /// between two pages where `stop` is cancelled.
    pub(crate) async fn freeze(
        &self,
        command: &BroadcastCommand,
        mut broadcast: Broadcast,
        stop: &CancellationToken,
    ) -> Result<Broadcast, ProducerError> {
        if broadcast.broadcast_state == BroadcastState::Enumerating {
            let _alone = self.freezing.lock().await;
            let (id, before) = (broadcast.broadcast_id.clone(), broadcast.clone());
            broadcast = match self.freeze_apart(command, broadcast, stop).await {
                Err(error) => {
                    if let Some(code) = held_up::code(&error)
                        && let Err(unwritten) = self.ledger.hold_up(&before, code, &error.to_string()).await
                    {
                        tracing::warn!(error = %unwritten, broadcast.id = %id, "what holds the broadcast up can't be noted");
                    }
                    return Err(error);
                }
                Ok(broadcast) => broadcast,
            };
        }
        Ok(broadcast)
    }

    /// Made in a frame of its own: what is awaited on the spot lies on the stack of whoever polls it, in every build that is not
    /// optimised, and a producer that goes on from the ledger is deep in it by then.
    fn freeze_apart<'a>(
        &'a self,
        command: &'a BroadcastCommand,
        broadcast: Broadcast,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Broadcast, ProducerError>> {
        Box::pin(self.freeze_open(command, broadcast, stop))
    }

    /// The same, for what is compared before it goes on.
    fn compare_apart<'a>(&'a self, broadcast: &'a Broadcast, source: &'a Source) -> BoxFuture<'a, Result<(), ProducerError>> {
        Box::pin(self.compare(broadcast, source))
    }

    async fn freeze_open(
        &self,
        command: &BroadcastCommand,
        mut broadcast: Broadcast,
        stop: &CancellationToken,
    ) -> Result<Broadcast, ProducerError> {
        let needed = needed(command, &self.options.audiences, Letters::of).map_err(|refusal| held_up::since(command, refusal));
        let (audience, needed) = needed?;
        let audience = audience.carried_by(self.options.providers.get(&command.provider()).map(|known| known.facts));
        let Some(mut source) = self.source(command, &broadcast, &audience, stop).await? else {
            return Err(ProducerError::CallTooShort { audience: command.audience.to_string() });
        };
        if broadcast.pages == 0 {
            let by_address = audience.unique_by == Some(UniqueBy::Address);
            // On the heap, as what is compared.
            if let Some(before) = Box::pin(sent_before(&self.ledger, command, &mut source, by_address)).await? {
                let SentBefore { of, keys } = before;
                Err(SourceError::SentBefore { audience: command.audience.to_string(), of, rows: keys.rows })?;
            }
        }
        let needed = Arc::new(needed);
        let mut line = Line::new(self, &broadcast, source, needed.clone(), audience.unique_by);
        let (mut ahead, mut compared): (Option<Built>, Option<String>) = (None, None);
        while broadcast.broadcast_state == BroadcastState::Enumerating && !stop.is_cancelled() {
            if broadcast.last_key == Some(LastKey::InDatabase) {
                broadcast = self.refuse(&broadcast, ReasonCode::StoppedOtherOrder, OTHER_ORDER).await?;
                continue;
            }
            let others = broadcast.reading.as_ref().map(|reading| &reading.id).filter(|id| *id != line.source.id());
            if others.is_some() && others != compared.as_ref() {
                self.compare_apart(&broadcast, &line.source).await?;
                compared = others.cloned();
            }
            if audience.unique_by == Some(UniqueBy::Address) {
                self.know_frozen(&broadcast, &mut line.source).await?;
            }
            // Whoever has come on the list before a page is written is not in it.
            let is_as_judged = line.list.look().await?;
            let built = if let Some(built) = ahead.take().filter(|_| is_as_judged) {
                built
            } else {
                line.restart(&broadcast);
                line.next(&broadcast, None).await?
            };
            let page = built.packed.page();
            if broadcast.recipients + page.recipients() as u64 > broadcast.max_recipients {
                broadcast = self.over_budget(&broadcast, &line.source).await?;
                continue;
            }
            if !page.is_empty() {
                let reading = line.source.reading();
                let after = broadcast.with_page(&built.packed, &reading, self.ledger.shards_for(reading.rows));
                let writing = self.ledger.freeze_page(&broadcast, &built.packed, &reading);
                let next = async { if built.is_last { Ok(None) } else { line.next(&after, Some(page)).await.map(Some) } };
                let (frozen, next) = tokio::join!(writing, next);
                match frozen? {
                    Frozen::Written(after) => {
                        tracing::info!(page.seq, recipients = after.recipients, skipped = after.skipped, "page frozen");
                        broadcast = after;
                        if audience.unique_by == Some(UniqueBy::Address) {
                            line.source.note_mailed(page).await?;
                        }
                        ahead = next?;
                    }
                    Frozen::Changed(now) => {
                        broadcast = now;
                        continue;
                    }
                }
            }
            if built.is_last {
                if let Some(reason) = self.lacks_rehearsal(&broadcast, command.test_copy.is_some()).await? {
                    broadcast = self.refuse(&broadcast, ReasonCode::StoppedNotRehearsed, &reason).await?;
                    continue;
                }
                let chosen = self.chosen(command, &broadcast).await?;
                let told = chosen.as_ref().and_then(ChosenCanary::told);
                match self.objection(&broadcast, command.hold, chosen.as_ref(), line.source.left_out()).await? {
                    None => {}
                    Some(Objection::Nobody(reason)) => {
                        broadcast = self.refuse(&broadcast, ReasonCode::StoppedNobody, &reason).await?;
                        continue;
                    }
                    Some(Objection::Holds(code, reason)) => {
                        // The reason can name keys, which stand in no log.
                        tracing::warn!(%code, "the broadcast holds before its first send; `issei status` has the reason");
                        // On the heap: it is rare, and what is awaited here takes of every thread's stack.
                        let held = Box::pin(self.held_audience(&broadcast, &mut line.source, audience.unique_by, &needed.letters)).await?;
                        let (reading, actor) = (line.source.reading(), self.incarnation.actor());
                        broadcast = self.ledger.hold_before_send(&broadcast, &reading, &held, actor, (code, &reason)).await?;
                        continue;
                    }
                }
                broadcast = match self
                    .ledger
                    .finish_enumeration(&broadcast, &line.source.reading(), self.incarnation.actor(), told.as_deref())
                    .await?
                {
                    Enumerated::Running(after) => {
                        tracing::info!(recipients = after.recipients, skipped = after.skipped, chunks = after.chunks, "audience frozen");
                        after
                    }
                    Enumerated::Changed(now) => now,
                };
            }
        }
        if broadcast.broadcast_state == BroadcastState::Enumerating {
            self.keep(command, line.source);
        }
        Ok(broadcast)
    }

    /// The audience, read; nothing where `stop` came first. A reading that an earlier slice of the same
    /// command has left is gone on with.
    async fn source(
        &self,
        command: &BroadcastCommand,
        broadcast: &Broadcast,
        audience: &AudienceConfig,
        stop: &CancellationToken,
    ) -> Result<Option<Source>, ProducerError> {
        if let Some(source) = self.kept(command) {
            return Ok(Some(source));
        }
        let audience = self.fixed(broadcast, audience).await?;
        let progress = Progress::default();
        let reading = Source::read(command.audience.as_str(), &audience, &self.options.spool_dir, self.reading_id(), &progress);
        let source = stop.run_until_cancelled(reading).await.transpose()?;
        Ok(source.map(|source| source.for_command(command)))
    }

    /// An audience in S3 is read in the states in which the broadcast's first reader found it, whoever reads.
    async fn fixed(&self, broadcast: &Broadcast, audience: &AudienceConfig) -> Result<AudienceConfig, ProducerError> {
        let fixed = match &broadcast.read_from {
            Some(fixed) => Some(fixed.clone()),
            None => match objects_of(broadcast.audience.as_str(), audience).await? {
                Some(found) => Some(self.ledger.fix_objects(broadcast, found).await?),
                None => None,
            },
        };
        Ok(AudienceConfig { fixed, ..audience.clone() })
    }

    /// Tells the spool whom the frozen pages mail, those of others and of earlier runs too: what is frozen,
    /// and not what this reading has, decides whether an address has had its mail.
    async fn know_frozen(&self, broadcast: &Broadcast, source: &mut Source) -> Result<(), ProducerError> {
        while source.known_pages < broadcast.pages {
            let page = self.ledger.page(&broadcast.placed(), source.known_pages).await?;
            source.note_mailed(&page).await?;
        }
        Ok(())
    }

    /// Nobody goes on after the last key of a reading that has other keys for the same people.
    async fn compare(&self, broadcast: &Broadcast, source: &Source) -> Result<(), ProducerError> {
        if let Some(before) = &broadcast.reading {
            source.is_of(before)?;
        }
        let (pages, mut frozen) = (broadcast.pages, Vec::new());
        let looked = pages.min(COMPARED);
        // From the first to the last, evenly.
        for seq in (0..looked).map(|at| if looked > 1 { u64::from(at) * u64::from(pages - 1) / u64::from(looked - 1) } else { 0 }) {
            let page = self.ledger.page(&broadcast.placed(), u32::try_from(seq).unwrap_or(u32::MAX)).await?;
            frozen.extend(page.known_recipients().map(|recipient| (recipient.key.as_str().to_owned(), recipient.address.identity())));
        }
        Ok(source.agrees_with(frozen).await?)
    }

    async fn over_budget(&self, broadcast: &Broadcast, source: &Source) -> Result<Broadcast, ProducerError> {
        let rows = source.counts().rows;
        let reason = format!(
            "of the {rows} rows of the audience `{}` more can be mailed than max_recipients ({}); nothing was sent; raise max_recipients in a new command, with a new broadcast_id, if all of them are meant",
            broadcast.audience, broadcast.max_recipients
        );
        self.refuse(broadcast, ReasonCode::StoppedOverBudget, &reason).await
    }

    /// What keeps a broadcast of this size from beginning, where rehearsals are required.
    async fn lacks_rehearsal(&self, broadcast: &Broadcast, is_copy: bool) -> Result<Option<String>, LedgerError> {
        if !self.options.require_rehearsal || is_copy || size_of(broadcast.audience.as_str()).is_some() {
            return Ok(None);
        }
        let (version, settings) = self.incarnation.version_and_settings();
        let lacks = self.ledger.lacks_rehearsal(version, settings, broadcast.provider.as_ref(), broadcast.recipients).await?;
        Ok(lacks
            .map(|why| format!("require_rehearsal is on: {why}, and send it in a new command, with a new broadcast_id; nothing was sent")))
    }

    /// Ends a broadcast before its first permit.
    async fn refuse(&self, broadcast: &Broadcast, code: ReasonCode, reason: &str) -> Result<Broadcast, ProducerError> {
        tracing::error!(broadcast.id = %broadcast.broadcast_id, %code, reason, "broadcast refused");
        let wanted = Transition { to: BroadcastState::Stopped, actor: self.incarnation.actor(), reason };
        match self.ledger.transition_for(&broadcast.broadcast_id, code, wanted).await {
            Ok(after) => Ok(after),
            Err(LedgerError::Transition { .. }) => Ok(self.ledger.broadcast(&broadcast.broadcast_id).await?),
            Err(error) => Err(error.into()),
        }
    }
}
