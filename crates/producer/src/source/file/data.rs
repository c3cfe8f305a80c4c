//! Objects of a file that stand for rows of an audience: an array of them, or one a line. Each is read as a line of an audience
//! in JSON Lines is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::value::RawValue;

use super::super::row::{RawKey, RawRow, Row};
use super::encoding;
use super::json::{as_text, values};

/// Nobody's, since such rows have none.
const ADDRESS: &[u8] = b"nobody@example.com";

/// The objects as they are written.
pub(crate) struct Data(Vec<String>);

impl Data {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let opened = File::open(file).map_err(|error| format!("{error}; check the path"))?;
        let mut bytes = Vec::new();
        encoding::decoded(opened, None)?.read_to_end(&mut bytes).map_err(|error| format!("it can't be read to its end: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|_| "it holds bytes that are not UTF-8; save it as UTF-8".to_owned())?;
        let objects = match serde_json::from_str::<Vec<&RawValue>>(&text) {
            Ok(objects) => objects.into_iter().map(|object| object.get().to_owned()).collect(),
            Err(_) => text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect(),
        };
        Ok(Self(objects))
    }

    /// Every member that any of them has.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let members = self.0.iter().filter_map(|object| serde_json::from_str::<BTreeMap<String, &RawValue>>(object).ok());
        members.flat_map(BTreeMap::into_keys).collect()
    }

    /// Them as rows with these columns, whose keys are their numbers.
    pub(crate) fn rows(&self, columns: &[String]) -> Result<Vec<Row>, String> {
        let row = |(object, number): (&String, u64)| {
            let values = values(object, columns).map_err(|reason| format!("row {number}: {reason}"))?;
            let cells = std::iter::once(Some(ADDRESS.to_vec())).chain(values.into_iter().map(|value| value.and_then(as_text))).collect();
            Ok(Row::of(RawRow { key: RawKey::Bytes(number.to_string().into_bytes()), cells }))
        };
        self.0.iter().zip(1..).filter_map(|some| row(some).transpose()).collect()
    }
}
