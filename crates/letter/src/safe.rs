//! How a value is made safe for the place where it stands.

use issei_schema::{html_escaped, on_one_line};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986, section 2.3.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What may stand in a path is left as it is, with what was encoded before (RFC 3986, sections 2.1 to 2.3 and 3.3).
const PATH: &AsciiSet = &COMPONENT
    .remove(b':')
    .remove(b'/')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'%');

/// A whole link has a query and a fragment, too, and perhaps an address in brackets.
const LINK: &AsciiSet = &PATH.remove(b'?').remove(b'#').remove(b'[').remove(b']');

/// Schemes of which none runs anything.
pub(crate) const SCHEMES: [&str; 4] = ["https:", "http:", "mailto:", "tel:"];

/// Whether there is a host: without one, browsers take what follows the slashes for it.
fn begins_host(link: &str) -> bool {
    !link.is_empty() && !link.starts_with(['/', '\\', '?', '#'])
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A header.
    Line,
    Text,
    /// In HTML, between tags or in a quoted attribute.
    Html,
    /// The same within a conditional comment.
    HtmlInComment,
    /// Where a link begins.
    Link,
    /// Within the host of a link, which is the author's as to its end.
    LinkHost,
    /// Within a link, before its query.
    LinkPath,
    /// In the query or the fragment of a link.
    LinkQuery,
}

impl Context {
    /// Whether a value may stand here at all.
    pub(crate) fn takes(self, value: &str) -> bool {
        match self {
            Self::Link => {
                let begun = SCHEMES.iter().find(|scheme| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
                let behind = begun.and_then(|scheme| value.get(scheme.len()..).map(|behind| (scheme.starts_with("http"), behind)));
                behind.is_some_and(|(is_web, behind)| !is_web || behind.strip_prefix("//").is_some_and(begins_host))
            }
            // Without a letter of it, what follows the host would be the host.
            Self::LinkHost => !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.'),
            _ => true,
        }
    }

    pub(crate) fn made_safe(self, value: &str) -> String {
        match self {
            Self::Line => on_one_line(value),
            Self::Text => value.to_owned(),
            Self::Html => html_escaped(value),
            Self::HtmlInComment => html_escaped(value).replace('-', "&#45;"),
            Self::Link => html_escaped(&utf8_percent_encode(value, LINK).to_string()),
            Self::LinkHost | Self::LinkPath => html_escaped(&utf8_percent_encode(value, PATH).to_string()),
            Self::LinkQuery => html_escaped(&utf8_percent_encode(value, COMPONENT).to_string()),
        }
    }
}
