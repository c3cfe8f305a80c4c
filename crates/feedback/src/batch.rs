//! A batch of events: evidence is merged with one write for each chunk, and what only tells what became of a message that was
//! known is logged with one write for all.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use issei_aws::Message;
use issei_ledger::{Broadcast, Chunk, LedgerError, Merged, NamedMessage, Suppression, Tally};
use issei_provider::{Event, Listed, Notice, Told, Unread, Unsigned, Webhook, WebhookKeys};
use issei_schema::{BroadcastId, EventKind, without_addresses};
use jiff::Timestamp;

use crate::answered::Received;
use crate::breaker::{self, Rates};
use crate::of_others::Stray;
use crate::second::Heard;
use crate::service::Feedback;
use crate::unsigned::{OfNobodys, no_key};

/// Chunks, or addresses, that are written down at once.
const WRITES_AT_ONCE: usize = 16;

/// What is to be done with a message of the feedback queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Its event is in the ledger, or is none of ours, or another ledger's and counted.
    Done,
    /// It can't be handled, for this reason: it goes to the dead-letter queue.
    Bury(String),
    /// It could not be written down now; it comes again.
    Again,
}

/// Who has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Whoever publishes to the queue itself.
    Publisher,
    /// The provider of this name, which has signed it; without one, whoever brought it in a file, and has looked whose it is.
    Webhook(Option<String>),
}

/// What a call of a webhook turns out to be.
enum Called {
    /// Its events, and the name of the provider that has signed them; none of those in a file.
    Told(Option<String>, issei_provider::Events),
    /// Nobody has signed it, for this reason.
    Unsigned(Webhook, Unsigned),
    /// It can't be read, for this reason.
    Unread(String),
}

/// The events of each broadcast, as they came.
type Events = BTreeMap<BroadcastId, Vec<(Received, Source)>>;

/// The evidence about one chunk, with the messages that it came in.
#[derive(Default)]
struct Group {
    feedback: issei_ledger::Feedback,
    messages: Vec<usize>,
    named: Vec<NamedMessage>,
}

impl Group {
    fn add(&mut self, Received { event, number, .. }: &Received) {
        self.feedback.add(event.at, event.kind, &event.message_id);
        if !event.message_id.is_empty() {
            self.named.push(NamedMessage::new(event.at, event.sent_at, &event.message_id));
        }
        self.messages.push(*number);
    }
}

impl Feedback {
    /// Takes a batch of messages, up to 10,000 (an SQS event source's largest batch), and tells for
    /// each what is to become of it.
    pub async fn handle_batch(&self, messages: &[Message]) -> Vec<Handled> {
        let mut handled = vec![Handled::Done; messages.len()];
        let mut events = self.read(messages, &mut handled).await;
        let (known, mut strays) = (self.known(events.keys()).await, Vec::new());
        events.retain(|id, received| {
            let verdict = match known.get(id) {
                Some(Ok(Some(broadcast))) => {
                    let mark = broadcast.letter_mark();
                    received.retain(|(Received { event, number, .. }, source)| {
                        if let Some(reason) = of_another_registration(id, mark.as_deref(), event.registration.as_deref()) {
                            strays.push(Stray::new(*number, event, source, reason, true));
                            return false;
                        }
                        let objection = self.objection(broadcast, event, source);
                        let is_its_own = objection.is_none();
                        objection.into_iter().for_each(|reason| set(&mut handled, &[*number], &Handled::Bury(reason)));
                        is_its_own
                    });
                    return !received.is_empty();
                }
                Some(Ok(None)) => {
                    let stray = |(Received { event, number, .. }, source): &(Received, Source)| {
                        Stray::new(*number, event, source, format!("there is no broadcast `{id}` in the ledger"), false)
                    };
                    strays.extend(received.iter().map(stray));
                    return false;
                }
                Some(Err(_)) | None => Handled::Again,
            };
            received.iter().for_each(|(received, _)| set(&mut handled, &[received.number], &verdict));
            false
        });
        self.sort_strays(strays, &mut handled).await;
        for (id, received) in events {
            if let Some(Ok(Some(broadcast))) = known.get(&id) {
                self.take_in(broadcast, received, &mut handled).await;
            }
        }
        self.telling.tell().await;
        for broadcast in known.values().filter_map(|known| known.as_ref().ok()?.as_ref()) {
            self.break_circuit(broadcast).await;
        }
        handled
    }

