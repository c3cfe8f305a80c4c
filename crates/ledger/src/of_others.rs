//! Events about letters of another ledger. A provider tells of all letters of its account to everybody who has a webhook there, and
//! signs all of it; so each letter names, beside its registration, the ledger that it was sent by. What is surely another's is
//! nobody's evidence here: it is counted by the provider that told it, and no more.
//!
//! What this must never do: take for another's what may be about a letter of this ledger, also where its registration was forgotten
//! by a restore; or grow with what strangers send.

use std::borrow::Cow;
use std::collections::BTreeSet;

use issei_aws::AwsCall;
use issei_schema::{Bilingual, ProviderName, both};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Key, OTHERS, n, s};
use crate::lineage::LineageItem;
use crate::{Ledger, LedgerError};

/// 64 bits.
const LEDGER_DIGITS: usize = 16;

/// What letters of this ledger name it by. Its identity stands in a tag that anybody may have written; this has one form, which every
/// provider takes.
pub(crate) fn in_letters(ledger_id: &str) -> String {
    let mut name = hex::encode(Sha256::new_with_prefix("issei ledger in letters 1").chain_update(ledger_id).finalize());
    name.truncate(LEDGER_DIGITS);
    name
}

/// A text with what JSON escapes in strings (RFC 8259, section 7) as the characters themselves, whatever it is and however deep its
/// strings lie: JSON has backslashes in strings alone. Never longer than it was.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut left) = (Vec::with_capacity(text.len()), text);
    while let Some((byte, rest)) = left.split_first() {
        left = rest;
        match (byte, rest) {
            (b'\\', [b'u', a, b, c, d, rest @ ..]) => {
                let digits = [a, b, c, d].map(|digit| char::from(*digit).to_digit(16));
                let code = digits.into_iter().try_fold(0, |code, digit| digit.map(|digit| code * 16 + digit));
                // Names are ASCII; what isn't stands for no character of one.
                plain.push(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(b'?'));
                left = rest;
            }
            (b'\\', [escaped, rest @ ..]) => {
                plain.push(*escaped);
                left = rest;
            }
            (byte, _) => plain.push(*byte),
        }
    }
    Cow::Owned(plain)
}

/// By which names the letters of this ledger name it, whatever was restored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNames {
    /// Nothing where no build that writes it has started: then nothing is surely another's.
    now: Option<String>,
    /// Of what it was restored from.
    before: BTreeSet<String>,
}

/// Whose letter it is, by the mark that it bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterOf {
    /// This ledger's.
    This,
    /// Surely another's.
    Another,
    /// It does not say.
    Unknown,
}

impl OwnNames {
    /// Whether a letter of this ledger stands in there, as far as letters name it; nothing where no letter can name it. JSON may
    /// write every character in other ways, and what isn't whole JSON may name a letter as well.
    #[must_use]
    pub fn stand_in(&self, text: &[u8]) -> Option<bool> {
        let names = [self.now.as_ref()?].into_iter().chain(&self.before);
        let plain = unescaped(text);
        Some(names.into_iter().any(|name| [text, &plain].iter().any(|text| text.windows(name.len()).any(|part| part == name.as_bytes()))))
    }

    /// Whose letter bears this mark.
    #[must_use]
    pub fn whose(&self, mark: &str) -> LetterOf {
        let Some(now) = &self.now else { return LetterOf::Unknown };
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match mark.split_once('-') {
            Some((_, name)) if name == now || self.before.contains(name) => LetterOf::This,
            Some((registration, name)) if name.len() == LEDGER_DIGITS && is_hex(name) && is_hex(registration) => LetterOf::Another,
            _ => LetterOf::Unknown,
        }
    }
}

/// What a provider has told of letters of other ledgers. What came twice may be counted twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfOthers {
    pub provider: ProviderName,
    pub events: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

impl OfOthers {
    /// For people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { provider, events, first_at, last_at } = self;
        let counted = if *events == 1 { both!("1 event", "1件") } else { both!("{events} events", "{events}件") };
        both!(
            "{} of others, signed by {provider}, since {first_at:.0}, the last at {last_at:.0}",
            "別の台帳のイベント{}({provider} の署名あり)、{first_at:.0}から、最後は{last_at:.0}",
            counted
        )
    }
}

impl Ledger {
    /// By which names the letters of this ledger name it.
    pub async fn own_names(&self) -> Result<OwnNames, LedgerError> {
        let (now, before) =
            self.lineage().await?.map(|LineageItem { ledger_id, former_ids, .. }| (ledger_id, former_ids)).unwrap_or_default();
        Ok(OwnNames { now: now.as_deref().map(in_letters), before: before.iter().map(|id| in_letters(id)).collect() })
    }

    /// Counts events of others, by the name that the configuration has for the provider that has signed them.
    pub async fn note_events_of_others(&self, provider: &ProviderName, events: u64) -> Result<(), LedgerError> {
        let update = self.db.update_item().table_name(&self.table).set_key(Some(Key::of_others(provider).into_item()));
        let update = update.update_expression(
            "SET provider = :provider, first_at = if_not_exists(first_at, :now), last_at = :now, expires_at = :expires ADD events :events",
        );
        let update = update.expression_attribute_values(":provider", s(provider.as_str()));
        let update = update.expression_attribute_values(":now", s(self.clock.wall().to_string()));
        let update = update.expression_attribute_values(":expires", n(self.expires_at())).expression_attribute_values(":events", n(events));
        update.call().await.map_err(LedgerError::call("UpdateItem"))?;
        Ok(())
    }

