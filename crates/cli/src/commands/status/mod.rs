//! `issei status`: how a broadcast stands, from the ledger. The cost of a look does not depend on the size
//! of the audience, unless it is asked to count.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Duration;

use issei_assembly::{Parts, Settings, say};
use issei_aws::{Queue, QueueError};
use issei_clock::Instant;
use issei_ledger::{
    Agreement, AuditEntry, Broadcast, BroadcastState, FixedObjects, Heartbeat, HeldAudience, HeldUp, LedgerError, Progress, ReasonCode,
    Refused, ServiceKind, Subject, Totals,
};
use issei_schema::{BroadcastId, ProviderName};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::Ended;
use crate::args::StatusOptions;
use crate::commands::absent::Absent;
use crate::commands::operate::short;
use crate::commands::serve::on_signal;
use crate::letters::{self, Letter};
use crate::shortened::shortened;

/// How long a watcher waits from one look to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// A service that has not ended and was not seen for less than this is shown, as silent.
const SILENT_SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// How a broadcast stands.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) broadcast_id: String,
    #[serde(skip)]
    pub(crate) state: BroadcastState,
    /// Its state, or `waiting` where it runs and may not be sent now.
    #[serde(rename = "state")]
    pub(crate) shown: String,
    /// When it goes on, where it waits, and the same for people: by the clocks of its window's place, and in UTC.
    pub(crate) waits_until: Option<Timestamp>,
    pub(crate) waits: Option<String>,
    /// How far its ramp lets it go in this hour, where that is not to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ramp: Option<String>,
    /// Why some will be told after the day from which it binds, where that is so.
    pub(crate) falls_behind: Option<String>,
    /// Why it stands there, and who decided so.
    pub(crate) reason: String,
    /// The code of a reason of issei's own; docs/reasons has a page for each.
    pub(crate) reason_code: Option<ReasonCode>,
    /// What has come of it since, by itself.
    pub(crate) since: Option<String>,
    /// What keeps the audience from being frozen.
    pub(crate) held_up: Option<HeldUp>,
    /// What its audience was found to be, where it holds before its first send.
    pub(crate) held_audience: Option<HeldAudience>,
    /// Who must agree to it before its first send, who has, and to what.
    pub(crate) agreement: Option<Agreed>,
    /// Another command that asked for this id since.
    pub(crate) refused: Option<Refused>,
    pub(crate) at: Timestamp,
    /// Who carries it, where that is not SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider: Option<ProviderName>,
    pub(crate) audience: u64,
    pub(crate) skipped: u64,
    /// By reason; nothing where not all of them were counted so.
    pub(crate) skipped_by: BTreeMap<String, u64>,
    pub(crate) recipients: u64,
    /// Recipients and skipped entries who were forgotten since. They count where they did.
    pub(crate) forgotten: u64,
    /// Rows whose address had invisible white space around it, which was left out; nothing where that was not counted.
    pub(crate) trimmed_addresses: Option<u64>,
    /// The objects of S3 that the audience is read from, and in which states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_from: Option<FixedObjects>,
    pub(crate) chunks: u32,
    pub(crate) settled_chunks: u64,
    /// Recipients for whom a permit was in hand, told by the consumers.
    pub(crate) permitted: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    /// To be sent to again. Only an exact count knows.
    pub(crate) retryable: Option<u64>,
    pub(crate) in_doubt: u64,
    /// How often a request was made again under its key, to learn what became of those in doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked_again: Option<u64>,
    /// From here on by the provider's events, as far as they have come.
    pub(crate) delivered: u64,
    pub(crate) bounced: u64,
    pub(crate) complained: u64,
    pub(crate) not_rendered: u64,
    /// Accepted, and not sent by SES since the address is on its suppression list.
    pub(crate) suppressed: u64,
    /// Whose mail server did not take it at once; most are delivered later.
    pub(crate) delayed: u64,
    pub(crate) permits_granted: u64,
    pub(crate) permits_left: u64,
    pub(crate) permits_withheld: u64,
    /// Counted chunk by chunk, or told by the consumers.
    pub(crate) exact: bool,
    /// Of the chunks queue, over all broadcasts.
    pub(crate) waiting_messages: u64,
    pub(crate) messages_in_flight: u64,
    pub(crate) dead_letters: u64,
    pub(crate) queues: BTreeMap<&'static str, Depths>,
    /// How old the oldest chunk message is that consumers received within ten seconds.
    pub(crate) oldest_message_s: Option<i64>,
    pub(crate) services: Vec<Service>,
    /// What the account allows, in recipients a second and in 24 hours; nothing where SES does not tell.
    pub(crate) quota: Option<Quota>,
}

