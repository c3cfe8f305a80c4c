//! The providers beside SES, as the file names them. A key stands in a variable or a secret that the file names, and never
//! in the file; it is shown nowhere.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use issei_aws::Web;
use issei_provider::{ApiKey, Known, Provider, Resend, ResendOptions, SendGrid, SendGridOptions, WebhookKeys};
use issei_schema::{CarriedBy, ProviderName};
use serde::Deserialize;
use url::{Host, Url};

use super::{Fetched, KeySource, Settings};

/// One table `[providers.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    pub(super) kind: Kind,
    pub(super) key: KeySource,
    /// Recipients a second: neither tells what the account may.
    pub(super) rate: f64,
    #[serde(default)]
    pub(super) base_url: Option<String>,
    /// By what its webhooks are known to be its own: more than one while a key is being replaced.
    #[serde(default)]
    pub(super) webhook_keys: Vec<KeySource>,
    /// The unsubscribe groups of `SendGrid` for the classes that heed objections.
    #[serde(default)]
    pub(super) service_group: Option<u64>,
    #[serde(default)]
    pub(super) marketing_group: Option<u64>,
}

/// Which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    SendGrid,
    Resend,
}

impl Kind {
    /// What its webhooks are known by, of what stands in these places.
    fn webhook_keys(self, texts: &[(&KeySource, String)]) -> anyhow::Result<WebhookKeys> {
        fn read<K: FromStr<Err = String>>(texts: &[(&KeySource, String)]) -> anyhow::Result<Vec<K>> {
            let read = |(key, text): &(&KeySource, String)| text.parse().map_err(anyhow::Error::msg).with_context(|| key.to_string());
            texts.iter().map(read).collect()
        }
        Ok(match self {
            Self::SendGrid => WebhookKeys::SendGrid(read(texts)?),
            Self::Resend => WebhookKeys::Resend(read(texts)?),
        })
    }
}

impl ProviderConfig {
    /// Says what is wrong with it.
    pub(super) fn check(&self, name: &ProviderName) -> anyhow::Result<()> {
        if *name == ProviderName::default() {
            bail!("[providers.{name}]: `{name}` is SES, which needs no table; choose another name");
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            bail!("[providers.{name}] rate is {}; give recipients a second", self.rate);
        }
        if let Some(url) = &self.base_url {
            let url = Url::parse(url).with_context(|| format!("[providers.{name}] base_url"))?;
            let is_here = match url.host() {
                Some(Host::Domain(host)) => host == "localhost",
                Some(Host::Ipv4(host)) => host.is_loopback(),
                Some(Host::Ipv6(host)) => host.is_loopback(),
                None => false,
            };
            if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
                bail!("[providers.{name}] base_url is {url}; the key goes there, so give an https URL, or one of this machine");
            }
        }
        if self.kind != Kind::SendGrid && (self.service_group.is_some() || self.marketing_group.is_some()) {
            bail!("[providers.{name}]: only SendGrid has unsubscribe groups; take service_group and marketing_group out");
        }
        Ok(())
    }

    fn base_url(&self) -> String {
        let default = match self.kind {
            Kind::SendGrid => "https://api.sendgrid.com",
            Kind::Resend => "https://api.resend.com",
        };
        self.base_url.as_deref().unwrap_or(default).trim_end_matches('/').to_owned()
    }

    fn known(&self) -> Known {
        let facts = match self.kind {
            Kind::SendGrid => SendGrid::FACTS,
            Kind::Resend => Resend::FACTS,
        };
        let carried_by = CarriedBy::new(facts.kind, Some(&self.base_url()), self.key.place().as_deref());
        Known { facts, rate: Some(self.rate), carried_by: Some(carried_by) }
    }

    /// What sends by it; nothing where its key is not at hand.
    fn connected(&self, name: &ProviderName, web: Web, timeout: Duration, fetched: &Fetched) -> anyhow::Result<Option<Arc<dyn Provider>>> {
        let Some(key) = fetched.key(&self.key).map_err(anyhow::Error::msg).with_context(|| format!("[providers.{name}]"))? else {
            tracing::warn!(provider = %name, key = %self.key, "the key of a provider is not at hand: its variable is not set where this runs, so nothing is sent by it here; set it and start this again");
            return Ok(None);
        };
        let key = ApiKey::new(&key)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("[providers.{name}]: {}", self.key))?
            .kept_in(self.key.place());
        let (base_url, rate) = (self.base_url(), self.rate);
        Ok(Some(match self.kind {
            Kind::SendGrid => {
                let (service_group, marketing_group) = (self.service_group, self.marketing_group);
                Arc::new(SendGrid::new(web, SendGridOptions { base_url, key, rate, timeout, service_group, marketing_group }))
            }
            Kind::Resend => Arc::new(Resend::new(web, ResendOptions { base_url, key, rate, timeout })),
        }))
    }
}

