//! What a provider has told of letters of other ledgers that share its account: counted and let go, so that it lies in no queue. It
//! says nothing of any broadcast here, and is told for it is nowhere else any more.

use issei_ledger::{Ledger, OfOthers};
use issei_schema::{Bilingual, both};

use crate::data::{data, items, none};
use crate::finding::Finding;

/// How many events were let go, of which provider, and since when.
pub async fn events_of_others(ledger: &Ledger) -> Finding {
    let finding = data(both!("events: of other ledgers", "イベント: 別の台帳のもの"), items(&["others"])).must(
        both!(
            "none of them counts: each was signed by the provider, and its letter names another ledger",
            "どれも数えない。すべて事業者の署名があり、メールが別の台帳を示している"
        ),
        "a provider tells of all letters of its account; where no other ledger shares it, somebody else has its key",
    );
    match ledger.events_of_others().await {
        Ok(of_others) if of_others.is_empty() => finding.is(none(), true),
        Ok(of_others) => finding.is(Bilingual::join(of_others.iter().map(OfOthers::told), ("; ", "。")), true),
        Err(error) => finding.failed(error),
    }
}
