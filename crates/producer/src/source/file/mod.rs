//! CSV and JSON Lines, read strictly: a file that is not what it claims to be is refused with the line and
//! what to do, since one missing quote can hide everybody after it. Where the audience says
//! `allow_broken_rows`, such lines are recorded as skipped instead.

mod beginning;
mod csv;
mod data;
mod digest;
mod encoding;
mod guess;
mod json;
mod lines;
mod list;
mod packed;
mod swallowed;

use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::time::SystemTime;

use self::beginning::Beginning;
use self::csv::Csv;
pub(crate) use self::data::Data;
use self::digest::Digest;
use self::json::Json;
use self::lines::Lines;
pub use self::list::{CsvList, CsvRow, NoCsvRow};
use super::feed::{Closed, Feed};
use super::row::{RawKey, RawRow};
use super::{Progress, ReadError, Told};
use crate::audience::AudienceConfig;

/// A line, or a record of several, that is larger than this is none. Nothing of a recipient may be larger
/// than 16 KiB.
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// The wanted values of one row, or why there are none.
enum Record {
    Values(Vec<Option<Vec<u8>>>),
    Broken(Broken),
}

/// What is wrong, on which line, and what to do about it. It quotes nothing of the line.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    line: u64,
    reason: String,
    /// What may be its key, as far as that can be read: whoever it is of may have said something that can't.
    keys: Vec<Vec<u8>>,
    /// What may be its address.
    addresses: Vec<Vec<u8>>,
}

impl Broken {
    fn new(line: u64, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), keys: Vec::new(), addresses: Vec::new() }
    }

    fn of_keys(self, keys: Vec<Vec<u8>>) -> Self {
        Self { keys, ..self }
    }

    fn of_addresses(self, addresses: Vec<Vec<u8>>) -> Self {
        Self { addresses, ..self }
    }

    fn refused(&self) -> ReadError {
        ReadError::Refused(format!("line {}: {}", self.line, self.reason))
    }
}

enum Records {
    Csv(Csv),
    Json(Json),
}

impl Records {
    fn reader(&mut self) -> &mut Reader {
        match self {
            Self::Csv(csv) => csv.lines().reader(),
            Self::Json(json) => json.lines().reader(),
        }
    }
}

/// Reads until enough is known of the encoding, or to the end.
fn read_on(reader: &mut impl BufRead, beginning: &Beginning) -> io::Result<()> {
    while !beginning.is_enough() {
        let bytes = reader.fill_buf()?.len();
        if bytes == 0 {
            break;
        }
        reader.consume(bytes);
    }
    Ok(())
}

/// Reads the file, and gives how many rows it has, and which file it was.
pub(super) fn read(file: &str, config: &AudienceConfig, feed: &mut Feed) -> Result<Told, ReadError> {
    let (progress, digest) = (feed.progress().clone(), Digest::default());
    let rows = Rows { digest: Some(digest.clone()), ..Rows::of(config) };
    let told = each(file, rows, &progress, |row| feed.push_blocking(row).map_err(|Closed| ReadError::Closed))?;
    Ok(Told { digest: Some(digest.hex()), ..told })
}

pub(super) fn count_rows(file: &str, config: &AudienceConfig) -> Result<u64, ReadError> {
    each(file, Rows::of(config), &Progress::default(), |_| Ok(())).map(|told| told.counted)
}

fn each(file: &str, mut rows: Rows, progress: &Progress, mut take: impl FnMut(RawRow) -> Result<(), ReadError>) -> Result<Told, ReadError> {
    let opened = File::open(file).map_err(|error| ReadError::Refused(format!("{error}; check the path")))?;
    let unknown = |error: io::Error| ReadError::Refused(format!("how large it is, and since when, can't be read: {error}"));
    let before = opened.metadata().map_err(unknown)?;
    rows.of_file(file, progress.reading(opened, before.len()), None, &mut take)?;
    // By its path, so that one which was put in its place shows, too.
    if state(&std::fs::metadata(file).map_err(unknown)?) != state(&before) {
        return Err(ReadError::Refused(
            "it was changed while it was read, so that some of it may be missing; write it under another name, rename it once it is whole, and try again".to_owned(),
        ));
    }
    rows.end()
}

