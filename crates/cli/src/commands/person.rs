//! One person in one broadcast: all that the ledger knows of them there, in the order in which it came about. It writes
//! nothing.

use clap::ValueEnum;
use issei_ledger::{Broadcast, Chunk, Fate, Keyed, Ledger, NamedMessage, Outcome, RecipientOutcome, Standing};
use issei_schema::{BroadcastId, EventKind};
use serde::Serialize;

use crate::args::Wanted;

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
    pub(crate) message_id: Option<String>,
    /// Where more than one message was accepted: those that events told of, in full.
    pub(crate) messages: Vec<NamedMessage>,
    pub(crate) events: Vec<EventKind>,
    /// The words of `issei export --outcome` that list this recipient.
    pub(crate) listed_as: Vec<&'static str>,
    /// Who carries it, as people call them.
    #[serde(skip)]
    carrier: String,
}

impl Why {
    /// Two items and the log of events are read for it.
    pub(crate) async fn read(ledger: &Ledger, broadcast: &Broadcast, standing: &Standing) -> anyhow::Result<Self> {
        let id = &broadcast.broadcast_id;
        let Fate { chunk, feedback, outcome: found } = ledger.fate(broadcast, standing).await?;
        let listed_as =
            Wanted::value_variants().iter().filter(|wanted| wanted.is_of(&found)).filter_map(|wanted| wanted.word(&found)).collect();
        let RecipientOutcome { outcome, events, .. } = found;
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
            message_id: chunk.message_id(*at).map(str::to_owned),
            messages: feedback.messages(*at).cloned().collect(),
            events,
            listed_as,
            carrier: broadcast.provider.as_ref().map_or_else(|| "SES".to_owned(), ToString::to_string),
        })
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { broadcast_id, key, address, page, chunk, recipient, carrier, .. } = self;
        let mut lines = vec![
            format!("{key} <{address}>"),
            format!(
                "frozen    in page {page}, chunk {chunk}, place {recipient} (SES tags broadcast={broadcast_id}, chunk={chunk}, recipient={recipient})"
            ),
            match &self.claimed_at {
                None => "claimed   never: nothing was sent".to_owned(),
                Some(at) => format!("claimed   {} times, last at {at}", self.attempts),
            },
        ];
        if let Some(times) = self.asked_again {
            lines.push(format!("asked     again {times} times under its key, which is no second mail"));
        }
        if let Some(at) = &self.reopened_at {
            lines.push(format!("reopened  at {at}, by evidence that the provider did not take it; waits to be sent again"));
        }
        lines.push(format!("outcome   {}", self.outcome_told()));
        lines.extend(self.message_id.iter().map(|id| format!("accepted  by {carrier} as message {id}, answered to the claim above")));
        for NamedMessage { sent_at, message_id, .. } in &self.messages {
            let at = if sent_at.is_empty() { "a time that is not told" } else { sent_at.as_str() };
            lines.push(format!("accepted  by {carrier} as message {message_id} at {at}, told by an event"));
        }
        lines.push(format!("events    {}", self.events_told()));
        lines
    }

    pub(crate) fn outcome_told(&self) -> String {
        if self.outcome.is_some() { self.listed_as.join(", ") } else { "none yet".to_owned() }
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
