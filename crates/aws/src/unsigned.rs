//! What the simulator in this process is told in a signature's place: by whom a request is, and of when. It checks no
//! signature, nor what the SDK says of itself in headers, and to compute these is an eighth of what a simulated call takes. Never
//! for what goes over a socket.

use aws_credential_types::Credentials;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// In the place of Signature Version 4, of which it has the name.
#[derive(Debug)]
pub(crate) struct Unsigned;

impl AuthScheme for Unsigned {
    fn scheme_id(&self) -> AuthSchemeId {
        aws_runtime::auth::sigv4::SCHEME_ID
    }

    fn identity_resolver(&self, resolvers: &dyn GetIdentityResolver) -> Option<SharedIdentityResolver> {
        resolvers.identity_resolver(self.scheme_id())
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for Unsigned {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        _: AuthSchemeEndpointConfig<'_>,
        components: &RuntimeComponents,
        _: &ConfigBag,
    ) -> Result<(), BoxError> {
        // As in a signature (AWS general reference, "Elements of an AWS API request signature").
        let at = TimeZone::UTC.to_datetime(Timestamp::try_from(components.time_source().unwrap_or_default().now())?);
        let (date, time) = (at.date(), at.time());
        let date =
            format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", date.year(), date.month(), date.day(), time.hour(), time.minute(), time.second());
        let key = identity.data::<Credentials>().map_or("", Credentials::access_key_id);
        request.headers_mut().insert("x-amz-date", date);
        request.headers_mut().insert("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/"));
        Ok(())
    }
}

/// Leaves out of a request what the SDK says of itself.
#[derive(Debug)]
pub(crate) struct Unnamed;

impl Intercept for Unnamed {
    fn name(&self) -> &'static str {
        "Unnamed"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, config: &mut ConfigBag) -> Result<(), BoxError> {
        let why = "nobody reads it";
        config.interceptor_state().store_put(disable_interceptor::<UserAgentInterceptor>(why));
        config.interceptor_state().store_put(disable_interceptor::<RequestInfoInterceptor>(why));
        Ok(())
    }
}
