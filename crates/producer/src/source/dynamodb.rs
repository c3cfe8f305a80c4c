//! A table of DynamoDB, read once, in parts side by side, by strongly consistent reads.
//!
//! DynamoDB has no snapshot of a table: whoever is written or deleted while it is read is in the audience or not (DynamoDB
//! developer guide, "Scanning tables"). Whoever stood there before and stays there is read, and once. Keys are the text of
//! a string or a number, and the bytes of a binary value.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::types::{AttributeValue, Select, TableDescription};
use issei_aws::{AwsCall, chain};
use tokio::task::JoinSet;

use super::dynamodb_filter::Filter;
use super::feed::Feed;
use super::file::says_yes;
use super::row::{RawKey, RawRow};
use super::words::SILENCE;
use super::{ColumnOutline, ReadError, TellsApart, Told};
use crate::audience::AudienceConfig;

/// Parts that are read at once. Each has a page of at most a megabyte in memory.
const SEGMENTS: i32 = 4;
/// Items in one page at most.
const PAGE_ITEMS: i32 = 1_000;

/// Attributes that are looked at, those that most items have: an expression may have 4 KB, and a table with an attribute for each
/// order has thousands.
const COLUMNS_MAX: usize = 200;

/// Between two tries of a page that is throttled.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where a table is, and who may read it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// Its first page of so many items alone, for a look at it; nothing of more is ever sent to.
    pub(crate) most: Option<i32>,
}

/// What is asked of every page.
#[derive(Clone)]
struct Scan {
    table: Table,
    /// The attributes that are wanted, each under a name that is no word of DynamoDB's; all are only counted where there is none.
    columns: HashMap<String, String>,
    filter: Option<Filter>,
}

/// A page, of which part, and the key after which that part goes on.
struct ReadPage {
    segment: i32,
    items: Vec<HashMap<String, AttributeValue>>,
    counted: u64,
    next: Option<HashMap<String, AttributeValue>>,
}

/// The pages of all parts, as they come.
struct Pages {
    scan: Scan,
    reading: JoinSet<Result<ReadPage, ReadError>>,
}

impl Pages {
    fn of(scan: Scan) -> Self {
        let mut reading = JoinSet::new();
        (0..scan.segments()).for_each(|segment| _ = reading.spawn(scan.clone().page(segment, None)));
        Self { scan, reading }
    }

    /// The next one, and how many items DynamoDB counts in it. The one after it is on its way while it is taken.
    async fn next(&mut self) -> Result<Option<(Vec<HashMap<String, AttributeValue>>, u64)>, ReadError> {
        let Some(page) = self.reading.join_next().await else { return Ok(None) };
        let ReadPage { segment, items, counted, next } = page.map_err(|_| ReadError::Closed)??;
        if let Some(next) = next.filter(|_| self.scan.table.most.is_none()) {
            self.reading.spawn(self.scan.clone().page(segment, Some(next)));
        }
        Ok(Some((items, counted)))
    }
}

/// Reads everybody, and gives how many DynamoDB says there are, but for those who were asked and have not agreed.
pub(super) async fn read(table: &Table, config: &AudienceConfig, feed: &mut Feed) -> Result<Told, ReadError> {
    let wanted: Vec<&str> =
        [&config.key, &config.address].into_iter().chain(&config.columns).chain(&config.consenting).map(String::as_str).collect();
    // DynamoDB takes each of them once.
    let distinct: BTreeSet<&str> = wanted.iter().copied().collect();
    let columns = distinct.into_iter().enumerate().map(|(at, name)| (format!("#c{at}"), name.to_owned())).collect();
    let mut pages = Pages::of(Scan { table: table.clone(), columns, filter: config.filter.as_deref().map(Filter::of) });
    let columns = 1 + config.columns.len();
    let mut seen = vec![false; wanted.len()];
    let (mut counted, mut items, mut left_out) = (0, 0_u64, 0);
    while let Some((page, in_page)) = pages.next().await? {
        counted += in_page;
        for item in page {
            items += 1;
            // Two columns may be of one attribute.
            let values: Vec<Option<AttributeValue>> = wanted.iter().map(|name| item.get(*name).cloned()).collect();
            seen.iter_mut().zip(&values).for_each(|(seen, value)| *seen |= value.is_some());
            let mut values = values.into_iter();
            let key = values.next().flatten().map_or(RawKey::Null, key_of);
            let cells: Vec<Option<Vec<u8>>> = values.by_ref().take(columns).map(|value| value.and_then(text)).collect();
            if config.consenting.is_some() && !values.next().flatten().and_then(text).is_some_and(|answer| says_yes(&answer)) {
                counted -= 1;
                left_out += 1;
                feed.push(RawRow { key: key.refusal(), cells }).await?;
                continue;
            }
            feed.push(RawRow { key, cells }).await?;
        }
    }
    // What another kind of item has is looked for by whoever looks for the kinds.
    let may_lack = items == 0 || config.is_first_look;
    match wanted.iter().zip(&seen).find(|(_, seen)| !may_lack && !**seen) {
        Some((name, _)) => {
            Err(ReadError::Refused(format!("no item of the table has the attribute {name:?}; correct the audience's configuration")))
        }
        None => Ok(Told { left_out: config.consenting.is_some().then_some(left_out), ..Told::of(counted) }),
    }
}

