//! Why a mail bounced, was reported or was not sent, in a few words of the provider's and of the mail server's.
//!
//! What it must never do: keep whom the mail was for. Mail servers repeat the address, and often half of it; what is kept here
//! outlives the person's own data, which is taken out where somebody asks for that.

use serde::{Deserialize, Serialize};

use crate::without_addresses;

/// As people read it, and no more: a mail server may say as much as it likes.
const DIAGNOSTIC_CHARS_MAX: usize = 200;
const KIND_CHARS_MAX: usize = 60;
/// So much of a text is looked at.
const LOOKED_AT_CHARS_MAX: usize = 2_000;
/// In the place of a part of the address.
const LEFT_OUT: &str = "…";
/// Of a local part with several words, such as `ann.lee`, each word that is so long is left out by itself, too.
const WORD_CHARS_MIN: usize = 3;

/// Why, as far as it was told: at least one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventReason {
    /// The provider's own word for it, such as `Permanent/General` (SES) or `blocked` (`SendGrid`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The enhanced status code (RFC 3463), such as `5.1.1`; where there is none the reply code (RFC 5321), such as `550`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What the mail server said, without the address, and cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diagnostic: String,
}

impl EventReason {
    /// Nothing where nothing was told. `addresses` are those that the mail was for.
    #[must_use]
    pub fn told<'a>(kind: &str, status: &str, diagnostic: &str, addresses: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let looked_at = |text: &str| on_a_line(text).chars().take(LOOKED_AT_CHARS_MAX).collect::<String>();
        let (kind, mut diagnostic) = (looked_at(kind), looked_at(diagnostic));
        // As a delivery status notification has it (RFC 3464, section 2.3.6).
        if let Some(rest) = diagnostic.get(..5).filter(|kind| kind.eq_ignore_ascii_case("smtp;")).and_then(|_| diagnostic.get(5..)) {
            diagnostic = rest.trim_start().to_owned();
        }
        let status = [status, &diagnostic].into_iter().find_map(enhanced).or_else(|| reply_code(&diagnostic));
        // What was cut in the midst of an address names it still.
        if diagnostic.chars().count() == LOOKED_AT_CHARS_MAX {
            diagnostic.truncate(diagnostic.rfind(' ').unwrap_or_default());
        }
        let (mut kind, mut diagnostic) = (without_addresses(&kind), without_addresses(&diagnostic));
        for address in addresses {
            (kind, diagnostic) = (without(&kind, address), without(&diagnostic, address));
        }
        let reason = Self {
            kind: cut(&kind, KIND_CHARS_MAX),
            status: status.unwrap_or_default(),
            diagnostic: cut(&diagnostic, DIAGNOSTIC_CHARS_MAX),
        };
        (reason != Self::default()).then_some(reason)
    }
}

impl std::fmt::Display for EventReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, status, diagnostic } = self;
        // Most mail servers say their status again.
        let status = if diagnostic.contains(status.as_str()) { "" } else { status };
        let parts: Vec<&str> = [kind.as_str(), status, diagnostic].into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join(": "))
    }
}

/// With every run of white space and of control characters as one space.
fn on_a_line(text: &str) -> String {
    let is_space = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// The first enhanced status code in a text: three numbers, of which the first is the class (RFC 3463, section 2).
fn enhanced(text: &str) -> Option<String> {
    let is_code = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.len() == 3 && matches!(parts.first(), Some(&("2" | "4" | "5"))) && parts.iter().all(is_number)
    };
    // Gmail says `550-5.1.1`, others `[5.1.1]` or `#5.1.1`.
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.')).map(|word| word.trim_matches('.'));
    words.into_iter().find(is_code).map(str::to_owned)
}

fn reply_code(text: &str) -> Option<String> {
    let code = text.get(..3)?;
    let ends = text.get(3..4).is_none_or(|next| next == " " || next == "-");
    (ends && code.starts_with(['4', '5']) && code.bytes().all(|byte| byte.is_ascii_digit())).then(|| code.to_owned())
}

/// A text without an address, the two halves of it, and the words of the first, wherever they stand by themselves.
fn without(text: &str, address: &str) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return text.to_owned() };
    let local = local.trim_matches('"');
    let untagged = local.split('+').next().unwrap_or(local);
    let words: Vec<&str> = untagged.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= WORD_CHARS_MIN).collect();
    let words = if words.len() > 1 { words } else { Vec::new() };
    [address, local, untagged, domain]
        .into_iter()
        .chain(words)
        .filter(|part| !part.is_empty())
        .fold(text.to_owned(), |text, part| left_out(&text, part))
}

