//! A table of DynamoDB, read once, in parts side by side, by strongly consistent reads.
//!
//! DynamoDB has no snapshot of a table: whoever is written or deleted while it is read is in the audience or not (DynamoDB
//! developer guide, "Scanning tables"). Whoever stood there before and stays there is read, and once. Keys are the text of
//! a string or a number, and the bytes of a binary value.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::scan::{ScanError, ScanOutput};
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use issei_aws::chain;
use tokio::task::JoinSet;

use super::ReadError;
use super::feed::Feed;
use super::file::says_yes;
use super::row::{RawKey, RawRow};
use super::words::SILENCE;
use crate::audience::AudienceConfig;

/// Parts that are read at once. Each has a page of at most a megabyte in memory.
const SEGMENTS: i32 = 4;
/// Items in one page at most.
const PAGE_ITEMS: i32 = 1_000;

/// Between two tries of a page that is throttled.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Where a table is, and who may read it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// What is asked of every page.
#[derive(Clone)]
struct Scan {
    table: Table,
    /// The attributes that are wanted, each under a name that is no word of DynamoDB's; all are only counted where there is none.
    names: HashMap<String, String>,
    filter: Option<String>,
}

/// A page, of which part, and the key after which that part goes on.
struct ReadPage {
    segment: i32,
    items: Vec<HashMap<String, AttributeValue>>,
    counted: u64,
    next: Option<HashMap<String, AttributeValue>>,
}

/// Reads everybody, and gives how many DynamoDB says there are, but for those who were asked and have not agreed.
pub(super) async fn read(table: &Table, config: &AudienceConfig, feed: &mut Feed) -> Result<u64, ReadError> {
    let wanted: Vec<&str> =
        [&config.key, &config.address].into_iter().chain(&config.columns).chain(&config.consenting).map(String::as_str).collect();
    // DynamoDB takes each of them once.
    let distinct: BTreeSet<&str> = wanted.iter().copied().collect();
    let names = distinct.into_iter().enumerate().map(|(at, name)| (format!("#c{at}"), name.to_owned())).collect();
    let scan = Scan { table: table.clone(), names, filter: config.filter.clone() };
    let columns = 1 + config.columns.len();
    let mut seen = vec![false; wanted.len()];
    let (mut counted, mut items) = (0, 0_u64);
    let mut pages = JoinSet::new();
    (0..SEGMENTS).for_each(|segment| _ = pages.spawn(scan.clone().page(segment, None)));
    while let Some(page) = pages.join_next().await {
        let page = page.map_err(|_| ReadError::Closed)??;
        counted += page.counted;
        // The next one is on its way while this one is taken.
        if let Some(next) = page.next {
            pages.spawn(scan.clone().page(page.segment, Some(next)));
        }
        for item in page.items {
            items += 1;
            // Two columns may be of one attribute.
            let values: Vec<Option<AttributeValue>> = wanted.iter().map(|name| item.get(*name).cloned()).collect();
            seen.iter_mut().zip(&values).for_each(|(seen, value)| *seen |= value.is_some());
            let mut values = values.into_iter();
            let key = values.next().flatten();
            let cells: Vec<Option<Vec<u8>>> = values.by_ref().take(columns).map(|value| value.and_then(text)).collect();
            if config.consenting.is_some() && !values.next().flatten().and_then(text).is_some_and(|answer| says_yes(&answer)) {
                counted -= 1;
                continue;
            }
            feed.push(RawRow { key: key.map_or(RawKey::Null, key_of), cells }).await?;
        }
    }
    match wanted.iter().zip(&seen).find(|(_, seen)| items > 0 && !**seen) {
        Some((name, _)) => {
            Err(ReadError::Refused(format!("no item of the table has the attribute {name:?}; correct the audience's configuration")))
        }
        None => Ok(counted),
    }
}

/// How many there are: that costs as much as reading them.
pub(super) async fn count_rows(table: &Table, config: &AudienceConfig) -> Result<u64, ReadError> {
    let scan = Scan { table: table.clone(), names: HashMap::new(), filter: config.filter.clone() };
    let (mut counted, mut pages) = (0, JoinSet::new());
    (0..SEGMENTS).for_each(|segment| _ = pages.spawn(scan.clone().page(segment, None)));
    while let Some(page) = pages.join_next().await {
        let page = page.map_err(|_| ReadError::Closed)??;
        counted += page.counted;
        if let Some(next) = page.next {
            pages.spawn(scan.clone().page(page.segment, Some(next)));
        }
    }
    Ok(counted)
}

impl Scan {
    async fn page(self, segment: i32, after: Option<HashMap<String, AttributeValue>>) -> Result<ReadPage, ReadError> {
        let Self { table: Table { client, name }, names, filter } = self;
        let counts = names.is_empty();
        let projection: Vec<&str> = names.keys().map(String::as_str).collect();
        let scan = client
            .scan()
            .table_name(&name)
            .consistent_read(true)
            .segment(segment)
            .total_segments(SEGMENTS)
            .limit(PAGE_ITEMS)
            .set_projection_expression((!counts).then(|| projection.join(", ")))
            .set_select(counts.then_some(Select::Count))
            .set_filter_expression(filter)
            .set_exclusive_start_key(after);
        let scan = scan.set_expression_attribute_names((!counts).then_some(names));
        let (mut pause, mut waited) = (PAUSE_MIN, Duration::ZERO);
        let answer = loop {
            match scan.clone().send().await {
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
