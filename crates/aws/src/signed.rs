//! Plain signed requests, for the few calls whose service's SDK is not worth its weight: Lambda's was the largest
//! crate of the whole tree (13 MB of generated source), for one call. Who signs, finds credentials, waits and tries
//! again is the SDK's own runtime; nothing of that is written here.
//!
//! Only for calls that may be repeated: what fails on its way is asked again. Never for a send.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_types::SigningName;
use aws_types::region::SigningRegion;

use crate::chain;
use crate::clients::CONNECT_TIMEOUT;
use crate::endpoint::endpoint;
use crate::evidence::NO_REGION;

/// For one try, of most services; all of them together may take twice that.
pub(crate) const TRY_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;

type Refusal = fn(&HttpResponse) -> Option<ErrorMetadata>;

/// A service that is asked so.
#[derive(Debug)]
pub(crate) struct Service {
    /// As in `AWS_ENDPOINT_URL_…`, and in errors.
    pub(crate) id: &'static str,
    /// As in host names and signatures.
    pub(crate) name: &'static str,
    /// What an answer that is no success says; nothing where it can't be read.
    pub(crate) refusal: Refusal,
    pub(crate) try_timeout: Duration,
    /// Bytes of an answer, where it says how many they are: what has more, or does not say, is not read.
    pub(crate) most: Option<u64>,
}

impl Service {
    /// S3 signs the path as it is sent and wants the body's digest (S3 API reference, "Authenticating requests"), and its
    /// endpoints for both versions of IP have the names that are older than everybody else's.
    pub(crate) fn is_s3(&self) -> bool {
        self.name == "s3"
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{service} {operation}: {why}")]
pub struct CallError {
    service: &'static str,
    /// The action that IAM must allow.
    operation: &'static str,
    /// The service's own word for it; none where it has not answered.
    code: Option<String>,
    why: String,
}

impl CallError {
    /// Whether the caller's rights do not suffice.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("AccessDenied") || code.starts_with("Authorization"))
    }

    /// Whether there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("NotFound"))
    }

    /// The service's own word for what went wrong; none where it has not answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What went wrong, without the call's name.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The action that IAM must allow, such as `sns:Subscribe`.
    #[must_use]
    pub fn action(&self) -> String {
        format!("{}:{}", self.service.replace(' ', "").to_ascii_lowercase(), self.operation)
    }
}

/// One service, by the settings that the SDK's own clients have.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    config: SdkConfig,
    service: &'static Service,
}

impl Signed {
    pub(crate) fn new(config: &SdkConfig, service: &'static Service) -> Self {
        Self { config: config.clone(), service }
    }

    pub(crate) async fn get(&self, operation: &'static str, path_and_query: &str) -> Result<String, CallError> {
        self.call(operation, http::Request::get(path_and_query).body(SdkBody::empty())).await
    }

    pub(crate) async fn post_form(&self, operation: &'static str, form: String) -> Result<String, CallError> {
        let request = http::Request::post("/").header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.call(operation, request.body(SdkBody::from(form))).await
    }

    /// What went wrong here, and not with the service.
    pub(crate) fn error(&self, operation: &'static str, why: impl ToString) -> CallError {
        CallError { service: self.service.id, operation, code: None, why: why.to_string() }
    }

    async fn call(&self, operation: &'static str, request: http::Result<http::Request<SdkBody>>) -> Result<String, CallError> {
        self.call_for(operation, request, |response| text(response).into_owned()).await
    }

