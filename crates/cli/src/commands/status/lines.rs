//! A status on a screen, for people.

use issei_ledger::{HeldAudience, HeldUp, ReasonCode, Refused, SEEN_WITHIN, ServiceKind};
use jiff::Timestamp;

use super::{Agreed, Status};
use crate::commands::operate::short;
use crate::commands::send::left_out_told;
use crate::shortened::shortened;
use issei_ledger::BroadcastState;

/// That no service of a kind is alive. Those that waited for the ledger to be taken into use are not to be started once more.
pub(crate) fn none_alive(seen_by: Option<Timestamp>, until_then: &str) -> String {
    match seen_by {
        None => format!("NONE IS ALIVE: {until_then}"),
        Some(seen_by) => format!(
            "none has shown itself since the ledger was taken into use: those that run look again within {} s of that, until {seen_by:.0}",
            SEEN_WITHIN.as_secs()
        ),
    }
}

impl Agreed {
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

impl Status {
    /// Why so many are skipped.
    fn reasons(&self) -> String {
        let reasons: Vec<String> = self.skipped_by.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect();
        if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join(", ")) }
    }

    /// What does not go as it should with those who were asked for.
    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.turned_away > 0 {
            lines.push(format!(
                "NOT SENT      {} accepted, which the provider then did not send, for what it found in them (`Reject`)",
                self.turned_away
            ));
        }
        lines.extend(self.accepted_twice.iter().map(|what| format!("TWICE         {}", shortened(what))));
        lines.extend(self.asked_again.map(|times| format!("asked again   {times} times, under the same key")));
        if let Some(not_asked) = &self.not_asked {
            lines.push(format!("NOT ASKED     {}", not_asked.told().english));
            lines.push(format!("next step     {}", not_asked.next_step(&self.broadcast_id).english));
        }
        if let Some(left) = &self.doubt_left {
            lines.push(format!("STILL KNOWN   {}", left.told().english));
            lines.push(format!("next step     {}", left.next_step.english));
        }
        if self.state == BroadcastState::Running && self.accepted + self.rejected + self.spared == 0 {
            lines.extend(match (self.in_doubt > 0, self.permitted + self.went_back > 0) {
                (true, _) => Some("NO ANSWERS    nobody was accepted, and no request has its answer: see whether consumers reach the provider; `issei pause` meanwhile".to_owned()),
                // At its beginning a broadcast looks so for a moment.
                (false, true) => Some("NOBODY YET    permits are in hand or went back, and nobody was accepted, refused or left in doubt: where that stays so, the provider can't be reached, or says that all is too much; the consumers' log has its words".to_owned()),
                (false, false) => None,
            });
        }
        lines
    }

    /// Everything on a screen, for people.
    pub(super) fn lines(&self, speed: Option<u64>) -> Vec<String> {
        let counted =
            if self.exact { "counted" } else { "told by the consumers, a second old, and without what one that was killed did last" };
        let mut lines =
            vec![format!("broadcast     {}", self.broadcast_id), format!("state         {}: {}", self.shown, shortened(&self.reason))];
        // A watcher's terminal is cleared of what was said before.
        lines.extend(self.ledger_told.iter().map(|told| format!("ledger        {}", told.english)));
        lines.extend(self.reason_code.map(code_line));
        lines.extend(self.waits.iter().map(|until| format!("goes on       {until}")));
        lines.extend(self.ramp.iter().map(|ramp| format!("ramp          {}", ramp.english)));
        lines.extend(self.falls_behind.iter().map(|why| format!("TOO LATE      {}", why.english)));
        if !self.running_beside.is_empty() {
            let beside: Vec<String> = self.running_beside.iter().map(|id| format!("`{id}`")).collect();
            lines.push(format!(
                "its turn      its chunks are among {} messages of the chunks queue, with those of {}",
                self.waiting_messages,
                beside.join(", ")
            ));
        }
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
            format!("spared        {}, on the suppression list since the audience was frozen", self.spared),
            format!("in doubt      {}", self.in_doubt),
            format!("retryable     {}", self.retryable.map_or("known with --exact".to_owned(), |retryable| retryable.to_string())),
            format!("chunks        {} of {} settled", self.settled_chunks, self.chunks),
        ]);
        lines.extend(self.warnings());
        lines.push(format!("provider      {}", self.provider.clone().unwrap_or_default()));
        if self.forgotten > 0 {
            lines.insert(3, format!("forgotten     {} entries since", self.forgotten));
        }
        if let Some(HeldAudience { repeated_addresses, variants, fell_back, .. }) = &self.held_audience {
            if !variants.is_empty() {
                let counted: Vec<String> = variants.iter().map(|(name, recipients)| format!("{recipients} {name}")).collect();
                let fallback = if *fell_back == 0 {
                    String::new()
                } else {
                    format!("; {fell_back} of these get the fallback, since no variant is named as their value is: see the letters")
                };
                lines.insert(3, format!("variants      {}{fallback}", counted.join(", ")));
            }
            let stand = if *repeated_addresses == 1 { "address stands" } else { "addresses stand" };
            lines.insert(3, format!("repeated      {repeated_addresses} {stand} under several keys"));
        }
        if let Some(forecast) = &self.if_approved {
            lines.insert(3, format!("forecast      {forecast}"));
        }
        if let Some(terms) = &self.terms {
            lines.insert(3, format!("terms         {terms}"));
        }
        if let Some(trimmed) = self.trimmed_addresses.filter(|trimmed| *trimmed > 0) {
            let had = if trimmed == 1 { "address had" } else { "addresses had" };
            lines.insert(3, format!("trimmed       {trimmed} {had} invisible white space around"));
        }
        lines.extend(self.left_out.map(|left_out| format!("left out      {}", left_out_told(left_out))));
        lines.extend(self.read_from.as_ref().map(|objects| format!("read from     {}", objects.told().english)));
        if self.state == BroadcastState::Holding && self.agreement.as_ref().is_none_or(|agreed| agreed.missing == 0) {
            lines.insert(2, format!("to let it go  issei approve {} --reason \"…\"", self.broadcast_id));
        }
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
            let lacks = run.lacks.iter().map(|name| format!("; NOT CONFIGURED for the provider {name}, or without its key, so it sends nothing of it: add [providers.{name}] there, set the variable that its `key` names, and start it again"));
            format!("{:<14}{state}, seen {} s ago: {}{}", run.service.as_str(), run.seen_s_ago, run.actor, lacks.collect::<String>())
        }));
        if self.queues.values().any(|depths| depths.dead_letters > 0) {
            lines.push("dead letters  `issei dead-letters` shows who moved each, why, and what is to be done with it".to_owned());
        }
        // One that is called only when there are messages is not to be seen while there are none.
        let waits = self.waits.is_none() && self.queues.get("chunks").is_none_or(|depths| depths.visible > 0);
        if waits && !self.services.iter().any(|run| run.alive && run.service == ServiceKind::Consumer) && !self.state.is_over() {
            lines.push(format!("consumer      {}", none_alive(self.seen_by, "nothing is sent until one is started")));
        }
        let commands_wait = self.queues.get("commands").is_some_and(|depths| depths.visible > 0);
        let is_frozen = self.state != BroadcastState::Enumerating;
        if commands_wait && !is_frozen && !self.services.iter().any(|run| run.alive && run.service == ServiceKind::Producer) {
            lines.push(format!("producer      {}", none_alive(self.seen_by, "the audience is not frozen until one is started")));
        }
        if let Some(quota) = self.quota.as_ref().filter(|_| !self.state.is_over()) {
            lines.push(format!(
                "allowed       {} a second by the account; {} of {} used in 24 hours",
                quota.recipients_a_second, quota.sent_in_24_hours, quota.recipients_a_day
            ));
        }
        if let Some(speed) = speed.filter(|speed| *speed > 0) {
            let left = self.recipients.saturating_sub(self.accepted + self.rejected + self.spared + self.in_doubt);
            lines.push(format!("rate          {speed} a second, lately"));
            // How long a ramp takes is no matter of the last minute's rate.
            lines.extend((left > 0 && self.ramp.is_none()).then(|| format!("time left     {}", in_words(left.div_ceil(speed)))));
        }
        lines
    }
}

/// A code, and where to read what to do.
pub(crate) fn code_line(code: ReasonCode) -> String {
    format!("code          {code}: {}", code.page())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_drawn_and_a_time_is_said() {
        assert_eq!(bar(50, 100), "[##########..........]");
        assert_eq!((bar(0, 0), bar(7, 5)), (format!("[{}]", ".".repeat(20)), format!("[{}]", "#".repeat(20))));
        assert_eq!([59, 61, 7_260].map(in_words), ["59 s", "1 min 1 s", "2 h 1 min"]);
    }
}
