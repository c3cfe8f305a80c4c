//! MJML as HTML, before a command is enqueued.
//!
//! What it must never do: let an element pass whose name MJML does not have: it would be missing from the letter.

use anyhow::{anyhow, bail};
use issei_schema::Template;
use mrml::prelude::parser::Error;
use mrml::prelude::render::RenderOptions;

/// Every element of MJML (mjml.io, documentation, "Components"; those that this renderer has).
const ELEMENTS: [&str; 34] = [
    "mj-accordion",
    "mj-accordion-element",
    "mj-accordion-text",
    "mj-accordion-title",
    "mj-all",
    "mj-attributes",
    "mj-body",
    "mj-breakpoint",
    "mj-button",
    "mj-carousel",
    "mj-carousel-image",
    "mj-class",
    "mj-column",
    "mj-divider",
    "mj-element",
    "mj-font",
    "mj-group",
    "mj-head",
    "mj-hero",
    "mj-image",
    "mj-include",
    "mj-navbar",
    "mj-navbar-link",
    "mj-preview",
    "mj-raw",
    "mj-section",
    "mj-social",
    "mj-social-element",
    "mj-spacer",
    "mj-style",
    "mj-table",
    "mj-text",
    "mj-title",
    "mj-wrapper",
];

/// The HTML that an MJML text stands for.
pub(crate) fn html_of(mjml: &str) -> anyhow::Result<String> {
    if let Some((at, why)) = flaw(mjml) {
        bail!("line {}: {why}", line(mjml, at));
    }
    let tags = Tags::of(mjml);
    let mjml = tags.stood_for.as_str();
    let parsed = mrml::parse(mjml).map_err(|error| anyhow!("{}it is no MJML: {}; correct it there", place(mjml, &error), told(&error)))?;
    // Whoever opens a letter would be told of to whoever serves fonts. One that an author names by `mj-font` stays.
    let options = RenderOptions { fonts: std::collections::HashMap::new(), ..RenderOptions::default() };
    let html = parsed.element.render(&options).map_err(|error| anyhow!("its MJML can't be rendered: {error}"))?;
    let (html, mjml) = (tags.put_back(&html), tags.put_back(mjml));
    if Template::try_from(html.clone()).is_err()
        && let Err(error) = Template::try_from(mjml.clone())
    {
        bail!("line {}: {}", line(&mjml, error.at()), error.in_words());
    }
    Ok(html)
}

/// Tags with a default, whose quotes the renderer would take for its own in an attribute, each with a word that stands for it.
struct Tags {
    stood_for: String,
    tags: Vec<(String, String)>,
}

impl Tags {
    fn of(mjml: &str) -> Self {
        let mut words = (0..).map(|number| format!("xissei{number}z"));
        let base = words.find(|word| !mjml.contains(word)).unwrap_or_default();
        let (mut stood_for, mut tags, mut rest) = (String::with_capacity(mjml.len()), Vec::new(), mjml);
        while let Some((before, after)) = rest.split_once("{{") {
            stood_for.push_str(before);
            let Some((inner, behind)) = after.split_once("}}").filter(|(inner, _)| inner.contains('|') && !inner.contains(['\n', '<']))
            else {
                stood_for.push_str("{{");
                rest = after;
                continue;
            };
            // An attribute in such quotes can't have them otherwise.
            let tag = format!("{{{{{}}}}}", inner.replace("&quot;", "\""));
            let word = format!("{base}{}z", tags.len());
            stood_for.push_str(&word);
            tags.push((word, tag));
            rest = behind;
        }
        stood_for.push_str(rest);
        Self { stood_for, tags }
    }

    fn put_back(&self, text: &str) -> String {
        self.tags.iter().fold(text.to_owned(), |text, (word, tag)| text.replace(word, tag))
    }
}

/// What the parser lets pass of MJML's own elements, outside of comments: a name that there is not, and an end of another
/// element than the one that is open.
fn flaw(mjml: &str) -> Option<(usize, String)> {
    let (mut from, mut open): (usize, Vec<(&str, usize)>) = (0, Vec::new());
    while let Some(at) = mjml.get(from..)?.find('<').map(|at| from + at) {
        let rest = mjml.get(at + 1..)?;
        from = at + 1;
        if rest.starts_with("!--") {
            from = at + rest.find("-->")?;
            continue;
        }
        let ends = rest.starts_with('/');
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().unwrap_or_default();
        if !name.to_ascii_lowercase().starts_with("mj-") {
            continue;
        }
        if !ELEMENTS.contains(&name) {
            let like = nearest(name)
                .map_or_else(|| "; take it out, or put HTML of your own into <mj-raw>".to_owned(), |like| format!("; is it <{like}>?"));
            return Some((at, format!("MJML has no element <{name}>{like}")));
        }
        if ends {
            match open.pop() {
                Some((begun, _)) if begun == name => {}
                Some((begun, there)) => {
                    let why = format!("</{name}> stands where <{begun}> of line {} is still open; close that first", line(mjml, there));
                    return Some((at, why));
                }
                None => return Some((at, format!("</{name}> closes nothing; take it out"))),
            }
        } else if !is_empty_element(rest) {
            open.push((name, at));
        }
    }
    None
}

/// Says whether a tag ends itself, wherever its attributes have a `>`.
fn is_empty_element(tag: &str) -> bool {
    let (mut quote, mut last) = (None, ' ');
    for c in tag.chars() {
        match quote {
            Some(open) if open == c => quote = None,
            None if c == '>' => return last == '/',
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(_) | None => {}
        }
        last = c;
    }
    false
}

