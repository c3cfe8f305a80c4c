//! `issei rehearse`: a broadcast at production's volume, through the same binaries, queues and ledger, to addresses by
//! which the provider reaches nobody, with faults; and a certificate of it, which expires.

use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use issei_assembly::{Parts, Settings, VERSION, say};
use issei_certificate::{Certificate, Finding, Kind, Part, Verdict};
use issei_ledger::{Broadcast, BroadcastState, Rehearsal, ServiceKind, Transition, phrases};
use issei_producer::{REHEARSAL_PREFIX, count_rows};
use issei_provider::Facts;
use issei_schema::{BroadcastCommand, BroadcastId, ProviderName};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::RehearseOptions;
use crate::checks::InEnglish;
use crate::commands::certify::{ended, give, is_free, read_keys};
use crate::commands::send::number;
use crate::commands::serve::on_signal;
use crate::in_use::{self, Care};
use crate::operator;
use crate::time_left::with_left;
use crate::{Ended, Interrupted};

/// A rehearsal that does not move for so long is stuck.
const STUCK: Duration = Duration::from_mins(10);
/// Events come within seconds, as a rule; after this without a new one they are judged as they are.
const EVENTS_WAIT: Duration = Duration::from_mins(2);
/// Of this many pages the chunks are put on the queue a second time.
const PAGES_AGAIN: u32 = 20;

pub(crate) async fn run(settings: &Settings, options: &RehearseOptions, as_json: bool) -> anyhow::Result<Ended> {
    let keys = options.signing_key.as_deref().map(read_keys).transpose()?;
    is_free(options.output.as_deref())?;
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let shutdown = on_signal()?;
    let recipients = recipients(&parts, options).await?;
    let carrier = options.provider.clone().unwrap_or_default();
    let facts = parts.known_providers().get(&carrier).map(|known| known.facts);
    let facts = facts.with_context(|| format!("there is no provider `{carrier}`; add it under [providers]"))?;
    rehearsed_by_all(&parts).await?;
    let id =
        BroadcastId::try_from(format!("{REHEARSAL_PREFIX}{}", parts.clock.wall().strftime("%Y%m%d-%H%M%S"))).map_err(anyhow::Error::msg)?;
    let body = body(&parts, options, facts, &id, recipients).await?;
    let queue = parts.commands_queue().await?;
    queue.send(&body, Duration::ZERO).await?;
    if !options.calm {
        // The first fault: the app asks twice.
        queue.send(&body, Duration::ZERO).await?;
    }
    let rehearsing = Rehearsing { parts: &parts, options, facts, id: &id, recipients, bar: bar(recipients, as_json), shutdown: &shutdown };
    let result = rehearsing.until_over().await;
    rehearsing.bar.finish_and_clear();
    let active = result.with_context(|| format!("the rehearsal `{id}` did not end; end it with `issei stop {id} --reason \"…\"`"))?;
    let certificate = rehearsing.certify(active).await?;
    let signed = keys.as_ref().map(|keys| keys.sign(&certificate)).transpose()?;
    give(&certificate, signed.as_ref(), options.output.as_deref(), as_json)?;
    if certificate.verdict == Verdict::Converged
        && let Kind::Rehearsal { version, settings, expires_at, recipients_a_second } = &certificate.kind
    {
        let (version, settings, expires) = (version.clone(), settings.clone(), *expires_at);
        let provider = options.provider.clone().filter(|name| *name != ProviderName::default());
        let rehearsal =
            Rehearsal { broadcast_id: id.clone(), version, settings, provider, recipients, rehearsed_at: certificate.issued_at, expires };
        parts.ledger().note_rehearsal(&rehearsal).await?;
        if !as_json {
            say(&format!(
                "\nrehearsed with {recipients} recipients, {recipients_a_second:.0} a second; good for broadcasts up to that size until {expires:.0}, with version {VERSION} and these settings"
            ));
        }
    }
    Ok(ended(certificate.verdict))
}

async fn recipients(parts: &Parts, options: &RehearseOptions) -> anyhow::Result<u64> {
    if let Some(recipients) = options.recipients {
        return Ok(recipients);
    }
    let name = options.audience.as_deref().context("give --audience or --recipients")?;
    let config = parts.settings.audiences.get(name).with_context(|| format!("there is no [audiences.{name}] in the configuration"))?;
    let rows = count_rows(name, config).await?;
    if rows == 0 {
        bail!("the audience `{name}` has no rows; there is nothing to rehearse");
    }
    Ok(rows)
}

