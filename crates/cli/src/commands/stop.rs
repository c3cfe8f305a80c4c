//! `issei stop`.
//!
//! A stop is one conditional write for each broadcast, and then, with `--hard`, a switch of the provider's.
//! Whatever of this fails is told at once, with its reason, and the rest is done all the same: nobody who
//! wants something stopped must be kept from it by something else that is broken. What may still be sent
//! afterwards is told next, and [`prove`](super::prove) waits until it can't be.

use std::collections::BTreeSet;

use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Broadcast, BroadcastState, Ledger, LedgerError, NEVER_GRANTED, Unread};
use issei_schema::{Actor, Bilingual, BroadcastId, ProviderName, both};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::prove::{Wait, never_granted, prove, unproved};
use crate::args::StopOptions;
use crate::in_use::{self, Care, Standing};
use crate::operator;
use crate::{Ended, Refused};

/// A broadcast of which nothing more is granted.
pub(crate) struct Stopping {
    pub(crate) id: BroadcastId,
    /// Recipients who may still be sent to, or whose request may still be accepted: never too few.
    pub(crate) outstanding: u64,
    /// Who carries it, where that is not SES: nobody refuses its requests for their age, and it can't be shut from here.
    pub(crate) provider: Option<ProviderName>,
    /// As the write left it that ended it, or as it was read since.
    pub(crate) ended: Broadcast,
    /// It was ended before this order came: some of the wait is over, perhaps all of it.
    pub(crate) is_repeated: bool,
    pub(crate) memory: Memory,
}

/// What the ledger knows of whom a broadcast was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// All of it.
    Whole,
    /// It was restored from a backup, taken into use then, and has forgotten what was between.
    LostUntil(Timestamp),
    /// Whether it was can't be read.
    Unread,
}

impl Memory {
    async fn of(ledger: &Ledger, broadcast: &Broadcast) -> Self {
        match ledger.may_have_forgotten(broadcast).await {
            Ok(restored_at) => restored_at.map_or(Self::Whole, Self::LostUntil),
            Err(error) => {
                tracing::warn!(%error, broadcast.id = %broadcast.broadcast_id, "whether the ledger was restored since can't be read");
                Self::Unread
            }
        }
    }

    /// What is not known; nothing where all of it is.
    pub(crate) fn lacks(self) -> Option<Bilingual> {
        match self {
            Self::Whole => None,
            Self::LostUntil(at) => Some(both!(
                "the ledger was restored, and has forgotten what was granted and sent of it between the backup and {at:.0}: how many these were, and whether all of them have their answer, nobody knows here, and the provider's own records tell",
                "台帳は復元されたもので、バックアップから{at:.0}までの許可と送信の記録がありません。その間に何件送信され、すべて結果が出たかはここでは分かりません。配信事業者の記録を確認してください"
            )),
            Self::Unread => Some(both!(
                "whether the ledger was restored, and has forgotten some of it, can't be read",
                "台帳が復元されたもので、記録の一部が失われているかどうかを確認できません"
            )),
        }
    }
}

impl Stopping {
    /// What may still come of it. `bound` says for how long by SES, which refuses what is older.
    pub(crate) fn told(&self, bound: &Bilingual) -> Bilingual {
        let known = self.known(bound);
        match self.memory.lacks() {
            None => known,
            Some(lacks) => {
                both!("{}. That is what this ledger knows: {}", "{}。ただし、これはこの台帳に残る記録の範囲です。{}", known, lacks)
            }
        }
    }

