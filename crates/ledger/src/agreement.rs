//! Agreement: a broadcast that several persons must want goes to nobody before they do, each of them to these words, this
//! audience and what was found of it, and to nothing else.
//!
//! What this must never do: count somebody twice, count whoever asked for the broadcast as another than themselves, or
//! let an approval of something else pass for one of this.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use issei_schema::{Actor, Bilingual, BroadcastId, Identity, TemplateHash, both};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{n, s};
use crate::step::{Change, Step};
use crate::{AuditEntry, Broadcast, BroadcastState, Ledger, LedgerError, phrases};

/// The step of an approval after which others are needed still.
const APPROVAL: &str = phrases::APPROVAL_STEP.english;

/// How many must agree to a broadcast, and who has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Persons, whoever asked for it among them.
    pub persons: u32,
    /// It needs none where it has fewer recipients.
    #[serde(default)]
    pub from_recipients: u64,
    /// Who asked for it, as far as AWS says so: no approval of theirs is another's.
    #[serde(default)]
    pub requesters: Vec<Identity>,
    /// So many others must approve it: one fewer than `persons`, or as many, where somebody has asked for it whom
    /// nobody knows, who may then be one of them.
    pub others: u32,
    /// Who has approved it, in this order.
    #[serde(default)]
    pub approved_by: Vec<Identity>,
}

impl Agreement {
    /// How many must agree to what these have asked for, and perhaps somebody whom nobody knows.
    #[must_use]
    pub fn of(persons: u32, from_recipients: u64, requesters: Vec<Identity>, has_unknown: bool) -> Self {
        let is_known = !requesters.is_empty() && !has_unknown;
        Self { persons, from_recipients, requesters, others: persons - u32::from(is_known), approved_by: Vec::new() }
    }

    /// How many more must approve it.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.others.saturating_sub(u32::try_from(self.approved_by.len()).unwrap_or(u32::MAX))
    }

    /// Why somebody's approval is none; nothing where it is one.
    fn objection(&self, by: &Identity) -> Option<Bilingual> {
        if by.is_federated() {
            return Some(both!(
                "{by} is a federated user, whose name is chosen by whoever asks for its token, so that it proves no other person; approve as a user or as a session of a role",
                "{by} はフェデレーションユーザーで、名前はトークンを求める側が決めるため、別人であることを証明できません。ユーザーまたはロールのセッションとして承認してください"
            ));
        }
        if self.requesters.contains(by) {
            return Some(both!(
                "you ({by}) asked for it, and it needs the approval of {} other than you",
                "依頼したのはあなた({by})です。あなた以外の{}の承認が必要です",
                counted(self.missing())
            ));
        }
        let has_approved = self.approved_by.contains(by);
        has_approved.then(|| {
            both!(
                "you ({by}) have approved it already, and it needs the approval of {} more",
                "あなた({by})はすでに承認しています。あと{}の承認が必要です",
                counted(self.missing())
            )
        })
    }

    /// For people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { persons, requesters, others, approved_by, .. } = self;
        let of = |names: &[Identity]| names.iter().map(Identity::as_str).collect::<Vec<_>>().join(", ");
        // What has been done need not be done any more.
        let must = if self.missing() == 0 { both!("had to", "必要でした") } else { both!("must", "必要です") };
        let who = match requesters.as_slice() {
            [] => both!(
                "nobody knows who asked for it, so that {0} {1} approve it",
                "依頼者が分からないため、{0}の承認が{1}",
                counted(*others),
                must
            ),
            some if *others < *persons => both!(
                "{0} asked for it, and {1} {2} approve it",
                "依頼者は {0} で、ほかに{1}の承認が{2}",
                of(some),
                others_counted(*others),
                must
            ),
            some => both!(
                "{0} and somebody unknown asked for it, so that {1} {2} approve it",
                "依頼者は {0} と不明な人で、ほかに{1}の承認が{2}",
                of(some),
                others_counted(*others),
                must
            ),
        };
        let approved = match approved_by.as_slice() {
            [] => Bilingual::default(),
            some => both!("; approved by {}", "。承認済み: {}", of(some)),
        };
        both!("{persons} persons {} agree to it: {}{}", "{persons}人の合意が{}: {}{}", must, who, approved)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().english)
    }
}

