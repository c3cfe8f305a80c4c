//! A list in CSV that is no audience, as other senders export theirs, read by the audience's rules: one quote that does not
//! close must never hide those behind it. What this must never do: quote a row in a reason.

use std::io::{self, Cursor};

use super::csv::{Csv, Fields};
use super::lines::Lines;
use super::{Broken, NOT_TEXT};

/// A list, row by row.
pub struct CsvList {
    csv: Csv,
    columns: Vec<String>,
}

/// A row with as many fields as there are columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvRow {
    /// The line that it begins on.
    pub line: u64,
    pub fields: Vec<String>,
}

/// Why a line is no row, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCsvRow {
    pub line: u64,
    pub reason: String,
}

impl CsvList {
    /// Reads the header line. A row is known by its address, which stands where this finds it among the columns.
    pub fn of(text: &str, address: impl FnOnce(&[String]) -> Option<usize>) -> Result<Self, NoCsvRow> {
        let lines = Lines::of(Box::new(Cursor::new(text.as_bytes().to_vec())));
        let mut columns = Vec::new();
        let csv = Csv::with_address(lines, |header| {
            columns = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
            address(&columns)
        });
        let csv = csv.map_err(|error| not_read(&error))?.map_err(no_row)?;
        Ok(Self { csv, columns })
    }

    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }
}

impl Iterator for CsvList {
    type Item = Result<CsvRow, NoCsvRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = |field: &Vec<u8>| String::from_utf8_lossy(field).into_owned();
        match self.csv.next_fields() {
            Ok(read) => read.map(|read| {
                let Fields { line, fields } = read.map_err(no_row)?;
                Ok(CsvRow { line, fields: fields.iter().map(text).collect() })
            }),
            Err(error) => Some(Err(not_read(&error))),
        }
    }
}

fn no_row(Broken { line, reason, .. }: Broken) -> NoCsvRow {
    let reason = if reason == NOT_TEXT { format!("{reason} UTF-8; save it as UTF-8") } else { reason };
    NoCsvRow { line, reason }
}

/// Of a text that is in memory: never.
fn not_read(error: &io::Error) -> NoCsvRow {
    NoCsvRow { line: 1, reason: error.to_string() }
}
