//! Who carried the broadcast: what can be asked of it, and what its answers prove; and its own count of what it sent, against
//! what the ledger calls accepted.
//!
//! What this must never do: hold a broadcast against a provider that had nothing to do with it.

use std::collections::BTreeMap;

use issei_aws::Clients;
use issei_ledger::Broadcast;
use issei_provider::{Counted, Facts, Known, Plane, Proof, Provider, Providers, Right, Span};
use issei_schema::{CarriedBy, ProviderName};
use jiff::Timestamp;

use crate::data::data;
use crate::deployed::{Deployed, Wanted, setting};
use crate::finding::Finding;

/// Who may have carried it: as the configuration has them, and those whose keys are at hand.
#[derive(Clone)]
pub struct Carriers {
    pub known: BTreeMap<ProviderName, Known>,
    pub connected: Providers,
}

/// What stands at whoever carried it. One that is not configured here is a finding of its own count.
pub(crate) async fn carrier(carriers: &Carriers, broadcast: &Broadcast, clients: &Clients, wanted: &Wanted) -> Vec<Finding> {
    let name = broadcast.provider.clone().unwrap_or_default();
    let Some(Known { facts, carried_by, .. }) = carriers.known.get(&name) else { return Vec::new() };
    let account = setting(format!("provider {name}: its account"), "ledger item `broadcast`, and the configuration here");
    let account = match (&broadcast.carried_by, carried_by) {
        (Some(registered), Some(here)) => account
            .rule(registered.to_string(), "what this finds of another account says nothing of the one that carried it")
            .found(here, !here.is_another_than(registered))
            .mend("certify with the configuration that the broadcast was registered with"),
        _ => account
            .rule("none", "an older build registers none")
            .found("none is registered: who carried it is known by its name alone", true),
    };
    let mut findings = vec![account];
    if let Plane::Shut { .. } = facts.plane {
        findings.extend(Deployed::at_ses(clients, wanted).await);
    } else {
        findings.extend([key(&name, facts, carriers.connected.get(&name)).await, events(&name, facts)]);
    }
    findings
}

/// Whether the key may send is what its provider can be asked, and proves nothing of what was sent.
async fn key(name: &ProviderName, facts: &Facts, provider: Option<&dyn Provider>) -> Finding {
    let why = "whether it may send now says what a sender that nobody knows of could do, and nothing of what was sent";
    let finding = |from: &str| setting(format!("provider {name}: its key"), from);
    let Some(provider) = provider else {
        let not_asked = format!("{} was not asked, since its key is not at hand here", facts.title);
        return finding("nothing was asked").rule("none", why).found(not_asked, true);
    };
    let standing = provider.standing(None).await;
    let finding = finding(standing.asked).rule("told", why);
    match standing.right {
        Right::MaySend(told) => finding.found(format!("may send: {told}"), true),
        Right::MayNot { why, .. } => finding.found(format!("may not send: {why}"), true),
        Right::Untold(why) => finding.unreadable(why).mend("certify again; look at the provider's status page if it stays so"),
    }
}

/// Of SES it can be read whether what becomes of a message is told. Of the others a key that only sends is not told.
fn events(name: &ProviderName, facts: &Facts) -> Finding {
    let signed = match facts.proof {
        Proof::Ecdsa => "signed by ECDSA",
        Proof::Hmac => "signed by HMAC",
        Proof::Sns => "signed by SNS",
    };
    setting(format!("provider {name}: its events"), "nothing is asked of it")
        .rule("none", "that they come is shown by those that came, and whoever had none is listed")
        .found(format!("its webhook, {signed}; whether it is turned on was not asked"), true)
}

/// What the provider itself has counted. Others may send through the account too, so it can only be too much.
pub(crate) async fn provider_count(carriers: &Carriers, broadcast: &Broadcast, accepted: u64, now: Timestamp) -> Finding {
    let name = broadcast.provider.clone().unwrap_or_default();
    let why = format!("what the ledger calls accepted, {name} must have counted");
    let own = |from: &str| data(&format!("{name}: its own count"), from);
    let Some(Known { facts, carried_by, .. }) = carriers.known.get(&name) else {
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
        let place = carried_by.as_ref().and_then(CarriedBy::account_in_words).unwrap_or_else(|| "its key".to_owned());
        let mend = format!("set {place} here, as a consumer has it, and certify again");
        return own("nothing was asked").rule(rule, why).unreadable("its key is not at hand here").mend(mend);
    };
    let ended_at = broadcast.last_step().map_or(now, |entry| entry.at);
    let span = Span { created_at: broadcast.created_at, begins_at: broadcast.begins_at(), ended_at, now };
    match provider.counted(span).await {
        Some(counted) => against(counted, accepted, &rule, &why),
        None => own("nothing was asked").rule(rule, why).unreadable("it does not count"),
    }
}

/// Too few are no want of a right: each has a next step of its own.
fn against(counted: Counted, accepted: u64, rule: &str, why: &str) -> Finding {
    let finding = data(counted.what, counted.asked).rule(rule, why);
    match counted.told {
        Ok(sent) => finding.found(sent, sent >= accepted).mend(counted.too_few),
        Err(error) => finding.unreadable(error).mend(counted.mend),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_told_too_few_is_not_advised_to_grant_what_is_granted() {
        let mend = |told| {
            let counted = Counted { what: "sent", asked: "GetAccount", told, mend: "grant ses:GetAccount", too_few: "certify again" };
            against(counted, 40, "40 or more", "it must have counted them").mend
        };
        assert_eq!(mend(Ok(39)).as_deref(), Some("certify again"));
        assert_eq!(mend(Err("AccessDenied".to_owned())).as_deref(), Some("grant ses:GetAccount"));
        assert_eq!(mend(Ok(40)), None);
    }
}
