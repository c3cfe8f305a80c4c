//! What the simulator says to one call.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::store::StoreError;

/// What the caller gets: an answer, no connection, one that breaks, or nothing at all.
pub(crate) enum Answer {
    Response(Response<Bytes>),
    Refused,
    Reset,
    Hang,
}

/// An error as the services put it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    extra: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, message: message.into(), extra: Map::new() }
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// For a call that the real service would take and this simulator does not.
    pub(crate) fn not_simulated(what: &str) -> Self {
        Self::new("NotSimulatedException", format!("{what} is not simulated; issei does not call it")).status(StatusCode::NOT_IMPLEMENTED)
    }

    /// As a transaction lists it. Only a failed condition is a reason; all else fails the call.
    pub(crate) fn into_cancellation_reason(self) -> Result<Value, Self> {
        if self.kind != "ConditionalCheckFailedException" {
            return Err(self);
        }
        let mut reason = json!({ "Code": "ConditionalCheckFailed", "Message": self.message });
        if let Value::Object(fields) = &mut reason {
            fields.extend(self.extra);
        }
        Ok(reason)
    }

    /// The code of the older query protocol, which SQS still sends along and SDKs go by.
    fn query_code(&self) -> Option<&'static str> {
        Some(match self.kind {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue;Sender",
            "QueueNameExists" => "QueueAlreadyExists;Sender",
            "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight;Sender",
            "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest;Sender",
            "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest;Sender",
            "BatchRequestTooLong" => "AWS.SimpleQueueService.BatchRequestTooLong;Sender",
            _ => return None,
        })
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let query_code = self.query_code();
        let mut body = json!({ "__type": self.kind, "message": self.message });
        if let Value::Object(fields) = &mut body {
            fields.extend(self.extra);
        }
        let mut response = respond(self.status, Some(self.kind), &body);
        if let Some(code) = query_code {
            response.headers_mut().insert("x-amzn-query-error", http::HeaderValue::from_static(code));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::new("InternalServerError", error.to_string()).status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        StoreError::from(error).into()
    }
}

pub(crate) fn ok(body: &Value) -> Response<Bytes> {
    respond(StatusCode::OK, None, body)
}

/// The same of what is JSON already.
pub(crate) fn ok_as_it_is(body: String) -> Response<Bytes> {
    respond_with(StatusCode::OK, None, body)
}

fn respond(status: StatusCode, kind: Option<&'static str>, body: &Value) -> Response<Bytes> {
    // Nothing in it can fail, and `to_string` goes by way of a formatter, which takes as long again.
    respond_with(status, kind, serde_json::to_string(body).unwrap_or_default())
}

fn respond_with(status: StatusCode, kind: Option<&'static str>, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", http::HeaderValue::from_static(kind));
    }
    response
}
