//! What an audience that holds before its first send comes to beside its counts, by its frozen pages: whatever a
//! reading says, those are mailed.

use std::collections::BTreeMap;

use issei_ledger::{Broadcast, HeldAudience, Page, Place, SkipReason};
use issei_letter::Letters;
use issei_schema::VariantName;

use crate::audience::UniqueBy;
use crate::judging::JudgingError;
use crate::repeated::note_addresses;
use crate::samples::Samples;
use crate::service::Producer;
use crate::source::{Source, quotable};

/// The broadcast's item is written with each permit, and has this in it.
const VARIANTS_MAX: usize = 50;

/// Before an address here, with the number of the look: the spool may know addresses by themselves already.
const FROZEN: char = '\u{2}';

impl Producer {
    /// Reads every frozen page.
    pub(crate) async fn held_audience(
        &self,
        broadcast: &Broadcast,
        source: &mut Source,
        unique_by: Option<UniqueBy>,
        letters: &Letters,
    ) -> Result<HeldAudience, JudgingError> {
        // What an earlier look has noted is not counted again by this one.
        source.looks += 1;
        let mark = format!("{FROZEN}{}{FROZEN}", source.looks);
        let (mut samples, mut repeated_addresses) = (Samples::default(), 0);
        let (mut variants, mut fell_back): (BTreeMap<VariantName, u64>, u64) = (BTreeMap::new(), 0);
        for seq in 0..broadcast.pages {
            let page = self.ledger.page(&broadcast.placed(), seq).await?;
            for (recipient, at) in page.chunks().flat_map(|(_, recipients)| recipients).zip(0..) {
                let Some(recipient) = recipient else { continue };
                samples.take(recipient, page.is_in_canary(), letters, || (seq, at));
                if let Some(variant) = letters.variant(&recipient.data) {
                    *variants.entry(variant.clone()).or_default() += 1;
                }
                fell_back += u64::from(letters.fell_back(&recipient.data).is_some());
            }
            let addresses = addresses(&page, unique_by);
            let addresses = addresses.iter().map(|(address, key)| (format!("{mark}{address}"), key.as_str())).collect();
            repeated_addresses += note_addresses(source, addresses).await?.repeated;
        }
        let letters = samples.all().into_iter().map(|(of, (page, at))| Place { of, page: *page, at: *at }).collect();
        let place = |(page, at): &(u32, u32)| Place { of: Vec::new(), page: *page, at: *at };
        let of_variants = samples.of_variants().into_iter().take(VARIANTS_MAX).map(place).collect();
        let variants = if variants.len() > VARIANTS_MAX { BTreeMap::new() } else { variants };
        let rate = self.rate_of(&broadcast.provider.clone().unwrap_or_default()).await.filter(|rate| *rate > 0.0);
        let forecast = rate.map(|rate| broadcast.forecast(self.clock.wall(), rate));
        Ok(HeldAudience { repeated_addresses, letters, of_variants, variants, fell_back, forecast })
    }
}

/// Who has which address. Of those who are skipped for somebody else's sake only whose is frozen, which says the
/// same: where each address is mailed once, a key that is mailed stands for its address.
fn addresses(page: &Page, unique_by: Option<UniqueBy>) -> Vec<(String, String)> {
    let is_unique = unique_by == Some(UniqueBy::Address);
    let mailed = page.known_recipients().map(|recipient| {
        let key = quotable(recipient.key.as_str());
        (
            if is_unique { key.clone() } else { recipient.address.identity() },
            if is_unique { key } else { recipient.key.as_str().to_owned() },
        )
    });
    let skipped = page.skipped().filter(|skipped| skipped.reason == SkipReason::DuplicateAddress);
    mailed.chain(skipped.filter_map(|skipped| Some((skipped.mailed.clone()?, skipped.key.clone())))).collect()
}