/// How many there are: that costs as much as reading them.
pub(super) async fn count_rows(table: &Table, config: &AudienceConfig) -> Result<u64, ReadError> {
    let filter = config.filter.as_deref().map(Filter::of);
    let mut pages = Pages::of(Scan { table: table.clone(), columns: HashMap::new(), filter });
    let mut counted = 0;
    while let Some((_, in_page)) = pages.next().await? {
        counted += in_page;
    }
    Ok(counted)
}

/// The attributes of a table's first items that have a text, each with what the table says of it, and the key first.
pub(super) async fn columns_of(table: &Table) -> Result<Vec<ColumnOutline>, ReadError> {
    // Who may read it need not be allowed to ask how it is made.
    let described = table.client.describe_table().table_name(&table.name).call().await.ok().and_then(|answer| answer.table);
    let keys: Vec<String> = described.iter().flat_map(TableDescription::key_schema).map(|key| key.attribute_name.clone()).collect();
    let scan = Scan { table: table.clone(), columns: HashMap::new(), filter: None };
    let ReadPage { items, .. } = scan.read(0, None, Wanted::Everything).await?;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (name, value) in items.into_iter().flatten() {
        let count = times.entry(name).or_default();
        *count += usize::from(text(value).is_some());
    }
    let mut counted: Vec<(String, usize)> = times.into_iter().filter(|(_, count)| *count > 0).collect();
    counted.sort_by_key(|(_, count)| Reverse(*count));
    counted.truncate(COLUMNS_MAX);
    let mut names: Vec<String> = counted.into_iter().map(|(name, _)| name).collect();
    names.sort_by_key(|name| (keys.iter().position(|key| key == name).unwrap_or(usize::MAX), name.clone()));
    let tells_apart = |name: &String| match keys.as_slice() {
        [only] if only == name => TellsApart::PrimaryKey,
        [partition, _] if partition == name => TellsApart::WithAnother,
        [_, sort] if sort == name => TellsApart::Sorts,
        _ => TellsApart::Unsaid,
    };
    Ok(names.into_iter().map(|name| ColumnOutline { tells_apart: tells_apart(&name), kind: String::new(), name }).collect())
}

/// What a page gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Columns,
    Count,
    Everything,
}

impl Scan {
    fn segments(&self) -> i32 {
        if self.table.most.is_some() { 1 } else { SEGMENTS }
    }

    async fn page(self, segment: i32, after: Option<HashMap<String, AttributeValue>>) -> Result<ReadPage, ReadError> {
        let wanted = if self.columns.is_empty() { Wanted::Count } else { Wanted::Columns };
        self.read(segment, after, wanted).await
    }

    async fn read(self, segment: i32, after: Option<HashMap<String, AttributeValue>>, wanted: Wanted) -> Result<ReadPage, ReadError> {
        let segments = self.segments();
        let Self { table: Table { client, name, most }, columns, filter } = self;
        let projection: Vec<&str> = columns.keys().map(String::as_str).collect();
        let scan = client
            .scan()
            .table_name(&name)
            .consistent_read(true)
            .segment(segment)
            .total_segments(segments)
            .limit(most.unwrap_or(PAGE_ITEMS))
            .set_projection_expression((wanted == Wanted::Columns).then(|| projection.join(", ")))
            .set_select((wanted == Wanted::Count).then_some(Select::Count))
            .set_filter_expression(filter.as_ref().map(|filter| filter.expression.clone()))
            .set_exclusive_start_key(after);
        let names: HashMap<String, String> = columns.into_iter().chain(filter.into_iter().flat_map(|filter| filter.names)).collect();
        let scan = scan.set_expression_attribute_names((!names.is_empty()).then_some(names));
        let (mut pause, mut waited) = (PAUSE_MIN, Duration::ZERO);
        let answer = loop {
            match scan.clone().call().await {
                // The SDK has tried a few times by then. What was read is kept, and this page is asked for again.
                Err(error) if is_throttled(&error) && waited < SILENCE => {
                    tokio::time::sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) if is_throttled(&error) => {
                    return Err(ReadError::Database(format!(
                        "table {name} of DynamoDB is throttled and gave no page for {} s; give it more read capacity, or make it on-demand",
                        waited.as_secs()
                    )));
                }
                answer => break answer,
            }
        };
        let ScanOutput { items, count, last_evaluated_key, .. } =
            answer.map_err(|error| ReadError::Database(format!("table {name} of DynamoDB: {}", chain(&error))))?;
        Ok(ReadPage {
            segment,
            items: items.unwrap_or_default(),
            counted: u64::try_from(count).unwrap_or_default(),
            next: last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }
}

fn is_throttled(error: &SdkError<ScanError>) -> bool {
    let code = error.as_service_error().and_then(|error| error.meta().code());
    matches!(code, Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded"))
}

fn key_of(value: AttributeValue) -> RawKey {
    match value {
        AttributeValue::B(bytes) => RawKey::binary(bytes.as_ref()),
        other => RawKey::text(text(other)),
    }
}

/// The text of a value; nothing for what has none. A number is its digits, as they are stored.
fn text(value: AttributeValue) -> Option<Vec<u8>> {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => Some(text.into_bytes()),
        AttributeValue::B(bytes) => Some(bytes.into_inner()),
        AttributeValue::Bool(value) => Some(value.to_string().into_bytes()),
        _ => None,
    }
}
