//! The way out of a broadcast's mails: one click of each recipient's own (RFC 8058, RFC 2369), by an address that the
//! app keeps in a column, or by one that issei signs.
//!
//! A token says which broadcast it came with, whose it is and what the broadcast was, and proves it under a key that
//! stands in no message and no ledger. It must never be made for anybody but its own recipient.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use url::Url;

use crate::limits::{UNSUBSCRIBE_KEY_BYTES_MIN, UNSUBSCRIBE_LINK_BYTES_MAX, UNSUBSCRIBE_URL_BYTES_MAX};
use crate::{BroadcastCommand, BroadcastId, Class, ParseError, Recipient, RecipientKey, UnsubscribeKeyId};

/// The placeholder by which the content names its recipient's way out.
pub const UNSUBSCRIBE_PLACEHOLDER: &str = "unsubscribe_url";

/// What stands in a link where the token goes.
const TOKEN: &str = "{{token}}";
/// What a token begins with: what it is, and its version.
const VERSION: &str = "iu1";

/// How a recipient unsubscribes with one click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Given")]
pub enum Unsubscribe {
    /// By the https URL in this column of the audience.
    Column { column: String },
    /// By this link, with a token that is signed under the key of this name.
    Link { url: UnsubscribeLink, key: UnsubscribeKeyId },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    #[serde(default)]
    column: Option<String>,
    #[serde(default)]
    url: Option<UnsubscribeLink>,
    #[serde(default)]
    key: Option<UnsubscribeKeyId>,
}

impl TryFrom<Given> for Unsubscribe {
    type Error = &'static str;

    fn try_from(given: Given) -> Result<Self, Self::Error> {
        match given {
            Given { column: Some(column), url: None, key: None } if !column.is_empty() => Ok(Self::Column { column }),
            Given { column: None, url: Some(url), key: Some(key) } => Ok(Self::Link { url, key }),
            _ => Err(
                "is neither of its two forms; give `column`, the audience's column with each recipient's https URL, or `url` with {{token}} in it and `key`, the name of the key that signs the tokens",
            ),
        }
    }
}

