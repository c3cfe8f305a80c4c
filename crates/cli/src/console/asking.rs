//! What a request says: the language, the broadcast that it names, and a form; and what it is told where it says nothing that
//! can be read.
//!
//! What it must never do: answer in the framework's words, which are nobody's language, or repeat what came.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri};
use issei_ledger::LedgerError;
use issei_schema::{Bilingual, BroadcastId, both};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::commands::status::is_absent;
use crate::pages::Language;

/// Why a page can't be shown.
pub(super) enum Failed {
    /// It could not be read.
    Error(anyhow::Error),
    /// There is no such page, or the form is none.
    Asked(StatusCode, Bilingual),
}

/// What is said where no page is, in the language of whoever asks: `guard` knows that, and makes a page of it.
pub(super) struct Plain(pub(super) StatusCode, pub(super) Bilingual);

impl IntoResponse for Plain {
    fn into_response(self) -> Response {
        let Self(status, told) = self;
        let mut response = (status, told.english.clone()).into_response();
        response.extensions_mut().insert(told);
        response
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Asked(status, told) => Plain(status, told).into_response(),
            Self::Error(error) => {
                let status = if is_absent(&error) { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
                tracing::warn!(error = format!("{error:#}"), "a page of the console can't be shown");
                Plain(status, failure(&error)).into_response()
            }
        }
    }
}

/// What went wrong. What others say of it stands in their own words.
pub(super) fn failure(error: &anyhow::Error) -> Bilingual {
    let japanese = match error.downcast_ref::<LedgerError>() {
        Some(error) => error.told().japanese,
        None => format!("処理できませんでした。原文: {error:#}"),
    };
    Bilingual { english: format!("{error:#}"), japanese }
}

pub(super) fn no_page() -> Failed {
    Failed::Asked(StatusCode::NOT_FOUND, both!("there is no such page", "このページはありません"))
}

fn no_broadcast() -> Failed {
    let told = both!(
        "there is no such broadcast: what stands in the address is no broadcast's id",
        "この一斉送信はありません。アドレスにあるものは一斉送信のIDではありません"
    );
    Failed::Asked(StatusCode::NOT_FOUND, told)
}

/// Of a form that another run of the console has made, or nobody.
pub(super) fn foreign_form() -> Bilingual {
    both!(
        "the form is from another run of the console; load the page again",
        "このフォームは別に起動されたコンソールのものです。ページを読み込み直してください"
    )
}

/// The broadcast that a path names.
pub(super) struct Named(pub(super) BroadcastId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let Ok(Path(id)) = Path::<String>::from_request_parts(parts, state).await else { return Err(no_broadcast()) };
        BroadcastId::try_from(id).map(Self).map_err(|_| no_broadcast())
    }
}

/// Where a letter stands: the broadcast, the page, the chunk, and the place in it.
pub(super) struct LetterAt(pub(super) BroadcastId, pub(super) u32, pub(super) u32, pub(super) usize);

impl<S: Send + Sync> FromRequestParts<S> for LetterAt {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let path = Path::<(String, u32, u32, usize)>::from_request_parts(parts, state).await;
        let Ok(Path((id, page, chunk, place))) = path else { return Err(no_page()) };
        Ok(Self(BroadcastId::try_from(id).map_err(|_| no_broadcast())?, page, chunk, place))
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
                let told = both!(
                    "nothing was done: the form is too large, or did not come to its end",
                    "何も実行していません。フォームが大きすぎるか、途中で切れています"
                );
                Err(Failed::Asked(rejection.status(), told))
            }
            Err(rejection) => Err(Failed::Asked(
                rejection.status(),
                both!(
                    "nothing was done: this is no form of the console's; load the page again and send that",
                    "何も実行していません。コンソールのフォームではありません。ページを読み込み直して送信してください"
                ),
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

#[derive(Default, Deserialize)]
struct Asked {
    lang: Option<String>,
    said: Option<String>,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        Query::try_from_uri(uri).map(|Query(asked)| asked).unwrap_or_default()
    }
}

/// By which whoever has sent a form asks what became of it.
pub(super) struct Word(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Word {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Asked::of(&parts.uri).said))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tongue {
    type Rejection = std::convert::Infallible;

    /// The language that was asked for, or chosen before, or that the browser prefers.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::asked(&parts.uri, &parts.headers))
    }
}

impl Tongue {
    pub(super) fn asked(uri: &Uri, headers: &HeaderMap) -> Self {
        Self::of(Asked::of(uri).lang.as_deref(), headers)
    }

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
    pub(super) message: Option<Bilingual>,
    pub(super) failed: bool,
    pub(super) typed: Typed,
}

/// What stood in a form that was refused, for the page that has the form again: nobody types a reason twice. A confirmation is not
/// kept, for it is of what the page shows then.
pub(super) enum Typed {
    Nothing,
    /// Into which form, and why.
    Reason(&'static str, String),
    /// Who was looked for.
    Who(String),
    /// From which row (page, chunk, place), and whom the copy was to go to.
    Copy((u32, u32, usize), String),
}

impl Typed {
    /// More than any field of a page takes is kept of none.
    const MOST: usize = 1_000;

    pub(super) fn reason(form: &'static str, reason: &str) -> Self {
        Self::Reason(form, reason.chars().take(Self::MOST).collect())
    }

    pub(super) fn who(who: &str) -> Self {
        Self::Who(who.chars().take(Self::MOST).collect())
    }

    pub(super) fn copy(row: (u32, u32, usize), to: &str) -> Self {
        Self::Copy(row, to.chars().take(Self::MOST).collect())
    }

    /// What that form is shown with.
    pub(super) fn reason_of(&self, form: &str) -> String {
        match self {
            Self::Reason(of, reason) if *of == form => reason.clone(),
            _ => String::new(),
        }
    }
}

impl Said {
    /// Nobody has sent a form.
    pub(super) const NOTHING: Self = Self { status: StatusCode::OK, message: None, failed: false, typed: Typed::Nothing };

    pub(super) fn done(message: Bilingual) -> Self {
        Self { status: StatusCode::OK, message: Some(message), failed: false, typed: Typed::Nothing }
    }

    pub(super) fn refused(status: StatusCode, message: Bilingual) -> Self {
        Self { status, message: Some(message), failed: true, typed: Typed::Nothing }
    }

    /// With what stood in the form, where it was refused.
    pub(super) fn typed(self, typed: impl FnOnce() -> Typed) -> Self {
        if self.failed { Self { typed: typed(), ..self } } else { self }
    }

    /// Why the page can't be shown that would have said this: nobody is left without what became of their form.
    pub(super) fn unshown(message: Option<Bilingual>, failed: Failed) -> Failed {
        match (message, failed) {
            (Some(message), Failed::Error(error)) => {
                let told = failure(&error);
                if message.english == told.english {
                    return Failed::Error(error);
                }
                let status = if is_absent(&error) { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
                Failed::Asked(status, both!("{}; and the page can't be shown: {}", "{}。ページも表示できません。{}", message, told))
            }
            (_, failed) => failed,
        }
    }
}
