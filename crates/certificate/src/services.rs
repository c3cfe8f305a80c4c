//! The source part: every run of a producer, consumer and feedback consumer that took part, by its
//! heartbeats.

use std::time::Duration;

use issei_aws::Timing;
use issei_ledger::{Broadcast, Heartbeat, Ledger, LedgerError, ServiceKind, Timings, widest};
use issei_schema::{Bilingual, both};
use jiff::Timestamp;

use crate::data::{item, items};
use crate::finding::{Finding, Part};

/// What the heartbeats say.
pub(crate) struct Services {
    /// Those who took part, and those who are not over.
    pub(crate) relevant: Vec<Heartbeat>,
    pub(crate) findings: Vec<Finding>,
    /// The widest timeouts of those who could still send, and of whoever asks.
    pub(crate) widest: Timing,
}

/// Reads the heartbeats. How long a service that fell silent may still have anything under way follows from
/// its own timeouts; where its build does not tell them, from the widest that are known.
pub(crate) async fn read(ledger: &Ledger, broadcast: &Broadcast, own: &Timing, now: Timestamp) -> Services {
    let epoch = Finding::of(Part::Source, both!("the ledger's epoch", "台帳のepoch"), item("ledger lineage"));
    let all = Finding::of(Part::Source, both!("runs of services", "サービスの実行"), heartbeats());
    let (found, number) = match (ledger.heartbeats(broadcast.created_at).await, ledger.epoch().await) {
        (Ok(found), Ok(Some(number))) => (found, number),
        (Err(error), _) | (_, Err(error)) => return unreadable(&error, vec![epoch, all], own),
        (_, Ok(None)) => {
            let findings = vec![epoch.not_read(never_started())];
            return Services { relevant: Vec::new(), findings, widest: *own };
        }
    };
    // One that is not over goes on, whenever its last step was.
    let ended = broadcast.last_step().filter(|_| broadcast.broadcast_state.is_over()).map_or(now, |entry| entry.at);
    let widest = widest(&found, own, now).timing;
    let held = |run: &Heartbeat| held(run, own, &widest);
    let took_part = |run: &Heartbeat| run.started_at <= ended && run.over_at(held(run)) >= broadcast.created_at;
    // Whoever is not over could still send, whenever it began.
    let relevant: Vec<Heartbeat> = found.into_iter().filter(|run| took_part(run) || run.over_at(held(run)) > now).collect();
    let mut findings = vec![{
        let rule = both!("it can be read", "読み取れる");
        epoch.must(rule, "whoever works in an older one may have forgotten sends").is(Bilingual::verbatim(number), true)
    }];
    let sent = broadcast.granted > 0;
    for kind in [ServiceKind::Producer, ServiceKind::Consumer] {
        let count = relevant.iter().filter(|run| run.service == kind && took_part(run)).count();
        let needed = kind == ServiceKind::Producer || sent;
        let what = both!("runs of the {} that took part", "関わった {} の実行", kind.as_str());
        let rule = if needed {
            both!("at least one", "1つ以上")
        } else {
            both!("any number: no permit was granted", "いくつでもよい(送信許可は出ていない)")
        };
        let finding = Finding::of(Part::Source, what, heartbeats());
        let why = "what was done was done by somebody, whose build must be known";
        findings.push(finding.must(rule, why).is(Bilingual::verbatim(count), count > 0 || !needed));
    }
    findings.extend(relevant.iter().map(|run| judge(run, number, held(run), now)));
    findings.push(timeouts(&relevant, None, now));
    Services { relevant, findings, widest }
}

fn heartbeats() -> Bilingual {
    items(&["services#DAY"])
}

pub(crate) fn never_started() -> Bilingual {
    both!("no service has ever started with this ledger", "この台帳でサービスが起動したことはありません")
}

/// How long after it was last heard of a run may have anything under way.
pub(crate) fn held(run: &Heartbeat, own: &Timing, widest: &Timing) -> Duration {
    run.timings.map_or(*widest, |timings| own.widest(&timings.into())).claims_over_after()
}

/// Waits are counted with the widest timeouts of those who send, wherever they are known. That those alive differ,
/// or that one does not tell, is a finding all the same. `here` are those of whoever asks, where that matters.
#[must_use]
pub fn timeouts(runs: &[Heartbeat], here: Option<Timings>, now: Timestamp) -> Finding {
    let told = |timings: Option<Timings>| match timings {
        Some(timings) => timings.told(),
        None => both!("not told, since its build is older", "旧版のため記録なし"),
    };
    let alive = runs.iter().filter(|run| run.is_alive(now)).map(|run| (run.actor.as_str(), run.timings));
    let all: Vec<_> = here.map(|here| ("here", Some(here))).into_iter().chain(alive).collect();
    let is_same = all.iter().all(|(_, timings)| timings.is_some() && all.first().is_some_and(|(_, first)| timings == first));
    let value = match (is_same, all.first()) {
        (true, Some((_, timings))) => told(*timings),
        (true, None) => both!("nobody is alive", "稼働中のサービスなし"),
        (false, _) => Bilingual::join(all.iter().map(|(who, timings)| both!("{who}: {}", "{who}: {}", told(*timings))), ("; ", "。")),
    };
    Finding::of(Part::Source, both!("timeouts of those alive", "稼働中のサービスのタイムアウト"), heartbeats())
        .must(
            both!("told, and the same everywhere", "記録があり、すべて同じ"),
            "how long something may still be sent follows from the timeouts of whoever sends it",
        )
        .is(value, is_same)
        .mended_by(both!("start them with the same version and configuration", "同じ版と設定で起動してください"))
}

