//! The data part: the frozen audience, every chunk and the events of it, as the ledger holds them now, and
//! the provider's own count. Page by page, so that memory stays flat in the size of the audience.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sesv2::types::{BatchGetMetricDataQuery, Metric, MetricDimensionName, MetricNamespace};
use issei_aws::{Clients, chain};
use issei_ledger::{
    Broadcast, BroadcastState, Chunk, Feedback, Ledger, LedgerError, Outcome, Outcomes, Page, Reading, SkipReason, Tally, Walked,
};
use issei_schema::InDoubtPolicy;
use jiff::{SignedDuration, Timestamp};

use crate::finding::{Finding, Part};

/// What the ledger holds of one broadcast.
pub(crate) struct Data {
    pub(crate) tally: Tally,
    /// Recipients whose chunks were never claimed.
    pub(crate) never_claimed: u64,
    pub(crate) findings: Vec<Finding>,
}

/// Everything that is not as it must be, by kind: how often, and the first of it.
#[derive(Default)]
struct Odd {
    count: u64,
    first: Option<String>,
}

impl Odd {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(what);
    }

    fn into_finding(self, finding: Finding, sound: impl ToString) -> Finding {
        match self.first {
            None => finding.found(sound, true),
            Some(first) if self.count == 1 => finding.found(first, false),
            Some(first) => finding.found(format!("{first}, and {} more", self.count - 1), false),
        }
    }
}

/// The findings about the ledger alone, without what is deployed, the services, the queues and the provider.
/// `held` is how long an open claim's request may still be accepted after its lease.
pub async fn what_the_ledger_holds(ledger: &Ledger, broadcast: &Broadcast, held: Duration, now: Timestamp) -> Vec<Finding> {
    Reader { ledger, broadcast, held, now }.read().await.findings
}

/// Reads everything.
pub(crate) struct Reader<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) broadcast: &'a Broadcast,
    pub(crate) held: Duration,
    pub(crate) now: Timestamp,
}

fn data(what: &str, from: &str) -> Finding {
    Finding::new(Part::Data, what, from)
}

