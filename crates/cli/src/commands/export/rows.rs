//! Rows on their way to a file, or to standard output.
//!
//! What it must never do: write one thing under the name of another, which whoever reads it by its name could not read; or write
//! over somebody's file.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use issei_producer::FileKind;
use serde_json::{Map, Value};

use crate::Refused;
use crate::args::{ExportFormat, ExportOptions};
use crate::output::{file_for_oneself, is_standard};

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    format: ExportFormat,
    /// By gzip.
    is_packed: bool,
}

impl Kind {
    /// What the name of a file says, as whoever reads an audience by it takes it; nothing where it says nothing.
    fn of(name: &str) -> Option<Self> {
        let format = match FileKind::of(name)? {
            FileKind::Csv => ExportFormat::Csv,
            FileKind::Json => ExportFormat::Jsonl,
        };
        Some(Self { format, is_packed: FileKind::packed(name).is_some() })
    }

    /// For a file that is there or not; a pipe or a terminal has a name that says nothing.
    fn of_file(file: &Path, wanted: Option<ExportFormat>, as_json: bool) -> anyhow::Result<Self> {
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            return Ok(Self::without_name(wanted, as_json));
        }
        let Some(kind) = file.file_name().and_then(|name| name.to_str()).and_then(Self::of) else {
            bail!(Refused(format!(
                "the name of {} says neither CSV nor JSON Lines, and nobody could read it as an audience: let it end with .csv, .jsonl or .ndjson, or with one of these and .gz",
                file.display()
            )));
        };
        if wanted.is_some_and(|wanted| wanted != kind.format) {
            bail!(Refused(format!(
                "the name of {} says something else than --format does: take --format out, or give the file another name",
                file.display()
            )));
        }
        Ok(kind)
    }

    fn without_name(wanted: Option<ExportFormat>, as_json: bool) -> Self {
        let format = if as_json { ExportFormat::Jsonl } else { wanted.unwrap_or_default() };
        Self { format, is_packed: false }
    }
}

enum Out {
    Plain(Box<dyn Write>),
    Packed(GzEncoder<Box<dyn Write>>),
}

/// Standard output. A reader that has seen enough, such as `head`, is no error.
struct Reader<W>(W);

impl<W: Write> Write for Reader<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

pub(super) struct Table {
    out: Out,
    format: ExportFormat,
    names: Vec<String>,
}

impl Table {
    pub(super) fn new(options: &ExportOptions, as_json: bool) -> anyhow::Result<Self> {
        let Some(file) = options.output.as_deref().filter(|file| !is_standard(file)) else {
            // An object on each line: the rows are more than one object could hold.
            let Kind { format, .. } = Kind::without_name(options.format, as_json);
            return Ok(Self { out: Out::Plain(Box::new(Reader(io::stdout()))), format, names: Vec::new() });
        };
        let Kind { format, is_packed } = Kind::of_file(file, options.format, as_json)?;
        if std::fs::metadata(file).is_ok_and(|there| there.is_file() && there.len() > 0) {
            bail!(Refused(format!(
                "{} is there and not empty, and may be somebody's audience: give another name, or remove it",
                file.display()
            )));
        }
        let named = || format!("the rows can't be written to {}", file.display());
        let plain: Box<dyn Write> = Box::new(io::BufWriter::new(file_for_oneself(file).with_context(named)?));
        let out = if is_packed { Out::Packed(GzEncoder::new(plain, Compression::default())) } else { Out::Plain(plain) };
        Ok(Self { out, format, names: Vec::new() })
    }

    pub(super) fn head(&mut self, names: Vec<String>) -> anyhow::Result<()> {
        if self.format == ExportFormat::Csv {
            self.record(names.iter().map(String::as_str).collect())?;
        }
        self.names = names;
        Ok(())
    }