/// An agreement, and what it is about.
#[derive(Debug, Serialize)]
pub(crate) struct Agreed {
    #[serde(flatten)]
    pub(crate) agreement: Agreement,
    /// How many more must approve it; 0 where it has all, or needs none.
    pub(crate) missing: u32,
    pub(crate) subject: Subject,
}

impl Agreed {
    fn of(broadcast: &Broadcast) -> Option<Self> {
        let agreement = broadcast.agreement.clone()?;
        let missing = broadcast.awaited().map_or(0, Agreement::missing);
        // Before it is frozen there is nothing to agree to.
        let is_frozen = broadcast.broadcast_state != BroadcastState::Enumerating && !broadcast.is_below_agreement();
        is_frozen.then(|| Self { agreement, missing, subject: broadcast.subject() })
    }

    fn line(&self, id: &str, is_over: bool) -> String {
        let Self { agreement, missing, subject } = self;
        let how = if *missing == 0 || is_over {
            String::new()
        } else {
            format!(": issei approve {id} --agreed {} --reason \"…\"", short(subject))
        };
        format!("agreement     {agreement}{how}")
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Depths {
    pub(crate) visible: u64,
    pub(crate) in_flight: u64,
    pub(crate) delayed: u64,
    pub(crate) dead_letters: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) service: ServiceKind,
    pub(crate) actor: String,
    pub(crate) version: String,
    pub(crate) seen_s_ago: i64,
    pub(crate) alive: bool,
    /// The providers that broadcasts asked it for in vain: it is not configured for them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) lacks: BTreeSet<ProviderName>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Quota {
    pub(crate) recipients_a_second: f64,
    pub(crate) recipients_a_day: f64,
    pub(crate) sent_in_24_hours: f64,
}

pub(crate) async fn run(settings: &Settings, options: &StatusOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let shutdown = on_signal()?;
    let clear = options.watch && !as_json && std::io::stdout().is_terminal();
    let mut before: Option<(u64, Instant)> = None;
    loop {
        let read = Status::read(&parts, &options.id, options.exact).await;
        if clear {
            // Home, and clear what is below (ECMA-48, CUP and ED).
            say("\x1b[H\x1b[2J");
        }
        let status = match read {
            Err(error) if is_absent(&error) => {
                let absent = Absent::read(&parts, &options.id).await?;
                if absent.refused.is_none() && !options.watch {
                    return Err(error);
                }
                absent.print(as_json)?;
                let waits = options.watch && absent.may_come();
                if !waits || shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
                    return Ok(Ended::Refused);
                }
                continue;
            }
            read => read?,
        };
        let now = parts.clock.now();
        let speed = before.map(|(accepted, at)| per_second(status.accepted.saturating_sub(accepted), now.saturating_duration_since(at)));
        before = Some((status.accepted, now));
        // Whoever watches looks each second, and letters are for one look.
        let letters = if options.watch || status.held_audience.is_none() { Vec::new() } else { held_letters(&parts, &options.id).await };
        if as_json {
            let mut told = serde_json::to_value(&status)?;
            if let Some(told) = told.as_object_mut().filter(|_| !letters.is_empty()) {
                told.insert("letters".to_owned(), serde_json::to_value(&letters)?);
            }
            say(&told.to_string());
        } else {
            status.lines(speed).iter().for_each(|line| say(line));
            letters::print(&letters);
        }
        let watching = options.watch && !status.state.is_over();
        if !watching || shutdown.run_until_cancelled(tokio::time::sleep(BETWEEN_LOOKS)).await.is_none() {
            return Ok(Ended::Well);
        }
    }
}

/// As they will be mailed once it is approved; none where their pages can't be read.
async fn held_letters(parts: &Parts, id: &BroadcastId) -> Vec<Letter> {
    let letters = async { letters::of_held(parts, &parts.ledger().broadcast(id).await?).await };
    letters.await.unwrap_or_else(|error| {
        tracing::warn!(%error, broadcast.id = %id, "the letters that it holds can't be shown");
        Vec::new()
    })
}

/// The state of a broadcast as it is shown: one that runs and may not be sent now waits.
pub(crate) fn shown(broadcast: &Broadcast, now: Timestamp) -> String {
    if broadcast.waits_until(now).is_some() { "waiting".to_owned() } else { broadcast.broadcast_state.to_string() }
}

