//! Documents that AWS serves over HTTPS outside of its APIs, by the SDK's own HTTP client. Nothing is signed,
//! repeated or redirected here; whoever is served says so by TLS, and by nothing else.

use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, OrchestratorError};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::chain;

/// A document is some kilobytes, and somebody waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What fetches them.
#[derive(Clone, Debug)]
pub struct Web(SharedHttpClient);

/// The answer that was no document.
#[derive(Debug, thiserror::Error)]
#[error("it answers with status {0}")]
struct Status(u16);

impl Web {
    pub(crate) fn new(http: SharedHttpClient) -> Self {
        Self(http)
    }

    /// The document at `https://HOST/PATH`.
    ///
    /// # Errors
    /// Says why there is none now.
    pub async fn get(&self, host: &str, path: &str) -> Result<Vec<u8>, String> {
        let operation = Operation::builder()
            .service_name("https")
            .operation_name("get")
            .http_client(self.0.clone())
            .endpoint_url(&format!("https://{host}"))
            .no_auth()
            .no_retry()
            .sleep_impl(TokioSleep::new())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .serializer(|path: String| Ok(HttpRequest::try_from(http::Request::get(path).body(SdkBody::empty())?)?))
            .deserializer(|response| match response.body().bytes() {
                Some(document) if response.status().is_success() => Ok(document.to_vec()),
                _ => Err(OrchestratorError::operation(Status(response.status().as_u16()))),
            })
            .build();
        operation.invoke(path.to_owned()).await.map_err(|error| chain(&error))
    }
}
