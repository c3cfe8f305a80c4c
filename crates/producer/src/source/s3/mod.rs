//! Objects of S3: one by its key, or all whose keys begin alike, read as files are. Which states of them is fixed before
//! the first byte is taken: a version where the bucket keeps versions, else the `ETag`, and S3 refuses what has another by
//! then. So no audience is half of one upload and half of the next.

mod body;

use std::fmt;

use issei_aws::{CallError, Only, S3};
use issei_ledger::{FixedObject, FixedObjects};
use serde::Serialize;

use self::body::Body;
use super::feed::{Closed, Feed};
use super::file::{FileKind, ReadAs, Rows, first_line_of};
use super::row::RawRow;
use super::{ReadError, Told};
use crate::audience::AudienceConfig;

/// Of so many each is asked for its version; of more the `ETag`s in the list are what is fixed.
const ASKED_ONE_BY_ONE: usize = 100;
/// More objects than this are no export of users, but a mistake in the prefix.
const OBJECTS_MAX: usize = 100_000;

/// Objects that are named where some are read.
const TOLD: usize = 5;

/// `s3://BUCKET/KEY`, or a prefix of keys.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    url: String,
    bucket: String,
    key: String,
}

/// Where objects are, who reads them, and in which states, where that is fixed already.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    pub(crate) client: S3,
    pub(crate) address: Address,
    pub(crate) fixed: Option<FixedObjects>,
}

/// What was read, for whoever judges whether it is what was meant: their number, and the names of the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadObjects {
    pub count: usize,
    pub first: Vec<String>,
}

impl ReadObjects {
    fn of(objects: &[FixedObject]) -> Self {
        Self { count: objects.len(), first: objects.iter().take(TOLD).map(|object| shown(&object.key)).collect() }
    }
}

impl fmt::Display for ReadObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, first } = self;
        let (objects, more) = (if *count == 1 { "object" } else { "objects" }, if *count > first.len() { ", …" } else { "" });
        write!(f, "{count} {objects}: {}{more}", first.join(", "))
    }
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let place = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let Some((bucket, key)) = place else {
            return Err(format!("`s3` is {url:?}; write s3://BUCKET/KEY, or s3://BUCKET/PREFIX/ for all objects below"));
        };
        // What else a bucket's name may not be S3 knows; this much keeps it a part of a path (S3 user guide, "Bucket naming rules").
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) || bucket.starts_with('.') {
            return Err(format!(
                "`s3` is {url:?}, and {bucket:?} is no name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens"
            ));
        }
        Ok(Self { url: url.to_owned(), bucket: bucket.to_owned(), key: key.to_owned() })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is one object: what is named like a file is one, and everything else a prefix.
    fn is_object(&self) -> bool {
        FileKind::of(&self.key).is_some()
    }
}

impl Objects {
    /// The objects, and in which states they are now, where it is plain which are meant.
    pub(super) async fn find(&self) -> Result<Vec<FixedObject>, ReadError> {
        // On the heap, since what is awaited lies within whatever awaits it, and the compiler follows that only so deep.
        let found = Box::pin(self.find_all()).await?;
        if let Some(key) = beyond(&self.address, &found) {
            let Address { url, bucket, .. } = &self.address;
            let key = shown(key);
            return Err(ReadError::Refused(format!(
                "it ends in the midst of a name, since {key} begins so, too; write {url}/ for what is in that folder alone, or the whole key of one object, such as s3://{bucket}/{key}"
            )));
        }
        Ok(found)
    }

    /// The same of whatever the prefix meets: what a broadcast has begun with was meant by whoever asked for it.
    async fn find_all(&self) -> Result<Vec<FixedObject>, ReadError> {
        let Address { url, key, .. } = &self.address;
        if self.address.is_object() {
            let found = self.look(key).await.map_err(|error| self.refused(&error, None))?;
            return found.map(|found| vec![found]).ok_or_else(|| ReadError::Refused("it is empty; upload it again".to_owned()));
        }
        let mut found = self.list().await?;
        if found.is_empty() {
            let reason = "no object begins so; correct the prefix, or name one object, which ends with .csv, .jsonl or .ndjson, or with one of these and .gz";
            return Err(ReadError::Refused(reason.to_owned()));
        }
        if found.len() <= ASKED_ONE_BY_ONE {
            for object in found.iter_mut().filter(|object| object.size > 0) {
                let now = self.look(&object.key).await.map_err(|error| self.refused(&error, Some(&object.key)))?;
                *object = now.ok_or_else(|| {
                    ReadError::Refused(format!("{}: it has changed while {url} was listed; try again", shown(&object.key)))
                })?;
            }
        }
        Ok(found)
    }

