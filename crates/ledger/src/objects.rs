//! Which objects of S3 an audience is read from: fixed before the first of them is read, so that whoever reads again reads
//! the same, or finds out that they are others by now. Names and digests only; nothing of anybody in them.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use issei_aws::AwsCall;
use issei_schema::{Bilingual, both};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::item::{Key, s};
use crate::{Broadcast, BroadcastState, Ledger, LedgerError};

/// Bytes of a list that stands in the broadcast's item, which has room for 400 KB of everything.
const LIST_BYTES_MAX: usize = 24 * 1024;

/// An object in one state of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedObject {
    pub key: String,
    /// Nothing where the bucket keeps no versions, or where there are too many objects to ask each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub etag: String,
    /// In bytes.
    pub size: u64,
}

/// The objects of an audience, in the order in which they are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedObjects {
    /// As the configuration names them: `s3://BUCKET/KEY`, or a prefix.
    pub url: String,
    pub count: u64,
    /// All of them, in bytes.
    pub bytes: u64,
    /// SHA-256 over the list.
    pub digest: String,
    /// Nothing where it is too long to stand here; then it is listed again, and must have the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Vec<FixedObject>>,
}

impl FixedObjects {
    #[must_use]
    pub fn of(url: String, list: Vec<FixedObject>) -> Self {
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        for FixedObject { key, version, etag, size } in &list {
            // A length before each, so that no two lists are the same bytes.
            for part in [key, version.as_ref().unwrap_or(&String::new()), etag] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
            hasher.update(size.to_be_bytes());
        }
        let count = list.len() as u64;
        let size: u64 = list.iter().map(|object| object.size).sum();
        for object in &list {
            bytes += object.key.len() + object.version.as_ref().map_or(0, String::len) + object.etag.len() + 64;
        }
        let list = (bytes <= LIST_BYTES_MAX).then_some(list);
        Self { url, count, bytes: size, digest: hex::encode(hasher.finalize()), list }
    }

    /// For people: what was read, and in which state.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { url, count, bytes, digest, list } = self;
        match list.as_deref() {
            Some([FixedObject { version: Some(version), .. }]) => {
                both!("{url}, version {version}, {bytes} bytes", "{url}、バージョン {version}、{bytes}バイト")
            }
            Some([FixedObject { etag, .. }]) => both!("{url}, ETag {etag}, {bytes} bytes", "{url}、ETag {etag}、{bytes}バイト"),
            _ => both!(
                "{count} objects of {url}, {bytes} bytes, digest {}",
                "{url} の{count}オブジェクト、{bytes}バイト、ダイジェスト {}",
                digest.get(..16).unwrap_or(digest)
            ),
        }
    }
}

impl Ledger {
    /// Writes down what an audience is read from, and gives what stands there: where another producer was first, that is
    /// what is read.
    pub async fn fix_objects(&self, broadcast: &Broadcast, found: FixedObjects) -> Result<FixedObjects, LedgerError> {
        let registration = broadcast.registration();
        let value = serde_dynamo::to_attribute_value(&found).map_err(|error| LedgerError::corrupt("read_from", error))?;
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(&broadcast.broadcast_id).into_item()))
            .update_expression("SET read_from = :read_from")
            .condition_expression(registration.condition("broadcast_state = :enumerating AND attribute_not_exists(read_from)"))
            .expression_attribute_values(":read_from", value)
            .expression_attribute_values(":enumerating", s(BroadcastState::Enumerating.as_str()));
        for (name, value) in registration.values() {
            request = request.expression_attribute_values(name, value);
        }
        match request.call().await {
            Ok(_) => Ok(found),
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
                // Where it enumerates no longer, no page of this reading is written either.
                Ok(self.broadcast(&broadcast.broadcast_id).await?.read_from.unwrap_or(found))
            }
            Err(error) => Err(LedgerError::call("UpdateItem")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, etag: &str) -> FixedObject {
        FixedObject { key: key.to_owned(), version: None, etag: etag.to_owned(), size: 1 }
    }

    #[test]
    fn another_object_is_another_digest_and_a_long_list_is_known_by_it_alone() {
        let of = |list: Vec<FixedObject>| FixedObjects::of("s3://b/p/".to_owned(), list);
        let one = of(vec![object("a", "bc")]);
        for other in [vec![object("ab", "c")], vec![object("a", "bd")], vec![object("a", "bc"), object("a", "bc")]] {
            assert_ne!(of(other).digest, one.digest);
        }
        assert_eq!(one.told().english, "s3://b/p/, ETag bc, 1 bytes");
        let many = of((0..1_000).map(|at| object(&format!("part-{at}"), "e")).collect());
        assert_eq!((many.list.as_ref(), many.count, many.bytes), (None, 1_000, 1_000));
        assert!(serde_json::to_vec(&of((0..300).map(|at| object(&format!("p{at}"), "e")).collect())).unwrap().len() < 30_000);
    }
}