impl Settings {
    /// Who may carry a broadcast, by the names that commands have for them; whose keys are where is for whoever sends.
    #[must_use]
    pub fn known_providers(&self) -> BTreeMap<ProviderName, Known> {
        known(&self.providers)
    }

    /// Those beside SES, each with where its key is, and those of its webhooks.
    pub fn keys_of_providers(&self) -> impl Iterator<Item = (&ProviderName, &KeySource, &[KeySource])> {
        self.providers.iter().map(|(name, config)| (name, &config.key, config.webhook_keys.as_slice()))
    }

    /// Each of those beside SES whose key is at hand; or why it is none.
    pub(crate) fn connected_providers(&self, web: &Web, fetched: &Fetched) -> Vec<(ProviderName, anyhow::Result<Arc<dyn Provider>>)> {
        let timeout = self.timing().send;
        let all =
            self.providers.iter().map(|(name, config)| (name.clone(), config.connected(name, web.clone(), timeout, fetched).transpose()));
        all.filter_map(|(name, connected)| Some((name, connected?))).collect()
    }

    /// Whether a key of a provider's webhooks is at hand, as the feedback consumer takes it.
    ///
    /// # Errors
    /// Names the variable whose value is no key, or the secret that can't be read.
    pub fn has_webhook_key(&self, name: &ProviderName, key: &KeySource, fetched: &Fetched) -> anyhow::Result<bool> {
        let Some(config) = self.providers.get(name) else { return Ok(false) };
        let Some(text) = fetched.key(key).map_err(anyhow::Error::msg)? else { return Ok(false) };
        config.kind.webhook_keys(&[(key, text)]).map(|_| true)
    }

    /// By what the webhooks of each are known to be its own, by the names of their tables.
    ///
    /// # Errors
    /// Names a variable whose value is no key, or a secret that can't be read.
    pub(crate) fn webhook_keys(&self, fetched: &Fetched) -> anyhow::Result<BTreeMap<String, WebhookKeys>> {
        webhook_keys(&self.providers, fetched)
    }
}

/// By what each provider's webhooks are known to be its own, by the name that stands in them: that of its table.
fn webhook_keys(configured: &BTreeMap<ProviderName, ProviderConfig>, fetched: &Fetched) -> anyhow::Result<BTreeMap<String, WebhookKeys>> {
    let mut all = BTreeMap::new();
    for (name, config) in configured.iter().filter(|(_, config)| !config.webhook_keys.is_empty()) {
        let mut texts = Vec::new();
        for key in &config.webhook_keys {
            match fetched.key(key).map_err(anyhow::Error::msg).with_context(|| format!("[providers.{name}] webhook_keys"))? {
                Some(text) => texts.push((key, text)),
                None => {
                    tracing::warn!(provider = %name, %key, "a key of a provider's webhooks is not at hand: its variable is not set");
                }
            }
        }
        all.insert(name.to_string(), config.kind.webhook_keys(&texts).with_context(|| format!("[providers.{name}] webhook_keys"))?);
    }
    Ok(all)
}

