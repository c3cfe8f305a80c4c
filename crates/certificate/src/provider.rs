//! Who carried the broadcast: what can be asked of it, and what its answers prove; and its own count of what it sent, against
//! what the ledger calls accepted.
//!
//! What this must never do: hold a broadcast against a provider that had nothing to do with it.

use std::collections::BTreeMap;

use issei_ledger::Broadcast;
use issei_provider::{Counted, Facts, Known, Proof, Provider, Providers, Right, Span};
use issei_schema::{Bilingual, CarriedBy, ProviderName, both};
use jiff::Timestamp;

use crate::data::{data, none};
use crate::deployed::{setting, stated};
use crate::finding::Finding;

/// Who may have carried it: as the configuration has them, and those whose keys are at hand.
#[derive(Clone)]
pub struct Carriers {
    pub known: BTreeMap<ProviderName, Known>,
    pub connected: Providers,
}

/// What stands at whoever carried it. One that is not configured here is a finding of its own count.
pub(crate) async fn carrier(carriers: &Carriers, broadcast: &Broadcast) -> Vec<Finding> {
    let name = broadcast.provider.clone().unwrap_or_default();
    let Some(Known { facts, carried_by, .. }) = carriers.known.get(&name) else { return Vec::new() };
    let account = setting(
        both!("provider {name}: its account", "送信事業者 {name}: アカウント"),
        both!("ledger item `broadcast`, and the configuration here", "台帳の項目 `broadcast` と、ここの設定"),
    );
    let account = match (&broadcast.carried_by, carried_by) {
        (Some(registered), Some(here)) => account
            .must(registered.told(), "what this finds of another account says nothing of the one that carried it")
            .is(here.told(), !here.is_another_than(registered))
            .mended_by(both!(
                "certify with the configuration that the broadcast was registered with",
                "一斉送信を登録したときの設定で `issei certify` を実行してください"
            )),
        _ => account.must(none(), "an older build registers none").is(
            both!("none is registered: who carried it is known by its name alone", "登録なし: 送信した事業者は名前だけが分かります"),
            true,
        ),
    };
    let mut findings = vec![account];
    let connected = carriers.connected.get(&name);
    let deployed = match connected {
        Some(provider) => provider.deployed().await,
        None => Vec::new(),
    };
    if deployed.is_empty() {
        findings.extend([key(&name, facts, connected).await, events(&name, facts)]);
    } else {
        findings.extend(deployed.into_iter().map(stated));
    }
    findings
}

/// Whether the key may send is what its provider can be asked, and proves nothing of what was sent.
async fn key(name: &ProviderName, facts: &Facts, provider: Option<&dyn Provider>) -> Finding {
    let why = "whether it may send now says what a sender that nobody knows of could do, and nothing of what was sent";
    let finding = |from| setting(both!("provider {name}: its key", "送信事業者 {name}: APIキー"), from);
    let Some(provider) = provider else {
        let not_asked =
            both!("{} was not asked, since its key is not at hand here", "APIキーがここにないため、{} には照会していません", facts.title);
        return finding(nothing_was_asked()).must(none(), why).is(not_asked, true);
    };
    let standing = provider.standing(None).await;
    let finding = finding(Bilingual::verbatim(standing.asked)).must(both!("told", "回答がある"), why);
    match standing.right {
        Right::MaySend(told) => finding.is(both!("may send: {told}", "送信できます。原文: {told}"), true),
        Right::MayNot { why, .. } => finding.is(both!("may not send: {why}", "送信できません。原文: {why}"), true),
        Right::Untold(why) => finding.failed(why).mended_by(both!(
            "certify again; look at the provider's status page if it stays so",
            "もう一度 `issei certify` を実行し、変わらない場合は事業者の障害情報を確認してください"
        )),
    }
}