/// What tells one state of a file from another.
fn state(of: &Metadata) -> (u64, Option<SystemTime>, u64) {
    #[cfg(unix)]
    let which = std::os::unix::fs::MetadataExt::ino(of);
    #[cfg(not(unix))]
    let which = 0;
    (of.len(), of.modified().ok(), which)
}

/// What a file's name says that it holds. Some systems write endings in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Csv,
    Json,
}

impl FileKind {
    /// Nothing where it says nothing that can be read. What `.gz` stands behind is packed.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match ending(Self::packed(name).unwrap_or(name))?.as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Json),
            _ => None,
        }
    }

    /// The name without the ending that says that it is packed; nothing where it has none.
    #[must_use]
    pub fn packed(name: &str) -> Option<&str> {
        let (plain, last) = name.split_at_checked(name.len().checked_sub(".gz".len())?)?;
        last.eq_ignore_ascii_case(".gz").then_some(plain)
    }

    /// Why a file of this name is none that can be read, and what to do.
    #[must_use]
    pub fn none_of(name: &str) -> String {
        let next = match ending(name).as_deref() {
            Some("xlsx" | "xlsm" | "xlsb" | "xls" | "ods" | "numbers") => WORKBOOK,
            Some("tsv" | "tab" | "txt") => "save it as CSV, with commas between its columns, and name that file",
            _ => return format!("its name ends with none of {ENDINGS}"),
        };
        format!("its name ends with none of {ENDINGS}; {next}")
    }
}

const WORKBOOK: &str = "only a spreadsheet reads its workbooks: save the sheet with the users as \"CSV UTF-8\" there, and name that file";

fn ending(name: &str) -> Option<String> {
    Some(name.rsplit_once('.')?.1.to_ascii_lowercase())
}