impl Reader<'_> {
    pub(crate) async fn read(self) -> Data {
        let broadcast = self.broadcast;
        let mut state = Seen::default();
        let mut findings = vec![self.state()];
        let mut previous = String::new();
        let chain_finding = data("audience: chain of pages", "ledger items `page`").rule(
            format!("{} pages, each with its own hash and that of the page before it; the last is the broadcast's", broadcast.pages),
            "a page that was lost or altered hides whom it held",
        );
        for seq in 0..broadcast.pages {
            let read = match self.ledger.page_and_hash(&broadcast.broadcast_id, seq).await {
                Ok((page, _)) if page.previous != previous => {
                    Err((true, format!("page {seq} does not follow from page {}", seq.saturating_sub(1))))
                }
                Ok((page, hash)) => {
                    previous = hash;
                    self.chunks_of(&page, &mut state).await.map_err(|error| (false, error.to_string()))
                }
                Err(error @ LedgerError::Corrupt { .. }) => Err((true, error.to_string())),
                Err(error) => Err((false, error.to_string())),
            };
            if let Err((is_broken, reason)) = read {
                findings.push(if is_broken { chain_finding.found(reason, false) } else { chain_finding.unreadable(reason) });
                return Data { tally: state.tally, never_claimed: state.never_claimed, findings };
            }
        }
        let holds = previous == broadcast.chain && state.recipients == broadcast.recipients && state.skipped == broadcast.skipped;
        let value = format!(
            "{} pages, {} recipients, {} skipped, head {}",
            broadcast.pages,
            state.recipients,
            state.skipped,
            previous.get(..16).unwrap_or("none")
        );
        findings.push(chain_finding.found(value, holds));
        findings.extend(self.audience_as_read(&state));
        findings.push(self.no_other_chunks(&state).await);
        self.judge(state, findings)
    }

    fn state(&self) -> Finding {
        let state = self.broadcast.broadcast_state;
        let why = match self.broadcast.audit_trail.last() {
            Some(entry) => format!("{state} since {}: {}", entry.at, entry.reason),
            None => state.to_string(),
        };
        data("broadcast: state", "ledger item `broadcast`")
            .rule("complete or stopped", "in every other state something may still be sent")
            .found(why, state.is_over())
            .mend("wait for its end, or end it with `issei stop`")
    }

    async fn chunks_of(&self, page: &Page, seen: &mut Seen) -> Result<(), LedgerError> {
        let id = &self.broadcast.broadcast_id;
        let chunks: Vec<_> = page.chunks().collect();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in chunks.chunks(100) {
            let keys: Vec<_> = some.iter().map(|(chunk, _)| (id.clone(), *chunk)).collect();
            let numbers: Vec<u32> = some.iter().map(|(chunk, _)| *chunk).collect();
            let (mut found, mut feedback) = (self.ledger.chunks(&keys).await?, self.ledger.feedback(id, &numbers).await?);
            for (seq, recipients) in some {
                let chunk = found.remove(&(id.clone(), *seq)).unwrap_or(Chunk::Absent);
                let walked = Walked { seq: *seq, chunk, feedback: feedback.remove(seq).unwrap_or_default() };
                self.look_at(page.seq, &walked, recipients.len(), seen);
            }
        }
        seen.recipients += page.recipients() as u64;
        seen.skipped += page.skipped_rows();
        for skipped in page.skipped() {
            *seen.skipped_by_reason.entry(skipped.reason).or_default() += skipped.rows;
        }
        Ok(())
    }

    /// Everybody whom the source named is frozen or skipped; nothing where the version that froze it kept no count.
    fn audience_as_read(&self, seen: &Seen) -> Option<Finding> {
        let Reading { rows, counted, repeated, readings, .. } = self.broadcast.reading.as_ref()?;
        let by_reason: Vec<String> = seen.skipped_by_reason.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        let by_reason = if by_reason.is_empty() { String::new() } else { format!(" ({})", by_reason.join(", ")) };
        // Between two readings rows come and go, and before the end of enumeration not all are frozen.
        let is_whole = self.broadcast.broadcast_state == BroadcastState::Complete || self.broadcast.granted > 0;
        let all_there = *readings > 1 || !is_whole || seen.recipients + seen.skipped == *rows;
        let finding = data("audience: as it was read", "ledger items `broadcast` and `page`").rule(
            "rows read are the rows that the source counted in the same snapshot, and those of a single reading are all frozen",
            "a row that was not read belongs to somebody who is never mailed",
        );
        let value = format!(
            "{rows} rows read, {counted} counted by the source, {repeated} of them with a repeated key; frozen: {} recipients, {} skipped{by_reason}; {readings} readings",
            seen.recipients, seen.skipped
        );
        Some(finding.found(value, rows == counted && all_there))
    }

    fn look_at(&self, page: u32, walked: &Walked, recipients: usize, seen: &mut Seen) {
        let Walked { seq, chunk, feedback } = walked;
        seen.tally.add(walked);
        let outcomes: Vec<Outcome> = chunk.outcomes().into_iter().flat_map(Outcomes::iter).collect();
        if *chunk == Chunk::Absent {
            seen.never_claimed += recipients as u64;
            if !feedback.is_empty() {
                seen.events.note(|| format!("events of chunk {seq}, which nobody has claimed"));
            }
            return;
        }
        if outcomes.len() != recipients {
            seen.chunks.note(|| format!("chunk {seq} has {} outcomes, and its page {recipients} recipients", outcomes.len()));
        }
        if chunk.page() != Some(page) {
            seen.chunks.note(|| format!("chunk {seq} names page {:?}, and stands in page {page}", chunk.page()));
        }
        if let Chunk::Claimed { lease_until, .. } = chunk
            && let over = lease_until.saturating_add(self.held).unwrap_or(Timestamp::MAX)
            && over > self.now
        {
            seen.claims.note(|| format!("chunk {seq} is claimed, and its request may be accepted until {over}"));
        }
        for (at, outcome) in outcomes.iter().enumerate() {
            // Only an acceptance has a message id, and each that an answer told has one.
            let has_id = chunk.message_id(at).is_some();
            let odd = match outcome {
                // Events prove an acceptance whose answer never came.
                Outcome::Accepted => !has_id && !feedback.proves(at),
                Outcome::Open | Outcome::Rejected | Outcome::Retryable | Outcome::InDoubt => has_id,
            };
            if odd && matches!(chunk, Chunk::Confirmed { .. }) {
                let has = if has_id { "a message id" } else { "no message id" };
                seen.chunks.note(|| format!("chunk {seq}, recipient {at} is {outcome:?} with {has}"));
            }
            // An event that came when its recipient was to be sent to again ends that, before the broadcast ends.
            let was_open = *outcome == Outcome::Retryable && self.broadcast.broadcast_state != BroadcastState::Complete;
            if matches!(outcome, Outcome::Rejected | Outcome::Retryable) && !was_open && feedback.proves(at) {
                seen.events.note(|| format!("chunk {seq}, recipient {at} has an event, and the ledger says {outcome:?}"));
            }
        }
        self.look_at_events(*seq, chunk, feedback, outcomes.len(), seen);
    }

    fn look_at_events(&self, seq: u32, chunk: &Chunk, feedback: &Feedback, recipients: usize, seen: &mut Seen) {
        if let Some(at) = (recipients..issei_schema::limits::CHUNK_RECIPIENTS_MAX).find(|at| feedback.proves(*at)) {
            seen.events.note(|| format!("chunk {seq} has {recipients} recipients, and an event names recipient {at}"));
        }
        let twice = feedback.accepted_twice(chunk);
        if let Some(first) = twice.first().filter(|_| self.broadcast.in_doubt != InDoubtPolicy::AtLeastOnce) {
            seen.twice.note(|| format!("chunk {seq}, recipient {first}"));
        }
        seen.proven += feedback.proven();
    }

    /// Every chunk in the ledger belongs to a page.
    async fn no_other_chunks(&self, seen: &Seen) -> Finding {
        let finding = data("chunks: all of them", "ledger items `chunk` and `feedback`")
            .rule("each belongs to a page", "a chunk that no page holds was sent to somebody outside the audience");
        let (mut walk, mut tally, mut other) = (self.ledger.walk(self.broadcast), Tally::default(), Odd::default());
        loop {
            match walk.next().await {
                Ok(None) => break,
                Ok(Some(walked)) if walked.seq >= self.broadcast.chunks => {
                    other.note(|| format!("chunk {} of {}", walked.seq, self.broadcast.chunks));
                }
                Ok(Some(walked)) => tally.add(&walked),
                Err(error) => return finding.unreadable(error),
            }
        }
        if other.count == 0 && tally != seen.tally {
            return finding.found("the ledger changed while it was read", false).mend("wait until it stands still, and certify again");
        }
        other.into_finding(finding, format!("{} claimed of {}", seen.tally.chunks, self.broadcast.chunks))
    }

    fn judge(&self, seen: Seen, mut findings: Vec<Finding>) -> Data {
        let broadcast = self.broadcast;
        let totals = seen.tally.totals();
        let is_complete = broadcast.broadcast_state == BroadcastState::Complete;
        let (sent, open) = (totals.accepted + totals.rejected + totals.in_doubt, totals.retryable + seen.never_claimed);

        let finding = data("chunks: as they were frozen and confirmed", "ledger items `page` and `chunk`").rule(
            "as many outcomes as recipients; a message id with each acceptance, and with nothing else",
            "an altered chunk proves nothing",
        );
        findings.push(seen.chunks.into_finding(finding, format!("{} chunks", seen.tally.chunks)));
        let finding = data("claims: open ones", "ledger items `chunk`")
            .rule("none whose request could still be accepted", "its recipients may get the message yet");
        let mend = "wait until that time, and certify again";
        findings.push(seen.claims.into_finding(finding, format!("{} claims, all over", seen.tally.open_claims)).mend(mend));

        let (rule, why) = if is_complete {
            ("accepted, rejected and in doubt are all recipients", "whoever has no outcome was lost, or is still to be sent to")
        } else {
            ("accepted, rejected, in doubt and not sent are all recipients", "whoever is in none of them was lost")
        };
        let holds = if is_complete { sent == broadcast.recipients && open == 0 } else { sent + open == broadcast.recipients };
        findings.push(data("outcomes: of everybody", "ledger items `chunk`, counted").rule(rule, why).found(
            format!(
                "{} accepted, {} rejected, {} in doubt, {open} not sent, of {} recipients",
                totals.accepted, totals.rejected, totals.in_doubt, broadcast.recipients
            ),
            holds,
        ));
        if is_complete {
            findings.push(
                data("outcomes: the broadcast's own totals", "ledger item `broadcast`")
                    .rule("as counted", "a count that changed after the end was changed by something else")
                    .found(
                        broadcast.totals.map_or("none".to_owned(), |totals| {
                            format!("{} accepted, {} rejected, {} in doubt", totals.accepted, totals.rejected, totals.in_doubt)
                        }),
                        broadcast.totals.is_some_and(|own| {
                            (own.accepted, own.rejected, own.in_doubt, own.retryable)
                                == (totals.accepted, totals.rejected, totals.in_doubt, totals.retryable)
                        }),
                    ),
            );
        }
        // Who is accepted by events alone, when they were to be sent to again, has no permit until that is recorded.
        let sent = sent - seen.tally.unacknowledged;
        let (granted, budget) = (broadcast.granted, broadcast.max_recipients);
        findings.push(
            data("permits: against the budget", "ledger item `broadcast`")
                .rule("sent <= granted <= recipients <= budget", "no mail goes out without a permit, and no permit beyond the budget")
                .found(
                    format!("{sent} sent, {granted} granted, {} recipients, budget {budget}", broadcast.recipients),
                    sent <= granted && granted <= broadcast.recipients && (broadcast.recipients <= budget || granted == 0),
                ),
        );
        let finding = data("events: of whom", "ledger items `feedback`").rule(
            "only of recipients who were sent to",
            "an event of somebody else was caused by another sender, or by a ledger that forgot",
        );
        findings.push(seen.events.into_finding(finding, format!("events of {} recipients", seen.proven)));
        let finding = data("events: accepted twice", "ledger items `feedback` and `chunk`")
            .rule("nobody, unless the policy is at_least_once", "this is what issei exists to prevent");
        findings.push(seen.twice.into_finding(finding, "nobody"));
        Data { tally: seen.tally, never_claimed: seen.never_claimed, findings }
    }
}

