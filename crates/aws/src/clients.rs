//! Clients of SQS, DynamoDB and SES v2, of STS for the operator's name, of Lambda to read what drains the
//! queues, of SNS to make the topic of SES's events, of S3 to read audiences, and of
//! Secrets Manager to read keys of providers.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use issei_schema::Identity;

use crate::call::AwsCall;
use crate::unsigned::{Unnamed, Unsigned};
use crate::{Lambda, S3, Secrets, Sns, Timing, Web, chain};

/// Long polls last 20 seconds at most (SQS API reference, `ReceiveMessage`); a receive that takes
/// much longer has lost its answer.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(27);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CALLER_TIMEOUT: Duration = Duration::from_secs(3);

/// The clients that everything uses.
#[derive(Clone, Debug)]
pub struct Clients {
    pub sqs: aws_sdk_sqs::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Never retries. One call is one request, or none.
    pub ses: aws_sdk_sesv2::Client,
    /// Only reads.
    pub lambda: Lambda,
    /// For `issei setup` alone.
    pub sns: Sns,
    /// Only reads.
    pub s3: S3,
    /// Only reads.
    pub secrets: Secrets,
    sts: aws_sdk_sts::Client,
    /// By the same HTTP client.
    pub web: Web,
}

/// Who the credentials belong to.
#[derive(Clone, Debug)]
pub struct Caller {
    pub arn: String,
    /// What SQS calls the sender of a message of theirs; nothing where STS gives no such name.
    pub identity: Option<Identity>,
}

impl Clients {
    /// Who the credentials belong to. Tried once and not for long: an operator who wants to
    /// stop something must not wait for a name.
    ///
    /// # Errors
    /// Says why STS did not tell.
    pub async fn caller(&self) -> Result<Caller, String> {
        let answer = self.sts.get_caller_identity().call().await.map_err(|error| chain(&error))?;
        let identity = answer.user_id.and_then(|id| id.parse().ok());
        Ok(Caller { arn: answer.arn.ok_or_else(|| "STS gave no ARN".to_owned())?, identity })
    }
}

/// Where AWS is asked, and as whom, where that is not left to the standard AWS environment. By the names that the AWS
/// CLI has for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub region: Option<String>,
    pub profile: Option<String>,
    /// For all services, before any variable.
    pub endpoint_url: Option<String>,
}

/// Connects as the account says, and else as the standard AWS environment does: profile, region, credentials, and
/// `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_SQS`, `_DYNAMODB`, `_SESV2`, `_STS`, `_LAMBDA`, `_SNS`, `_S3` and
/// `_SECRETS_MANAGER`.
pub async fn connect(account: &Account, timing: &Timing) -> Clients {
    let http = over_https();
    let mut loader = loader(http.clone());
    if let Some(region) = &account.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &account.profile {
        // Its credentials go before those of the environment, as in the AWS CLI: whoever names a profile means it.
        let provider = ProviderConfig::without_region().with_http_client(http.clone());
        // Where a profile assumes a role, STS is asked in the same region.
        let region = RegionProviderChain::first_try(account.region.clone().map(Region::new))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::builder().profile_name(profile).build());
        let provider = provider.with_region(region.region().await);
        let credentials = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let Some(url) = account.endpoint_url.as_deref().filter(|url| is_given(url)) {
        loader = loader.endpoint_url(url);
    }
    clients(&without_empty(loader.load().await), http, timing, false)
}

fn is_given(setting: &str) -> bool {
    !setting.trim().is_empty()
}

/// What an empty variable says is nothing, as in the AWS CLI: whoever fills in a template leaves some empty. The SDK takes it
/// for an address, and panics.
fn without_empty(config: SdkConfig) -> SdkConfig {
    let mut with = config.clone().into_builder();
    if config.endpoint_url().is_some_and(|url| !is_given(url)) {
        with.set_endpoint_url(None);
    }
    if config.region().is_some_and(|region| !is_given(region.as_ref())) {
        with.set_region(None);
    }
    with.service_config(Given(config)).build()
}

/// What the environment says of single services, where it says something.
#[derive(Debug)]
struct Given(SdkConfig);

impl LoadServiceConfig for Given {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).filter(|setting| is_given(setting))
    }
}

/// Connects to something that is not AWS and asks for no credentials: a simulator or an emulator,
/// at `url`, through `http` where it is not reached by a socket. There nothing is signed.
pub async fn connect_to(url: &str, http: Option<SharedHttpClient>, timing: &Timing) -> Clients {
    let is_here = http.is_some();
    let http = http.unwrap_or_else(over_https);
    let config = loader(http.clone())
        .empty_test_environment()
        .region(Region::from_static("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::from_keys("test", "test", None))
        .load()
        .await;
    clients(&config, http, timing, is_here)
}

fn loader(http: SharedHttpClient) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .app_name(app_name())
        // A machine whose clock is wrong is refused by AWS rather than corrected by the SDK: what is read
        // from two machines' wall clocks counts on it.
        .disable_clock_skew_correction(true)
        // Bodies are small, and every call has a timeout of its own.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

fn over_https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn clients(config: &SdkConfig, http: SharedHttpClient, timing: &Timing, is_here: bool) -> Clients {
    let retries = RetryConfig::standard().with_max_attempts(4).with_initial_backoff(Duration::from_millis(100));
    let mut sqs = aws_sdk_sqs::config::Builder::from(config)
        .retry_config(retries.clone())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(RECEIVE_TIMEOUT).build());
    let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(config).retry_config(retries).retry_classifier(Conflicts).timeout_config(
        TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(timing.ledger / 3)
            .operation_timeout(timing.ledger)
            .build(),
    );
    let mut ses = aws_sdk_sesv2::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT.min(timing.send)).operation_timeout(timing.send).build());
    if is_here {
        (sqs, dynamodb, ses) = (sqs.push_auth_scheme(Unsigned), dynamodb.push_auth_scheme(Unsigned), ses.push_auth_scheme(Unsigned));
        (sqs, dynamodb, ses) = (sqs.interceptor(Unnamed), dynamodb.interceptor(Unnamed), ses.interceptor(Unnamed));
    }
    let sts = aws_sdk_sts::config::Builder::from(config)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(CALLER_TIMEOUT).build())
        .build();
    Clients {
        sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
        ses: aws_sdk_sesv2::Client::from_conf(ses.build()),
        lambda: Lambda::new(config),
        sns: Sns::new(config),
        s3: S3::new(config),
        secrets: Secrets::new(config),
        sts: aws_sdk_sts::Client::from_conf(sts),
        web: Web::new(http),
    }
}

/// A transaction of somebody else holds the item for a moment. DynamoDB asks to try again (developer guide,
/// "Transaction conflict handling"), and the SDK has it in none of its lists.
#[derive(Debug)]
struct Conflicts;

impl ClassifyRetry for Conflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        use aws_sdk_dynamodb::operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError};
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let is_conflict = error.downcast_ref().is_some_and(UpdateItemError::is_transaction_conflict_exception)
            || error.downcast_ref().is_some_and(PutItemError::is_transaction_conflict_exception)
            || error.downcast_ref().is_some_and(DeleteItemError::is_transaction_conflict_exception);
        if is_conflict { RetryAction::transient_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "transaction conflicts"
    }
}

fn app_name() -> AppName {
    // The name is made of allowed characters, so it is always there.
    AppName::new("issei").unwrap_or_else(|_| unreachable!("letters are allowed in an app name"))
}
