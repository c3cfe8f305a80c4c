//! What an error proves. Only what is proved here may be sent again.

use std::error::Error;

use issei_schema::without_addresses;

/// True where the error proves that no byte of the request left this machine: the connection was
/// refused, or the name did not resolve.
///
/// The SDK's own `is_io` can't tell a refused connection from one reset after the send, so this
/// looks for the HTTP client's word in the chain of causes. What is not proved is not true.
#[must_use]
pub fn never_left(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .any(|error| error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(hyper_util::client::legacy::Error::is_connect))
}

/// An error with its causes, for a log line or a reason: the SDK's own text hides them.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // Providers quote what they refuse, and that can be somebody's address.
    without_addresses(&text)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use crate::connect_to;
    use crate::timing::tests::GOOD;

    async fn error_from(port: u16) -> Box<dyn Error> {
        let clients = connect_to(&format!("http://127.0.0.1:{port}"), None, &GOOD).await;
        Box::new(clients.ses.get_account().send().await.unwrap_err())
    }

    #[tokio::test]
    async fn a_refused_connection_proves_that_nothing_was_sent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = error_from(port).await;
        assert!(never_left(error.as_ref()), "{}", chain(error.as_ref()));
    }

    #[tokio::test]
    async fn a_connection_that_breaks_after_the_request_proves_nothing() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (error, read) = tokio::join!(error_from(port), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read(&mut [0; 1024]).await.unwrap()
        });
        assert!(read > 0 && !never_left(error.as_ref()), "{}", chain(error.as_ref()));
    }
}