/// The rows of one file, or of several that are parts of one.
pub(super) struct Rows<'a> {
    config: &'a AudienceConfig,
    /// Last of all, who wants it: a question that is answered here and goes no further.
    wanted: Vec<String>,
    /// Of the first file.
    kind: Option<FileKind>,
    header: Option<Vec<Vec<u8>>>,
    /// Which of the wanted columns some line of JSON has had.
    seen: Vec<bool>,
    rows: u64,
    broken_rows: u64,
    left_out: u64,
    /// Takes down what was read, where somebody asks for it.
    digest: Option<Digest>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(config: &'a AudienceConfig) -> Self {
        let wanted: Vec<String> =
            [&config.key, &config.address].into_iter().chain(&config.columns).chain(&config.consenting).cloned().collect();
        let seen = vec![false; wanted.len()];
        Self { config, wanted, kind: None, header: None, seen, rows: 0, broken_rows: 0, left_out: 0, digest: None }
    }

    /// Takes all of a file; `part` is its number where it is one of several.
    pub(super) fn of_file(
        &mut self,
        name: &str,
        reader: impl Read + Send + 'static,
        part: Option<u64>,
        take: &mut impl FnMut(RawRow) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let config = self.config;
        let kind = FileKind::of(name).ok_or_else(|| ReadError::Refused(FileKind::none_of(name)))?;
        if self.kind.replace(kind).is_some_and(|first| first != kind) {
            return Err(ReadError::Refused("the objects before it are of another kind; keep CSV and JSON Lines apart".to_owned()));
        }
        let (mut unpacked, beginning) = packed::unpacked(name, reader).map_err(ReadError::Refused)?;
        if let Some(digest) = &self.digest {
            unpacked = Box::new(digest.of(unpacked));
        }
        let reader = encoding::decoded(unpacked, config.encoding.as_deref()).map_err(ReadError::Refused)?;
        let columns = 2 + config.columns.len();
        let lines = Lines::of(reader);
        let not_read = |error: io::Error| ReadError::Refused(format!("it can't be read to its end: {error}"));
        let mut of_encoding = OfEncoding { beginning, config, reason: None };
        let mut records = match kind {
            FileKind::Csv => {
                let csv = Csv::with_header(lines, &self.wanted).map_err(not_read)?;
                let csv = csv.map_err(|broken| of_encoding.told(broken).refused())?;
                if self.header.get_or_insert_with(|| csv.header().to_vec()) != csv.header() {
                    return Err(ReadError::Refused(
                        "its header line is not that of the objects before it; give all of them the same, or take it away".to_owned(),
                    ));
                }
                Records::Csv(csv)
            }
            FileKind::Json => Records::Json(Json::of(lines, self.wanted.clone(), self.seen.clone())),
        };
        loop {
            let record = match &mut records {
                Records::Csv(csv) => csv.next(),
                Records::Json(json) => json.next(),
            };
            let row = match record.map_err(not_read)? {
                None if config.encoding.is_none() && guess::is_iso_2022_jp(&of_encoding.beginning.bytes()) => {
                    return Err(ReadError::Refused(
                        "it is in the encoding ISO-2022-JP, and no UTF-8; set encoding = \"iso-2022-jp\" in the audience, or save the file as UTF-8"
                            .to_owned(),
                    ));
                }
                None => break,
                Some(Record::Values(mut values)) => {
                    let answer = values.split_off(columns.min(values.len()));
                    if config.consenting.is_some() && !answer.iter().flatten().any(|answer| says_yes(answer)) {
                        self.left_out += 1;
                        let cells = values.split_off(1);
                        take(RawRow { key: key_of(values).refusal(), cells })?;
                        continue;
                    }
                    let cells = values.split_off(1);
                    RawRow { key: key_of(values), cells }
                }
                Some(Record::Broken(mut broken)) if config.allow_broken_rows => {
                    self.broken_rows += 1;
                    // Its answer can't be read, and what is no clear yes is a no.
                    if config.consenting.is_some() {
                        for key in std::mem::take(&mut broken.keys).into_iter().filter(|key| !key.is_empty()) {
                            take(RawRow { key: RawKey::Refusal(Some(key)), cells: Vec::new() })?;
                        }
                        for address in std::mem::take(&mut broken.addresses) {
                            take(RawRow { key: RawKey::Refusal(None), cells: vec![Some(address)] })?;
                        }
                    }
                    let Broken { line, reason, .. } = of_encoding.told(broken);
                    if self.broken_rows == 1 {
                        tracing::warn!(line, reason, "a broken line is skipped; `issei export --outcome skipped` has each, and why");
                    }
                    RawRow { key: RawKey::Broken { line, part, reason }, cells: vec![None; columns - 1] }
                }
                Some(Record::Broken(broken)) => {
                    if broken.reason == NOT_TEXT && config.encoding.is_none() {
                        // What it can't be read by says nothing of the encoding.
                        let _ = read_on(records.reader(), &of_encoding.beginning);
                    }
                    let Broken { line, reason, .. } = of_encoding.told(broken);
                    return Err(Broken::new(line, format!("{reason} (or set allow_broken_rows, which skips such lines and records them)"))
                        .refused());
                }
            };
            self.rows += 1;
            take(row)?;
        }
        if let Records::Json(json) = records {
            self.seen = json.seen();
        }
        Ok(())
    }

    /// How many there are, and how many of those who were asked have not agreed.
    pub(super) fn end(self) -> Result<Told, ReadError> {
        let Self { config, kind, wanted, seen, rows, broken_rows, left_out, .. } = self;
        let lacking = wanted.iter().zip(&seen).find(|(_, seen)| !**seen).map(|(name, _)| name);
        match lacking {
            Some(name) if kind == Some(FileKind::Json) && rows + left_out > broken_rows => {
                Err(ReadError::Refused(format!("no line has the column {name:?}; correct the audience's configuration or the file")))
            }
            _ => Ok(Told { left_out: config.consenting.is_some().then_some(left_out), ..Told::of(rows) }),
        }
    }
}

/// The key of a record, which is its first value. A file has no null; a key of nothing is none.
fn key_of(values: Vec<Option<Vec<u8>>>) -> RawKey {
    RawKey::text(values.into_iter().next().flatten().filter(|key| !key.is_empty()))
}

/// What the name of a file ends with, for people.
pub(super) const ENDINGS: &str = ".csv, .jsonl and .ndjson, nor with one of these and .gz";

