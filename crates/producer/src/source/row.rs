//! A row on its way from a driver into the spool: bytes become text, or are known not to be any, and the
//! key becomes what it is compared by.
//!
//! Two keys are the same where their bytes are, and one comes before the other where its bytes do. No
//! rule of a database (type, collation, cast, affinity) has a say in either.

use issei_ledger::{kept_key, kept_with_digest};
use issei_schema::limits::{KEY_BYTES_MAX, RECIPIENT_BYTES_MAX};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the identity of a row begins with that has no key which could be mailed. No good key holds a
/// control character, so none is ever taken for it.
const UNUSABLE: char = '\u{1}';
/// How much of a key that is too long is kept for people.
const KEPT_CHARS: usize = 63;
/// A SHA-256 in hexadecimal.
const DIGEST_BYTES: usize = 64;

/// A row as a driver gives it: bytes, in whatever encoding they claim to be in.
#[derive(Debug)]
pub(super) struct RawRow {
    pub(super) key: RawKey,
    /// The address, and then the columns in the order of the configuration.
    pub(super) cells: Vec<Option<Vec<u8>>>,
}

#[derive(Debug)]
pub(super) enum RawKey {
    Null,
    Bytes(Vec<u8>),
    /// Of somebody who has not agreed: no row of the audience, and none of that key is mailed; nor, where addresses are the
    /// users, one of the address that is its first cell.
    Refusal(Option<Vec<u8>>),
    /// A line of a file that can't be read; of several, with the number of the file.
    Broken {
        line: u64,
        part: Option<u64>,
        reason: String,
    },
}

impl RawKey {
    /// A key of a type whose text is its value.
    pub(super) fn text(bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Null, Self::Bytes)
    }

    /// The same key, of somebody who has not agreed; none where it tells nobody from others.
    pub(super) fn refusal(self) -> Self {
        match self {
            Self::Bytes(key) => Self::Refusal(Some(key)),
            Self::Refusal(key) => Self::Refusal(key),
            Self::Null | Self::Broken { .. } => Self::Refusal(None),
        }
    }

    /// A key of a binary type: 16 bytes in the form of a UUID, any other number in hexadecimal.
    pub(super) fn binary(bytes: &[u8]) -> Self {
        let text = uuid::Uuid::from_slice(bytes).map_or_else(|_| hex::encode(bytes), |uuid| uuid.to_string());
        Self::Bytes(text.into_bytes())
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cell {
    Null,
    Text(String),
    /// Bytes that are no text in their encoding.
    NotText,
}

/// Why a row can't be mailed, whatever the content needs of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flaw {
    KeyNotText,
    /// With what is wrong with it.
    BrokenLine(String),
}

/// A row of the audience. Hostile until it becomes a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// What the row is compared by: its key, or where that can't be one something that stands for it.
    pub(crate) key: String,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) address: Cell,
    /// In the order of the audience's columns.
    pub(crate) values: Vec<Cell>,
}

impl Row {
    /// Nothing where the key is null: such rows can only be counted; a refusal is no row at all.
    pub(super) fn of(raw: RawRow) -> Option<Self> {
        let (key, flaw) = match raw.key {
            RawKey::Null | RawKey::Refusal(_) => return None,
            RawKey::Bytes(bytes) => identity(bytes),
            RawKey::Broken { line, part, reason } => {
                let part = part.map_or(String::new(), |part| format!(" of object {part}"));
                (format!("{UNUSABLE}line {line}{part}"), Some(Flaw::BrokenLine(reason)))
            }
        };
        let mut cells = raw.cells.into_iter().map(Cell::of);
        let address = cells.next().unwrap_or(Cell::Null);
        Some(Self { key, flaw, address, values: cells.collect() })
    }

    /// All that it says beside its key, in a form that has an order, which no order of reading has a say in.
    pub(super) fn said(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&(&self.flaw, &self.address, &self.values))
    }

    /// The row of this key that says that.
    pub(super) fn saying(key: &str, said: &[u8]) -> serde_json::Result<Self> {
        let (flaw, address, values) = serde_json::from_slice(said)?;
        Ok(Self { key: key.to_owned(), flaw, address, values })
    }
}