    pub(super) fn row(&mut self, values: Vec<Option<&str>>) -> anyhow::Result<()> {
        match self.format {
            ExportFormat::Csv => self.record(values.into_iter().map(Option::unwrap_or_default).collect()),
            ExportFormat::Jsonl => {
                let value = |value: Option<&str>| value.map_or(Value::Null, |value| Value::String(value.to_owned()));
                let row: Map<String, Value> = self.names.iter().cloned().zip(values.into_iter().map(value)).collect();
                self.write(format!("{}\n", Value::Object(row)).as_bytes())
            }
        }
    }

    fn record(&mut self, fields: Vec<&str>) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(fields)?;
        self.write(&csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match &mut self.out {
            Out::Plain(out) => out.write_all(bytes)?,
            Out::Packed(out) => out.write_all(bytes)?,
        }
        Ok(())
    }

    /// What is packed is written when its block is full.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if let Out::Plain(out) = &mut self.out {
            out.flush()?;
        }
        Ok(())
    }

    /// The end of what is packed: without it, whoever unpacks it finds it broken off.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let mut out = match self.out {
            Out::Plain(out) => out,
            Out::Packed(out) => out.finish()?,
        };
        Ok(out.flush()?)
    }

    /// What the same would be called where it has no name yet.
    pub(super) fn name(&self) -> &'static str {
        match self.format {
            ExportFormat::Csv => "export.csv",
            ExportFormat::Jsonl => "export.jsonl",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;
    use crate::args::Wanted;

    fn options(file: &Path, format: Option<ExportFormat>) -> ExportOptions {
        ExportOptions { id: "terms".parse().unwrap(), outcome: Wanted::Accepted, format, output: Some(file.to_owned()) }
    }

    #[test]
    fn a_file_is_what_its_name_says_or_is_refused_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let (csv, json) = ("id,name\n7,\"A, n\"\n", "{\"id\":\"7\",\"name\":\"A, n\"}\n");
        for (name, expected) in
            [("a.csv", csv), ("a.jsonl", json), ("a.ndjson", json), ("a.b.csv.gz", csv), ("a.jsonl.gz", json), ("a.ndjson.gz", json)]
        {
            let file = directory.path().join(name);
            let mut table = Table::new(&options(&file, None), false).unwrap();
            table.head(["id", "name"].map(str::to_owned).to_vec()).unwrap();
            table.row(vec![Some("7"), Some("A, n")]).unwrap();
            table.flush().unwrap();
            table.end().unwrap();
            let (bytes, mut text) = (std::fs::read(&file).unwrap(), String::new());
            if name.strip_suffix(".gz").is_some() {
                MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            assert_eq!(text, expected, "{name}");
        }
        for (name, format, says) in [
            ("a.xlsx", None, "a.xlsx says neither CSV nor JSON Lines"),
            ("a", None, "a says neither CSV nor JSON Lines"),
            ("a.zip", Some(ExportFormat::Csv), "a.zip says neither"),
            ("a.tsv.gz", None, "a.tsv.gz says neither"),
            ("b.ndjson", Some(ExportFormat::Csv), "b.ndjson says something else than --format"),
            ("b.csv.gz", Some(ExportFormat::Jsonl), "b.csv.gz says something else than --format"),
        ] {
            let file = directory.path().join(name);
            let error = Table::new(&options(&file, format), false).err().unwrap();
            assert!(error.is::<Refused>() && error.to_string().contains(says), "{error}");
            assert!(!file.exists(), "{name}");
        }
        // A name goes before --json, and what has none goes by it.
        assert_eq!(Kind::of_file(&directory.path().join("c.csv"), None, true).unwrap().format, ExportFormat::Csv);
        assert_eq!(Kind::of_file(Path::new("/dev/null"), None, true).unwrap().format, ExportFormat::Jsonl);
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(ErrorKind::BrokenPipe.into())
            }
        }
        let mut table = Table { out: Out::Plain(Box::new(Reader(Gone))), format: ExportFormat::Csv, names: Vec::new() };
        table.head(vec!["id".to_owned()]).unwrap();
        table.row(vec![Some("7")]).unwrap();
        table.flush().unwrap();
        table.end().unwrap();
    }
}
