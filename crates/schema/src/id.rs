//! Names and keys. A value of one of these types has been checked once and needs no second look.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::limits::{ID_BYTES_MAX, KEY_BYTES_MAX, PROVIDER_BYTES_MAX, REASON_BYTES_MAX, UNSUBSCRIBE_KEY_ID_BYTES_MAX};
use crate::text::check_line;

/// Letters, digits, `-` and `_`: what an SES tag value, a ledger key and a file name all take.
fn check_name(value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err("is empty; give it a name".to_owned());
    }
    if value.len() > ID_BYTES_MAX {
        return Err(format!("has {} bytes and at most {ID_BYTES_MAX} are allowed; shorten it", value.len()));
    }
    match value.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        None => Ok(()),
        Some(c) => Err(format!("holds {c:?}; only letters, digits, `-` and `_` are allowed")),
    }
}

/// Shorter than other names, since it stands in every link.
fn check_key_id(value: &str) -> Result<(), String> {
    if value.len() > UNSUBSCRIBE_KEY_ID_BYTES_MAX {
        return Err(format!("has {} bytes and at most {UNSUBSCRIBE_KEY_ID_BYTES_MAX} are allowed; shorten it", value.len()));
    }
    check_name(value)
}

fn check_key(value: &str) -> Result<(), String> {
    if value.is_empty() || value.len() > KEY_BYTES_MAX {
        return Err(format!("has {} bytes; 1 to {KEY_BYTES_MAX} are allowed", value.len()));
    }
    check_line(value)
}

fn check_variant(value: &str) -> Result<(), String> {
    if value.is_empty() || value.len() > ID_BYTES_MAX {
        return Err(format!("has {} bytes; 1 to {ID_BYTES_MAX} are allowed", value.len()));
    }
    check_line(value)
}

fn check_actor(value: &str) -> Result<(), String> {
    if value.trim().is_empty() || value.len() > KEY_BYTES_MAX {
        return Err(format!("has {} bytes; name who asks in 1 to {KEY_BYTES_MAX}", value.len()));
    }
    check_line(value)
}

fn check_reason(value: &str) -> Result<(), String> {
    if value.trim().is_empty() || value.len() > REASON_BYTES_MAX {
        return Err(format!("has {} bytes; give a reason of 1 to {REASON_BYTES_MAX}", value.len()));
    }
    check_line(value)
}

/// A user (`AIDA…`), a role's session (`AROA…:NAME`), an account's root (its number), or a federated user (`NUMBER:NAME`):
/// IAM user guide, "IAM identifiers", and STS API reference, `GetCallerIdentity`. What names nobody, such as an anonymous
/// sender, is none of them.
fn check_identity(value: &str) -> Result<(), String> {
    let (id, name) = value.split_once(':').map_or((value, None), |(id, name)| (id, Some(name)));
    let is_account = id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit());
    let is_unique =
        (16..=128).contains(&id.len()) && id.starts_with('A') && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (is_account || is_unique) && name.is_none_or(|name| (1..=64).contains(&name.len()) && name.chars().all(fits)) {
        return Ok(());
    }
    Err("is no user, no session of a role and no account, as STS names them".to_owned())
}

/// What stands in a command, a table's name in the configuration, and a ledger key.
fn check_provider(value: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=PROVIDER_BYTES_MAX).contains(&value.len()) && value.bytes().all(fits) {
        return Ok(());
    }
    Err(format!("is `{value}`; 1 to {PROVIDER_BYTES_MAX} lowercase letters, digits and `-` are allowed"))
}

fn check_template_hash(value: &str) -> Result<(), String> {
    if value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err("is no SHA-256 in hexadecimal: 64 of the digits and the letters a to f".to_owned())
}

macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $check:path, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(value: String) -> Result<Self, String> {
                $check(&value)?;
                Ok(Self(value))
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(value: &str) -> Result<Self, String> {
                Self::try_from(value.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

checked_string!(
    /// A broadcast's id, chosen by the app: the idempotency key of the whole broadcast.
    BroadcastId, check_name,
    { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "Chosen by the app; the same id is the same broadcast." }
);
checked_string!(
    /// The name of an audience in the producer's configuration. Never SQL.
    AudienceName, check_name,
    { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "An audience that the producer's configuration names." }
);
checked_string!(
    /// The name of a template stored in SES.
    TemplateName, check_name,
    { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": "A template stored in SES." }
);
checked_string!(
    /// The digest of what a template stored in SES says.
    TemplateHash, check_template_hash,
    { "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of a template, in hexadecimal." }
);
checked_string!(
    /// The name of a key that signs links to unsubscribe. It stands in each of them.
    UnsubscribeKeyId, check_key_id,
    { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}$", "description": "A key of `[unsubscribe_keys]` in the configuration." }
);
checked_string!(
    /// The value of a column that chooses the words of a letter.
    VariantName, check_variant,
    { "type": "string", "minLength": 1, "maxLength": 64, "description": "A value of the column." }
);
checked_string!(
    /// A recipient's key: the value of the audience's key column. It identifies the user.
    RecipientKey, check_key,
    { "type": "string", "minLength": 1, "maxLength": 256, "description": "The value of the audience's key column." }
);
checked_string!(
    /// Who asked for something: a person or a program. Written into the audit trail.
    Actor, check_actor,
    { "type": "string", "minLength": 1, "maxLength": 256, "description": "Who asks for the broadcast." }
);
checked_string!(
    /// Who somebody is to AWS: what STS calls `UserId`, and SQS, of whoever sent a message, `SenderId`.
    Identity, check_identity,
    { "type": "string", "minLength": 12, "maxLength": 193, "description": "Who somebody is to AWS." }
);
checked_string!(
    /// Why somebody wants what would else be refused. Written into the audit trail.
    Reason, check_reason,
    { "type": "string", "minLength": 1, "maxLength": 512, "description": "Why, for the audit trail." }
);

checked_string!(
    /// The name of a provider in the configuration: whoever carries a broadcast. `ses` needs no configuration.
    ProviderName, check_provider,
    { "type": "string", "pattern": "^[a-z0-9-]{1,32}$", "description": "A provider of `[providers]` in the configuration; `ses` is there without." }
);

impl Identity {
    /// Whether it is a federated user, of whom the account alone is known: the name is chosen by whoever asks for the token
    /// (STS API reference, `GetFederationToken`).
    #[must_use]
    pub fn is_federated(&self) -> bool {
        self.0.starts_with(|c: char| c.is_ascii_digit()) && self.0.contains(':')
    }
}

impl Default for ProviderName {
    fn default() -> Self {
        Self("ses".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_fit_for_a_tag_and_a_key() {
        for good in ["a", "terms-2026_11", &"x".repeat(64)] {
            assert!(good.parse::<BroadcastId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a#b", "é", "a\n", "a.b", &"x".repeat(65)] {
            assert!(bad.parse::<BroadcastId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_identity_names_a_person_or_a_session_and_nobody_else() {
        for good in ["AIDACKCEVSQ6C2EXAMPLE", "AROADBQP57FF2AEXAMPLE:ann@example.com", "123456789012", "123456789012:ann"] {
            assert!(good.parse::<Identity>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "ANONYMOUS",
            "anonymous",
            "AIDACKCEVSQ6C2EXAMPLE:",
            "AROADBQP57FF2AEXAMPLE:a b",
            "AROADBQP57FF2AEXAMPLE:a:b",
            "12345",
            "aidackcevsq6c2example",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_one_line_of_bounded_length() {
        assert!("17".parse::<RecipientKey>().is_ok());
        assert!("a\nb".parse::<RecipientKey>().is_err());
        assert!("x".repeat(257).parse::<RecipientKey>().is_err());
    }
}
