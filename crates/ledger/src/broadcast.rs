//! The broadcast item: state, budget, cursors and the end of the audit trail, and the lists of those that there are.
//!
//! What it must never do: change one. What takes it from one state to another is in `transition.rs`.

use std::collections::BTreeMap;

use issei_aws::AwsCall;
use issei_schema::{
    AudienceName, BroadcastCommand, BroadcastId, Canary, CanaryApproval, CarriedBy, InDoubtPolicy, MessageKey, ProviderName, Ramp,
    SendWindow, TemplateHash,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{KNOWN, Key, OPEN, read, s};
use crate::trail::{Appended, ChainEnd};
use crate::{
    Agreement, Asked, AuditEntry, BroadcastState, FixedObjects, HeldAudience, HeldUp, LastKey, Ledger, LedgerError, Reading, ReasonCode,
    Shards, Totals, phrases,
};

/// A broadcast as the ledger has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of the item")]
pub struct Broadcast {
    pub broadcast_id: BroadcastId,
    pub command_hash: String,
    /// What its chunk messages are proved under; nothing where an older build registered it. Registering
    /// writes it, and nothing else does or shows it.
    #[serde(default, skip_serializing)]
    pub message_key: Option<MessageKey>,
    /// Of what its template said when it was registered, which is what is sent; nothing where it has none, or where an
    /// older build registered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_hash: Option<TemplateHash>,
    pub audience: AudienceName,
    /// Who carries it; SES where nothing stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// Which account that name meant when it was registered; nothing where an older build registered it. Nobody else carries
    /// it, for nobody else knows what that one has accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<CarriedBy>,
    pub broadcast_state: BroadcastState,
    /// Grows with each resume, approval and recount; a permit is granted, and given back, within one.
    pub epoch: u64,
    /// The command's budget.
    pub max_recipients: u64,
    /// Permits that may still be granted.
    pub remaining: u64,
    /// Permits kept back until a canary is approved.
    pub withheld: u64,
    /// Permits granted and not given back.
    pub granted: u64,
    /// Grows with each grant, so that a recount can tell that there was none.
    pub grant_count: u64,
    /// Grows with each reopening, and with each that evidence took back, so that whoever has counted the chunks
    /// can tell that there was none since.
    #[serde(default)]
    pub reopenings: u64,
    /// How often a request was repeated under its key, to learn what became of the first.
    #[serde(default, skip_serializing_if = "is_none")]
    pub asked_again: u64,
    /// Written under the other name with the number of partitions: a build that knows one number of them alone can't read
    /// the item then, and so looks for no chunk where it is not.
    #[serde(alias = "chunk_recipients", alias = "marked_chunk_recipients", alias = "named_chunk_recipients")]
    pub chunk_size: u32,
    /// Over how many partitions its pages and chunks are spread, from the first page on; as ever where nothing stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Shards>,
    pub pages: u32,
    /// Pages whose chunks have been enqueued.
    pub enqueued_pages: u32,
    pub chunks: u32,
    pub recipients: u64,
    pub skipped: u64,
    /// The skipped rows by the word of their reason. Fewer than `skipped` where an older build froze a page.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped_by: BTreeMap<String, u64>,
    /// Hash of the last page: the head of the chain.
    pub chain: String,
    /// The key after which enumeration goes on, until it is over.
    #[serde(default)]
    pub last_key: Option<LastKey>,
    /// That key is one of those whom the canary chooses: they are frozen first, and the others only then. From before
    /// the first page, and never where the canary is the first of the audience.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_canary: bool,
    /// The reading of the source that the last page comes from.
    #[serde(default)]
    pub reading: Option<Reading>,
    /// What an audience in S3 is read from, fixed before its first reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_from: Option<FixedObjects>,
    /// Why enumeration does not go on.
    #[serde(default)]
    pub held_up: Option<HeldUp>,
    /// The canary: recipients who are sent to before an approval, as the command says, or as many as are frozen
    /// of those whom it chooses. 0 means all.
    pub canary: u64,
    /// The chunks that hold the canary: those before this number.
    pub canary_chunks: u32,
    /// Who lets it go on after the canary.
    #[serde(default)]
    pub canary_approval: CanaryApproval,
    /// What becomes of recipients in doubt.
    #[serde(default)]
    pub in_doubt: InDoubtPolicy,
    pub not_after: Timestamp,
    /// Nothing is sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The hours in which it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_window: Option<SendWindow>,
    /// The day from which what it announces binds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Timestamp>,
    /// How slowly it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// The ramp's last hour: when its first permit was granted, how many had been before, and how often what the first hour
    /// allows is doubled in it. Written together with that permit (`permit.rs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_hour_began: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_hour_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_doublings: Option<u32>,
    pub created_at: Timestamp,
    /// The ledger's epoch in which it was registered; nothing where an older build did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_epoch: Option<u64>,
    /// Which one is for those whom it has missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resent_as: Option<BroadcastId>,
    /// What stands where the same was said to its audience since it was looked whom it has missed, for as long as nothing is said
    /// there. Nothing where an older build has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resent_look: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resent_looked_at: Option<Timestamp>,
    /// It was held before its first send. Stays, so that whoever looks after it knows that nothing was enqueued.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_before_send: bool,
    /// What its audience was found to be then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_audience: Option<HeldAudience>,
    /// Who must agree to it before its first send, and who has; nothing where whoever asks is enough. Stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// They have not, and no permit is granted. From its registration on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_agreement: bool,
    /// The most recent entries of the audit trail; [`Ledger::audit_trail`] gives the whole.
    #[serde(default, deserialize_with = "crate::trail::leniently")]
    pub audit_trail: Vec<AuditEntry>,
    /// Entries in the trail's chain so far, and the hash of the last. Nothing where no step was taken since
    /// a build that chains them.
    #[serde(default)]
    pub audit_count: u64,
    #[serde(default)]
    pub audit_head: String,
    /// What becomes of its messages may be told in the log of events, since whoever registered it reads that. An older
    /// build's broadcast has all of its events in its chunks' feedback items.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logs_events: bool,
    /// Its chunks' message ids may be packed, since whoever registered it reads that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packs_message_ids: bool,
    /// Each of its letters names the registration to the provider (`MessageKey::letter_mark`), and an event that does not is of
    /// another's. A build that writes no such letters can't read it: registering writes the size of its chunks under another name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marks_letters: bool,
    /// How each of its letters names this ledger beside the registration, where another provider than SES carries it. A build that
    /// does not write that can't read it, in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters_name: Option<String>,
    /// Recipients and skipped entries who were forgotten.
    #[serde(default, skip_serializing_if = "is_none")]
    pub forgotten: u64,
    /// The entries that tell of its end, from when somebody was first forgotten: the list above keeps the most recent.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::trail::leniently")]
    pub ending: Vec<AuditEntry>,
    /// The entries that tell how it stands, from when the list above has left them behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::trail::leniently")]
    pub standing: Vec<AuditEntry>,
    /// Exact totals, written when the broadcast is over.
    #[serde(default)]
    pub totals: Option<Totals>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Broadcast {
    /// A broadcast as its command makes it, with nothing frozen.
    pub(crate) fn of(command: &BroadcastCommand, chunk_size: u32, asked: &Asked, key: MessageKey, now: Timestamp, token: String) -> Self {
        let step = BroadcastState::Enumerating.to_string();
        let from = asked.by.as_ref().map_or_else(String::new, |by| phrases::RECEIVED_FROM.with(&[by]));
        let again = command.again.as_ref().map_or_else(String::new, |why| phrases::RECEIVED_AGAIN.with(&[why]));
        let template = command.content.frozen().and_then(|template| template.hash().ok());
        let template = template.map_or_else(String::new, |hash| phrases::RECEIVED_TEMPLATE.with(&[&hash]));
        let account = asked.carried_by.as_ref().map_or_else(String::new, |account| phrases::RECEIVED_ACCOUNT.with(&[account]));
        let carrier = command.other_provider().map_or_else(String::new, |name| phrases::RECEIVED_CARRIER.with(&[name]) + &account);
        let reason = phrases::RECEIVED.with(&[&format!("{from}{carrier}{template}{again}")]);
        let entry = AuditEntry::new(now, &command.requested_by, step, &reason);
        let Appended { list, end, .. } = Appended::of(&[], &[], ChainEnd::default(), entry, token);
        Self {
            broadcast_id: command.broadcast_id.clone(),
            command_hash: command.hash().to_string(),
            message_key: Some(key),
            template_hash: command.content.frozen().and_then(|template| template.hash().ok()),
            audience: command.audience.clone(),
            provider: command.other_provider().cloned(),
            carried_by: asked.carried_by.clone(),
            broadcast_state: BroadcastState::Enumerating,
            epoch: 1,
            max_recipients: command.max_recipients.get(),
            remaining: 0,
            withheld: 0,
            granted: 0,
            grant_count: 0,
            reopenings: 0,
            asked_again: 0,
            chunk_size,
            shards: None,
            pages: 0,
            enqueued_pages: 0,
            chunks: 0,
            recipients: 0,
            skipped: 0,
            skipped_by: BTreeMap::new(),
            chain: String::new(),
            last_key: None,
            in_canary: command.canary.as_ref().is_some_and(|canary| canary.choice().is_some()),
            reading: None,
            read_from: None,
            held_up: None,
            canary: command.canary.as_ref().and_then(Canary::first).map_or(0, std::num::NonZeroU64::get),
            canary_chunks: 0,
            canary_approval: command.canary_approval,
            in_doubt: command.in_doubt,
            not_after: command.not_after,
            not_before: command.not_before,
            send_window: command.send_window.clone(),
            effective_at: command.effective_at,
            ramp: command.ramp,
            ramp_hour_began: None,
            ramp_hour_before: None,
            ramp_doublings: None,
            created_at: now,
            ledger_epoch: None,
            resent_as: None,
            resent_look: None,
            resent_looked_at: None,
            held_before_send: false,
            held_audience: None,
            agreement: asked.agreement.clone(),
            awaits_agreement: asked.agreement.is_some(),
            audit_trail: list,
            audit_count: end.count,
            audit_head: end.head,
            logs_events: true,
            packs_message_ids: true,
            marks_letters: true,
            letters_name: None,
            forgotten: 0,
            ending: Vec::new(),
            standing: Vec::new(),
            totals: None,
        }
    }

    /// Why it stands where it stands, where issei itself has brought it there, or waits.
    #[must_use]
    pub fn reason_code(&self, now: Timestamp) -> Option<ReasonCode> {
        if self.waits_until(now).is_some() {
            return Some(ReasonCode::WaitingForTime);
        }
        let code = self.held_up.as_ref().map_or_else(|| self.decided()?.code, |held_up| held_up.code);
        let is_noted = self.accepted_twice().is_some_and(AuditEntry::is_of_two) && code != Some(ReasonCode::StoppedDuplicate);
        if is_noted { Some(ReasonCode::AcceptedTwice) } else { code }
    }

    /// The audience: everybody that the source named, mailable or not.
    #[must_use]
    pub fn audience_size(&self) -> u64 {
        self.recipients + self.skipped
    }

    /// Says whether it holds before its first send, for nothing was ever granted.
    #[must_use]
    pub fn holds_before_first_send(&self) -> bool {
        self.broadcast_state == BroadcastState::Holding && self.held_before_send && self.grant_count == 0
    }

    /// Says whether a chunk may be enqueued: while a canary is out, only its own, and none before a first
    /// send that waits for an approval.
    #[must_use]
    pub fn may_enqueue(&self, chunk: u32) -> bool {
        if self.holds_before_first_send() {
            return false;
        }
        self.withheld == 0 || chunk < self.canary_chunks
    }

    /// Whether its canary is everybody who is frozen, so that nobody would be left to hold back once it is sent.
    #[must_use]
    pub fn canary_is_everybody(&self) -> bool {
        self.recipients > 0 && self.canary >= self.recipients
    }

    /// The permits of a frozen audience that may be granted at once, and those that its canary keeps back.
    pub(crate) fn first_permits(&self) -> (u64, u64) {
        let allowed = if self.canary == 0 { self.recipients } else { self.canary.min(self.recipients) };
        (allowed, self.recipients - allowed)
    }

    /// Says whether every chunk has been put on the queue at least once.
    #[must_use]
    pub fn is_enqueued(&self) -> bool {
        self.broadcast_state != BroadcastState::Enumerating && self.enqueued_pages == self.pages
    }
}

impl Ledger {
    /// The broadcast, or nothing where the ledger has none of that id.
    pub async fn find_broadcast(&self, id: &BroadcastId) -> Result<Option<Broadcast>, LedgerError> {
        self.get(Key::broadcast(id)).await?.map(read).transpose()
    }

    /// The broadcast, which must be there.
    pub async fn broadcast(&self, id: &BroadcastId) -> Result<Broadcast, LedgerError> {
        self.find_broadcast(id).await?.ok_or_else(|| LedgerError::NoBroadcast { id: id.to_string(), table: self.table.clone() })
    }

    /// The broadcasts that are not over.
    pub async fn open_broadcasts(&self) -> Result<Vec<BroadcastId>, LedgerError> {
        Ok(readable(self.listed(OPEN).await?))
    }

    /// The broadcasts that are not over, and what stands among them and is none.
    pub async fn open_entries(&self) -> Result<Vec<Result<BroadcastId, LedgerError>>, LedgerError> {
        self.listed(OPEN).await
    }

    /// Every broadcast that there ever was, by id.
    pub async fn known_broadcasts(&self) -> Result<Vec<BroadcastId>, LedgerError> {
        Ok(readable(self.listed(KNOWN).await?))
    }

    async fn listed(&self, list: &'static str) -> Result<Vec<Result<BroadcastId, LedgerError>>, LedgerError> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :list");
            let query = query.expression_attribute_values(":list", s(list));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let id = item.get("sk").and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
                ids.push(BroadcastId::try_from(id.clone()).map_err(|reason| LedgerError::corrupt(format!("{list} {id}"), reason)));
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(ids);
            }
        }
    }
}

/// What is no id in a list must not keep the broadcasts beside it from being looked after.
fn readable(listed: Vec<Result<BroadcastId, LedgerError>>) -> Vec<BroadcastId> {
    listed.into_iter().filter_map(|id| id.inspect_err(|error| tracing::error!(%error, "an entry of a list is no broadcast")).ok()).collect()
}
