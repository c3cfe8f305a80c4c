//! Reading an audience: once, in one snapshot, into a spool that has its own order.
//!
//! What a source says is never compared by its own rules: rows come in any order, and their keys are bytes.

mod copied;
mod double_quoted;
mod dynamodb;
mod dynamodb_filter;
mod feed;
mod file;
#[cfg(feature = "simulation")]
mod memory;
mod mysql;
mod outline;
mod postgres;
mod progress;
mod rehearsal;
mod row;
mod s3;
mod select;
mod spool;
mod sqlite;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use issei_ledger::{FixedObjects, Page, Reading};
use issei_schema::{BroadcastCommand, BroadcastId, Canary, Choice};

use self::feed::{Feed, Filling};
use self::spool::{Counts, Spool, SpoolError};
use self::words::ReadError;
use crate::audience::{AudienceConfig, Place, UniqueBy};
pub(crate) use dynamodb::Table;
pub(crate) use file::Data;
pub use file::{CsvList, CsvRow, FileKind, NoCsvRow, ReadAs, first_line};
#[cfg(feature = "simulation")]
pub use memory::MemoryTable;
pub use outline::{AddressCounts, ColumnOutline, FirstLook, Sample, TellsApart, attributes_of, columns_of, first_line_in_s3, tables};
pub use progress::{Progress, Stage};
pub use rehearsal::REHEARSAL_PREFIX;
pub(crate) use rehearsal::size_of;
pub(crate) use row::{Cell, Flaw, Row, quotable};
pub use s3::ReadObjects;
pub(crate) use s3::{Address, Objects};
pub(crate) use spool::{Mailed, Spooled, identity_of};

/// What is wrong with a source of an audience. It quotes no value of a row, for it is logged and kept in
/// the ledger.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("audience `{audience}`: {reason}")]
    Config { audience: String, reason: String },
    #[error("audience `{audience}`: {reason}; check the audience's URL, table, key, address, columns and filter")]
    Database { audience: String, reason: String },
    #[error("audience `{audience}`, file {file}: {reason}")]
    File { audience: String, file: String, reason: String },
    #[error(
        "audience `{audience}`: {read} rows were read, and the database counts {counted} in the same snapshot; nothing more is frozen; a table that knows no snapshots (MyISAM) or a query that is not the same twice (RAND(), LIMIT without ORDER BY) can do that"
    )]
    Differs { audience: String, read: u64, counted: u64 },
    #[error(
        "audience `{audience}`: of {looked} users whom an earlier reading of it has frozen, this one lacks {gone}, or has them under other keys or addresses; nothing more is frozen, for whoever went on would mail some twice and others never; stop this broadcast, give the audience a key that is the same whenever it is read (no random value, no number of a row), and send it in a new command, with a new broadcast_id; where the database is behind or half filled, it goes on once that is over"
    )]
    Strayed { audience: String, looked: u64, gone: u64 },
    #[error(
        "audience `{audience}`: its setting {settings} is not what it was when the first page was frozen: another producer has another section, or it was changed since; nothing more is frozen, for whoever went on could mail some twice and others never; give every producer the section of before, and it goes on, or stop this broadcast and send it in a new command, with a new broadcast_id"
    )]
    OtherSection { audience: String, settings: String },
    #[error(
        "audience `{audience}`: its file is not what it was when the first page was frozen: another was written in its place, or another producer has another; nothing more is frozen, for whoever went on could leave out those who came, and mail some who are gone; put the file back as it was, the same on every producer, and it goes on, or stop this broadcast (nothing of it was sent) and send it in a new command, with a new broadcast_id"
    )]
    OtherFile { audience: String },
    #[error(
        "audience `{audience}`: {rows} of its rows are of users whom `{of}`, for whose missed it is, has accepted or in doubt; they would be mailed twice, so nothing is frozen and nothing was sent; its list was edited since `issei resend` wrote it: `issei send COMMAND --dry-run` names three of them, and once their rows are out of the list it goes on, or stop this broadcast"
    )]
    SentBefore { audience: String, of: BroadcastId, rows: u64 },
    #[error("audience `{audience}`: {reason}")]
    Spool { audience: String, reason: String },
    /// Of a first look, before there is an audience.
    #[error("{0}")]
    Outline(String),
}

