//! Where keys of providers come from, and what they are: values that no configuration file holds and that are shown nowhere.

use std::collections::BTreeMap;
use std::fmt;

use issei_aws::{SecretName, SecretValue, Secrets};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Where a key of a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKey {
    /// In an environment variable of this name.
    Env(#[serde(deserialize_with = "variable")] String),
    /// In Secrets Manager.
    Secret(SecretName),
}

/// A name that a variable can have. What has other characters is likely the key itself, and is shown nowhere.
fn variable<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(D::Error::custom("it is the name of an environment variable, such as RESEND_KEY: letters, digits and low lines"));
    }
    Ok(name)
}

impl fmt::Display for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(f, "the environment variable {variable}"),
            Self::Secret(secret) => write!(f, "the secret {secret}"),
        }
    }
}

/// What secrets hold, or why that is not known.
#[derive(Debug, Default)]
pub struct Fetched(BTreeMap<SecretName, Result<SecretValue, String>>);

impl Fetched {
    /// Each of them once; nothing is asked where there is none.
    pub(crate) async fn of(secrets: &Secrets, keys: impl Iterator<Item = &ProviderKey>) -> Self {
        let mut all = BTreeMap::new();
        for key in keys {
            if let ProviderKey::Secret(name) = key
                && !all.contains_key(name)
            {
                all.insert(name.clone(), secrets.value(name).await);
            }
        }
        Self(all)
    }

    /// The key; nothing where its variable is not set.
    ///
    /// # Errors
    /// Names a secret that can't be read, and why.
    pub fn key(&self, key: &ProviderKey) -> Result<Option<String>, String> {
        match key {
            ProviderKey::Env(variable) => Ok(std::env::var(variable).ok().map(|value| value.trim().to_owned())),
            ProviderKey::Secret(name) => match self.0.get(name) {
                Some(Ok(value)) => Ok(Some(value.as_str().trim().to_owned())),
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("the secret {name} was not asked for")),
            },
        }
    }
}
