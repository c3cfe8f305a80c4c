//! Files in another encoding than UTF-8, by the labels of the Encoding Standard.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::Reader;

const BUFFER_BYTES: usize = 64 * 1024;
/// What is put in the place of bytes that the encoding does not have: no UTF-8, so that whoever reads the
/// line finds it out.
const MALFORMED: u8 = 0xff;

/// The file as UTF-8, without its byte order mark.
pub(super) fn decoded(mut file: impl Read + Send + 'static, label: Option<&str>) -> Result<Reader, String> {
    let encoding = match label {
        None => UTF_8,
        Some(label) => Encoding::for_label(label.as_bytes()).ok_or_else(|| {
            format!("`encoding` is {label:?}, which is no label of the Encoding Standard; write utf-8, shift_jis, euc-jp, windows-1252 …")
        })?,
    };
    // As many bytes as a mark has, however few each reading gives.
    let mut begin = Vec::new();
    (&mut file).take(3).read_to_end(&mut begin).map_err(|error| format!("it can't be read: {error}"))?;
    if let Some((found, length)) = Encoding::for_bom(&begin) {
        if label.is_none() && found != UTF_8 {
            let name = found.name();
            return Err(format!(
                "its byte order mark is that of {name}; set encoding = {0:?} in the audience (`issei init --encoding {0}` does), or save the file as UTF-8",
                name.to_lowercase()
            ));
        }
        // Read by another encoding its bytes are other letters, and mostly valid ones.
        if let Some(label) = label
            && found != encoding
        {
            let name = found.name();
            return Err(format!(
                "its byte order mark is that of {name}, and the audience's `encoding` is {label:?}; set encoding = {:?} in the audience",
                name.to_lowercase()
            ));
        }
        if found == encoding {
            begin.drain(..length);
        }
    }
    let reader = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(begin).chain(file));
    if encoding == UTF_8 {
        return Ok(Box::new(reader));
    }
    let decoding = Decoding { reader, decoder: encoding.new_decoder_without_bom_handling(), is_over: false };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoding)))
}

struct Decoding<R> {
    reader: BufReader<R>,
    decoder: Decoder,
    is_over: bool,
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        // A malformed sequence takes one byte more, and a character four.
        let Some(room) = target.len().checked_sub(1).filter(|room| *room >= 4) else {
            return Err(io::Error::other("a reader that asks for single bytes"));
        };
        loop {
            if self.is_over {
                return Ok(0);
            }
            let source = self.reader.fill_buf()?;
            let is_last = source.is_empty();
            let (result, read, mut written) =
                self.decoder.decode_to_utf8_without_replacement(source, target.get_mut(..room).unwrap_or_default(), is_last);
            self.reader.consume(read);
            match result {
                DecoderResult::InputEmpty => self.is_over = is_last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    if let Some(byte) = target.get_mut(written) {
                        *byte = MALFORMED;
                        written += 1;
                    }
                }
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}
