//! `issei init`: a first `issei.toml`, from a look at the customer's table or file.
//!
//! What it proposes was tried: the first rows are read and judged as a producer reads and judges them. It writes
//! one file, overwrites none unasked, and no password ever stands in it.

mod looking;
mod propose;
mod text;

use std::collections::HashSet;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use issei_assembly::{ask, connected, say, say_warning};
use issei_aws::{Account, Clients, S3};
use issei_ledger::SkipReason;
use issei_producer::{
    AudienceConfig, ColumnOutline, FileKind, ReadAs, TellsApart, attributes_of, columns_of, each_mailable, first_line, first_line_in_s3,
    has_password, tables,
};
use issei_schema::{Address, BroadcastCommand, Recipient};
use serde_json::json;
use sha2::{Digest, Sha256};

use self::looking::Looking;
use self::propose::Proposal;
use crate::args::InitOptions;
use crate::commands::send::Skipped;
use crate::output;
use crate::{Ended, Refused};

/// Rows that are read of a database to try what is proposed: a page.
const PAGE: usize = 2_000;
/// Items that are read of a table of DynamoDB, each time, since reading all of it costs money.
const ITEMS: i32 = 500;

/// What an audience can be read from.
const SOURCES: &str = "a URL (postgres://…, mysql://…, sqlite:…, dynamodb://TABLE, s3://…) or a file (.csv, .jsonl)";
/// How every database of `SQLite` begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Where the audience is.
#[derive(Clone)]
enum Place {
    File {
        file: String,
        encoding: Option<String>,
        allow_broken_rows: bool,
    },
    S3 {
        url: String,
        encoding: Option<String>,
        allow_broken_rows: bool,
        client: S3,
    },
    DynamoDb {
        table: String,
        clients: Clients,
    },
    Database {
        url: String,
        /// The variable that holds the URL, where the URL must not stand in the file.
        variable: Option<String>,
        table: String,
    },
}

pub(crate) async fn run(options: &InitOptions, account: &Account, as_json: bool) -> anyhow::Result<Ended> {
    if options.output.exists() && !options.force {
        bail!(Refused(format!("{} is there already; --force overwrites it, or name another with --output", options.output.display())));
    }
    output::takes(&options.output, "the configuration")?;
    let (place, columns) = look(options, account).await?;
    let whole = place.audience(PAGE);
    let looking = Looking { name: options.name.as_str(), whole: &whole, columns: &columns };
    let (proposed, reasons) = looking.proposed().await;
    let Some(proposal) = proposed else {
        let tried = if reasons.is_empty() { "no column holds addresses, or is called so".to_owned() } else { reasons.join("; ") };
        bail!(
            "{}: no key and address can be proposed ({tried}); the columns are {}; write the file by hand (docs/configuration.md), or give a query that has them",
            place.name(),
            names(&columns).join(", ")
        );
    };
    let audience = AudienceConfig {
        key: proposal.key.clone(),
        address: proposal.address.clone(),
        columns: proposal.columns.clone(),
        filter: proposal.only_with.as_deref().map(attribute_exists),
        ..whole
    };
    let (mut mailable, mut again, mut addresses) = (0_u64, 0_u64, HashSet::new());
    let each = |recipient: Recipient| {
        // Less room than an address.
        let is_new = addresses.insert(<[u8; 32]>::from(Sha256::digest(recipient.address.identity())));
        *if is_new || !proposal.is_unique_by_address() { &mut mailable } else { &mut again } += 1;
    };
    let mut skipped = each_mailable(&trial(options.name.as_str(), &proposal)?, &audience, &std::env::temp_dir(), each).await?;
    if again > 0 {
        skipped.entry(SkipReason::DuplicateAddress).or_default().rows += again;
    }
    let text = text::written(options.name.as_str(), &place.seen_from(&options.output)?, &proposal);
    if output::is_standard(&options.output) {
        output::write(&options.output, "the configuration", &text)?;
    } else {
        write(&options.output, &text, options.force)?;
        issei_assembly::Settings::load(Some(&options.output), issei_assembly::Layer::default())
            .context("the file that was written can't be read; tell the authors of issei")?;
    }
    let skipped = Skipped::of(skipped);
    tell(options, &place, &proposal, mailable, &skipped, as_json);
    if mailable == 0 && !skipped.is_empty() {
        say_warning(&format!(
            "nobody of the audience that is proposed can be mailed, of all rows that were tried: correct key, address and columns in {}, or the data, before anything is sent",
            options.output.display()
        ));
        return Ok(Ended::Refused);
    }
    Ok(Ended::Well)
}

