//! As which account each consumer sends that could have carried a broadcast, by what its heartbeat tells, against the account
//! that was registered. Whoever certifies has a configuration, too; but it is not whoever certifies that has sent.
//!
//! What this must never do: take what nobody has told for the account that was registered.

use std::collections::BTreeMap;

use issei_aws::Timing;
use issei_ledger::{Broadcast, Heartbeat, Ledger, ServiceKind, widest};
use issei_schema::{Bilingual, CarriedBy, both};
use jiff::Timestamp;

use crate::data::items;
use crate::finding::{Finding, Part};
use crate::services::held;

fn from() -> Bilingual {
    items(&["services#DAY", "broadcast"])
}

/// The accounts of those who may send of a broadcast that is not over, for whoever does not read who has claimed its chunks.
pub async fn accounts_of_senders(ledger: &Ledger, broadcast: &Broadcast, own: &Timing, now: Timestamp) -> Finding {
    let what = both!("broadcast {}: the account of those who send", "一斉送信 {}: 送信者のアカウント", broadcast.broadcast_id);
    let runs = match ledger.heartbeats(broadcast.created_at).await {
        Ok(runs) => runs,
        Err(error) => return Finding::of(Part::Source, what, from()).failed(error).mended_by(Bilingual::verbatim("issei setup")),
    };
    let widest = widest(&runs, own, now).timing;
    let over_at = |run: &Heartbeat| run.over_at(held(run, own, &widest));
    let of_its_time: Vec<Heartbeat> = runs.into_iter().filter(|run| over_at(run) >= broadcast.created_at).collect();
    judge(broadcast, &of_its_time, |run| over_at(run) > now).about(what)
}

