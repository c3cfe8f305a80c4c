//! Amazon SES v2, by its SDK: all that is SES's alone.

mod answers;
mod certificate;
mod count;
mod deployed;
mod event;
mod notices;
mod request;
mod sender;
mod signatures;
mod sns;
mod stated;
mod words;

use std::time::Duration;

use aws_sdk_sesv2::operation::get_email_template::GetEmailTemplateError;
use aws_sdk_sesv2::types::SuppressionListReason;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use issei_aws::{AwsCall, chain};
use issei_schema::{Address, CarriedBy, EventKind, Mailbox, StoredTemplate, TemplateName};

pub use deployed::{Account, ConfigurationSet, EventsTo, Quota};
pub use event::{EventError, UNSIGNED_BY_SNS, parse_event};
pub use notices::{Notice, Notices};
pub use signatures::SnsTrust;
pub use sns::unwrapped;

use crate::{
    Allowance, Allowed, Call, Counted, Facts, Listed, Plane, Proof, Provider, Rehearsed, Replay, Right, Sender, Span, Standing, Stated,
    Untold, Verdict,
};

/// What SES is like (API reference v2, `SendBulkEmail`; developer guide, "Service quotas").
pub(crate) const FACTS: Facts = Facts {
    title: "SES",
    kind: "ses",
    recipients_max: 50,
    // A message has 40 MB at most, and a template with its data far less.
    bytes_max: 40_000_000,
    stores_templates: true,
    allowed: Allowed::Asked,
    events: &EventKind::ALL,
    proof: Proof::Sns,
    id_for_each: true,
    // No operation that sends takes a client token.
    replay: Replay::None,
    // IAM user guide, "Elements of an AWS API request signature".
    refused_after: Some(Duration::from_mins(5)),
    plane: Plane::Shut { by: "the configuration set" },
    // Developer guide, "Using the mailbox simulator".
    rehearsed: Rehearsed { local: "success", domain: "simulator.amazonses.com", by: "the SES mailbox simulator", tells: true },
    counts: true,
};

/// Of its account whoever has a queue in it knows more.
pub(crate) fn carried_by() -> CarriedBy {
    CarriedBy::new(FACTS.kind, None, None)
}

/// Of the provider that carries where none is named.
impl Default for Rehearsed {
    fn default() -> Self {
        FACTS.rehearsed
    }
}

/// SES, as one configuration set of one account is used.
#[derive(Clone, Debug)]
pub struct Ses {
    client: aws_sdk_sesv2::Client,
    configuration_set: String,
}

impl Ses {
    /// What holds for every account of it.
    pub const FACTS: &'static Facts = &FACTS;

    /// By a client that repeats nothing, as `issei_aws` makes it.
    #[must_use]
    pub fn new(client: aws_sdk_sesv2::Client, configuration_set: &str) -> Self {
        Self { client, configuration_set: configuration_set.to_owned() }
    }

    /// What SES stores under a name; nothing where it stores nothing.
    ///
    /// # Errors
    /// Says why SES did not tell.
    pub async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, String> {
        match self.client.get_email_template().template_name(name.as_str()).call().await {
            Ok(told) => Ok(told.template_content.map(|content| StoredTemplate {
                subject: content.subject.unwrap_or_default(),
                text: content.text.filter(|text| !text.is_empty()),
                html: content.html.filter(|html| !html.is_empty()),
            })),
            Err(error) if error.as_service_error().is_some_and(GetEmailTemplateError::is_not_found_exception) => Ok(None),
            Err(error) => Err(chain(&error)),
        }
    }
}

impl Provider for Ses {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn carried_by(&self) -> Option<CarriedBy> {
        Some(carried_by())
    }

    /// It is signed with the moment of the permit, so that AWS refuses what is sent long after it, though this process
    /// knows nothing of the time between: a machine may be paused anywhere, and with it all of its clocks.
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Verdict> {
        let request = self
            .client
            .send_bulk_email()
            .from_email_address(call.from.to_header())
            .set_reply_to_addresses(call.reply_to.map(|reply_to| vec![reply_to.to_header()]))
            .default_content(request::content(call.letter))
            .configuration_set_name(&self.configuration_set)
            .set_bulk_email_entries(Some(call.entries.iter().map(|entry| request::entry(&call, entry)).collect()));
        let entries = call.entries.len();
        let request = request.customize().config_override(request::signed_at(call.granted_at));
        async move { answers::classify(request.send().await, entries) }.boxed()
    }

    fn allowance(&self) -> BoxFuture<'_, Result<Allowance, Untold>> {
        async move {
            let account = self.client.get_account().call().await;
            let account = account.map_err(|error| Untold { operation: "GetAccount", reason: chain(&error) })?;
            let quota = account.send_quota.unwrap_or_else(|| aws_sdk_sesv2::types::SendQuota::builder().build());
            // SES says -1 for an unlimited quota (API reference, `SendQuota`).
            let a_day = (quota.max24_hour_send >= 0.0).then(|| whole(quota.max24_hour_send));
            let left_today = a_day.unwrap_or(u64::MAX).saturating_sub(whole(quota.sent_last24_hours));
            Ok(Allowance { rate: quota.max_send_rate, a_day, left_today })
        }
        .boxed()
    }

    /// Of the account; what SES says of a sender is another question.
    fn standing<'a>(&'a self, _: Option<&'a Mailbox>) -> BoxFuture<'a, Standing> {
        async move {
            let right = match self.client.get_account().call().await {
                Ok(account) if account.sending_enabled => Right::MaySend("the account may send".to_owned()),
                Ok(_) => Right::MayNot {
                    why: "SES has paused the account".to_owned(),
                    mend: "read the case in the SES console before you send more".to_owned(),
                },
                Err(error) => Right::Untold(chain(&error)),
            };
            Standing { asked: "SES GetAccount", right }
        }
        .boxed()
    }

    fn sender<'a>(&'a self, from: &'a Mailbox) -> BoxFuture<'a, Option<Sender>> {
        async move { Some(self.known(from).await) }.boxed()
    }

    fn stored<'a>(&'a self, name: &'a TemplateName) -> BoxFuture<'a, Result<Option<StoredTemplate>, String>> {
        let mended = |reason| format!("{reason}; grant the producer ses:GetEmailTemplate, or wait until SES answers");
        async move { self.template(name).await.map_err(mended) }.boxed()
    }

    /// On the account's suppression list, so that nothing else of the account is sent to it either.
    fn list<'a>(&'a self, address: &'a Address, why: Listed) -> BoxFuture<'a, Result<(), String>> {
        let reason = match why {
            Listed::Bounce => SuppressionListReason::Bounce,
            Listed::Complaint => SuppressionListReason::Complaint,
        };
        let put = self.client.put_suppressed_destination().email_address(address.as_str()).reason(reason);
        async move { put.call().await.map(|_| ()).map_err(|error| chain(&error)) }.boxed()
    }

    fn deployed(&self) -> BoxFuture<'_, Vec<Stated>> {
        self.stated().boxed()
    }

    fn counted(&self, span: Span) -> BoxFuture<'_, Option<Counted>> {
        async move { Some(self.count(span).await) }.boxed()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits first")]
pub(super) fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}
