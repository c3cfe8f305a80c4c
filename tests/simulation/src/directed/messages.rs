//! Guards of messages: none goes while it is the only thing that would cause a send.

use std::time::Duration;

use issei_clock::Held;
use issei_sim::{Fault, Rule};

use super::CLAIM;
use crate::plan::{Deed, Plan};
use crate::run::{Ran, run_plan};

pub(super) fn of_a_live_claim() -> anyhow::Result<Vec<Ran>> {
    // Every answer to the claim is lost until its permit is over, so nobody is sent to, and the message is only to be hidden
    // for a while. Meanwhile it is shown to another consumer, and the first one's receipt is worth nothing any more.
    let of = |at_ms| {
        let plan = Plan {
            users: 1,
            consumers: 2,
            rules: vec![Rule::every("UpdateItem", Fault::HangAfter).holding(CLAIM).times(4)],
            deeds: vec![(Duration::from_millis(at_ms), Deed::ShowAll)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    (0..2_500).step_by(50).map(of).collect()
}

pub(super) fn copy_fails() -> anyhow::Result<Vec<Ran>> {
    // The provider is too busy, so the message is to be replaced by a copy, and the queue takes none. Only copies
    // tell when they were sent first.
    let of = |(times, fault)| {
        let plan = Plan {
            users: 2,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).times(1),
                Rule::every("SendMessageBatch", fault).holding("sent_at_ms").times(times),
            ],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(times, plan)
    };
    [Fault::ErrorBefore, Fault::ResetBefore].into_iter().flat_map(|fault| [1, 4, 8, 16].map(|times| (times, fault))).map(of).collect()
}

pub(super) fn enqueuing_fails() -> anyhow::Result<Vec<Ran>> {
    let of = |(after, times)| {
        let plan = Plan {
            rules: vec![Rule::every("SendMessageBatch", Fault::ErrorBefore).after(after).times(times)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(after, plan)
    };
    (0..3).flat_map(|after| [1, 4, 8, 16].map(|times| (after, times))).map(of).collect()
}

pub(super) fn resumed_between_calls() -> anyhow::Result<Vec<Ran>> {
    // What the function knew when it was paused is as old as its last call, which its clocks do not show.
    let of = |(held, pause_ms)| {
        let ms = Duration::from_millis;
        let plan = Plan {
            users: 40,
            on_call: Some(held),
            rules: vec![Rule::every("SendBulkEmail", Fault::DelayMs(300))],
            deeds: vec![(ms(pause_ms), Deed::Pause), (ms(pause_ms + 4_000), Deed::Resume)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(pause_ms, plan)
    };
    [Held::Monotonic, Held::AllButWall, Held::Everything]
        .into_iter()
        .flat_map(|held| (0..1_200).step_by(200).map(move |ms| (held, ms)))
        .map(of)
        .collect()
}

pub(super) fn of_somebody_forgotten() -> anyhow::Result<Vec<Ran>> {
    // While messages wait, one by one; and while they are lost, so that a repair makes new ones from the pages.
    let of = |(at_ms, is_purged): (u64, bool)| {
        let at = Duration::from_millis(at_ms);
        let purge = is_purged.then_some((Duration::from_millis(900), Deed::Purge));
        let mut deeds: Vec<_> = purge.into_iter().chain([(at, Deed::Forget(1)), (at, Deed::Forget(7))]).collect();
        deeds.sort_by_key(|(at, _)| *at);
        let plan = Plan {
            rules: vec![Rule::every("SendBulkEmail", Fault::DelayMs(400))],
            deeds,
            forgets: vec![1, 7],
            calm_after: Duration::from_secs(8),
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    [false, true].into_iter().flat_map(|is_purged| (0..6_000).step_by(300).map(move |ms| (ms, is_purged))).map(of).collect()
}
