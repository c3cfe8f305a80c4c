//! Rendering a text with its data as SES does, for whoever stands in for SES and whoever shows beforehand what
//! it will make of a letter.

/// What Handlebars takes for something else than a name (handlebarsjs.com, "Expressions" and "Built-in helpers").
pub(crate) const RESERVED: [&str; 8] = ["this", "true", "false", "null", "undefined", "else", "log", "lookup"];

/// Renders as the Handlebars of SES does, as far as plain `{{name}}` goes, with the value of each name put as
/// it is: SES escapes nothing (developer guide, "Using templates to send personalized email"). Nothing for a
/// name without a value, and for whatever else Handlebars would make something of.
#[must_use]
pub fn render<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}")?;
        let name = name.trim();
        let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !RESERVED.contains(&name);
        if !is_plain || before.ends_with(['\\', '{']) || after.starts_with('}') {
            return None;
        }
        rendered.push_str(before);
        rendered.push_str(value(name)?);
        rest = after;
    }
    rendered.push_str(rest);
    Some(rendered)
}
