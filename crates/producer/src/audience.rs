//! What the configuration says of an audience.

use std::collections::{BTreeMap, BTreeSet};

use issei_aws::{Clients, S3};
use issei_ledger::FixedObjects;
use issei_provider::{Facts, Rehearsed};
use issei_schema::{BroadcastCommand, Class, Placeholder, TestCopy, UNSUBSCRIBE_PLACEHOLDER, Unsubscribe};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::SourceError;
use crate::source::{Address, Objects, Table, size_of};

/// Where an audience comes from. A command names it; SQL stands here and nowhere else.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceConfig {
    /// A database: `postgres://…`, `mysql://…` (MariaDB too) or `sqlite:PATH`. Never with a
    /// password in it; for that, use `url_env`.
    #[serde(default)]
    pub url: Option<String>,
    /// The environment variable that holds the database's URL.
    #[serde(default)]
    pub url_env: Option<String>,
    /// A file instead of a database: `.csv` with a header line, or `.jsonl` with an object a line; with `.gz` behind it
    /// where it is packed.
    #[serde(default)]
    pub file: Option<String>,
    /// A table of DynamoDB instead, in the account and region that issei works in. Its attributes are the columns.
    #[serde(default)]
    pub dynamodb_table: Option<String>,
    /// Objects of S3 instead, read as files are: `s3://BUCKET/KEY`, or all whose keys begin alike, such as
    /// `s3://BUCKET/users/`. In the region that issei works in.
    #[serde(default)]
    pub s3: Option<String>,
    /// The table, `schema.table` where it needs one.
    #[serde(default)]
    pub table: Option<String>,
    /// A query instead of a table. It is read as a subquery, so it must give the columns by name.
    #[serde(default)]
    pub query: Option<String>,
    /// The key column: unique, never changed, and what tells one user from another.
    pub key: String,
    /// Read and ignored: keys are compared by their bytes, whatever their type.
    #[serde(default)]
    pub key_type: Option<KeyType>,
    /// The column with the mail address.
    pub address: String,
    /// The columns that the content's placeholders may name.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What becomes of addresses such as `a..b@` and `a.@`, which carriers in Japan gave out until 2009, and of such with a blank in
    /// quotes (`"john smith"@`): `skip`, or `quote`, which mails them in the quoted form that RFC 5321 has for them (section 4.1.2).
    #[serde(default)]
    pub legacy_local_parts: LegacyLocalParts,
    /// A condition in SQL, such as `deleted_at IS NULL`; of a table of DynamoDB a filter expression without values, such as
    /// `attribute_not_exists(deleted_at)`.
    #[serde(default)]
    pub filter: Option<String>,
    /// What a broadcast of class `marketing` needs of a database: a condition in SQL, beside `filter`, that holds for
    /// whoever wants such mail, such as `newsletter = true`. Broadcasts of other classes don't ask for it.
    #[serde(default)]
    pub marketing_filter: Option<String>,
    /// What a broadcast of class `marketing` needs of a file, of objects of S3, or of a table of DynamoDB: the column that holds `true`, `yes` or `1` for whoever
    /// wants such mail. Anything else, or nothing, is a no, also for the other rows of its key, and with `unique_by` of its address. Broadcasts of other classes don't ask for it.
    #[serde(default)]
    pub consent_column: Option<String>,
    /// `address` mails each address once: of its keys the first that can be mailed, in the order of bytes. The
    /// others are skipped as `duplicate_address`. Without it, each key is a user.
    #[serde(default)]
    pub unique_by: Option<UniqueBy>,
    /// The encoding of the file, or of the objects, by a label of the Encoding Standard such as `shift_jis`. UTF-8 where none is given.
    #[serde(default)]
    pub encoding: Option<String>,
    /// Skips lines of the file, or of the objects, that can't be read, and records them, instead of refusing the file.
    #[serde(default)]
    pub allow_broken_rows: bool,
    /// Instead of `url` and `url_env`, a URL that stands in no file, with its password.
    #[serde(skip)]
    #[schemars(skip)]
    pub url_at_hand: Option<String>,
    /// Who reads the table of DynamoDB.
    #[serde(skip)]
    #[schemars(skip)]
    pub dynamodb: Option<aws_sdk_dynamodb::Client>,
    /// Of it no more than one page of so many items, for a first look.
    #[serde(skip)]
    #[schemars(skip)]
    pub dynamodb_most: Option<i32>,
    /// Whoever reads it looks for a key: nothing of a table is refused for items that are of several kinds.
    #[serde(skip)]
    #[schemars(skip)]
    pub is_first_look: bool,
    /// Who reads the objects of S3, and which ones where that is fixed.
    #[serde(skip)]
    #[schemars(skip)]
    pub s3_client: Option<S3>,
    #[serde(skip)]
    #[schemars(skip)]
    pub fixed: Option<FixedObjects>,
    /// Of a database, only those for whom this condition holds, too.
    #[serde(skip)]
    #[schemars(skip)]
    pub wanting: Option<String>,
    /// Of a file, of objects, or of a table of DynamoDB, only those for whom this column says yes.
    #[serde(skip)]
    #[schemars(skip)]
    pub consenting: Option<String>,
    /// Instead of all of these, so many recipients of a rehearsal.
    #[serde(skip)]
    #[schemars(skip)]
    pub rehearsal: Option<u64>,
    /// Their addresses, where another provider than SES carries it.
    #[serde(skip)]
    #[schemars(skip)]
    pub rehearsed: Option<Rehearsed>,
    /// Instead of all of these, the one row of a copy.
    #[serde(skip)]
    #[schemars(skip)]
    pub copy: Option<TestCopy>,
    /// Instead of all of these, a table in memory.
    #[cfg(feature = "simulation")]
    #[serde(skip)]
    #[schemars(skip)]
    pub memory: Option<crate::MemoryTable>,
}

