//! The simulator on loopback, for real processes.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::answer::Answer;
use crate::cloud::Cloud;

/// A running listener; it ends when this is dropped.
pub struct Listening {
    address: SocketAddr,
    task: AbortHandle,
}

impl Listening {
    /// For `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `cloud` at a free port of 127.0.0.1.
///
/// # Errors
/// Fails where no port can be bound.
pub async fn listen(cloud: Arc<Cloud>) -> io::Result<Listening> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let cloud = cloud.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| serve(cloud.clone(), request));
                // An error here is a client that went away, or a reset that was asked for.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Listening { address, task: task.abort_handle() })
}

async fn serve(cloud: Arc<Cloud>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Reset> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    match cloud.handle(Request::from_parts(parts, body)).await {
        Answer::Response(response) => Ok(response.map(Full::new)),
        Answer::Refused | Answer::Reset => Err(Reset),
        Answer::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

/// Makes hyper close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("reset by the simulator")]
struct Reset;
