//! CSV as RFC 4180 has it, without leniency: fields are separated by commas, quotes close, and each record
//! has as many fields as the header.

use std::collections::VecDeque;
use std::io;

use super::lines::{Line, Lines};
use super::swallowed::{Opening, Shape, plainly};
use super::{Broken, RECORD_BYTES_MAX, Record, not_text};

/// A record that is none, with its fields before what is wrong with it.
struct Unread {
    broken: Broken,
    fields: Vec<Vec<u8>>,
    /// Lines that are read neither as a part of it nor for themselves.
    nor: Vec<Line>,
}

impl Unread {
    fn new(broken: Broken, fields: Vec<Vec<u8>>) -> Self {
        Self { broken, fields, nor: Vec::new() }
    }
}

pub(super) struct Csv {
    lines: Lines,
    header: Vec<Vec<u8>>,
    /// What a row looks like.
    shape: Shape,
    /// Where the wanted columns stand.
    places: Vec<usize>,
    /// Lines that are broken with the one before.
    pending: VecDeque<Broken>,
}

/// Where in a field the reader is.
#[derive(Clone, Copy)]
enum At {
    Start,
    Plain,
    Quoted,
    AfterQuote,
    CarriageReturn,
}

/// The fields of a record and the line that it begins on.
pub(super) struct Fields {
    pub(super) line: u64,
    pub(super) fields: Vec<Vec<u8>>,
}

impl Csv {
    /// Reads the header line and finds the wanted columns in it, the key first and then the address.
    pub(super) fn with_header(lines: Lines, wanted: &[String]) -> io::Result<Result<Self, Broken>> {
        Self::beginning(lines, |header| {
            let places = places(header, wanted)?;
            Ok((places.first().copied(), places.get(1).copied(), places))
        })
    }

    /// Reads the header line of a list that has no key, with the address where this finds it.
    pub(super) fn with_address(lines: Lines, address: impl FnOnce(&[Vec<u8>]) -> Option<usize>) -> io::Result<Result<Self, Broken>> {
        Self::beginning(lines, |header| Ok((None, address(&header.fields), Vec::new())))
    }

    fn beginning(
        mut lines: Lines,
        found: impl FnOnce(&Fields) -> Result<(Option<usize>, Option<usize>, Vec<usize>), Broken>,
    ) -> io::Result<Result<Self, Broken>> {
        let header = match record(&mut lines, None)? {
            None => return Ok(Err(Broken::new(1, "the file is empty; it needs a header line"))),
            Some(Err(unread)) => return Ok(Err(unread.broken)),
            Some(Ok(header)) => header,
        };
        if let Some(at) = header.fields.iter().position(|name| name.iter().any(|byte| matches!(byte, b'\n' | b'\r'))) {
            let reason = format!(
                "the name of its column {} holds a line break, so that rows may stand in it; close the quote that opens before it, or take the line break out",
                at + 1
            );
            return Ok(Err(Broken::new(header.line, reason)));
        }
        Ok(found(&header).map(|(key, address, places)| {
            let shape = Shape { fields: header.fields.len(), key, address };
            Self { lines, header: header.fields, shape, places, pending: VecDeque::new() }
        }))
    }

