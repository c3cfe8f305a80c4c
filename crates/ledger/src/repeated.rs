//! Whether a command would say again what was said to its audience, or, for whom a broadcast has missed, what was said to them
//! since it was looked who they are.
//!
//! What this must never do: let what has mailed somebody, or may yet, pass for what has mailed nobody.

use std::fmt;

use issei_schema::{BroadcastCommand, BroadcastId, Content};
use jiff::{SignedDuration, Timestamp};

use crate::resent::{MissedBy, missed_by};
use crate::said::{REGISTERED_FOR, Saying, Sayings};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError};

/// For so long the same is said to the same audience once, from the last moment at which somebody may have been told.
const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What can say nothing any more so soon after its registration counts from that, so that what is said each month at the same hour
/// is no repeat.
const AT_ONCE: SignedDuration = SignedDuration::from_hours(24);

/// How far the clocks of two machines may be apart that both write to DynamoDB: a request whose time is more than five minutes from
/// its own it refuses (AWS general reference, "Elements of an AWS API request signature").
pub const SKEW: SignedDuration = SignedDuration::from_mins(15);

/// So many broadcasts are followed, each of which was made for whom the one before had missed.
const RESENT_MAX: usize = 20;

/// What speaks against a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// Another broadcast says the same to the same audience.
    Said(SaidBy),
    /// It is for whom another has missed, and something was said to them since it was looked who they are.
    SaidSince { of: BroadcastId, id: BroadcastId, told: Option<SaidBy> },
    /// It is for whom another has missed, by its own word alone.
    NotNoted { of: BroadcastId, noted: Option<BroadcastId> },
    /// It is for whom another has missed, and whom that has mailed the ledger may have forgotten.
    Forgotten { of: BroadcastId, restored_at: Timestamp },
    /// A command of this id was refused, since a restore may have made the ledger forget that it was carried out.
    OlderThanRestore { id: BroadcastId, refused_at: Timestamp },
    /// Whatever was said to anybody between a backup and then the ledger may have forgotten, for so long as that would count.
    PerhapsSaid { restored_at: Timestamp, until: Timestamp },
}

/// A broadcast that says the same, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidBy {
    pub broadcast_id: BroadcastId,
    what: &'static str,
    at: Timestamp,
    how_far: String,
}

impl fmt::Display for SaidBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broadcast_id, at, how_far, .. } = self;
        write!(f, "the broadcast `{broadcast_id}` of {at:.0}, {how_far}")
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = "if all are to get it once more, say why: \"again\": \"REASON\" in the command, or `issei send --again REASON`";
        match self {
            Self::Said(told) => {
                write!(f, "{} is said to this audience by {told}; nobody is mailed for this command; {why}", told.what)
            }
            Self::SaidSince { of, id, told } => {
                let by = told.as_ref().map_or_else(String::new, |told| format!(", last by {told}"));
                write!(
                    f,
                    "the same was said since its files were made to those whom `{of}` has missed{by}, or they were made anew; nobody is mailed for this command; `issei resend {of} --as {id}` makes files for whoever is missed now"
                )
            }
            Self::NotNoted { of, noted } => {
                let noted = noted.as_ref().map_or_else(|| "none".to_owned(), |noted| format!("`{noted}`"));
                write!(
                    f,
                    "field `again`: it is for those whom `{of}` has missed, by what `issei resend` writes, and the broadcast that the ledger has noted for them is {noted}; nobody is mailed for this command; `issei resend {of} --as NEW_ID` makes the files of another, and if all of this audience are to get it, say in other words why"
                )
            }
            Self::OlderThanRestore { id, refused_at } => {
                write!(
                    f,
                    "a command of the id `{id}` was refused at {refused_at:.0}, since it was sent before the restored ledger was taken into use: whether it was carried out before the restore the ledger has forgotten; nobody is mailed for this command; look for the tag broadcast={id} in the provider's own records; a reason that it bore already is none; if nothing of it was sent, or {why}"
                )
            }
            Self::PerhapsSaid { restored_at, until } => {
                write!(
                    f,
                    "the ledger was restored, and taken into use at {restored_at:.0}: which broadcasts there were between the backup and then it has forgotten, so whether the same was said to this audience nobody knows, until {until:.0}; `issei dead-letters commands` shows what came again since, and the provider's own records what was sent; if this was surely not sent, or {why}"
                )
            }
            Self::Forgotten { of, restored_at } => {
                write!(
                    f,
                    "whom `{of}` has missed nobody knows: the ledger was restored, and taken into use at {restored_at:.0}, and has forgotten whom it mailed between the backup and then; nobody is mailed for this command; {why}"
                )
            }
        }
    }
}

/// What a broadcast means for whoever would say the same once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It has mailed nobody, and never will.
    Nobody,
    /// It has mailed somebody.
    Somebody,
    /// It may have mailed somebody, or may yet.
    Perhaps,
}

