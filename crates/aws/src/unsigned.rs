//! What the simulator in this process is told in a signature's place: by whom a request is, and of when. It checks no
//! signature, and to compute one is a tenth of what a simulated call takes. Never for what goes over a socket.

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;

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
        let date = Timestamp::try_from(components.time_source().unwrap_or_default().now())?.strftime("%Y%m%dT%H%M%SZ").to_string();
        let key = identity.data::<Credentials>().map_or("", Credentials::access_key_id);
        request.headers_mut().insert("x-amz-date", date);
        request.headers_mut().insert("authorization", format!("AWS4-HMAC-SHA256 Credential={key}/"));
        Ok(())
    }
}