    /// By what the ledger knows.
    fn known(&self, bound: &Bilingual) -> Bilingual {
        let Self { id, outstanding, provider, memory, .. } = self;
        if *outstanding == 0 && *memory != Memory::Whole {
            return both!(
                "{id}: no permit that is known is out: each recipient who had one has an outcome",
                "{id}: 記録のある送信許可に、送信途中のものはありません"
            );
        }
        if *outstanding == 0 {
            return both!(
                "{id}: nothing of it is out: each recipient who had a permit has an outcome",
                "{id}: 送信途中のものはありません。許可の出た宛先はすべて結果が確定しています"
            );
        }
        match provider {
            None => both!(
                "{id}: at most {outstanding} recipients may still be sent to, {}: their permits are out, or their requests without an answer",
                "{id}: 最大で{outstanding}件、{}送信されることがあります。送信許可が発行済みか、要求の応答がまだありません",
                bound
            ),
            Some(provider) => both!(
                "{id}: at most {outstanding} recipients may still be sent to: their permits are out, or their requests without an answer. For {}: it is over once every consumer has said that it holds nothing of it and nobody is in doubt",
                "{id}: 最大で{outstanding}件送信されることがあります。送信許可が発行済みか、要求の応答がまだありません。{}すべてのコンシューマーが手元に何も残っていないと報告し、結果不明が0になった時点で終わりです",
                how_long_by(provider)
            ),
        }
    }
}

/// What is said of another provider than SES in the place of a bound, which nobody could prove.
pub(crate) fn how_long_by(provider: &ProviderName) -> Bilingual {
    both!(
        "how long no time tells, since {provider} refuses no request for its age",
        "{provider} は古い要求を拒否しないため、いつまでかは時間では区切れません。"
    )
}

/// What could not be stopped.
pub(crate) struct Unstopped {
    /// As the ledger calls it.
    pub(crate) what: Bilingual,
    /// Why, and what was done all the same.
    pub(crate) reason: Bilingual,
    error: LedgerError,
    /// Who carries it; nothing where that is not known.
    provider: Option<ProviderName>,
}

impl Unstopped {
    fn of(what: Bilingual, error: LedgerError) -> Self {
        Self { what, reason: error.told(), error, provider: None }
    }

    /// A broadcast whose item can't be read: what became of the write that needs none of it but its state.
    fn unread(id: &BroadcastId, error: LedgerError, ended: Result<Unread, LedgerError>) -> Self {
        let (then, provider) = match ended {
            Ok(unread) if unread.is_ending() => (
                both!(
                    "all the same it is `stopping` now, so that nothing more of it is granted; when that is over nobody can prove",
                    "それでも状態は `stopping` になり、新しい送信許可は出ません。いつ終わったかは誰にも証明できません"
                ),
                unread.provider,
            ),
            Ok(Unread { state: Some(state), provider }) => (
                both!(
                    "its state there is `{state}`, which is for ever; it was left so",
                    "そこでの状態は最終状態の `{state}` で、変更していません"
                ),
                provider,
            ),
            Ok(Unread { state: None, provider }) => {
                (both!("its state there is none, which is for ever; it was left so", "そこに状態の記録はなく、変更していません"), provider)
            }
            Err(failed) => (both!("nor can its state be written: {}", "状態も書き込めません: {}", failed.told()), None),
        };
        Self { reason: both!("{}; {}", "{}。{}", error.told(), then), provider, ..Self::of(named_in_both(id), error) }
    }
}

/// What could not be done, and why.
#[derive(Serialize)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) reason: String,
}

/// What could not be done so far. People are told at once, since the proof takes its time.
#[derive(Default)]
pub(crate) struct Failures(Vec<Failure>);

impl Failures {
    pub(crate) fn note(&mut self, what: &str, reason: impl ToString) {
        let (what, reason) = (what.to_owned(), reason.to_string());
        if !self.0.iter().any(|failure| failure.what == what) {
            say_warning(&format!("{what}: {reason}"));
            self.0.push(Failure { what, reason });
        }
    }
}

/// What became of an order to stop.
pub(crate) struct Order {
    /// New broadcasts are refused.
    pub(crate) closed: bool,
    pub(crate) stopping: Vec<Stopping>,
    pub(crate) failed: Vec<Unstopped>,
}

impl Order {
    /// Who carries the one broadcast that this is about, where that is not SES.
    async fn elsewhere(&self, ledger: &Ledger, id: &BroadcastId) -> Option<ProviderName> {
        let known = self.stopping.iter().find_map(|stopping| stopping.provider.clone());
        let known = known.or_else(|| self.failed.iter().find_map(|failed| failed.provider.clone()));
        let known = match known {
            None => ledger.broadcast(id).await.ok().and_then(|broadcast| broadcast.provider),
            known => known,
        };
        known.filter(|provider| *provider != ProviderName::default())
    }
}

