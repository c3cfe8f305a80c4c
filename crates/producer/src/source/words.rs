//! What a database's error says to people: where, what and what next, and never a value of a row. It is
//! kept in the ledger and logged.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::feed::Closed;

/// How long a connection may take to come about.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long the one statement that streams the audience may run in the customer's database.
pub(super) const STATEMENT: Duration = Duration::from_mins(15);
/// How long may pass without a row.
pub(super) const SILENCE: Duration = Duration::from_mins(2);

/// What kept an audience from being read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Refused(String),
    #[error("{place} can't be reached: {reason}; start the database, or correct host and port in the audience's URL")]
    Unreachable { place: String, reason: String },
    #[error("{0}")]
    Database(String),
    #[error("no row came for {} s; look what keeps the database busy, or give the query less to do", SILENCE.as_secs())]
    Silent,
    /// The spool takes no more, and tells why itself.
    #[error("the spool was closed")]
    Closed,
}

impl ReadError {
    pub(super) fn url(error: sqlx::Error) -> Self {
        Self::Refused(format!(
            "the audience's URL can't be parsed ({}); write SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in the password percent-encoded (@ as %40)",
            words(&error, Stage::NothingRun)
        ))
    }
}

impl From<Closed> for ReadError {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(words(&error, Stage::Running))
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(words_of_sqlite(&error))
    }
}

/// A connection, or who does not answer. That nobody listens is told at once.
pub(super) async fn within<T>(
    limit: Duration,
    place: &str,
    connecting: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ReadError> {
    let unreachable = |reason: String| ReadError::Unreachable { place: place.to_owned(), reason };
    match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(sqlx::Error::Io(error))) => Err(unreachable(error.to_string())),
        Ok(Err(error)) => Err(ReadError::Database(format!("{place} refuses the connection: {}", words(&error, Stage::NothingRun)))),
        Err(_) => Err(unreachable(format!("no answer for {} s", limit.as_secs()))),
    }
}

/// What is done before any statement runs that could read a row: beginning a transaction, preparing.
pub(super) async fn beforehand<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, ReadError> {
    let done = tokio::time::timeout(limit, work).await.map_err(|_| ReadError::Silent)?;
    done.map_err(|error| ReadError::Database(words(&error, Stage::NothingRun)))
}

pub(super) async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, ReadError> {
    Ok(tokio::time::timeout(limit, work).await.map_err(|_| ReadError::Silent)??)
}

/// Whether a statement of ours may have read a row, or run a function that somebody has written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connecting, beginning a transaction, preparing a statement: nothing is run.
    NothingRun,
    Running,
}

/// Classes of SQLSTATE whose messages name settings, tables and columns while nothing is run (PostgreSQL manual, appendix A):
/// connection, transaction state, authorization, catalogue, syntax and access rules, resources, limits, operator intervention,
/// system and configuration errors.
const SPEAKS_OF_NO_ROW: [&str; 14] = ["08", "0A", "25", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57", "58"];

/// Errors about the text of a statement, which say where in it: of a name, a type or the syntax. A function that is given a
/// value for a name (`CAST(email AS regclass)`) has the same codes, and no place in the statement.
const SPEAKS_OF_THE_STATEMENT: [&str; 19] = [
    "0A000", "42601", "42501", "42611", "42622", "42701", "42702", "42703", "42704", "42712", "42725", "42803", "42804", "42846", "42883",
    "42P01", "42P10", "42P18", "42P21",
];

/// Errors of a running statement whose messages are the server's own, with names of tables at most: rights, read-only
/// transactions, conflicts, resources, time limits and shutdowns.
const SPEAKS_OF_THE_SERVER: [&str; 16] = [
    "08P01", "25006", "25P03", "25P04", "40001", "40P01", "42501", "53100", "53200", "53300", "54001", "55P03", "57014", "57P01", "57P02",
    "57P03",
];

/// Errors of MySQL and MariaDB that speak of no row: connections, access, databases, tables, columns, syntax, locks, time limits
/// (MySQL, "Server Error Message Reference").
const MYSQL_SPEAKS_OF_NO_ROW: [u16; 24] = [
    1040, 1044, 1045, 1046, 1049, 1051, 1052, 1054, 1064, 1130, 1142, 1143, 1146, 1194, 1203, 1205, 1226, 1290, 1305, 1317, 1356, 1792,
    1969, 3024,
];

/// Whether an error of PostgreSQL speaks of no row. `RAISE` takes any code and any words, and what runs within a function has
/// its context.
fn speaks_of_no_row(error: &PgDatabaseError, stage: Stage) -> bool {
    let code = error.code();
    if error.r#where().is_some() {
        return false;
    }
    match (stage, error.position()) {
        // Within a statement that a function has made.
        (_, Some(PgErrorPosition::Internal { .. })) => false,
        (Stage::NothingRun, _) => SPEAKS_OF_NO_ROW.iter().any(|class| code.starts_with(class)),
        (Stage::Running, Some(PgErrorPosition::Original(_))) => SPEAKS_OF_THE_STATEMENT.contains(&code),
        (Stage::Running, None) => SPEAKS_OF_THE_SERVER.contains(&code),
    }
}