/// A run is known by its version and build, works in the ledger's epoch, and is over or alive: one that fell
/// silent may be stuck, and go on.
fn judge(run: &Heartbeat, epoch: u64, held: Duration, now: Timestamp) -> Finding {
    let finding = Finding::of(Part::Source, Bilingual::verbatim(&run.actor), heartbeats());
    let digest = |text: &str| text.chars().take(12).collect::<String>();
    let is_over = run.over_at(held) <= now;
    let state = match run.ended_at {
        Some(at) => both!("ended at {at:.0}", "{at:.0}に終了"),
        None if run.is_alive(now) => both!("alive, seen at {:.0}", "稼働中(最終確認{:.0})", run.seen_at),
        None => both!("silent since {:.0}", "{:.0}から応答なし", run.seen_at),
    };
    let value = both!(
        "version {}, build {}, settings {}, ledger epoch {}, {}",
        "版 {}、ビルド {}、設定 {}、台帳のepoch {}、{}",
        run.version,
        digest(&run.build),
        digest(&run.settings),
        run.ledger_epoch,
        state
    );
    let is_of_epoch = run.ledger_epoch == epoch || is_over;
    let is_known = !run.version.is_empty() && !run.build.is_empty();
    let holds = is_known && is_of_epoch && (is_over || run.is_alive(now));
    let rule = both!(
        "version and build known; in epoch {epoch}, or over; seen in the last 30 s, or ended, or silent for more than {} s",
        "版とビルドが分かり、epoch {epoch} にあるか終わっている。30秒以内に確認できたか、終了したか、{}秒を超えて応答がない",
        held.as_secs()
    );
    let mend = if is_of_epoch {
        both!(
            "wait until {}, or end that process, and certify again",
            "{}まで待つか、そのプロセスを終了して、もう一度 `issei certify` を実行してください",
            run.over_at(held)
        )
    } else {
        both!(
            "it works in the forgotten epoch {}: end that process, and certify again",
            "失われた epoch {} で動いています。そのプロセスを終了して、もう一度 `issei certify` を実行してください",
            run.ledger_epoch
        )
    };
    finding.must(rule, "a sender that nobody knows of could still send").is(value, holds).mended_by(mend)
}

fn unreadable(error: &LedgerError, findings: Vec<Finding>, own: &Timing) -> Services {
    let findings = findings.into_iter().map(|finding| finding.failed(error)).collect();
    Services { relevant: Vec::new(), findings, widest: *own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    const HELD: Duration = Duration::from_mins(5);
    const TIMINGS: Timings = Timings {
        send_ms: 5_000,
        permit_life_ms: 8_000,
        lease_ms: 20_000,
        handler_ms: 30_000,
        visibility_ms: 180_000,
        ledger_ms: 5_000,
        request_lifetime_ms: 300_000,
    };

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn run(seen_ago: SignedDuration, ended: bool, ledger_epoch: u64) -> Heartbeat {
        let seen_at = now().checked_sub(seen_ago).unwrap();
        Heartbeat {
            service: ServiceKind::Consumer,
            token: "t".to_owned(),
            actor: "issei consumer".to_owned(),
            version: "1".to_owned(),
            build: "b".to_owned(),
            settings: "s".to_owned(),
            ledger_epoch,
            started_at: seen_at,
            seen_at,
            ended_at: ended.then_some(seen_at),
            oldest_message_at: None,
            timings: None,
            configured: None,
            carries: None,
            keys: std::collections::BTreeMap::new(),
            in_hand: None,
            lacks: std::collections::BTreeSet::new(),
            unasked: Vec::new(),
        }
    }

    #[test]
    fn timeouts_that_differ_among_those_alive_are_a_finding_with_their_names() {
        let now = now();
        let told = |actor: &str, permit_life_ms: Option<u64>| {
            let timings = permit_life_ms.map(|permit_life_ms| Timings { permit_life_ms, ..TIMINGS });
            Heartbeat { actor: actor.to_owned(), timings, ..run(SignedDuration::from_secs(5), false, 2) }
        };
        let silent = Heartbeat { seen_at: now.checked_sub(SignedDuration::from_mins(2)).unwrap(), ..told("silent", Some(1)) };
        let same = [told("one", Some(8_000)), told("two", Some(8_000)), silent];
        assert!(timeouts(&same, None, now).holds() && timeouts(&[], None, now).holds());
        assert!(timeouts(&same, Some(TIMINGS), now).holds());
        for (others, here) in [
            ([told("one", Some(8_000)), told("two", Some(40_000))], None),
            ([told("one", Some(8_000)), told("two", None)], None),
            ([told("one", Some(40_000)), told("two", Some(40_000))], Some(TIMINGS)),
        ] {
            let finding = timeouts(&others, here, now);
            assert!(!finding.holds() && finding.value.contains("two: "), "{finding:?}");
        }
    }

    #[test]
    fn silence_is_not_an_end_until_nothing_can_be_held_any_more() {
        let (short, long) = (SignedDuration::from_mins(2), SignedDuration::from_mins(6));
        for (heartbeat, holds) in [
            (run(SignedDuration::from_secs(5), false, 2), true),
            (run(short, false, 2), false),
            (run(long, false, 2), true),
            (run(short, true, 2), true),
            // In an epoch that was given up, only an end will do.
            (run(SignedDuration::from_secs(5), false, 1), false),
            (run(short, false, 1), false),
            (run(short, true, 1), true),
            (run(long, false, 1), true),
        ] {
            assert_eq!(judge(&heartbeat, 2, HELD, now()).holds(), holds, "{heartbeat:?}");
        }
        let unknown = Heartbeat { build: String::new(), ..run(SignedDuration::from_secs(5), false, 2) };
        assert!(!judge(&unknown, 2, HELD, now()).holds());
    }
}