/// How far an audience has been gone through: those whom a canary chooses first, in the order of their keys, and then
/// the others in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) in_canary: bool,
    pub(crate) after: Option<String>,
}

/// Keys that are read from the spool at once where only some of them are wanted.
const SIFTED: usize = 2_000;

/// So many of those who are frozen may be gone from a later reading, or one in a hundred of them where that is more.
const GONE_MAX: u64 = 10;

/// What a source says of all of it, at its end.
#[derive(Clone, Debug)]
struct Told {
    /// Rows that are the audience's.
    counted: u64,
    /// Rows of those who were asked and have not agreed; nothing where nobody was, or that can't be told.
    left_out: Option<u64>,
    /// Of a file, what it was.
    digest: Option<String>,
    /// Of S3, which objects.
    objects: Option<ReadObjects>,
}

impl Told {
    fn of(counted: u64) -> Self {
        Self { counted, left_out: None, digest: None, objects: None }
    }

    /// Of so many who were asked. Nothing is decided by that, so where it can't be told nothing else is lost.
    fn of_asked(counted: u64, asked: Option<Result<u64, ReadError>>) -> Self {
        let asked = asked.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "how many were left out, since they want no marketing, can't be counted; who was read is whole");
            None
        });
        Self { left_out: asked.map(|asked| asked.saturating_sub(counted)), ..Self::of(counted) }
    }
}

/// An audience that was read.
pub(crate) struct Source {
    audience: String,
    spool: Spool,
    /// Whom the canary chooses of it, where it does.
    choice: Option<(BroadcastId, Choice)>,
    counts: Counts,
    told: Told,
    id: String,
    unique_addresses: bool,
    section: BTreeMap<String, String>,
    /// Frozen pages whose recipients the spool knows, where each address is mailed once.
    pub(crate) known_pages: u32,
    /// How often addresses of frozen pages have been noted here to be counted.
    pub(crate) looks: u32,
}

impl Source {
    /// Reads everybody into a spool in the directory `spool_dir`. `id` tells this reading from others.
    pub(crate) async fn read(
        audience: &str,
        config: &AudienceConfig,
        spool_dir: &Path,
        id: String,
        progress: &Progress,
    ) -> Result<Self, SourceError> {
        if config.key_type.is_some() {
            tracing::warn!(audience, "`key_type` is ignored, for keys are compared by their bytes; take it out of the configuration");
        }
        #[cfg(feature = "simulation")]
        if let Some(table) = &config.memory {
            let copied = config.copy.as_ref().map(|copy| memory::holding(std::iter::once(copied::row(copy, &config.columns))));
            let spool = Spool::Memory(copied.unwrap_or_else(|| table.spooled()));
            let told = Told::of(spool.counts().rows);
            return Self::of(audience, spool, told, id, config);
        }
        let place = match (&config.copy, config.rehearsal) {
            (Some(copy), _) => Place::Copy(copy.clone()),
            (None, Some(size)) => Place::Rehearsal(size, config.rehearsed_at()),
            (None, None) => config.place(audience)?,
        };
        let address_is_user = config.unique_by == Some(UniqueBy::Address);
        let (feed, filling) = Filling::begin(spool_dir.to_owned(), config.columns.len(), address_is_user, progress.clone());
        let read = read(&place, config, feed).await;
        let of_spool = |error: SpoolError| SourceError::Spool { audience: audience.to_owned(), reason: error.to_string() };
        match read {
            Ok(told) => {
                let spool = filling.whole().await.map_err(of_spool)?;
                progress.is_read();
                let Counts { repeated, refused, .. } = spool.counts();
                let repeated = repeated + refused;
                if repeated > 0 && matches!(place, Place::DynamoDb(_)) && !config.is_first_look {
                    return Err(SourceError::Config { audience: audience.to_owned(), reason: several_items(&config.key, repeated) });
                }
                Self::of(audience, spool, told, id, config)
            }
            // What closed it is the cause.
            Err(ReadError::Closed) => Err(of_spool(filling.whole().await.err().unwrap_or(SpoolError::Ended))),
            Err(error) => Err(failed(audience, &place, &error)),
        }
    }

