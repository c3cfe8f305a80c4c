//! What the first errors that anybody meets lack: where was looked. What it is and what to do, the errors say
//! themselves.

use std::env;

use issei_aws::NOT_CONNECTED;
use issei_ledger::NO_TABLE;
use issei_producer::Refusal;
use issei_schema::without_addresses;

use crate::settings::{DEFAULT_FILE, Settings};

/// The error, with where was looked where that helps.
#[must_use]
pub fn explained(error: anyhow::Error, settings: &Settings) -> anyhow::Error {
    let text = format!("{error:#}");
    let more = if text.contains(NOT_CONNECTED) {
        let at = endpoint(service_in(&text), settings);
        format!("; tried {at}, in {}; start what listens there, or correct where it is named", region(settings))
    } else if text.contains(NO_TABLE) {
        format!(
            "; looked for `{}` at {}, in {}, with {}; another table is named by --table or ISSEI_TABLE",
            settings.table,
            endpoint("DYNAMODB", settings),
            region(settings),
            credentials(settings)
        )
    } else if text.contains("`issei setup` makes the queues") {
        format!("; looked at {}, in {}", endpoint("SQS", settings), region(settings))
    } else if settings.file.is_none() && is_of_unknown_audience(&error) {
        let here = std::path::absolute(DEFAULT_FILE).map_or_else(|_| DEFAULT_FILE.to_owned(), |path| path.display().to_string());
        format!(
            "; no configuration was read: there is neither {here} nor one in a folder above, and neither --config nor ISSEI_CONFIG names one; `issei init SOURCE` looks at your table or file and writes one"
        )
    } else {
        return error;
    };
    anyhow::anyhow!("{text}{more}")
}

fn is_of_unknown_audience(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Refusal::UnknownAudience { .. }))
}

/// By the words that the errors of each begin with.
fn service_in(text: &str) -> &'static str {
    [("ledger ", "DYNAMODB"), ("SQS ", "SQS"), ("SNS ", "SNS")]
        .iter()
        .find_map(|(word, service)| text.contains(word).then_some(*service))
        .unwrap_or("SESV2")
}

/// The endpoint that a flag or the environment names for a service (AWS SDKs and tools reference guide,
/// "Service-specific endpoints").
fn endpoint(service: &str, settings: &Settings) -> String {
    if let Some(url) = &settings.account.endpoint_url {
        return format!("{} (--endpoint-url)", without_addresses(url));
    }
    let set = |name: String| env::var(&name).ok().filter(|url| !url.is_empty()).map(|url| format!("{} ({name})", without_addresses(&url)));
    set(format!("AWS_ENDPOINT_URL_{service}"))
        .or_else(|| set("AWS_ENDPOINT_URL".to_owned()))
        .unwrap_or_else(|| "the endpoint of AWS, or of the profile".to_owned())
}

fn region(settings: &Settings) -> String {
    if let Some(region) = &settings.account.region {
        return format!("{region} (--region)");
    }
    let set = |name: &str| env::var(name).ok().filter(|region| !region.is_empty()).map(|region| format!("{region} ({name})"));
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).unwrap_or_else(|| "the profile's region".to_owned())
}

/// Whose account is asked, as far as whoever asks has said it.
fn credentials(settings: &Settings) -> String {
    if let Some(profile) = &settings.account.profile {
        return format!("the profile `{profile}` (--profile)");
    }
    match env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty()) {
        Some(profile) => format!("the profile `{profile}` (AWS_PROFILE)"),
        None => "the credentials at hand, whose account `aws sts get-caller-identity` tells".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layer;

    #[test]
    fn whoever_has_no_configuration_is_told_what_writes_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("issei.toml");
        std::fs::write(&file, "").unwrap();
        let mut settings = Settings::load(Some(&file), Layer::default()).unwrap();
        let told = |settings: &Settings| {
            let refusal = Refusal::UnknownAudience { name: "users".to_owned(), known: "none".to_owned() };
            explained(refusal.into(), settings).to_string()
        };
        assert!(!told(&settings).contains("issei init"), "there is one");
        settings.file = None;
        assert!(told(&settings).contains("no configuration was read") && told(&settings).contains("`issei init SOURCE`"));
    }
}
