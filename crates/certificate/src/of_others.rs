//! What a provider has told of letters of other ledgers that share its account: counted and let go, so that it lies in no queue. It
//! says nothing of any broadcast here, and is told for it is nowhere else any more.

use issei_ledger::{Ledger, OfOthers};

use crate::data::data;
use crate::finding::Finding;

/// How many events were let go, of which provider, and since when.
pub async fn events_of_others(ledger: &Ledger) -> Finding {
    let finding = data("events: of other ledgers", "ledger items `others`").rule(
        "none of them counts: each was signed by the provider, and its letter names another ledger",
        "a provider tells of all letters of its account; where no other ledger shares it, somebody else has its key",
    );
    match ledger.events_of_others().await {
        Ok(of_others) if of_others.is_empty() => finding.found("none", true),
        Ok(of_others) => finding.found(of_others.iter().map(OfOthers::to_string).collect::<Vec<_>>().join("; "), true),
        Err(error) => finding.unreadable(error),
    }
}
