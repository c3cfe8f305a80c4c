//! What Lambda polls a queue with: the one call of Lambda that issei makes, and it only reads.

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ErrorMetadata;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::signed::{CallError, Service, Signed, TRY_TIMEOUT, text};

static LAMBDA: Service = Service { id: "Lambda", name: "lambda", refusal, try_timeout: TRY_TIMEOUT, most: None };
const LIST: &str = "ListEventSourceMappings";
/// A queue has a handful; who goes on giving more has lost its place.
const PAGES_MAX: usize = 100;

/// Reads what Lambda has of queues.
#[derive(Clone, Debug)]
pub struct Lambda(Signed);

/// An event source mapping of a queue (Lambda API reference, `EventSourceMappingConfiguration`).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub struct EventSource {
    pub state: Option<String>,
    pub function_arn: Option<String>,
    #[serde(default)]
    function_response_types: Option<Vec<String>>,
    #[serde(default)]
    scaling_config: Option<Scaling>,
    #[serde(rename = "MaximumBatchingWindowInSeconds")]
    window_s: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Scaling {
    maximum_concurrency: Option<u32>,
}

impl EventSource {
    /// Whether the messages of a batch fail one by one.
    #[must_use]
    pub fn reports_item_failures(&self) -> bool {
        self.function_response_types.iter().flatten().any(|kind| kind == "ReportBatchItemFailures")
    }

    /// How many instances it may have at once.
    #[must_use]
    pub fn concurrency_max(&self) -> Option<u32> {
        self.scaling_config.as_ref()?.maximum_concurrency
    }

    /// How long a batch may be gathered, in seconds.
    #[must_use]
    pub fn window_s(&self) -> u64 {
        self.window_s.unwrap_or(0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    event_source_mappings: Option<Vec<EventSource>>,
    next_marker: Option<String>,
}

impl Lambda {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Signed::new(config, &LAMBDA))
    }

    /// The event sources of this queue.
    ///
    /// # Errors
    /// Says why Lambda did not tell.
    pub async fn event_sources(&self, queue_arn: &str) -> Result<Vec<EventSource>, CallError> {
        let (mut found, mut marker): (_, Option<String>) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let pairs = [("EventSourceArn", queue_arn)].into_iter().chain(marker.as_deref().map(|marker| ("Marker", marker)));
            let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
            let answer = self.0.get(LIST, &format!("/2015-03-31/event-source-mappings/?{query}")).await?;
            let page: Page = serde_json::from_str(&answer).map_err(|error| self.0.error(LIST, error))?;
            found.extend(page.event_source_mappings.unwrap_or_default());
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(found);
            }
        }
        Err(self.0.error(LIST, format!("it goes on after {PAGES_MAX} pages")))
    }
}

/// The code stands in a header or in the body, with a namespace before it and a link behind it at times (Smithy,
/// "AWS restJson1 protocol", operation error serialization).
pub(crate) fn refusal(response: &HttpResponse) -> Option<ErrorMetadata> {
    let body: Value = serde_json::from_str(&text(response)).unwrap_or_default();
    let code = response.headers().get("x-amzn-errortype").or_else(|| body["code"].as_str()).or_else(|| body["__type"].as_str())?;
    let code = code.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    let mut meta = ErrorMetadata::builder().code(code);
    if let Some(message) = ["message", "Message", "errorMessage"].iter().find_map(|name| body[*name].as_str()) {
        meta = meta.message(message);
    }
    Some(meta.build())
}
