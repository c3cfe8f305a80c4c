//! What is told of a broadcast that the ledger does not have: that its command was refused and why, or what
//! it may be waiting for.

use issei_assembly::{Parts, say};
use issei_ledger::{Closing, Refused, ServiceKind};
use issei_schema::BroadcastId;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::dead_letters::DeadCommands;
use super::status::{Depths, code_line, none_alive};
use crate::in_use;
use crate::shortened::shortened;

/// A refusal that is older may be of another try than the one that somebody waits for.
const FRESH: SignedDuration = SignedDuration::from_mins(1);

/// A broadcast that is not there.
#[derive(Debug, Serialize)]
pub(crate) struct Absent {
    broadcast_id: BroadcastId,
    state: &'static str,
    at: Timestamp,
    pub(crate) refused: Option<Refused>,
    /// Why no broadcast begins.
    closed: Option<Closing>,
    /// Of the commands queue.
    commands: Depths,
    dead_letter_queue: String,
    /// What lies there of it, once that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dead: Option<DeadCommands>,
    producer_alive: bool,
    /// Until when a producer that is there may not have seen that the ledger was taken into use.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_by: Option<Timestamp>,
    /// For how long a command is hidden that somebody has taken.
    visibility_s: u64,
}

impl Absent {
    pub(crate) async fn read(parts: &Parts, id: &BroadcastId) -> anyhow::Result<Self> {
        let (ledger, now) = (parts.ledger(), parts.clock.wall());
        let refused = ledger.refused(id).await?;
        let runs = ledger.heartbeats(now).await?;
        Ok(Self {
            broadcast_id: id.clone(),
            state: if refused.is_some() { "refused" } else { "absent" },
            at: now,
            refused,
            closed: ledger.closing().await?,
            commands: Depths::of(&parts.commands_queue().await?).await?,
            dead_letter_queue: issei_aws::Queue::dead_letter_name(&parts.settings.commands_queue),
            dead: None,
            producer_alive: runs.iter().any(|run| run.service == ServiceKind::Producer && run.is_alive(now)),
            seen_by: ledger.seen_by(now).await?,
            visibility_s: parts.settings.timing().visibility.as_secs(),
        })
    }