/// What is rehearsed must be what will be used: every service alive has this version and these settings.
async fn rehearsed_by_all(parts: &Parts) -> anyhow::Result<()> {
    let (now, digest) = (parts.clock.wall(), parts.settings.digest());
    let runs = parts.ledger().heartbeats(now).await?;
    let alive: Vec<_> = runs.iter().filter(|run| run.is_alive(now)).collect();
    for kind in [ServiceKind::Producer, ServiceKind::Consumer, ServiceKind::Feedback] {
        if !alive.iter().any(|run| run.service == kind) {
            bail!(
                "no {} is alive; start `issei {}`, for a rehearsal runs on the services that production runs on",
                kind.as_str(),
                kind.as_str()
            );
        }
    }
    if let Some(other) = alive.iter().find(|run| run.version != VERSION || run.settings != digest) {
        bail!(
            "{} has version {} or other settings than here ({VERSION}); rehearse what you will use: same version, same configuration",
            other.actor,
            other.version
        );
    }
    Ok(())
}

async fn body(parts: &Parts, options: &RehearseOptions, facts: &Facts, id: &BroadcastId, recipients: u64) -> anyhow::Result<String> {
    let not_after = parts.clock.wall().saturating_add(SignedDuration::from_hours(48))?;
    let text = format!("This is a rehearsal, sent to {}. ", facts.rehearsed.by).repeat(20);
    let mut body = json!({
        "version": 1,
        "broadcast_id": id,
        "audience": format!("{REHEARSAL_PREFIX}{recipients}"),
        "content": { "inline": { "subject": "Rehearsal for {{name}}", "text": format!("Dear {{{{name}}}},\n{text}"), "html": format!("<p>Dear {{{{name}}}},</p><p>{text}</p>") } },
        "from": options.from,
        "max_recipients": recipients,
        "not_after": not_after,
        "requested_by": operator::actor(parts).await?,
    });
    if let Some(provider) = &options.provider {
        (body["version"], body["class"], body["provider"]) = (json!(2), json!("service"), json!(provider));
    }
    Ok(BroadcastCommand::parse(&body.to_string())?.to_body())
}

struct Rehearsing<'a> {
    parts: &'a Parts,
    options: &'a RehearseOptions,
    facts: &'static Facts,
    id: &'a BroadcastId,
    recipients: u64,
    bar: ProgressBar,
    shutdown: &'a CancellationToken,
}