    /// One object as it is now; nothing where it is empty.
    async fn look(&self, key: &str) -> Result<Option<FixedObject>, CallError> {
        let piece = self.client.piece(&self.address.bucket, key, Only::Any, 0, 1).await?;
        Ok(piece.map(|piece| FixedObject { key: key.to_owned(), version: piece.version, etag: piece.etag, size: piece.size }))
    }

    /// All objects below the prefix, but for folders and what Hadoop, Spark and Athena leave beside their data: files and
    /// folders whose names begin with a low line or a dot. `_temporary/` has rows that were never meant for anybody.
    async fn list(&self) -> Result<Vec<FixedObject>, ReadError> {
        let Address { url, bucket, key: prefix } = &self.address;
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let (listed, next) = self.client.list(bucket, prefix, token.as_deref()).await.map_err(|error| self.refused(&error, None))?;
            for object in listed {
                let name = object.key.rsplit('/').next().unwrap_or_default();
                if is_hidden(prefix, &object.key) || (name.is_empty() && object.size == 0) {
                    continue;
                }
                // A console's marker of a folder is empty. One that is not may be somebody's rows under a name that was cut off.
                if name.is_empty() {
                    return Err(ReadError::Refused(format!(
                        "{} stands there, too, is called like a folder and holds {} bytes; give it a name that ends with .csv, .jsonl or .ndjson, or take it away",
                        shown(&object.key),
                        object.size
                    )));
                }
                if FileKind::of(name).is_some() && object.size == 0 {
                    return Err(ReadError::Refused(format!("{}: it is empty; upload it again, or take it away", shown(&object.key))));
                }
                if FileKind::of(name).is_none() {
                    let key = shown(&object.key);
                    return Err(ReadError::Refused(format!(
                        "{key} stands there, too, and {}; take it away, or name a longer prefix",
                        FileKind::none_of(name)
                    )));
                }
                found.push(FixedObject { key: object.key, version: None, etag: object.etag, size: object.size });
            }
            if found.len() > OBJECTS_MAX {
                return Err(ReadError::Refused(format!("more than {OBJECTS_MAX} objects begin with {url}; name a longer prefix")));
            }
            token = next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// What is fixed, or what is there now.
    async fn states(&self) -> Result<Vec<FixedObject>, ReadError> {
        let Some(fixed) = &self.fixed else { return self.find().await };
        if fixed.url != self.address.url {
            return Err(ReadError::Refused(format!(
                "this broadcast began with {}; put that back into the configuration until its audience is frozen",
                fixed.url
            )));
        }
        if let Some(list) = &fixed.list {
            return Ok(list.clone());
        }
        let found = self.find_all().await?;
        if FixedObjects::of(fixed.url.clone(), found.clone()).digest != fixed.digest {
            return Err(ReadError::Refused(format!(
                "the objects below it are not those with which this broadcast began ({} of {} bytes); {ANEW}",
                fixed.count, fixed.bytes
            )));
        }
        Ok(found)
    }

    /// Reads everybody, and gives how many rows there are.
    pub(super) async fn read(self, config: AudienceConfig, mut feed: Feed) -> Result<Told, ReadError> {
        let states = self.states().await?;
        let (progress, objects) = (feed.progress().clone(), Some(ReadObjects::of(&states)));
        let bytes = states.iter().map(|object| object.size).sum();
        let read = tokio::task::spawn_blocking(move || {
            let mut take = |row| feed.push_blocking(row).map_err(|Closed| ReadError::Closed);
            let told = self.rows(&config, states, |body| progress.reading(body, bytes), &mut take)?;
            feed.end_blocking();
            Ok(Told { objects, ..told })
        });
        read.await.map_err(|_| ReadError::Closed)?
    }

    pub(super) async fn count_rows(self, config: AudienceConfig) -> Result<u64, ReadError> {
        let states = self.states().await?;
        let counting = tokio::task::spawn_blocking(move || self.rows(&config, states, |body| body, &mut |_| Ok(())));
        Ok(counting.await.map_err(|_| ReadError::Closed)??.counted)
    }

    /// On a thread that may wait.
    fn rows<R: std::io::Read + Send + 'static>(
        &self,
        config: &AudienceConfig,
        states: Vec<FixedObject>,
        watched: impl Fn(Body) -> R,
        take: &mut impl FnMut(RawRow) -> Result<(), ReadError>,
    ) -> Result<Told, ReadError> {
        let is_one = self.address.is_object();
        let mut rows = Rows::of(config);
        for (object, part) in states.into_iter().zip(1..) {
            let key = object.key.clone();
            // An object of no bytes has no row, and where it should have a header line it is told so.
            let body = Body::of(self, object);
            rows.of_file(&key, watched(body), (!is_one).then_some(part), take).map_err(|error| match error {
                ReadError::Refused(reason) if !is_one => ReadError::Refused(format!("{}: {reason}", shown(&key))),
                error => error,
            })?;
        }
        rows.end()
    }