/// What a ramp allows in this hour, and when there is more; nothing where it holds nobody back any more.
fn ramp(broadcast: &Broadcast, now: Timestamp) -> Option<String> {
    let ramped = broadcast.ramped().filter(|_| broadcast.broadcast_state == BroadcastState::Running)?;
    let (last, next) = (ramped.hour?, ramped.hour_at(now));
    let more = |hour| ramped.ramp.in_hour(hour);
    if next != last {
        let until = last.ends();
        return (ramped.ramp.most_in(next) < broadcast.recipients).then(|| {
            format!(
                "{} are permitted; its last hour was over at {until:.0}, and {} more are in the one that the next permit begins",
                broadcast.granted,
                more(next.doublings)
            )
        });
    }
    let (most, until) = (ramped.ramp.most_in(last), last.ends());
    (most < broadcast.recipients).then(|| {
        let then = more(ramped.hour_at(until).doublings);
        format!("{} of the {most} that it allows until {until:.0} are permitted; then {then} more in an hour", broadcast.granted)
    })
}

/// Says whether the ledger has no broadcast of that id.
pub(crate) fn is_absent(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LedgerError::NoBroadcast { .. }))
}

/// What is shown of a broadcast's recipients and chunks.
#[derive(Debug)]
struct Counts {
    totals: Totals,
    settled_chunks: u64,
    exact: bool,
}

impl Counts {
    /// Counted, which ends doubt as soon as events do. Other events that have come since are in the progress first, where
    /// one that was told of twice may be counted twice; nobody has one who was not accepted.
    fn exact(totals: Totals, settled_chunks: u64, progress: &Progress) -> Self {
        let since = |counted: u64, told: u64| counted.max(told.min(totals.accepted));
        let totals = Totals {
            delivered: since(totals.delivered, progress.delivered),
            bounced: since(totals.bounced, progress.bounced),
            complained: since(totals.complained, progress.complained),
            not_rendered: since(totals.not_rendered, progress.not_rendered),
            suppressed: since(totals.suppressed, progress.suppressed),
            delayed: since(totals.delayed, progress.delayed),
            ..totals
        };
        Self { totals, settled_chunks, exact: true }
    }

    /// Told by the services. One that was killed lost its last second.
    fn told(progress: &Progress, chunks: u64, recipients: u64) -> Self {
        let Progress { accepted, rejected, in_doubt, delivered, bounced, complained, not_rendered, suppressed, delayed, .. } = *progress;
        let retryable = 0;
        let totals = Totals {
            accepted,
            rejected,
            retryable,
            // Whom an answer has settled since is among the accepted.
            in_doubt: in_doubt.saturating_sub(progress.answered),
            delivered,
            bounced,
            complained,
            not_rendered,
            suppressed,
            delayed,
            ..Totals::default()
        };
        let totals = not_below_events(totals, progress, recipients);
        Self { totals, settled_chunks: progress.settled_chunks.min(chunks), exact: false }
    }
}

/// Whomever events name was accepted, and is not in doubt any more. Where an event was told of twice they are not more for it
/// than there are recipients.
fn not_below_events(totals: Totals, progress: &Progress, recipients: u64) -> Totals {
    let accepted = totals.accepted.max(progress.proven.min(recipients));
    Totals { accepted, in_doubt: totals.in_doubt.saturating_sub(accepted - totals.accepted), ..totals }
}

