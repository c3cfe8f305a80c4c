//! As which account each consumer sends that could have carried a broadcast, by what its heartbeat tells, against the account
//! that was registered. Whoever certifies has a configuration, too; but it is not whoever certifies that has sent.
//!
//! What this must never do: take what nobody has told for the account that was registered.

use std::collections::BTreeSet;

use issei_aws::Timing;
use issei_ledger::{Broadcast, Heartbeat, Ledger, ServiceKind, widest};
use issei_schema::CarriedBy;
use jiff::Timestamp;

use crate::finding::{Finding, Part};
use crate::services::held;

const FROM: &str = "ledger items `services#DAY` and `broadcast`";

/// The accounts of those who may send of a broadcast that is not over, for whoever does not read who has claimed its chunks.
pub async fn accounts_of_senders(ledger: &Ledger, broadcast: &Broadcast, own: &Timing, now: Timestamp) -> Finding {
    let what = format!("broadcast {}: the account of those who send", broadcast.broadcast_id);
    let runs = match ledger.heartbeats(broadcast.created_at).await {
        Ok(runs) => runs,
        Err(error) => return Finding::new(Part::Source, what, FROM).unreadable(error).mend("issei setup"),
    };
    let widest = widest(&runs, own, now).timing;
    let over_at = |run: &Heartbeat| run.over_at(held(run, own, &widest));
    let of_its_time: Vec<Heartbeat> = runs.into_iter().filter(|run| over_at(run) >= broadcast.created_at).collect();
    Finding { what, ..judge(broadcast, &of_its_time, |run| over_at(run) > now) }
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
        another.map(|(run, account)| format!("{}: {account}", run.actor)).collect::<Vec<_>>()
    };
    let same: BTreeSet<String> =
        counting.iter().filter(|(_, account)| !is_another(account)).map(|(_, account)| account.to_string()).collect();
    let (another, idle) = (named(&counting), named(&others));
    let told = [
        ("ANOTHER ACCOUNT: ", another.join("; ")),
        ("", same.into_iter().collect::<Vec<_>>().join("; ")),
        ("not known, since their build is older: ", untold.join("; ")),
        ("another, of which there is no claim: ", idle.join("; ")),
    ];
    let told: Vec<String> = told.into_iter().filter(|(_, who)| !who.is_empty()).map(|(how, who)| format!("{how}{who}")).collect();
    let value = if told.is_empty() { "nobody has told, and nobody has sent".to_owned() } else { told.join("; ") };
    let rule = registered.map_or("one, whichever: an older build registers none".to_owned(), ToString::to_string);
    Finding::new(Part::Source, format!("provider {name}: the account of those who sent"), FROM)
        .rule(rule, "what one account has accepted no other knows: to send or to ask as another is to mail somebody twice")
        .found(value, another.is_empty())
        .mend(format!(
            "end these consumers and start them as the one in the rule; what the other account has accepted stands in its own log alone: look there before `issei resend {0} --as {0}-rest`",
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
