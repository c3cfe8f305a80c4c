//! MySQL and MariaDB: one read-only transaction, one snapshot, one statement that streams.

use futures_util::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlTypeInfo};
use sqlx::{AssertSqlSafe, Column as _, Connection, Executor, MySql, Row as _, SqlSafeStr, Statement, Type, TypeInfo};

use super::double_quoted::DoubleQuoted;
use super::feed::Feed;
use super::outline::{ColumnOutline, TellsApart, literal};
use super::row::{RawKey, RawRow};
use super::select::{Select, refused_key};
use super::words::{CONNECT, SILENCE, STATEMENT, beforehand, in_time, within};
use super::{ReadError, Told};
use crate::audience::{AudienceConfig, From};

/// Types whose text is no identity: it depends on settings, or two texts are one value.
const NO_KEYS: [&str; 10] = ["BOOLEAN", "FLOAT", "DOUBLE", "DATE", "TIME", "DATETIME", "TIMESTAMP", "YEAR", "JSON", "GEOMETRY"];

/// How a column is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The server gives it in the connection's encoding, which is UTF-8.
    Text,
    /// Bytes that nothing says the encoding of.
    Binary,
    Bits,
    /// Numbers and the like, which the server makes text of.
    Other,
}

impl Kind {
    fn of(info: &MySqlTypeInfo) -> Self {
        // The type's name says `VARBINARY` of a text with a `_bin` collation, too; this looks at the collation.
        if <str as Type<MySql>>::compatible(info) {
            return Self::Text;
        }
        match info.name() {
            "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => Self::Binary,
            "BIT" => Self::Bits,
            _ => Self::Other,
        }
    }

    fn expression(self, column: &str) -> String {
        match self {
            Self::Text | Self::Binary => column.to_owned(),
            Self::Bits => format!("CAST({column} + 0 AS char)"),
            Self::Other => format!("CAST({column} AS char)"),
        }
    }
}

pub(super) async fn read(url: &str, from: &From, config: &AudienceConfig, feed: &mut Feed) -> Result<Told, ReadError> {
    let select = Select::of(from, config, '`');
    let mut connection = connect(url).await?;
    refuse_columns_as_texts(&mut connection, from, config, &select).await?;
    let plain = select.rows(&select.expressions(|column| column.expression.clone()));
    let prepared = beforehand(SILENCE, (&mut connection).prepare(AssertSqlSafe(plain).into_sql_str())).await?;
    let kinds: Vec<Kind> = prepared.columns().iter().map(|column| Kind::of(column.type_info())).collect();
    let key_type = prepared.columns().first().map(|column| column.type_info().name()).unwrap_or_default();
    let key_kind = kinds.first().copied().unwrap_or(Kind::Other);
    if let Some(key) = select.columns.first()
        && NO_KEYS.contains(&key_type)
    {
        return Err(ReadError::Refused(refused_key(key, key_type)));
    }
    let counted = count(&mut connection, select.count()).await?;
    feed.expects(counted);
    let expressions: Vec<String> = select.columns.iter().zip(&kinds).map(|(column, kind)| kind.expression(&column.expression)).collect();
    let mut rows = sqlx::query(AssertSqlSafe(select.rows(&expressions))).persistent(false).fetch(&mut connection);
    while let Some(row) = in_time(SILENCE, rows.try_next()).await? {
        let key = match bytes(&row, 0)? {
            Some(bytes) if key_kind == Kind::Binary => RawKey::binary(&bytes),
            key => RawKey::text(key),
        };
        let cells = (1..row.len()).map(|at| bytes(&row, at)).collect::<Result<_, _>>()?;
        feed.push(RawRow { key, cells }).await?;
    }
    drop(rows);
    let asked = match select.count_asked() {
        Some(asked) => Some(count(&mut connection, asked).await),
        None => None,
    };
    // One that is still at it is not waited for: it ends with the connection.
    if asked.as_ref().is_none_or(Result::is_ok) {
        end(connection).await;
    }
    Ok(Told::of_asked(counted, asked))
}

pub(super) async fn count_rows(url: &str, from: &From, config: &AudienceConfig) -> Result<u64, ReadError> {
    let select = Select::of(from, config, '`');
    let mut connection = connect(url).await?;
    refuse_columns_as_texts(&mut connection, from, config, &select).await?;
    let counted = count(&mut connection, select.count()).await?;
    end(connection).await;
    Ok(counted)
}

