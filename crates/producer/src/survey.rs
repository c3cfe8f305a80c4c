//! Looking at a whole audience with no ledger: for a forecast, and for the fuzzer.

use std::path::Path;

use crate::SourceError;
use crate::audience::AudienceConfig;
use crate::row::address;
use crate::source::{Mailed, Source};

const PAGE: usize = 2_000;
/// In the place of the key, once an address stands under several.
const SEVERAL: &str = "";

/// What an audience comes to, as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    pub rows: u64,
    pub without_key: u64,
    /// Rows whose key another row has, too.
    pub repeated_keys: u64,
    /// Addresses that stand under more than one key, each of which is mailed unless `unique_by` says otherwise.
    pub repeated_addresses: u64,
}

/// Reads everybody, as the producer would.
pub async fn survey(audience: &str, config: &AudienceConfig, spool_dir: &Path) -> Result<Survey, SourceError> {
    let mut source = Source::read(audience, config, spool_dir, String::new()).await?;
    let (mut repeated_addresses, mut last): (u64, Option<String>) = (0, None);
    loop {
        let page = source.page(last.as_deref(), PAGE).await?;
        let Some(spooled) = page.last() else { break };
        last = Some(spooled.row.key.clone());
        let address = |text: &str| address(text, config.legacy_local_parts).ok().map(|address| address.identity());
        let addresses = page.iter().filter_map(|spooled| Some((address(spooled.row.address.text()?)?, spooled.row.key.clone())));
        let addresses: Vec<(String, String)> = addresses.collect();
        let mut seen = source.mailed(addresses.iter().map(|(address, _)| address.clone()).collect()).await?;
        let mut new = Mailed::new();
        for (address, key) in addresses {
            let kept = match seen.get(&address).map(String::as_str) {
                None => key,
                Some(SEVERAL) => continue,
                Some(_) => {
                    repeated_addresses += 1;
                    SEVERAL.to_owned()
                }
            };
            seen.insert(address.clone(), kept.clone());
            new.insert(address, kept);
        }
        source.note(new).await?;
    }
    let counts = source.counts();
    Ok(Survey { rows: counts.rows, without_key: counts.without_key, repeated_keys: counts.repeated, repeated_addresses })
}

/// Reads every row and judges it as `freeze.rs` does. Gives how many rows were read and how many were seen.
#[cfg(feature = "simulation")]
pub async fn judge_all(audience: &str, config: &AudienceConfig, content: &issei_schema::Content) -> Result<(u64, u64), SourceError> {
    let needed = crate::row::Needed::of(content, config)
        .map_err(|name| SourceError::Config { audience: audience.to_owned(), reason: format!("it has no column {name}") })?;
    let source = Source::read(audience, config, &std::env::temp_dir(), String::new()).await?;
    let (mut seen, mut last): (u64, Option<String>) = (source.counts().without_key, None);
    loop {
        let page = source.page(last.as_deref(), PAGE).await?;
        let Some(spooled) = page.last() else { return Ok((source.counts().rows, seen)) };
        last = Some(spooled.row.key.clone());
        seen += page.iter().map(|spooled| 1 + spooled.repeats).sum::<u64>();
        page.into_iter().for_each(|spooled| drop(crate::row::judge(spooled.row, &needed)));
    }
}