    /// What `taken` makes of an answer that is a success.
    pub(crate) async fn call_for<T: fmt::Debug + Send + Sync + 'static>(
        &self,
        operation: &'static str,
        request: http::Result<http::Request<SdkBody>>,
        taken: fn(&HttpResponse) -> T,
    ) -> Result<T, CallError> {
        let wrong = |why: &dyn ToString| self.error(operation, why.to_string());
        let request = request.map_err(|error| wrong(&error))?;
        let mut request = HttpRequest::try_from(request).map_err(|error| wrong(&error))?;
        request.headers_mut().insert("user-agent", "issei");
        let (Some(http), Some(credentials)) = (self.config.http_client(), self.config.credentials_provider()) else {
            return Err(wrong(&"the SDK has neither an HTTP client nor credentials"));
        };
        let endpoint = endpoint(&self.config, self.service).map_err(|why| wrong(&why))?;
        let region = self.config.region().cloned().ok_or_else(|| wrong(&NO_REGION))?;
        let mut signing_options = SigningOptions::default();
        if self.service.is_s3() {
            (signing_options.double_uri_encode, signing_options.normalize_uri_path) = (false, false);
            signing_options.content_sha256_header = true;
        }
        let signing = SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(region)),
            name: Some(SigningName::from_static(self.service.name)),
            signing_options,
            ..SigV4OperationSigningConfig::default()
        };
        let mut layer = Layer::new("signed");
        layer.store_put(signing);
        // Rows of an audience, and keys: no level of logs shows an answer.
        layer.store_put(SensitiveOutput);
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        let components = RuntimeComponentsBuilder::new("signed")
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
            .with_identity_cache(self.config.identity_cache())
            .with_identity_resolver(SCHEME_ID, credentials)
            .with_sleep_impl(self.config.sleep_impl())
            .with_time_source(self.config.time_source());
        let Service { refusal, try_timeout, most, .. } = *self.service;
        let operation_of = Operation::builder()
            .service_name(self.service.id)
            .operation_name(operation)
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .endpoint_url(&endpoint)
            .standard_retry(&RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(try_timeout)
                    .operation_timeout(try_timeout * 2)
                    .build(),
            )
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
            .with_connection_poisoning()
            .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components))
            .serializer(|request: Prepared| request.0.try_clone().ok_or_else(|| "a body can't be sent again".into()))
            .deserializer_impl::<T, ErrorMetadata>(Reading { refusal, taken, most })
            .build();
        operation_of.invoke(Prepared(request)).await.map_err(|error| {
            let meta = error.as_service_error();
            let (code, message) = (meta.and_then(ProvideErrorMetadata::code), meta.and_then(ProvideErrorMetadata::message));
            let why = match (code, message) {
                (Some(code), message) => format!("{code}: {}", message.unwrap_or("it does not say why")),
                (None, _) => chain(&error),
            };
            CallError { service: self.service.id, operation, code: code.map(str::to_owned), why }
        })
    }
}

/// A request, for each of its tries.
struct Prepared(HttpRequest);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request")
    }
}

/// How an answer is read.
#[derive(Debug)]
struct Reading<T> {
    refusal: Refusal,
    taken: fn(&HttpResponse) -> T,
    most: Option<u64>,
}

impl<T: fmt::Debug + Send + Sync + 'static> DeserializeResponse for Reading<T> {
    /// Nothing is read here, but what is too large is refused before it is in memory.
    fn deserialize_streaming(&self, response: &mut HttpResponse) -> Option<Result<Output, OrchestratorError<Error>>> {
        let most = self.most.filter(|_| response.status().is_success())?;
        let length: Option<u64> = response.headers().get("content-length").and_then(|length| length.parse().ok());
        if length.is_some_and(|length| length <= most) {
            return None;
        }
        let length = length.map_or("an unknown number of".to_owned(), |length| length.to_string());
        let why = format!("the answer has {length} bytes, and {most} at most were asked for");
        Some(Err(OrchestratorError::operation(Error::erase(ErrorMetadata::builder().code("TooLarge").message(why).build()))))
    }

    fn deserialize_nonstreaming(&self, response: &HttpResponse) -> Result<Output, OrchestratorError<Error>> {
        if response.status().is_success() {
            return Ok(Output::erase((self.taken)(response)));
        }
        let unread = || ErrorMetadata::builder().code(format!("HTTP {}", response.status().as_u16())).build();
        Err(OrchestratorError::operation(Error::erase((self.refusal)(response).unwrap_or_else(unread))))
    }
}

