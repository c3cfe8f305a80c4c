//! Rows that a quote has swallowed: it is missing in one row and one too many in another, or the rows between them hold
//! `""`, so that the file is balanced, and everybody between them stands in one field. What this must never do: take a text
//! of several lines for rows where none of its lines reads as one.

/// What is known of a row: how many fields it has, and which of them are its key and its address.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) fields: usize,
    pub(super) key: Option<usize>,
    pub(super) address: Option<usize>,
}

/// The line on which a quote opens, read as if the quote were a sign like any other.
#[derive(Default)]
pub(super) struct Opening {
    pub(super) fields: Vec<Vec<u8>>,
}

impl Opening {
    /// Of the fields before the quote, and what stands behind it.
    pub(super) fn of(before: &[Vec<u8>], behind: &[u8]) -> Self {
        Self { fields: before.iter().cloned().chain(plainly(behind)).collect() }
    }
}

impl Shape {
    /// Whether a line that begins within a quote, and ends within it unless it `ends` it, is somebody's row.
    pub(super) fn holds(&self, line: &[u8], ends: bool, opening: &Opening) -> bool {
        let line = line.trim_ascii_end();
        // Up to the next quote it is within this one, whatever comes then.
        let within = line.split(|byte| *byte == b'"').next().unwrap_or_default();
        let within: Vec<Vec<u8>> = within.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect();
        if self.is_row(&within) {
            return true;
        }
        // Behind the quote's end are the fields of the record, its own address too, so that the last line of a text can come to
        // a row by them. Then the first line tells.
        let fields = plainly(line);
        self.is_row(&fields) && (!ends || self.is_row(&opening.fields) || self.lacks_address_alone(opening, &fields))
    }

    fn is_row(&self, fields: &[Vec<u8>]) -> bool {
        self.fields > 1 && fields.len() == self.fields && self.address_of(fields).is_some_and(reads_as_address)
    }

    /// Whether the first line is a row of somebody without an address. Its key looks like that of the last one.
    fn lacks_address_alone(&self, opening: &Opening, last: &[Vec<u8>]) -> bool {
        let key = |fields: &[Vec<u8>]| self.key.and_then(|at| fields.get(at)).map(|key| looks(key));
        opening.fields.len() == self.fields
            && self.address_of(&opening.fields).is_some_and(|address| address.trim_ascii().is_empty())
            && key(&opening.fields).is_some_and(|looks| looks.contains(&b'0') && key(last) == Some(looks))
    }

    fn address_of<'a>(&self, fields: &'a [Vec<u8>]) -> Option<&'a [u8]> {
        self.address.and_then(|at| fields.get(at)).map(Vec::as_slice)
    }
}

/// The fields of a line by itself, however quotes stand in it.
pub(super) fn plainly(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), Vec::new(), false);
    let mut bytes = line.trim_ascii_end().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if is_quoted => {
                if bytes.next_if_eq(&b'"').is_some() {
                    field.push(b'"');
                } else {
                    is_quoted = false;
                }
            }
            b'"' if field.is_empty() => is_quoted = true,
            b',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            byte => field.push(byte),
        }
    }
    fields.push(field);
    fields
}

/// Whether somebody means an address by it, be it a good one or not.
fn reads_as_address(field: &[u8]) -> bool {
    let field = field.trim_ascii();
    let (first, last) = (field.first(), field.last());
    field.contains(&b'@') && first != Some(&b'@') && last != Some(&b'@') && !field.iter().any(u8::is_ascii_whitespace)
}

/// A key with its digits and letters made alike: `user-12` looks like `user-7`.
fn looks(key: &[u8]) -> Vec<u8> {
    let alike = |byte: &u8| match byte {
        b'0'..=b'9' => b'0',
        byte if byte.is_ascii_alphabetic() => b'a',
        byte => *byte,
    };
    let mut looks: Vec<u8> = key.trim_ascii().iter().map(alike).collect();
    looks.dedup();
    looks
}
