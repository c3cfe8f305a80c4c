//! The audience of a copy: one row, which the command brings along.

use issei_schema::TestCopy;

use super::ReadError;
use super::feed::Feed;
use super::row::{RawKey, RawRow};

pub(super) fn read(copy: &TestCopy, columns: &[String], feed: &mut Feed) -> Result<u64, ReadError> {
    feed.push_blocking(row(copy, columns))?;
    Ok(1)
}

/// The one row.
pub(super) fn row(copy: &TestCopy, columns: &[String]) -> RawRow {
    let address = Some(copy.to.as_str().as_bytes().to_vec());
    let values = columns.iter().map(|column| copy.data.get(column).map(|value| value.as_bytes().to_vec()));
    RawRow { key: RawKey::Bytes(TestCopy::KEY.as_bytes().to_vec()), cells: std::iter::once(address).chain(values).collect() }
}
