//! What was said to whom: for an audience and a subject, or a template stored in SES, the broadcasts that said it.
//! A registration reads these items, one for each subject of its variants, and replaces them in its own transaction unless
//! somebody else has since; so of two commands that say the same under two ids at once one is registered.
//!
//! What this must never do: let what has mailed somebody, or may yet, pass for what has mailed nobody.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use issei_schema::{BroadcastCommand, BroadcastId, Content, limits};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Item, Key, n, read, s};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError};

/// For so long the same is said to the same audience once, from the last moment at which somebody may have been told.
const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What can say nothing any more so soon after its registration counts from that, so that what is said each month at the same hour
/// is no repeat.
const AT_ONCE: SignedDuration = SignedDuration::from_hours(24);

/// What was registered so long ago counts no more, whenever its time was over.
const REGISTERED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24 + limits::SCHEDULED_HOURS_MAX);

/// How much longer DynamoDB keeps the item, whatever clock has written it. Nothing goes by that: each
/// saying has its date.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(32 * 24 + limits::SCHEDULED_HOURS_MAX);

/// A transaction has a hundred actions at most (API reference, `TransactWriteItems`). Of more subjects the first count, in the
/// order of their bytes.
const SUBJECTS_MAX: usize = 80;

/// So many broadcasts are followed, each of which was made for whom the one before had missed.
const RESENT_MAX: usize = 20;

/// What was said of all that a command says.
pub(crate) struct Sayings(Vec<(Key, Said)>);

/// One item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Said {
    /// Of the registration that wrote it last. Nothing where there is no item.
    #[serde(default)]
    written_by: Option<String>,
    /// In the order in which they were registered.
    #[serde(default)]
    by: Vec<Saying>,
}

/// One broadcast that says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saying {
    broadcast_id: BroadcastId,
    /// When it was registered.
    at: Timestamp,
    /// Digest of all that it says.
    content: String,
}

/// Another broadcast that says the same to the same audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    pub broadcast_id: BroadcastId,
    what: &'static str,
    at: Timestamp,
    how_far: String,
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broadcast_id, what, at, how_far } = self;
        write!(
            f,
            "{what} is said to this audience by the broadcast `{broadcast_id}` of {at:.0}, {how_far}; nobody is mailed for this command; if all are to get it once more, say why: \"again\": \"REASON\" in the command, or `issei send --again REASON`"
        )
    }
}

impl Repeated {
    /// Which it is, of when, and how far it came.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { broadcast_id, at, how_far, .. } = self;
        format!("the broadcast `{broadcast_id}` of {at:.0}, {how_far}")
    }
}