/// What was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    ELEMENTS
        .into_iter()
        .map(|known| (strsim::levenshtein(&name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| known)
}

/// Where it is wrong, where that is known.
fn place(mjml: &str, error: &Error) -> String {
    let at = match error {
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. }
        | Error::IncludeLoaderError { position, .. } => position.start,
        Error::ParserError { source, .. } => return format!("line {}: ", source.pos().row),
        Error::EndOfStream { .. } | Error::SizeLimit { .. } | Error::NoRootNode => mjml.trim_end().len(),
    };
    format!("line {}: ", line(mjml, at))
}

fn told(error: &Error) -> String {
    match error {
        Error::UnexpectedElement { .. } => "an element stands or closes where it may not".to_owned(),
        Error::UnexpectedToken { .. } => "something stands where it may not".to_owned(),
        Error::MissingAttribute { name, .. } => format!("the attribute `{name}` is missing"),
        Error::InvalidAttribute { .. } => "an attribute has a value that it may not have".to_owned(),
        Error::InvalidFormat { .. } => "a value is not of the form that it should be".to_owned(),
        Error::EndOfStream { .. } => "it ends before its elements are closed".to_owned(),
        Error::NoRootNode => "it has no element <mjml>".to_owned(),
        Error::IncludeLoaderError { .. } => "mj-include is not read; put what it names into the file".to_owned(),
        Error::SizeLimit { .. } => "it is too large".to_owned(),
        Error::ParserError { source, .. } => source.to_string(),
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_loads_no_font_from_elsewhere_unless_its_author_names_one() {
        let letter = |head: &str| {
            format!(
                "<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>"
            )
        };
        let html = html_of(&letter("")).unwrap();
        assert!(html.contains("Ubuntu, Helvetica") && !html.contains("http://fonts") && !html.contains("https://fonts"), "{html}");
        let own = letter("<mj-font name=\"Ubuntu\" href=\"https://example.com/ubuntu.css\" />");
        assert!(html_of(&own).unwrap().contains("https://example.com/ubuntu.css"));
    }

    #[test]
    fn a_default_may_stand_in_an_attribute_in_either_quotes_and_in_a_text() {
        for alt in ["'{{name | \"you\"}}'", "\"{{name | &quot;you&quot;}}\"", "\"{{ name|&quot;you&quot; }}\""] {
            let letter = format!(
                "<mjml><mj-body><mj-section><mj-column><mj-image src=\"https://example.com/a.png\" alt={alt} /><mj-text>{{{{name | \"you\"}}}} {{{{shop | \"us\"}}}}</mj-text></mj-column></mj-section></mj-body></mjml>"
            );
            let html = Template::try_from(html_of(&letter).unwrap()).unwrap();
            let html = html.as_str();
            assert!(html.contains("alt=\"{{name | \"you\"}}\"") && html.contains("{{name | \"you\"}} {{shop | \"us\"}}"), "{html}");
        }
        let wrong = "<mjml>\n<mj-body><mj-section><mj-column><mj-image src=\"https://example.com/a.png\"\nalt='{{name | you}}' /></mj-column></mj-section></mj-body></mjml>";
        let error = html_of(wrong).unwrap_err().to_string();
        assert!(error.starts_with("line 3: `{{name | you}}` is no placeholder"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_misspelt_element_with_what_was_meant() {
        let within = |text: &str| format!("<mjml>\n<mj-body>\n<mj-section><mj-column>\n{text}\n</mj-column></mj-section></mj-body></mjml>");
        assert!(html_of(&within("<!-- <mj-txet> --><mj-text>Hi</mj-text><mj-raw><b>x</b></mj-raw><mj-image alt=\"a > b\" src=\"https://example.com/a.png\" />"))
            .unwrap()
            .contains("Hi"));
        for (text, says) in [
            (within("<mj-txt>Hi</mj-txt>"), "line 4: MJML has no element <mj-txt>; is it <mj-text>?"),
            (within("<mj-buton href=\"https://example.com\">Hi</mj-buton>"), "line 4: MJML has no element <mj-buton>; is it <mj-button>?"),
            (within("<mj-Text>Hi</mj-Text>"), "line 4: MJML has no element <mj-Text>; is it <mj-text>?"),
            (within("<mj-something-else />"), "line 4: MJML has no element <mj-something-else>; take it out, or put HTML"),
            (within("<mj-text>Hi</mj-column>"), "line 4: </mj-column> stands where <mj-text> of line 4 is still open"),
            (within("<mj-text>Hi</mj-txet>"), "line 4: MJML has no element <mj-txet>; is it <mj-text>?"),
            (within("<mj-text>Hi</mj-text></mj-column>"), "line 5: </mj-column> stands where <mj-section> of line 3 is still open"),
            ("<mjml>\n<mj-body>\n".to_owned(), "line 2: it is no MJML: it ends before its elements are closed"),
            ("Hi".to_owned(), "line 1: it is no MJML"),
            // Where it stands in the file, and not in the HTML that is made of it.
            (within("<mj-text>Dear {{name,</mj-text>"), "line 4: `{{` has no `}}`; close it"),
            (within("<mj-text>{{#if shop}}Hi</mj-text>"), "line 4: `{{#if shop}}` has no `{{/if}}`; close it"),
        ] {
            let error = html_of(&text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{says}: {error}");
        }
    }
}