pub(crate) async fn stop(settings: &Settings, options: &StopOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Itself).await?;
    let (ledger, actor) = (parts.ledger(), operator::actor(&parts).await?);
    let order = match &options.id {
        None => end_all(&ledger, &actor, &options.reason).await,
        Some(id) => end_one(&ledger, id, &actor, &options.reason).await,
    };
    // SES carries other broadcasts, and not this one.
    let elsewhere = match &options.id {
        Some(id) if options.hard => order.elsewhere(&ledger, id).await,
        _ => None,
    };
    // What the ledger says is not there, nobody shuts SES for: every other broadcast would pay for a slip of the pen. A ledger that
    // does not answer says nothing, and then it is shut.
    let unknown = order.failed.iter().find(|failed| matches!(failed.error, LedgerError::NoBroadcast { .. }));
    if let (true, Some(Unstopped { reason, .. })) = (options.hard && options.id.is_some(), unknown) {
        let hint = "SES was left as it is; `issei list` shows every broadcast there is, and `issei stop --all --hard` shuts SES whatever the ledger knows";
        anyhow::bail!("{}: nothing was stopped, and {hint}{}", reason.english, forgotten(&Standing::of(&parts).await));
    }
    let shuts_ses = options.hard && elsewhere.is_none();
    // After the order, which waits for nothing.
    let standing = Standing::of(&parts).await;
    if options.id.is_some() && !shuts_ses && order.failed.iter().any(|failed| has_nothing_under_way(&failed.error)) {
        let told = order.failed.iter().map(|failed| failed.reason.english.as_str()).collect::<Vec<_>>().join("; ");
        let told = match standing.told() {
            None => format!("{told}: there is nothing of it to stop; `issei list` shows what is under way"),
            Some(_) => format!("{told}: nothing was stopped{}", forgotten(&standing)),
        };
        // One that is over was looked at, and the answer is no; one that is not there is a mistake.
        let is_over = order.failed.iter().all(|failed| matches!(failed.error, LedgerError::Transition { .. }));
        return Err(if is_over { Refused(told).into() } else { anyhow::anyhow!(told) });
    }
    let mut failures = Failures::default();
    for Unstopped { what, reason, .. } in &order.failed {
        failures.note(&what.english, &reason.english);
    }
    if order.closed {
        tell(as_json, "New broadcasts are refused until `issei open`.");
    }
    let mut sending_off = false;
    if shuts_ses {
        let set = &settings.configuration_set;
        // First, so that an `open` that is under way finds it.
        if let Err(error) = ledger.order_to_shut(&actor, &options.reason).await {
            failures.note("the order to shut SES, for whoever opens at this moment", error);
        }
        match switch_sending(&parts, false).await {
            Ok(()) => {
                sending_off = true;
                tell(as_json, &format!("The configuration set `{set}` may not send until `issei open`."));
            }
            Err(error) => failures.note("the provider", error),
        }
    }
    if let Some(provider) = &elsewhere {
        tell(
            as_json,
            &format!(
                "--hard shuts SES, which does not carry this: SES was left as it is. Revoke the key of {provider} to have this refused."
            ),
        );
    }
    for Stopping { id, provider, .. } in &order.stopping {
        if let Some(provider) = provider.as_ref().filter(|_| shuts_ses) {
            tell(as_json, &format!("{id} is carried by {provider}, which --hard does not shut: revoke its key to have it refused."));
        }
    }
    let all_by_ses = order.stopping.iter().all(|stopping| stopping.provider.is_none());
    let wait = Wait::after_stop(&parts, &order.stopping, sending_off && all_by_ses, &mut failures).await;
    let never = never_granted(&parts, &order.stopping).await;
    if let Some((why, told)) = unproved(&standing).zip(standing.told()) {
        tell(as_json, &format!("Nothing of this stop will be proved: {}.\n{}.", why.english, told.english));
    }
    for stopping in &order.stopping {
        let told = if never.contains(&stopping.id) {
            Some(format!("{}: {NEVER_GRANTED}", stopping.id))
        } else {
            // Of what nobody begins any more the proof says what there is to say. In a restored ledger, as this may be, nobody knows
            // what is out.
            let left = if standing.told().is_some() { None } else { wait.left_of(&parts, stopping).await };
            left.map(|left| stopping.told(&for_at_most(left.as_secs())).english)
        };
        if let Some(told) = told {
            tell(as_json, &format!("{told}."));
        }
    }
    for actor in wait.untold() {
        tell(as_json, &format!("{actor} does not say with which timeouts it sends, since its build is older: end it."));
    }
    let stopped = prove(&parts, &actor, order.stopping, (&wait, &never, &standing), &mut failures, as_json).await?;
    let Failures(failed) = failures;
    if as_json {
        let told = json!({
            "stopped": stopped, "closed": order.closed, "sending_off": sending_off, "revoke_key_of": elsewhere, "failed": failed,
        });
        in_use::note(standing.clone());
        in_use::say_document(told)?;
    }
    if !failed.is_empty() {
        let all = failed.iter().map(|failure| failure.what.as_str()).collect::<Vec<_>>().join(", ");
        anyhow::bail!("not everything was done: {all} ({})", hint(&order.failed, sending_off));
    }
    // Nobody knows what else is under way.
    let may_be_more = options.id.is_none() && unproved(&standing).is_some();
    // What --hard was asked for was not done where another than SES carries it.
    Ok(if elsewhere.is_none() && !may_be_more && stopped.iter().all(|stopped| stopped.proved) { Ended::Well } else { Ended::Refused })
}