/// What a broadcast means for whoever would say the same once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
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
    /// The broadcast that this command would repeat; nothing where it says something new, or says why not.
    pub async fn repeats(&self, command: &BroadcastCommand) -> Result<Option<Repeated>, LedgerError> {
        if command.again.is_some() {
            return Ok(None);
        }
        let said = self.counting(self.said(command).await?, command).await?;
        self.last_of(&said, command).await
    }

    pub(crate) async fn said(&self, command: &BroadcastCommand) -> Result<Sayings, LedgerError> {
        let mut all = Vec::new();
        for key in places(command) {
            let said = self.get(key.clone()).await?.map(read).transpose()?.unwrap_or_default();
            all.push((key, said));
        }
        Ok(Sayings(all))
    }

    /// Leaves out whatever does not count: what is older, what mailed nobody, and this broadcast itself. Of
    /// those that have mailed somebody for certain the last stands for all.
    pub(crate) async fn counting(&self, Sayings(all): Sayings, command: &BroadcastCommand) -> Result<Sayings, LedgerError> {
        let mut counting = Vec::new();
        for (key, said) in all {
            counting.push((key, self.counting_in(said, command).await?));
        }
        Ok(Sayings(counting))
    }

    async fn counting_in(&self, said: Said, command: &BroadcastCommand) -> Result<Said, LedgerError> {
        let (now, mut found) = (self.clock.wall(), Vec::new());
        for saying in said.by {
            if saying.broadcast_id == command.broadcast_id || now.duration_since(saying.at) >= REGISTERED_FOR {
                continue;
            }
            let (reach, told_until) = self.reach(&saying.broadcast_id, now).await?;
            if now.duration_since(told_until.unwrap_or(saying.at)) < COUNTS_FOR {
                found.push((saying, reach));
            }
        }
        // A ledger that was restored may have forgotten whom a broadcast of before has mailed.
        let is_any_nobody = found.iter().any(|(_, reach)| *reach == Reach::Nobody);
        let restored_at = if is_any_nobody { self.restored_at().await? } else { None };
        found.retain(|(saying, reach)| *reach != Reach::Nobody || restored_at.is_some_and(|restored_at| saying.at < restored_at));
        let last = found.iter().rposition(|(_, reach)| *reach == Reach::Somebody);
        let by = found.into_iter().enumerate().filter(|(at, (_, reach))| *reach != Reach::Somebody || Some(*at) == last);
        Ok(Said { written_by: said.written_by, by: by.map(|(_, (saying, _))| saying).collect() })
    }

    /// How far a broadcast came, and until when it may have told anybody, with those that were made for whom it had missed: they say
    /// the same to the same people, under audiences of their own.
    async fn reach(&self, id: &BroadcastId, now: Timestamp) -> Result<(Reach, Option<Timestamp>), LedgerError> {
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

    /// The broadcast that has the same content as this one for the same audience, and was registered after it; nothing where none
    /// has, or none that has mailed anybody or may yet. Whoever this one has missed may have it from that.
    pub async fn repeated_since(&self, command: &BroadcastCommand, registered_at: Timestamp) -> Result<Option<Repeated>, LedgerError> {
        let (Sayings(mut said), content) = (self.said(command).await?, command.content.digest());
        for (_, said) in &mut said {
            said.by.retain(|saying| saying.at >= registered_at && saying.content == content);
        }
        let since = self.counting(Sayings(said), command).await?;
        self.last_of(&since, command).await
    }

    /// Has whoever registers the same at this moment look once more: what they have read of it is as old as this.
    pub async fn look_again(&self, command: &BroadcastCommand) -> Result<(), LedgerError> {
        let token = self.dice.token();
        for key in places(command) {
            let touch = self.db.update_item().table_name(&self.table).set_key(Some(key.into_item()));
            let touch = touch.update_expression("SET written_by = :token").condition_expression("attribute_exists(pk)");
            match touch.expression_attribute_values(":token", s(&token)).send().await {
                Ok(_) => {}
                Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {}
                Err(error) => return Err(LedgerError::call("UpdateItem")(error)),
            }
        }
        Ok(())
    }

    /// The last of those that count, as it is told.
    pub(crate) async fn last_of(&self, Sayings(all): &Sayings, command: &BroadcastCommand) -> Result<Option<Repeated>, LedgerError> {
        match all.iter().flat_map(|(_, said)| &said.by).max_by_key(|saying| saying.at) {
            Some(saying) => Ok(Some(self.repeated(saying, command).await?)),
            None => Ok(None),
        }
    }

    async fn repeated(&self, saying: &Saying, command: &BroadcastCommand) -> Result<Repeated, LedgerError> {
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
        Ok(Repeated { broadcast_id: saying.broadcast_id.clone(), what, at: saying.at, how_far })
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

    /// The writes that put a command beside what was said, unless somebody else has written there since.
    pub(crate) fn saying(
        &self,
        Sayings(all): Sayings,
        command: &BroadcastCommand,
        at: Timestamp,
        token: &str,
    ) -> Result<Vec<TransactWriteItem>, LedgerError> {
        all.into_iter().map(|(key, said)| self.saying_in(key, said, command, at, token)).collect()
    }

    fn saying_in(
        &self,
        key: Key,
        said: Said,
        command: &BroadcastCommand,
        at: Timestamp,
        token: &str,
    ) -> Result<TransactWriteItem, LedgerError> {
        let name = key.name();
        let Said { written_by: before, mut by } = said;
        by.push(Saying { broadcast_id: command.broadcast_id.clone(), at, content: command.content.digest() });
        let after = Said { written_by: Some(token.to_owned()), by };
        let mut item: Item = serde_dynamo::to_item(&after).map_err(|error| LedgerError::corrupt(&name, error))?;
        item.extend(key.into_item());
        let expires = at.saturating_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        item.insert("expires_at".to_owned(), n(expires.as_second()));
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = match before {
            Some(before) => put.condition_expression("written_by = :before").expression_attribute_values(":before", s(before)),
            None => put.condition_expression("attribute_not_exists(pk)"),
        };
        put.build().map(|put| TransactWriteItem::builder().put(put).build()).map_err(|error| LedgerError::corrupt(name, error))
    }
}

impl Sayings {
    /// Which writes they come from.
    pub(crate) fn written_by(&self) -> Vec<Option<String>> {
        self.0.iter().map(|(_, said)| said.written_by.clone()).collect()
    }
}

/// Content that has the same subject lies in one place, and so does what is the same throughout. Variants lie in the place of
/// each of their subjects, and of all of them together, where builds before this one look for them.
fn places(command: &BroadcastCommand) -> Vec<Key> {
    let said = |what: &str| Key::said(&command.audience, what);
    let of_subjects = |subjects: &str| said(&format!("subject#{}", sha256(subjects)));
    if let Content::Template { name, .. } = &command.content {
        let subject = command.content.frozen().map(|template| of_subjects(&template.subject));
        return std::iter::once(said(&format!("template#{name}"))).chain(subject).collect();
    }
    // No subject holds a line's end.
    let subjects: Vec<&str> = command.content.words().into_iter().map(|(_, words)| words.subject.as_str()).collect();
    let together = subjects.join("\n");
    let each: BTreeSet<&str> = subjects.into_iter().filter(|subject| *subject != together).collect();
    std::iter::once(together.as_str()).chain(each.into_iter().take(SUBJECTS_MAX)).map(of_subjects).collect()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
