//! A batch of events: grouped by chunk and merged with one write for each chunk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use issei_aws::Message;
use issei_ledger::{Broadcast, BroadcastState, Chunk, LedgerError, Merged, NamedMessage, ReasonCode, Suppression, Tally, Transition};
use issei_provider::ses::{self, Listed, Opinion};
use issei_provider::{Event, Told, Unread, Webhook};
use issei_schema::{Address, BroadcastId, EventKind, InDoubtPolicy, without_addresses};
use jiff::Timestamp;

use crate::breaker::{self, Rates};
use crate::service::Feedback;

/// Chunks whose feedback is written at once.
const WRITES_AT_ONCE: usize = 16;

/// What is to be done with a message of the feedback queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Its event is in the ledger, or is none of ours.
    Done,
    /// It can't be handled, for this reason: it goes to the dead-letter queue.
    Bury(String),
    /// It could not be written down now; it comes again.
    Again,
}

/// The events of one chunk, with the messages that they came in.
#[derive(Default)]
struct Group {
    feedback: issei_ledger::Feedback,
    messages: Vec<usize>,
    named: Vec<NamedMessage>,
    suppress: Vec<(Address, Suppression, Source)>,
}

/// Who has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Ses,
    Webhook,
}

impl Group {
    fn add(&mut self, event: &Event, source: Source, number: usize) {
        self.feedback.add(event.at, event.kind, &event.message_id);
        if !event.message_id.is_empty() {
            self.named.push(NamedMessage::new(event.at, event.sent_at, &event.message_id));
        }
        self.messages.push(number);
        let why = match event.kind {
            EventKind::Bounced => Some(Suppression::Bounced),
            EventKind::Complained => Some(Suppression::Complained),
            _ if event.unsubscribed => Some(Suppression::Unsubscribed),
            _ => None,
        };
        self.suppress.extend(why.into_iter().flat_map(|why| event.addresses.iter().map(move |address| (address.clone(), why, source))));
    }
}

/// What a batch told of one chunk, merged.
struct Heard {
    seq: u32,
    merged: Merged,
    named: Vec<NamedMessage>,
}

impl Feedback {
    /// Merges a batch of messages, up to 10,000 (an SQS event source's largest batch), and tells for
    /// each what is to become of it.
    pub async fn handle_batch(&self, messages: &[Message]) -> Vec<Handled> {
        let mut handled = vec![Handled::Done; messages.len()];
        let mut groups: BTreeMap<(BroadcastId, u32), Group> = BTreeMap::new();
        let webhooks: Vec<_> = messages.iter().map(|message| self.read_webhook(message)).collect();
        let others = messages.iter().zip(&webhooks).filter(|(_, webhook)| webhook.is_none());
        let mut opinions = self.signatures.judge(others.map(|(message, _)| message.body.as_str())).await.into_iter();
        for (number, (message, webhook)) in messages.iter().zip(webhooks).enumerate() {
            if let Some(webhook) = webhook {
                take_webhook(webhook, number, &mut groups, &mut handled);
                continue;
            }
            let Some(opinion) = opinions.next() else { continue };
            let told = match opinion {
                Opinion::Believed(body) => ses::parse_event(&body),
                Opinion::Refused(error) => Err(error),
                Opinion::Unknown => {
                    set(&mut handled, &[number], &Handled::Again);
                    continue;
                }
            };
            match told {
                Ok(Told::NotOurs) => {}
                Ok(Told::Greeting) => tracing::info!(message.id, "SES has validated the topic that events come by"),
                Ok(Told::Probe(token)) => {
                    if let Err(error) = self.ledger.note_probe(&token).await {
                        tracing::warn!(%error, "a probe's event can't be noted now; it comes again");
                        set(&mut handled, &[number], &Handled::Again);
                    }
                }
                Ok(Told::Event(event)) => {
                    groups.entry((event.broadcast.clone(), event.chunk)).or_default().add(&event, Source::Ses, number);
                }
                Err(error) => set(&mut handled, &[number], &Handled::Bury(error.to_string())),
            }
        }
        let known = self.known(groups.keys().map(|(id, _)| id)).await;
        groups.retain(|(id, chunk), group| {
            let verdict = match known.get(id) {
                Some(Ok(Some(broadcast))) if *chunk < broadcast.chunks => return true,
                Some(Ok(Some(broadcast))) => {
                    Handled::Bury(format!("broadcast `{id}` has {} chunks, and the event names chunk {chunk}", broadcast.chunks))
                }
                Some(Ok(None)) => Handled::Bury(format!("there is no broadcast `{id}` in the ledger")),
                Some(Err(_)) | None => Handled::Again,
            };
            set(&mut handled, &group.messages, &verdict);
            false
        });
        let merged: Vec<_> = stream::iter(groups)
            .map(async |((id, chunk), group)| (id.clone(), chunk, self.merge(&id, chunk, &group).await, group))
            .buffer_unordered(WRITES_AT_ONCE)
            .collect()
            .await;
        let mut settled: BTreeMap<BroadcastId, Vec<(u32, Merged, Vec<usize>)>> = BTreeMap::new();
        let mut heard: BTreeMap<BroadcastId, Vec<Heard>> = BTreeMap::new();
        for (id, chunk, merged, Group { messages: numbers, named, .. }) in merged {
            match merged {
                Ok(merged) => {
                    settled.entry(id.clone()).or_default().push((chunk, merged.clone(), numbers));
                    self.telling.note(&id, |progress| progress.add_feedback(&merged));
                    heard.entry(id).or_default().push(Heard { seq: chunk, merged, named });
                }
                Err(error) => {
                    tracing::warn!(%error, broadcast.id = %id, chunk.seq = chunk, "events can't be written down now; they come again");
                    set(&mut handled, &numbers, &Handled::Again);
                }
            }
        }
        for (id, heard) in heard {
            if let Some(Ok(Some(broadcast))) = known.get(&id) {
                self.look_for_second(broadcast, &heard).await;
            }
        }
        for (id, chunks) in &settled {
            let Some(Ok(Some(broadcast))) = known.get(id) else { continue };
            if let Err(error) = self.tell_of_totals(broadcast, chunks).await {
                tracing::warn!(%error, broadcast.id = %id, "the totals can't be written anew now; these events come again");
                chunks.iter().for_each(|(_, _, numbers)| set(&mut handled, numbers, &Handled::Again));
            }
        }
        self.telling.tell().await;
        for id in settled.keys() {
            if let Some(Ok(Some(broadcast))) = known.get(id) {
                self.break_circuit(broadcast).await;
            }
        }
        handled
    }