    pub(super) fn header(&self) -> &[Vec<u8>] {
        &self.header
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// The key, where it stands among these.
    fn keys(&self, fields: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.shape.key.and_then(|place| fields.get(place)).into_iter().cloned().collect()
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        Ok(self.next_fields()?.map(|read| match read {
            Ok(Fields { fields, .. }) => Record::Values(self.places.iter().map(|place| fields.get(*place).cloned()).collect()),
            Err(broken) => Record::Broken(broken),
        }))
    }

    /// All fields of the next record, as many as the header has.
    pub(super) fn next_fields(&mut self) -> io::Result<Option<Result<Fields, Broken>>> {
        if let Some(broken) = self.pending.pop_front() {
            return Ok(Some(Err(broken)));
        }
        let Fields { line, fields } = match record(&mut self.lines, Some(self.shape))? {
            None => return Ok(None),
            Some(Err(Unread { broken, fields, nor })) => {
                let keys = self.keys(&fields);
                for line in nor {
                    let (fields, begins) = (plainly(&line.bytes), broken.line);
                    let reason = format!("it stands within a quote that opens on line {begins}, and looks like a row of its own");
                    let broken = Broken::new(line.number, reason).of_keys(self.keys(&fields));
                    self.pending.push_back(broken.of_addresses(addresses(fields)));
                }
                return Ok(Some(Err(broken.of_keys(keys))));
            }
            Some(Ok(fields)) => fields,
        };
        if fields.len() != self.header.len() {
            let (has, header) = (fields.len(), self.header.len());
            let reason = format!("it has {has} fields and the header {header}; put fields that hold a comma or a line break in quotes");
            // One comma too many or too few stands before the key or behind it.
            let mut keys = self.keys(&fields);
            let from_the_end = self.shape.key.and_then(|place| (fields.len() + place).checked_sub(header));
            keys.extend(from_the_end.and_then(|at| fields.get(at)).filter(|key| !keys.contains(key)).cloned());
            return Ok(Some(Err(Broken::new(line, reason).of_keys(keys).of_addresses(addresses(fields)))));
        }
        Ok(Some(Ok(Fields { line, fields })))
    }
}

/// All that can be an address, wherever it stands.
fn addresses(fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    fields.into_iter().filter(|field| field.contains(&b'@')).collect()
}

fn places(header: &Fields, wanted: &[String]) -> Result<Vec<usize>, Broken> {
    let names: Vec<String> = header.fields.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let place = |name: &String| {
        let mut places = (0..names.len()).filter(|at| names.get(*at) == Some(name));
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => Err(Broken::new(
                header.line,
                format!("its header line has the column {name:?} twice; rename one, so that it is clear which is meant"),
            )),
            (None, _) => {
                // These are somebody's row, and stand in no reason.
                if names.iter().any(|header| header.contains('@')) {
                    let reason = "it holds an address, so it is no header line; put one with the columns' names before it";
                    return Err(Broken::new(header.line, reason));
                }
                // Of another encoding, with everybody in its one name.
                if names.len() == 1 && !names.iter().any(|name| name.bytes().any(|byte| byte.is_ascii_alphanumeric())) {
                    let reason = format!(
                        "its header line has no column {name:?}, nor any Latin letter; is the audience's `encoding` that of the file?"
                    );
                    return Err(Broken::new(header.line, reason));
                }
                Err(Broken::new(header.line, format!("its header line has no column {name:?}; separated by commas it has {names:?}")))
            }
        }
    };
    wanted.iter().map(place).collect()
}

/// The next record that is not an empty line. One that is broken ends with its first line, so that what
/// comes after it is read for what it is. Rows of that shape within a quote break it.
fn record(lines: &mut Lines, shape: Option<Shape>) -> io::Result<Option<Result<Fields, Unread>>> {
    let first = loop {
        let Some(line) = lines.next()? else { return Ok(None) };
        if !matches!(line.bytes.as_slice(), b"\n" | b"\r\n") {
            break line;
        }
    };
    let begins = first.number;
    let mut reading = Reading { at: At::Start, field: Vec::new(), fields: Vec::new(), bytes: 0, quote: begins, opened_at: 0 };
    if let Err(reason) = reading.line(&first) {
        let broken = Broken::new(reading.broken_on(begins), reason).of_addresses(addresses(plainly(&first.bytes)));
        return Ok(Some(Err(Unread::new(broken, reading.fields))));
    }
    let mut further: Vec<Line> = Vec::new();
    let mut opening = reading.opening(&first);
    // What looks like a row within a quote, and the reading as it was before that.
    let mut swallowed: Option<Swallowed> = None;
    while let At::Quoted = reading.at {
        let (quote, before) = (reading.quote, reading.fields.len());
        let read = match lines.next()? {
            Some(line) => {
                let read = reading.line(&line);
                let is_within = matches!(reading.at, At::Quoted) && reading.fields.len() == before;
                if swallowed.is_none() && !line.is_too_long && shape.is_some_and(|shape| shape.holds(&line.bytes, !is_within, &opening)) {
                    let reason = format!(
                        "a quote opens here and is not closed before line {}, which looks like a row of its own; close it, or take the line break out where it is a text",
                        line.number
                    );
                    swallowed = Some(Swallowed { reason, quote, before, opening: opening.fields.clone() });
                }
                if read.is_ok() && !is_within {
                    opening = reading.opening(&line);
                }
                further.push(line);
                read
            }
            None => Err("a quote opens and never closes; close it, or double it where it is meant as a sign".to_owned()),
        };
        if let Err(reason) = read {
            lines.give_back(further);
            // What comes after its first line is read again, and is no part of it.
            let found = swallowed.unwrap_or(Swallowed { reason, quote, before, opening: opening.fields });
            return Ok(Some(Err(found.of(reading.fields))));
        }
    }
    reading.end_field();
    if let Some(found) = swallowed {
        // By RFC 4180 it is one record, however many fields it has, and somebody's text may hold what looks like a row. So nobody of
        // it is mailed.
        return Ok(Some(Err(Unread { nor: further, ..found.of(reading.fields) })));
    }
    let is_text = reading.fields.iter().all(|field| std::str::from_utf8(field).is_ok());
    let fields = reading.fields;
    Ok(Some(if is_text {
        Ok(Fields { line: begins, fields })
    } else {
        Err(Unread::new(not_text(begins).of_addresses(addresses(fields.clone())), fields))
    }))
}

