//! What SNS wraps an event in where delivery is not raw: who says to have published it, and what signs that
//! (SNS developer guide, "Verifying the signatures of Amazon SNS messages").
//!
//! Nothing here is believed. What a notification says comes out of it by `signatures.rs` alone.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use issei_schema::TopicArn;
use ring::signature::{RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters};
use serde::Deserialize;

use super::event::EventError;

/// A body of the feedback queue, before anything in it is believed.
#[derive(Debug)]
pub(crate) enum Opened<'a> {
    /// No notification: SNS delivered it raw, or it came another way.
    Bare(&'a str),
    Notification(Notification),
}

/// A notification of SNS, or what says to be one.
#[derive(Debug)]
pub(crate) struct Notification {
    pub(crate) message: String,
    pub(crate) topic: Option<String>,
    /// Nothing where nobody claims to have signed it.
    pub(crate) signed: Option<Signed>,
}

/// The signature of a notification with all that it is checked by.
#[derive(Debug)]
pub(crate) struct Signed {
    /// What was signed.
    pub(crate) text: String,
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: &'static RsaParameters,
    pub(crate) certificate: CertificateUrl,
}

/// Where SNS of one region publishes a certificate that it signs with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertificateUrl {
    pub(crate) host: String,
    pub(crate) path: String,
    /// What all names of AWS end with there.
    pub(crate) domain: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    message: Option<String>,
    message_id: Option<String>,
    subject: Option<String>,
    timestamp: Option<String>,
    topic_arn: Option<String>,
    signature_version: Option<String>,
    signature: Option<String>,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: Option<String>,
}

/// Takes a body apart. What is no envelope of SNS is left as it is.
pub(crate) fn open(body: &str) -> Result<Opened<'_>, EventError> {
    let Ok(envelope) = serde_json::from_str::<Envelope>(body) else { return Ok(Opened::Bare(body)) };
    match envelope.kind.as_str() {
        "Notification" => Ok(Opened::Notification(Notification::of(envelope).map_err(EventError::Unproven)?)),
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => Err(EventError::Subscription),
        _ => Ok(Opened::Bare(body)),
    }
}

/// What a body says, whoever says it.
///
/// # Errors
/// Says what the body is instead.
pub fn unwrapped(body: &str) -> Result<Cow<'_, str>, EventError> {
    Ok(match open(body)? {
        Opened::Bare(body) => body.into(),
        Opened::Notification(notification) => notification.message.into(),
    })
}

impl Notification {
    fn of(envelope: Envelope) -> Result<Self, Cow<'static, str>> {
        let is_signed = envelope.signature.is_some() || envelope.signature_version.is_some() || envelope.signing_cert_url.is_some();
        let signed = if is_signed { Some(Signed::of(&envelope)?) } else { None };
        Ok(Self { message: envelope.message.unwrap_or_default(), topic: envelope.topic_arn, signed })
    }
}

impl Signed {
    fn of(envelope: &Envelope) -> Result<Self, Cow<'static, str>> {
        fn needed<'a>(name: &str, value: Option<&'a String>) -> Result<&'a str, Cow<'static, str>> {
            value.map(String::as_str).ok_or_else(|| format!("it has no {name}").into())
        }
        let topic_arn = needed("TopicArn", envelope.topic_arn.as_ref())?;
        let topic: TopicArn = topic_arn.parse().map_err(|reason| format!("its TopicArn is broken: {reason}"))?;
        let certificate = CertificateUrl::parse(needed("SigningCertURL", envelope.signing_cert_url.as_ref())?, &topic)
            .ok_or("its SigningCertURL is none of SNS in the topic's region")?;
        let algorithm = match needed("SignatureVersion", envelope.signature_version.as_ref())? {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err("its SignatureVersion is neither 1 nor 2".into()),
        };
        let signature = needed("Signature", envelope.signature.as_ref())?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| "its Signature is no Base64")?;
        // Names in the order of bytes, each with its value and a line feed after either; Subject where there is one.
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.extend([name, "\n", value, "\n"]);
        line("Message", needed("Message", envelope.message.as_ref())?);
        line("MessageId", needed("MessageId", envelope.message_id.as_ref())?);
        if let Some(subject) = &envelope.subject {
            line("Subject", subject);
        }
        line("Timestamp", needed("Timestamp", envelope.timestamp.as_ref())?);
        line("TopicArn", topic_arn);
        line("Type", &envelope.kind);
        Ok(Self { text, signature, algorithm, certificate })
    }
}

impl CertificateUrl {
    /// `https://sns.REGION.amazonaws.com/SimpleNotificationService-….pem`, in the region of the topic (in China
    /// `amazonaws.com.cn`), and nothing else: no port, user, query or other path.
    fn parse(url: &str, topic: &TopicArn) -> Option<Self> {
        let domain = if topic.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = format!("sns.{}.{domain}", topic.region());
        let path = url.strip_prefix("https://")?.strip_prefix(&host)?;
        let name = path.strip_prefix("/SimpleNotificationService-")?.strip_suffix(".pem")?;
        let is_name = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_name.then(|| Self { host, path: path.to_owned(), domain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_fetched_from_sns_in_the_topics_region_and_from_nowhere_else() {
        let topic: TopicArn = "arn:aws:sns:us-east-1:123456789012:events".parse().unwrap();
        let good = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem";
        assert_eq!(CertificateUrl::parse(good, &topic).map(|url| url.host), Some("sns.us-east-1.amazonaws.com".to_owned()));
        let china: TopicArn = "arn:aws-cn:sns:cn-north-1:123456789012:events".parse().unwrap();
        assert!(CertificateUrl::parse("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0123abcd.pem", &china).is_some());
        for bad in [
            "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.us-east-1.amazonaws.com@example.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-0123abcd.pem",
            "https://example.com/sns.us-east-1.amazonaws.com/SimpleNotificationService-0123abcd.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-../../bucket/mine.pem",
            "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-a.pem?b=.pem",
            "https://sns.us-east-1.amazonaws.com/mine.pem",
            "https://sns.us-east-1.amazonaws.com.cn/SimpleNotificationService-0123abcd.pem",
            "https://bucket.s3.amazonaws.com/SimpleNotificationService-0123abcd.pem",
        ] {
            assert_eq!(CertificateUrl::parse(bad, &topic), None, "{bad}");
        }
    }
}