/// How keys compared in an earlier version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    Integer,
    Text,
    Uuid,
}

/// What becomes of local parts that are legal in quotes only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegacyLocalParts {
    #[default]
    Skip,
    Quote,
}

/// What tells one user from another, beside the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UniqueBy {
    Address,
}

/// Where the rows come from, once the configuration has been checked.
pub(crate) enum Place {
    File(String),
    Database {
        url: String,
        from: From,
    },
    DynamoDb(Table),
    S3(Objects),
    /// So many recipients, by whom the provider reaches nobody.
    Rehearsal(u64, Rehearsed),
    /// The one row of a copy.
    Copy(TestCopy),
}

/// What is read of a database.
#[derive(Clone)]
pub(crate) enum From {
    Table(String),
    Query(String),
}

impl AudienceConfig {
    /// The audience of a command: a configured one, or that of a rehearsal.
    #[must_use]
    pub fn named(name: &str, configured: &BTreeMap<String, Self>) -> Option<Self> {
        match size_of(name) {
            Some(size) => Some(Self { rehearsal: Some(size), columns: vec!["name".to_owned()], ..Self::default() }),
            None => configured.get(name).cloned(),
        }
    }

    /// What decides whose rows they are and what becomes of them: those of its settings that are given, each with a digest. Not
    /// where they are read, nor with which other columns: a URL or a path may be another on another machine.
    pub(crate) fn section(&self) -> BTreeMap<String, String> {
        let word = |is: bool, word: &str| is.then(|| word.to_owned());
        let given = [
            ("table", self.table.clone()),
            ("query", self.query.clone()),
            ("dynamodb_table", self.dynamodb_table.clone()),
            ("s3", self.s3.clone()),
            ("key", Some(self.key.clone()).filter(|key| !key.is_empty())),
            ("address", Some(self.address.clone()).filter(|address| !address.is_empty())),
            ("filter", self.condition()),
            ("marketing_filter", self.marketing_filter.clone()),
            ("consent_column", self.consent_column.clone()),
            ("encoding", self.encoding.clone()),
            ("legacy_local_parts", word(self.legacy_local_parts == LegacyLocalParts::Quote, "quote")),
            ("unique_by", word(self.unique_by == Some(UniqueBy::Address), "address")),
            ("allow_broken_rows", word(self.allow_broken_rows, "true")),
        ];
        let of = |(name, value): (&str, Option<String>)| {
            let digest: [u8; 32] = Sha256::digest(value?.as_bytes()).into();
            Some((name.to_owned(), hex::encode(digest.get(..4)?)))
        };
        given.into_iter().filter_map(of).collect()
    }

