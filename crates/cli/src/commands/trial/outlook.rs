//! What a broadcast would be, by what it was in the simulation, for people and as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use issei_assembly::say;
use issei_producer::{AudienceConfig, Survey, no_rows};
use issei_schema::{BroadcastCommand, Opening, Pace, Ramped, VariantName};
use jiff::Timestamp;
use serde::Serialize;

use super::tally::Counted;
use crate::commands::send::{BlankColumn, DOLLARS_PER_THOUSAND, Repeats, Skipped, number, too_late, whole};
use crate::letters::{Letter, fell_back};

#[derive(Debug, Serialize)]
pub(super) struct Outlook {
    broadcast_id: String,
    audience: String,
    rows: u64,
    mailable: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variants: BTreeMap<VariantName, u64>,
    /// Those whose letters have nothing where a value should stand, by the column.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blank: Vec<BlankColumn>,
    /// Who gets the fallback's words, for want of a variant of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    fell_back: Option<String>,
    skipped: Vec<Skipped>,
    #[serde(flatten)]
    repeats: Repeats,
    max_recipients: u64,
    recipients_a_second: f64,
    seconds_at_least: u64,
    /// When everybody would be sent to at the earliest, if it were sent now; nothing where that is after `not_after`.
    done_at: Option<Timestamp>,
    not_after: Timestamp,
    /// The day from which what is announced binds.
    effective_at: Option<Timestamp>,
    /// Nothing where another provider than SES carries it, whose prices are not known here.
    cost_usd: Option<f64>,
    pub(super) letters: Vec<Letter>,
    /// What a real broadcast would heed, and this one did not.
    pub(super) passed_over: Vec<String>,
    /// Why `issei send` would refuse it.
    pub(super) refused: Vec<String>,
    /// Nothing where it was not simulated, since nobody or too many would be mailed.
    simulated: Option<Simulated>,
}

/// What happened.
#[derive(Debug, Serialize)]
struct Simulated {
    #[serde(flatten)]
    counted: Counted,
    elapsed_s: f64,
    inbox: Written,
    /// By whom and why, where somebody has ended it.
    stopped: Option<String>,
}

/// The folder, and how many letters there are in it.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub(super) directory: PathBuf,
    pub(super) page: PathBuf,
    pub(super) letters: usize,
}

impl Outlook {
    pub(super) fn of(
        command: &BroadcastCommand,
        config: &AudienceConfig,
        survey: Survey,
        letters: Vec<Letter>,
        pace: Pace,
        now: Timestamp,
    ) -> Self {
        let rate = pace.recipients_a_second;
        let seconds = whole((number(survey.mailable) / rate).ceil());
        let (schedule, ramped) = (command.schedule(), command.ramp.map(|ramp| Ramped { ramp, hour: None, granted: 0 }));
        let done_at = schedule.course(now, survey.mailable, pace, ramped).done_at;
        let begins = if let Opening::Waiting { until } = schedule.at(now) { Some(until) } else { None };
        Self {
            repeats: Repeats::of(&survey, config),
            broadcast_id: command.broadcast_id.to_string(),
            audience: command.audience.to_string(),
            rows: survey.rows,
            mailable: survey.mailable,
            blank: BlankColumn::all(&survey),
            fell_back: fell_back(command, &survey.fell_back),
            variants: survey.variants,
            skipped: Skipped::of(survey.skipped),
            max_recipients: command.max_recipients.get(),
            recipients_a_second: rate,
            seconds_at_least: seconds,
            done_at,
            effective_at: command.effective_at,
            refused: too_late(command, now, begins, done_at).into_iter().collect(),
            not_after: command.not_after,
            cost_usd: command.other_provider().is_none().then_some(number(survey.mailable) / 1000.0 * DOLLARS_PER_THOUSAND),
            letters,
            passed_over: Vec::new(),
            simulated: None,
        }
    }

    pub(super) fn mailable(&self) -> u64 {
        self.mailable
    }

    /// Why the producer would send to nobody.
    pub(super) fn ends_at_once(&self) -> Option<String> {
        let Self { audience, rows, mailable, max_recipients, .. } = self;
        if *rows == 0 {
            let (why, mend) = no_rows(audience, self.repeats.left_out());
            return Some(format!("{why}; {mend}"));
        }
        if *mailable == 0 {
            return Some(format!("nobody of the {rows} rows of the audience `{audience}` can be mailed; correct the rows or the audience"));
        }
        (mailable > max_recipients).then(|| {
            format!("{mailable} rows can be mailed, more than max_recipients ({max_recipients}): the producer would stop the broadcast before its first send; raise it if all of them are meant")
        })
    }

