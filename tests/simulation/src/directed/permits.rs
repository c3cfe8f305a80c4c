//! Guards of permits: how long they live, and that they are counted once.

use std::time::Duration;

use issei_aws::Timing;
use issei_sim::{Fault, Rule};

use super::{BEAT, CLAIM, GIVE_BACK, GRANT};
use crate::plan::{Deed, Plan, Scheduled, WhenHanging};
use crate::run::{Ran, run_plan};

/// Permits that live for longer than a stop would wait by anybody else's timeouts.
const PATIENT: Timing = Timing {
    send: Duration::from_secs(1),
    permit_life: Duration::from_secs(20),
    ledger: Duration::from_secs(24),
    lease: Duration::from_secs(30),
    handler: Duration::from_secs(31),
    visibility: Duration::from_secs(190),
    request_lifetime: Duration::from_secs(25),
};

pub(super) fn late_claim() -> anyhow::Result<Vec<Ran>> {
    // The ledger takes no claim for longer than a permit lives, and the operator stops meanwhile.
    let of = |times| {
        let plan = Plan {
            rules: vec![Rule::every("UpdateItem", Fault::HangBefore).holding(CLAIM).times(times)],
            when_hanging: Some(WhenHanging::Stop),
            ..Plan::calm()
        };
        run_plan(times, plan)
    };
    (1..=24).map(of).collect()
}

pub(super) fn slow_grant() -> anyhow::Result<Vec<Ran>> {
    // The answer to the grant takes almost as long as a call may, the operator stops meanwhile, and the claim hangs
    // until the permit has just expired.
    let of = |at_ms| {
        let plan = Plan {
            users: 2,
            rules: vec![
                Rule::every("UpdateItem", Fault::AnswerMs(480)).holding(GRANT),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CLAIM).times(2),
            ],
            deeds: vec![(Duration::from_millis(at_ms), Deed::Stop)],
            look_every: Duration::from_secs(1),
            ..Plan::calm()
        };
        run_plan(1, plan)
    };
    (0..1_200).step_by(20).map(of).collect()
}

pub(super) fn late_give_back() -> anyhow::Result<Vec<Ran>> {
    let of = |late| {
        let plan = Plan {
            users: 6,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).after(2).times(1),
                Rule::every("UpdateItem", Fault::LateMs(late)).holding(GIVE_BACK),
            ],
            calm_after: Duration::from_secs(20),
            ..Plan::calm()
        };
        run_plan(late, plan)
    };
    (1_000..12_000).step_by(500).map(of).collect()
}

pub(super) fn lost_give_back() -> anyhow::Result<Vec<Ran>> {
    let of = |after| {
        let plan = Plan {
            users: 6,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).after(after).times(1),
                Rule::every("UpdateItem", Fault::ResetAfter).holding(GIVE_BACK).times(1),
            ],
            unattended: true,
            ..Plan::calm()
        };
        run_plan(after, plan)
    };
    (0..3).map(of).collect()
}

pub(super) fn early_end() -> anyhow::Result<Vec<Ran>> {
    // A claim is on its way under a permit when the operator stops, and the producer looks often.
    let of = |at_ms| {
        let plan = Plan {
            rules: vec![Rule::every("UpdateItem", Fault::HangBefore).holding(CLAIM).times(2)],
            deeds: vec![(Duration::from_millis(at_ms), Deed::Stop)],
            close_every: Duration::from_millis(100),
            look_every: Duration::from_millis(50),
            ..Plan::calm()
        };
        run_plan(1, plan)
    };
    (0..1_000).step_by(50).map(of).collect()
}

pub(super) fn wider_timeouts() -> anyhow::Result<Vec<Ran>> {
    // The same, and permits live for longer than whoever ends the broadcast would wait by its own settings.
    let of = |at_ms| {
        let plan = Plan {
            rules: vec![Rule::every("UpdateItem", Fault::HangBefore).holding(CLAIM).times(2)],
            deeds: vec![(Duration::from_millis(at_ms), Deed::Stop)],
            close_every: Duration::from_millis(500),
            look_every: Duration::from_millis(500),
            calm_after: Duration::from_mins(1),
            senders: Some(PATIENT),
            ..Plan::calm()
        };
        run_plan(1, plan)
    };
    (0..1_000).step_by(100).map(of).collect()
}

pub(super) fn said_before() -> anyhow::Result<Vec<Ran>> {
    // A beat says that nothing is held, and is on its way for long. Then another broadcast is asked for, permits are
    // granted, it is stopped; and the beat lands, after whoever proves the stop has looked first.
    let of = |at_ms| {
        let deeds = [(10_100, Deed::Another), (at_ms, Deed::Stop), (at_ms, Deed::Stop)];
        let plan = Plan {
            rules: vec![
                Rule::every("PutItem", Fault::LateMs(7_000)).holding(BEAT).after(1).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CLAIM).after(5).times(8),
            ],
            deeds: deeds.map(|(at_ms, deed)| (Duration::from_millis(at_ms), deed)).to_vec(),
            look_every: Duration::from_millis(500),
            calm_after: Duration::from_mins(1),
            senders: Some(PATIENT),
            proves: true,
            ..Plan::calm()
        };
        run_plan(1, plan)
    };
    (10_500..12_500).step_by(250).map(of).collect()
}

pub(super) fn rate() -> anyhow::Result<Vec<Ran>> {
    let of = |consumers| {
        let plan = Plan { users: 300, page_size: 60, chunk_size: 10, consumers, max_send_rate: Some(60), ..Plan::calm() };
        run_plan(1, plan)
    };
    [1, 3].map(of).into_iter().collect()
}

pub(super) fn window_closes() -> anyhow::Result<Vec<Ran>> {
    // It opens seconds before it closes, and the ledger takes a claim when it has closed, while the permit still lives.
    let of = |after_ms| {
        let plan = Plan {
            scheduled: Some(Scheduled { not_before_s: Some(59), window: Some((0, 1, "Asia/Tokyo", 540)) }),
            rules: vec![Rule::every("UpdateItem", Fault::AnswerMs(after_ms)).holding(CLAIM)],
            calm_after: Duration::from_secs(70),
            close_every: Duration::from_millis(100),
            // Whatever is asked for last stays to be seen.
            look_every: Duration::from_millis(250),
            ..Plan::calm()
        };
        run_plan(after_ms, plan)
    };
    (0..1_400).step_by(40).map(of).collect()
}