/// Finds the table or the file, and its columns.
async fn look(options: &InitOptions, account: &Account) -> anyhow::Result<(Place, Vec<ColumnOutline>)> {
    let (encoding, allow_broken_rows) = (options.encoding.clone(), options.allow_broken_rows);
    let read_as = ReadAs { encoding: encoding.clone(), allow_broken_rows };
    if options.source.as_ref().is_some_and(|source| source.trim().is_empty()) {
        bail!("the source is empty, as a variable of the shell is that is not set; give {SOURCES}");
    }
    if let Some(table) = options.source.as_ref().and_then(|source| source.strip_prefix("dynamodb://")) {
        let clients = connected(account).await;
        let columns = attributes_of(&clients, table, ITEMS).await.map_err(|error| {
            let region = clients.dynamodb.config().region().map_or("no region", |region| region.as_ref());
            let endpoint = account.endpoint_url.as_ref().map_or_else(String::new, |url| format!(" at {url}"));
            let region = format!("looked in {region}{endpoint}; another is named by --region, another account by --profile");
            anyhow::anyhow!("{error}; {region}")
        })?;
        if columns.is_empty() {
            bail!("the table `{table}` of DynamoDB has no item with an attribute that has a text; it may be empty, or another table");
        }
        return Ok((Place::DynamoDb { table: table.to_owned(), clients }, columns));
    }
    if let Some(url) = options.source.as_ref().filter(|source| source.starts_with("s3://")) {
        let clients = connected(account).await;
        let (name, line) = first_line_in_s3(url, &clients, read_as).await?;
        let columns = columns_in(&name, &line)?.into_iter().map(unsaid).collect();
        return Ok((Place::S3 { url: url.clone(), encoding, allow_broken_rows, client: clients.s3 }, columns));
    }
    if let Some(file) = options.source.as_ref().filter(|source| !source.contains("://") && !source.starts_with("sqlite:")) {
        if is_sqlite(Path::new(file)) {
            bail!("{file} is a database of SQLite; say so: issei init sqlite:{file}");
        }
        if FileKind::of(file).is_none() {
            bail!("{}", no_source(file));
        }
        let line = first_line(Path::new(file), &read_as).map_err(|reason| anyhow::anyhow!("{file}: {reason}"))?;
        let columns = columns_in(file, &line)?.into_iter().map(unsaid).collect();
        return Ok((Place::File { file: file.clone(), encoding, allow_broken_rows }, columns));
    }
    let of_variable = || {
        let url = std::env::var(&options.url_env).ok().filter(|url| !url.trim().is_empty());
        url.with_context(|| format!("no source is given, and the variable {} is not set, or is empty; give {SOURCES}", options.url_env))
    };
    let (url, variable) = match &options.source {
        Some(url) => (url.clone(), has_password(url).then(|| options.url_env.clone())),
        None => (of_variable()?, Some(options.url_env.clone())),
    };
    let table = match &options.users_table {
        Some(table) => table.clone(),
        None => chosen(&tables(&url).await?)?,
    };
    let columns = columns_of(&url, &table).await?;
    if columns.is_empty() {
        bail!("there is no table `{table}`, or it has no columns; the database has {}", tables(&url).await?.join(", "));
    }
    Ok((Place::Database { url, variable, table }, columns))
}

fn is_sqlite(path: &Path) -> bool {
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(SQLITE.len() as u64).read_to_end(&mut begin));
    read.is_ok() && begin == SQLITE
}