/// What is said beside that a broadcast is not there, where the ledger may have forgotten it.
fn forgotten(standing: &Standing) -> String {
    standing.told().map_or_else(String::new, |told| {
        format!("; it may be under way by another table all the same: `issei stop` with that table (`--table`) stops it. {}", told.english)
    })
}

/// What keeps from being sent what was not stopped, by who carries it.
fn hint(failed: &[Unstopped], sending_off: bool) -> String {
    if failed.is_empty() {
        return "nothing more is granted of what was to be stopped; mend the cause that is named, and repeat the command".to_owned();
    }
    let others: BTreeSet<&str> = failed
        .iter()
        .filter_map(|failed| failed.provider.as_ref())
        .filter(|provider| **provider != ProviderName::default())
        .map(ProviderName::as_str)
        .collect();
    let is_known = failed.iter().all(|failed| failed.provider.is_some());
    let all_elsewhere = is_known && failed.iter().all(|failed| failed.provider != Some(ProviderName::default()));
    let by_ses = (!all_elsewhere).then(|| {
        let by_ses = if sending_off {
            "what SES carries of it is refused, as long as the configuration set may not send"
        } else {
            "what is not stopped may go on sending: --hard makes SES refuse what it carries of it, whatever the ledger says"
        };
        by_ses.to_owned()
    });
    let revoke = others.into_iter().map(|name| format!("what {name} carries nothing here stops: revoke its key"));
    let unknown = (!is_known).then(|| not_by_ses().english);
    by_ses.into_iter().chain(revoke).chain(unknown).collect::<Vec<_>>().join("; ")
}

/// What is said where nobody knows who carries it.
pub(crate) fn not_by_ses() -> Bilingual {
    both!(
        "what another provider than SES carries nothing here stops: revoke that provider's key",
        "SES以外の配信事業者が送信するものはここでは止められません。その事業者のAPIキーを失効させてください"
    )
}

/// How long what is out may still be sent, by SES.
pub(crate) fn for_at_most(seconds: u64) -> Bilingual {
    both!("for {seconds} s at most", "最長{seconds}秒間、")
}

