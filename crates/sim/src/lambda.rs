//! Lambda, as far as saying what polls a queue: nothing, unless the account says so.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::answer::ApiError;
use crate::cloud::State;

pub(crate) fn operation(method: &Method, path: &str) -> Option<&'static str> {
    (method == Method::GET && path.trim_end_matches('/') == "/2015-03-31/event-source-mappings").then_some("ListEventSourceMappings")
}

impl State {
    pub(crate) fn lambda(&self, operation: &str) -> Result<Value, ApiError> {
        match operation {
            "ListEventSourceMappings" => match &self.account.event_source {
                Some(mapping) => Ok(json!({ "EventSourceMappings": [mapping] })),
                None => Ok(json!({ "EventSourceMappings": [] })),
            },
            other => Err(ApiError::not_simulated(other).status(StatusCode::NOT_FOUND)),
        }
    }
}