impl Cell {
    fn of(bytes: Option<Vec<u8>>) -> Self {
        let Some(bytes) = bytes else { return Self::Null };
        let Ok(mut text) = String::from_utf8(bytes) else { return Self::NotText };
        // Whoever has more than this is too large to be mailed, however much more it is.
        if text.len() > RECIPIENT_BYTES_MAX + 1 {
            text.truncate(text.floor_char_boundary(RECIPIENT_BYTES_MAX + 1));
        }
        Self::Text(text)
    }
}

/// What a key is compared by, and what is wrong with it.
pub(super) fn identity(bytes: Vec<u8>) -> (String, Option<Flaw>) {
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    match String::from_utf8(bytes) {
        Ok(key) if key.len() <= KEY_BYTES_MAX => (key, None),
        // The cursor must fit an item of the ledger.
        Ok(key) => (format!("{UNUSABLE}{}{}", key.chars().take(KEPT_CHARS).collect::<String>(), digest(key.as_bytes())), None),
        Err(error) => {
            let bytes = error.into_bytes();
            let shown = hex::encode(bytes.get(..KEPT_CHARS / 2).unwrap_or(&bytes));
            let rest = if shown.len() < bytes.len() * 2 { digest(&bytes) } else { String::new() };
            (format!("{UNUSABLE}{shown}{rest}"), Some(Flaw::KeyNotText))
        }
    }
}

/// A key as it may stand in a record, however long and strange it is: no two are the same there.
pub(crate) fn quotable(key: &str) -> String {
    let Some(identity) = key.strip_prefix(UNUSABLE) else { return kept_key(key) };
    // Of a key that is too long its beginning is here, and its digest.
    match identity.char_indices().nth(KEPT_CHARS).and_then(|(at, _)| identity.split_at_checked(at)) {
        Some((beginning, digest)) if digest.len() == DIGEST_BYTES => kept_with_digest(beginning, digest),
        _ => kept_key(identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_schema::RecipientKey;
    use proptest::prelude::*;

    fn row(key: RawKey) -> Row {
        Row::of(RawRow { key, cells: vec![Some(b"a@example.com".to_vec()), Some(b"J\xfcrg".to_vec()), None] }).unwrap()
    }

    #[test]
    fn a_key_is_its_bytes_and_binary_ones_are_shown() {
        let key = |key| row(key).key;
        assert_eq!(key(RawKey::Bytes(b"00123456789012345678901".to_vec())), "00123456789012345678901");
        assert_eq!(key(RawKey::binary(&[0x12; 16])), "12121212-1212-1212-1212-121212121212");
        assert_eq!(key(RawKey::binary(b"\x00\xff")), "00ff");
        assert_eq!(Row::of(RawRow { key: RawKey::Null, cells: Vec::new() }), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_known_and_can_be_shown() {
        let row = row(RawKey::Bytes(b"J\xfcrg".to_vec()));
        assert_eq!((row.flaw, quotable(&row.key)), (Some(Flaw::KeyNotText), "4afc7267".to_owned()));
        assert_eq!(row.values, [Cell::NotText, Cell::Null]);
    }

    #[test]
    fn two_long_keys_are_told_apart_where_they_are_kept() {
        let kept = |key: &str| quotable(&identity(key.as_bytes().to_vec()).0);
        for length in [64, 65, 200, 256, 257, 1_000] {
            let [one, two] = ["a", "b"].map(|end| kept(&format!("{}{end}", "k".repeat(length - 1))));
            assert!(one != two && one.chars().count() == 64, "{length}: {one}, {two}");
            // However it was found out, whoever asks for the key finds it.
            assert_eq!(one, kept_key(&format!("{}a", "k".repeat(length - 1))), "{length}");
        }
    }

    proptest! {
        #[test]
        fn different_bytes_are_different_keys_and_none_is_too_long(a in prop::collection::vec(any::<u8>(), 0..600), b in prop::collection::vec(any::<u8>(), 0..600)) {
            let (one, two) = (identity(a.clone()).0, identity(b.clone()).0);
            prop_assert_eq!(a == b, one == two);
            prop_assert!(one.len() <= 400);
            if RecipientKey::try_from(one.clone()).is_ok() && RecipientKey::try_from(two.clone()).is_ok() {
                prop_assert_eq!(a.cmp(&b), one.as_bytes().cmp(two.as_bytes()));
            }
        }
    }
}
