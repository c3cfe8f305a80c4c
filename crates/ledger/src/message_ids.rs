//! How the provider's message ids of a chunk stand in its item: as one text, by place, or that text packed. They are most of
//! what a confirmation weighs, and DynamoDB bills a write by the kibibyte (developer guide, "DynamoDB read and write
//! operations"): a chunk of fifty recipients of SES takes two units packed, and four otherwise.
//!
//! What this must never do: pack where the broadcast was registered by a build that reads no packed ones, since others of its
//! kind may be about.

use std::fmt;
use std::io::Read;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::{Deserializer, Error, Visitor};

use crate::LedgerError;
use crate::item::s;
use crate::page::packed;

/// What is packed holds less than this: far more than the ids of a chunk take at any provider. Whoever answers in a provider's
/// place may name longer ones, and they stand as they are.
const UNPACKED_BYTES_MAX: usize = 100_000;

/// The attribute of these ids.
pub(crate) fn attribute(ids: &str, packs: bool) -> Result<AttributeValue, LedgerError> {
    if packs && ids.len() < UNPACKED_BYTES_MAX {
        let packed = packed(ids.as_bytes())?;
        // Few ids are no shorter for it.
        if packed.as_b().is_ok_and(|packed| packed.as_ref().len() < ids.len()) {
            return Ok(packed);
        }
    }
    Ok(s(ids))
}

/// Reads either form, whoever registered the broadcast.
pub(crate) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    from.deserialize_any(Ids)
}

struct Ids;

impl Visitor<'_> for Ids {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("message ids, as a text or packed")
    }

    fn visit_str<E: Error>(self, ids: &str) -> Result<String, E> {
        Ok(ids.to_owned())
    }

    fn visit_string<E: Error>(self, ids: String) -> Result<String, E> {
        Ok(ids)
    }

    fn visit_bytes<E: Error>(self, packed: &[u8]) -> Result<String, E> {
        let reader = zstd::stream::read::Decoder::new(packed).map_err(E::custom)?;
        let mut ids = String::new();
        let bytes = reader.take(UNPACKED_BYTES_MAX as u64).read_to_string(&mut ids).map_err(E::custom)?;
        if bytes == UNPACKED_BYTES_MAX { Err(E::custom("its message ids are longer than what is packed")) } else { Ok(ids) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(value: AttributeValue) -> String {
        #[derive(serde::Deserialize)]
        struct Holder {
            #[serde(default, deserialize_with = "read")]
            ids: String,
        }
        serde_dynamo::from_item::<_, Holder>(std::collections::HashMap::from([("ids".to_owned(), value)])).unwrap().ids
    }

    proptest! {
        #[test]
        fn whatever_a_provider_calls_its_messages_reads_back(ids in proptest::collection::vec("[!-~]{1,80}", 0..60), packs: bool) {
            let ids = ids.join(" ");
            prop_assert_eq!(read_back(attribute(&ids, packs).unwrap()), ids);
        }
    }

    /// A header may have kilobytes, and is the same for each of a call.
    #[test]
    fn ids_of_any_length_read_back() {
        for length in [1_998, 1_999, 2_000, 7_000] {
            let ids = vec!["x".repeat(length); 50].join(" ");
            assert_eq!(read_back(attribute(&ids, true).unwrap()), ids, "{length}");
        }
    }

    #[test]
    fn fifty_messages_of_ses_take_less_than_half_as_much() {
        // As SES makes them: the moment, a random UUID, and a counter.
        let digit = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let of = |at: u64| {
            let (a, b) = (digit(at), digit(at + 1_000));
            format!(
                "0100019a{:08x}-{:08x}-{:04x}-{:04x}-{:04x}-{:012x}-000000",
                0x1b2c_3d4e_u32 + u32::try_from(at / 9).unwrap(),
                a >> 32,
                (a >> 16) & 0xffff,
                a & 0xffff,
                b >> 48,
                b & 0xffff_ffff_ffff
            )
        };
        let ids = (0..50).map(of).collect::<Vec<_>>().join(" ");
        assert_eq!(ids.len(), 50 * 61 - 1);
        let attribute = attribute(&ids, true).unwrap();
        let bytes = attribute.as_b().unwrap().as_ref().len();
        assert!(bytes < 1_450, "{bytes} bytes, and some 500 of the item's other attributes");
    }
}
