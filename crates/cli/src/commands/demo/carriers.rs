//! Who carries the demo's broadcast: the code of production, in front of the simulator's own of each API.

use std::sync::Arc;

use issei_assembly::Parts;
use issei_provider::{ApiKey, Provider, Resend, ResendOptions, SendGrid, SendGridOptions};
use issei_schema::ProviderName;

use crate::args::DemoProvider;

/// Where the simulator is, which no socket leads to.
const BASE_URL: &str = "http://simulator";
/// Recipients a second, as many as the simulated account of SES may send to.
const RATE: f64 = 50_000.0;

impl DemoProvider {
    /// By which a command names it; nothing for SES.
    pub(super) fn name(self) -> anyhow::Result<Option<ProviderName>> {
        let name = match self {
            Self::Ses => return Ok(None),
            Self::Sendgrid => "sendgrid",
            Self::Resend => "resend",
        };
        name.parse().map(Some).map_err(anyhow::Error::msg)
    }

    /// Of a provider as the configuration calls its kind; nothing for SES.
    pub(in crate::commands) fn of_kind(kind: &str) -> Option<Self> {
        match kind {
            "sendgrid" => Some(Self::Sendgrid),
            "resend" => Some(Self::Resend),
            _ => None,
        }
    }

    /// What the simulator calls a send.
    pub(in crate::commands) fn operation(self) -> &'static str {
        match self {
            Self::Ses => "SendBulkEmail",
            Self::Sendgrid => "MailSend",
            Self::Resend => "SendBatchEmails",
        }
    }

    /// The parts, with what sends by it under this name.
    pub(in crate::commands) fn join(self, parts: Parts, name: ProviderName) -> anyhow::Result<Parts> {
        if self == Self::Ses {
            return Ok(parts);
        }
        let (web, timeout, base_url) = (parts.clients.web.clone(), parts.settings.timing().send, BASE_URL.to_owned());
        let key = ApiKey::new("simulated").map_err(anyhow::Error::msg)?;
        let provider: Arc<dyn Provider> = if self == Self::Sendgrid {
            let groups = SendGridOptions { base_url, key, rate: RATE, timeout, service_group: None, marketing_group: None };
            Arc::new(SendGrid::new(web, groups))
        } else {
            Arc::new(Resend::new(web, ResendOptions { base_url, key, rate: RATE, timeout }))
        };
        Ok(parts.with_provider(name, provider))
    }
}
