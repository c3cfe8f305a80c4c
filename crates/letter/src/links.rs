//! Where in a link a value stands, read as browsers read links (WHATWG URL standard, section 4.4). A value never chooses
//! whom a link leads to, unless the author has it begin the link or name the host.

use crate::safe::{Context, SCHEMES};

/// Stands for a value. The tokenizer leaves no NUL in an attribute.
const VALUE: &str = "\0";
/// Stands for a value that begins a link: it has a scheme and a host, and nobody knows whether it ends in the host.
const WHOLE: &str = "https://whole";
/// Behind a link's host.
const ENDS_HOST: [char; 3] = ['/', '?', '#'];

/// What stands for the value that follows a link's beginning.
pub(crate) fn stand_in(before: &str) -> &'static str {
    if cleaned(before).is_empty() { WHOLE } else { VALUE }
}

/// The link without what browsers leave out: tabs and line breaks everywhere, blanks and control characters around it.
/// They take `\` for `/`.
fn cleaned(link: &str) -> String {
    let link = link.trim_start_matches(|letter: char| letter <= ' ' && letter != '\0');
    link.chars().filter(|letter| !matches!(letter, '\t' | '\n' | '\r')).map(|letter| if letter == '\\' { '/' } else { letter }).collect()
}

/// How a value is made safe between the two parts of a link, or why it can't be. The one rule: a link whose own text has
/// not ended its host before the value lets the value choose where it leads.
pub(crate) fn context(before: &str, after: &str) -> Result<Context, &'static str> {
    // A browser decodes what is percent-encoded in a link that runs, before it runs it.
    if has_other_scheme(before) {
        return Err("in a link of a scheme that is none of https:, http:, mailto: and tel:");
    }
    let before = cleaned(before);
    let further_on = if before.contains(['?', '#']) { Context::LinkQuery } else { Context::LinkPath };
    let (scheme, behind) = match before.split_once(':') {
        Some((scheme, behind)) if !scheme.contains(ENDS_HOST) => (Some(scheme), behind),
        _ => (None, before.as_str()),
    };
    let is_web = |scheme: &str| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let has_no_host = Err("in a link before its host, so that it can choose the host; begin the link with https:// and a host");
    match (scheme, behind.strip_prefix("//")) {
        (Some(scheme), _) if !is_web(scheme) => Ok(further_on),
        // Browsers skip any number of slashes there.
        (_, Some(authority)) if authority.starts_with(ENDS_HOST) => has_no_host,
        (_, Some(authority)) if authority.contains(ENDS_HOST) => Ok(further_on),
        (_, Some(host)) => within_host(&host.replace(VALUE, ""), &cleaned(after)),
        (Some(_), None) => has_no_host,
        (None, None) => match behind {
            "" => Ok(Context::Link),
            "/" => has_no_host,
            _ if behind.contains(ENDS_HOST) => Ok(further_on),
            _ => Err("where a link begins, after a text that is no scheme; begin it with https://"),
        },
    }
}

/// The beginning of the last link of a list, which has white space between its links (HTML, "Space-separated tokens").
pub(crate) fn last(before: &str) -> &str {
    before.rsplit(|letter: char| letter.is_ascii_whitespace()).next().unwrap_or_default()
}

/// The end of the first link of what follows in a list.
pub(crate) fn first(after: &str) -> &str {
    after.split(|letter: char| letter.is_ascii_whitespace()).next().unwrap_or_default()
}

/// What a value was taken for where there is none of these rules, as in builds before them: whoever reads what was sent by one
/// sees what it wrote.
pub(crate) fn as_taken(before: &str) -> Context {
    match cleaned(before) {
        before if before.is_empty() => Context::Link,
        before if before.contains(['?', '#']) => Context::LinkQuery,
        _ => Context::LinkPath,
    }
}

/// A value may be all of a host, or a part of one that ends as its author says.
fn within_host(before: &str, after: &str) -> Result<Context, &'static str> {
    let after = after.split(ENDS_HOST).next().unwrap_or_default();
    let host = after.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    // What is percent-encoded may be a dot, behind which nothing stands.
    let ends = !host.contains('%') && host.split('.').skip(1).any(|label| label.contains(char::is_alphanumeric));
    if before.is_empty() || ends {
        return Ok(Context::LinkHost);
    }
    Err("right behind a host, which a value can lengthen to another one; put a / in between")
}

/// Whether a link begins with a scheme that may run something. Browsers leave out white space and control characters in one.
fn has_other_scheme(link: &str) -> bool {
    let link: String = link.chars().filter(|letter| *letter > ' ').collect();
    let ends = link.find([':', '/', '?', '#']).filter(|at| *at > 0 && link[*at..].starts_with(':'));
    ends.is_some_and(|at| !SCHEMES.iter().any(|scheme| link[..=at].eq_ignore_ascii_case(scheme)))
}
