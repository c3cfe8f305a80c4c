//! The simulator as an HTTP client of the AWS SDK: the SDK's own code runs, no socket is opened.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

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
                Answer::Refused => Err(ConnectorError::io(refused())),
                Answer::Reset => Err(ConnectorError::io("connection reset by the simulator".into())),
                Answer::Hang => std::future::pending().await,
            }
        })
    }
}

/// The error that the SDK's own HTTP client has when nobody listens. Only the client can make one, so it
/// is asked to, in a thread with a clock of its own: this thread's may be paused.
fn refused() -> Box<dyn std::error::Error + Send + Sync> {
    let ask = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        // Bound and let go, so that nobody listens there.
        let port = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(client.get(format!("http://127.0.0.1:{port}/").parse()?))?;
        Ok(())
    };
    match std::thread::spawn(ask).join() {
        Ok(Err(error)) => error,
        _ => "connection refused by the simulator".into(),
    }
}