/// Nobody is read by a condition that compares the name of a column where it means the column. What is in double quotes and names none
/// may be a text that is meant, so it is only told.
async fn refuse_columns_as_texts(
    connection: &mut MySqlConnection,
    from: &From,
    config: &AudienceConfig,
    select: &Select,
) -> Result<(), ReadError> {
    if DoubleQuoted::all(from, config, true).is_empty() && DoubleQuoted::all(from, config, false).is_empty() {
        return Ok(());
    }
    let modes = all_rows(connection, "SELECT @@sql_mode".to_owned()).await?;
    let modes = modes.first().map(|row| shown(row, 0)).transpose()?.unwrap_or_default();
    let has_mode = |mode: &str| modes.split(',').any(|found| found == mode);
    if has_mode("ANSI_QUOTES") {
        return Ok(());
    }
    let prepared = beforehand(SILENCE, (&mut *connection).prepare(AssertSqlSafe(select.nobody()).into_sql_str())).await?;
    let names: Vec<String> = prepared.columns().iter().map(|column| column.name().to_lowercase()).collect();
    for quoted in DoubleQuoted::all(from, config, !has_mode("NO_BACKSLASH_ESCAPES")) {
        if names.contains(&quoted.text.to_lowercase()) {
            return Err(ReadError::Refused(quoted.refused()));
        }
        let DoubleQuoted { setting, text } = quoted;
        tracing::warn!(
            setting,
            text,
            "it stands in double quotes, so MySQL and MariaDB take it for a text; write '…' for a text, and `…` for a column"
        );
    }
    Ok(())
}

async fn connect(url: &str) -> Result<MySqlConnection, ReadError> {
    let url = url.strip_prefix("mariadb:").map_or(url.to_owned(), |rest| format!("mysql:{rest}"));
    let options: MySqlConnectOptions = url.parse::<MySqlConnectOptions>().map_err(ReadError::url)?;
    let options = options.statement_cache_capacity(0);
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let mut connection = within(CONNECT, &place, MySqlConnection::connect_with(&options)).await?;
    let begin = async {
        // MariaDB has the one, MySQL the other, each in its own unit.
        let mariadb = format!("SET SESSION max_statement_time = {}", STATEMENT.as_secs());
        if execute(&mut connection, mariadb).await.is_err() {
            execute(&mut connection, format!("SET SESSION max_execution_time = {}", STATEMENT.as_millis())).await?;
        }
        execute(&mut connection, "SET SESSION lock_wait_timeout = 10, SESSION wait_timeout = 60".to_owned()).await?;
        execute(&mut connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned()).await?;
        execute(&mut connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_owned()).await
    };
    beforehand(CONNECT, begin).await?;
    Ok(connection)
}

async fn execute(connection: &mut MySqlConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn count(connection: &mut MySqlConnection, statement: String) -> Result<u64, ReadError> {
    // What is wrong with names and syntax shows here, where nothing is run, so that it can be told in the server's words.
    beforehand(SILENCE, (&mut *connection).prepare(AssertSqlSafe(statement.clone()).into_sql_str())).await?;
    let query = sqlx::query_scalar(AssertSqlSafe(statement)).persistent(false);
    let counted: i64 = in_time(SILENCE, query.fetch_one(connection)).await?;
    Ok(counted.max(0).unsigned_abs())
}

fn bytes(row: &MySqlRow, at: usize) -> Result<Option<Vec<u8>>, ReadError> {
    Ok(row.try_get_unchecked::<Option<&[u8]>, _>(at)?.map(<[u8]>::to_vec))
}

async fn end(mut connection: MySqlConnection) {
    let ended = async {
        execute(&mut connection, "COMMIT".to_owned()).await?;
        connection.close().await
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "the database's connection did not end well, which harms nothing");
    }
}

pub(super) async fn tables(url: &str) -> Result<Vec<String>, ReadError> {
    let statement = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1";
    let mut connection = connect(url).await?;
    let rows = all_rows(&mut connection, statement.to_owned()).await?;
    end(connection).await;
    rows.iter().map(|row| shown(row, 0)).collect()
}

pub(super) async fn columns_of(url: &str, table: &str) -> Result<Vec<ColumnOutline>, ReadError> {
    let (schema, table) = match table.split_once('.') {
        Some((schema, table)) => (literal(schema), literal(table)),
        None => ("DATABASE()".to_owned(), literal(table)),
    };
    let statement = format!(
        "SELECT c.column_name, c.column_type, COALESCE((SELECT MIN(CASE WHEN s.index_name = 'PRIMARY' THEN 'primary' ELSE 'unique' END)
             FROM information_schema.statistics s WHERE s.table_schema = c.table_schema AND s.table_name = c.table_name
             AND s.column_name = c.column_name AND s.non_unique = 0 AND c.is_nullable = 'NO'
             AND (SELECT COUNT(*) FROM information_schema.statistics o WHERE o.table_schema = s.table_schema
                  AND o.table_name = s.table_name AND o.index_name = s.index_name) = 1), '')
         FROM information_schema.columns c WHERE c.table_schema = {schema} AND c.table_name = {table} ORDER BY c.ordinal_position"
    );
    let mut connection = connect(url).await?;
    let rows = all_rows(&mut connection, statement).await?;
    end(connection).await;
    let column = |row| Ok(ColumnOutline { name: shown(row, 0)?, kind: shown(row, 1)?, tells_apart: TellsApart::of(&shown(row, 2)?) });
    rows.iter().map(column).collect()
}

async fn all_rows(connection: &mut MySqlConnection, statement: String) -> Result<Vec<MySqlRow>, ReadError> {
    in_time(SILENCE, sqlx::query(AssertSqlSafe(statement)).persistent(false).fetch_all(connection)).await
}

fn shown(row: &MySqlRow, at: usize) -> Result<String, ReadError> {
    Ok(bytes(row, at)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
}
