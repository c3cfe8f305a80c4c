//! A call of a client's: read from its request, for whoever answers and whoever asks afterwards what was called.

use bytes::Bytes;
use http::{HeaderMap, Request};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::answer::ApiError;
use crate::{lambda, letter_by_web, resend, sendgrid, ses};

/// A call as it came, and whose it is.
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) operation: String,
    pub(crate) path: String,
    pub(crate) base: String,
    pub(crate) body: Value,
    /// The same as it came.
    pub(crate) raw: Bytes,
    /// Behind the question mark of its path.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// When it was signed, as its caller says.
    pub(crate) signed_at: Option<Timestamp>,
    /// The access key that signed it.
    pub(crate) caller: String,
}

impl Call {
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, ApiError> {
        let unknown = || ApiError::new("UnknownOperationException", format!("{} {}", request.method(), request.uri().path()));
        let host = request
            .headers()
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
        let (service, operation) = match request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()) {
            Some(target) => match target.split_once('.') {
                Some(("AmazonSQS", operation)) => ("sqs", operation.to_owned()),
                Some(("DynamoDB_20120810", operation)) => ("dynamodb", operation.to_owned()),
                _ => return Err(unknown()),
            },
            None => match (letter_by_web::operation(request), lambda::operation(request.method(), request.uri().path())) {
                (Some((service, operation)), _) => (service, operation.to_owned()),
                (None, Some(operation)) => ("lambda", operation.to_owned()),
                (None, None) => ("ses", ses::operation(request.method(), request.uri().path()).ok_or_else(unknown)?.to_owned()),
            },
        };
        let body = if request.body().is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(request.body()).map_err(|error| ApiError::new("SerializationException", error.to_string()))?
        };
        Ok(Self {
            service,
            operation,
            path: request.uri().path().to_owned(),
            base: format!("http://{}", host.unwrap_or("localhost")),
            body,
            raw: request.body().clone(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            signed_at: signed_at(request),
            caller: access_key(request),
        })
    }

    /// The broadcast that it sends for; nothing where it sends nothing.
    pub(crate) fn sends_for(&self) -> Option<&str> {
        match (self.service, self.operation.as_str()) {
            ("ses", "SendBulkEmail") => Some(tagged(&self.body)),
            ("sendgrid", "MailSend") => Some(sendgrid::broadcast_of(&self.body)),
            ("resend", "SendEmail" | "SendBatchEmails") => Some(resend::broadcast_of(&self.body)),
            _ => None,
        }
    }

    /// What it asks for, by action and resource, as a policy would have to allow it.
    pub(crate) fn rights(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self.operation.as_str() {
            // Allowed action by action (DynamoDB developer guide, "IAM and transactions").
            "TransactWriteItems" => {
                let inner = self.body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
                let action = |kind: &str| if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                inner.map(|(kind, inner)| (action(kind), text(&inner["TableName"]))).collect()
            }
            "BatchGetItem" => {
                let tables = self.body["RequestItems"].as_object().into_iter().flatten();
                tables.map(|(table, _)| (self.operation.clone(), table.clone())).collect()
            }
            "StartMessageMoveTask" => {
                vec![(self.operation.clone(), text(&self.body["SourceArn"]).rsplit(':').next().unwrap_or_default().to_owned())]
            }
            operation => {
                let named = [&self.body["TableName"], &self.body["QueueName"], &self.body["ConfigurationSetName"]];
                let url = text(&self.body["QueueUrl"]);
                let resource = named.into_iter().find_map(Value::as_str).or_else(|| url.rsplit('/').next().filter(|name| !name.is_empty()));
                vec![(operation.to_owned(), resource.unwrap_or_default().to_owned())]
            }
        }
    }
}

/// The broadcast that a bulk send is tagged with.
fn tagged(body: &Value) -> &str {
    let tags = body["BulkEmailEntries"][0]["ReplacementTags"].as_array().into_iter().flatten();
    tags.filter(|tag| tag["Name"] == "broadcast").find_map(|tag| tag["Value"].as_str()).unwrap_or_default()
}

/// The access key of a signed request (AWS general reference, "Signature Version 4").
pub(crate) fn access_key(request: &Request<Bytes>) -> String {
    let header = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default().to_owned()
}

/// When a request was signed (AWS general reference, "Signature Version 4").
fn signed_at(request: &Request<Bytes>) -> Option<Timestamp> {
    let date = request.headers().get("x-amz-date")?.to_str().ok()?;
    let date = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    TimeZone::UTC.to_timestamp(date).ok()
}
