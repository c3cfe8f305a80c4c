//! Guards of the one repeat that there is: under which key, until when, and what binds it.

use std::time::Duration;

use issei_aws::Timing;
use issei_sim::{EntryRule, Fault, Rule};

use super::CLAIM;
use crate::plan::{Deed, Plan, WhenHanging};
use crate::remembering::{SHORT_WINDOW, WINDOW};
use crate::run::{Ran, run_plan};
use crate::world::TIMING;

/// No event comes, so that nothing but an answer ends doubt.
fn by_keys() -> Plan {
    Plan { keys: Some(WINDOW), events_lost: 1.0, ..Plan::calm() }
}

pub(super) fn lost_answers() -> anyhow::Result<Vec<Ran>> {
    let lost = [Fault::ResetBefore, Fault::ResetAfter, Fault::HangBefore, Fault::HangAfter, Fault::TruncateAfter, Fault::ErrorAfter];
    let of = |(fault, times, kill): (Fault, u64, bool)| {
        let plan = Plan {
            rules: vec![Rule::every("SendBulkEmail", fault).after(1).times(times)],
            when_hanging: kill.then_some(WhenHanging::KillConsumers),
            calm_after: Duration::from_secs(20),
            ..by_keys()
        };
        run_plan(times, plan)
    };
    let all = lost.into_iter().flat_map(|fault| [1, 2, 4].map(|times| [false, true].map(|kill| (fault, times, kill))));
    all.flatten().map(of).collect()
}

pub(super) fn refused_repeats() -> anyhow::Result<Vec<Ran>> {
    // Of one chunk, so that whatever comes after its first request, whose answer is lost, are repeats of it.
    let of = |(fault, times): (Fault, u64)| {
        let plan = Plan {
            users: 2,
            rules: vec![Rule::every("SendBulkEmail", Fault::ResetAfter).times(1), Rule::every("SendBulkEmail", fault).times(times)],
            calm_after: Duration::from_secs(20),
            ..by_keys()
        };
        run_plan(times, plan)
    };
    let refused = [Fault::Throttle, Fault::Refused, Fault::ResetBefore, Fault::ErrorBefore, Fault::HangBefore];
    refused.into_iter().flat_map(|fault| [1, 2, 3].map(|times| (fault, times))).map(of).collect()
}

/// One address of each chunk is refused for as long as anybody asks, and of the calls that come of it each in turn is lost, or has
/// its consumer killed.
pub(super) fn refused_wholes() -> anyhow::Result<Vec<Ran>> {
    let lost = [Fault::ResetBefore, Fault::ResetAfter, Fault::HangBefore, Fault::HangAfter];
    let of = |(fault, after, kill): (Fault, u64, bool)| {
        let refuses = |user: &str| EntryRule { address: user.to_owned(), status: "BAD_REQUEST: Illegal address".to_owned(), times: None };
        let plan = Plan {
            users: 8,
            chunk_size: 4,
            rules: vec![Rule::every("SendBulkEmail", fault).after(after).times(2)],
            refuses: vec![refuses("user2@"), refuses("user7@")],
            when_hanging: kill.then_some(WhenHanging::KillConsumers),
            calm_after: Duration::from_mins(1),
            ..by_keys()
        };
        run_plan(after, plan)
    };
    let all = lost.into_iter().flat_map(|fault| (0..10).flat_map(move |after| [false, true].map(|kill| (fault, after, kill))));
    all.map(of).collect()
}

/// Of one part the answer is lost, and another part is not taken, so that it is claimed again while the first is in doubt.
pub(super) fn throttled_parts() -> anyhow::Result<Vec<Ran>> {
    let of = |(fault, after): (Fault, u64)| {
        let status = "BAD_REQUEST: Illegal address".to_owned();
        let rule = |fault, after| Rule::every("SendBulkEmail", fault).after(after).times(1);
        let plan = Plan {
            users: 4,
            chunk_size: 4,
            rules: vec![rule(fault, after), rule(Fault::Throttle, after + 1)],
            refuses: vec![EntryRule { address: "user2@".to_owned(), status, times: None }],
            calm_after: Duration::from_mins(1),
            ..by_keys()
        };
        run_plan(after, plan)
    };
    let lost = [Fault::ResetBefore, Fault::ResetAfter];
    lost.into_iter().flat_map(|fault| (0..6).map(move |after| (fault, after))).map(of).collect()
}

/// The first request is late, and whoever asks meanwhile is refused for the sake of somebody who is let through before it comes.
pub(super) fn late_wholes() -> anyhow::Result<Vec<Ran>> {
    let of = |late_ms: u64| {
        let plan = Plan {
            users: 4,
            chunk_size: 4,
            rules: vec![Rule::every("SendBulkEmail", Fault::LateMs(late_ms)).times(1)],
            refuses: vec![EntryRule { address: "user2@".to_owned(), status: "BAD_REQUEST: Illegal address".to_owned(), times: None }],
            // As at a provider that refuses nothing for its age.
            senders: Some(Timing { request_lifetime: Duration::from_mins(1), ..TIMING }),
            calm_after: Duration::from_secs(8),
            ..by_keys()
        };
        run_plan(late_ms, plan)
    };
    (4_000..20_000).step_by(250).map(of).collect()
}

pub(super) fn forgotten_keys() -> anyhow::Result<Vec<Ran>> {
    // The answer is lost, and the consumer is away until the provider has all but forgotten, or has.
    let of = |away_s| {
        let plan = Plan {
            users: 2,
            keys: Some(SHORT_WINDOW),
            rules: vec![Rule::every("SendBulkEmail", Fault::HangAfter).times(1)],
            deeds: vec![(Duration::from_millis(900), Deed::Crash { service: 2, down_for: Duration::from_secs(away_s) })],
            calm_after: Duration::from_mins(6),
            ..by_keys()
        };
        run_plan(away_s, plan)
    };
    (200..260).step_by(4).map(of).collect()
}

pub(super) fn stops() -> anyhow::Result<Vec<Ran>> {
    // Nothing arrives the first time, so that what is asked about may be the first that is accepted.
    let of = |at_ms| {
        let plan = Plan {
            users: 4,
            consumers: 2,
            rules: vec![Rule::every("SendBulkEmail", Fault::ResetBefore).times(3)],
            deeds: vec![(Duration::from_millis(at_ms), Deed::Stop)],
            look_every: Duration::from_millis(100),
            calm_after: Duration::from_secs(12),
            ..by_keys()
        };
        run_plan(at_ms, plan)
    };
    (200..4_000).step_by(100).map(of).collect()
}

pub(super) fn late_claims() -> anyhow::Result<Vec<Ran>> {
    // The consumer dies, and its claim hangs about until a recount has given the permit to others.
    let of = |late_ms| {
        let plan = Plan {
            users: 4,
            consumers: 2,
            rules: vec![Rule::every("UpdateItem", Fault::LateMs(late_ms)).holding(CLAIM).times(1)],
            deeds: vec![(Duration::from_millis(600), Deed::Crash { service: 2, down_for: Duration::from_mins(1) })],
            calm_after: Duration::from_mins(2),
            ..by_keys()
        };
        run_plan(late_ms, plan)
    };
    (1_000..60_000).step_by(3_000).map(of).collect()
}
