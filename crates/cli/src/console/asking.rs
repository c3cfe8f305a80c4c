//! What a request says: the language, the broadcast that it names, and a form; and what it is told where it says nothing that
//! can be read.
//!
//! What it must never do: answer in the framework's words, which are nobody's language, or repeat what came.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use issei_schema::BroadcastId;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::commands::status::is_absent;
use crate::pages::Language;

/// Why a page can't be shown.
pub(super) enum Failed {
    /// It could not be read.
    Error(anyhow::Error),
    /// There is no such page, or the form is none.
    Asked(StatusCode, &'static str),
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Asked(status, told) => (status, told).into_response(),
            Self::Error(error) => {
                let status = if is_absent(&error) { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
                tracing::warn!(error = format!("{error:#}"), "a page of the console can't be shown");
                (status, format!("{error:#}")).into_response()
            }
        }
    }
}

pub(super) const NO_PAGE: Failed = Failed::Asked(StatusCode::NOT_FOUND, "there is no such page");
const NO_BROADCAST: Failed =
    Failed::Asked(StatusCode::NOT_FOUND, "there is no such broadcast: what stands in the address is no broadcast's id");

/// The broadcast that a path names.
pub(super) struct Named(pub(super) BroadcastId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let Ok(Path(id)) = Path::<String>::from_request_parts(parts, state).await else { return Err(NO_BROADCAST) };
        BroadcastId::try_from(id).map(Self).map_err(|_| NO_BROADCAST)
    }
}

/// Where a letter stands: the broadcast, the page, the chunk, and the place in it.
pub(super) struct LetterAt(pub(super) BroadcastId, pub(super) u32, pub(super) u32, pub(super) usize);

impl<S: Send + Sync> FromRequestParts<S> for LetterAt {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let path = Path::<(String, u32, u32, usize)>::from_request_parts(parts, state).await;
        let Ok(Path((id, page, chunk, place))) = path else { return Err(NO_PAGE) };
        Ok(Self(BroadcastId::try_from(id).map_err(|_| NO_BROADCAST)?, page, chunk, place))
    }
}

/// A form as it was filled in.
pub(super) struct Filled<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Filled<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        match Form::from_request(request, state).await {
            Ok(Form(form)) => Ok(Self(form)),
            Err(FormRejection::BytesRejection(rejection)) => {
                Err(Failed::Asked(rejection.status(), "nothing was done: the form is too large, or did not come to its end"))
            }
            Err(rejection) => Err(Failed::Asked(
                rejection.status(),
                "nothing was done: this is no form of the console's; load the page again and send that",
            )),
        }
    }
}

/// In which language to answer, and whether to remember it.
#[derive(Clone, Copy)]
pub(super) struct Tongue {
    pub(super) language: Language,
    pub(super) remember: bool,
}

#[derive(Deserialize)]
struct Asked {
    lang: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Tongue {
    type Rejection = std::convert::Infallible;

    /// The language that was asked for, or chosen before, or that the browser prefers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let asked = Query::<Asked>::try_from_uri(&parts.uri).ok().and_then(|Query(asked)| asked.lang);
        Ok(Self::of(asked.as_deref(), &parts.headers))
    }
}

impl Tongue {
    fn of(asked: Option<&str>, headers: &HeaderMap) -> Self {
        let of = |text: &str| match text {
            "ja" => Some(Language::Ja),
            "en" => Some(Language::En),
            _ => None,
        };
        if let Some(language) = asked.and_then(of) {
            return Self { language, remember: true };
        }
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        let chosen = text(header::COOKIE).split(';').find_map(|pair| of(pair.trim().strip_prefix("lang=")?));
        let preferred = || text(header::ACCEPT_LANGUAGE).split(',').find_map(|part| of(part.trim().get(..2)?));
        Self { language: chosen.or_else(preferred).unwrap_or_default(), remember: false }
    }
}

/// What became of a form, if there was one.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) message: Option<String>,
    pub(super) failed: bool,
}

impl Said {
    /// Nobody has sent a form.
    pub(super) const NOTHING: Self = Self { status: StatusCode::OK, message: None, failed: false };

    pub(super) fn done(message: String) -> Self {
        Self { status: StatusCode::OK, message: Some(message), failed: false }
    }

    pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()), failed: true }
    }
}