/// How whoever looks at a file first reads it.
#[derive(Clone, Debug, Default)]
pub struct ReadAs {
    /// A label of the Encoding Standard; UTF-8 where there is none.
    pub encoding: Option<String>,
    /// Lines that can't be read are passed over, so that one of them says nothing of the file.
    pub allow_broken_rows: bool,
}

/// The first line of a file; or why it can't be read, or is hardly in that encoding.
pub fn first_line(file: &Path, read_as: &ReadAs) -> Result<String, String> {
    let opened = File::open(file).map_err(|error| format!("it can't be read: {error}; check the path"))?;
    first_line_of(&file.display().to_string(), opened, read_as)
}

pub(super) fn first_line_of(name: &str, reader: impl Read + Send + 'static, read_as: &ReadAs) -> Result<String, String> {
    let ReadAs { encoding, allow_broken_rows } = read_as;
    let (unpacked, beginning) = packed::unpacked(name, reader)?;
    let mut line = Vec::new();
    let most = u64::try_from(RECORD_BYTES_MAX).unwrap_or(u64::MAX);
    let mut reader = encoding::decoded(unpacked, encoding.as_deref())?;
    let not_read = |error: io::Error| format!("it can't be read: {error}");
    (&mut reader).take(most).read_until(b'\n', &mut line).map_err(not_read)?;
    if encoding.is_none() {
        // A header line of ASCII says nothing of the names below it.
        io::copy(&mut (&mut reader).take(most), &mut io::sink()).map_err(not_read)?;
        read_on(&mut reader, &beginning).map_err(not_read)?;
        if let Some(other) = guess::other(&beginning.bytes(), *allow_broken_rows) {
            return Err(format!(
                "it is not in the encoding utf-8, but probably in {}; {}",
                other.name,
                match other.perhaps() {
                    None => format!("repeat it with --encoding {}, which proposes `encoding` for the audience", other.label()),
                    Some(perhaps) => format!(
                        "repeat it with --encoding {}, or with --encoding {perhaps}, which it may be as well; either proposes `encoding` for the audience",
                        other.label()
                    ),
                }
            ));
        }
    }
    String::from_utf8(line).map_err(|_| {
        let label = encoding.as_deref().unwrap_or("utf-8");
        format!("its first line is not in the encoding {label}; name the right one by --encoding")
    })
}

/// Whether somebody has agreed. What is no clear yes is none.
pub(super) fn says_yes(answer: &[u8]) -> bool {
    let answer = answer.trim_ascii();
    ["true", "yes", "1"].iter().any(|yes| answer.eq_ignore_ascii_case(yes.as_bytes()))
}

/// What the reason of a record in a wrong encoding begins with.
const NOT_TEXT: &str = "it holds bytes that are not";

fn not_text(line: u64) -> Broken {
    Broken::new(line, NOT_TEXT)
}

/// Says of which encoding the file probably is. One wrong encoding is that of the whole file, so it is asked until enough of it was
/// seen.
struct OfEncoding<'a> {
    beginning: Beginning,
    config: &'a AudienceConfig,
    reason: Option<String>,
}

impl OfEncoding<'_> {
    fn told(&mut self, broken: Broken) -> Broken {
        if broken.reason != NOT_TEXT {
            return broken;
        }
        let Self { beginning, config, .. } = &*self;
        let told = || {
            if let Some(encoding) = &config.encoding {
                return format!("{NOT_TEXT} {encoding}; correct the line, or the audience's `encoding`");
            }
            let guess = guess::guessed(&beginning.bytes());
            let perhaps = guess.perhaps().map_or(String::new(), |perhaps| format!(" (or {perhaps:?}, which it may be as well)"));
            format!(
                "{NOT_TEXT} UTF-8, probably {}; set encoding = {:?}{perhaps} in the audience, or save the file as UTF-8",
                guess.name,
                guess.label()
            )
        };
        let reason = self.reason.clone().unwrap_or_else(told);
        if self.beginning.is_enough() {
            self.reason.get_or_insert_with(|| reason.clone());
        }
        Broken::new(broken.line, reason)
    }
}

/// A reader that the others are built on.
type Reader = Box<dyn BufRead + Send>;

#[cfg(test)]
mod tests;