impl JsonSchema for Unsubscribe {
    fn schema_name() -> Cow<'static, str> {
        "Unsubscribe".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<UnsubscribeKeyId>();
        json_schema!({
            "description": "How a recipient unsubscribes with one click.",
            "oneOf": [
                {
                    "type": "object",
                    "description": "By the https URL in this column of the audience.",
                    "properties": { "column": { "type": "string", "minLength": 1 } },
                    "required": ["column"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "description": "By this link, with a token that is signed under the key of this name.",
                    "properties": {
                        "url": {
                            "type": "string",
                            "pattern": "^https://[^#]*\\{\\{token\\}\\}[^#]*$",
                            "maxLength": UNSUBSCRIBE_LINK_BYTES_MAX,
                            "description": "An https URL with {{token}} in its path or query.",
                        },
                        "key": key,
                    },
                    "required": ["url", "key"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// An https URL that stands in a header: what a click asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeUrl(String);

impl UnsubscribeUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of `List-Unsubscribe` (RFC 2369 section 2).
    #[must_use]
    pub fn to_header(&self) -> String {
        format!("<{}>", self.0)
    }
}

/// Whether a URL has a host for whoever reads it as it is written: browsers take `https:x` for one, too, and mail programs don't.
fn has_host(url: &str) -> bool {
    const SCHEME: &str = "https://";
    let behind = url.get(..SCHEME.len()).filter(|begins| begins.eq_ignore_ascii_case(SCHEME)).and_then(|_| url.get(SCHEME.len()..));
    behind.is_some_and(|behind| !behind.starts_with('/'))
}

const NO_HOST: &str = "does not begin with https:// and a host; write it whole";

impl TryFrom<String> for UnsubscribeUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Self::frozen(text)?;
        if has_host(url.as_str()) { Ok(url) } else { Err(NO_HOST.to_owned()) }
    }
}

impl UnsubscribeUrl {
    /// Reads one that a build has judged, perhaps an earlier one, which had fewer rules: whoever was frozen with it gets their mail.
    fn frozen(text: String) -> Result<Self, String> {
        if text.len() > UNSUBSCRIBE_URL_BYTES_MAX {
            return Err(format!("has {} bytes, and a header takes {UNSUBSCRIBE_URL_BYTES_MAX}; shorten it", text.len()));
        }
        // What RFC 3986 has no place for; some of it would end the URL in the header, or the header itself.
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
            return Err(format!("holds {c:?}, which is no part of a URL; percent-encode it"));
        }
        let url = Url::parse(&text).map_err(|error| format!("is no URL ({error})"))?;
        if url.scheme() != "https" {
            return Err("does not begin with https://, which RFC 8058 asks for".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password in it; take them out".to_owned());
        }
        if url.fragment().is_some() {
            return Err("has a `#`, and what stands behind one never comes to the server; take it out".to_owned());
        }
        Ok(Self(text))
    }
}

/// An https URL with `{{token}}` once in its path or query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnsubscribeLink {
    before: String,
    after: String,
}

impl UnsubscribeLink {
    fn with(&self, token: &str) -> Option<UnsubscribeUrl> {
        UnsubscribeUrl::frozen(format!("{}{token}{}", self.before, self.after)).ok()
    }
}

impl TryFrom<String> for UnsubscribeLink {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > UNSUBSCRIBE_LINK_BYTES_MAX {
            return Err(format!("has {} bytes and at most {UNSUBSCRIBE_LINK_BYTES_MAX} are allowed; shorten it", text.len()));
        }
        let (before, after) =
            text.split_once(TOKEN).ok_or_else(|| format!("has no {TOKEN}, so that nobody could tell who clicks; put it into the query"))?;
        let filled = format!("{before}token{after}");
        UnsubscribeUrl::frozen(filled.clone())?;
        // In the name of a host it would ask another server for each recipient.
        let (_, behind) = before.split_once("://").ok_or(NO_HOST)?;
        if !behind.contains(['/', '?']) {
            return Err(format!("has {TOKEN} in its host; put it into the path or the query"));
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

impl From<UnsubscribeLink> for String {
    fn from(link: UnsubscribeLink) -> Self {
        format!("{}{TOKEN}{}", link.before, link.after)
    }
}

/// A key that signs tokens. It stands in no file, no message and no ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct UnsubscribeKey(Vec<u8>);

impl fmt::Debug for UnsubscribeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsubscribeKey(…)")
    }
}

impl TryFrom<String> for UnsubscribeKey {
    type Error = String;

    fn try_from(secret: String) -> Result<Self, String> {
        if secret.len() < UNSUBSCRIBE_KEY_BYTES_MIN {
            return Err(format!(
                "has {} bytes, and {UNSUBSCRIBE_KEY_BYTES_MIN} or more are needed, or tokens could be guessed; `openssl rand -base64 32` makes a good one",
                secret.len()
            ));
        }
        Ok(Self(secret.into_bytes()))
    }
}

impl UnsubscribeKey {
    fn mac(&self, text: &str) -> Hmac<Sha256> {
        // HMAC takes keys of any length (RFC 2104).
        let mac = Hmac::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        Mac::chain_update(mac, text)
    }
}

/// The keys that a process holds, by their names.
pub type UnsubscribeKeys = BTreeMap<UnsubscribeKeyId, UnsubscribeKey>;

/// What a token says: who, of which broadcast, which was what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    pub key: UnsubscribeKeyId,
    pub broadcast_id: BroadcastId,
    pub class: Class,
    pub recipient: RecipientKey,
}

/// Why a token says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it is no token of issei: VERSION.KEY.PAYLOAD.SIGNATURE is expected; look whether the link was cut or changed")]
    NotAToken,
    #[error("it is of version {found:?}, and this build reads {VERSION}; upgrade issei")]
    Version { found: String },
    #[error("its key `{key}` is not known here; name it in [unsubscribe_keys]")]
    UnknownKey { key: UnsubscribeKeyId },
    #[error("its signature does not fit: it was made under another key, changed, or made up")]
    Forged,
}

impl UnsubscribeToken {
    /// `iu1.KEY.PAYLOAD.SIGNATURE`, all of it fit for a URL as it stands. The payload is base64url of broadcast, class
    /// and recipient, a line each; the signature is base64url of HMAC-SHA256 over all that stands before it.
    #[must_use]
    pub fn signed(&self, key: &UnsubscribeKey) -> String {
        let Self { key: id, broadcast_id, class, recipient } = self;
        let payload = URL_SAFE_NO_PAD.encode(format!("{broadcast_id}\n{class}\n{}", recipient.as_str()));
        let signed = format!("{VERSION}.{id}.{payload}");
        let signature = URL_SAFE_NO_PAD.encode(key.mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// Reads a token, and believes nothing of it before its signature fits, which is compared in a time that does not
    /// tell where it differs.
    ///
    /// # Errors
    /// Says why it says nothing.
    pub fn read(token: &str, keys: &UnsubscribeKeys) -> Result<Self, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::NotAToken)?;
        let [version, key, payload] = <[&str; 3]>::try_from(signed.split('.').collect::<Vec<_>>()).map_err(|_| TokenError::NotAToken)?;
        if version != VERSION {
            return Err(TokenError::Version { found: version.chars().take(8).collect() });
        }
        let id: UnsubscribeKeyId = key.parse().map_err(|_| TokenError::NotAToken)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::NotAToken)?;
        let key = keys.get(&id).ok_or_else(|| TokenError::UnknownKey { key: id.clone() })?;
        key.mac(signed).verify_slice(&signature).map_err(|_| TokenError::Forged)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok().and_then(|payload| String::from_utf8(payload).ok());
        let payload = payload.ok_or(TokenError::NotAToken)?;
        let mut lines = payload.splitn(3, '\n');
        let mut line = || lines.next().ok_or(TokenError::NotAToken);
        let (broadcast_id, class, recipient) = (line()?, line()?, line()?);
        let class: StrDeserializer<'_, ValueError> = class.into_deserializer();
        Ok(Self {
            key: id,
            broadcast_id: broadcast_id.parse().map_err(|_| TokenError::NotAToken)?,
            class: Class::deserialize(class).map_err(|_| TokenError::NotAToken)?,
            recipient: recipient.parse().map_err(|_| TokenError::NotAToken)?,
        })
    }
}

