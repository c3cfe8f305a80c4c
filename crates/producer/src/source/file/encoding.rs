//! Files in another encoding than UTF-8, by the labels of the Encoding Standard.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, EUC_JP, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};

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

/// What a file looks like by its beginning.
pub(super) struct Guess {
    pub(super) name: &'static str,
    /// Another that it may be in as well: a few names in `Shift_JIS` are too little to tell them from letters with accents.
    perhaps: Option<&'static str>,
}

impl Guess {
    /// As it is written in a configuration.
    pub(super) fn label(&self) -> String {
        self.name.to_lowercase()
    }

    pub(super) fn perhaps(&self) -> Option<String> {
        self.perhaps.map(str::to_lowercase)
    }
}

pub(super) fn guessed(bytes: &[u8]) -> Guess {
    if let Some(utf_16) = utf_16(bytes) {
        return Guess { name: utf_16.name(), perhaps: None };
    }
    if is_iso_2022_jp(bytes) {
        return Guess { name: ISO_2022_JP.name(), perhaps: None };
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    let read_as = |encoding: &'static Encoding| Some((encoding, encoding.decode_without_bom_handling_and_without_replacement(bytes)?));
    let mut japanese = [EUC_JP, SHIFT_JIS].into_iter().filter(|_| guess.is_single_byte()).filter_map(read_as);
    // The detector takes little of it for letters with accents.
    if ACCENTS.contains(&guess.name())
        && let Some((likely, _)) = japanese.clone().find(|(_, text)| is_japanese(text))
    {
        return Guess { name: likely.name(), perhaps: Some(guess.name()) };
    }
    Guess { name: guess.name(), perhaps: japanese.next().map(|(encoding, _)| encoding.name()) }
}

/// Encodings of letters with accents, each of which stands alone among letters of ASCII.
const ACCENTS: [&str; 12] = [
    "windows-1250",
    "windows-1252",
    "windows-1254",
    "windows-1257",
    "windows-1258",
    "ISO-8859-2",
    "ISO-8859-3",
    "ISO-8859-4",
    "ISO-8859-10",
    "ISO-8859-13",
    "ISO-8859-14",
    "ISO-8859-16",
];

/// Whether a text reads like Japanese, and not like something else that was taken for it: words of kana and kanji. What was a
/// letter with an accent is a sign by itself, beside letters.
fn is_japanese(text: &str) -> bool {
    let (mut words, mut strays) = (0_usize, 0_usize);
    let mut before = ' ';
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
        before = rest.get(..at).and_then(|ascii| ascii.chars().next_back()).unwrap_or(before);
        rest = rest.get(at..).unwrap_or_default();
        let (word, after) = rest.split_at(rest.find(|c: char| c.is_ascii()).unwrap_or(rest.len()));
        let next = after.chars().next().unwrap_or(' ');
        let is_word = word.chars().all(is_of_japanese);
        let is_alone = word.chars().nth(1).is_none();
        let is_kana_of_one_byte = word.chars().all(|c| matches!(c, '\u{ff61}'..='\u{ff9f}'));
        let beside_letters = before.is_ascii_alphabetic() || next.is_ascii_alphabetic();
        // Two accents after each other are rare, and three more so.
        let is_stray = !is_word || (is_alone && (beside_letters || is_kana_of_one_byte)) || (is_kana_of_one_byte && beside_letters);
        if is_stray {
            strays += 1;
        } else {
            words += 1;
        }
        (before, rest) = (' ', after);
    }
    words > 0 && words >= strays * 3
}

/// Kana, kanji, their signs, and what has their width.
fn is_of_japanese(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff9f}')
}

/// A text of seven bits that is Japanese all the same, between escapes (RFC 1468).
pub(super) fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    bytes.is_ascii() && bytes.windows(3).any(|some| matches!(some, b"\x1b$@" | b"\x1b$B" | b"\x1b(J" | b"\x1b(I"))
}

/// The encoding of a beginning that is hardly UTF-8; nothing where it is, or where some lines may be broken and it may be
/// those alone.
pub(super) fn other(bytes: &[u8], allow_broken_rows: bool) -> Option<Guess> {
    let is_utf_8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Its last character may be cut off.
        Err(error) => error.error_len().is_none() || allow_broken_rows,
    };
    (!is_utf_8 || utf_16(bytes).is_some() || is_iso_2022_jp(bytes)).then(|| guessed(bytes))
}

/// Which UTF-16 it is, where it has neither a mark nor many letters but those of ASCII: every other byte of these is 0, which
/// no text of another encoding has.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    match first.max(second) {
        // One in twenty at least: a zero by itself is a mistake in a text.
        most if most * 20 < bytes.len() || most == 0 => None,
        _ if second > first => Some(UTF_16LE),
        _ => Some(UTF_16BE),
    }
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