    /// What each provider has told of letters of other ledgers, one item for each of those that are configured or were.
    pub async fn events_of_others(&self) -> Result<Vec<OfOthers>, LedgerError> {
        self.few(OTHERS).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REGISTRATION: &str = "0123456789abcdef0123";

    #[test]
    fn a_letter_is_anothers_only_where_it_names_another_ledger() {
        let own = OwnNames { now: Some(in_letters("this")), before: [in_letters("before")].into() };
        let names = |name: &str| format!("{REGISTRATION}-{name}");
        for (mark, whose) in [
            (names(&in_letters("this")), LetterOf::This),
            // It was restored, and used with other queues.
            (names(&in_letters("before")), LetterOf::This),
            (names(&in_letters("another")), LetterOf::Another),
            (REGISTRATION.to_owned(), LetterOf::Unknown),
            (String::new(), LetterOf::Unknown),
            (names(""), LetterOf::Unknown),
            (names("this"), LetterOf::Unknown),
            (names(&in_letters("another").to_uppercase()), LetterOf::Unknown),
            (names(&format!("{}0", in_letters("another"))), LetterOf::Unknown),
            (names(&format!("{}-{}", in_letters("this"), in_letters("another"))), LetterOf::Unknown),
            (format!("z-{}", in_letters("another")), LetterOf::Unknown),
        ] {
            assert_eq!(own.whose(&mark), whose, "{mark}");
        }
        let nameless = OwnNames { now: None, before: [in_letters("before")].into() };
        assert_eq!(nameless.whose(&names(&in_letters("another"))), LetterOf::Unknown);
    }

    #[test]
    fn a_ledger_is_found_in_a_text_by_whatever_name_it_has_or_had() {
        let own = OwnNames { now: Some(in_letters("this")), before: [in_letters("before")].into() };
        for (text, stands) in [
            (in_letters("this"), true),
            (format!("[{{\"registration\":\"{REGISTRATION}-{}\"}}]", in_letters("before")), true),
            (format!("x{}", in_letters("another")), false),
            (in_letters("this")[1..].to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(own.stand_in(text.as_bytes()), Some(stands), "{text}");
        }
        assert_eq!(OwnNames { now: None, before: [in_letters("before")].into() }.stand_in(b""), None);
    }

    fn in_full(name: &str) -> String {
        name.bytes().fold(String::new(), |text, byte| text + &format!("\\u{byte:04x}"))
    }

    #[test]
    fn a_ledger_is_found_however_json_writes_its_name() {
        let own = OwnNames { now: Some(in_letters("this")), before: BTreeSet::new() };
        let (this, another) = (in_letters("this"), in_letters("another"));
        let deep = "[".repeat(100_000);
        for (text, stands) in [
            (format!(r#"{{"registration":"{REGISTRATION}\u002d{this}"}}"#), true),
            (format!(r#""{}""#, in_full(&this)), true),
            (format!(r#""{}""#, in_full(&this).to_uppercase().replace('U', "u")), true),
            // Of one character alone, at each end.
            (format!("{}{}", in_full(&this[..1]), &this[1..]), true),
            (format!("{}{}", &this[..15], in_full(&this[15..])), true),
            (format!(r#"{{"\/\"\\{}"#, in_full(&this)), true),
            (format!(r#"{deep}"{}"#, in_full(&this)), true),
            // What is no JSON, and would be taken for an escape.
            (format!("\\u{this}"), true),
            // The backslash is one itself.
            (format!(r#""\{}""#, in_full(&this)), false),
            (format!(r#""{}""#, in_full(&another)), false),
            (format!(r"{}\u", &this[..15]), false),
            (format!(r"{}\u12{}", &this[..8], &this[8..]), false),
            (r"\".to_owned(), false),
            (r"\u00".to_owned(), false),
        ] {
            assert_eq!(own.stand_in(text.as_bytes()), Some(stands), "{}", text.trim_start_matches('['));
        }
    }

    proptest! {
        #[test]
        fn what_json_reads_out_of_a_string_is_found_there(before in "[ -~]{0,20}", after in "[ -~]{0,20}", escaped in any::<u16>()) {
            let own = OwnNames { now: Some(in_letters("this")), before: BTreeSet::new() };
            let letters = in_letters("this").char_indices().fold(String::new(), |text, (at, letter)| {
                text + &if escaped >> at & 1 == 1 { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() }
            });
            let quoted = |text: &str| {
                let quoted = serde_json::to_string(text).unwrap();
                quoted[1..quoted.len() - 1].to_owned()
            };
            let text = format!("\"{}x{letters}x{}\"", quoted(&format!("x{before}")), quoted(&format!("{after}x")));
            prop_assert!(serde_json::from_str::<String>(&text).unwrap().contains(&in_letters("this")));
            prop_assert_eq!(own.stand_in(text.as_bytes()), Some(true));
            let plain = String::from_utf8(unescaped(text.as_bytes()).into_owned()).unwrap();
            prop_assert_eq!(plain, format!("\"x{before}x{}x{after}x\"", in_letters("this")));
        }

        #[test]
        fn no_text_grows_or_fails(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unescaped(&text).len() <= text.len());
        }
    }

    #[test]
    fn a_ledger_is_named_by_what_every_provider_takes_and_not_by_its_identity() {
        let name = in_letters("an identity ☃ of any length");
        assert!(name.len() == LEDGER_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_ne!(in_letters("this"), in_letters("another"));
    }
}
