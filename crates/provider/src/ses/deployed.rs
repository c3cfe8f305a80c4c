//! What is deployed at SES, as SES tells, and the few things there that issei makes or switches: the configuration set, its
//! event destination, whether it may send. What this must never do: judge; whoever asks knows what should be there.

use aws_sdk_sesv2::operation::create_configuration_set::CreateConfigurationSetError;
use aws_sdk_sesv2::operation::create_configuration_set_event_destination::CreateConfigurationSetEventDestinationError;
use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, EventDestination, EventDestinationDefinition, EventType,
    MessageTag, SnsDestination, SuppressionListReason, SuppressionOptions, Template,
};
use issei_aws::{AwsCall, chain};
use issei_schema::{Mailbox, PROBE_TAG, ProbeToken, TopicArn};

use super::Ses;

/// The mailbox that accepts everything (SES developer guide, "Using the mailbox simulator").
const SIMULATOR: &str = "success@simulator.amazonses.com";
/// The kinds of events that the feedback consumer reads.
const EVENTS: [EventType; 7] = [
    EventType::Send,
    EventType::Delivery,
    EventType::Bounce,
    EventType::Complaint,
    EventType::Reject,
    EventType::RenderingFailure,
    EventType::DeliveryDelay,
];
/// Those without which a certificate could not tell what became of a message.
const NEEDED: [EventType; 6] =
    [EventType::Send, EventType::Delivery, EventType::Bounce, EventType::Complaint, EventType::Reject, EventType::RenderingFailure];

/// A configuration set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationSet {
    /// Whether it may send; nothing where SES does not tell.
    pub sends: Option<bool>,
    /// For which reasons SES keeps a message from whoever is on its own list; nothing where that is the account's matter.
    pub suppresses: Option<Vec<String>>,
}

impl ConfigurationSet {
    /// Of complaints issei's own list decides.
    #[must_use]
    pub fn suppresses_bounces_alone(&self) -> bool {
        self.suppresses.as_deref() == Some(&[SuppressionListReason::Bounce.as_str().to_owned()])
    }
}

/// Where its events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsTo {
    pub name: String,
    pub enabled: bool,
    pub events: Vec<String>,
    topic: Option<String>,
}

impl EventsTo {
    /// The kinds of events that a certificate needs.
    pub fn needed() -> impl Iterator<Item = &'static str> {
        NEEDED.iter().map(EventType::as_str)
    }

    /// Whether it is on, and tells all that a certificate needs.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.enabled && Self::needed().all(|wanted| self.events.iter().any(|event| event == wanted))
    }

    /// The topic that they are published to, where they are.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    fn of(destination: EventDestination) -> Self {
        Self {
            name: destination.name,
            enabled: destination.enabled,
            events: destination.matching_event_types.iter().map(|kind| kind.as_str().to_owned()).collect(),
            topic: destination.sns_destination.map(|sns| sns.topic_arn),
        }
    }
}

/// The account as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// It may send to anybody.
    pub out_of_sandbox: bool,
    /// AWS's own word for how it stands; nothing where SES does not tell.
    pub standing: Option<String>,
    pub quota: Option<Quota>,
}

/// What it may send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    pub a_second: f64,
    /// In 24 hours; -1 where there is no such limit (API reference, `SendQuota`).
    pub a_day: f64,
    pub sent_in_24_hours: f64,
}

impl Ses {
    /// The event destination that is made.
    pub const DESTINATION: &str = "issei-feedback";

    /// The configuration set, as SES tells of it.
    ///
    /// # Errors
    /// Says why SES did not tell.
    pub async fn configuration_set(&self) -> Result<ConfigurationSet, String> {
        let answer = self.client.get_configuration_set().configuration_set_name(&self.configuration_set).call().await;
        let answer = answer.map_err(|error| chain(&error))?;
        let suppressed = answer.suppression_options.and_then(|options| options.suppressed_reasons);
        Ok(ConfigurationSet {
            sends: answer.sending_options.map(|options| options.sending_enabled),
            suppresses: suppressed.map(|reasons| reasons.iter().map(|reason| reason.as_str().to_owned()).collect()),
        })
    }

    /// Lets the configuration set send, or nobody by it.
    ///
    /// # Errors
    /// Says why it is as it was.
    pub async fn let_send(&self, on: bool) -> Result<(), String> {
        let set = &self.configuration_set;
        let request = self.client.put_configuration_set_sending_options().configuration_set_name(set).sending_enabled(on);
        request.call().await.map(|_| ()).map_err(|error| {
            format!(
                "the configuration set `{set}` can't be switched: {}; check its name and the permission ses:PutConfigurationSetSendingOptions",
                chain(&error)
            )
        })
    }

