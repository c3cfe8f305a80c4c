//! What a caller has used: its calls, and what DynamoDB would charge for them.

use std::ops::AddAssign;

use crate::cloud::Counts;

/// One write unit is for 1 KB, and one strongly consistent read unit for 4 KB (DynamoDB developer guide, "Read and
/// write requests").
const WRITE_BYTES: u64 = 1_024;
const READ_BYTES: u64 = 4_096;

/// The calls of one caller, by service and operation, and its units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub calls: Counts,
    pub units: Units,
}

/// Request units of an on-demand table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    pub written: u64,
    /// In halves: an eventually consistent read costs half a unit.
    pub half_read: u64,
}

impl Units {
    /// A write of an item that has so many bytes, before it or after it, whichever is more. A transaction's costs
    /// twice that, and a refused one as much.
    pub(crate) fn write(&mut self, bytes: usize, is_in_transaction: bool) {
        let units = (bytes as u64).div_ceil(WRITE_BYTES).max(1);
        self.written += if is_in_transaction { 2 * units } else { units };
    }

    pub(crate) fn read(&mut self, bytes: usize, is_consistent: bool) {
        let units = (bytes as u64).div_ceil(READ_BYTES).max(1);
        self.half_read += if is_consistent { 2 * units } else { units };
    }
}

impl AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.half_read += other.half_read;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilobyte_is_a_write_and_four_are_a_read() {
        let mut units = Units::default();
        for bytes in [0, 1, 1_024, 1_025] {
            units.write(bytes, false);
        }
        units.write(1, true);
        assert_eq!(units.written, 1 + 1 + 1 + 2 + 2);
        for (bytes, is_consistent) in [(0, true), (4_096, true), (4_097, true), (4_097, false)] {
            units.read(bytes, is_consistent);
        }
        assert_eq!(units.half_read, 2 + 2 + 4 + 2);
    }
}
