//! The providers beside SES, as the file names them. A key stands in a variable that the file names, and never in the
//! file; it is shown nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use issei_aws::Web;
use issei_provider::{ApiKey, Known, Provider, Resend, ResendOptions, SendGrid, SendGridOptions, WebhookKeys};
use issei_schema::ProviderName;
use serde::Deserialize;
use url::{Host, Url};

use super::{KeySource, Settings};

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
        Known { facts, rate: Some(self.rate) }
    }

    /// What sends by it; nothing where its key is not at hand.
    fn connected(&self, name: &ProviderName, web: Web, timeout: Duration) -> anyhow::Result<Option<Arc<dyn Provider>>> {
        let variable = &self.key.env;
        let Ok(key) = std::env::var(variable) else {
            tracing::warn!(provider = %name, variable, "the key of a provider is not at hand: its variable is not set, so nothing is sent by it here");
            return Ok(None);
        };
        let key = ApiKey::new(key.trim()).map_err(anyhow::Error::msg);
        let key = key.with_context(|| format!("[providers.{name}]: the environment variable {variable}"))?;
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

    /// Those beside SES, each with the variable of its key, and those of the keys of its webhooks.
    pub fn variables_of_providers(&self) -> impl Iterator<Item = (&ProviderName, &str, Vec<&str>)> {
        self.providers.iter().map(|(name, config)| {
            let webhooks = config.webhook_keys.iter().map(|key| key.env.as_str());
            (name, config.key.env.as_str(), webhooks.collect())
        })
    }

    /// Those beside SES whose keys are at hand.
    ///
    /// # Errors
    /// Names a variable whose value is no key.
    pub(crate) fn connected_providers(&self, web: &Web) -> anyhow::Result<Vec<(ProviderName, Arc<dyn Provider>)>> {
        connected(&self.providers, web, self.timing().send)
    }

    /// By what the webhooks of each are known to be its own, by the names of their tables.
    ///
    /// # Errors
    /// Names a variable whose value is no key.
    pub(crate) fn webhook_keys(&self) -> anyhow::Result<BTreeMap<String, WebhookKeys>> {
        webhook_keys(&self.providers)
    }
}

/// By what each provider's webhooks are known to be its own, by the name that stands in them: that of its table.
fn webhook_keys(configured: &BTreeMap<ProviderName, ProviderConfig>) -> anyhow::Result<BTreeMap<String, WebhookKeys>> {
    let mut all = BTreeMap::new();
    for (name, config) in configured.iter().filter(|(_, config)| !config.webhook_keys.is_empty()) {
        let mut texts = Vec::new();
        for KeySource { env } in &config.webhook_keys {
            match std::env::var(env) {
                Ok(text) => texts.push((env, text.trim().to_owned())),
                Err(_) => {
                    tracing::warn!(provider = %name, variable = env, "a key of a provider's webhooks is not at hand: its variable is not set");
                }
            }
        }
        let told = |env: &str| format!("[providers.{name}]: the environment variable {env}");
        let keys = match config.kind {
            Kind::SendGrid => WebhookKeys::SendGrid(
                texts
                    .iter()
                    .map(|(env, text)| text.parse().map_err(anyhow::Error::msg).with_context(|| told(env)))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Resend => WebhookKeys::Resend(
                texts
                    .iter()
                    .map(|(env, text)| text.parse().map_err(anyhow::Error::msg).with_context(|| told(env)))
                    .collect::<Result<_, _>>()?,
            ),
        };
        all.insert(name.to_string(), keys);
    }
    Ok(all)
}

/// Who may carry a broadcast, with what must be known to prepare one.
fn known(configured: &BTreeMap<ProviderName, ProviderConfig>) -> BTreeMap<ProviderName, Known> {
    let mut known = Known::ses();
    known.extend(configured.iter().map(|(name, config)| (name.clone(), config.known())));
    known
}

/// Those whose keys are at hand.
fn connected(
    configured: &BTreeMap<ProviderName, ProviderConfig>,
    web: &Web,
    timeout: Duration,
) -> anyhow::Result<Vec<(ProviderName, Arc<dyn Provider>)>> {
    let all = configured.iter().map(|(name, config)| Ok(config.connected(name, web.clone(), timeout)?.map(|it| (name.clone(), it))));
    all.filter_map(Result::transpose).collect()
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
        let with_key = "[providers.second]\nkind = 'resend'\nkey = 're_secret'\nrate = 200";
        assert!(loaded(with_key).is_err());
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
