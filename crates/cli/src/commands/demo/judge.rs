//! Judging the demo: each user of the table against the provider's own record.

use std::collections::BTreeSet;

use issei_assembly::Parts;
use issei_ledger::{EventLog, Outcome};
use issei_schema::BroadcastId;
use issei_sim::Cloud;

use super::users::Users;

/// What the comparison found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judged {
    pub(super) audience: u64,
    /// Users for whom the provider accepted more than one request.
    pub(super) duplicates: u64,
    /// Users for whom it accepted none, and whom the ledger lists neither as skipped nor in doubt.
    pub(super) missing: u64,
    /// Users whom the ledger lists as in doubt, whether the provider accepted them or not.
    pub(super) in_doubt: u64,
    pub(super) skipped: u64,
}

pub(super) async fn judge(parts: &Parts, cloud: &Cloud, id: &BroadcastId, url: &str) -> anyhow::Result<Judged> {
    let ledger = parts.ledger();
    let broadcast = ledger.broadcast(id).await?;
    let placed = broadcast.placed();
    let (mut in_doubt, mut skipped) = (BTreeSet::new(), BTreeSet::new());
    for seq in 0..broadcast.pages {
        skipped.extend(ledger.page(&placed, seq).await?.skipped().map(|skipped| skipped.key.clone()));
        for recipient in ledger.page_outcomes(&placed, seq, &EventLog::default()).await? {
            // A claim that was never confirmed is in doubt once its lease is over, and all are.
            if matches!(recipient.outcome, Some(Outcome::InDoubt | Outcome::Open)) {
                in_doubt.extend(recipient.recipient.map(|recipient| recipient.key.as_str().to_owned()));
            }
        }
    }
    let mut judged = Judged { in_doubt: in_doubt.len() as u64, skipped: skipped.len() as u64, ..Judged::default() };
    let mut users = Users::open(url).await?;
    loop {
        let some = users.next().await?;
        if some.is_empty() {
            return Ok(judged);
        }
        for (user, address) in some {
            judged.audience += 1;
            let accepted = address.map_or(Ok(0), |address| cloud.sent_for(id.as_str(), &address).map(|sent| sent.accepted))?;
            let key = user.to_string();
            judged.duplicates += u64::from(accepted > 1);
            judged.missing += u64::from(accepted == 0 && !in_doubt.contains(&key) && !skipped.contains(&key));
        }
    }
}