impl Reach {
    fn of(broadcast: &Broadcast) -> Self {
        let is_ended = matches!(broadcast.broadcast_state, BroadcastState::Stopping | BroadcastState::Stopped);
        match broadcast.totals {
            // Without a permit nothing is sent, and none is granted any more.
            _ if is_ended && broadcast.grant_count == 0 => Self::Nobody,
            Some(totals) if broadcast.broadcast_state.is_over() && totals.accepted > 0 => Self::Somebody,
            Some(totals) if broadcast.broadcast_state.is_over() && totals.in_doubt == 0 => Self::Nobody,
            _ => Self::Perhaps,
        }
    }
}

impl Broadcast {
    /// The last moment until now at which it may have told anybody: nobody is told after its end, nor after its time.
    fn told_until(&self, now: Timestamp) -> Timestamp {
        let ended = if self.broadcast_state.is_over() { self.last_step().map_or(now, |step| step.at) } else { now };
        let until = ended.min(self.not_after);
        if until.duration_since(self.created_at) < AT_ONCE { self.created_at } else { until }
    }
}

impl Ledger {
    /// What speaks against this command, as its registration judges it; nothing where it says something new, or says why not.
    pub async fn repeats(&self, command: &BroadcastCommand) -> Result<Option<Repeated>, LedgerError> {
        let is_restored = self.opened_after_restore().await?.is_some();
        if command.again.is_some() && missed_by(command).is_none() && !is_restored {
            return Ok(None);
        }
        self.against(&self.said(command).await?, command, is_restored).await
    }

    /// Whether the same may have been said in what a restore has made the ledger forget, of which it can't tell, unlike a person: for a
    /// command that somebody sends by hand, beside what speaks against it anyway.
    pub async fn perhaps_said(&self, command: &BroadcastCommand) -> Result<Option<Repeated>, LedgerError> {
        if command.again.is_some() {
            return Ok(None);
        }
        let Some(restored_at) = self.restored_at().await? else { return Ok(None) };
        let until = restored_at.saturating_add(COUNTS_FOR).unwrap_or(Timestamp::MAX);
        Ok((self.clock.wall() < until).then_some(Repeated::PerhapsSaid { restored_at, until }))
    }

    /// `is_restored` says that a ledger that was restored has been taken into use.
    pub(crate) async fn against(
        &self,
        said: &Sayings,
        command: &BroadcastCommand,
        is_restored: bool,
    ) -> Result<Option<Repeated>, LedgerError> {
        match missed_by(command) {
            Some(of) => self.against_resend(said, of, command).await,
            None if command.again.is_some() => {
                if is_restored {
                    self.against_older(command).await
                } else {
                    Ok(None)
                }
            }
            None => match self.last_that_counts(said, command, None).await? {
                Some(saying) => Ok(Some(Repeated::Said(self.said_by(saying, command).await?))),
                None if is_restored => self.against_older(command).await,
                None => Ok(None),
            },
        }
    }

    /// The same command, or another of its id, came from before a restore. Once more it would look as if it were the first.
    async fn against_older(&self, command: &BroadcastCommand) -> Result<Option<Repeated>, LedgerError> {
        let id = &command.broadcast_id;
        let refused = self.refused(id).await?.filter(|refused| refused.speaks_against(command));
        Ok(refused.map(|refused| Repeated::OlderThanRestore { id: id.clone(), refused_at: refused.refused_at }))
    }

    async fn against_resend(
        &self,
        said: &Sayings,
        missed_by: MissedBy,
        command: &BroadcastCommand,
    ) -> Result<Option<Repeated>, LedgerError> {
        let (MissedBy { of, look }, id) = (missed_by, &command.broadcast_id);
        let found = self.find_broadcast(&of).await?;
        let Some(missed) =
            found.as_ref().filter(|missed| missed.resent_as.as_ref() == Some(id) && command.audience.as_str() == id.as_str())
        else {
            let noted = found.and_then(|missed| missed.resent_as);
            return Ok(Some(Repeated::NotNoted { of, noted }));
        };
        if let Some(restored_at) = self.may_have_forgotten(missed).await? {
            return Ok(Some(Repeated::Forgotten { of, restored_at }));
        }
        let since = match (&missed.resent_look, missed.resent_looked_at) {
            (Some(looked), Some(at)) if look.as_ref() == Some(looked) => {
                let is_since = |saying: &&Saying| saying.at.saturating_add(SKEW).is_ok_and(|surely_before| surely_before >= at);
                said.but(id).into_iter().find(|saying| saying.broadcast_id != of && is_since(saying) && !said.is_as_looked(looked))
            }
            // Its files are of another look than the last.
            (Some(_), _) => return Ok(Some(Repeated::SaidSince { of, id: id.clone(), told: None })),
            // An older build has noted it, and tells of no look.
            (None, _) => self.last_that_counts(said, command, Some(&of)).await?,
        };
        Ok(match since {
            Some(saying) => Some(Repeated::SaidSince { of, id: id.clone(), told: Some(self.said_by(saying, command).await?) }),
            None => None,
        })
    }

