//! What an error proves. Only what is proved here may be sent again.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use issei_schema::{Bilingual, both, on_one_line, without_addresses};

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

/// What is said of whoever has no credentials, instead of the SDK's list of everything that it has tried.
const NO_CREDENTIALS: &str = "no AWS credentials were found: not in the environment, not in a profile, and not by a web identity, a container's role or an instance's role; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
pub(crate) const NO_REGION: &str = "no AWS region is set; set AWS_REGION, or `region` in the profile that AWS_PROFILE names";
/// What a reason begins with where no connection was made, and so nothing was asked of anybody.
pub const NOT_CONNECTED: &str = "no connection could be made";

/// What must be mended before anything else, where a reason says that nobody at AWS was asked.
#[must_use]
pub fn mend_first(reason: &str) -> Option<Bilingual> {
    let mends = [
        (
            NO_CREDENTIALS,
            both!(
                "log in to AWS (`aws sso login`), or set AWS_PROFILE, and look again",
                "AWSにログイン(`aws sso login`)するか、AWS_PROFILEを設定して、もう一度確認してください"
            ),
        ),
        (NO_REGION, both!("set AWS_REGION, and look again", "AWS_REGIONを設定して、もう一度確認してください")),
        (
            NOT_CONNECTED,
            both!(
                "see that AWS can be reached from here (network, DNS, AWS_ENDPOINT_URL and those of single services), and look again",
                "ここからAWSに接続できるか(ネットワーク、DNS、AWS_ENDPOINT_URLと各サービスの同様の設定)を確認して、もう一度試してください"
            ),
        ),
    ];
    mends.into_iter().find(|(found, _)| reason.contains(found)).map(|(_, mend)| mend)
}

/// An error with its causes, for a log line or a reason, on one line: the SDK's own text hides them.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    // The instance's role is asked for last, so where its service refuses to answer nothing else had any.
    let is_not_loaded = |error: &CredentialsError| match error {
        CredentialsError::CredentialsNotLoaded(_) => true,
        CredentialsError::ProviderError(_) => causes(error).any(|cause| cause.to_string().contains("IMDS")),
        _ => false,
    };
    if causes(error).any(|error| error.downcast_ref().is_some_and(is_not_loaded)) {
        return NO_CREDENTIALS.to_owned();
    }
    if never_left(error) {
        let last = causes(error).last().map(ToString::to_string).unwrap_or_default();
        return without_addresses(&on_one_line(&format!("{NOT_CONNECTED}: {last}")));
    }
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // The SDK has no type for it, and other words where an endpoint is named.
    if text.contains("Missing Region") || text.contains("missing signing region") {
        return NO_REGION.to_owned();
    }
    if let Some(endpoint) = no_endpoint(&text) {
        let told = format!("{NOT_CONNECTED}: the endpoint `{endpoint}` is no URL; write it with its scheme, as in http://127.0.0.1:4566");
        return without_addresses(&on_one_line(&told));
    }
    // Providers quote what they refuse, and that can be somebody's address.
    without_addresses(&on_one_line(&text))
}

/// The endpoint that the SDK could not make a URL of. It has no type for that which could be asked, and quotes the whole request,
/// which may hold addresses.
fn no_endpoint(text: &str) -> Option<&str> {
    text.split_once("failed to apply endpoint `")?.1.split('`').next()
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

    use crate::call::AwsCall;
    use crate::connect_to;
    use crate::timing::tests::GOOD;

    async fn error_from(port: u16) -> Box<dyn Error> {
        let clients = connect_to(&format!("http://127.0.0.1:{port}"), None, &GOOD).await;
        Box::new(clients.ses.get_account().call().await.unwrap_err())
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
    async fn an_endpoint_that_is_no_url_is_told_without_the_request() {
        let clients = connect_to("localhost:99", None, &GOOD).await;
        let error = clients.ses.get_account().call().await.unwrap_err();
        let told =
            "no connection could be made: the endpoint `localhost:99` is no URL; write it with its scheme, as in http://127.0.0.1:4566";
        assert_eq!(chain(&error), told);
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