/// Rows within a quote, or what else is wrong in a record of several lines.
struct Swallowed {
    reason: String,
    quote: u64,
    /// So many fields stand before it.
    before: usize,
    /// The line on which the quote opens, read as if it were a sign like any other.
    opening: Vec<Vec<u8>>,
}

impl Swallowed {
    fn of(self, mut fields: Vec<Vec<u8>>) -> Unread {
        fields.truncate(self.before);
        Unread::new(Broken::new(self.quote, self.reason).of_addresses(addresses(self.opening)), fields)
    }
}

struct Reading {
    at: At,
    field: Vec<u8>,
    fields: Vec<Vec<u8>>,
    bytes: usize,
    /// The line on which the last quote opened.
    quote: u64,
    /// Where in that line.
    opened_at: usize,
}

impl Reading {
    /// The line on which the open quote stands; of none where no quote is open, as in most lines.
    fn opening(&self, line: &Line) -> Opening {
        match self.at {
            At::Quoted => Opening::of(&self.fields, line.bytes.get(self.opened_at + 1..).unwrap_or_default()),
            _ => Opening::default(),
        }
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
        self.at = At::Start;
    }

    fn broken_on(&self, begins: u64) -> u64 {
        if let At::Quoted | At::AfterQuote = self.at { self.quote } else { begins }
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        self.bytes += line.bytes.len();
        if line.is_too_long || self.bytes > RECORD_BYTES_MAX {
            return Err(match self.at {
                At::Quoted => format!(
                    "a quote opens and is not closed within {RECORD_BYTES_MAX} bytes; close it, or double it where it is meant as a sign"
                ),
                _ => format!("the record that begins here is larger than {RECORD_BYTES_MAX} bytes; make it smaller"),
            });
        }
        for (at, byte) in line.bytes.iter().enumerate() {
            match (self.at, *byte) {
                (At::Start, b'"') => (self.at, self.quote, self.opened_at) = (At::Quoted, line.number, at),
                (At::Start | At::Plain | At::AfterQuote, b',') => self.end_field(),
                (At::Start | At::Plain | At::AfterQuote | At::CarriageReturn, b'\n') => return Ok(()),
                (At::Start | At::Plain | At::AfterQuote, b'\r') => self.at = At::CarriageReturn,
                (At::Plain, b'"') => {
                    return Err(
                        "a quote stands in a field that does not begin with one; put the field in quotes and double the quote in it"
                            .to_owned(),
                    );
                }
                (At::Quoted, b'"') => self.at = At::AfterQuote,
                (At::AfterQuote, b'"') => {
                    self.field.push(b'"');
                    self.at = At::Quoted;
                }
                (At::AfterQuote, _) => {
                    return Err(
                        "a quote opens and something other than a comma follows where it closes; is one missing before, or not doubled?"
                            .to_owned(),
                    );
                }
                (At::CarriageReturn, _) => {
                    return Err(
                        "a carriage return stands alone; end lines by CR LF or LF, and put fields that hold one in quotes".to_owned()
                    );
                }
                (At::Start | At::Plain, _) => {
                    self.field.push(*byte);
                    self.at = At::Plain;
                }
                (At::Quoted, _) => self.field.push(*byte),
            }
        }
        Ok(())
    }
}
