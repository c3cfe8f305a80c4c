//! The simulator as an HTTP client of the AWS SDK: the SDK's own code runs, no socket is opened.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::Request;
use http_body_util::BodyExt;

use crate::answer::Answer;
use crate::cloud::Cloud;

/// An SDK HTTP client whose every request goes to `cloud`.
#[must_use]
pub fn connector(cloud: Arc<Cloud>) -> SharedHttpClient {
    SharedHttpClient::new(Connector(cloud))
}

#[derive(Clone)]
struct Connector(Arc<Cloud>);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("issei-sim connector")
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let (parts, body) = request.into_parts();
            // Read to its end, or the SDK takes a long poll for an upload that has stalled.
            let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
            match cloud.handle(Request::from_parts(parts, body)).await {
                Answer::Response(response) => {
                    let response = response.map(SdkBody::from);
                    HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
                }
                Answer::Reset => Err(ConnectorError::io("connection reset by the simulator".into())),
                Answer::Hang => std::future::pending().await,
            }
        })
    }
}