pub(crate) fn text(response: &HttpResponse) -> Cow<'_, str> {
    response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::connect_to;
    use crate::timing::tests::GOOD;

    /// Gives each answer to one request, and then nothing more: where it listens, and what it was asked.
    async fn answering(answers: Vec<(&'static str, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                let text = loop {
                    let read = stream.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8(request.clone()).unwrap();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.to_ascii_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned());
                    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                    if body.len() >= length {
                        break text;
                    }
                };
                log.lock().unwrap().push(text);
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, asked)
    }

    fn xml(action: &str, result: &str) -> String {
        format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>")
    }

    fn error(code: &str) -> String {
        format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>it is so &amp; so</Message></Error></ErrorResponse>")
    }

    #[tokio::test]
    async fn a_call_that_fails_for_a_moment_is_asked_again_and_every_one_is_signed() {
        let made = xml("CreateTopic", "<TopicArn>arn:aws:sns:us-east-1:1:t</TopicArn>");
        let (url, asked) = answering(vec![("503 Busy", String::new()), ("400 Bad", error("Throttling")), ("200 OK", made)]).await;
        let sns = connect_to(&url, None, &GOOD).await.sns;
        assert_eq!(sns.create_topic("a b").await.unwrap(), "arn:aws:sns:us-east-1:1:t");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 3);
        for request in asked.iter() {
            assert!(request.ends_with("Action=CreateTopic&Version=2010-03-31&Name=a+b"), "{request}");
            assert!(request.contains("/us-east-1/sns/aws4_request") && request.contains("x-amz-date"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_refusal_names_the_call_and_the_code_and_is_not_asked_again() {
        let (url, asked) = answering(vec![("403 Forbidden", error("AuthorizationError")), ("404 None", error("NotFound"))]).await;
        let sns = connect_to(&url, None, &GOOD).await.sns;
        let refused = sns.create_topic("t").await.unwrap_err();
        assert_eq!(refused.to_string(), "SNS CreateTopic: AuthorizationError: it is so & so");
        assert!(refused.is_denied() && !refused.is_not_found());
        assert_eq!(refused.action(), "sns:CreateTopic");
        assert!(sns.topic_attributes("arn").await.unwrap_err().is_not_found());
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_can_not_be_read_is_an_error_and_no_empty_answer() {
        let half = "<GetTopicAttributesResponse><entry><key>Policy</key><value>&nonsense;</value></entry>".to_owned();
        let (url, _) = answering(vec![("200 OK", half), ("200 OK", "{".to_owned()), ("500 Bad", String::new())]).await;
        let clients = connect_to(&url, None, &GOOD).await;
        let unread = clients.sns.topic_attributes("arn").await.unwrap_err().to_string();
        assert!(unread.starts_with("SNS GetTopicAttributes: ") && unread.contains("nonsense"), "{unread}");
        let unread = clients.lambda.event_sources("arn").await.unwrap_err().to_string();
        assert!(unread.starts_with("Lambda ListEventSourceMappings: "), "{unread}");
    }

    #[tokio::test]
    async fn a_list_is_read_to_its_end() {
        let first = r#"{"EventSourceMappings":[{"State":"Enabled","FunctionArn":"arn:a","Unknown":1}],"NextMarker":"m&1"}"#.to_owned();
        let last = r#"{"EventSourceMappings":[{"State":"Disabled","FunctionResponseTypes":["ReportBatchItemFailures"],
            "ScalingConfig":{"MaximumConcurrency":7},"MaximumBatchingWindowInSeconds":20}],"NextMarker":null}"#;
        let (url, asked) = answering(vec![("200 OK", first), ("200 OK", last.to_owned())]).await;
        let found = connect_to(&url, None, &GOOD).await.lambda.event_sources("arn:aws:sqs:us-east-1:1:q").await.unwrap();
        assert_eq!((found[0].state.as_deref(), found[0].reports_item_failures(), found[0].window_s()), (Some("Enabled"), false, 0));
        assert_eq!((found[1].reports_item_failures(), found[1].concurrency_max(), found[1].window_s()), (true, Some(7), 20));
        let asked = asked.lock().unwrap();
        assert!(asked[0].starts_with("GET /2015-03-31/event-source-mappings/?EventSourceArn=arn%3Aaws%3Asqs%3Aus-east-1%3A1%3Aq HTTP/1.1"));
        assert!(asked[1].contains("&Marker=m%261 HTTP/1.1") && asked[1].contains("/us-east-1/lambda/aws4_request"), "{}", asked[1]);
    }
}
