//! The audience of a copy: one row, which the command brings along. Its key is nobody's, so that a link in the copy is
//! no user's either.

use issei_schema::TestCopy;

use super::ReadError;
use super::feed::Feed;
use super::row::{RawKey, RawRow};

/// The key of a copy.
const KEY: &str = "test-copy";

pub(super) fn read(copy: &TestCopy, columns: &[String], feed: &mut Feed) -> Result<u64, ReadError> {
    let address = Some(copy.to.as_str().as_bytes().to_vec());
    let values = columns.iter().map(|column| copy.data.get(column).map(|value| value.as_bytes().to_vec()));
    let cells = std::iter::once(address).chain(values).collect();
    feed.push_blocking(RawRow { key: RawKey::Bytes(KEY.as_bytes().to_vec()), cells })?;
    Ok(1)
}