impl Rehearsing<'_> {
    /// Watches it to its end, and does what goes wrong in production meanwhile. Gives the time in which it
    /// was sending.
    async fn until_over(&self) -> anyhow::Result<Duration> {
        let (clock, ledger) = (&self.parts.clock, self.parts.ledger());
        let mut faults = !self.options.calm;
        let (mut moved, mut last) = (clock.now(), (0, BroadcastState::Enumerating));
        let (mut began, mut paused) = (None, Duration::ZERO);
        loop {
            self.sleep(Duration::from_millis(500)).await?;
            let now = clock.now();
            let Some(broadcast) = ledger.find_broadcast(self.id).await? else {
                self.check_moving(moved, "no producer has taken its command")?;
                continue;
            };
            let progress = ledger.progress(self.id).await?;
            let sight = (progress.accepted + broadcast.recipients, broadcast.broadcast_state);
            if sight != last {
                (last, moved) = (sight, now);
            }
            self.bar.set_position(progress.accepted);
            if progress.accepted > 0 && began.is_none() {
                began = Some(now);
            }
            match broadcast.broadcast_state {
                BroadcastState::Complete => {
                    self.until_events().await?;
                    self.until_drained().await?;
                    return Ok(now.saturating_duration_since(began.unwrap_or(now)).saturating_sub(paused));
                }
                BroadcastState::Stopped | BroadcastState::Stopping => {
                    bail!("it was ended: {}", broadcast.decided().map_or("nobody said why", |entry| entry.reason.as_str()));
                }
                BroadcastState::Running if faults && progress.accepted * 10 >= self.recipients => {
                    faults = false;
                    paused += self.disturb(&broadcast).await?;
                }
                _ => self.check_moving(moved, "it does not move")?,
            }
        }
    }

    /// Messages that are handed out again, and a pause in the midst.
    async fn disturb(&self, broadcast: &Broadcast) -> anyhow::Result<Duration> {
        let (ledger, queue) = (self.parts.ledger(), self.parts.chunks_queue().await?);
        for seq in 0..broadcast.enqueued_pages.min(PAGES_AGAIN) {
            let bodies: Vec<String> =
                ledger.page(&broadcast.placed(), seq).await?.messages(broadcast, None).map(|message| message.to_body()).collect();
            for some in bodies.chunks(10) {
                queue.send_batch(some, Duration::ZERO).await?;
            }
        }
        let actor = operator::actor(self.parts).await?;
        let step = async |to, reason: &str| ledger.transition(self.id, Transition { to, actor: &actor, reason }).await;
        let began = self.parts.clock.now();
        // It may have ended by itself meanwhile.
        if step(BroadcastState::Paused, &phrases::REHEARSED_PAUSE.with(&[])).await.is_ok() {
            self.sleep(operator::widest(self.parts).await?.timing.longest_leak()).await?;
            step(BroadcastState::Running, &phrases::REHEARSED_PAUSE_OVER.with(&[])).await?;
        }
        Ok(self.parts.clock.now().saturating_duration_since(began))
    }

    async fn until_events(&self) -> anyhow::Result<()> {
        if !self.facts.rehearsed.tells {
            return Ok(());
        }
        let (clock, ledger) = (&self.parts.clock, self.parts.ledger());
        let (mut proven, mut moved) = (0, clock.now());
        self.bar.set_message("waiting for the events");
        loop {
            let progress = ledger.progress(self.id).await?;
            if progress.proven != proven {
                (proven, moved) = (progress.proven, clock.now());
            }
            if proven >= self.recipients || clock.now().saturating_duration_since(moved) > EVENTS_WAIT {
                return Ok(());
            }
            self.sleep(Duration::from_millis(500)).await?;
        }
    }

    /// Messages that were doubled or put back are still on their way, and find nothing left to do.
    async fn until_drained(&self) -> anyhow::Result<()> {
        let (clock, queue) = (&self.parts.clock, self.parts.chunks_queue().await?);
        self.bar.set_message("waiting for the last messages");
        let (mut left, mut moved) = (u64::MAX, clock.now());
        loop {
            let now = queue.counts().await?.0.all();
            if now == 0 {
                return Ok(());
            }
            if now != left {
                (left, moved) = (now, clock.now());
            }
            self.check_moving(moved, "the chunks queue does not drain")?;
            self.sleep(Duration::from_secs(1)).await?;
        }
    }

    async fn certify(&self, active: Duration) -> anyhow::Result<Certificate> {
        let days = SignedDuration::from_hours(24 * i64::from(self.options.good_for_days));
        let kind = Kind::Rehearsal {
            recipients_a_second: number(self.recipients) / active.as_secs_f64().max(0.001),
            version: VERSION.to_owned(),
            settings: self.parts.settings.digest(),
            expires_at: self.parts.clock.wall().saturating_add(days)?,
        };
        let bar = ProgressBar::new_spinner();
        let tell = |left: Duration| {
            bar.set_message(format!("watching the queues for {} s more", left.as_secs()));
            bar.tick();
        };
        let mut certificate = operator::certifier(self.parts).await?.certify(self.id, kind, self.shutdown, tell).await?;
        bar.finish_and_clear();
        // A rehearsal proves more than convergence: everybody was accepted, and of everybody events came.
        let all = |what: &str, why: &str, count: u64| {
            Finding::new(Part::Data, format!("rehearsal: {what}"), "ledger items `chunk` and `feedback`")
                .rule(format!("all {}", self.recipients), why)
                .found(count, count == self.recipients)
        };
        let outcomes = &certificate.outcomes;
        let untold = || {
            Finding::new(Part::Data, "rehearsal: delivered", "nothing: no event is told of such mail")
                .rule("none", "the way of the events was not rehearsed, and only a real broadcast tries it")
                .found(format!("not tried: {} tells of nothing", self.facts.rehearsed.by), true)
        };
        let more = [
            all("accepted", "what a calm provider does not take, it will not take in production", outcomes.accepted),
            if self.facts.rehearsed.tells {
                all("delivered", "the way of the events must carry production's volume", outcomes.delivered)
            } else {
                untold()
            },
        ];
        certificate.findings.extend(more);
        certificate.verdict = certificate.judged();
        Ok(certificate)
    }

    fn check_moving(&self, moved: issei_clock::Instant, what: &str) -> anyhow::Result<()> {
        let still = self.parts.clock.now().saturating_duration_since(moved);
        if still > STUCK {
            bail!("{what} for {} s; look at `issei status {}` and the services' logs", still.as_secs(), self.id);
        }
        Ok(())
    }

    async fn sleep(&self, pause: Duration) -> anyhow::Result<()> {
        match self.shutdown.run_until_cancelled(tokio::time::sleep(pause)).await {
            Some(()) => Ok(()),
            None => bail!(Interrupted("interrupted".to_owned())),
        }
    }
}

fn bar(recipients: u64, as_json: bool) -> ProgressBar {
    if as_json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(recipients);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} accepted, {per_sec}{left} {msg}");
    bar.set_style(with_left(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
    bar
}
