//! A digest of a set, in whatever order it is taken: the sum of its members' digests. It stands in the totals,
//! so that what is altered, deleted or invented afterwards shows, even where every count stays the same. It
//! is no seal: whoever may write can write another.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first 64 bits of the SHA-256 of each member, added up. In the ledger: hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn add(&mut self, member: &str) {
        let digest = Sha256::digest(member);
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        self.0 = self.0.wrapping_add(u64::from_be_bytes(first));
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        format!("{:016x}", fingerprint.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_changes_nothing_and_everything_else_does() {
        let of = |members: &[&str]| {
            let mut fingerprint = Fingerprint::default();
            members.iter().for_each(|member| fingerprint.add(member));
            fingerprint
        };
        assert_eq!(of(&["a", "b", "c"]), of(&["c", "a", "b"]));
        for other in [&["a", "b"][..], &["a", "b", "d"], &["a", "b", "c", "c"], &["ab", "c"]] {
            assert_ne!(of(&["a", "b", "c"]), of(other), "{other:?}");
        }
        assert_eq!(Fingerprint::try_from(String::from(of(&["a"]))), Ok(of(&["a"])));
    }
}