    /// What the messages say, by broadcast. What can't be believed, can't be read or is none of ours is settled here.
    async fn read(&self, messages: &[Message], handled: &mut [Handled]) -> Events {
        let mut events = Events::new();
        let webhooks: Vec<_> = messages.iter().map(|message| self.read_webhook(message)).collect();
        let mut unsigned = Vec::new();
        let others = messages.iter().zip(&webhooks).filter(|(_, webhook)| webhook.is_none());
        let mut notices = self.notices.read(others.map(|(message, _)| message.body.as_str())).await.into_iter();
        for (number, (message, webhook)) in messages.iter().zip(webhooks).enumerate() {
            match webhook {
                Some(Called::Told(teller, told)) => {
                    take_webhook(teller, told, number, &mut events, handled);
                    continue;
                }
                Some(Called::Unsigned(webhook, why)) => {
                    unsigned.push(OfNobodys::new(number, webhook, why));
                    continue;
                }
                Some(Called::Unread(reason)) => {
                    set(handled, &[number], &Handled::Bury(reason));
                    continue;
                }
                None => {}
            }
            match notices.next() {
                None | Some(Notice::Told(Told::NotOurs)) => {}
                Some(Notice::Unknown) => set(handled, &[number], &Handled::Again),
                Some(Notice::Refused(reason)) => set(handled, &[number], &Handled::Bury(reason)),
                Some(Notice::Told(Told::Greeting)) => {
                    tracing::info!(message.id, "{} has validated the topic that events come by", self.publisher.facts().title);
                }
                Some(Notice::Told(Told::Probe(token))) => {
                    if let Err(error) = self.ledger.note_probe(&token).await {
                        tracing::warn!(%error, "a probe's event can't be noted now; it comes again");
                        set(handled, &[number], &Handled::Again);
                    }
                }
                Some(Notice::Told(Told::Event(event))) => {
                    events.entry(event.broadcast.clone()).or_default().push((Received::new(event, number), Source::Publisher));
                }
            }
        }
        self.sort_unsigned(unsigned, handled).await;
        events
    }

    /// Writes down what was told of one broadcast: evidence with its chunks, and what became of messages that the ledger knows
    /// from their answers in the log.
    async fn take_in(&self, broadcast: &Broadcast, received: Vec<(Received, Source)>, handled: &mut [Handled]) {
        let id = &broadcast.broadcast_id;
        let received = self.suppress(id, received, handled).await;
        let (answered, evidence) = if broadcast.logs_events {
            // Where answers can't be read, everything is evidence: that costs more and proves the same.
            if let Err(error) = self.answered.look(&self.ledger, broadcast, &received).await {
                tracing::warn!(%error, broadcast.id = %id, "chunks can't be read now; their events are written down as evidence");
                self.answered.forget();
            }
            self.answered.split(id, received)
        } else {
            (Vec::new(), received)
        };
        let numbers_of = |received: &[Received]| received.iter().map(|received| received.number).collect::<Vec<_>>();
        let mut numbers = numbers_of(&answered);
        // Where an older build registered it, nobody reads a log.
        let noted: &[Received] = if broadcast.logs_events { &evidence } else { &[] };
        match self.answered.log(&self.ledger, broadcast, &answered, noted, &self.dice.token()).await {
            Ok(fresh) => self.telling.note(id, |progress| progress.add_logged(&fresh)),
            Err(error) => {
                tracing::warn!(%error, broadcast.id = %id, "events can't be logged now; they come again");
                self.answered.forget();
                set(handled, &numbers, &Handled::Again);
                // Evidence is written down all the same, and comes again for its details.
                set(handled, &numbers_of(noted), &Handled::Again);
            }
        }
        let merged = self.merge(broadcast, evidence, handled).await;
        for (_, merged, group) in &merged {
            self.telling.note(id, |progress| progress.add_feedback(merged));
            numbers.extend(&group.messages);
        }
        if numbers.is_empty() {
            return;
        }
        let heard = merged.iter().map(|(seq, merged, group)| Heard { seq: *seq, merged: merged.clone(), named: group.named.clone() });
        self.look_for_second(broadcast, &heard.collect::<Vec<_>>()).await;
        if let Err(error) = self.tell_of_totals(broadcast, &merged).await {
            tracing::warn!(%error, broadcast.id = %id, "the totals can't be written anew now; these events come again");
            set(handled, &numbers, &Handled::Again);
        }
    }