impl Status {
    pub(crate) async fn read(parts: &Parts, id: &BroadcastId, exact: bool) -> anyhow::Result<Self> {
        let ledger = parts.ledger();
        let (broadcast, progress) = (ledger.broadcast(id).await?, ledger.progress(id).await?);
        let refused = ledger.refused(id).await?.filter(|refused| refused.is_news(Some(&broadcast)));
        let mut queues = BTreeMap::new();
        for (name, queue) in [
            ("commands", parts.commands_queue().await?),
            ("chunks", parts.chunks_queue().await?),
            ("feedback", parts.feedback_queue().await?),
        ] {
            queues.insert(name, Depths::of(&queue).await?);
        }
        let counts = match (broadcast.totals, exact) {
            (Some(totals), _) => Counts::exact(totals, u64::from(broadcast.chunks), &progress),
            (None, true) => {
                let tally = ledger.tally(&broadcast).await?;
                Counts::exact(tally.totals(), tally.settled_chunks, &progress)
            }
            (None, false) => Counts::told(&progress, u64::from(broadcast.chunks), broadcast.recipients),
        };
        let said = |entry: &AuditEntry| format!("{} ({})", entry.reason, entry.actor);
        let reason = broadcast.decided().map(said).unwrap_or_default();
        let since = broadcast.since_decided().last().map(said);
        let now = parts.clock.wall();
        let (waits_until, reason_code) = (broadcast.waits_until(now), broadcast.reason_code(now));
        let (shown, waits) = (shown(&broadcast, now), waits_until.map(|until| broadcast.schedule().told(until)));
        let runs = ledger.heartbeats(now).await?;
        // Of SES; no other provider tells.
        let quota = if broadcast.provider.is_none() { quota(parts).await } else { None };
        let settled = counts.totals.accepted + counts.totals.rejected + counts.totals.in_doubt;
        let falls_behind = broadcast.falls_behind(now, settled, quota.as_ref().map(|quota| quota.recipients_a_second));
        let ramp = ramp(&broadcast, now);
        let chunks_queue = queues.get("chunks");
        let holds = broadcast.broadcast_state == BroadcastState::Holding && broadcast.held_before_send;
        let agreement = Agreed::of(&broadcast);
        let held_audience = broadcast.held_audience.filter(|_| holds && broadcast.grant_count == 0);
        let Broadcast { broadcast_id, broadcast_state, recipients, skipped, chunks, granted, remaining, withheld, held_up, .. } = broadcast;
        Ok(Self {
            broadcast_id: broadcast_id.to_string(),
            state: broadcast_state,
            shown,
            waits_until,
            waits,
            ramp,
            falls_behind,
            reason,
            reason_code,
            since,
            held_up,
            held_audience,
            agreement,
            refused,
            at: now,
            provider: broadcast.provider,
            audience: recipients + skipped,
            skipped,
            skipped_by: Some(broadcast.skipped_by).filter(|by| by.values().sum::<u64>() == skipped).unwrap_or_default(),
            recipients,
            forgotten: broadcast.forgotten,
            trimmed_addresses: broadcast.reading.and_then(|reading| reading.trimmed),
            read_from: broadcast.read_from,
            chunks,
            settled_chunks: counts.settled_chunks,
            permitted: progress.permitted.max(counts.totals.accepted + counts.totals.rejected + counts.totals.in_doubt),
            accepted: counts.totals.accepted,
            rejected: counts.totals.rejected,
            retryable: counts.exact.then_some(counts.totals.retryable),
            in_doubt: counts.totals.in_doubt,
            asked_again: Some(broadcast.asked_again).filter(|asked| *asked > 0),
            delivered: counts.totals.delivered,
            bounced: counts.totals.bounced,
            complained: counts.totals.complained,
            not_rendered: counts.totals.not_rendered,
            suppressed: counts.totals.suppressed,
            delayed: counts.totals.delayed,
            permits_granted: granted,
            permits_left: remaining,
            permits_withheld: withheld,
            exact: counts.exact,
            waiting_messages: chunks_queue.map_or(0, |depths| depths.visible + depths.delayed),
            messages_in_flight: chunks_queue.map_or(0, |depths| depths.in_flight),
            dead_letters: chunks_queue.map_or(0, |depths| depths.dead_letters),
            queues,
            oldest_message_s: runs
                .iter()
                .filter(|run| run.is_alive(now))
                .filter_map(|run| run.oldest_message_at)
                .min()
                .map(|at| now.duration_since(at).as_secs().max(0)),
            services: runs.iter().filter_map(|run| Service::of(run, now)).collect(),
            quota,
        })
    }