    /// Nothing where the message is no webhook. What is wrong with one is its reason to be buried.
    fn read_webhook(&self, message: &Message) -> Option<Result<issei_provider::Events, String>> {
        let webhook = match Webhook::read(&message.body)? {
            Ok(webhook) => webhook,
            Err(error) => return Some(Err(error.to_string())),
        };
        let Some(keys) = self.options.webhooks.get(&webhook.provider) else {
            return Some(Err(format!("it is a webhook of `{}`, of which no key is configured here", without_addresses(&webhook.provider))));
        };
        // As SQS says; a copy says when the first of it came.
        let came_at = Timestamp::from_millisecond(message.sent_at_ms).unwrap_or_else(|_| self.clock.wall());
        let read = keys.read(&webhook, came_at);
        if matches!(read, Err(Unread::Unsigned(_))) {
            tracing::info!(target: "issei::metrics", events_unproven = 1_u64, events_unverified = 0_u64);
        }
        Some(read.map_err(|error| error.to_string()))
    }

    async fn known<'a>(&self, ids: impl Iterator<Item = &'a BroadcastId>) -> BTreeMap<BroadcastId, Result<Option<Broadcast>, LedgerError>> {
        let ids: BTreeSet<&BroadcastId> = ids.collect();
        let mut known = BTreeMap::new();
        for id in ids {
            let found = self.ledger.find_broadcast(id).await;
            if let Err(error) = &found {
                tracing::warn!(%error, broadcast.id = %id, "a broadcast can't be read; its events come again");
            }
            known.insert(id.clone(), found);
        }
        known
    }

    /// The lists first, which may be repeated: whoever is interrupted here does both again.
    async fn merge(&self, id: &BroadcastId, chunk: u32, group: &Group) -> Result<Merged, LedgerError> {
        for (address, why, source) in &group.suppress {
            self.ledger.suppress(address, *why, id, self.incarnation.actor()).await?;
            // Another provider has a list of its own, and keeps it itself.
            if *source != Source::Ses {
                continue;
            }
            let reason = match why {
                Suppression::Bounced => Listed::Bounce,
                // No event tells of another.
                Suppression::Complained | Suppression::Unsubscribed | Suppression::Operator => Listed::Complaint,
            };
            if let Err(error) = self.ses.suppress(address, reason).await {
                tracing::warn!(error, "an address can't be put on the SES suppression list; it is on issei's own");
            }
        }
        self.ledger.merge_feedback(id, chunk, &group.feedback).await
    }

    /// The totals of a broadcast that is complete lag behind its events until the next sweep. But where
    /// events have just ended somebody's doubt, they are counted again at once. All before the events
    /// are deleted: a crash here must not leave the old number standing.
    async fn tell_of_totals(&self, broadcast: &Broadcast, merged: &[(u32, Merged, Vec<usize>)]) -> Result<(), LedgerError> {
        // It may have ended since it was read, and been counted before these events were written down.
        let is_over =
            broadcast.broadcast_state.is_over() || self.ledger.broadcast(&broadcast.broadcast_id).await?.broadcast_state.is_over();
        if is_over {
            self.ledger.note_told(&broadcast.broadcast_id).await?;
        }
        if broadcast.totals.is_none_or(|totals| totals.in_doubt == 0) {
            return Ok(());
        }
        let id = &broadcast.broadcast_id;
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in merged.chunks(100) {
            let keys: Vec<_> = some.iter().map(|(chunk, ..)| (id.clone(), *chunk)).collect();
            let found = self.ledger.chunks(&keys).await?;
            let ends_doubt = |(chunk, merged, _): &(u32, Merged, Vec<usize>)| {
                let outcomes = found.get(&(id.clone(), *chunk)).and_then(Chunk::outcomes);
                outcomes
                    .is_some_and(|outcomes| outcomes.iter().enumerate().any(|(at, outcome)| merged.after.settle(at, outcome) != outcome))
            };
            if some.iter().any(ends_doubt) {
                return self.ledger.retotal(id, &self.ledger.tally(broadcast).await?).await;
            }
        }
        Ok(())
    }

    /// The circuit breaker, which goes by the counts that people watch.
    async fn break_circuit(&self, broadcast: &Broadcast) {
        let id = &broadcast.broadcast_id;
        match self.ledger.progress(id).await {
            Ok(about) if self.breaker.asks(&self.options.limits, id, Rates::told(&about)) => {
                if let Err(error) = self.count_exactly(broadcast, Rates::told(&about)).await {
                    tracing::warn!(%error, broadcast.id = %id, "chunks can't be counted now; the next events or the next sweep try again");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, broadcast.id = %id, "the rates of bounces and complaints can't be read now"),
        }
    }

    /// Told counts may be too high, by a write that was repeated, and what they end is ended for ever. So
    /// they only say when to look; what is counted decides.
    async fn count_exactly(&self, broadcast: &Broadcast, about: Rates) -> Result<(), LedgerError> {
        let (mut tally, mut proven, mut walk) = (Tally::default(), 0, self.ledger.walk(broadcast));
        while let Some(walked) = walk.next().await? {
            proven += walked.feedback.proven();
            tally.add(&walked);
        }
        let exact = Rates::counted(&tally.totals(), proven);
        if !self.end_if_over_limits(broadcast, exact).await {
            self.breaker.denied(&self.options.limits, &broadcast.broadcast_id, about, exact);
        }
        Ok(())
    }

    pub(crate) async fn end_if_over_limits(&self, broadcast: &Broadcast, exact: Rates) -> bool {
        let reason = breaker::verdict(&self.options.limits, exact);
        if let Some((code, reason)) = &reason {
            self.end(broadcast, *code, reason).await;
        }
        reason.is_some()
    }

    /// Looks for recipients of whom a second message was accepted, by the ids in events and by that in the
    /// consumer's answer, and keeps what is known of both. One call for a hundred chunks.
    async fn look_for_second(&self, broadcast: &Broadcast, heard: &[Heard]) {
        let id = &broadcast.broadcast_id;
        let may_be = |heard: &&Heard| heard.merged.names_new_messages() || !heard.merged.after.accepted_twice(&Chunk::Absent).is_empty();
        let absent = Chunk::Absent;
        let heard: Vec<&Heard> = heard.iter().filter(may_be).collect();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in heard.chunks(100) {
            let keys: Vec<_> = some.iter().map(|heard| (id.clone(), heard.seq)).collect();
            let found = self.ledger.chunks(&keys).await.unwrap_or_else(|error| {
                tracing::warn!(%error, broadcast.id = %id, "chunks can't be read now; a sweep compares their answers with the events");
                HashMap::new()
            });
            for Heard { seq, merged, named } in some {
                let chunk = found.get(&(id.clone(), *seq)).unwrap_or(&absent);
                let twice = merged.after.accepted_twice(chunk);
                let named: Vec<_> = named.iter().filter(|message| twice.contains(&place(message.at))).cloned().collect();
                if let Err(error) = self.ledger.note_messages(id, *seq, &merged.before, &named).await {
                    tracing::warn!(%error, broadcast.id = %id, chunk.seq = seq, messages = named.len(), "messages can't be written down");
                }
                self.end_if_accepted_twice(broadcast, *seq, chunk, &twice).await;
            }
        }
    }

    /// A recipient as a reason may name it: by its key, or where that can't be read by its place.
    async fn name(&self, broadcast: &Broadcast, seq: u32, chunk: &Chunk, at: usize) -> String {
        let id = &broadcast.broadcast_id;
        let Some(page) = chunk.page() else { return format!("in place {at}") };
        match self.ledger.page(id, page).await {
            Ok(page) => {
                let recipient = page.chunks().find(|(chunk, _)| *chunk == seq).and_then(|(_, recipients)| recipients.get(at)?.as_ref());
                recipient.map_or(format!("in place {at}"), |recipient| self.options.address_hash.key(&recipient.key))
            }
            Err(error) => {
                tracing::warn!(%error, broadcast.id = %id, "a page can't be read, so a recipient is named by its place");
                format!("in place {at}")
            }
        }
    }

    /// A second acceptance is what issei exists to prevent, so nothing more is sent until somebody
    /// has understood it; except where the broadcast asked for at least once.
    pub(crate) async fn end_if_accepted_twice(&self, broadcast: &Broadcast, seq: u32, chunk: &Chunk, twice: &BTreeSet<usize>) {
        let Some(first) = twice.first() else { return };
        tracing::info!(target: "issei::metrics", accepted_twice = twice.len() as u64);
        if broadcast.in_doubt == InDoubtPolicy::AtLeastOnce {
            tracing::warn!(broadcast.id = %broadcast.broadcast_id, chunk.seq = seq, recipients = twice.len(), "accepted twice, as the policy at_least_once allows");
            return;
        }
        let reason = format!(
            "the provider accepted {} of chunk {seq} more than once, first the recipient {}; `issei why` shows the messages; find out what else sends under these tags before you send more",
            twice.len(),
            self.name(broadcast, seq, chunk, *first).await
        );
        self.end(broadcast, ReasonCode::StoppedDuplicate, &reason).await;
    }

    pub(crate) async fn end(&self, broadcast: &Broadcast, code: ReasonCode, reason: &str) {
        self.step(broadcast, BroadcastState::Stopping, Some(code), reason).await;
    }

    pub(crate) async fn step(&self, broadcast: &Broadcast, to: BroadcastState, code: Option<ReasonCode>, reason: &str) {
        let id = &broadcast.broadcast_id;
        let wanted = Transition { to, actor: self.incarnation.actor(), reason };
        let taken = match code {
            Some(code) => self.ledger.transition_for(id, code, wanted).await,
            None => self.ledger.transition(id, wanted).await,
        };
        match taken {
            Ok(_) => tracing::error!(broadcast.id = %id, %to, reason, "the broadcast's state was changed"),
            Err(LedgerError::Transition { from, .. }) => {
                tracing::error!(broadcast.id = %id, state = %from, %to, reason, "the broadcast's state would be changed, and is another already");
            }
            Err(error) => {
                tracing::error!(%error, broadcast.id = %id, %to, reason, "the broadcast's state should be changed and can't be; the next sweep tries again");
            }
        }
    }
}

fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Events of one webhook, of which each is of a chunk of its own. Where one can't be read, the others count, and the message
/// is buried with that reason, to be looked at: what it says comes again harmlessly.
fn take_webhook(
    webhook: Result<issei_provider::Events, String>,
    number: usize,
    groups: &mut BTreeMap<(BroadcastId, u32), Group>,
    handled: &mut [Handled],
) {
    let events = match webhook {
        Ok(events) => events,
        Err(reason) => return set(handled, &[number], &Handled::Bury(reason)),
    };
    for event in events {
        match event {
            Ok(Told::Event(event)) => {
                groups.entry((event.broadcast.clone(), event.chunk)).or_default().add(&event, Source::Webhook, number);
            }
            Ok(Told::NotOurs | Told::Greeting | Told::Probe(_)) => {}
            Err(error) => set(handled, &[number], &Handled::Bury(error.to_string())),
        }
    }
}

/// What must come again does so, also where something else in it is to be buried: then it is, the next time.
fn set(handled: &mut [Handled], numbers: &[usize], to: &Handled) {
    for number in numbers {
        if let Some(place) = handled.get_mut(*number).filter(|place| **place != Handled::Again) {
            *place = to.clone();
        }
    }
}