    /// Writes evidence down, one write for each chunk.
    async fn merge(&self, broadcast: &Broadcast, evidence: Vec<Received>, handled: &mut [Handled]) -> Vec<(u32, Merged, Group)> {
        let (id, placed) = (&broadcast.broadcast_id, &broadcast.placed());
        let mut groups: BTreeMap<u32, Group> = BTreeMap::new();
        evidence.iter().for_each(|received| groups.entry(received.event.chunk).or_default().add(received));
        let mut writes = stream::iter(groups)
            .map(async |(seq, group)| (seq, self.ledger.merge_feedback(placed, seq, &group.feedback).await, group))
            .buffer_unordered(WRITES_AT_ONCE);
        let mut all = Vec::new();
        while let Some((seq, merged, group)) = writes.next().await {
            match merged {
                Ok(merged) => all.push((seq, self.answered.merged(id, seq, merged), group)),
                Err(error) => {
                    tracing::warn!(%error, broadcast.id = %id, chunk.seq = seq, "events can't be written down now; they come again");
                    set(handled, &group.messages, &Handled::Again);
                }
            }
        }
        all
    }

    /// Nothing where the message is no webhook.
    fn read_webhook(&self, message: &Message) -> Option<Called> {
        let webhook = match Webhook::read(&message.body)? {
            Ok(webhook) => webhook,
            Err(error) => return Some(Called::Unread(error.to_string())),
        };
        let Some(keys) = self.options.webhooks.get(&webhook.provider) else {
            let why = no_key(&webhook);
            return Some(Called::Unsigned(webhook, why));
        };
        // As SQS says; a copy says when the first of it came.
        let came_at = Timestamp::from_millisecond(message.sent_at_ms).unwrap_or_else(|_| self.clock.wall());
        Some(match keys.read(&webhook, came_at) {
            Ok(told) => Called::Told((!matches!(keys, WebhookKeys::Brought(_))).then_some(webhook.provider), told),
            Err(Unread::Unsigned(why)) => Called::Unsigned(webhook, why),
            Err(error @ Unread::NoEvent(_)) => Called::Unread(error.to_string()),
        })
    }

    /// Why an event is none of this broadcast's. Of another provider's, whose account may carry other broadcasts of the same id,
    /// nothing is believed: it would end doubt about messages that it has never seen. Nor of the publisher's where it carries nothing
    /// of it: these are not signed, and whoever may write to the queue could say so.
    fn objection(&self, broadcast: &Broadcast, event: &Event, source: &Source) -> Option<String> {
        let (id, carrier, publisher) =
            (&broadcast.broadcast_id, broadcast.provider.clone().unwrap_or_default(), self.publisher.facts().kind);
        let is_anothers = match source {
            // An older build did not register what the name stands for.
            Source::Publisher => broadcast.carried_by.as_ref().map_or_else(
                || self.options.webhooks.contains_key(carrier.as_str()),
                |carried_by| !carried_by.kind.is_empty() && carried_by.kind != publisher,
            ),
            Source::Webhook(teller) => teller.as_ref().is_some_and(|teller| teller != carrier.as_str()),
        };
        if is_anothers {
            let teller = if let Source::Webhook(Some(teller)) = source { teller } else { publisher };
            return Some(format!("`{id}` is carried by `{carrier}`, and the event is told by `{}`", without_addresses(teller)));
        }
        if event.chunk >= broadcast.chunks {
            return Some(format!("broadcast `{id}` has {} chunks, and the event names chunk {}", broadcast.chunks, event.chunk));
        }
        (event.at >= broadcast.chunk_size).then(|| {
            format!("a chunk of broadcast `{id}` has {} recipients at most, and the event names place {}", broadcast.chunk_size, event.at)
        })
    }

