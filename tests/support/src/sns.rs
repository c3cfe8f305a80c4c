//! SNS as far as a notification needs it: what signs it, and where its certificate is read. `sns/make.sh` has made
//! the keys and certificates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use issei_aws::{Timing, Web};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

/// The topic that notifications are published on.
pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:issei-events";
/// Where SNS of the topic's region publishes its certificates.
pub const CERTIFICATES: &str = "https://sns.us-east-1.amazonaws.com";
/// A notification with a signature of version 1.
pub const VERSION_1: &str = include_str!("../sns/version-1.json");

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub enum Signer {
    Sns,
    SomebodyElse,
}

/// A notification that says this, signed by `signer`, with its certificate at `certificate`.
#[must_use]
pub fn notification(message: &str, topic: &str, signer: Signer, certificate: &str) -> Value {
    let key: &[u8] = match signer {
        Signer::Sns => include_bytes!("../sns/sns-key.der"),
        Signer::SomebodyElse => include_bytes!("../sns/other-key.der"),
    };
    let (id, at) = ("5b1d1c0e", "2026-11-24T00:00:00.000Z");
    let text = format!("Message\n{message}\nMessageId\n{id}\nTimestamp\n{at}\nTopicArn\n{topic}\nType\nNotification\n");
    let key = RsaKeyPair::from_pkcs8(key).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    json!({
        "Type": "Notification", "MessageId": id, "TopicArn": topic, "Message": message, "Timestamp": at,
        "SignatureVersion": "2", "Signature": BASE64_STANDARD.encode(signature), "SigningCertURL": certificate,
    })
}

/// The web, of which there are these documents alone. Counts what is asked for.
#[derive(Clone, Debug, Default)]
pub struct FakeWeb(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    documents: BTreeMap<String, &'static str>,
    asked: BTreeMap<String, u32>,
}

impl FakeWeb {
    /// With the certificates of SNS: `-0123` is good, `-0124` has expired, `-0125` is another's.
    #[must_use]
    pub fn with_certificates() -> Self {
        let web = Self::default();
        web.publish("0123", include_str!("../sns/sns.pem"));
        web.publish("0124", include_str!("../sns/expired.pem"));
        web.publish("0125", include_str!("../sns/foreign.pem"));
        web
    }

    fn publish(&self, name: &str, document: &'static str) {
        self.0.lock().unwrap().documents.insert(certificate(name), document);
    }

    /// What has been asked for, and how often.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().asked.clone()
    }

    /// For a feedback consumer.
    pub async fn client(&self, timing: &Timing) -> Web {
        issei_aws::connect_to("http://nowhere", Some(SharedHttpClient::new(self.clone())), timing).await.web
    }
}

/// The URL of a certificate of SNS.
#[must_use]
pub fn certificate(name: &str) -> String {
    format!("{CERTIFICATES}/SimpleNotificationService-{name}.pem")
}

impl HttpClient for FakeWeb {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for FakeWeb {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut pages = self.0.lock().unwrap();
        *pages.asked.entry(request.uri().to_owned()).or_default() += 1;
        let (status, body) = pages.documents.get(request.uri()).map_or((503, "slow down"), |document| (200, *document));
        let response = http::Response::builder().status(status).body(SdkBody::from(body)).unwrap();
        HttpConnectorFuture::ready(HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None)))
    }
}