    /// The first line of the first object, and the object's name.
    pub(super) async fn first_line(self, read_as: ReadAs) -> Result<(String, String), ReadError> {
        let object = self.states().await?.into_iter().find(|object| object.size > 0);
        let object = object.ok_or_else(|| ReadError::Refused("all objects below it are empty".to_owned()))?;
        let key = object.key.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let line = first_line_of(&object.key.clone(), Body::of(&self, object), &read_as);
            line.map_err(ReadError::Refused)
        });
        Ok((key, reading.await.map_err(|_| ReadError::Closed)??))
    }

    fn refused(&self, error: &CallError, key: Option<&str>) -> ReadError {
        let at = key.map_or(String::new(), |key| format!("{}: ", shown(key)));
        ReadError::Refused(format!("{at}{}", words(error, &self.address.bucket)))
    }
}

/// An object that a prefix meets though its name goes on where the prefix ends, in a folder: `users` meets `users-old/a.csv`.
/// What goes on to the end of a file's name is what a prefix such as `users/part-` is for, but not beside a folder of just that name.
fn beyond<'a>(Address { key: prefix, .. }: &Address, found: &'a [FixedObject]) -> Option<&'a str> {
    if prefix.is_empty() || prefix.ends_with('/') {
        return None;
    }
    let rests = || found.iter().filter_map(|object| Some((object, object.key.strip_prefix(prefix)?)));
    let is_folder = rests().any(|(_, rest)| rest.starts_with('/'));
    let mut others = rests().filter(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'));
    others.find(|(_, rest)| is_folder || rest.contains('/')).map(|(object, _)| object.key.as_str())
}

/// Whether a file, or a folder in which it is, is hidden by its name, as far as the prefix has not named it.
fn is_hidden(prefix: &str, key: &str) -> bool {
    let named = prefix.rfind('/').map_or(0, |at| at + 1);
    let parts = key.get(named..).unwrap_or_default().split('/');
    let own = usize::from(named < prefix.len());
    parts.skip(own).any(|part| part.starts_with(['_', '.']) && !matches!(part, "." | ".."))
}

