//! What stands before the reading of a file, whatever it comes from: gzip is taken off, and its beginning is kept for
//! whoever guesses its encoding.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::beginning::Beginning;
use super::{FileKind, WORKBOOK};

/// What gzip begins with (RFC 1952, section 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What workbooks begin with, whatever their names are: a zip, and a compound file (MS-CFB, section 2.2). No text does.
const WORKBOOKS: [[u8; 4]; 2] = [*b"PK\x03\x04", [0xd0, 0xcf, 0x11, 0xe0]];
const BUFFER_BYTES: usize = 64 * 1024;

/// The file as it was before it was packed. What is gzip is unpacked whatever its name is, since no text begins so; and
/// all of its members are, since whoever appends to a log packs each piece by itself.
pub(super) fn unpacked(name: &str, mut reader: impl Read + Send + 'static) -> Result<(Box<dyn Read + Send>, Beginning), String> {
    let mut magic = Vec::new();
    (&mut reader).take(WORKBOOKS[0].len() as u64).read_to_end(&mut magic).map_err(|error| format!("it can't be read: {error}"))?;
    let is_packed = magic.starts_with(&MAGIC);
    if WORKBOOKS.iter().any(|workbook| magic == workbook) {
        return Err(format!("it is no text, but a workbook or a zip; {WORKBOOK}"));
    }
    if FileKind::packed(name).is_some() && !is_packed {
        return Err("its name ends with .gz, and it is no gzip; pack it, or take .gz off its name".to_owned());
    }
    let beginning = Beginning::default();
    let reader = Cursor::new(magic).chain(reader);
    let unpacked: Box<dyn Read + Send> = if is_packed {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, reader));
        Box::new(Keeping { reader: Whole(decoder), beginning: beginning.clone() })
    } else {
        Box::new(Keeping { reader, beginning: beginning.clone() })
    };
    Ok((unpacked, beginning))
}

/// Gzip that ends where it says that it ends, or is an error in words for people.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::other("the gzip breaks off before its end, or has something else behind it; pack and upload it again")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::other(format!("the gzip is broken ({error}); pack and upload it again"))
            }
            _ => error,
        })
    }
}

struct Keeping<R> {
    reader: R,
    beginning: Beginning,
}

impl<R: Read> Read for Keeping<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.beginning.take(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
