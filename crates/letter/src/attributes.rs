//! What an attribute of HTML holds, as far as a value in it could choose whom somebody is led to, or from where something is
//! fetched. One list for all of them: whoever meets an attribute asks here, and no place has a rule of its own.

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// One link.
    Link,
    /// Links with white space between them.
    Links,
    /// What a browser runs, styles with, or reads as a list of its own kind: no value is safe there.
    Code,
    /// What is a link where another attribute, or whoever reads it, says so.
    Perhaps,
    /// Nothing that leads anywhere.
    Text,
}

/// HTML, "Attributes", with those of older HTML that mail programs still read, of SVG and of VML. Of `xlink:href` and `o:href`
/// the part behind the colon counts.
const LINK: [&str; 21] = [
    "href",
    "src",
    "action",
    "formaction",
    "background",
    "cite",
    "poster",
    "longdesc",
    "data",
    "codebase",
    "dynsrc",
    "lowsrc",
    "usemap",
    "classid",
    "manifest",
    "icon",
    "pluginspage",
    "pluginurl",
    "datasrc",
    "altimg",
    "definitionurl",
];
const LINKS: [&str; 3] = ["ping", "attributionsrc", "profile"];
const CODE: [&str; 6] = ["style", "srcset", "imagesrcset", "srcdoc", "content", "archive"];
/// Attributes of SVG that are read as CSS, so that `url()` is one (SVG 2, "Presentation attributes").
const PAINTS: [&str; 10] =
    ["fill", "stroke", "filter", "mask", "clip-path", "marker", "marker-start", "marker-mid", "marker-end", "cursor"];
/// What these put into another attribute, such as `href` (SVG Animations, "`attributeName`").
const ANIMATES: [&str; 5] = ["animate", "set", "animatecolor", "animatemotion", "animatetransform"];
const ANIMATED: [&str; 5] = ["attributename", "values", "to", "from", "by"];

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// What the attribute of this name holds in a tag of this name, both as a tokenizer tells them.
pub(crate) fn holds(tag: &str, name: &str) -> Holds {
    let (tag, local_name) = (local(tag), local(name));
    let is = |names: &[&str]| names.contains(&local_name);
    if name.starts_with("on") || name == "xml:base" || is(&CODE) || is(&PAINTS) {
        Holds::Code
    } else if (ANIMATES.contains(&tag) && is(&ANIMATED)) || (tag == "param" && local_name == "value") {
        Holds::Perhaps
    } else if is(&LINKS) {
        Holds::Links
    } else if is(&LINK) {
        Holds::Link
    } else {
        Holds::Text
    }
}
