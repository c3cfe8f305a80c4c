//! What was said to whom: for an audience and a subject, or a template stored in SES, the broadcasts that said it.
//! A registration reads these items, one for each subject of its variants, and replaces them in its own transaction unless
//! somebody else has since; so of two commands that say the same under two ids at once one is registered. A broadcast that is for
//! whom another has missed says it to the audience of the first of its line.
//!
//! What this must never do: forget, within its time, that something was said. Whether that matters is judged when somebody would
//! say it again (`repeated.rs`): what has mailed nobody may have been sent to all by another that was made for whom it had missed.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use issei_aws::AwsCall;
use issei_schema::{AudienceName, BroadcastCommand, BroadcastId, Content, limits};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Item, Key, n, read, s};
use crate::repeated::Reach;
use crate::{Ledger, LedgerError};

/// What was registered so long ago counts no more, whenever its time was over.
pub(crate) const REGISTERED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24 + limits::SCHEDULED_HOURS_MAX);

/// How much longer DynamoDB keeps the item, whatever clock has written it. Nothing goes by that: each
/// saying has its date.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(32 * 24 + limits::SCHEDULED_HOURS_MAX);

/// A transaction has a hundred actions at most (API reference, `TransactWriteItems`). Of more subjects the first count, in the
/// order of their bytes.
const SUBJECTS_MAX: usize = 80;

/// So many broadcasts of one subject are kept, each of less than 300 bytes: a transaction has 4 MB at most (API reference,
/// `TransactWriteItems`), and as many of these items as there are subjects.
const SAYINGS_MAX: usize = 120;

/// What was said of all that a command says.
pub(crate) struct Sayings(Vec<(Key, Said)>);

/// One item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Said {
    /// Of the registration that wrote it last, or of whoever has looked for a resend. Nothing where there is no item.
    #[serde(default)]
    written_by: Option<String>,
    /// In the order in which they were registered.
    #[serde(default)]
    by: Vec<Saying>,
}

/// One broadcast that says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saying {
    pub(crate) broadcast_id: BroadcastId,
    /// When it was registered.
    pub(crate) at: Timestamp,
    /// Digest of all that it says.
    pub(crate) content: String,
}

/// What was said when somebody began to look for whom a broadcast has missed.
pub struct Looked {
    said: Sayings,
    token: String,
    at: Timestamp,
}

impl Looked {
    /// What tells this look from another.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }
}

impl Ledger {
    pub(crate) async fn said(&self, command: &BroadcastCommand) -> Result<Sayings, LedgerError> {
        let first = self.first_of_line(command).await?;
        let mut all = Vec::new();
        let mut keys = places(&first.audience, &command.content);
        // Where all of a line stand, whatever of its words was mended.
        if first.broadcast_id != command.broadcast_id
            && let Some(of_the_first) = places(&first.audience, &first.content).into_iter().next().filter(|key| !keys.contains(key))
        {
            keys.push(of_the_first);
        }
        for key in keys {
            let said = self.get(key.clone()).await?.map(read).transpose()?.unwrap_or_default();
            all.push((key, said));
        }
        Ok(Sayings(all))
    }

    /// What was said until now to those to whom this command speaks.
    pub async fn looked(&self, command: &BroadcastCommand) -> Result<Looked, LedgerError> {
        let (token, at) = (self.dice.token(), self.clock.wall());
        Ok(Looked { said: self.said(command).await?, token, at })
    }

    /// Puts a token in the place of those that were seen, so that a registration under way reads once more what it has read. Says
    /// whether nothing was said since.
    pub(crate) async fn leave_token(&self, Looked { said: Sayings(seen), token, .. }: &Looked) -> Result<bool, LedgerError> {
        for (key, said) in seen {
            // Where there is no item a registration makes one, and is told by that.
            let Some(before) = &said.written_by else { continue };
            let touch = self.db.update_item().table_name(&self.table).set_key(Some(key.clone().into_item()));
            let touch =
                touch.update_expression("SET written_by = :token").condition_expression("written_by = :before OR written_by = :token");
            let touch = touch.expression_attribute_values(":token", s(token)).expression_attribute_values(":before", s(before));
            match touch.call().await {
                Ok(_) => {}
                Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
                    return Ok(false);
                }
                Err(error) => return Err(LedgerError::call("UpdateItem")(error)),
            }
        }
        Ok(true)
    }

    /// The writes that put a command beside what was said, unless somebody else has written there since.
    pub(crate) async fn saying(
        &self,
        Sayings(all): Sayings,
        command: &BroadcastCommand,
        at: Timestamp,
        token: &str,
    ) -> Result<Vec<TransactWriteItem>, LedgerError> {
        let mut writes = Vec::new();
        for (key, Said { written_by: before, by }) in all {
            let counts = |saying: &Saying| saying.broadcast_id != command.broadcast_id && at.duration_since(saying.at) < REGISTERED_FOR;
            let mut by = self.with_room(by.into_iter().filter(counts).collect(), at).await?;
            by.push(Saying { broadcast_id: command.broadcast_id.clone(), at, content: command.content.digest() });
            writes.push(self.put_said(key, before, Said { written_by: Some(token.to_owned()), by }, at)?);
        }
        Ok(writes)
    }

    /// Leaves room for one more: what has mailed nobody goes first.
    async fn with_room(&self, by: Vec<Saying>, at: Timestamp) -> Result<Vec<Saying>, LedgerError> {
        let mut too_many = (by.len() + 1).saturating_sub(SAYINGS_MAX);
        let mut kept = Vec::with_capacity(by.len());
        for saying in by {
            if too_many > 0 && self.reach(&saying.broadcast_id, at).await?.0 == Reach::Nobody {
                too_many -= 1;
            } else {
                kept.push(saying);
            }
        }
        Ok(kept.split_off(too_many.min(kept.len())))
    }

    fn put_said(&self, key: Key, before: Option<String>, after: Said, at: Timestamp) -> Result<TransactWriteItem, LedgerError> {
        let name = key.name();
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

    /// Whether nobody has written since whoever has this token has looked.
    pub(crate) fn is_as_looked(&self, token: &str) -> bool {
        self.0.iter().all(|(_, said)| said.written_by.as_deref().is_none_or(|written_by| written_by == token))
    }

    /// All of them but the command's own, the last first.
    pub(crate) fn but(&self, id: &BroadcastId) -> Vec<&Saying> {
        let mut all: Vec<&Saying> = self.0.iter().flat_map(|(_, said)| &said.by).filter(|saying| saying.broadcast_id != *id).collect();
        all.sort_by_key(|saying| std::cmp::Reverse(saying.at));
        let mut seen = BTreeSet::new();
        all.retain(|saying| seen.insert(&saying.broadcast_id));
        all
    }
}

/// Content that has the same subject lies in one place, and so does what is the same throughout. Variants lie in the place of
/// each of their subjects, and of all of them together, where builds before this one look for them.
fn places(audience: &AudienceName, content: &Content) -> Vec<Key> {
    let said = |what: &str| Key::said(audience, what);
    let of_subjects = |subjects: &str| said(&format!("subject#{}", sha256(subjects)));
    if let Content::Template { name, .. } = content {
        let subject = content.frozen().map(|template| of_subjects(&template.subject));
        return std::iter::once(said(&format!("template#{name}"))).chain(subject).collect();
    }
    // No subject holds a line's end.
    let subjects = content.subjects();
    let together = subjects.join("\n");
    let each: BTreeSet<&str> = subjects.into_iter().filter(|subject| *subject != together).collect();
    std::iter::once(together.as_str()).chain(each.into_iter().take(SUBJECTS_MAX)).map(of_subjects).collect()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