    pub(super) fn happened(&mut self, counted: Counted, took: Duration, inbox: Written, stopped: Option<String>) {
        self.simulated = Some(Simulated { counted, elapsed_s: took.as_secs_f64(), inbox, stopped });
    }

    /// Nobody twice and nobody left out, as many as were counted beforehand, all of them in time, and `send` would take it. One
    /// that was stopped shows nothing of those who were left.
    pub(super) fn is_good(&self) -> bool {
        let in_time = self.done_at.is_some() && self.refused.is_empty();
        self.simulated
            .as_ref()
            .filter(|_| in_time)
            .is_some_and(|Simulated { counted, .. }| counted.twice == 0 && counted.missed == 0 && counted.frozen == self.mailable)
    }

    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            say(&serde_json::to_string(self).unwrap_or_default());
            return;
        }
        say("\nThis is what it would be:\n");
        say(&format!("broadcast      {}", self.broadcast_id));
        say(&format!("audience       {} ({} rows)", self.audience, self.rows));
        say(&format!("to be mailed   {} ({} at most, by max_recipients)", self.mailable, self.max_recipients));
        if !self.variants.is_empty() {
            let counted: Vec<String> = self.variants.iter().map(|(name, recipients)| format!("{recipients} {name}")).collect();
            say(&format!("variants       {}", counted.join(", ")));
        }
        if let Some(told) = &self.fell_back {
            say(&format!("fallback       {told}"));
        }
        BlankColumn::print(&self.blank);
        Skipped::print(&self.skipped);
        self.repeats.print();
        let done = self.done_at.map_or_else(
            || format!("NOT IN TIME: not_after is {}", self.not_after),
            |done| format!("done at {done:.0} at the earliest, if it were sent now"),
        );
        say(&format!("time           {} s at least, at {} recipients a second; {done}", self.seconds_at_least, self.recipients_a_second));
        if let Some(effective_at) = self.effective_at {
            say(&format!("binds from     {effective_at}"));
        }
        if let Some(cost_usd) = self.cost_usd {
            say(&format!("cost           about {cost_usd:.2} USD"));
        }
        for (at, what) in self.passed_over.iter().enumerate() {
            say(&format!("{:<14} {what}", if at == 0 { "passed over" } else { "" }));
        }
        let Some(Simulated { counted, elapsed_s, stopped, .. }) = &self.simulated else { return };
        say(&format!("\nAs the simulated provider counted, in {elapsed_s:.1} s:\n"));
        if let Some(how) = stopped {
            say(&format!("stopped        {how}"));
        }
        say(&format!("letters        {} accepted", counted.accepted));
        say(&format!("twice          {}", counted.twice));
        let left = if stopped.is_some() { ", since it was stopped" } else { "" };
        say(&format!("missed         {}{left}", counted.missed));
        say(&in_doubt_line(counted.in_doubt));
        if counted.frozen != self.mailable && stopped.is_none() {
            say(&format!(
                "CHANGED        {} users were frozen, where {} were counted before: the table has changed meanwhile",
                counted.frozen, self.mailable
            ));
        }
    }

    /// Where the letters are.
    pub(super) fn ending(&self) -> String {
        let Some(Simulated { counted, inbox, .. }) = &self.simulated else { return String::new() };
        format!(
            "\ninbox          {}: {} of {} letters as .eml\npage           {}\nIt holds what your users would read, with their addresses; delete it when you have looked.",
            inbox.directory.display(),
            inbox.letters,
            counted.accepted,
            inbox.page.display()
        )
    }
}

/// Where nobody is, no answer was lost.
fn in_doubt_line(in_doubt: u64) -> String {
    let why = if in_doubt == 0 { "" } else { ": the answer was lost, and nobody is sent to twice for that" };
    format!("in doubt       {in_doubt}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_that_was_lost_is_told_only_where_somebody_is_in_doubt() {
        assert_eq!(in_doubt_line(0), "in doubt       0");
        assert!(in_doubt_line(2).starts_with("in doubt       2: the answer was lost"));
    }
}