/// Ends one broadcast. One that is ending already is waited for again.
async fn end_one(ledger: &Ledger, id: &BroadcastId, actor: &Actor, reason: &str) -> Order {
    let mut order = Order { closed: false, stopping: Vec::new(), failed: Vec::new() };
    match end(ledger, id, actor, reason, |from| matches!(from, BroadcastState::Stopping | BroadcastState::Stopped)).await {
        Ok(stopping) => order.stopping.push(stopping),
        Err(unstopped) => order.failed.push(unstopped),
    }
    order
}

/// Refuses new broadcasts and ends every one that is under way, whatever becomes of each.
pub(crate) async fn end_all(ledger: &Ledger, actor: &Actor, reason: &str) -> Order {
    let mut order = Order { closed: false, stopping: Vec::new(), failed: Vec::new() };
    // Closed first: whatever is registered before is among the open ones.
    match ledger.close(actor, reason).await {
        Ok(_) => order.closed = true,
        Err(error) => order.failed.push(Unstopped::of(both!("closing for new broadcasts", "新規受け付けの停止"), error)),
    }
    let entries = ledger.open_entries().await.unwrap_or_else(|error| {
        order.failed.push(Unstopped::of(both!("the list of open broadcasts", "未終了の一斉送信の一覧"), error));
        Vec::new()
    });
    for entry in entries {
        let id = match entry {
            Ok(id) => id,
            Err(error) => {
                order.failed.push(Unstopped::of(both!("an entry of the list of open broadcasts", "未終了の一斉送信の一覧の1項目"), error));
                continue;
            }
        };
        // One that has just ended by itself is no failure.
        match end(ledger, &id, actor, reason, |_| true).await {
            Ok(stopping) => order.stopping.push(stopping),
            Err(unstopped) => order.failed.push(unstopped),
        }
    }
    order
}

/// The one write, and what may still come after it. Where the step is refused, `is_well` says of the
/// state whether that is as good. One that can't be read is ended as far as that goes, and named all the same.
pub(crate) async fn end(
    ledger: &Ledger,
    id: &BroadcastId,
    actor: &Actor,
    reason: &str,
    is_well: impl Fn(BroadcastState) -> bool,
) -> Result<Stopping, Unstopped> {
    // Read before the write and compared with what was granted by then: whatever is granted in between
    // counts. Where it can't be read, nobody counts as settled, and the bound is larger.
    let settled = ledger.surely_settled(id).await.unwrap_or_else(|error| {
        tracing::warn!(%error, broadcast.id = %id, "progress can't be read; everybody who has a permit counts as not sent to");
        0
    });
    let (is_repeated, ended) = match ledger.end(id, actor, reason).await {
        Err(LedgerError::Transition { from, .. }) if is_well(from) => (true, ledger.broadcast(id).await),
        other => (false, other),
    };
    match ended {
        Ok(ended) => {
            let (outstanding, provider) = (ended.granted.saturating_sub(settled), ended.provider.clone());
            // After the write, which waits for nothing.
            let memory = Memory::of(ledger, &ended).await;
            Ok(Stopping { id: id.clone(), outstanding, provider, ended, is_repeated, memory })
        }
        Err(error @ LedgerError::Corrupt { .. }) => {
            let ended = ledger.end_unread(id, actor, reason).await;
            Err(Unstopped::unread(id, error, ended))
        }
        Err(error) => Err(Unstopped::of(named_in_both(id), error)),
    }
}

pub(super) fn named(id: &BroadcastId) -> String {
    named_in_both(id).english
}

fn named_in_both(id: &BroadcastId) -> Bilingual {
    both!("broadcast `{id}`", "一斉送信 `{id}`")
}

/// Whether what was to be stopped is over, or was never there: no cause to shut SES for everybody.
fn has_nothing_under_way(error: &LedgerError) -> bool {
    match error {
        LedgerError::Transition { from, .. } => from.is_over(),
        LedgerError::NoBroadcast { .. } => true,
        _ => false,
    }
}

pub(super) async fn switch_sending(parts: &Parts, on: bool) -> anyhow::Result<()> {
    parts.ses().let_send(on).await.map_err(anyhow::Error::msg)
}

/// For people; programs get one object at the end.
pub(super) fn tell(as_json: bool, line: &str) {
    if !as_json {
        say(line);
    }
}
