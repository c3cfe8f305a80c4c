//! Who of an audience is sent to first: so many of it, a share of it, or those whom somebody names.
//!
//! Whether a key is chosen hangs on the command and the key alone, and on nothing that changes: whoever freezes an
//! audience goes on with the same choice that another has begun with.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use hmac::{Hmac, KeyInit, Mac};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use crate::limits::CANARY_KEYS_MAX;
use crate::{BroadcastId, RecipientKey};

/// The parts that a share is counted in.
const MILLION: u32 = 1_000_000;

/// Who is sent to before an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// The first so many of the audience, in its own order.
    First(NonZeroU64),
    /// Whoever is chosen by the key. They come before the rest of the audience.
    Chosen(Choice),
}

/// A choice among the keys of an audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Share(Share),
    Keys(CanaryKeys),
}

/// A share of an audience, in millionths: more than nobody, and everybody at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(u32);

/// Keys that somebody names, each once, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<RecipientKey>", into = "Vec<RecipientKey>")]
pub struct CanaryKeys(Vec<RecipientKey>);

impl Canary {
    /// How many it is of, where its command says that; nothing where the keys of the audience decide.
    #[must_use]
    pub fn first(&self) -> Option<NonZeroU64> {
        match self {
            Self::First(first) => Some(*first),
            Self::Chosen(_) => None,
        }
    }

    /// How its recipients are chosen, where they are by their keys.
    #[must_use]
    pub fn choice(&self) -> Option<&Choice> {
        match self {
            Self::First(_) => None,
            Self::Chosen(choice) => Some(choice),
        }
    }

    /// How many are asked for at least.
    pub(crate) fn least(&self) -> u64 {
        match self {
            Self::First(first) => first.get(),
            Self::Chosen(Choice::Share(_)) => 1,
            Self::Chosen(Choice::Keys(keys)) => keys.0.len() as u64,
        }
    }
}

impl Choice {
    /// Whether somebody of the broadcast's audience is of its canary.
    #[must_use]
    pub fn holds(&self, id: &BroadcastId, key: &str) -> bool {
        match self {
            Self::Share(share) => share.holds(id, key),
            Self::Keys(keys) => keys.0.binary_search_by(|named| named.as_str().cmp(key)).is_ok(),
        }
    }
}

impl Share {
    /// By HMAC-SHA256 of the key under the broadcast's id (RFC 2104): its first eight bytes, as a share of all that
    /// they can be. So another broadcast has other people for its canary, and the same one always the same.
    fn holds(self, id: &BroadcastId, key: &str) -> bool {
        let mac = Hmac::<Sha256>::new_from_slice(id.as_str().as_bytes());
        let mut mac = mac.unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(key.as_bytes());
        let first = mac.finalize().into_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        u128::from(first) * u128::from(MILLION) < u128::from(self.0) << 64
    }
}

impl TryFrom<f64> for Share {
    type Error = &'static str;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie between 1 and a million first")]
    fn try_from(share: f64) -> Result<Self, &'static str> {
        let millionths = (share * f64::from(MILLION)).round();
        if !(1.0..=f64::from(MILLION)).contains(&millionths) || share > 1.0 {
            return Err("is not a share; give a number from 0.000001 to 1, such as 0.01 for one in a hundred");
        }
        if (share * f64::from(MILLION) - millionths).abs() > 1e-6 {
            return Err("has more than six decimals; round it");
        }
        Ok(Self(millionths as u32))
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        Self::from(share.0) / Self::from(MILLION)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f64::from(*self).fmt(f)
    }
}

impl CanaryKeys {
    /// The keys, each once.
    pub fn iter(&self) -> impl Iterator<Item = &RecipientKey> {
        self.0.iter()
    }
}

impl TryFrom<Vec<RecipientKey>> for CanaryKeys {
    type Error = String;

    fn try_from(mut keys: Vec<RecipientKey>) -> Result<Self, String> {
        keys.sort();
        keys.dedup();
        match keys.len() {
            0 => Err("names nobody; name a key, or leave the canary out".to_owned()),
            1..=CANARY_KEYS_MAX => Ok(Self(keys)),
            more => Err(format!("names {more} keys and at most {CANARY_KEYS_MAX} are allowed; name fewer, or give a `share`")),
        }
    }
}

impl From<CanaryKeys> for Vec<RecipientKey> {
    fn from(keys: CanaryKeys) -> Self {
        keys.0
    }
}

