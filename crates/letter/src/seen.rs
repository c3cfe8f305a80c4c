//! Whether anybody would see anything of an HTML text, read by a tokenizer as browsers read.
//!
//! What this must never do: take a letter for blank that shows something. What it can't tell counts as seen.

use html5gum::{StartTag, State, Token, Tokenizer};
use issei_schema::is_blank;

use crate::contexts::state_within;

/// Elements whose text no mail program shows.
const UNSHOWN: [&str; 6] = ["script", "style", "title", "iframe", "noembed", "noframes"];
/// What shows something without a text.
const PICTURES: [&str; 12] = ["img", "image", "picture", "svg", "video", "audio", "object", "embed", "iframe", "canvas", "input", "meter"];
/// Elements that nothing but their own end tag ends (HTML, section 13.1.2.4), so that it can be told what is within them.
const ENDED: [&str; 12] = ["div", "span", "table", "center", "a", "b", "i", "strong", "em", "font", "section", "template"];

/// Whether anybody would see anything of this HTML: a text outside of what is hidden, or a picture.
#[must_use]
pub fn shows(html: &str) -> bool {
    let mut tokenizer = Tokenizer::new(html);
    let (mut raw, mut hidden): (Option<String>, Option<(String, usize)>) = (None, None);
    while let Some(Ok(token)) = tokenizer.next() {
        match token {
            Token::String(text) if hidden.is_none() => {
                let text = String::from_utf8_lossy(&text);
                let is_shown = match raw.as_deref() {
                    Some("style") => paints(&text),
                    Some(element) if UNSHOWN.contains(&element) => false,
                    _ => !is_blank(&text),
                };
                if is_shown {
                    return true;
                }
            }
            Token::StartTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                if let Some(state) = state_within(&name) {
                    tokenizer.set_state(if tag.self_closing { State::Data } else { state });
                    raw = (!tag.self_closing).then(|| name.clone());
                }
                match &mut hidden {
                    Some((element, depth)) => *depth += usize::from(*element == name),
                    None if is_hidden(&name, &tag) => hidden = ENDED.contains(&name.as_str()).then_some((name, 1)),
                    None if is_picture(&name, &tag) => return true,
                    None => {}
                }
            }
            Token::EndTag(tag) => {
                let name = String::from_utf8_lossy(&tag.name);
                if raw.as_deref() == Some(&*name) {
                    raw = None;
                }
                hidden = match hidden.take() {
                    Some((element, depth)) if element == *name => (depth > 1).then(|| (element, depth - 1)),
                    other => other,
                };
            }
            // A conditional comment is seen in one mail program alone.
            Token::String(_) | Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    false
}

/// Whether a text of HTML may hide what stands around it, so that it does not go without saying that this is seen.
pub(crate) fn may_hide(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["display", "hidden", "<!--", "<template"].iter().any(|word| text.contains(word)) || UNSHOWN.iter().any(|name| text.contains(name))
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let found = tag.attributes.iter().find(|(known, _)| known.as_slice() == name.as_bytes());
    found.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase())
}

fn is_hidden(name: &str, tag: &StartTag<()>) -> bool {
    let style = attribute(tag, "style").unwrap_or_default();
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
    name == "template" || attribute(tag, "hidden").is_some() || style.contains("display:none")
}

/// A picture, but for those by which somebody counts who opens a letter.
fn is_picture(name: &str, tag: &StartTag<()>) -> bool {
    let is_point = |side: &str| attribute(tag, side).is_some_and(|pixels| matches!(pixels.trim().trim_end_matches("px"), "0" | "1"));
    let is_unseen = match name {
        "img" | "image" => is_point("width") || is_point("height"),
        "input" => attribute(tag, "type").is_some_and(|kind| kind == "hidden"),
        _ => false,
    };
    let is_painted =
        attribute(tag, "background").is_some_and(|link| !link.is_empty()) || attribute(tag, "style").is_some_and(|style| paints(&style));
    PICTURES.contains(&name) && !is_unseen || is_painted
}

/// Whether a style puts a picture somewhere.
fn paints(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    style.split([';', '{', '}']).any(|rule| {
        let rule = rule.trim_start();
        rule.contains("url(") && ["background", "content", "list-style"].iter().any(|name| rule.starts_with(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_a_text_outside_of_what_is_hidden_or_a_picture() {
        for html in [
            "",
            " ",
            "<p></p>",
            "<!-- hi -->",
            "&nbsp;",
            "<p>&#8203;&zwnj;&#847;</p><br><hr>",
            "<html><head><title>Terms</title><style>p { color: red; background: #fff }</style></head><body> </body></html>",
            "<style>@import url(https://example.com/font.css);</style>",
            "<!--[if mso]><p>Hi</p><![endif]-->",
            "<div style=\"Display: NONE\"><div>Hi</div> there</div><p></p>",
            "<span hidden>Hi</span><template>Hi</template>",
            "<img src=\"https://example.com/o.gif\" width=\"1\" height=\"1px\"><input type=hidden value=x>",
            "<div hidden><img src=\"https://example.com/a.png\"></div>",
            "<script>document.write('Hi')</script><title/>",
        ] {
            assert!(!shows(html), "{html}");
        }
        for html in [
            "Hi",
            "<p>Hi",
            "&lt;",
            "<img src=\"https://example.com/a.png\">",
            "<td background=\"https://example.com/a.png\">",
            "<td style=\"color: red; background-image: url(https://example.com/a.png)\">",
            "<style>td { background: url(https://example.com/a.png) }</style><table><td></table>",
            "<div style=\"display:none\"><div></div></div>Hi",
            "<p hidden>nobody sees<p>Hi",
            "<!--[if !mso]><!-->Hi<!--<![endif]-->",
            "<title>x</title><textarea>Hi</textarea>",
            "<svg></svg>",
            "<noscript>Hi</noscript>",
        ] {
            assert!(shows(html), "{html}");
        }
    }
}
