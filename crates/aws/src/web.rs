//! Whatever is asked over HTTPS outside of the APIs of AWS, by the SDK's own HTTP client: documents that AWS serves, and
//! other providers. Nothing is signed, repeated or redirected here; whoever is served says so by TLS, and by nothing else.

use std::convert::Infallible;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::clients::CONNECT_TIMEOUT;
use crate::{chain, never_left};

/// A document is some kilobytes, and somebody waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What fetches them.
#[derive(Clone, Debug)]
pub struct Web(SharedHttpClient);

/// The answer that was no document.
#[derive(Debug, thiserror::Error)]
#[error("it answers with status {0}")]
struct Status(u16);

/// Why there is no answer to a call, and what that proves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No request could be made of it.
    #[error("{0}")]
    NotMade(String),
    /// No byte of it left this machine.
    #[error("{0}")]
    NeverLeft(String),
    /// It may have arrived.
    #[error("{0}")]
    Lost(String),
}

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

    /// The answer to one request, whatever its status; its URI is a whole one. Whoever is called is asked once.
    ///
    /// # Errors
    /// Says whether the request may have arrived.
    pub async fn call(&self, request: http::Request<Vec<u8>>, timeout: Duration) -> Result<http::Response<Vec<u8>>, Unanswered> {
        let (parts, body) = request.into_parts();
        let uri = parts.uri.into_parts();
        let (Some(scheme), Some(authority)) = (uri.scheme, uri.authority) else {
            return Err(Unanswered::NotMade("the URL names no host".to_owned()));
        };
        let path = uri.path_and_query.map_or_else(|| "/".to_owned(), |path| path.to_string());
        let operation = Operation::builder()
            .service_name("https")
            .operation_name("call")
            .http_client(self.0.clone())
            .endpoint_url(&format!("{scheme}://{authority}"))
            .no_auth()
            .no_retry()
            .sleep_impl(TokioSleep::new())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT.min(timeout)).operation_timeout(timeout).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .serializer(move |(method, headers, body): (http::Method, http::HeaderMap, Vec<u8>)| {
                let mut request = http::Request::builder().method(method).uri(&path).body(SdkBody::from(body))?;
                *request.headers_mut() = headers;
                Ok(HttpRequest::try_from(request)?)
            })
            .deserializer::<_, Infallible>(|response| {
                let mut answer = http::Response::new(response.body().bytes().unwrap_or_default().to_vec());
                *answer.status_mut() = http::StatusCode::from_u16(response.status().as_u16()).map_err(OrchestratorError::other)?;
                for (name, value) in response.headers() {
                    let name = http::HeaderName::try_from(name).map_err(OrchestratorError::other)?;
                    answer.headers_mut().append(name, http::HeaderValue::try_from(value).map_err(OrchestratorError::other)?);
                }
                Ok(answer)
            })
            .build();
        operation.invoke((parts.method, parts.headers, body)).await.map_err(|error| {
            let text = chain(&error);
            match &error {
                SdkError::ConstructionFailure(_) => Unanswered::NotMade(text),
                SdkError::DispatchFailure(_) if never_left(&error) => Unanswered::NeverLeft(text),
                _ => Unanswered::Lost(text),
            }
        })
    }
}