impl Serialize for Canary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let choice = match self {
            Self::First(first) => return first.serialize(serializer),
            Self::Chosen(choice) => choice,
        };
        let mut map = serializer.serialize_map(Some(1))?;
        match choice {
            Choice::Share(share) => map.serialize_entry("share", share)?,
            Choice::Keys(keys) => map.serialize_entry("keys", keys)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Canary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Chosen {
            share: Option<Share>,
            keys: Option<CanaryKeys>,
        }

        impl<'de> Visitor<'de> for Any {
            type Value = Canary;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of recipients, 1 or more, or an object with `share` or with `keys`")
            }

            fn visit_u64<E: Error>(self, first: u64) -> Result<Canary, E> {
                NonZeroU64::new(first).map(Canary::First).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(0), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Canary, A::Error> {
                match Chosen::deserialize(MapAccessDeserializer::new(map))? {
                    Chosen { share: Some(share), keys: None } => Ok(Canary::Chosen(Choice::Share(share))),
                    Chosen { share: None, keys: Some(keys) } => Ok(Canary::Chosen(Choice::Keys(keys))),
                    Chosen { share: Some(_), keys: Some(_) } => Err(A::Error::custom("has a `share` and `keys`; leave one of them out")),
                    Chosen { share: None, keys: None } => Err(A::Error::custom("has neither a `share` nor `keys`; give one of them")),
                }
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Canary {
    fn schema_name() -> Cow<'static, str> {
        "Canary".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<RecipientKey>();
        json_schema!({
            "oneOf": [
                { "type": "integer", "format": "uint64", "minimum": 1, "description": "The first so many of the audience." },
                {
                    "type": "object",
                    "properties": { "share": { "type": "number", "minimum": 0.000_001, "maximum": 1, "description": "This share of the audience, by a hash of each key: the same people whenever it is asked, and others for another broadcast." } },
                    "required": ["share"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "keys": { "type": "array", "items": key, "minItems": 1, "maxItems": CANARY_KEYS_MAX, "description": "Those of the audience who have these keys." } },
                    "required": ["keys"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Canary, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_canary_is_written_as_it_was_given() {
        for json in ["50", r#"{"share":0.01}"#, r#"{"share":1.0}"#, r#"{"share":0.001}"#, r#"{"keys":["17","18"]}"#] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
        assert_eq!(read(r#"{"keys":["18","17","18"]}"#), read(r#"{"keys":["17","18"]}"#));
    }

    #[test]
    fn a_canary_that_chooses_nothing_is_refused_with_what_to_do() {
        for (json, says) in [
            ("0", "a number of recipients, 1 or more"),
            ("-1", "a number of recipients, 1 or more"),
            ("\"staff\"", "a number of recipients"),
            ("{}", "has neither"),
            (r#"{"share":0.1,"keys":["1"]}"#, "leave one of them out"),
            (r#"{"share":0}"#, "from 0.000001 to 1"),
            (r#"{"share":1.0000001}"#, "from 0.000001 to 1"),
            (r#"{"share":-0.5}"#, "from 0.000001 to 1"),
            (r#"{"share":0.12345678}"#, "round it"),
            (r#"{"keys":[]}"#, "names nobody"),
            (r#"{"keys":[""]}"#, "has 0 bytes"),
            (r#"{"staff":true}"#, "unknown field"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
        let many = serde_json::to_string(&(0..=CANARY_KEYS_MAX).map(|key| key.to_string()).collect::<Vec<_>>()).unwrap();
        assert!(read(&format!("{{\"keys\":{many}}}")).unwrap_err().contains("give a `share`"));
    }

    /// What a build chooses, the next one must choose too, or it goes on with another canary. The codes were
    /// computed by `openssl dgst -sha256 -hmac terms-2026-11`.
    #[test]
    fn a_share_is_chosen_as_it_always_was() {
        let id: BroadcastId = "terms-2026-11".parse().unwrap();
        let share = |share: f64| Share::try_from(share).unwrap();
        for (key, just_above, just_below) in CHOSEN {
            assert!(share(just_above).holds(&id, key) && !share(just_below).holds(&id, key), "{key}");
        }
    }

    const CHOSEN: [(&str, f64, f64); 2] = [("17", 0.999_077, 0.999_076), ("18", 0.849_956, 0.849_955)];

    proptest! {
        #[test]
        fn a_larger_share_chooses_whom_a_smaller_one_does_and_all_of_it_everybody(key in ".{1,20}", one in 1_u32..=MILLION, two in 1_u32..=MILLION) {
            let id: BroadcastId = "terms".parse().unwrap();
            let (small, large) = (Share(one.min(two)), Share(one.max(two)));
            prop_assert!(!small.holds(&id, &key) || large.holds(&id, &key));
            prop_assert!(Share(MILLION).holds(&id, &key));
        }
    }
}
