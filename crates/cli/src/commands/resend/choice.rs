//! Whom a broadcast has missed, and who of those skipped or spared can be mailed since.
//!
//! What this must never do: choose whoever was accepted or is in doubt, here or by another that says the same, or who does not want
//! such mail any more.

use std::collections::{BTreeSet, HashSet};

use anyhow::Context;
use issei_assembly::Parts;
use issei_ledger::{Broadcast, EventLog, Ledger, Outcome, SkipReason, kept_key};
use issei_producer::{AudienceConfig, each_by_the_list};
use issei_schema::{BroadcastCommand, Class, Recipient};

use super::files::Rows;
use super::{Known, Mark, Proof, Sent, mark};

/// Writes who was missed, and counts everybody.
pub(super) async fn choose(
    parts: &Parts,
    broadcast: &Broadcast,
    first: &BroadcastCommand,
    configured: Option<&AudienceConfig>,
    unique: bool,
    elsewhere: Sent,
    rows: &mut Rows,
) -> anyhow::Result<(Proof, Known)> {
    let (ledger, mut proof, mut known) = (parts.ledger(), Proof::default(), Known { elsewhere, ..Known::default() });
    let mut skipped = skipped(&ledger, broadcast, &mut proof).await?;
    let log = ledger.event_log(broadcast).await?;
    if broadcast.totals.is_none_or(|totals| totals.rejected > 0) {
        skipped.extend(spared(&ledger, broadcast, &log).await?);
    }
    let Judged { corrected, unwanted, wanted } = match configured {
        Some(configured) => judged(parts, first, configured, &skipped).await?,
        None => Judged::default(),
    };
    let is_unwanted = |key: &Mark| unwanted.contains(key) || wanted.as_ref().is_some_and(|wanted| !wanted.contains(key));
    for seq in 0..broadcast.pages {
        for found in ledger.page_outcomes(&broadcast.placed(), seq, &log).await? {
            let is_sent = found.is_sent();
            // Whoever was forgotten is counted, and is never sent to again.
            let Some(recipient) = found.recipient else {
                proof.forgotten += 1;
                continue;
            };
            let (key, address) = (mark(recipient.key.as_str()), mark(&recipient.address.identity()));
            // Who was spared comes back as the skipped do, once they are on the list no more.
            if found.spared.is_some() {
                proof.spared += 1;
                continue;
            }
            known.addresses.insert(address);
            if unique && is_sent {
                known.sent.addresses.insert(address);
            }
            match found.outcome {
                Some(Outcome::Accepted) => proof.accepted += u64::from(known.sent.keys.insert(key)),
                Some(Outcome::InDoubt | Outcome::Open) => proof.in_doubt += u64::from(known.sent.keys.insert(key)),
                Some(Outcome::Rejected) => proof.rejected += u64::from(known.done.insert(key)),
                None | Some(Outcome::Retryable) if is_unwanted(&key) => proof.unwanted += u64::from(known.done.insert(key)),
                None | Some(Outcome::Retryable) if known.elsewhere.holds(&recipient) => {
                    proof.elsewhere += u64::from(known.done.insert(key));
                }
                None | Some(Outcome::Retryable) => {
                    proof.missing += u64::from(known.done.insert(key));
                    rows.write(&recipient)?;
                }
            }
        }
    }
    for recipient in corrected {
        let (key, address) = (mark(recipient.key.as_str()), mark(&recipient.address.identity()));
        let has_it = known.sent.keys.contains(&key) || unique && known.addresses.contains(&address);
        if !has_it && known.elsewhere.holds(&recipient) {
            proof.elsewhere += u64::from(known.done.insert(key));
        } else if !has_it && known.done.insert(key) {
            known.addresses.insert(address);
            proof.corrected += 1;
            rows.write(&recipient)?;
        }
    }
    Ok((proof, known))
}

/// What the configured audience says now, and the list.
#[derive(Default)]
struct Judged {
    /// Who was skipped and can be mailed.
    corrected: Vec<Recipient>,
    /// Keys of those who don't want such mail, by the address of any of their rows: a frozen page knows one of them alone.
    unwanted: HashSet<Mark>,
    /// Of marketing: keys of those alone who want it now, and can be mailed. Whoever is not there any more has not agreed.
    wanted: Option<HashSet<Mark>>,
}

async fn judged(
    parts: &Parts,
    first: &BroadcastCommand,
    configured: &AudienceConfig,
    skipped: &BTreeSet<String>,
) -> anyhow::Result<Judged> {
    let (ledger, spool, mut all) = (parts.ledger(), parts.settings.spool_directory(), Judged::default());
    all.wanted = (first.class() == Class::Marketing).then(HashSet::new);
    let read = each_by_the_list(first, configured, &spool, &ledger, |judged| {
        if let (Some(wanted), Ok(recipient)) = (&mut all.wanted, &judged) {
            wanted.insert(mark(recipient.key.as_str()));
        }
        match judged {
            Ok(recipient) if skipped.contains(&kept_key(recipient.key.as_str())) => all.corrected.push(recipient),
            Err((key, SkipReason::Complained | SkipReason::Unsubscribed | SkipReason::Suppressed)) => {
                all.unwanted.insert(mark(&key));
            }
            Ok(_) | Err(_) => {}
        }
    });
    read.await.with_context(|| {
        format!(
            "the audience `{}`, in which it is looked for who was skipped and can be mailed since, and for who does not want such mail any more",
            first.audience
        )
    })?;
    Ok(all)
}

/// The keys of those who were spared, as those of the skipped are kept.
async fn spared(ledger: &Ledger, broadcast: &Broadcast, log: &EventLog) -> anyhow::Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for seq in 0..broadcast.pages {
        let outcomes = ledger.page_outcomes(&broadcast.placed(), seq, log).await?;
        let spared = outcomes.iter().filter(|found| found.spared.is_some()).filter_map(|found| found.recipient.as_ref());
        keys.extend(spared.map(|recipient| kept_key(recipient.key.as_str())));
    }
    Ok(keys)
}

/// The keys of those who were skipped, as they are kept. One that an older build cut is never equal to a row's.
async fn skipped(ledger: &Ledger, broadcast: &Broadcast, proof: &mut Proof) -> anyhow::Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for seq in 0..broadcast.pages {
        let page = ledger.page(&broadcast.placed(), seq).await?;
        proof.skipped += page.forgotten_rows();
        for skipped in page.skipped() {
            proof.skipped += skipped.rows;
            keys.insert(skipped.key.clone());
        }
    }
    Ok(keys)
}
