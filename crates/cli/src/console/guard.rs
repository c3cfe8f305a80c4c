//! Who may come in: the host, the origin of a form, and the door with its token.
//!
//! Any page in the operator's browser can send requests to 127.0.0.1, and any user of the machine can
//! connect to the port. Neither knows the door or its token.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use issei_schema::{Bilingual, both};

use super::asking::{Plain, Said, Tongue};
use super::right::{Needs, Right};
use super::routes::{LETTERS_MAY, answer, page_of};
use super::{At, Console};
use crate::pages::{ClosedPage, FailedPage};

/// Says to the browser what a page may do, and refuses what is asked of another host or comes from another site.
pub(super) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let language = Tongue::asked(request.uri(), request.headers()).language;
    let mut response = match judge(&console, request.headers(), request.method()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    // Nobody who has not come in is shown more than that.
    if let Some(told) = response.extensions_mut().remove::<Bilingual>() {
        let page = ClosedPage { words: language.words(), told };
        response = (response.status(), page.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)).into_response();
    }
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        // No other site learns the door from it. Not `no-referrer`: a browser would then send the origin of our own forms as
        // `null`.
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        // What is shown in a frame has its own, which allows less.
        response.headers_mut().entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn judge(console: &Console, headers: &HeaderMap, method: &Method) -> Result<(), Plain> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // A name that somebody else points here is not ours (DNS rebinding).
    if !text(header::HOST).is_some_and(|host| console.names.has_host(host)) {
        let told = both!(
            "this console is not known by this name; --public-url says by which it is",
            "このコンソールはこの名前では利用できません。名前は --public-url で指定します"
        );
        return Err(Plain(StatusCode::MISDIRECTED_REQUEST, told));
    }
    if *method != Method::GET && text(header::ORIGIN).is_some_and(|origin| !console.names.has_origin(origin)) {
        return Err(Plain(StatusCode::FORBIDDEN, both!("this form comes from another site", "このフォームは別のサイトから送られています")));
    }
    Ok(())
}

/// What whoever has found no door is told.
pub(super) async fn nobody() -> Plain {
    let told = both!("open the address that `issei console` printed", "`issei console` が表示したアドレスを開いてください");
    Plain(StatusCode::UNAUTHORIZED, told)
}

/// Lets in whoever has the door's token: in the address at the first visit, and from then on in a cookie.
pub(super) async fn enter(State(at): State<At>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET && at.door.is_opened_by(request.uri().query()) {
        let Ok(pass) = at.door.pass(at.console.names.is_secure) else {
            return Plain(StatusCode::INTERNAL_SERVER_ERROR, both!("no cookie", "Cookieを発行できません")).into_response();
        };
        let mut response = Redirect::to(&format!("{}/", at.door.base)).into_response();
        response.headers_mut().insert(header::SET_COOKIE, pass);
        return response;
    }
    if !at.door.knows(request.headers()) {
        return nobody().await.into_response();
    }
    let tongue = Tongue::asked(request.uri(), request.headers());
    let words = tongue.language.words();
    let is_of_a_letter = request.uri().path().contains("/letter");
    let page_of_form = (request.method() == Method::POST).then(|| page_of(request.uri().path())).flatten();
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Bilingual>() {
        None => response,
        // It stands in a frame of a page, as the letter would.
        Some(told) if is_of_a_letter => {
            let page = ClosedPage { words, told }.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR);
            (response.status(), [(header::CONTENT_SECURITY_POLICY, LETTERS_MAY)], page).into_response()
        }
        // Nothing of a form stands at its own address, where a reload would send it again.
        Some(told) if page_of_form.is_some() => {
            answer(&at, &page_of_form.unwrap_or_default(), tongue, Said::refused(response.status(), told)).await
        }
        Some(told) => {
            let page = FailedPage::of(at.frame().await, words, response.status(), told);
            (response.status(), page.render().map(Html).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)).into_response()
        }
    }
}

/// Lets through what the address may that somebody has come by.
pub(super) async fn allow(State((right, needs)): State<(Right, Needs)>, request: Request, next: Next) -> Response {
    if right.may(needs) {
        return next.run(request).await;
    }
    let told = match right {
        Right::Stop => both!("this address may only stop", "このアドレスでできるのは停止だけです"),
        Right::Look | Right::Everything => both!("this address may only look", "このアドレスは閲覧専用です"),
    };
    Plain(StatusCode::FORBIDDEN, told).into_response()
}