    async fn known(&self, ids: impl Iterator<Item = &BroadcastId>) -> BTreeMap<BroadcastId, Result<Option<Broadcast>, LedgerError>> {
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

    /// The lists first, which may be repeated: whoever is interrupted here does both again. Gives those whose addresses, if
    /// they are to be on a list, are on issei's.
    async fn suppress(&self, id: &BroadcastId, received: Vec<(Received, Source)>, handled: &mut [Handled]) -> Vec<Received> {
        let mut listed = Vec::with_capacity(received.len());
        let mut suppressing = stream::iter(received)
            .map(async |(received, source)| (self.suppress_for(id, &received.event, source).await, received))
            .buffered(WRITES_AT_ONCE);
        while let Some((suppressed, received)) = suppressing.next().await {
            match suppressed {
                Ok(()) => listed.push(received),
                Err(error) => {
                    tracing::warn!(%error, broadcast.id = %id, chunk.seq = received.event.chunk, "an address can't be suppressed now; its event comes again");
                    set(handled, &[received.number], &Handled::Again);
                }
            }
        }
        listed
    }

    async fn suppress_for(&self, id: &BroadcastId, event: &Event, source: Source) -> Result<(), LedgerError> {
        let (why, reason) = match event.kind {
            EventKind::Bounced => (Suppression::Bounced, Listed::Bounce),
            EventKind::Complained => (Suppression::Complained, Listed::Complaint),
            _ if event.unsubscribed => (Suppression::Unsubscribed, Listed::Complaint),
            _ => return Ok(()),
        };
        for address in &event.addresses {
            self.ledger.suppress(address, why, id, self.incarnation.actor()).await?;
            // Another provider has a list of its own, and keeps it itself.
            if source != Source::Publisher {
                continue;
            }
            if let Err(error) = self.publisher.list(address, reason).await {
                tracing::warn!(error, "an address can't be put on the list of {}; it is on issei's own", self.publisher.facts().title);
            }
        }
        Ok(())
    }

    /// The totals of a broadcast that is complete lag behind its events until the next sweep. But where
    /// events have just ended somebody's doubt, they are counted again at once. All before the events
    /// are deleted: a crash here must not leave the old number standing.
    async fn tell_of_totals(&self, broadcast: &Broadcast, merged: &[(u32, Merged, Group)]) -> Result<(), LedgerError> {
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
            let numbers: Vec<_> = some.iter().map(|(chunk, ..)| *chunk).collect();
            let found = self.ledger.chunks(&broadcast.placed(), &numbers).await?;
            let ends_doubt = |(chunk, merged, _): &(u32, Merged, Group)| {
                let outcomes = found.get(chunk).and_then(Chunk::outcomes);
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
}

/// Why an event is about no letter of this registration, whoever has signed it: a provider signs what becomes of all letters of an
/// account, also of those of another ledger that names its broadcasts alike. Nothing of such an event counts.
#[must_use]
pub fn of_another_registration(id: &BroadcastId, mark: Option<&str>, named: Option<&str>) -> Option<String> {
    if named == mark {
        return None;
    }
    let whose = "of another ledger that shares the provider's account, or of before a restore";
    Some(match named {
        Some(_) => format!("its letter was sent for another registration of `{id}` than this ledger has: {whose}; nothing of it counts"),
        None => format!(
            "its letter names no registration, and each letter of `{id}` does: it is {whose}, and of an older build; nothing of it counts"
        ),
    })
}

/// Events of one webhook, of which each is of a chunk of its own. Where one can't be read, the others count, and the message
/// is buried with that reason, to be looked at: what it says comes again harmlessly.
fn take_webhook(teller: Option<String>, told: issei_provider::Events, number: usize, events: &mut Events, handled: &mut [Handled]) {
    for event in told {
        match event {
            Ok(Told::Event(event)) => {
                events.entry(event.broadcast.clone()).or_default().push((Received::new(event, number), Source::Webhook(teller.clone())));
            }
            Ok(Told::NotOurs | Told::Greeting | Told::Probe(_)) => {}
            Err(error) => set(handled, &[number], &Handled::Bury(error.to_string())),
        }
    }
}

/// What must come again does so, also where something else in it is to be buried: then it is, the next time.
pub(crate) fn set(handled: &mut [Handled], numbers: &[usize], to: &Handled) {
    for number in numbers {
        if let Some(place) = handled.get_mut(*number).filter(|place| **place != Handled::Again) {
            *place = to.clone();
        }
    }
}