/// The ways out of one broadcast's mails, ready to be written into them.
#[derive(Clone, Debug)]
pub struct WayOut(Option<Made>);

#[derive(Clone, Debug)]
enum Made {
    Column(String),
    Link { url: UnsubscribeLink, token: TokenOf },
}

#[derive(Clone, Debug)]
enum TokenOf {
    Signed {
        broadcast_id: BroadcastId,
        class: Class,
        id: UnsubscribeKeyId,
        key: UnsubscribeKey,
    },
    /// Whoever looks at a letter beforehand must not hold what unsubscribes its recipient.
    Shown,
}

/// A key that a process lacks, and without which it must not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key `{0}` that signs the links to unsubscribe is not at hand, and nothing is sent without them: name it in [unsubscribe_keys] of the consumer's configuration, set its variable, start the consumer again, and resume"
)]
pub struct MissingKey(pub UnsubscribeKeyId);

impl WayOut {
    /// What a command asks for, signed under these keys.
    ///
    /// # Errors
    /// Names the key that is not among them.
    pub fn of(command: &BroadcastCommand, keys: &UnsubscribeKeys) -> Result<Self, MissingKey> {
        Ok(Self(match &command.unsubscribe {
            None => None,
            Some(Unsubscribe::Column { column }) => Some(Made::Column(column.clone())),
            Some(Unsubscribe::Link { url, key: id }) => {
                let key = keys.get(id).ok_or_else(|| MissingKey(id.clone()))?.clone();
                let (broadcast_id, class, id) = (command.broadcast_id.clone(), command.class(), id.clone());
                Some(Made::Link { url: url.clone(), token: TokenOf::Signed { broadcast_id, class, id, key } })
            }
        }))
    }

    /// What a command asks for, to be looked at: the word TOKEN stands in the place of each token.
    #[must_use]
    pub fn shown(command: &BroadcastCommand) -> Self {
        Self(command.unsubscribe.as_ref().map(|unsubscribe| match unsubscribe {
            Unsubscribe::Column { column } => Made::Column(column.clone()),
            Unsubscribe::Link { url, .. } => Made::Link { url: url.clone(), token: TokenOf::Shown },
        }))
    }

    /// A recipient's own. `Ok(None)` where the command asks for none.
    ///
    /// # Errors
    /// The recipient has no URL to unsubscribe by, or one that fits no header: it must not be sent to.
    pub fn of_recipient(&self, recipient: &Recipient) -> Result<Option<UnsubscribeUrl>, String> {
        let Some(made) = &self.0 else { return Ok(None) };
        match made {
            Made::Column(column) => {
                let text =
                    recipient.data.get(column).ok_or_else(|| format!("the column `{column}` with the URL to unsubscribe is not there"))?;
                UnsubscribeUrl::frozen(text.clone()).map_err(|wrong| format!("the URL to unsubscribe {wrong}")).map(Some)
            }
            Made::Link { url, token } => {
                let token = match token {
                    TokenOf::Shown => "TOKEN".to_owned(),
                    TokenOf::Signed { broadcast_id, class, id, key } => {
                        let recipient = recipient.key.clone();
                        UnsubscribeToken { key: id.clone(), broadcast_id: broadcast_id.clone(), class: *class, recipient }.signed(key)
                    }
                };
                url.with(&token).ok_or_else(|| "the link to unsubscribe is too long with its token".to_owned()).map(Some)
            }
        }
    }
}

impl Unsubscribe {
    /// The key that it needs, where these have it not.
    #[must_use]
    pub fn lacks_key<'a>(&'a self, known: &BTreeSet<UnsubscribeKeyId>) -> Option<&'a UnsubscribeKeyId> {
        match self {
            Self::Link { key, .. } if !known.contains(key) => Some(key),
            Self::Link { .. } | Self::Column { .. } => None,
        }
    }

    /// Refuses what no mail program would open. Commands that are in the ledger already are not judged again.
    pub(crate) fn judge(&self) -> Result<(), ParseError> {
        match self {
            Self::Link { url, .. } if !has_host(&url.before) => Err(ParseError::field("unsubscribe.url", NO_HOST)),
            Self::Link { .. } | Self::Column { .. } => Ok(()),
        }
    }

    /// The column that it needs, where it needs one.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Column { column } => Some(column),
            Self::Link { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
