//! Who may do what: the token, the host, and the origin of a form.
//!
//! Any page in the operator's browser can send requests to 127.0.0.1, and any user of the machine can
//! connect to the port. Neither knows the token. But a cookie knows no ports: another server at 127.0.0.1 that is opened in the
//! same browser is sent it too, which docs/limits.md says.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::Console;

const COOKIE: &str = "issei_console";

/// Refuses what does not come from the console's own page, and says to the browser what it may do.
pub(super) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let mut response = match judge(&console, request.headers(), request.method(), request.uri().query()) {
        Ok(Pass::Through) => next.run(request).await,
        Ok(Pass::Welcome(cookie)) => {
            let mut response = Redirect::to("/").into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err((status, reason)) => (status, reason).into_response(),
    };
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        // Not `no-referrer`: a browser would then send the origin of our own forms as `null`.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        // What is shown in a frame has its own, which allows less.
        response.headers_mut().entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}

enum Pass {
    Through,
    /// The first visit, with the token in the address: from now on it is in a cookie.
    Welcome(HeaderValue),
}

fn judge(console: &Console, headers: &HeaderMap, method: &Method, query: Option<&str>) -> Result<Pass, (StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let hosts = [format!("127.0.0.1:{}", console.port), format!("localhost:{}", console.port)];
    // A name that somebody else points here is not ours (DNS rebinding).
    if !text(header::HOST).is_some_and(|host| hosts.iter().any(|ours| ours == host)) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this console is at 127.0.0.1 only"));
    }
    let origins = hosts.map(|host| format!("http://{host}"));
    if *method != Method::GET && text(header::ORIGIN).is_some_and(|origin| !origins.iter().any(|ours| ours == origin)) {
        return Err((StatusCode::FORBIDDEN, "this form comes from another site"));
    }
    if *method == Method::GET
        && let Some(token) = query.and_then(|query| query.strip_prefix("token="))
        && is_same(token, &console.token)
    {
        let cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", console.token);
        return HeaderValue::from_str(&cookie).map(Pass::Welcome).map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "no cookie"));
    }
    let cookies = text(header::COOKIE).unwrap_or_default();
    let known = cookies
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(name, value)| name == COOKIE && is_same(value, &console.token));
    if known { Ok(Pass::Through) } else { Err((StatusCode::UNAUTHORIZED, "open the address that `issei console` printed")) }
}

/// Takes as long for a wrong token as for the right one.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_only_as_itself() {
        assert!(is_same("abc", "abc"));
        assert!(!is_same("abc", "abd") && !is_same("abc", "ab") && !is_same("", "a"));
    }
}