    /// Makes the configuration set, or mends what its list of suppressed addresses is heeded for. SES heeds bounces of it;
    /// of complaints issei's list decides, by the class of each broadcast: SES would keep a legal notice from whoever
    /// complained once.
    ///
    /// # Errors
    /// Says which call failed.
    pub async fn make_configuration_set(&self) -> Result<&'static str, String> {
        let (name, only_bounces) = (&self.configuration_set, SuppressionListReason::Bounce);
        let options = SuppressionOptions::builder().suppressed_reasons(only_bounces.clone()).build();
        match self.client.create_configuration_set().configuration_set_name(name).suppression_options(options).call().await {
            Ok(_) => Ok("made"),
            Err(error) if error.as_service_error().is_some_and(CreateConfigurationSetError::is_already_exists_exception) => {
                let request = self.client.put_configuration_set_suppression_options().configuration_set_name(name);
                let set = request.suppressed_reasons(only_bounces).call().await;
                set.map_err(|error| format!("PutConfigurationSetSuppressionOptions of `{name}`: {}", chain(&error)))?;
                Ok("was there; suppresses bounces alone")
            }
            Err(error) => Err(format!("CreateConfigurationSet of `{name}`: {}", chain(&error))),
        }
    }

    /// Where its events go.
    ///
    /// # Errors
    /// Says why SES did not tell.
    pub async fn events_to(&self) -> Result<Vec<EventsTo>, String> {
        let request = self.client.get_configuration_set_event_destinations().configuration_set_name(&self.configuration_set);
        let answer = request.call().await.map_err(|error| chain(&error))?;
        Ok(answer.event_destinations.unwrap_or_default().into_iter().map(EventsTo::of).collect())
    }

    /// Sends every event that is read to a topic.
    ///
    /// # Errors
    /// Says which call failed, or what is in the way.
    pub async fn make_events_to(&self, topic: &TopicArn) -> Result<&'static str, String> {
        let set = &self.configuration_set;
        let there = self.events_to().await.map_err(|error| format!("SES GetConfigurationSetEventDestinations of `{set}`: {error}"))?;
        let is_good = |one: &EventsTo| {
            let has = |kind: &EventType| one.events.iter().any(|event| event == kind.as_str());
            one.enabled && one.topic.as_deref() == Some(topic.as_str()) && EVENTS.iter().all(has)
        };
        if there.iter().any(is_good) {
            return Ok("was there");
        }
        let sns = SnsDestination::builder().topic_arn(topic.as_str()).build().map_err(|error| error.to_string())?;
        let definition = EventDestinationDefinition::builder().enabled(true).set_matching_event_types(Some(EVENTS.to_vec()));
        let request = self.client.create_configuration_set_event_destination().configuration_set_name(set);
        let request = request.event_destination_name(Self::DESTINATION).event_destination(definition.sns_destination(sns).build());
        match request.call().await {
            Ok(_) => Ok("made"),
            Err(error)
                if error.as_service_error().is_some_and(CreateConfigurationSetEventDestinationError::is_already_exists_exception) =>
            {
                Err(format!(
                    "the configuration set `{set}` has an event destination `{}` that is off, goes elsewhere or lacks events; mend or delete it",
                    Self::DESTINATION
                ))
            }
            Err(error) => Err(format!("SES CreateConfigurationSetEventDestination of `{set}`: {}", chain(&error))),
        }
    }

    /// How the account stands.
    ///
    /// # Errors
    /// Says why SES did not tell.
    pub async fn account(&self) -> Result<Account, String> {
        let answer = self.client.get_account().call().await.map_err(|error| chain(&error))?;
        let quota = answer.send_quota.map(|quota| Quota {
            a_second: quota.max_send_rate,
            a_day: quota.max24_hour_send,
            sent_in_24_hours: quota.sent_last24_hours,
        });
        Ok(Account { out_of_sandbox: answer.production_access_enabled, standing: answer.enforcement_status, quota })
    }

    /// One mail to the mailbox simulator, marked so that its event is known as a probe's.
    ///
    /// # Errors
    /// Says why SES did not take it.
    pub async fn probe(&self, from: &Mailbox, token: &ProbeToken) -> Result<(), String> {
        let content = EmailTemplateContent::builder().subject("issei doctor").text("A probe.").build();
        let template = Template::builder().template_content(content).template_data("{}").build();
        let tag = MessageTag::builder().name(PROBE_TAG).value(token.as_str()).build().map_err(|error| error.to_string())?;
        let to = Destination::builder().to_addresses(SIMULATOR).build();
        let entry = BulkEmailEntry::builder().destination(to).replacement_tags(tag).build();
        let request = self
            .client
            .send_bulk_email()
            .from_email_address(from.to_header())
            .default_content(BulkEmailContent::builder().template(template).build())
            .configuration_set_name(&self.configuration_set)
            .bulk_email_entries(entry);
        let answer = request.call().await.map_err(|error| chain(&error))?;
        match answer.bulk_email_entry_results.first() {
            Some(result) if result.message_id.is_some() => Ok(()),
            Some(result) => Err(format!("SES refused it: {:?} {}", result.status, result.error.as_deref().unwrap_or_default())),
            None => Err("SES told nothing of it".to_owned()),
        }
    }
}
