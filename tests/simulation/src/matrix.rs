//! Every call that the services make, with every way in which a call can fail: one at a time, in a world
//! that is calm otherwise.

use issei_sim::{Fault, Rule};

use crate::plan::Plan;
use crate::run::{Ran, run_plan};

/// The ways.
pub const FAULTS: [(&str, Fault); 13] = [
    ("refused", Fault::Refused),
    ("lost before", Fault::ResetBefore),
    ("lost after", Fault::ResetAfter),
    ("500 before", Fault::ErrorBefore),
    ("500 after", Fault::ErrorAfter),
    ("403 in between", Fault::ReplacedAfter(403)),
    ("429", Fault::Throttle),
    ("hang before", Fault::HangBefore),
    ("hang after", Fault::HangAfter),
    ("truncated", Fault::TruncateAfter),
    ("answered late", Fault::AnswerMs(400)),
    ("in conflict", Fault::Conflict),
    ("half done", Fault::Unprocessed),
];

/// The operations that are called in a calm world, those of its setup among them.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn operations() -> anyhow::Result<Vec<String>> {
    Ok(run_plan(0, Plan::calm())?.operations)
}

/// A calm world in which `times` calls of an operation meet with a fault, after `after` that don't.
///
/// # Errors
/// Fails where the simulation itself can't be set up.
pub fn run_with(operation: &str, fault: Fault, after: u64, times: u64) -> anyhow::Result<Ran> {
    let rule = Rule::every(operation, fault).after(after).times(times);
    run_plan(after, Plan { rules: vec![rule], unattended: true, ..Plan::calm() })
}
