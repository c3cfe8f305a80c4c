//! What a command will do, as far as it can be known beforehand, and what speaks against it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use issei_assembly::{Parts, VERSION, say};
use issei_certificate::{Finding, Judgement, stated};
use issei_ledger::SkipReason;
use issei_producer::{AudienceConfig, ChosenCanary, Mailable, ReadObjects, Skips, Survey, canary_of_all, no_rows};
use issei_schema::{
    BroadcastCommand, Canary, CanaryApproval, Course, Mailbox, Opening, Pace, ProviderName, Ramped, UNSUBSCRIBE_PLACEHOLDER, VariantName,
};
use jiff::Timestamp;
use serde::Serialize;

use super::alike::{Repeats, too_late};
use super::blank::BlankColumn;
use super::producers;
use crate::checks::{self, Stored};
use crate::commands::certify::show;
use crate::letters::{Letter, letters, print, print_sender, worth_a_look};

/// US dollars for a thousand recipients (SES pricing, outbound mail, November 2026). Attachments and
/// dedicated addresses cost more.
pub(crate) const DOLLARS_PER_THOUSAND: f64 = 0.10;

/// What will happen.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    broadcast_id: String,
    audience: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    /// Of an audience in S3, what it was read from.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<ReadObjects>,
    rows: u64,
    /// Those who would be sent to.
    mailable: u64,
    /// Of them, those whose letters have nothing where a value should stand, by the column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blank: Vec<BlankColumn>,
    /// How many of them get the words of each variant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variants: BTreeMap<VariantName, u64>,
    /// Who gets the fallback's words, for want of a variant of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    fell_back: Option<String>,
    /// The others, by their reason; the commonest first.
    skipped: Vec<Skipped>,
    /// Why the producer would hold the broadcast before its first send, where it would.
    holds: Option<String>,
    /// Whose agreement it needs besides, where it does.
    agreement: Option<String>,
    /// How many are sent to before an approval; nothing where there is no canary.
    canary: Option<u64>,
    /// Of a canary that chooses: that it chooses nobody, or who was named and is not mailed.
    canary_told: Option<String>,
    #[serde(flatten)]
    repeats: Repeats,
    max_recipients: u64,
    /// Nothing where SES does not tell.
    recipients_a_second: Option<f64>,
    /// Nothing where there is no daily quota, or SES does not tell.
    quota_left_today: Option<u64>,
    seconds_at_least: Option<u64>,
    /// When it goes on, where it may not be sent now.
    waits_until: Option<Timestamp>,
    /// When everybody is sent to at the earliest; nothing where that is not known, or after `not_after`.
    done_at: Option<Timestamp>,
    /// How many are sent to at most in each hour of its ramp in which it may be sent, as long as that bounds it.
    ramp: Vec<u64>,
    /// The same two for people.
    begins: Option<String>,
    done: Option<String>,
    not_after: Timestamp,
    /// The day from which what is announced binds.
    effective_at: Option<Timestamp>,
    /// Nothing where another provider than SES carries it, whose prices are not known here.
    cost_usd: Option<f64>,
    /// Who carries it, where that is not SES.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<ProviderName>,
    known_already: bool,
    pub(super) letters: Vec<Letter>,
    /// What was looked at. What could not be read is no reason to refuse, and is not called fine.
    findings: Vec<Seen>,
    /// Why it is not sent, each with what to do.
    pub(super) refused: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    reason: SkipReason,
    rows: u64,
    /// The keys of three of them.
    examples: Vec<String>,
}

