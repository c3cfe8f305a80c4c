//! Refusals by the provider: of some recipients for their own sake, or of everybody for the sender's, in an answer for each
//! or of whole calls, once, some times, or as long as anything goes wrong.

use issei_clock::Dice;
use issei_sim::EntryRule;

/// Of the call as a whole, for one recipient's sake.
const OF_CALLS: [&str; 3] = ["BAD_REQUEST", "CALL_REJECTED", "BAD_REQUEST: Illegal address"];
/// Of one entry of it.
const OF_ENTRIES: [&str; 3] = ["MESSAGE_REJECTED", "MESSAGE_REJECTED: Illegal address", "INVALID_PARAMETER"];
/// None of them is the recipient's.
const OF_NOBODY: [&str; 5] =
    ["ACCOUNT_THROTTLED", "ACCOUNT_SENDING_PAUSED", "TRANSIENT_FAILURE", "FAILED", "MESSAGE_REJECTED: not verified"];

/// Everybody.
const ALL: &str = "@";

/// Now and then some are refused. A provider that remembers keys takes a request as a whole or not at all.
pub(crate) fn drawn(dice: &Dice, has_keys: bool) -> Vec<EntryRule> {
    if !dice.chance(if has_keys { 0.4 } else { 0.15 }) {
        return Vec::new();
    }
    let statuses = if has_keys { OF_CALLS.to_vec() } else { [&OF_CALLS[..], &OF_ENTRIES, &OF_NOBODY].concat() };
    let one = |_| {
        let mut status = statuses.get(usize::try_from(dice.below(statuses.len() as u64)).unwrap_or(0)).copied().unwrap_or_default();
        let (user, times) = (format!("user{}@", dice.below(9)), dice.chance(0.5).then(|| 1 + dice.below(4)));
        // Of everybody, and always: else those who are refused may rightly be charged with it. A sender whose own address can't
        // be read is never let through later.
        let (address, times) = if dice.chance(0.2) { (ALL.to_owned(), None) } else { (user, times) };
        status = if address == ALL { status.split(": Illegal").next().unwrap_or_default() } else { status };
        EntryRule { address, status: status.to_owned(), times }
    };
    (0..=dice.below(2)).map(one).collect()
}

/// Whether the provider has refused this address for its own sake, so that it may be recorded as rejected.
pub(crate) fn may_be_charged(rules: &[EntryRule], address: &str) -> bool {
    let is_own = |status: &str| OF_CALLS.contains(&status) || OF_ENTRIES.contains(&status);
    rules.iter().any(|rule| rule.address != ALL && address.starts_with(&rule.address) && is_own(&rule.status))
}
