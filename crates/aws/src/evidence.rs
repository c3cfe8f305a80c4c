//! What an error proves. Only what is proved here may be sent again.

use std::error::Error;

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
    text
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