/// Who may carry a broadcast, with what must be known to prepare one.
fn known(configured: &BTreeMap<ProviderName, ProviderConfig>) -> BTreeMap<ProviderName, Known> {
    let mut known = Known::ses();
    known.extend(configured.iter().map(|(name, config)| (name.clone(), config.known())));
    known
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::*;

    fn loaded(table: &str) -> anyhow::Result<Settings> {
        Settings::of(Layer::default(), toml::from_str(table)?).checked()
    }

    #[test]
    fn a_provider_is_named_with_where_its_key_is_and_never_with_the_key() {
        let settings = loaded("[providers.second]\nkind = 'resend'\nkey = { env = 'RESEND_API_KEY' }\nrate = 200").unwrap();
        let known: Vec<_> = settings.known_providers().iter().map(|(name, known)| (name.to_string(), known.facts.title)).collect();
        assert_eq!(known, [("second".to_owned(), "Resend"), ("ses".to_owned(), "SES")]);
        let secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:resend-AbCdEf:key";
        let by_secret = format!("[providers.second]\nkind = 'resend'\nkey = {{ secret = '{secret}' }}\nrate = 200");
        let named: Vec<_> = loaded(&by_secret).unwrap().keys_of_providers().map(|(_, key, _)| key.to_string()).collect();
        assert_eq!(named, [format!("the secret {secret}")]);
        let with_key = "[providers.second]\nkind = 'resend'\nkey = 're_secret'\nrate = 200";
        assert!(loaded(with_key).is_err());
    }

    /// Another spelling, or another version of the same secret, is no other account.
    #[test]
    fn what_a_table_means_is_registered_in_one_spelling_and_without_the_version_of_a_secret() {
        let registered = |more: &str| {
            let settings = loaded(&format!("[providers.a]\nkind = 'resend'\nrate = 1\n{more}")).unwrap();
            serde_json::to_value(settings.known_providers()[&"a".parse().unwrap()].carried_by.as_ref()).unwrap()
        };
        let by = |account: &str| serde_json::json!({ "kind": "resend", "base_url": "https://api.resend.com", "account": account });
        for spelling in ["https://API.resend.com:443", "https://api.resend.com/"] {
            assert_eq!(registered(&format!("key = {{ env = 'KEY' }}\nbase_url = '{spelling}'")), by("env:KEY"));
        }
        let arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:resend-AbCdEf";
        for (secret, account) in [("", ""), (":api_key", ":api_key"), (":api_key:AWSPREVIOUS", ":api_key"), ("::AWSPREVIOUS:", "")] {
            assert_eq!(registered(&format!("key = {{ secret = '{arn}{secret}' }}")), by(&format!("secret:{arn}{account}")));
        }
    }

    #[test]
    fn what_a_table_of_a_provider_can_not_mean_is_refused_with_what_to_do() {
        let key = "key = { env = 'KEY' }";
        for (table, says) in [
            (format!("[providers.ses]\nkind = 'resend'\n{key}\nrate = 1"), "`ses` is SES"),
            (format!("[providers.a]\nkind = 'resend'\n{key}\nrate = 0"), "rate is 0"),
            (format!("[providers.a]\nkind = 'resend'\n{key}\nrate = 1\nbase_url = 'http://example.com'"), "https"),
            (format!("[providers.a]\nkind = 'resend'\n{key}\nrate = 1\nservice_group = 1"), "unsubscribe groups"),
            (format!("[providers.a]\nkind = 'postmark'\n{key}\nrate = 1"), "postmark"),
            (format!("[providers.'A b']\nkind = 'resend'\n{key}\nrate = 1"), "lowercase"),
        ] {
            let error = format!("{:#}", loaded(&table).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        let here = format!("[providers.a]\nkind = 'sendgrid'\n{key}\nrate = 1\nbase_url = 'http://127.0.0.1:1'\nservice_group = 1");
        assert!(loaded(&here).is_ok());
    }
}
