//! What is answered in the place of what a service would have said.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use crate::answer::ApiError;
use crate::{resend, sendgrid};

pub(super) fn injected_error(service: &str) -> Response<Bytes> {
    match service {
        "sendgrid" => sendgrid::failed(),
        "resend" => resend::failed(),
        _ => ApiError::new("InternalServerError", "injected").status(StatusCode::INTERNAL_SERVER_ERROR).into_response(),
    }
}

/// What stands in between says: to a browser, or to a program, in one form or the other for one request or the other.
pub(super) fn in_its_place(status: u16, asked_in_bytes: usize) -> Response<Bytes> {
    let title = "Request blocked";
    let (kind, body) = match (usize::from(status) + asked_in_bytes) % 3 {
        0 => ("text/html", format!("<html><body>{title}</body></html>")),
        // JSON:API, "Error Objects".
        1 => (
            "application/vnd.api+json",
            json!({ "errors": [{ "status": status.to_string(), "title": title, "detail": title }] }).to_string(),
        ),
        _ => (
            "application/json",
            json!({ "name": "RequestBlocked", "message": title, "code": status, "errors": [{ "message": title }] }).to_string(),
        ),
    };
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub(super) fn throttled(service: &str) -> Response<Bytes> {
    match service {
        "ses" => ApiError::new("TooManyRequestsException", "injected").status(StatusCode::TOO_MANY_REQUESTS),
        "dynamodb" => ApiError::new("ProvisionedThroughputExceededException", "injected"),
        _ => ApiError::new("RequestThrottled", "injected"),
    }
    .into_response()
}