/// A name for people, to whom control characters say nothing.
fn shown(key: &str) -> String {
    key.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// What to do where what a broadcast began with is no more.
const ANEW: &str = "nothing more of it is frozen; put back what was there, or stop this broadcast and send it in a new command, with a new broadcast_id (a bucket that keeps versions needs neither)";

/// What S3's answer means to whoever configured the audience, and what to do.
fn words(error: &CallError, bucket: &str) -> String {
    let why = error.why();
    match error.code() {
        Some("NoSuchBucket") => format!("there is no bucket {bucket}; correct `s3`"),
        Some("NoSuchKey" | "HTTP 404") => "there is no such object; correct `s3`, or upload it".to_owned(),
        Some("NoSuchVersion") => format!("the version with which this broadcast began is deleted; {ANEW}"),
        Some("PreconditionFailed" | "HTTP 412") => format!("it has changed since the first look at it; {ANEW}"),
        Some("InvalidObjectState") => format!("it is archived ({why}); restore it first, as by `aws s3api restore-object`"),
        Some("AnotherRegion") => {
            format!(
                "{why}, and issei looks in the region that it works in; copy the objects into a bucket there, or name the bucket's region with --region or AWS_REGION"
            )
        }
        Some(code) if code.starts_with("AccessDenied") || matches!(code, "HTTP 403" | "AllAccessDisabled") => format!(
            "S3 denies {}: {why}; grant s3:GetObject and s3:GetObjectVersion on the objects, and s3:ListBucket on {bucket}, without which S3 says the same of what is not there; where KMS encrypts them, kms:Decrypt as well",
            error.action()
        ),
        _ => format!("{error}; try again, or look at the bucket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_has_left_beside_its_data_is_nobody() {
        for (prefix, key) in [
            ("users/", "users/_SUCCESS"),
            ("users/", "users/_temporary/0/task_1/part-0.csv"),
            ("users/", "users/a/.hidden/x.csv"),
            ("users/part-", "users/part-1/_old/x.csv"),
            ("", ".git/x.csv"),
        ] {
            assert!(is_hidden(prefix, key), "{prefix} {key}");
        }
        for (prefix, key) in [
            ("users/", "users/part_1/x.csv"),
            ("_exports/", "_exports/x.csv"),
            ("users/_p", "users/_part.csv"),
            ("users/2026", "users/2026_new/x.csv"),
            ("users/", "users/../x.csv"),
        ] {
            assert!(!is_hidden(prefix, key), "{prefix} {key}");
        }
    }

    #[test]
    fn a_prefix_that_ends_in_the_midst_of_a_folders_name_is_not_plain() {
        let first = |prefix: &str, keys: &[&str]| {
            let object = |key: &&str| FixedObject { key: (*key).to_owned(), version: None, etag: "e".to_owned(), size: 1 };
            let found: Vec<FixedObject> = keys.iter().map(object).collect();
            let address = Address::parse(&format!("s3://exports/{prefix}")).unwrap();
            beyond(&address, &found).map(str::to_owned)
        };
        for (prefix, keys, key) in [
            ("users", &["users/a.csv", "users-old/a.csv"][..], "users-old/a.csv"),
            ("users", &["users-old/a.csv"], "users-old/a.csv"),
            ("a/us", &["a/users/b/c.csv"], "a/users/b/c.csv"),
            ("users", &["users/a.csv", "users.csv"], "users.csv"),
        ] {
            assert_eq!(first(prefix, keys).as_deref(), Some(key), "{prefix}");
        }
        for (prefix, keys) in [
            ("users/", &["users/a.csv", "users/b/c.csv"][..]),
            ("users", &["users/a.csv", "users/b/c.csv"]),
            ("users/part-", &["users/part-1.csv", "users/part-2.csv"]),
            ("", &["users/a.csv", "b.csv"]),
            ("users.csv", &["users.csv"]),
        ] {
            assert_eq!(first(prefix, keys), None, "{prefix}");
        }
    }

    #[test]
    fn an_address_is_one_object_or_a_prefix_or_is_refused() {
        let is_object = |url| Address::parse(url).unwrap().is_object();
        for url in ["s3://exports/users.csv", "s3://exports/a b/users.jsonl.gz", "s3://e.x-1/users.2026.ndjson"] {
            assert!(is_object(url), "{url}");
        }
        for url in ["s3://exports/", "s3://exports/users/", "s3://exports/users/part-", "s3://exports/csv"] {
            assert!(!is_object(url), "{url}");
        }
        for url in [
            "s3://exports",
            "https://exports.s3.amazonaws.com/users.csv",
            "s3:///users.csv",
            "s3://Exports/users.csv",
            "s3://a?b/users.csv",
        ] {
            assert!(Address::parse(url).unwrap_err().contains("`s3` is"), "{url}");
        }
    }
}