fn others_counted(persons: u32) -> Bilingual {
    if persons == 1 { both!("1 other person", "1人") } else { both!("{persons} other persons", "{persons}人") }
}

fn counted(persons: u32) -> Bilingual {
    if persons == 1 { both!("1 person", "1人") } else { both!("{persons} persons", "{persons}人") }
}

/// What somebody agrees to, as it was frozen. None of it changes afterwards; whoever wants anything else sends another
/// command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Of all that the command says.
    pub command_hash: String,
    pub recipients: u64,
    pub skipped: u64,
    /// SHA-256 in hexadecimal over these, the hash of the template, the head of the chain of frozen pages, the skipped rows
    /// by reason, the addresses that stand under several keys, the forecast, and all that decides when, how fast and to how
    /// many it is sent, as the broadcast itself has it.
    pub digest: String,
    /// The same as builds made it that covered the last by the command's hash alone.
    #[serde(skip)]
    earlier: String,
}

impl Subject {
    /// How an entry of the audit trail begins in which somebody agrees to it.
    fn agreed_by(&self, by: &Identity, digest: &str) -> String {
        let Self { command_hash, recipients, skipped, .. } = self;
        phrases::AGREES.with(&[by, &digest, command_hash, recipients, skipped])
    }

    /// Who agrees to it in an entry of the audit trail; nothing where that is nobody, or to something else.
    #[must_use]
    pub fn approver(&self, entry: &AuditEntry) -> Option<Identity> {
        let (by, _) = entry.reason.split_once(" agrees to ")?;
        let by = by.parse::<Identity>().ok()?;
        // An approval that an earlier build took down is one of the same: its digest covers the command.
        let is_of = |digest| entry.reason.strip_prefix(&self.agreed_by(&by, digest)).is_some_and(|rest| rest.starts_with("; "));
        [&self.digest, &self.earlier].into_iter().any(|digest| is_of(digest)).then_some(by)
    }
}

/// An approval that somebody wants to give.
pub struct Approval<'a> {
    /// Who gives it, as STS says.
    pub by: &'a Identity,
    /// By the name that the audit trail has for them.
    pub actor: &'a Actor,
    pub reason: &'a str,
    /// The digest of what they have seen.
    pub agreed: &'a str,
}

impl Broadcast {
    /// What whoever approves it agrees to.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let (recipients, skipped) = (self.recipients.to_string(), self.skipped.to_string());
        let repeated = self.held_audience.as_ref().map_or(String::new(), |held| held.repeated_addresses.to_string());
        let by = self.skipped_by.iter().map(|(reason, rows)| format!("{rows} {reason}")).collect::<Vec<_>>().join(",");
        let template = self.template_hash.as_ref().map_or("", TemplateHash::as_str);
        let audience = [&recipients, &skipped, &by, &repeated, &self.chain].map(String::as_str);
        let parts: Vec<&str> = [self.broadcast_id.as_str(), &self.command_hash, template].into_iter().chain(audience).collect();
        let (earlier, bounds) = (digest_of(&parts), self.bounds());
        let digest = digest_of(&[parts, vec![bounds.as_str()]].concat());
        Subject { command_hash: self.command_hash.clone(), recipients: self.recipients, skipped: self.skipped, digest, earlier }
    }

    /// Who carries it to whom, when, how fast, and to how many at most: what consumers and producers go by, and the forecast
    /// that was made of it. None of it changes once it is frozen. [`terms`](Self::terms) says it to people.
    fn bounds(&self) -> String {
        let Self {
            audience, provider, max_recipients, canary, canary_chunks, canary_approval, in_doubt, chunk_size, chunks, pages, ..
        } = self;
        let Self { not_before, send_window, not_after, effective_at, ramp, carried_by, held_audience, .. } = self;
        let forecast = held_audience.as_ref().and_then(|held| held.forecast);
        let bounds = (
            (audience, provider, carried_by, max_recipients, canary, canary_chunks, canary_approval, in_doubt),
            (chunk_size, chunks, pages, not_before, send_window, not_after, effective_at, ramp, forecast),
        );
        // Only maps with keys that are no strings can fail here, and there are none.
        serde_json::to_string(&bounds).unwrap_or_default()
    }

    /// The agreement that it waits for, and without which no permit is granted.
    #[must_use]
    pub fn awaited(&self) -> Option<&Agreement> {
        self.agreement.as_ref().filter(|_| self.awaits_agreement)
    }

    /// Says whether its audience, all of which is frozen, is so small that nobody else needs to agree.
    #[must_use]
    pub fn is_below_agreement(&self) -> bool {
        self.agreement.as_ref().is_some_and(|agreement| self.recipients < agreement.from_recipients)
    }
}