/// Of SES it can be read whether what becomes of a message is told. Of the others a key that only sends is not told.
fn events(name: &ProviderName, facts: &Facts) -> Finding {
    let signed = match facts.proof {
        Proof::Ecdsa => "ECDSA",
        Proof::Hmac => "HMAC",
        Proof::Sns => "SNS",
    };
    setting(both!("provider {name}: its events", "送信事業者 {name}: イベント"), nothing_is_asked())
        .must(none(), "that they come is shown by those that came, and whoever had none is listed")
        .is(
            both!(
                "its webhook, signed by {signed}; whether it is turned on was not asked",
                "Webhook({signed}で署名)。有効かどうかは照会していません"
            ),
            true,
        )
}

/// What the provider itself has counted. Others may send through the account too, so it can only be too much.
pub(crate) async fn provider_count(carriers: &Carriers, broadcast: &Broadcast, accepted: u64, now: Timestamp) -> Finding {
    let name = broadcast.provider.clone().unwrap_or_default();
    let why = format!("what the ledger calls accepted, {name} must have counted");
    let own = |from| data(both!("{name}: its own count", "{name}: 事業者側の数"), from);
    let enough = || both!("{accepted} (accepted) or more", "{accepted}(受理)以上");
    let Some(Known { facts, carried_by, .. }) = carriers.known.get(&name) else {
        let mend = both!(
            "certify with a configuration that has [providers.{name}]",
            "[providers.{name}] のある設定で `issei certify` を実行してください"
        );
        return own(both!("the configuration", "設定"))
            .must(enough(), why)
            .not_read(both!("it is not configured here", "ここでは設定されていません"))
            .mended_by(mend);
    };
    if !facts.counts {
        let why = "what the ledger calls accepted rests on the provider's answers and events alone";
        let value = both!("{} documents no count of what it sent", "{} は送信数の照会方法を公開していません", facts.title);
        return own(nothing_is_asked()).must(none(), why).is(value, true);
    }
    let Some(provider) = carriers.connected.get(&name) else {
        let place = carried_by.as_ref().and_then(CarriedBy::account_in_words).unwrap_or_else(|| both!("its key", "APIキー"));
        let mend = both!(
            "set {} here, as a consumer has it, and certify again",
            "コンシューマーと同じように{}をここに設定して、もう一度 `issei certify` を実行してください",
            place
        );
        return own(nothing_was_asked())
            .must(enough(), why)
            .not_read(both!("its key is not at hand here", "APIキーがここにありません"))
            .mended_by(mend);
    };
    let ended_at = broadcast.last_step().map_or(now, |entry| entry.at);
    let span = Span { created_at: broadcast.created_at, begins_at: broadcast.begins_at(), ended_at, now };
    match provider.counted(span).await {
        Some(counted) => against(counted, accepted, enough(), &why, broadcast.broadcast_state.is_over()),
        None => own(nothing_was_asked()).must(enough(), why).not_read(both!("it does not count", "事業者は数えていません")),
    }
}

/// Too few are no want of a right: each has a next step of its own.
fn against(counted: Counted, accepted: u64, rule: Bilingual, why: &str, is_over: bool) -> Finding {
    let finding = data(counted.what, Bilingual::verbatim(counted.asked)).must(rule, why);
    match counted.told {
        // Such counts lag.
        Ok(sent) => finding.is(Bilingual::verbatim(sent), sent >= accepted).mended_by(counted.too_few).only_so_far(!is_over),
        Err(error) => finding.failed(error).mended_by(counted.mend),
    }
}

fn nothing_is_asked() -> Bilingual {
    both!("nothing is asked of it", "照会しません")
}

fn nothing_was_asked() -> Bilingual {
    both!("nothing was asked", "照会していません")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_told_too_few_is_not_advised_to_grant_what_is_granted() {
        let mend = |told| {
            let (mend, too_few) = (Bilingual::verbatim("grant ses:GetAccount"), Bilingual::verbatim("certify again"));
            let counted = Counted { what: Bilingual::verbatim("sent"), asked: "GetAccount", told, mend, too_few };
            against(counted, 40, Bilingual::verbatim("40 or more"), "it must have counted them", true).mend
        };
        assert_eq!(mend(Ok(39)).as_deref(), Some("certify again"));
        assert_eq!(mend(Err("AccessDenied".to_owned())).as_deref(), Some("grant ses:GetAccount"));
        assert_eq!(mend(Ok(40)), None);
    }
}
