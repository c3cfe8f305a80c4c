//! What was posted to the address of the webhooks and no provider has signed: anybody may. It says nothing of any broadcast here; where
//! it names letters of this ledger it lies among the dead letters, which are counted by themselves.

use issei_ledger::{Ledger, OfNobody};
use issei_schema::{Bilingual, both};

use crate::data::{data, items, none};
use crate::finding::Finding;

/// How many calls were let go, and how many are kept since they may be the provider's.
pub async fn calls_that_nobody_signed(ledger: &Ledger) -> Finding {
    let finding = data(both!("events: that nobody has signed", "イベント: 誰の署名もないもの"), items(&["unsigned"])).must(
        both!(
            "none of them counts: what was let go names no letter of this ledger",
            "どれも数えない。破棄したものは、この台帳のどのメールも示していない"
        ),
        "anybody may call the webhooks' address; what names no letter of this ledger would not count if it were signed, and what does is kept",
    );
    match ledger.unsigned().await {
        Ok(calls) if calls.is_empty() => finding.is(none(), true),
        Ok(calls) => finding.is(Bilingual::join(calls.iter().map(OfNobody::told), ("; ", "。")), true),
        Err(error) => finding.failed(error),
    }
}

/// What may be the cause of dead letters among the events, and what mends it.
pub async fn kept_unsigned(ledger: &Ledger) -> Vec<Bilingual> {
    // What can't be read is a finding already.
    ledger.unsigned().await.unwrap_or_default().iter().filter_map(OfNobody::mended_by).collect()
}
