//! Which account of which provider carries a broadcast, as far as that can be said without a key: registered with the
//! broadcast, and held against what a consumer is configured with.
//!
//! What this must never hold: a key, or anything that a key could be guessed by.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who carries a broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedBy {
    /// As people call the provider.
    pub provider: String,
    /// Where its API is; nothing where the AWS environment says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// What tells the account: of SES its number, of the others the place that the key comes from. Nothing where it is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl CarriedBy {
    /// In this AWS account, where it is whatever the AWS environment says.
    #[must_use]
    pub fn or_in(self, aws_account: Option<&str>) -> Self {
        let in_aws = aws_account.filter(|_| self.base_url.is_none()).map(|account| format!("the AWS account {account}"));
        Self { account: self.account.or(in_aws), ..self }
    }

    /// Whether it is another one, by all that both tell.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        let differ = |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
        self.provider != other.provider || differ(&self.base_url, &other.base_url) || differ(&self.account, &other.account)
    }
}

impl fmt::Display for CarriedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.provider)?;
        if let Some(base_url) = &self.base_url {
            write!(f, " at {base_url}")?;
        }
        self.account.as_ref().map_or(Ok(()), |account| write!(f, " by {account}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(provider: &str, base_url: Option<&str>, account: Option<&str>) -> CarriedBy {
        CarriedBy { provider: provider.to_owned(), base_url: base_url.map(str::to_owned), account: account.map(str::to_owned) }
    }

    #[test]
    fn another_provider_url_or_account_is_another_and_what_is_not_told_is_none() {
        let one = of("Resend", Some("https://api.resend.com"), Some("the environment variable A"));
        for other in [
            of("SendGrid", Some("https://api.resend.com"), Some("the environment variable A")),
            of("Resend", Some("https://proxy.example.com"), Some("the environment variable A")),
            of("Resend", Some("https://api.resend.com"), Some("the environment variable B")),
        ] {
            assert!(one.is_another_than(&other) && other.is_another_than(&one), "{other}");
        }
        for same in [one.clone(), of("Resend", None, None), of("Resend", Some("https://api.resend.com"), None)] {
            assert!(!one.is_another_than(&same) && !same.is_another_than(&one), "{same}");
        }
        assert_eq!(one.to_string(), "Resend at https://api.resend.com by the environment variable A");
    }
}
