//! The topic of SES's events: the calls of SNS that make it and subscribe a queue to it. SNS speaks the query
//! protocol: forms there, XML back (SNS API reference).
//!
//! Each may be repeated: a topic is its name, and a subscription its topic and its queue.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ErrorMetadata;
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use url::form_urlencoded::Serializer;

use crate::signed::{CallError, Service, Signed, TRY_TIMEOUT, text};

pub(crate) static SNS: Service = Service { id: "SNS", name: "sns", refusal, try_timeout: TRY_TIMEOUT, most: None };
const VERSION: &str = "2010-03-31";
/// A hundred subscriptions each; who goes on giving more has lost its place.
const PAGES_MAX: usize = 1_000;

/// How a subscription delivers what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As it is, and without a signature.
    Raw,
    /// In a notification, which SNS signs.
    Signed,
}

impl Delivery {
    /// The value of `RawMessageDelivery`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "true",
            Self::Signed => "false",
        }
    }
}

/// Makes topics and subscriptions.
#[derive(Clone, Debug)]
pub struct Sns(Signed);

impl Sns {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Signed::new(config, &SNS))
    }

    /// Makes the topic of this name where it is not there, and gives its ARN.
    ///
    /// # Errors
    /// Says why it is not made.
    pub async fn create_topic(&self, name: &str) -> Result<String, CallError> {
        let call = "CreateTopic";
        let answer = self.call(call, &[("Name", name)]).await?;
        self.member(call, &answer, "CreateTopicResult", "TopicArn")
    }

    /// The attributes of a topic, by their names.
    ///
    /// # Errors
    /// Says why SNS did not tell.
    pub async fn topic_attributes(&self, topic: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.attributes("GetTopicAttributes", "TopicArn", topic).await
    }

    /// Replaces the policy of a topic.
    ///
    /// # Errors
    /// Says why it is not replaced.
    pub async fn set_topic_policy(&self, topic: &str, policy: &str) -> Result<(), CallError> {
        let form = [("TopicArn", topic), ("AttributeName", "Policy"), ("AttributeValue", policy)];
        self.call("SetTopicAttributes", &form).await.map(|_| ())
    }

    /// The ARN of the subscription of this queue to this topic, where there is one.
    ///
    /// # Errors
    /// Says why SNS did not tell.
    pub async fn subscription(&self, topic: &str, queue: &str) -> Result<Option<String>, CallError> {
        let call = "ListSubscriptionsByTopic";
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut form = vec![("TopicArn", topic)];
            form.extend(next.as_deref().map(|token| ("NextToken", token)));
            let answer = self.call(call, &form).await?;
            let members = records(&answer, "member").map_err(|error| self.0.error(call, error))?;
            let of_queue = |member: &BTreeMap<String, String>| member.get("Endpoint").is_some_and(|endpoint| endpoint == queue);
            if let Some(mut member) = members.into_iter().find(of_queue) {
                return Ok(member.remove("SubscriptionArn"));
            }
            let token = first(&answer, "NextToken").map_err(|error| self.0.error(call, error))?;
            next = token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(None);
            }
        }
        Err(self.0.error(call, format!("it goes on after {PAGES_MAX} pages")))
    }

    /// The attributes of a subscription, by their names.
    ///
    /// # Errors
    /// Says why SNS did not tell.
    pub async fn subscription_attributes(&self, subscription: &str) -> Result<BTreeMap<String, String>, CallError> {
        self.attributes("GetSubscriptionAttributes", "SubscriptionArn", subscription).await
    }

    /// Subscribes a queue. What can't be delivered goes to `dead`.
    ///
    /// # Errors
    /// Says why it is not subscribed.
    pub async fn subscribe(&self, topic: &str, queue: &str, dead: &str, delivery: Delivery) -> Result<String, CallError> {
        let call = "Subscribe";
        let redrive = serde_json::json!({ "deadLetterTargetArn": dead }).to_string();
        let form = [
            ("TopicArn", topic),
            ("Protocol", "sqs"),
            ("Endpoint", queue),
            ("ReturnSubscriptionArn", "true"),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", delivery.as_str()),
            ("Attributes.entry.2.key", "RedrivePolicy"),
            ("Attributes.entry.2.value", &redrive),
        ];
        let answer = self.call(call, &form).await?;
        self.member(call, &answer, "SubscribeResult", "SubscriptionArn")
    }

    async fn attributes(&self, call: &'static str, of: &str, arn: &str) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self.call(call, &[(of, arn)]).await?;
        let entries = records(&answer, "entry").map_err(|error| self.0.error(call, error))?;
        Ok(entries.into_iter().filter_map(|mut entry| Some((entry.remove("key")?, entry.remove("value")?))).collect())
    }

    async fn call(&self, operation: &'static str, form: &[(&str, &str)]) -> Result<String, CallError> {
        let pairs = [("Action", operation), ("Version", VERSION)].into_iter().chain(form.iter().copied());
        let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.0.post_form(operation, body).await
    }

    fn member(&self, call: &'static str, answer: &str, result: &str, name: &str) -> Result<String, CallError> {
        let mut found = records(answer, result).map_err(|error| self.0.error(call, error))?;
        let member = found.first_mut().and_then(|members| members.remove(name));
        member.ok_or_else(|| self.0.error(call, format!("no {name} in its answer")))
    }
}

/// The members of each element of this name, wherever it stands.
pub(crate) fn records(xml: &str, name: &str) -> Result<Vec<BTreeMap<String, String>>, XmlDecodeError> {
    let mut document = Document::new(xml);
    let mut found = Vec::new();
    while let Some(start) = document.next_start_element() {
        if start.local() != name {
            continue;
        }
        let (mut scope, mut members) = (document.scoped_to(start), BTreeMap::new());
        while let Some(mut member) = scope.next_tag() {
            let name = member.start_el().local().to_owned();
            members.insert(name, try_data(&mut member)?.into_owned());
        }
        drop(scope);
        found.push(members);
    }
    Ok(found)
}

/// The text of the first element of this name.
pub(crate) fn first(xml: &str, name: &str) -> Result<Option<String>, XmlDecodeError> {
    let mut document = Document::new(xml);
    while let Some(start) = document.next_start_element() {
        if start.local() == name {
            return try_data(&mut document.scoped_to(start)).map(|text| Some(text.into_owned()));
        }
    }
    Ok(None)
}

pub(crate) fn refusal(response: &HttpResponse) -> Option<ErrorMetadata> {
    let mut error = records(&text(response), "Error").ok()?.into_iter().next()?;
    let mut meta = ErrorMetadata::builder().code(error.remove("Code")?);
    if let Some(message) = error.remove("Message") {
        meta = meta.message(message);
    }
    Some(meta.build())
}
