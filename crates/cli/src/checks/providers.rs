//! Whether each provider's key is at hand and may send, by what the provider says when it is asked; and whether its webhooks
//! would be believed. Nothing is sent for it.

use issei_assembly::{Fetched, KeySource, Parts};
use issei_aws::NOT_CONNECTED;
use issei_certificate::{Finding, calls_that_nobody_signed, events_of_others};
use issei_provider::Right;
use issei_schema::{Mailbox, ProviderName};

use super::InEnglish;
use super::setting;

/// What each says of its key; SES where it is used.
pub(crate) async fn standings(parts: &Parts, from: Option<&Mailbox>, uses_ses: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if uses_ses {
        findings.push(standing(parts, &ProviderName::default(), "the AWS credentials", from).await);
    }
    let fetched = parts.fetched(|_, webhooks| webhooks.iter().collect()).await;
    for (name, key, webhooks) in parts.settings.keys_of_providers() {
        findings.push(standing(parts, name, &key.to_string(), from).await);
        findings.push(events(parts, name, webhooks, &fetched));
    }
    if parts.settings.keys_of_providers().next().is_some() {
        findings.push(events_of_others(&parts.ledger()).await.mend("issei setup"));
        findings.push(calls_that_nobody_signed(&parts.ledger()).await.mend("issei setup"));
    }
    findings
}

async fn standing(parts: &Parts, name: &ProviderName, key: &str, from: Option<&Mailbox>) -> Finding {
    let finding = |from: &str| {
        setting(&format!("provider {name}: its key"), from)
            .rule("may send", "a key that may not pauses every broadcast by it at its first send")
    };
    let (providers, mut lacking) = parts.providers_at_hand().await;
    if let Some(error) = lacking.remove(name) {
        return finding("where its key is").unreadable(format!("{error:#}")).mend(format!("mend {key}, here and wherever a consumer runs"));
    }
    let Some(provider) = providers.get(name) else {
        let mend = format!("set {key}, here and wherever a consumer runs");
        return finding("the environment").unreadable(format!("{key} is not set here")).mend(mend);
    };
    let standing = provider.standing(from).await;
    let finding = finding(standing.asked);
    match standing.right {
        Right::MaySend(told) => finding.found(format!("{}: {told}", provider.facts().title), true),
        Right::MayNot { why, mend } => finding.found(format!("{}: {why}", provider.facts().title), false).mend(mend),
        Right::Untold(why) => unasked(finding, why, provider.facts().title, *name == ProviderName::default()),
    }
}

/// Of a provider that could not be asked. What is said of AWS is of no use where another was not reached.
fn unasked(finding: Finding, why: String, title: &str, is_ses: bool) -> Finding {
    let is_connected = !why.contains(NOT_CONNECTED);
    let mut finding = finding.unreadable(why);
    if !is_ses {
        finding.mend = None;
    }
    finding.mend(if is_ses || is_connected {
        "ask again; look at the provider's status page if it stays so".to_owned()
    } else {
        format!("see that {title}'s API can be reached from here (network, DNS, proxy, `base_url`), and look again")
    })
}

/// A key that is not at hand here may be where the feedback consumer runs; one that nobody has named is nowhere.
fn events(parts: &Parts, name: &ProviderName, keys: &[KeySource], fetched: &Fetched) -> Finding {
    let finding = setting(&format!("provider {name}: the keys of its webhooks"), "the configuration, and where it says that they are")
        .rule(
            "one or more, each set and a key",
            "a feedback consumer believes no webhook without, and then doubt does not end; with one that is no key it does not start",
        );
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for key in keys {
        // As the feedback consumer takes it.
        match (fetched.key(key), parts.settings.has_webhook_key(name, key, fetched)) {
            (Ok(Some(_)), Err(why)) => wrong.push(format!("{why:#}")),
            (Err(why), _) => missing.push(why),
            (Ok(None), _) => missing.push(format!("{key} is not set here")),
            (Ok(Some(_)), Ok(_)) => {}
        }
    }
    if !wrong.is_empty() {
        let mend = "copy the key of the webhook once more from the provider's dashboard (SendGrid: the verification key of the event webhook's security settings; Resend: the signing secret of the webhook), whole and without quotes, and set it wherever a feedback consumer runs";
        return finding.found(wrong.join("; "), false).mend(mend);
    }
    let finding = match (keys, missing.as_slice()) {
        ([], _) => finding.found("none is configured", false),
        (_, []) => finding.found(format!("{} at hand", keys.len()), true),
        (_, missing) => finding.unreadable(missing.join("; ")),
    };
    finding
        .mend(format!("turn on signatures for the webhook at the provider, and name the variable or the secret of the key in webhook_keys of [providers.{name}]; or bring events with `issei import-events`"))
}