impl Skipped {
    /// The commonest first.
    pub(crate) fn of(skipped: BTreeMap<SkipReason, Skips>) -> Vec<Self> {
        let mut skipped: Vec<Self> =
            skipped.into_iter().map(|(reason, skips)| Self { reason, rows: skips.rows, examples: skips.examples }).collect();
        skipped.sort_by_key(|skipped| std::cmp::Reverse(skipped.rows));
        skipped
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn print(all: &[Self]) {
        for (at, Self { reason, rows, examples }) in all.iter().enumerate() {
            let (head, keys) = (if at == 0 { "skipped" } else { "" }, examples.join(", "));
            // What is wrong with a line has commas of its own.
            if *reason == SkipReason::BrokenRow {
                say(&format!("{head:<14} {rows} {reason}{}", if *rows > 3 { ", first" } else { "" }));
                examples.iter().for_each(|line| say(&format!("{:<16} {line}", "")));
                continue;
            }
            let keys = if keys.is_empty() { keys } else { format!(", with the keys {keys}{}", if *rows > 3 { ", …" } else { "" }) };
            say(&format!("{head:<14} {rows} {reason}{keys}"));
        }
    }
}

impl Forecast {
    pub(super) async fn of(
        parts: &Parts,
        command: &BroadcastCommand,
        config: &AudienceConfig,
        survey: Survey,
        stored: Option<Stored>,
        known_already: bool,
    ) -> anyhow::Result<Self> {
        let settings = &parts.settings;
        let provider = command.provider();
        let quota = if provider == ProviderName::default() {
            parts.ses().account().await.map_err(|error| anyhow::anyhow!("SES GetAccount: {error}"))?.quota
        } else {
            None
        };
        let of_account = quota.map(|quota| quota.a_second).filter(|rate| *rate > 0.0);
        let rate = of_account.or_else(|| settings.known_providers().get(&provider)?.rate);
        let rate = rate.map(|rate| if settings.rate_ceiling > 0.0 { rate.min(settings.rate_ceiling) } else { rate });
        // SES gives -1 where there is no daily quota.
        let left = quota.filter(|quota| quota.a_day >= 0.0).map(|quota| whole(quota.a_day - quota.sent_in_24_hours));
        let enough = survey.enough(settings.skipped_share_max);
        let counted = survey.counted();
        let repeats = Repeats::of(&survey, config);
        let blank = BlankColumn::all(&survey);
        let content = stored.as_ref().and_then(|stored| stored.content.as_ref());
        let letters = letters(command, worth_a_look(&survey), content)?;
        let Survey { rows, mailable, skipped, variants, fell_back, canary, objects, sent_before, .. } = survey;
        let approvals = settings.approvals_wanted()?;
        let agreement = (approvals.are_for(command) && mailable >= approvals.from_recipients).then(|| {
            format!(
                "{} persons must agree, whoever sends this among them: the broadcast will hold before its first send, until the others have approved it (`issei approve {} --agreed DIGEST --reason \"…\"`, with the digest that `issei status` shows)",
                approvals.persons, command.broadcast_id
            )
        });
        let canary_told = canary.as_ref().and_then(ChosenCanary::told);
        let canary = canary.map(|canary| canary.recipients).or(command.canary.as_ref().and_then(Canary::first).map(NonZeroU64::get));
        let canary = canary.map(|canary| canary.min(mailable));
        let canary_is_all = mailable > 0 && canary == Some(mailable);
        let (asks_nobody, lacks_canary) = (command.canary_approval == CanaryApproval::Evidence, mailable > 0 && canary == Some(0));
        let unheld = (canary_is_all && asks_nobody).then(|| {
            format!(
                "the canary is everybody who can be mailed ({mailable}), so all are sent to at once, and its evidence holds nobody back"
            )
        });
        let canary_told = Some(canary_told.into_iter().chain(unheld).collect::<Vec<_>>().join("; ")).filter(|told| !told.is_empty());
        let holds_all = canary_is_all && !asks_nobody;
        let skipped = Skipped::of(skipped);
        let (now, schedule) = (parts.clock.wall(), command.schedule());
        let seconds = rate.map(|rate| whole((number(mailable) / rate).ceil()));
        let ramped = command.ramp.map(|ramp| Ramped { ramp, hour: None, granted: 0 });
        let course = rate.map(|rate| schedule.course(now, mailable, pace(command, rate, settings.chunk_size), ramped));
        let Course { done_at, hours: ramp } = course.unwrap_or(Course { done_at: None, hours: Vec::new() });
        let waits_until = if let Opening::Waiting { until } = schedule.at(now) { Some(until) } else { None };
        let mut forecast = Self {
            broadcast_id: command.broadcast_id.to_string(),
            audience: command.audience.as_str().to_owned(),
            from: command.from.shown(),
            reply_to: command.reply_to.as_ref().map(Mailbox::shown),
            objects,
            rows,
            mailable,
            variants,
            blank,
            fell_back: crate::letters::fell_back(command, &fell_back),
            skipped,
            holds: (enough == Mailable::TooFew || lacks_canary || holds_all).then(|| {
                let share = (enough == Mailable::TooFew).then(|| counted.share("", "are", settings.skipped_share_max));
                let lacking = lacks_canary.then(|| "there is no canary".to_owned());
                let all = holds_all.then(|| canary_of_all(mailable));
                let then = if lacks_canary || holds_all { ", which sends to all at once" } else { "" };
                format!(
                    "{}: the broadcast will hold before its first send, until `issei approve {} --reason \"…\"`{then}",
                    share.into_iter().chain(lacking).chain(all).collect::<Vec<_>>().join(", and "),
                    command.broadcast_id
                )
            }),
            agreement,
            canary,
            canary_told,
            repeats,
            max_recipients: command.max_recipients.get(),
            recipients_a_second: rate,
            quota_left_today: left,
            seconds_at_least: seconds,
            waits_until,
            done_at,
            ramp,
            begins: waits_until.map(|until| schedule.told(until)),
            done: done_at.map(|done_at| schedule.told(done_at)),
            not_after: command.not_after,
            effective_at: command.effective_at,
            cost_usd: command.other_provider().is_none().then_some(number(mailable) / 1000.0 * DOLLARS_PER_THOUSAND),
            provider: command.other_provider().cloned(),
            known_already,
            letters,
            findings: stored.into_iter().map(|stored| Seen::of(stored.finding, !known_already)).collect(),
            refused: Vec::new(),
        };
        let looked = looked(parts, command, known_already).await;
        forecast.findings.extend(looked.findings);
        // Once it is taken as well: whoever is held up by it asks here who they are.
        forecast.refused.extend(sent_before.map(|before| before.to_string()));
        // What has been sent before is the same broadcast, and sending it again changes nothing.
        if !known_already {
            forecast.refused.extend(forecast.objections(parts, command, enough).await?);
            forecast.refused.extend(looked.refused);
            forecast.refused.extend(against(parts, command).await?);
        }
        Ok(forecast)
    }