    /// With the addresses by which this provider reaches nobody, for a rehearsal.
    #[must_use]
    pub fn carried_by(mut self, facts: Option<&Facts>) -> Self {
        self.rehearsed = facts.map(|facts| facts.rehearsed);
        self
    }

    /// To whom a rehearsal goes.
    pub(crate) fn rehearsed_at(&self) -> Rehearsed {
        self.rehearsed.unwrap_or_default()
    }

    /// The audience as it is read for a broadcast of this class; nothing where it does not say who wants such mail.
    #[must_use]
    pub fn for_class(mut self, class: Class) -> Option<Self> {
        // A rehearsal reaches nobody, and a copy somebody who asked for it.
        if class != Class::Marketing || self.rehearsal.is_some() || self.copy.is_some() {
            return Some(self);
        }
        match (&self.marketing_filter, &self.consent_column, self.is_asked_in_sql()) {
            (Some(wants), None, true) => {
                self.wanting = Some(wants.clone());
                Some(self)
            }
            (None, Some(column), false) => {
                self.consenting = Some(column.clone());
                Some(self)
            }
            _ => None,
        }
    }

    /// The condition in SQL for which rows are read.
    pub(crate) fn condition(&self) -> Option<String> {
        match (&self.filter, &self.wanting) {
            // A comment at the end of either must not swallow the bracket.
            (Some(filter), Some(wants)) => Some(format!("({filter}\n) AND ({wants}\n)")),
            (filter, wants) => filter.as_ref().or(wants.as_ref()).cloned(),
        }
    }

    fn is_asked_in_sql(&self) -> bool {
        self.file.is_none() && self.dynamodb_table.is_none() && self.s3.is_none()
    }

    /// Whether AWS gives it.
    #[must_use]
    pub fn is_in_aws(&self) -> bool {
        self.dynamodb_table.is_some() || self.s3.is_some()
    }

    /// Where it is in AWS and nobody reads it yet, it is read by these clients.
    pub fn read_by(&mut self, clients: &Clients) {
        if self.dynamodb_table.is_some() {
            self.dynamodb.get_or_insert_with(|| clients.dynamodb.clone());
        }
        if self.s3.is_some() {
            self.s3_client.get_or_insert_with(|| clients.s3.clone());
        }
    }

    /// The audience of a copy: one row with every column that the command names.
    pub(crate) fn of_copy(copy: &TestCopy, command: &BroadcastCommand) -> Self {
        let way_out = command.unsubscribe.as_ref();
        let column = way_out.and_then(Unsubscribe::column);
        // Every mail has the URL to unsubscribe by that name, whatever the columns are.
        let is_given = |name: &str| way_out.is_some() && name == UNSUBSCRIBE_PLACEHOLDER && column != Some(name);
        let asked = command.content.placeholders().into_iter().map(Placeholder::as_str).filter(|name| !is_given(name)).chain(column);
        let columns: BTreeSet<String> = asked.chain(copy.data.keys().map(String::as_str)).map(str::to_owned).collect();
        Self { copy: Some(copy.clone()), columns: columns.into_iter().collect(), ..Self::default() }
    }

