//! One person in one broadcast: all that the ledger knows of them there, in the order in which it came about. It writes
//! nothing.

use clap::ValueEnum;
use issei_ledger::{Broadcast, Chunk, EventDetail, Fate, Keyed, Ledger, NamedMessage, Outcome, RecipientOutcome, Standing, Suppression};
use issei_schema::{Bilingual, BroadcastId, EventKind, EventReason, both};
use jiff::Timestamp;
use serde::Serialize;

use crate::args::Wanted;

/// An event of theirs, as its provider told it.
#[derive(Serialize)]
pub(crate) struct ToldEvent {
    pub(crate) event: EventKind,
    /// By the provider's clock, to the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<EventReason>,
}

/// Everything known of one recipient.
#[derive(Serialize)]
pub(crate) struct Why {
    pub(crate) broadcast_id: BroadcastId,
    pub(crate) key: String,
    pub(crate) address: String,
    pub(crate) page: u32,
    pub(crate) chunk: u32,
    /// The place in the chunk, which is the SES tag `recipient`.
    pub(crate) recipient: usize,
    /// How often the chunk was claimed.
    pub(crate) attempts: u32,
    /// How often the request of the last claim was made again under its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked_again: Option<u32>,
    pub(crate) claimed_at: Option<String>,
    pub(crate) reopened_at: Option<String>,
    pub(crate) outcome: Option<Outcome>,
    /// Why nothing was sent to them, who came on the suppression list after they were frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spared: Option<Suppression>,
    pub(crate) message_id: Option<String>,
    /// Where more than one message was accepted: those that events told of, in full.
    pub(crate) messages: Vec<NamedMessage>,
    pub(crate) events: Vec<EventKind>,
    /// When these were and why, in the order in which they were; an event of which neither was told has no entry.
    pub(crate) told: Vec<ToldEvent>,
    /// The words of `issei export --outcome` that list this recipient.
    pub(crate) listed_as: Vec<&'static str>,
    /// When the ledger was taken into use after a restore, and may have forgotten what this broadcast had sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restored_at: Option<Timestamp>,
    /// The ledger was restored, and is not in use yet: what was sent since the backup it does not know.
    #[serde(skip)]
    is_not_in_use: bool,
    /// The broadcast is over, so that whoever has no outcome gets none.
    #[serde(skip)]
    is_over: bool,
    /// Who carries it, as people call them.
    #[serde(skip)]
    carrier: String,
}

