//! Where keys come from, of providers and of links to unsubscribe, and what they are: values that no configuration file
//! holds and that are shown nowhere.

use std::collections::BTreeMap;
use std::fmt;

use issei_aws::{SecretName, SecretValue, Secrets};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// In an environment variable of this name.
    Env(#[serde(deserialize_with = "variable")] String),
    /// In Secrets Manager.
    Secret(SecretName),
    /// Nowhere: it was made up, for whoever simulates.
    #[serde(skip)]
    MadeUp(String),
}

/// A name that a variable can have. What has other characters is likely the key itself, and is shown nowhere.
fn variable<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    // Resend's keys have such characters alone. They begin like this, and no variable has letters of both kinds.
    let is_mixed = name.bytes().any(|byte| byte.is_ascii_lowercase()) && name.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_key = is_mixed || ["re_", "whsec_"].iter().any(|begin| name.starts_with(begin));
    if name.is_empty() || is_key || !name.bytes().all(is_name) {
        return Err(D::Error::custom(
            "it is the name of an environment variable, such as RESEND_KEY: capital letters, digits and low lines; a key itself never stands here",
        ));
    }
    Ok(name)
}

impl KeySource {
    /// As a broadcast has it that is carried with the key from here; nothing where it is nowhere.
    pub(super) fn place(&self) -> Option<String> {
        match self {
            Self::Env(variable) => Some(format!("env:{variable}")),
            Self::Secret(secret) => Some(format!("secret:{}", secret.of_any_version())),
            Self::MadeUp(_) => None,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(f, "the environment variable {variable}"),
            Self::Secret(secret) => write!(f, "the secret {secret}"),
            Self::MadeUp(_) => f.write_str("a key that was made up"),
        }
    }
}

/// What secrets hold, or why that is not known.
#[derive(Debug, Default)]
pub struct Fetched(BTreeMap<SecretName, Result<SecretValue, String>>);

impl Fetched {
    /// Each of them once; nothing is asked where there is none.
    pub(crate) async fn of(secrets: &Secrets, keys: impl Iterator<Item = &KeySource>) -> Self {
        let mut all = BTreeMap::new();
        for key in keys {
            if let KeySource::Secret(name) = key
                && !all.contains_key(name)
            {
                all.insert(name.clone(), secrets.value(name).await);
            }
        }
        Self(all)
    }

    /// The key, without blanks around; nothing where its variable is not set.
    ///
    /// # Errors
    /// Names a secret that can't be read, and why.
    pub fn key(&self, key: &KeySource) -> Result<Option<String>, String> {
        Ok(self.value(key)?.map(|value| value.trim().to_owned()))
    }

    /// The same as it is kept.
    ///
    /// # Errors
    /// Names a secret that can't be read, and why.
    pub fn value(&self, key: &KeySource) -> Result<Option<String>, String> {
        match key {
            KeySource::Env(variable) => Ok(std::env::var(variable).ok()),
            KeySource::MadeUp(value) => Ok(Some(value.clone())),
            KeySource::Secret(name) => match self.0.get(name) {
                Some(Ok(value)) => Ok(Some(value.as_str().to_owned())),
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("the secret {name} was not asked for")),
            },
        }
    }
}
