//! The audience of a rehearsal: so many recipients at addresses by which the provider reaches nobody.

use issei_provider::Rehearsed;

use super::ReadError;
use super::feed::Feed;
use super::row::{RawKey, RawRow};

/// What the names of such audiences begin with; the number of recipients follows. No configured audience
/// may have such a name.
pub const REHEARSAL_PREFIX: &str = "rehearsal-";

/// How many recipients the audience of this name has; nothing where it is not one of a rehearsal.
pub(crate) fn size_of(name: &str) -> Option<u64> {
    name.strip_prefix(REHEARSAL_PREFIX)?.parse().ok()
}

/// Everybody.
pub(super) fn read(size: u64, at: Rehearsed, feed: &mut Feed) -> Result<u64, ReadError> {
    feed.expects(size);
    for number in 1..=size {
        let address = at.address(number);
        let cells = vec![Some(address.into_bytes()), Some(format!("Recipient {number}").into_bytes())];
        feed.push_blocking(RawRow { key: RawKey::Bytes(number.to_string().into_bytes()), cells })?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_makes_a_rehearsal() {
        assert_eq!(
            [size_of("rehearsal-100"), size_of("rehearsal-"), size_of("users"), size_of("rehearsal-x")],
            [Some(100), None, None, None]
        );
    }
}