    fn of(audience: &str, spool: Spool, told: Told, id: String, config: &AudienceConfig) -> Result<Self, SourceError> {
        let (audience, counts) = (audience.to_owned(), spool.counts());
        if counts.rows != told.counted {
            return Err(SourceError::Differs { audience, read: counts.rows, counted: told.counted });
        }
        let unique_addresses = config.unique_by == Some(UniqueBy::Address);
        let section = config.section();
        Ok(Self { audience, spool, choice: None, counts, told, id, unique_addresses, section, known_pages: 0, looks: 0 })
    }

    /// The same, in the order in which the command's recipients are sent to.
    pub(crate) fn for_command(self, command: &BroadcastCommand) -> Self {
        let choice = command.canary.as_ref().and_then(Canary::choice);
        Self { choice: choice.map(|choice| (command.broadcast_id.clone(), choice.clone())), ..self }
    }

    /// Where it begins.
    pub(crate) fn beginning(&self) -> Cursor {
        Cursor { in_canary: self.choice.is_some(), after: None }
    }

    /// Tells this reading from others.
    pub(crate) fn id(&self) -> &String {
        &self.id
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Rows of those who were asked and do not want it; nothing where nobody was, or that is not known.
    pub(crate) fn left_out(&self) -> Option<u64> {
        self.told.left_out
    }

    /// Of an audience in S3, what it was read from.
    pub(crate) fn objects(&self) -> Option<&ReadObjects> {
        self.told.objects.as_ref()
    }

    /// Compares this reading with what another has frozen: people with their keys and addresses, as they are compared.
    pub(crate) async fn agrees_with(&self, frozen: Vec<(String, String)>) -> Result<(), SourceError> {
        let looked = frozen.len() as u64;
        let gone = self.spool.lacking(frozen).await.map_err(|error| self.failed(&error))?;
        // Single ones come and go, and change their address.
        if gone > GONE_MAX && gone * 100 > looked {
            return Err(SourceError::Strayed { audience: self.audience.clone(), looked, gone });
        }
        Ok(())
    }

    /// Compares the audience's section, and the file that it was read from, with those of another reading.
    pub(crate) fn is_of(&self, before: &Reading) -> Result<(), SourceError> {
        self.has_section(before)?;
        // An older build, which told none, is believed.
        if before.digest.is_some() && before.digest != self.told.digest {
            return Err(SourceError::OtherFile { audience: self.audience.clone() });
        }
        Ok(())
    }

    fn has_section(&self, before: &Reading) -> Result<(), SourceError> {
        let Some(before) = &before.section else { return Ok(()) };
        let names: BTreeSet<&String> = before.keys().chain(self.section.keys()).collect();
        let other: Vec<&str> = names.into_iter().filter(|name| before.get(*name) != self.section.get(*name)).map(String::as_str).collect();
        if other.is_empty() {
            return Ok(());
        }
        Err(SourceError::OtherSection { audience: self.audience.clone(), settings: other.join(", ") })
    }

    /// What the ledger keeps of it.
    pub(crate) fn reading(&self) -> Reading {
        let Counts { rows, without_key, repeated, differing, trimmed, .. } = self.counts;
        let Told { counted, left_out, digest, .. } = self.told.clone();
        let (id, trimmed, differing) = (self.id.clone(), Some(trimmed), Some(differing));
        let unique_addresses = Some(self.unique_addresses);
        let section = Some(self.section.clone());
        Reading { id, rows, counted, without_key, repeated, differing, trimmed, unique_addresses, section, left_out, digest, readings: 1 }
    }

    /// The next keys, of one part of the audience; none only where there is no more. The cursor is left in their part.
    pub(crate) async fn page(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Spooled>, SourceError> {
        let Some((id, choice)) = &self.choice else { return self.spooled(cursor.after.as_deref(), limit).await };
        if cursor.in_canary {
            let chosen = self.sifted(cursor.after.clone(), limit, |key| choice.holds(id, key)).await?;
            if !chosen.is_empty() {
                return Ok(chosen);
            }
            *cursor = Cursor::default();
        }
        self.sifted(cursor.after.clone(), limit, |key| !choice.holds(id, key)).await
    }

    /// The next keys after `after` that are wanted.
    async fn sifted(&self, mut after: Option<String>, limit: usize, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Spooled>, SourceError> {
        let mut wanted = Vec::new();
        while wanted.len() < limit.max(1) {
            let page = self.spooled(after.as_deref(), limit.max(SIFTED)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.row.key.clone());
            let room = limit.max(1) - wanted.len();
            wanted.extend(page.into_iter().filter(|spooled| is_wanted(&spooled.row.key)).take(room));
        }
        Ok(wanted)
    }

    /// The rows of a key that come after this one, in their order.
    pub(crate) async fn rows_after(&self, row: &Row) -> Result<Vec<Row>, SourceError> {
        self.spool.rows_after(row, SIFTED).await.map_err(|error| self.failed(&error))
    }

    /// The next keys after `after`, in the order of their bytes, whomever the canary chooses.
    pub(crate) async fn spooled(&self, after: Option<&str>, limit: usize) -> Result<Vec<Spooled>, SourceError> {
        self.spool.page(after, limit.max(1)).await.map_err(|error| self.failed(&error))
    }

    /// Which of these addresses frozen pages mail, and under which key.
    pub(crate) async fn mailed(&self, addresses: Vec<String>) -> Result<Mailed, SourceError> {
        self.spool.mailed(addresses).await.map_err(|error| self.failed(&error))
    }

    /// Whom a page mails.
    pub(crate) fn mailed_by(page: &Page) -> Mailed {
        page.known_recipients().map(|recipient| (recipient.address.identity(), recipient.key.as_str().to_owned())).collect()
    }

    /// Notes whom the next frozen page mails.
    pub(crate) async fn note_mailed(&mut self, page: &Page) -> Result<(), SourceError> {
        self.note(Self::mailed_by(page)).await?;
        self.known_pages = page.seq + 1;
        Ok(())
    }

    pub(crate) async fn note(&mut self, mailed: BTreeMap<String, String>) -> Result<(), SourceError> {
        let noted = self.spool.note_mailed(mailed).await;
        noted.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &SpoolError) -> SourceError {
        SourceError::Spool { audience: self.audience.clone(), reason: error.to_string() }
    }
}

/// Where a sort key tells what an item is, items of one key are likelier to be two things than one user.
#[must_use]
pub fn several_items(key: &str, repeated: u64) -> String {
    format!(
        "{repeated} items of the table have a value of {key:?} that another item has too, so that it does not tell users apart; name an attribute that does, or leave the other items out by `filter` (where a sort key says what an item is, by that)"
    )
}

fn failed(audience: &str, place: &Place, error: &ReadError) -> SourceError {
    let (audience, reason) = (audience.to_owned(), error.to_string());
    match place {
        Place::File(file) => SourceError::File { audience, file: file.clone(), reason },
        Place::S3(objects) => SourceError::File { audience, file: objects.address.url().to_owned(), reason },
        Place::Database { .. } | Place::DynamoDb(_) | Place::Rehearsal(..) | Place::Copy(_) => SourceError::Database { audience, reason },
    }
}

/// Reads rows into `feed`, and gives what the source says of them.
async fn read(place: &Place, config: &AudienceConfig, mut feed: Feed) -> Result<Told, ReadError> {
    match place {
        Place::Database { url, from } if is_postgres(url) => {
            let told = postgres::read(url, from, config, &mut feed).await?;
            feed.end().await;
            Ok(told)
        }
        Place::Database { url, from } if is_mysql(url) => {
            let told = mysql::read(url, from, config, &mut feed).await?;
            feed.end().await;
            Ok(told)
        }
        Place::Database { url, from } if url.starts_with("sqlite:") => {
            let (url, from, config) = (url.clone(), from.clone(), config.clone());
            blocking(feed, move |feed| sqlite::read(&url, &from, &config, feed)).await
        }
        Place::Database { .. } => Err(no_such_database()),
        Place::DynamoDb(table) => {
            let told = dynamodb::read(table, config, &mut feed).await?;
            feed.end().await;
            Ok(told)
        }
        Place::S3(objects) => objects.clone().read(config.clone(), feed).await,
        Place::File(file) => {
            let (file, config) = (file.clone(), config.clone());
            blocking(feed, move |feed| file::read(&file, &config, feed)).await
        }
        Place::Rehearsal(size, at) => {
            let (size, at) = (*size, *at);
            blocking(feed, move |feed| rehearsal::read(size, at, feed).map(Told::of)).await
        }
        Place::Copy(copy) => {
            let (copy, columns) = (copy.clone(), config.columns.clone());
            blocking(feed, move |feed| copied::read(&copy, &columns, feed).map(Told::of)).await
        }
    }
}

async fn blocking(mut feed: Feed, work: impl FnOnce(&mut Feed) -> Result<Told, ReadError> + Send + 'static) -> Result<Told, ReadError> {
    let read = tokio::task::spawn_blocking(move || {
        let told = work(&mut feed)?;
        feed.end_blocking();
        Ok(told)
    });
    read.await.map_err(|_| ReadError::Closed)?
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

fn is_mysql(url: &str) -> bool {
    url.starts_with("mysql:") || url.starts_with("mariadb:")
}

fn no_such_database() -> ReadError {
    ReadError::Refused("the URL begins with none of postgres:, mysql: and sqlite:".to_owned())
}

/// The objects of S3 that an audience is read from, in the states that they have now; nothing for every other audience.
pub(crate) async fn objects_of(audience: &str, config: &AudienceConfig) -> Result<Option<FixedObjects>, SourceError> {
    if config.s3.is_none() {
        return Ok(None);
    }
    let place = config.place(audience)?;
    let Place::S3(objects) = &place else { return Ok(None) };
    let found = objects.find().await.map_err(|error| failed(audience, &place, &error))?;
    Ok(Some(FixedObjects::of(objects.address.url().to_owned(), found)))
}

/// How many rows an audience has now, without reading those of a database.
pub async fn count_rows(audience: &str, config: &AudienceConfig) -> Result<u64, SourceError> {
    if let Some(size) = config.rehearsal {
        return Ok(size);
    }
    let place = config.place(audience)?;
    let counted = match &place {
        Place::Rehearsal(size, _) => Ok(*size),
        Place::Copy(_) => Ok(1),
        Place::Database { url, from } if is_postgres(url) => postgres::count_rows(url, from, config).await,
        Place::Database { url, from } if is_mysql(url) => mysql::count_rows(url, from, config).await,
        Place::Database { url, from } if url.starts_with("sqlite:") => sqlite::count_rows(url, from, config),
        Place::Database { .. } => Err(no_such_database()),
        Place::DynamoDb(table) => dynamodb::count_rows(table, config).await,
        Place::S3(objects) => objects.clone().count_rows(config.clone()).await,
        Place::File(file) => file::count_rows(file, config),
    };
    counted.map_err(|error| failed(audience, &place, &error))
}
