//! Which account of which provider carries a broadcast, as far as that can be said without a key: registered with the
//! broadcast, and held against what a consumer is configured with.
//!
//! What this must never hold: a key, or anything that a key could be guessed by. Nor words: what is stored is compared by
//! builds that say it otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Bilingual, both};

/// Who carries a broadcast. What no build has said is not known, and what one build does not know another may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedBy {
    /// `ses`, `sendgrid` or `resend`, as the configuration calls them.
    #[serde(default)]
    pub kind: String,
    /// Where its API is, in one spelling; nothing where the AWS environment says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// What tells the account: of SES its number, `aws:NUMBER`; of the others the place that the key comes from, `env:VARIABLE`
    /// or `secret:ARN`, with `:MEMBER` behind it where it is JSON. Nothing where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl CarriedBy {
    #[must_use]
    pub fn new(kind: &str, base_url: Option<&str>, account: Option<&str>) -> Self {
        Self { kind: kind.to_owned(), base_url: base_url.map(in_one_spelling), account: account.map(str::to_owned) }
    }

    /// In this AWS account, where it is whatever the AWS environment says.
    #[must_use]
    pub fn or_in(self, aws_account: Option<&str>) -> Self {
        let in_aws = aws_account.filter(|_| self.base_url.is_none()).map(|account| format!("aws:{account}"));
        Self { account: self.account.or(in_aws), ..self }
    }

    /// Whether it is another one, by all that both tell.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        let differ = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        self.kind != other.kind || differ(&self.base_url, &other.base_url) || differ(&self.account, &other.account)
    }

    /// What tells the account, in words.
    #[must_use]
    pub fn account_in_words(&self) -> Option<Bilingual> {
        let account = self.account.as_deref()?;
        Some(match account.split_once(':') {
            Some(("env", variable)) => both!("the environment variable {variable}", "環境変数 {variable}"),
            Some(("secret", arn)) => both!("the secret {arn}", "シークレット {arn}"),
            Some(("aws", number)) => both!("the AWS account {number}", "AWSアカウント {number}"),
            _ => Bilingual::verbatim(account),
        })
    }

    /// In words. What is stored is compared by builds that say it otherwise, so these are for people alone.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let kind = match self.kind.as_str() {
            "ses" => Bilingual::verbatim("SES"),
            "sendgrid" => Bilingual::verbatim("SendGrid"),
            "resend" => Bilingual::verbatim("Resend"),
            "" => both!("a provider that is not told", "記録のない事業者"),
            other => Bilingual::verbatim(other),
        };
        let at = self.base_url.as_ref().map_or_else(Bilingual::default, |base_url| both!(" at {base_url}", "、接続先 {base_url}"));
        let by = self.account_in_words().map_or_else(Bilingual::default, |account| both!(" by {}", "、{}", account));
        both!("{}{}{}", "{}{}{}", kind, at, by)
    }
}

/// A host's case, the scheme's own port and a slash at the end make no other place. Nor do a name and a password, which have
/// no business in the ledger.
fn in_one_spelling(base_url: &str) -> String {
    let Ok(mut url) = Url::parse(base_url) else { return base_url.to_owned() };
    // What can have neither has none.
    let _ = (url.set_username(""), url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

impl fmt::Display for CarriedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().english)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: Option<&str> = Some("https://api.resend.com");

    #[test]
    fn another_provider_url_or_account_is_another_and_what_is_not_told_is_none() {
        let one = CarriedBy::new("resend", URL, Some("env:A"));
        for other in [
            CarriedBy::new("sendgrid", URL, Some("env:A")),
            CarriedBy::new("resend", Some("https://proxy.example.com"), Some("env:A")),
            CarriedBy::new("resend", Some("https://api.resend.com:8443"), Some("env:A")),
            CarriedBy::new("resend", Some("https://api.resend.com/eu"), Some("env:A")),
            CarriedBy::new("resend", URL, Some("env:B")),
            CarriedBy::new("resend", URL, Some("secret:A")),
        ] {
            assert!(one.is_another_than(&other) && other.is_another_than(&one), "{other}");
        }
        for same in [one.clone(), CarriedBy::new("resend", None, None), CarriedBy::new("resend", URL, None)] {
            assert!(!one.is_another_than(&same) && !same.is_another_than(&one), "{same}");
        }
    }

    #[test]
    fn one_place_has_one_spelling_and_no_password() {
        for url in ["https://API.Resend.com", "https://api.resend.com:443/", "https://api.resend.com//", "https://a:secret@api.resend.com"]
        {
            assert_eq!(CarriedBy::new("resend", Some(url), None).base_url.as_deref(), URL, "{url}");
        }
        assert_eq!(CarriedBy::new("resend", Some("HTTP://127.0.0.1:1/v1/"), None).base_url.unwrap(), "http://127.0.0.1:1/v1");
    }

    /// Builds of other versions hold it against theirs: no word of it may change while a broadcast is open.
    #[test]
    fn what_is_stored_stays_as_it_is_and_is_put_into_words_when_it_is_shown() {
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:resend-AbCdEf:key";
        for (carried_by, stored, shown) in [
            (
                CarriedBy::new("resend", URL, Some("env:RESEND_KEY")),
                json!({ "kind": "resend", "base_url": "https://api.resend.com", "account": "env:RESEND_KEY" }),
                "Resend at https://api.resend.com by the environment variable RESEND_KEY".to_owned(),
            ),
            (
                CarriedBy::new("sendgrid", Some("https://api.sendgrid.com"), Some(&format!("secret:{arn}"))),
                json!({ "kind": "sendgrid", "base_url": "https://api.sendgrid.com", "account": format!("secret:{arn}") }),
                format!("SendGrid at https://api.sendgrid.com by the secret {arn}"),
            ),
            (
                CarriedBy::new("ses", None, None).or_in(Some("111122223333")),
                json!({ "kind": "ses", "account": "aws:111122223333" }),
                "SES by the AWS account 111122223333".to_owned(),
            ),
        ] {
            assert_eq!(serde_json::to_value(&carried_by).unwrap(), stored);
            assert_eq!(serde_json::from_value::<CarriedBy>(stored).unwrap(), carried_by);
            assert_eq!(carried_by.to_string(), shown);
        }
        // What a later build may say is read, and shown as it stands.
        let later = serde_json::from_value::<CarriedBy>(json!({ "kind": "postmark", "account": "vault:a", "more": 1 })).unwrap();
        assert_eq!(later.to_string(), "postmark by vault:a");
    }
}