    /// Why so many are skipped.
    fn reasons(&self) -> String {
        let reasons: Vec<String> = self.skipped_by.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) }
    }

    /// Everything on a screen, for people.
    fn lines(&self, speed: Option<u64>) -> Vec<String> {
        let counted = if self.exact { "counted" } else { "told by the consumers, a second old" };
        let mut lines =
            vec![format!("broadcast     {}", self.broadcast_id), format!("state         {}: {}", self.shown, shortened(&self.reason))];
        lines.extend(self.reason_code.map(code_line));
        lines.extend(self.waits.iter().map(|until| format!("goes on       {until}")));
        lines.extend(self.ramp.iter().map(|ramp| format!("ramp          {ramp}")));
        lines.extend(self.falls_behind.iter().map(|why| format!("TOO LATE      {why}")));
        lines.extend(self.since.iter().map(|since| format!("since then    {}", shortened(since))));
        lines.extend([
            format!("audience      {} ({} recipients, {} skipped{})", self.audience, self.recipients, self.skipped, self.reasons()),
            format!(
                "permitted     {} ({} permits granted, {} left, {} withheld)",
                self.permitted, self.permits_granted, self.permits_left, self.permits_withheld
            ),
            format!("accepted      {} {} ({counted})", self.accepted, bar(self.accepted, self.recipients)),
            format!("delivered     {} {}", self.delivered, bar(self.delivered, self.recipients)),
            format!("bounced       {}, {} complained, {} not rendered", self.bounced, self.complained, self.not_rendered),
            format!("suppressed    {} by the provider's own list, {} delayed", self.suppressed, self.delayed),
            format!("rejected      {}", self.rejected),
            format!("in doubt      {}", self.in_doubt),
            format!("retryable     {}", self.retryable.map_or("known with --exact".to_owned(), |retryable| retryable.to_string())),
            format!("chunks        {} of {} settled", self.settled_chunks, self.chunks),
        ]);
        lines.extend(self.asked_again.map(|times| format!("asked again   {times} times, under the same key")));
        lines.push(format!("provider      {}", self.provider.clone().unwrap_or_default()));
        if self.forgotten > 0 {
            lines.insert(3, format!("forgotten     {} entries since", self.forgotten));
        }
        if let Some(HeldAudience { repeated_addresses, .. }) = &self.held_audience {
            let stand = if *repeated_addresses == 1 { "address stands" } else { "addresses stand" };
            lines.insert(3, format!("repeated      {repeated_addresses} {stand} under several keys"));
        }
        if let Some(trimmed) = self.trimmed_addresses.filter(|trimmed| *trimmed > 0) {
            let had = if trimmed == 1 { "address had" } else { "addresses had" };
            lines.insert(3, format!("trimmed       {trimmed} {had} invisible white space around"));
        }
        lines.extend(self.read_from.as_ref().map(|objects| format!("read from     {}", objects.told())));
        if let Some(agreed) = &self.agreement {
            lines.insert(2, agreed.line(&self.broadcast_id, self.state.is_over()));
        }
        if let Some(HeldUp { since, reason, .. }) = &self.held_up {
            lines.insert(2, format!("HELD UP       since {since:.0}: {}", shortened(reason)));
        }
        if let Some(Refused { refused_at, reason, .. }) = &self.refused {
            lines.push(format!("refused       at {refused_at:.0}, another command for this id: {}", shortened(reason)));
        }
        for (name, depths) in &self.queues {
            let oldest =
                self.oldest_message_s.filter(|_| *name == "chunks").map_or(String::new(), |age| format!("; oldest received {age} s old"));
            lines.push(depths.line(name) + &oldest);
        }
        lines.extend(self.services.iter().map(|run| {
            let state = if run.alive { "alive" } else { "SILENT" };
            let lacks = run.lacks.iter().map(|name| format!("; NOT CONFIGURED for the provider {name}, so it sends nothing of it"));
            format!("{:<14}{state}, seen {} s ago: {}{}", run.service.as_str(), run.seen_s_ago, run.actor, lacks.collect::<String>())
        }));
        if self.queues.values().any(|depths| depths.dead_letters > 0) {
            lines.push("dead letters  `issei dead-letters` shows who moved each, and why".to_owned());
        }
        // One that is called only when there are messages is not to be seen while there are none.
        let waits = self.waits.is_none() && self.queues.get("chunks").is_none_or(|depths| depths.visible > 0);
        if waits && !self.services.iter().any(|run| run.alive && run.service == ServiceKind::Consumer) && !self.state.is_over() {
            lines.push("consumer      NONE IS ALIVE: nothing is sent until one is started".to_owned());
        }
        let commands_wait = self.queues.get("commands").is_some_and(|depths| depths.visible > 0);
        let is_frozen = self.state != BroadcastState::Enumerating;
        if commands_wait && !is_frozen && !self.services.iter().any(|run| run.alive && run.service == ServiceKind::Producer) {
            lines.push("producer      NONE IS ALIVE: the audience is not frozen until one is started".to_owned());
        }
        let allowed = self.quota.as_ref().map_or(String::new(), |quota| {
            format!(
                " of {} that the account allows; {} of {} used in 24 hours",
                quota.recipients_a_second, quota.sent_in_24_hours, quota.recipients_a_day
            )
        });
        match speed.filter(|speed| *speed > 0) {
            Some(speed) => {
                let left = self.recipients.saturating_sub(self.accepted + self.rejected + self.in_doubt);
                lines.push(format!("rate          {speed} a second{allowed}"));
                lines.push(format!("time left     {}", in_words(left / speed)));
            }
            None if !self.state.is_over() => lines.push(format!("rate          watch to see it{allowed}")),
            None => {}
        }
        lines
    }
}