/// The only table, or the one that is chosen on a terminal.
fn chosen(tables: &[String]) -> anyhow::Result<String> {
    let list = tables.join(", ");
    match tables {
        [] => bail!("the database shows no table to this user; grant SELECT, or check the database's name in the URL"),
        [only] => return Ok(only.clone()),
        _ if !std::io::stdin().is_terminal() => bail!("the database has several tables: {list}; name the users' with --users-table"),
        _ => {}
    }
    say(&format!("tables: {list}"));
    ask("Which table holds the users? ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    let answer = answer.trim();
    tables.iter().find(|table| *table == answer).cloned().with_context(|| format!("there is no table `{answer}`; the database has {list}"))
}

fn unsaid(name: String) -> ColumnOutline {
    ColumnOutline { name, kind: String::new(), tells_apart: TellsApart::Unsaid }
}

fn no_source(file: &str) -> String {
    format!("{file} is no database's URL, and as a file {}", FileKind::none_of(file))
}

/// The columns of a file, from its first line.
fn columns_in(file: &str, line: &str) -> anyhow::Result<Vec<String>> {
    let line = line.trim_start_matches('\u{feff}');
    match FileKind::of(file) {
        Some(FileKind::Csv) => {
            let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let header = csv.records().next().transpose()?.with_context(|| format!("{file} is empty"))?;
            if let (1, Some(other)) = (header.len(), [';', '\t', '|'].into_iter().find(|other| line.contains(*other))) {
                bail!("{file}: its columns are separated by {other:?} and not by commas; save it as a CSV with commas");
            }
            // Somebody's row, of which nothing is shown.
            if header.iter().any(|name| Address::quoting_legacy(name).is_ok()) {
                bail!(
                    "{file}: its first line holds an address, so it is no header line; put one with the columns' names before it, such as id,email,name"
                );
            }
            // As whoever reads it finds them.
            Ok(header.iter().map(|name| name.trim().to_owned()).collect())
        }
        Some(FileKind::Json) => {
            let first: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(line).with_context(|| format!("the first line of {file} is no object"))?;
            Ok(first.keys().cloned().collect())
        }
        None => bail!("{}", no_source(file)),
    }
}

impl Place {
    /// Without key, address and columns, and of a database no more than `most` rows.
    fn audience(&self, most: usize) -> AudienceConfig {
        match self {
            Self::File { file, encoding, allow_broken_rows } => AudienceConfig {
                file: Some(file.clone()),
                encoding: encoding.clone(),
                allow_broken_rows: *allow_broken_rows,
                ..AudienceConfig::default()
            },
            Self::S3 { url, encoding, allow_broken_rows, client } => AudienceConfig {
                s3: Some(url.clone()),
                s3_client: Some(client.clone()),
                encoding: encoding.clone(),
                allow_broken_rows: *allow_broken_rows,
                ..AudienceConfig::default()
            },
            Self::DynamoDb { table, clients } => {
                let mut audience =
                    AudienceConfig { dynamodb_table: Some(table.clone()), dynamodb_most: Some(ITEMS), ..AudienceConfig::default() };
                audience.read_by(clients);
                audience
            }
            Self::Database { url, table, .. } => {
                let quote = if url.starts_with("mysql:") || url.starts_with("mariadb:") { '`' } else { '"' };
                let quoted = |name: &str| format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")));
                let table = table.split('.').map(quoted).collect::<Vec<_>>().join(".");
                AudienceConfig {
                    url_at_hand: Some(url.clone()),
                    query: Some(format!("SELECT * FROM {table} LIMIT {most}")),
                    ..AudienceConfig::default()
                }
            }
        }
    }

    /// As a file at `output` must name it: what it names by a relative path stands in its own folder.
    fn seen_from(&self, output: &Path) -> anyhow::Result<Self> {
        let is_here = output::is_standard(output) || output.parent().is_none_or(|folder| folder.as_os_str().is_empty());
        let absolute = |path: &str| anyhow::Ok(std::path::absolute(path)?.display().to_string());
        Ok(match self {
            Self::File { file, encoding, allow_broken_rows } if !is_here => {
                Self::File { file: absolute(file)?, encoding: encoding.clone(), allow_broken_rows: *allow_broken_rows }
            }
            Self::Database { url, variable, table } if !is_here => {
                let path = url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
                let url = match path {
                    // A folder's name could end the path of a URL.
                    Some(path) if !path.starts_with([':', '/', '?']) => format!("sqlite://{}/{path}", escaped(&absolute(".")?)),
                    _ => url.clone(),
                };
                Self::Database { url, variable: variable.clone(), table: table.clone() }
            }
            other => other.clone(),
        })
    }

    fn name(&self) -> String {
        match self {
            Self::File { file, .. } => format!("file {file}"),
            Self::S3 { url, .. } => url.clone(),
            Self::DynamoDb { table, .. } => format!("table `{table}` of DynamoDB"),
            Self::Database { table, .. } => format!("table `{table}`"),
        }
    }
}

/// The items that have this attribute.
fn attribute_exists(name: &str) -> String {
    format!("attribute_exists({name})")
}

fn escaped(folder: &str) -> String {
    folder.replace('%', "%25").replace('?', "%3F")
}

fn names(columns: &[ColumnOutline]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// A command that needs every proposed column of every row.
fn trial(audience: &str, proposal: &Proposal) -> anyhow::Result<BroadcastCommand> {
    let text = proposal.columns.iter().map(|column| format!("{{{{{column}}}}}")).collect::<Vec<_>>().join(" ");
    let body = json!({
        "version": 1, "broadcast_id": "proposed", "audience": audience, "from": "no-reply@example.com", "max_recipients": 1,
        "content": { "inline": { "subject": "a trial", "text": format!(". {text}") } },
        "not_after": "2000-01-01T00:00:00Z", "requested_by": "issei init",
    });
    Ok(BroadcastCommand::parse(&body.to_string())?)
}

fn write(path: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let mut options = File::options();
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = options.write(true).open(path).with_context(|| format!("{} can't be written", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{} can't be written", path.display()))
}

fn tell(options: &InitOptions, place: &Place, proposal: &Proposal, mailable: u64, skipped: &[Skipped], as_json: bool) {
    let others: u64 = skipped.iter().map(Skipped::rows).sum();
    let Proposal { key, address, columns, addressed, not_keys, unnameable, .. } = proposal;
    let is_unique = proposal.is_unique_by_address();
    let file = options.output.display().to_string();
    if as_json {
        let told = json!({
            "file": file, "audience": options.name, "key": key, "address": address, "columns": columns,
            "different_addresses": addressed.counts.different, "unique_by": is_unique.then_some("address"), "not_keys": not_keys,
            "left_out": unnameable,
            "mailable": mailable, "not_mailable": others,
            "skipped": skipped, "items_at_most": matches!(place, Place::DynamoDb { .. }).then_some(ITEMS),
        });
        say(&told.to_string());
        return;
    }
    say(&format!("audience       {}: {}", options.name, place.name()));
    say(&format!("key            {key}: {}", proposal.key_reason));
    not_keys.iter().for_each(|why| say(&format!("no key         {why}")));
    say(&format!("address        {address}: {}", proposal.address_reason));
    let unique = if is_unique && key != address { "; each is mailed once (unique_by), which is for you to change" } else { "" };
    say(&format!("addresses      {}{unique}", addressed.told()));
    let none = "none that is sure to belong in a letter; those that a content may name have the letters A to Z, digits and `_`";
    say(&format!("columns        {}", if columns.is_empty() { none.to_owned() } else { columns.join(", ") }));
    if !unnameable.is_empty() {
        say(&format!("left out       {}. {}", unnameable.join(", "), text::NOT_NAMEABLE));
    }
    say(&format!("tried          {} rows: {mailable} can be mailed, {others} can't", mailable + others));
    if let Place::DynamoDb { .. } = place {
        say(&format!("               of one page of the table, {ITEMS} items at most: `issei send --dry-run` reads all of it"));
    }
    Skipped::print(skipped);
    say(&format!("written        {file}; look it through"));
    if let Place::Database { variable: Some(variable), .. } = place {
        say(&format!("               the URL is not in it: set the variable {variable}, wherever a producer or `issei send` runs"));
    }
    say("next           issei try COMMAND, which needs no AWS; then issei setup, and issei send --dry-run COMMAND");
}