#[derive(Default)]
struct Seen {
    tally: Tally,
    never_claimed: u64,
    recipients: u64,
    skipped: u64,
    skipped_by_reason: BTreeMap<SkipReason, u64>,
    proven: u64,
    chunks: Odd,
    claims: Odd,
    events: Odd,
    twice: Odd,
}

/// What the provider itself has counted. Others may send through the account too, so it can only be too much.
pub(crate) async fn provider_count(
    clients: &Clients,
    configuration_set: &str,
    broadcast: &Broadcast,
    accepted: u64,
    now: Timestamp,
) -> Finding {
    const DAY: SignedDuration = SignedDuration::from_hours(24);
    let why = "what the ledger calls accepted, SES must have counted";
    let rule = format!("{accepted} (accepted) or more");
    if now.duration_since(broadcast.created_at) < DAY {
        let finding = data("SES: sent in the last 24 hours", "SES GetAccount SentLast24Hours").rule(rule, why);
        return match clients.ses.get_account().send().await {
            Ok(answer) => match answer.send_quota.map(|quota| quota.sent_last24_hours) {
                Some(sent) => finding.found(sent, sent >= as_f64(accepted)),
                None => finding.unreadable("SES did not tell"),
            },
            Err(error) => finding.unreadable(chain(&error)).mend("grant ses:GetAccount"),
        };
    }
    let ended = broadcast.audit_trail.last().map_or(now, |entry| entry.at);
    let finding = data("SES: sent through the configuration set", "SES BatchGetMetricData SEND").rule(rule, why);
    let mend = "turn on the Virtual Deliverability Manager, whose metrics reach back; without it, certify within 24 hours of the command";
    let at = |at: Timestamp| aws_sdk_sesv2::primitives::DateTime::from_secs(at.as_second());
    let query = BatchGetMetricDataQuery::builder()
        .id("sent")
        .namespace(MetricNamespace::Vdm)
        .metric(Metric::Send)
        .dimensions(MetricDimensionName::ConfigurationSet, configuration_set)
        // Whole days are what these metrics are kept by (SES API reference).
        .start_date(at(broadcast.created_at.saturating_sub(DAY).unwrap_or(broadcast.created_at)))
        .end_date(at(ended.saturating_add(DAY).unwrap_or(ended)))
        .build();
    let query = match query {
        Ok(query) => query,
        Err(error) => return finding.unreadable(error),
    };
    match clients.ses.batch_get_metric_data().queries(query).send().await {
        Ok(answer) => match answer.results.unwrap_or_default().first().and_then(|result| result.values.clone()) {
            Some(values) => {
                let sent = values.into_iter().filter_map(|value| u64::try_from(value).ok()).sum::<u64>();
                finding.found(sent, sent >= accepted)
            }
            None => finding.unreadable("SES has no such metric").mend(mend),
        },
        Err(error) => finding.unreadable(chain(&error)).mend(mend),
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn as_f64(recipients: u64) -> f64 {
    recipients as f64
}
