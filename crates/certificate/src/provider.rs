//! The provider's own count of what it sent, against what the ledger calls accepted.

use std::collections::BTreeMap;

use issei_ledger::Broadcast;
use issei_provider::{Known, Providers, Span};
use issei_schema::ProviderName;
use jiff::Timestamp;

use crate::data::data;
use crate::finding::Finding;

/// Who may have carried it: as the configuration has them, and those whose keys are at hand.
#[derive(Clone)]
pub struct Carriers {
    pub known: BTreeMap<ProviderName, Known>,
    pub connected: Providers,
}

/// What the provider itself has counted. Others may send through the account too, so it can only be too much.
pub(crate) async fn provider_count(carriers: &Carriers, broadcast: &Broadcast, accepted: u64, now: Timestamp) -> Finding {
    let name = broadcast.provider.clone().unwrap_or_default();
    let why = format!("what the ledger calls accepted, {name} must have counted");
    let own = |from: &str| data(&format!("{name}: its own count"), from);
    let Some(Known { facts, .. }) = carriers.known.get(&name) else {
        let mend = format!("certify with a configuration that has [providers.{name}]");
        return own("the configuration")
            .rule(format!("{accepted} (accepted) or more"), why)
            .unreadable("it is not configured here")
            .mend(mend);
    };
    if !facts.counts {
        let why = "what the ledger calls accepted rests on the provider's answers and events alone";
        return own("nothing is asked of it").rule("none", why).found(format!("{} documents no count of what it sent", facts.title), true);
    }
    let rule = format!("{accepted} (accepted) or more");
    let Some(provider) = carriers.connected.get(&name) else {
        let mend = "set the environment variable of its key, as a consumer has it";
        return own("nothing was asked").rule(rule, why).unreadable("its key is not at hand here").mend(mend);
    };
    let ended_at = broadcast.last_step().map_or(now, |entry| entry.at);
    let span = Span { created_at: broadcast.created_at, begins_at: broadcast.begins_at(), ended_at, now };
    match provider.counted(span).await {
        Some(counted) => {
            let finding = data(counted.what, counted.asked).rule(rule, why);
            match counted.told {
                Ok(sent) => finding.found(sent, sent >= accepted).mend(counted.mend),
                Err(error) => finding.unreadable(error).mend(counted.mend),
            }
        }
        None => own("nothing was asked").rule(rule, why).unreadable("it does not count"),
    }
}
