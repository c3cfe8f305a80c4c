//! Schedules that are chosen, not drawn: each aims at one guard of the protocol, at the one moment at
//! which nothing else would make up for its loss.

use std::time::Duration;

use issei_schema::InDoubtPolicy;
use issei_sim::{Fault, Rule};

use crate::plan::{Deed, Plan, WhenHanging};
use crate::run::{Ran, run_plan};

/// In the body of a claim, and of a confirmation, and of nothing else.
const CLAIM: &str = "SET chunk_state = :claimed";
const CONFIRM: &str = "message_ids = :ids";
const GIVE_BACK: &str = "granted = granted - :n";

/// Runs the schedules that aim at one guard.
pub type Aimed = fn() -> anyhow::Result<Vec<Ran>>;

/// Each guard by name.
pub const DIRECTED: [(&str, Aimed); 5] = [
    ("a claim that lands when its permit has expired sends nothing", late_claim),
    ("a rejection after the lease loses nobody", late_rejection),
    ("an open claim is not over while its request may still be accepted", request_under_way),
    ("a confirmation of the old owner changes nothing under a new claim", late_confirmation),
    ("permits given back after a recount do not count twice", late_give_back),
];

fn late_claim() -> anyhow::Result<Vec<Ran>> {
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

fn late_rejection() -> anyhow::Result<Vec<Ran>> {
    // The provider is too busy, the confirmation comes through when the lease is over, and another
    // consumer has the message in between.
    let of = |at_ms| {
        let plan = Plan {
            users: 1,
            consumers: 2,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).times(6),
            ],
            deeds: vec![(Duration::from_millis(at_ms), Deed::ShowAll)],
            calm_after: Duration::from_secs(8),
            unattended: true,
            ..Plan::calm()
        };
        run_plan(at_ms, plan)
    };
    (2_900..3_500).step_by(25).map(of).collect()
}

fn request_under_way() -> anyhow::Result<Vec<Ran>> {
    // The consumer dies with a request under way, which is accepted just within its lifetime.
    let of = |late| {
        let plan = Plan {
            users: 2,
            rules: vec![Rule::every("SendBulkEmail", Fault::LateMs(late)).times(1)],
            when_hanging: Some(WhenHanging::KillConsumers),
            close_every: Duration::from_millis(250),
            look_every: Duration::from_millis(100),
            calm_after: Duration::from_secs(8),
            ..Plan::calm()
        };
        run_plan(late, plan)
    };
    (3_000..5_000).step_by(100).map(of).collect()
}

fn late_confirmation() -> anyhow::Result<Vec<Ran>> {
    // The provider was too busy; the confirmation of that hangs about until evidence has opened the
    // chunk and another consumer is in the midst of sending.
    let of = |late| {
        let plan = Plan {
            users: 4,
            chunk_size: 1,
            policy: InDoubtPolicy::EvidenceRetry,
            rules: vec![
                Rule::every("SendBulkEmail", Fault::Throttle).after(3).times(1),
                Rule::every("UpdateItem", Fault::LateMs(late)).holding(CONFIRM).after(3).times(1),
                Rule::every("UpdateItem", Fault::HangBefore).holding(CONFIRM).after(3).times(3),
            ],
            when_hanging: Some(WhenHanging::KillConsumers),
            calm_after: Duration::from_mins(8),
            ..Plan::calm()
        };
        // One seed, so that evidence opens the chunk at the same moment each time: with the first sweep
        // after the wait, which the range covers.
        run_plan(1, plan)
    };
    (308_000..372_000).step_by(600).map(of).collect()
}

fn late_give_back() -> anyhow::Result<Vec<Ran>> {
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
