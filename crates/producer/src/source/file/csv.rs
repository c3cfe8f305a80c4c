//! CSV as RFC 4180 has it, without leniency: fields are separated by commas, quotes close, and each record
//! has as many fields as the header.

use std::io;

use super::lines::{Line, Lines};
use super::{Broken, RECORD_BYTES_MAX, Record, not_text};

/// A record that is none, with its fields before what is wrong with it.
struct Unread {
    broken: Broken,
    fields: Vec<Vec<u8>>,
}

pub(super) struct Csv {
    lines: Lines,
    header: Vec<Vec<u8>>,
    /// Where the wanted columns stand.
    places: Vec<usize>,
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
struct Fields {
    line: u64,
    fields: Vec<Vec<u8>>,
}

impl Csv {
    /// Reads the header line and finds the wanted columns in it.
    pub(super) fn with_header(mut lines: Lines, wanted: &[String]) -> io::Result<Result<Self, Broken>> {
        let header = match record(&mut lines, |_| false)? {
            None => return Ok(Err(Broken::new(1, "the file is empty; it needs a header line"))),
            Some(Err(unread)) => return Ok(Err(unread.broken)),
            Some(Ok(header)) => header,
        };
        Ok(places(&header, wanted).map(|places| Self { lines, header: header.fields, places }))
    }

    pub(super) fn header(&self) -> &[Vec<u8>] {
        &self.header
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// The key, where it stands among these.
    fn keys(&self, fields: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.places.first().and_then(|place| fields.get(*place)).into_iter().cloned().collect()
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let (all, address) = (self.header.len(), self.places.get(1).copied());
        let Fields { line, fields } = match record(&mut self.lines, |within| is_row(within, all, address))? {
            None => return Ok(None),
            Some(Err(Unread { broken, fields })) => {
                let keys = self.keys(&fields);
                return Ok(Some(Record::Broken(broken.of_keys(keys))));
            }
            Some(Ok(fields)) => fields,
        };
        if fields.len() != self.header.len() {
            let (has, header) = (fields.len(), self.header.len());
            let reason = format!("it has {has} fields and the header {header}; put fields that hold a comma or a line break in quotes");
            // One comma too many or too few stands before the key or behind it.
            let mut keys = self.keys(&fields);
            let from_the_end = self.places.first().and_then(|place| (fields.len() + place).checked_sub(header));
            keys.extend(from_the_end.and_then(|at| fields.get(at)).filter(|key| !keys.contains(key)).cloned());
            return Ok(Some(Record::Broken(Broken::new(line, reason).of_keys(keys))));
        }
        Ok(Some(Record::Values(self.places.iter().map(|place| fields.get(*place).cloned()).collect())))
    }
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
                Err(Broken::new(header.line, format!("its header line has no column {name:?}; separated by commas it has {names:?}")))
            }
        }
    };
    wanted.iter().map(place).collect()
}

/// Says whether what stands within a quote looks like somebody's row: as many fields as the header has, and
/// an address where it should be. A quote that is missing in one row and one too many in another swallow all
/// rows between them, and are balanced.
fn is_row(within: &[u8], all: usize, address: Option<usize>) -> bool {
    let fields: Vec<&[u8]> = within.split(|byte| *byte == b',').collect();
    all > 1 && fields.len() == all && address.and_then(|at| fields.get(at)).is_some_and(|field| field.contains(&b'@'))
}

/// The next record that is not an empty line. One that is broken ends with its first line, so that what
/// comes after it is read for what it is.
fn record(lines: &mut Lines, is_row: impl Fn(&[u8]) -> bool) -> io::Result<Option<Result<Fields, Unread>>> {
    let first = loop {
        let Some(line) = lines.next()? else { return Ok(None) };
        if !matches!(line.bytes.as_slice(), b"\n" | b"\r\n") {
            break line;
        }
    };
    let begins = first.number;
    let mut reading = Reading { at: At::Start, field: Vec::new(), fields: Vec::new(), bytes: 0, quote: begins };
    if let Err(reason) = reading.line(&first) {
        return Ok(Some(Err(Unread { broken: Broken::new(reading.broken_on(begins), reason), fields: reading.fields })));
    }
    let mut further: Vec<Line> = Vec::new();
    while let At::Quoted = reading.at {
        let read = match lines.next()? {
            Some(line) => {
                let within = line.bytes.split(|byte| matches!(byte, b'"' | b'\n')).next().unwrap_or_default();
                let read = if is_row(within) {
                    Err(format!(
                        "a quote opens here and is not closed before line {}, which looks like a row of its own; close it",
                        line.number
                    ))
                } else {
                    reading.line(&line)
                };
                further.push(line);
                read
            }
            None => Err("a quote opens and never closes; close it, or double it where it is meant as a sign".to_owned()),
        };
        if let Err(reason) = read {
            lines.give_back(further);
            return Ok(Some(Err(Unread { broken: Broken::new(reading.quote, reason), fields: reading.fields })));
        }
    }
    reading.end_field();
    let is_text = reading.fields.iter().all(|field| std::str::from_utf8(field).is_ok());
    let fields = reading.fields;
    Ok(Some(if is_text { Ok(Fields { line: begins, fields }) } else { Err(Unread { broken: not_text(begins), fields }) }))
}

struct Reading {
    at: At,
    field: Vec<u8>,
    fields: Vec<Vec<u8>>,
    bytes: usize,
    /// The line on which the last quote opened.
    quote: u64,
}

impl Reading {
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
        for byte in &line.bytes {
            match (self.at, *byte) {
                (At::Start, b'"') => (self.at, self.quote) = (At::Quoted, line.number),
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