/// Every place of `part`, in whichever case, that no letter or digit stands beside.
fn left_out(text: &str, part: &str) -> String {
    let (mut told, mut rest) = (String::with_capacity(text.len()), text);
    let mut before: Option<char> = None;
    while let Some(first) = rest.chars().next() {
        let is_beside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let found = rest.get(..part.len()).is_some_and(|found| found.eq_ignore_ascii_case(part));
        let after = rest.get(part.len()..).and_then(|after| after.chars().next());
        let length = if found && !is_beside(before) && !is_beside(after) {
            told.push_str(LEFT_OUT);
            part.len()
        } else {
            told.push(first);
            first.len_utf8()
        };
        before = rest.get(..length).and_then(|passed| passed.chars().next_back());
        rest = rest.get(length..).unwrap_or_default();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(kind: &str, status: &str, diagnostic: &str, address: &str) -> (String, String, String) {
        let EventReason { kind, status, diagnostic } = EventReason::told(kind, status, diagnostic, [address]).unwrap_or_default();
        (kind, status, diagnostic)
    }

    #[test]
    fn what_mail_servers_say_is_kept_without_whom_it_was_said_about() {
        let ann = "Ann.Lee+news@lee.example";
        for (status, said, expected) in [
            ("5.1.1", "smtp; 550 5.1.1 <ann.lee+news@lee.example>: user unknown", ("5.1.1", "550 5.1.1 <(an address)>: user unknown")),
            ("", "550-5.1.1 The account ann.lee does not exist", ("5.1.1", "550-5.1.1 The account … does not exist")),
            ("", "550 No such user: ANN.LEE+NEWS", ("550", "550 No such user: …")),
            ("", "552 [5.2.2] Ann Lee's mailbox is full", ("5.2.2", "552 [5.2.2] … …'s mailbox is full")),
            ("4.4.7", "host mx1.lee.example timed out", ("4.4.7", "host mx1.… timed out")),
            ("", "bounces+ann.lee+news=lee.example@esp.example unknown\r\n  here", ("", "bounces+…=(an address) unknown here")),
            ("5.0.0", "", ("5.0.0", "")),
            ("x", "version 10.0.0.1 of the server", ("", "version 10.0.0.1 of the server")),
        ] {
            let (kind, status, diagnostic) = told("", status, said, ann);
            assert_eq!((kind.as_str(), status.as_str(), diagnostic.as_str()), ("", expected.0, expected.1), "{said}");
        }
        assert_eq!(EventReason::told("", "", " \r\n", [ann]), None);
        let reason = EventReason::told("Permanent/General", "5.1.1", "550 5.1.1 unknown", [ann]).unwrap();
        assert_eq!(reason.to_string(), "Permanent/General: 550 5.1.1 unknown");
        assert_eq!(EventReason::told("Bounced Address", "", "", [ann]).unwrap().to_string(), "Bounced Address");
    }

    #[test]
    fn a_long_text_is_cut_and_no_address_stays_at_the_edge_of_what_is_looked_at() {
        let (_, _, diagnostic) = told("", "", &"word ".repeat(1_000), "ann@example.com");
        assert_eq!((diagnostic.chars().count(), diagnostic.ends_with('…')), (200, true));
        // Of many addresses little is left, so that the end of what is looked at comes near.
        let many = format!("{}ann@example.com", "x@example.com ".repeat(142));
        assert!(!told("", "", &many, "ann@example.com").2.contains("ann"), "{many}");
        assert_eq!(told("", "", &"x".repeat(5_000), "ann@example.com").2, "");
    }

    proptest! {
        #[test]
        fn whatever_is_said_the_address_and_its_halves_are_not_kept(
            before in ".{0,30}", between in "[ ,;:<>()=/]{1,3}", after in ".{0,30}",
            local in "[a-z]{1,8}(\\.[a-z]{3,8})?(\\+[a-z]{1,4})?", domain in "[a-z]{3,8}\\.(example|test)", upper in any::<bool>(),
        ) {
            let address = format!("{local}@{domain}");
            let shown = if upper { address.to_uppercase() } else { address.clone() };
            let (half, other) = shown.split_once('@').unwrap();
            let text = format!("{before}{between}{shown}{between}{half}{between}{other}{between}{after}");
            let reason = EventReason::told(&text, &text, &text, [address.as_str()]).unwrap_or_default();
            for kept in [&reason.kind, &reason.status, &reason.diagnostic] {
                let kept = kept.to_lowercase();
                prop_assert!(!kept.contains(&address), "{}", kept);
                prop_assert!(!kept.contains(&domain), "{}", kept);
                let is_word = |word: &str| kept.split(|c: char| !(c.is_alphanumeric() || "+.".contains(c))).any(|found| found == word);
                prop_assert!(!is_word(&local) || before.to_lowercase().contains(&local) || after.to_lowercase().contains(&local), "{}", kept);
            }
            prop_assert!(reason.diagnostic.chars().count() <= DIAGNOSTIC_CHARS_MAX && reason.status.len() <= 11);
        }
    }
}