/// What to do about an error that is the server's state and not the statement's (PostgreSQL manual, appendix A; MySQL, "Server Error
/// Message Reference"; MariaDB, "MariaDB Error Codes"). Who raises such a code on purpose gets a step that does no harm.
fn next_step(code: &str) -> Option<String> {
    let told = match code {
        "55P03" | "1205" => {
            "somebody holds a lock on what is read, as a migration does: wait until that is over, or end it; it is tried again by itself"
        }
        "57014" | "1317" | "1969" | "3024" => {
            return Some(format!(
                "it ran for longer than {} min, or for longer than the server allows, or somebody has cancelled it: give the query less to do, or an index",
                STATEMENT.as_secs() / 60
            ));
        }
        "40001" | "40P01" | "1213" => {
            "it met with another transaction, or with what a standby replays (`max_standby_streaming_delay`): it is tried again by itself; where that stays so, read another server"
        }
        "42501" | "1044" | "1142" | "1143" => "grant the audience's user SELECT on what the query names",
        "53300" | "1040" | "1203" | "1226" => {
            "every connection is taken: it is tried again by itself; where that stays so, leave some for the audience's user"
        }
        "57P01" | "57P02" | "57P03" | "1053" => "it is starting or shutting down: it is tried again by itself",
        _ => return None,
    };
    Some(told.to_owned())
}

fn words(error: &sqlx::Error, stage: Stage) -> String {
    let code = match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
            // Its SQLSTATE is the same for most of them.
            Some(error) => Some(error.number().to_string()),
            None => error.code().map(std::borrow::Cow::into_owned),
        },
        _ => None,
    };
    let said = what(error, stage);
    match code.as_deref().and_then(next_step) {
        Some(step) => format!("{said}; {step}"),
        None => said,
    }
}

fn what(error: &sqlx::Error, stage: Stage) -> String {
    let hidden = |code: &str| {
        format!("the database refuses it with error {code}; its words are left out here, since they can quote a row: look into its log")
    };
    match error {
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                let code = error.code();
                if speaks_of_no_row(error, stage) {
                    format!("{} (SQLSTATE {code})", error.message())
                } else {
                    hidden(&format!("SQLSTATE {code}"))
                }
            } else if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
                let number = error.number();
                // `SIGNAL` takes any number and any words, and nothing tells it from the server's own.
                if stage == Stage::NothingRun && MYSQL_SPEAKS_OF_NO_ROW.contains(&number) {
                    format!("{} ({number})", error.message())
                } else {
                    hidden(&number.to_string())
                }
            } else {
                hidden(error.code().as_deref().unwrap_or("of its own"))
            }
        }
        sqlx::Error::Io(error) => format!("the connection broke ({error})"),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => "a value has a form that issei does not know".to_owned(),
        other => other.to_string(),
    }
}

/// How the messages of SQLite begin that speak of tables, columns and files.
const SQLITE_SPEAKS_OF_NO_ROW: [&str; 9] = [
    "no such",
    "near ",
    "unable to open",
    "ambiguous column",
    "file is not a database",
    "database is locked",
    "database disk image",
    "attempt to write",
    "incomplete input",
];

fn words_of_sqlite(error: &rusqlite::Error) -> String {
    let text = match error {
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.as_str(),
        _ => "",
    };
    if SQLITE_SPEAKS_OF_NO_ROW.iter().any(|begin| text.starts_with(begin)) {
        return text.to_owned();
    }
    let code = error.sqlite_error_code().map_or("of the driver".to_owned(), |code| format!("{code:?}"));
    format!("SQLite refuses it with error {code}; its words are left out here, since they can quote a row")
}