    /// What the producer would refuse, and what can't come to a good end.
    async fn objections(&self, parts: &Parts, command: &BroadcastCommand, enough: Mailable) -> anyhow::Result<Vec<String>> {
        let Self { audience, rows, mailable, max_recipients, .. } = self;
        let mut refused = Vec::new();
        if enough == Mailable::Nobody {
            refused.push(if *rows == 0 {
                let (why, mend) = no_rows(audience, self.repeats.left_out());
                format!("{why}; {mend}")
            } else {
                format!("nobody of the {rows} rows of the audience `{audience}` can be mailed; correct the rows or the audience")
            });
        }
        if mailable > max_recipients {
            refused.push(format!(
                "the audience `{audience}` has {mailable} rows that can be mailed, more than max_recipients ({max_recipients}); the producer would stop the broadcast before its first send; raise max_recipients if all of them are meant"
            ));
        }
        // Nothing of a mail whose template is not there, or lacks data, comes to anybody.
        refused.extend(self.findings.iter().filter_map(Seen::against));
        refused.extend(self.too_slow(parts.clock.wall()));
        refused.extend(too_late(command, parts.clock.wall(), self.waits_until, self.done_at));
        if parts.settings.require_rehearsal
            && let Some(why) = parts.ledger().lacks_rehearsal(VERSION, &parts.settings.digest(), self.provider.as_ref(), *mailable).await?
        {
            refused.push(format!("require_rehearsal is on, and the producer would refuse this: {why}"));
        }
        Ok(refused)
    }