    /// Checks that the configuration names one source, and looks up its URL.
    pub(crate) fn place(&self, name: &str) -> Result<Place, SourceError> {
        let wrong = |reason: &str| SourceError::Config { audience: name.to_owned(), reason: reason.to_owned() };
        if let (Some(fixed), None) = (&self.fixed, &self.s3) {
            return Err(wrong(&format!(
                "this broadcast began with {}; put that back into the configuration until its audience is frozen",
                fixed.url
            )));
        }
        if let Some(url) = &self.s3 {
            return self.objects(url).map_err(|reason| wrong(&reason));
        }
        if let Some(table) = &self.dynamodb_table {
            let others = [&self.url, &self.url_env, &self.file, &self.table, &self.query, &self.encoding];
            if others.iter().any(|other| other.is_some()) || self.allow_broken_rows {
                return Err(wrong(
                    "`dynamodb_table` stands alone: take out `url`, `url_env`, `file`, `table`, `query`, `encoding` and `allow_broken_rows`",
                ));
            }
            if self.marketing_filter.is_some() {
                return Err(wrong(
                    "`marketing_filter` is for databases with SQL; name the attribute that says who wants marketing in `consent_column`",
                ));
            }
            let client =
                self.dynamodb.clone().ok_or_else(|| wrong("nobody has connected to DynamoDB for it; tell the authors of issei"))?;
            return Ok(Place::DynamoDb(Table { client, name: table.clone(), most: self.dynamodb_most }));
        }
        if let Some(file) = &self.file {
            if self.url.is_some() || self.url_env.is_some() || self.table.is_some() || self.query.is_some() || self.filter.is_some() {
                return Err(wrong("`file` stands alone: take out `url`, `url_env`, `table`, `query` and `filter`"));
            }
            if self.marketing_filter.is_some() {
                return Err(wrong(
                    "`marketing_filter` is for databases; name the column that says who wants marketing in `consent_column`",
                ));
            }
            return Ok(Place::File(file.clone()));
        }
        if self.encoding.is_some() || self.allow_broken_rows {
            return Err(wrong("`encoding` and `allow_broken_rows` are for files and objects of S3; take them out"));
        }
        if self.consent_column.is_some() {
            return Err(wrong(
                "`consent_column` is for files, objects of S3 and tables of DynamoDB; say in `marketing_filter` who wants marketing",
            ));
        }
        let url = match (&self.url, &self.url_env) {
            (None, None) if let Some(url) = &self.url_at_hand => url.clone(),
            (Some(url), None) if has_password(url) => {
                return Err(wrong("`url` holds a password; put the URL into an environment variable and name that in `url_env`"));
            }
            (Some(url), None) => url.clone(),
            (None, Some(variable)) => std::env::var(variable).map_err(|_| {
                wrong(&format!("`url_env` names the environment variable {variable}, which is not set; set it to the database's URL"))
            })?,
            _ => return Err(wrong("give one of `file`, `url`, `url_env`, `dynamodb_table` and `s3`")),
        };
        match (&self.table, &self.query) {
            (Some(table), None) => Ok(Place::Database { url, from: From::Table(table.clone()) }),
            (None, Some(query)) => Ok(Place::Database { url, from: From::Query(query.clone()) }),
            _ => Err(wrong("give one of `table` and `query`")),
        }
    }
}

impl AudienceConfig {
    fn objects(&self, url: &str) -> Result<Place, String> {
        let others = [&self.url, &self.url_env, &self.file, &self.dynamodb_table, &self.table, &self.query, &self.filter];
        if others.iter().any(|other| other.is_some()) {
            return Err("`s3` stands alone: take out `url`, `url_env`, `file`, `dynamodb_table`, `table`, `query` and `filter`".to_owned());
        }
        if self.marketing_filter.is_some() {
            return Err("`marketing_filter` is for databases; name the column that says who wants marketing in `consent_column`".to_owned());
        }
        let client = self.s3_client.clone().ok_or("nobody has connected to S3 for it; tell the authors of issei")?;
        Ok(Place::S3(Objects { client, address: Address::parse(url)?, fixed: self.fixed.clone() }))
    }
}

/// Says whether a URL has a password in it, which must stand in no file.
#[must_use]
pub fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || url.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_configuration_is_refused() {
        for url in ["postgres://a:secret@db/x", "mysql://a:secret@db", "postgres://db/x?password=secret"] {
            let config = AudienceConfig { url: Some(url.to_owned()), table: Some("users".to_owned()), ..AudienceConfig::default() };
            let Err(error) = config.place("users") else { panic!("{url} is taken") };
            assert!(error.to_string().contains("url_env") && !error.to_string().contains("secret"), "{error}");
        }
        let config =
            AudienceConfig { url: Some("postgres://a@db/x".to_owned()), table: Some("users".to_owned()), ..AudienceConfig::default() };
        assert!(config.place("users").is_ok());
    }
}