/// `runs` are those of the broadcast's time, and `counts` says which of them have a claim in the ledger, or may yet have one.
///
/// Whoever has another account than was registered, is over and has no claim is named and no more: a build that tells its account
/// pauses such a broadcast before it takes a permit. Where none was registered nobody is kept from anything, and a claim may have
/// been replaced by another's since, so all of them count.
pub(crate) fn judge(broadcast: &Broadcast, runs: &[Heartbeat], counts: impl Fn(&Heartbeat) -> bool) -> Finding {
    let (name, registered) = (broadcast.provider.clone().unwrap_or_default(), broadcast.carried_by.as_ref());
    let counts = |run: &Heartbeat| registered.is_none() || counts(run);
    let consumers = || runs.iter().filter(|run| run.service == ServiceKind::Consumer);
    // One that does not carry anything under that name sends nothing of it.
    let (counting, others): (Vec<_>, Vec<_>) =
        consumers().filter_map(|run| Some((run, run.carries.as_ref()?.get(&name)?))).partition(|(run, _)| counts(run));
    let untold: Vec<&str> = consumers().filter(|run| run.carries.is_none() && counts(run)).map(|run| run.actor.as_str()).collect();
    // Where none is registered, they are held against each other.
    let wanted = registered.or(counting.first().map(|(_, account)| *account));
    let is_another = |account: &CarriedBy| wanted.is_some_and(|wanted| account.is_another_than(wanted));
    let named = |some: &[(&Heartbeat, &CarriedBy)]| {
        let another = some.iter().filter(|(_, account)| is_another(account));
        another.map(|(run, account)| both!("{}: {}", "{}: {}", run.actor, account.told())).collect::<Vec<_>>()
    };
    let same: BTreeMap<String, Bilingual> =
        counting.iter().filter(|(_, account)| !is_another(account)).map(|(_, account)| (account.to_string(), account.told())).collect();
    let (another, idle) = (named(&counting), named(&others));
    let are_same = another.is_empty();
    let list = |all: Vec<Bilingual>| Bilingual::join(all, ("; ", "、"));
    let (another, same, idle) = (list(another), list(same.into_values().collect()), list(idle));
    let untold = list(untold.into_iter().map(Bilingual::verbatim).collect());
    let told = [
        (both!("ANOTHER ACCOUNT: {}", "別のアカウント: {}", another), another),
        (same.clone(), same),
        (both!("not known, since their build is older: {}", "旧版のため不明: {}", untold), untold),
        (both!("another, of which there is no claim: {}", "別のアカウントだが送信処理なし: {}", idle), idle),
    ];
    let told: Vec<Bilingual> = told.into_iter().filter(|(_, who)| !who.is_empty()).map(|(told, _)| told).collect();
    let value = if told.is_empty() {
        both!("nobody has told, and nobody has sent", "記録も送信もありません")
    } else {
        Bilingual::join(told, ("; ", "。"))
    };
    let rule =
        registered.map_or_else(|| both!("one, whichever: an older build registers none", "どれか1つ(旧版は登録しない)"), CarriedBy::told);
    let what = both!("provider {name}: the account of those who sent", "送信事業者 {name}: 送信者のアカウント");
    Finding::of(Part::Source, what, from())
        .must(rule, "what one account has accepted no other knows: to send or to ask as another is to mail somebody twice")
        .is(value, are_same)
        .mended_by(both!(
            "end these consumers and start them as the one in the rule; what the other account has accepted stands in its own log alone: look there before `issei resend {0} --as {0}-rest`",
            "これらのコンシューマーを終了し、規則のアカウントで起動してください。別のアカウントが受理した分は、そのアカウントのログにしかありません。`issei resend {0} --as {0}-rest` の前に確認してください",
            broadcast.broadcast_id
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://api.resend.com";

    fn broadcast(carried_by: Option<&CarriedBy>) -> Broadcast {
        let item = serde_json::json!({
            "broadcast_id": "terms", "command_hash": "c", "audience": "users", "provider": "resend", "carried_by": carried_by,
            "broadcast_state": "complete", "epoch": 1, "max_recipients": 9, "remaining": 0, "withheld": 0, "granted": 9,
            "grant_count": 1, "chunk_size": 3, "pages": 1, "enqueued_pages": 1, "chunks": 3, "recipients": 9, "skipped": 0, "chain": "",
            "canary": 0, "canary_chunks": 0, "not_after": "2026-11-26T00:00:00Z", "created_at": "2026-11-24T00:00:00Z",
        });
        serde_json::from_value(item).unwrap()
    }

    /// A consumer by its name, and what it tells of `resend`; nothing where its build is older.
    fn run(actor: &str, account: Option<&CarriedBy>) -> Heartbeat {
        let carries = account.map(|account| serde_json::json!({ "ses": { "kind": "ses" }, "resend": account }));
        let item = serde_json::json!({
            "service": "consumer", "token": actor, "actor": actor, "version": "1", "build": "b", "settings": "s", "ledger_epoch": 1,
            "started_at": "2026-11-24T00:00:00Z", "seen_at": "2026-11-24T01:00:00Z", "carries": carries,
        });
        serde_json::from_value(item).unwrap()
    }

    #[test]
    fn those_who_sent_are_held_against_the_account_that_was_registered_and_not_those_who_ask() {
        let (ours, theirs) =
            (CarriedBy::new("resend", Some(URL), Some("env:OURS")), CarriedBy::new("resend", Some(URL), Some("env:THEIRS")));
        let all = [run("one", Some(&ours)), run("two", Some(&theirs)), run("older", None)];
        let judged = |carried_by: Option<&CarriedBy>, counts: &[&str]| {
            judge(&broadcast(carried_by), &all, |run| counts.contains(&run.actor.as_str()))
        };
        let well = judged(Some(&ours), &["one"]);
        let idle = format!("; another, of which there is no claim: two: {theirs}");
        assert_eq!((well.holds(), well.value), (true, format!("{ours}{idle}")), "who has claimed nothing under it was paused by it");
        for counts in [&["two"][..], &["one", "two"], &["one", "two", "older"]] {
            let bad = judged(Some(&ours), counts);
            assert!(!bad.holds() && bad.value.starts_with(&format!("ANOTHER ACCOUNT: two: {theirs}")), "{bad:?}");
            assert!(bad.mend.is_some_and(|mend| mend.contains("issei resend terms")));
        }
        let unknown = judged(Some(&ours), &["older"]);
        assert!(unknown.holds() && unknown.value.starts_with("not known, since their build is older: older"), "{unknown:?}");
        // Where nobody has registered one, nobody was kept from anything: all must be of one account.
        let of = |runs: &[&Heartbeat]| judge(&broadcast(None), &runs.iter().map(|run| (*run).clone()).collect::<Vec<_>>(), |_| false);
        assert!(of(&[&all[0], &all[2]]).holds() && of(&[&all[1]]).holds());
        let both = of(&[&all[0], &all[1]]);
        assert!(!both.holds() && both.value.starts_with(&format!("ANOTHER ACCOUNT: two: {theirs}; {ours}")), "{both:?}");
        assert_eq!(judge(&broadcast(Some(&ours)), &[], |_| true).value, "nobody has told, and nobody has sent");
    }
}