    /// Why not everybody can be sent to before `not_after`.
    fn too_slow(&self, now: Timestamp) -> Option<String> {
        let seconds = self.seconds_at_least.filter(|_| self.done_at.is_none())?;
        let ramp = if self.ramp.is_empty() { "" } else { ", its ramp is slower" };
        let waits = self.begins.as_ref().map_or_else(String::new, |begins| format!(", it begins {begins}"));
        Some(format!(
            "{} recipients take {seconds} s at {} a second{ramp}{waits}, and not_after is {}, in {} s; send earlier, set a later not_after or a longer send_window, or ask AWS for a higher rate",
            self.mailable,
            self.recipients_a_second.unwrap_or_default(),
            self.not_after,
            self.not_after.duration_since(now).as_secs()
        ))
    }

    pub(super) fn print(&self, command: &BroadcastCommand) {
        say(&format!("broadcast      {}", self.broadcast_id));
        print_sender(command);
        say(&format!("audience       {} ({} rows now)", self.audience, self.rows));
        if let Some(objects) = &self.objects {
            say(&format!("read from      {objects}"));
        }
        say(&format!("to be mailed   {}", self.mailable));
        if !self.variants.is_empty() {
            let counted: Vec<String> = self.variants.iter().map(|(name, recipients)| format!("{recipients} {name}")).collect();
            say(&format!("variants       {}", counted.join(", ")));
        }
        if let Some(told) = &self.fell_back {
            say(&format!("fallback       {told}"));
        }
        BlankColumn::print(&self.blank);
        Skipped::print(&self.skipped);
        if let Some(canary) = self.canary.filter(|canary| *canary < self.mailable) {
            say(&format!("canary         {canary} of them first, and the others once they are approved"));
        }
        if let Some(told) = &self.canary_told {
            say(&format!("warning        {told}"));
        }
        if let Some(why) = &self.agreement {
            say(&format!("agreement      {why}"));
        }
        if let Some(why) = &self.holds {
            say(&format!("warning        {why}"));
        }
        self.repeats.print();
        say(&format!("budget         {} recipients at most", self.max_recipients));
        say(&match self.seconds_at_least.zip(self.recipients_a_second) {
            Some((seconds, rate)) => {
                format!("time           {seconds} s at least, at {rate} recipients a second; until {}", self.not_after)
            }
            None => "time           not known: SES does not tell the account's rate".to_owned(),
        });
        if let Some(begins) = &self.begins {
            say(&format!("waits          until {begins}"));
        }
        if !self.ramp.is_empty() {
            let hours: Vec<String> = self.ramp.iter().map(u64::to_string).collect();
            say(&format!("ramp           {} recipients at most in its first hours of sending", hours.join(", ")));
        }
        if let Some(done) = &self.done {
            say(&format!("done           {done} at the earliest"));
        }
        if let Some(effective_at) = self.effective_at {
            say(&format!("binds from     {effective_at}"));
        }
        match &self.provider {
            Some(provider) => say(&format!("provider       {provider}, which does not tell its quota")),
            None => {
                say(&format!(
                    "quota today    {}",
                    self.quota_left_today.map_or("no daily quota".to_owned(), |left| format!("{left} left"))
                ));
            }
        }
        if let Some(cost_usd) = self.cost_usd {
            say(&format!("cost           about {cost_usd:.2} USD"));
        }
        if self.known_already {
            say("note           this command has been sent before: sending it again changes nothing");
        }
        if self.quota_left_today.is_some_and(|left| left < self.mailable) {
            say("warning        today's quota is less than those to be mailed: the broadcast will pause when it is used up");
        }
        say("");
        self.findings.iter().for_each(Seen::show);
        print(&self.letters);
    }
}

/// How fast a command is sent at so many a second, in chunks as its producer cuts them.
pub(crate) fn pace(command: &BroadcastCommand, recipients_a_second: f64, chunk_size: u32) -> Pace {
    let a_second = u32::try_from(whole(recipients_a_second).max(1)).unwrap_or(u32::MAX);
    let first_hour = command.ramp.map_or(u32::MAX, |ramp| u32::try_from(ramp.first_hour.get()).unwrap_or(u32::MAX));
    Pace { recipients_a_second, chunk: chunk_size.min(a_second).min(first_hour) }
}

/// What a stored template may name: the audience's columns, and the URL to unsubscribe where there is one.
pub(super) fn names(command: &BroadcastCommand, config: &AudienceConfig) -> Vec<String> {
    let url = command.unsubscribe.as_ref().map(|_| UNSUBSCRIBE_PLACEHOLDER.to_owned());
    config.columns.iter().cloned().chain(url).collect()
}

/// What was looked at, and whether it keeps the command from being sent.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    #[serde(flatten)]
    finding: Finding,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forbids_send: bool,
}