    /// Looks whether its command lies among the dead ones, where no refusal is noted: SQS moves there what nobody is done with, and a
    /// producer that can't reach the ledger notes nothing. Whoever may not read that queue is told the rest all the same.
    pub(crate) async fn look_among_the_dead(&self, parts: &Parts) -> Option<DeadCommands> {
        if self.refused.is_some() || self.commands.dead_letters == 0 {
            return None;
        }
        let looked = DeadCommands::of(parts, &self.broadcast_id).await;
        looked
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "whether its command lies among the dead ones can't be told"))
            .ok()
    }

    /// Its command lies among the dead ones, and nothing waits that may be the same once more.
    fn is_dead(&self) -> bool {
        self.dead.as_ref().is_some_and(|dead| !dead.of_it.is_empty()) && !self.waits()
    }

    /// Says whether its command may still be taken: it was not refused, or not just now, and something waits in
    /// the queue, which may be the same command once more.
    pub(crate) fn may_come(&self) -> bool {
        let Some(refused) = &self.refused else { return !self.is_dead() };
        self.at.duration_since(refused.refused_at) > FRESH && self.waits()
    }

    /// Why it may be not there yet, for whoever looks once; nothing where no command is in the queue.
    pub(crate) fn waiting(&self) -> Option<String> {
        let first = self.dead.as_ref().and_then(|dead| dead.of_it.first().zip(dead.next.first()));
        if let Some((why, next)) = first.filter(|_| !self.waits()) {
            return Some(format!(
                "there is no broadcast `{}`, and its command lies in {}, as `issei dead-letters commands` shows: {why}; {next}",
                self.broadcast_id, self.dead_letter_queue
            ));
        }
        let Depths { visible, in_flight, delayed, .. } = self.commands;
        let why = self.in_flight().map(|told| format!("; what is in flight, {told}")).unwrap_or_default();
        let nobody = match (self.producer_alive, self.seen_by) {
            (true, _) => String::new(),
            (false, None) => "; no producer is alive, and none is taken until one is started".to_owned(),
            (false, seen_by) => format!("; of producers {}", none_alive(seen_by, "")),
        };
        self.waits().then(|| {
            let id = &self.broadcast_id;
            format!(
                "there is no broadcast `{id}` yet, and its command may be among those in the queue ({visible} visible, {in_flight} in flight, {delayed} delayed){why}{nobody}; `issei status {id} --watch` waits for it"
            )
        })
    }

    /// What becomes of a command that somebody has taken.
    fn in_flight(&self) -> Option<String> {
        let told = "a producer is at, or had when it ended: then it is taken again by itself";
        (self.commands.in_flight > 0).then(|| format!("{told}, {} s after it was taken at the latest", self.visibility_s))
    }

    /// Says whether any command is in the queue.
    fn waits(&self) -> bool {
        self.commands.visible + self.commands.in_flight + self.commands.delayed > 0
    }

    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            in_use::say_document(self)?;
        } else {
            self.lines().iter().for_each(|line| say(line));
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("broadcast     {}", self.broadcast_id)];
        match &self.refused {
            Some(Refused { refused_at, refused_by, reason, code, .. }) => {
                lines.push(format!("state         refused: {}", shortened(reason)));
                lines.extend(code.map(code_line));
                lines.push(format!("refused       at {refused_at:.0} by {refused_by}; its command lies in {}", self.dead_letter_queue));
            }
            None if self.is_dead() => lines.push(format!("state         not there: its command lies in {}", self.dead_letter_queue)),
            None => lines.push("state         not there: its command has not been taken yet, or was never sent".to_owned()),
        }
        if let Some(DeadCommands { of_it, next, of_none }) = &self.dead {
            for (why, next) in of_it.iter().zip(next) {
                lines.extend([format!("dead letter   {}", shortened(why)), format!("next step     {next}")]);
            }
            lines.extend((*of_none > 0).then(|| {
                format!("dead letters  {of_none} whose id can't be read, any of which may be its command: `issei dead-letters commands` shows them")
            }));
        }
        if let Some(Closing { closed_at, closed_by, reason, .. }) = &self.closed {
            lines.push(format!(
                "CLOSED        for new broadcasts since {closed_at:.0} by {closed_by}: {}; `issei open` opens it",
                shortened(reason)
            ));
        }
        lines.push(self.commands.line("commands"));
        lines.extend(self.in_flight().map(|told| format!("in flight     {told}")));
        if !self.producer_alive && self.commands.visible + self.commands.in_flight > 0 {
            lines.push(format!("producer      {}", none_alive(self.seen_by, "no command is taken until one is started")));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_told_of_a_fresh_refusal_and_not_sent_away_by_an_old_one_while_a_command_waits() {
        let at: Timestamp = "2026-11-26T09:00:00Z".parse().unwrap();
        let absent = |refused_s_ago: Option<i64>, visible| Absent {
            broadcast_id: "terms".parse().unwrap(),
            state: "",
            at,
            refused: refused_s_ago.map(|ago| Refused {
                broadcast_id: "terms".parse().unwrap(),
                refused_at: at - SignedDuration::from_secs(ago),
                refused_by: String::new(),
                reason: String::new(),
                code: None,
                older_than_restore: false,
                older_agains: Vec::new(),
            }),
            dead: None,
            closed: None,
            commands: Depths { visible, in_flight: 0, delayed: 0, dead_letters: 1 },
            dead_letter_queue: String::new(),
            producer_alive: true,
            seen_by: None,
            visibility_s: 200,
        };
        assert!(absent(None, 0).may_come() && absent(Some(61), 1).may_come());
        assert!(!absent(Some(61), 0).may_come() && !absent(Some(59), 1).may_come());
    }
}
