//! For the fuzzer: a whole audience, read and judged as `freeze.rs` does it, with no ledger.

use issei_schema::Content;

use crate::audience::AudienceConfig;
use crate::row::{Needed, judge};
use crate::source::{Source, SourceError};

const PAGE: usize = 100;

/// Reads every row and judges it. Gives how many rows the source counts and how many were seen.
pub async fn judge_all(audience: &str, config: &AudienceConfig, content: &Content) -> Result<(u64, u64), SourceError> {
    let needed = Needed::of(content, config)
        .map_err(|name| SourceError::Config { audience: audience.to_owned(), reason: format!("it has no column {name}") })?;
    let source = Source::open(audience, config).await?;
    let mut seen = source.count_without_key().await?;
    let mut last: Option<String> = None;
    loop {
        let rows = source.rows_after(last.as_deref(), PAGE).await?;
        let Some(row) = rows.last() else { return Ok((source.count().await?, seen)) };
        last = Some(row.key.clone());
        seen += rows.len() as u64;
        rows.into_iter().for_each(|row| drop(judge(row, &needed)));
    }
}