impl Seen {
    /// What decides forbids the send where it is broken. What can't be read forbids nothing.
    pub(super) fn of(finding: Finding, decides: bool) -> Self {
        Self { forbids_send: decides && finding.judgement == Judgement::Broken, finding }
    }

    /// A broken rule as a reason to refuse.
    pub(super) fn against(&self) -> Option<String> {
        let Finding { what, value, mend, .. } = &self.finding;
        self.forbids_send.then(|| format!("{what}: {value}; {}", mend.as_deref().unwrap_or_default()))
    }

    pub(super) fn show(&self) {
        show(&self.finding);
        if self.finding.judgement == Judgement::Broken {
            say(&format!("              send: {}", if self.forbids_send { "refused for this" } else { "not refused for this" }));
        }
    }
}

/// That it would say again what was said, or what a restore may have made the ledger forget. A copy and a rehearsal may.
pub(super) async fn against(parts: &Parts, command: &BroadcastCommand) -> anyhow::Result<Option<String>> {
    let ledger = parts.ledger();
    // A rehearsal's audience is made by issei.
    let is_made = AudienceConfig::named(command.audience.as_str(), &BTreeMap::new()).is_some();
    let repeated = match ledger.repeats(command).await? {
        None if !is_made && command.test_copy.is_none() => ledger.perhaps_said(command).await?,
        repeated => repeated,
    };
    Ok(repeated.map(|repeated| repeated.to_string()))
}

/// What was looked at, and what speaks against the send.
pub(super) struct Looked {
    pub(super) findings: Vec<Seen>,
    pub(super) refused: Vec<String>,
}

/// Looks at all that a send needs, as `doctor` does. Nothing forbids what has been sent before.
pub(super) async fn looked(parts: &Parts, command: &BroadcastCommand, known_already: bool) -> Looked {
    let (decides, tells) = (|finding| Seen::of(finding, !known_already), |finding| Seen::of(finding, false));
    // Nothing that SES tells is about another provider.
    let is_by_ses = command.other_provider().is_none();
    let (mut findings, mut without) = (Vec::new(), Vec::new());
    if is_by_ses {
        // Of the sender the first is whether SES lets it send at all.
        let mut sender = checks::sender(parts, &parts.ses(), &command.from).await.into_iter();
        findings.extend(sender.next().map(decides));
        findings.extend(sender.map(tells));
        without.push(decides(checks::may_send(parts).await));
    }
    without.push(decides(checks::is_whole(parts).await));
    without.push(decides(checks::is_open(parts).await));
    // With one of these nobody would be sent to: SES, or the producer, refuses every letter.
    let mut refused: Vec<String> = findings.iter().chain(&without).filter_map(Seen::against).collect();
    let producers = producers::look(parts, command).await;
    refused.extend(producers.refused);
    if is_by_ses {
        findings.extend(parts.ses().stated_account().await.into_iter().map(stated).map(tells));
    }
    findings.extend(without);
    if is_by_ses {
        findings.push(tells(stated(parts.ses().stated_events().await)));
    }
    findings.extend(checks::services(parts).await.into_iter().map(tells));
    findings.extend(producers.findings.into_iter().map(decides));
    findings.extend(checks::dead_letters(parts).await.into_iter().map(tells));
    Looked { findings, refused }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
pub(crate) fn number(rows: u64) -> f64 {
    rows as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
pub(crate) fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}