fn digest_of(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        // With its length, so that no two read the same.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

impl Ledger {
    /// Takes down that somebody agrees to a broadcast as they have seen it. With the last approval that it needs, it runs.
    ///
    /// It counts once, however often it is asked for on the way. Refused where somebody else must agree, or where what
    /// was seen is not what the ledger holds.
    pub async fn approve(&self, id: &BroadcastId, approval: Approval<'_>) -> Result<Broadcast, LedgerError> {
        let Approval { by, actor, reason, agreed } = approval;
        let token = self.dice.token();
        let mut current = self.broadcast(id).await?;
        loop {
            let refused = |reason: Bilingual| LedgerError::NotAgreed { id: id.to_string(), reason };
            let from = current.broadcast_state;
            let Some(agreement) = current.awaited() else {
                return Err(refused(both!("it is {from}, and waits for no agreement", "状態は `{from}` で、承認を待っていません")));
            };
            // An older build approves a broadcast by itself, and then it runs without a permit.
            if !matches!(from, BroadcastState::Holding | BroadcastState::Running) {
                return Err(LedgerError::Transition { id: id.to_string(), from, to: BroadcastState::Running });
            }
            let subject = current.subject();
            if subject.digest != agreed {
                return Err(refused(both!(
                    "what you agree to is {agreed}, and it is {}: look again at what it says, to whom",
                    "承認しようとした内容は {agreed} ですが、現在の内容は {} です。文面と宛先をもう一度確認してください",
                    subject.digest
                )));
            }
            if let Some(objection) = agreement.objection(by) {
                return Err(refused(objection));
            }
            let mut agreement = agreement.clone();
            agreement.approved_by.push(by.clone());
            let reason = format!("{}; {reason}", subject.agreed_by(by, &subject.digest));
            let item = serde_dynamo::to_attribute_value(&agreement).map_err(|error| LedgerError::corrupt("agreement", error))?;
            let mut values = vec![
                (":agreement", item),
                (":true", AttributeValue::Bool(true)),
                (":hash", s(&subject.command_hash)),
                (":recipients", n(subject.recipients)),
                (":skipped", n(subject.skipped)),
                (":chain", s(&current.chain)),
            ];
            let conditions = " AND awaits_agreement = :true AND command_hash = :hash AND recipients = :recipients AND skipped = :skipped \
                              AND chain = :chain";
            let written = if agreement.missing() == 0 && from == BroadcastState::Holding {
                let (allowed, withheld) = current.first_permits();
                values.extend([(":allowed", n(allowed)), (":withheld", n(withheld))]);
                let wanted = Step { to: BroadcastState::Running, actor, reason: &reason, code: None };
                let more = ", epoch = epoch + :one, remaining = :allowed, withheld = :withheld, agreement = :agreement \
                            REMOVE awaits_agreement";
                self.step(&current, &wanted, &token, more, conditions, values).await?
            } else {
                let done = if agreement.missing() == 0 { " REMOVE awaits_agreement" } else { "" };
                values.extend([(":from", s(from.as_str())), (":epoch", n(current.epoch))]);
                let change = Change {
                    sets: format!("agreement = :agreement{done}"),
                    conditions: format!("broadcast_state = :from AND epoch = :epoch{conditions}"),
                    values,
                    beside: None,
                };
                let entry = AuditEntry::new(self.clock.wall(), actor, APPROVAL.to_owned(), &reason);
                self.append(&current, entry, &token, &change).await?
            };
            match written {
                Ok(after) => return Ok(after),
                Err(now) => current = now,
            }
        }
    }
}

#[cfg(test)]
mod tests;