/// A code, and where to read what to do.
pub(crate) fn code_line(code: ReasonCode) -> String {
    format!("code          {code}: {}", code.page())
}

impl Depths {
    pub(crate) async fn of(queue: &Queue) -> Result<Self, QueueError> {
        let (live, dead) = queue.counts().await?;
        let (visible, in_flight, delayed) = (live.visible, live.in_flight, live.delayed);
        Ok(Self { visible, in_flight, delayed, dead_letters: dead.all() })
    }

    /// For people.
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { visible, in_flight, delayed, dead_letters } = self;
        let name = format!("{name} queue");
        format!("{name:<14} {visible} waiting, {in_flight} in flight, {delayed} delayed, {dead_letters} dead letters")
    }
}

impl Service {
    fn of(run: &Heartbeat, now: Timestamp) -> Option<Self> {
        let (alive, silent_for) = (run.is_alive(now), now.duration_since(run.seen_at));
        let is_shown = alive || (run.ended_at.is_none() && silent_for < SILENT_SHOWN);
        is_shown.then(|| Self {
            service: run.service,
            actor: run.actor.clone(),
            version: run.version.clone(),
            seen_s_ago: silent_for.as_secs().max(0),
            alive,
            lacks: run.lacks.clone(),
        })
    }
}

async fn quota(parts: &Parts) -> Option<Quota> {
    let account = parts.ses().account().await;
    let quota = account.inspect_err(|error| tracing::debug!(error, "the quota can't be read")).ok()?.quota?;
    Some(Quota { recipients_a_second: quota.a_second, recipients_a_day: quota.a_day, sent_in_24_hours: quota.sent_in_24_hours })
}

/// A share as twenty marks.
fn bar(part: u64, whole: u64) -> String {
    const WIDTH: u64 = 20;
    let full = part.min(whole).saturating_mul(WIDTH).checked_div(whole).unwrap_or_default();
    let marks = |mark: &str, count: u64| mark.repeat(usize::try_from(count).unwrap_or_default());
    format!("[{}{}]", marks("#", full), marks(".", WIDTH - full))
}

fn in_words(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn per_second(recipients: u64, elapsed: Duration) -> u64 {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    recipients.saturating_mul(1000) / ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_kill_no_fewer_are_shown_as_accepted_than_events_prove() {
        // A consumer was killed before it told of its last ten, whom events name since.
        let progress =
            Progress { permitted: 50, accepted: 40, settled_chunks: 4, in_doubt: 2, proven: 50, delivered: 49, ..Progress::default() };
        let told = Counts::told(&progress, 5, 50);
        assert_eq!((told.totals.accepted, told.totals.in_doubt, told.totals.delivered), (50, 0, 49));
        // An event that was told of twice makes nobody more of them.
        let twice = Counts::told(&Progress { proven: 70, ..progress }, 5, 50);
        assert_eq!((twice.totals.accepted, twice.totals.in_doubt), (50, 0));
        // Counted at its end with one in doubt, whose event came after that: it is counted again at once, and until then told
        // counts, which may be too high, end nobody's doubt.
        let totals = Totals { accepted: 49, in_doubt: 1, delivered: 48, ..Totals::default() };
        let exact = Counts::exact(totals, 5, &progress);
        assert_eq!((exact.totals.accepted, exact.totals.in_doubt, exact.totals.delivered, exact.settled_chunks), (49, 1, 49, 5));
    }

    #[test]
    fn a_share_is_drawn_and_a_time_is_said() {
        assert_eq!(bar(50, 100), "[##########..........]");
        assert_eq!((bar(0, 0), bar(7, 5)), (format!("[{}]", ".".repeat(20)), format!("[{}]", "#".repeat(20))));
        assert_eq!([59, 61, 7_260].map(in_words), ["59 s", "1 min 1 s", "2 h 1 min"]);
    }
}