impl Why {
    /// Two items and the log of events are read for it.
    pub(crate) async fn read(ledger: &Ledger, broadcast: &Broadcast, standing: &Standing, is_not_in_use: bool) -> anyhow::Result<Self> {
        let id = &broadcast.broadcast_id;
        let Fate { chunk, feedback, outcome: found, details } = ledger.fate(broadcast, standing).await?;
        let listed_as =
            Wanted::value_variants().iter().filter(|wanted| wanted.is_of(&found)).filter_map(|wanted| wanted.word(&found)).collect();
        let RecipientOutcome { outcome, events, spared, .. } = found;
        let mut told: Vec<_> = details.into_iter().map(|(event, EventDetail { at, reason })| ToldEvent { event, at, reason }).collect();
        // Of those that are of the same second the one that comes first by its nature, as a sending before a delivery.
        told.sort_by_key(|told| (told.at.is_none(), told.at));
        let Standing { page, chunk: number, at, recipient } = standing;
        Ok(Self {
            broadcast_id: id.clone(),
            key: recipient.key.as_str().to_owned(),
            address: recipient.address.as_str().to_owned(),
            page: *page,
            chunk: *number,
            recipient: *at,
            attempts: chunk.attempts(),
            asked_again: chunk.request().map(Keyed::asked_again).filter(|asked| *asked > 0),
            claimed_at: Chunk::claimed_at(&chunk).map(|at| at.to_string()),
            reopened_at: chunk.reopened_since().map(|at| at.to_string()),
            outcome,
            spared,
            message_id: chunk.message_id(*at).map(str::to_owned),
            messages: feedback.messages(*at).cloned().collect(),
            events,
            told,
            listed_as,
            restored_at: ledger.may_have_forgotten(broadcast).await?,
            is_not_in_use,
            is_over: broadcast.broadcast_state.is_over() || broadcast.is_never_granted(),
            carrier: broadcast.provider.as_ref().map_or_else(|| "SES".to_owned(), ToString::to_string),
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { broadcast_id, key, address, page, chunk, recipient, carrier, .. } = self;
        let mut lines = vec![
            format!("{key} <{address}>"),
            format!(
                "frozen    in page {page}, chunk {chunk}, place {recipient} (tags at {carrier}: broadcast={broadcast_id}, chunk={chunk}, recipient={recipient})"
            ),
            match &self.claimed_at {
                None => match self.restored_at {
                    _ if self.is_not_in_use => {
                        "claimed   never that the ledger knows of: it was restored and is not in use yet, and what was sent since the backup it does not know".to_owned()
                    }
                    None => "claimed   never: nothing was sent".to_owned(),
                    Some(at) => format!(
                        "claimed   never that the ledger knows of: it was restored, and has forgotten what was sent between the backup and {at:.0}"
                    ),
                },
                Some(at) => format!("claimed   {} times, last at {at}", self.attempts),
            },
        ];
        if let Some(times) = self.asked_again {
            lines.push(format!("asked     again {times} times under its key, which is no second mail"));
        }
        if let Some(at) = &self.reopened_at {
            lines.push(format!("reopened  at {at}, by evidence that the provider did not take it; waits to be sent again"));
        }
        lines.push(format!("outcome   {}", self.outcome_told().english));
        lines.extend(self.spared.map(|why| {
            format!("spared    nothing was sent: the address is on the suppression list ({}) since the audience was frozen", why.as_str())
        }));
        lines.extend(self.message_id.iter().map(|id| format!("accepted  by {carrier} as message {id}, answered to the claim above")));
        for NamedMessage { sent_at, message_id, .. } in &self.messages {
            let at = if sent_at.is_empty() { "a time that is not told" } else { sent_at.as_str() };
            lines.push(format!("accepted  by {carrier} as message {message_id} at {at}, told by an event"));
        }
        lines.push(format!("events    {}", self.events_told()));
        for ToldEvent { event, at, reason } in &self.told {
            let at = at.map_or_else(|| "a time that is not told".to_owned(), |at| format!("{at:.0}"));
            let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            lines.push(format!("  {} at {at}{reason}", event.as_str()));
        }
        lines
    }

    /// When it was accepted, by the event that tells so.
    pub(crate) fn accepted_at(&self) -> Option<Timestamp> {
        self.told_of(EventKind::Sent)?.at
    }

    /// When an event of this kind was, and why.
    pub(crate) fn told_of(&self, kind: EventKind) -> Option<&ToldEvent> {
        self.told.iter().find(|told| told.event == kind)
    }

    /// Whether the ledger was restored, so that something may have been sent of which it does not know.
    pub(crate) fn may_be_forgotten(&self) -> bool {
        self.is_not_in_use || self.restored_at.is_some()
    }

    pub(crate) fn outcome_told(&self) -> Bilingual {
        match (self.outcome, self.is_over) {
            // The words by which exports have it.
            (Some(_), _) => Bilingual::verbatim(self.listed_as.join(", ")),
            (None, _) if self.may_be_forgotten() => {
                both!("not known, since the ledger was restored", "台帳が復元されたため分かりません")
            }
            (None, true) => both!(
                "none: nothing was sent, and nothing will be, since the broadcast is over",
                "なし: 送信していません。一斉送信は終了しているため、今後も送信しません"
            ),
            (None, false) => both!("none yet", "まだありません"),
        }
    }

    pub(crate) fn events_told(&self) -> String {
        let events: Vec<&str> = self.events.iter().map(|kind| kind.as_str()).collect();
        if events.is_empty() { "none".to_owned() } else { events.join(", ") }
    }

    /// Every id by which the provider knows a message to them, each once.
    pub(crate) fn message_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.message_id.as_deref().into_iter().collect();
        for message in &self.messages {
            if !ids.contains(&message.message_id.as_str()) {
                ids.push(&message.message_id);
            }
        }
        ids
    }
}
