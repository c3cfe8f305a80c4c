//! Providers beside SES, for processes of the real binary: the simulator's own of their APIs, over HTTP.

use issei_sim::RESEND_WEBHOOK_SECRET;
use serde_json::Value;

use crate::processes::Processes;
use crate::users::command_body;

/// A provider that is configured by its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    SendGrid,
    Resend,
}

impl Carrier {
    /// Both its kind and its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SendGrid => "sendgrid",
            Self::Resend => "resend",
        }
    }

    /// The simulator's name of the call by which a broadcast is sent.
    #[must_use]
    pub fn call(self) -> &'static str {
        match self {
            Self::SendGrid => "MailSend",
            Self::Resend => "SendBatchEmails",
        }
    }

    /// A command of a broadcast that it carries.
    #[must_use]
    pub fn command(self, id: &str) -> String {
        command_body(id, |body| {
            body["version"] = 2.into();
            body["class"] = "service".into();
            body["provider"] = self.name().into();
        })
    }
}

impl Processes {
    /// Configures a provider, so many recipients a second, for whatever is started from now on.
    pub fn carried_by(&mut self, carrier: Carrier, rate: f64) {
        let (name, url, config) = (carrier.name(), self.simulator_url(), self.read("issei.toml"));
        let table = format!(
            "\n[providers.{name}]\nkind = \"{name}\"\nkey = {{ env = \"PROVIDER_KEY\" }}\nrate = {rate:.1}\nbase_url = \"{url}\"\n\
             webhook_keys = [{{ env = \"PROVIDER_WEBHOOK_KEY\" }}]\n"
        );
        let _ = self.write("issei.toml", &format!("{config}{table}"));
        self.set("PROVIDER_KEY", "a-key-of-a-test");
        let webhook_key = match carrier {
            Carrier::SendGrid => self.cloud.sendgrid_webhook_key(),
            Carrier::Resend => RESEND_WEBHOOK_SECRET.to_owned(),
        };
        self.set("PROVIDER_WEBHOOK_KEY", &webhook_key);
    }

    /// The findings of `issei doctor` in which this stands, each with its judgement.
    ///
    /// It looks at everything, whatever else there is to be mended.
    pub async fn examined(&self, what: &str, arguments: &[&str]) -> Vec<Value> {
        let (_, output, errors) = self.try_run(&[&["doctor", "--json"], arguments].concat()).await;
        let told: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{errors}"));
        let findings = told["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["what"].as_str().unwrap().contains(what)).cloned().collect()
    }
}