    /// Of those that say the same the last, leaving out what is older, and what mailed nobody.
    async fn last_that_counts<'a>(
        &self,
        said: &'a Sayings,
        command: &BroadcastCommand,
        but: Option<&BroadcastId>,
    ) -> Result<Option<&'a Saying>, LedgerError> {
        let (now, mut restored) = (self.clock.wall(), None);
        for saying in said.but(&command.broadcast_id).into_iter().filter(|saying| Some(&saying.broadcast_id) != but) {
            if now.duration_since(saying.at) >= REGISTERED_FOR {
                continue;
            }
            let (reach, told_until) = self.reach(&saying.broadcast_id, now).await?;
            if now.duration_since(told_until.unwrap_or(saying.at)) >= COUNTS_FOR {
                continue;
            }
            if reach != Reach::Nobody {
                return Ok(Some(saying));
            }
            // A ledger that was restored may have forgotten whom a broadcast of before has mailed.
            let restored = match restored {
                Some(known) => known,
                None => *restored.insert(self.opened_after_restore().await?),
            };
            let Some(opened) = restored else { continue };
            if self.find_broadcast(&saying.broadcast_id).await?.is_none_or(|broadcast| !broadcast.is_of_epoch(opened)) {
                return Ok(Some(saying));
            }
        }
        Ok(None)
    }

    /// How far a broadcast came, and until when it may have told anybody, with those that were made for whom it had missed, of which
    /// an older build has left no saying beside its own.
    pub(crate) async fn reach(&self, id: &BroadcastId, now: Timestamp) -> Result<(Reach, Option<Timestamp>), LedgerError> {
        let (mut id, mut found, mut until) = (id.clone(), None, None);
        for _ in 0..RESENT_MAX {
            let broadcast = match self.find_broadcast(&id).await {
                Ok(Some(broadcast)) => broadcast,
                // It was written together with what names it, so somebody took it away; or it is on its way.
                Ok(None) | Err(LedgerError::Corrupt { .. }) => break,
                Err(error) => return Err(error),
            };
            let reach = Reach::of(&broadcast);
            if reach != Reach::Nobody {
                found.get_or_insert(reach);
                until = until.max(Some(broadcast.told_until(now)));
            }
            match broadcast.resent_as {
                Some(resent_as) => id = resent_as,
                None => return Ok((found.unwrap_or(Reach::Nobody), until)),
            }
        }
        Ok((found.unwrap_or(Reach::Perhaps), until))
    }

    async fn said_by(&self, saying: &Saying, command: &BroadcastCommand) -> Result<SaidBy, LedgerError> {
        let what = match &command.content {
            Content::Template { .. } => "field `content.template`: the same template, or its subject,",
            Content::Inline(_) | Content::Variants(_) if saying.content == command.content.digest() => "field `content`: the same content",
            Content::Inline(_) => "field `content.inline.subject`: the same subject",
            Content::Variants(_) => "field `content.variants`: one of its subjects",
        };
        let how_far = match self.find_broadcast(&saying.broadcast_id).await {
            Ok(Some(broadcast)) => self.how_far(&broadcast).await?,
            Ok(None) | Err(LedgerError::Corrupt { .. }) => "which the ledger can't read any more".to_owned(),
            Err(error) => return Err(error),
        };
        Ok(SaidBy { broadcast_id: saying.broadcast_id.clone(), what, at: saying.at, how_far })
    }

    async fn how_far(&self, broadcast: &Broadcast) -> Result<String, LedgerError> {
        let Broadcast { broadcast_id, broadcast_state, recipients, .. } = broadcast;
        if *broadcast_state == BroadcastState::Enumerating {
            return Ok(format!("whose audience is being frozen (`issei stop {broadcast_id}` ends it before its first send)"));
        }
        let (accepted, in_doubt) = if let Some(totals) = broadcast.totals {
            (totals.accepted, totals.in_doubt)
        } else {
            let progress = self.progress(broadcast_id).await?;
            (progress.accepted.max(progress.proven), progress.in_doubt)
        };
        let doubt = if in_doubt == 0 { String::new() } else { format!(" and {in_doubt} in doubt") };
        let so_far = if broadcast_state.is_over() { "" } else { " so far" };
        let until = broadcast.told_until(self.clock.wall());
        let since = if broadcast_state.is_over() && until > broadcast.created_at { format!(" since {until:.0}") } else { String::new() };
        let resent = broadcast.resent_as.as_ref().map_or_else(String::new, |resent_as| {
            format!(", and `{resent_as}` was made for those whom it had missed (`issei resend {broadcast_id} --as {resent_as}` makes its files again)")
        });
        Ok(format!("which is {broadcast_state}{since} with {accepted} of {recipients} recipients accepted{doubt}{so_far}{resent}"))
    }
}
