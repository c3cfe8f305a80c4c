//! Addresses that stand under several keys, counted in the spool, so that memory stays flat.

use std::collections::BTreeMap;

use crate::SourceError;
use crate::source::{Mailed, Source};

/// Before an address in the spool, once it stands under several keys. No address holds a control character.
const SEVERAL: char = '\u{1}';

/// Notes in the spool who has which address, and counts those addresses that stand under more than one key since
/// this part. A part that was noted before changes nothing.
pub(crate) async fn note_addresses(source: &mut Source, addresses: Vec<(String, &str)>) -> Result<u64, SourceError> {
    let several = |address: &str| format!("{SEVERAL}{address}");
    let mut seen: Mailed = source.mailed(addresses.iter().flat_map(|(address, _)| [several(address), address.clone()]).collect()).await?;
    let (mut repeated, mut new) = (0, BTreeMap::new());
    for (address, key) in addresses {
        let noted = match seen.get(&address) {
            None => address,
            Some(first) if first == key => continue,
            Some(_) => {
                let noted = several(&address);
                if seen.contains_key(&noted) {
                    continue;
                }
                repeated += 1;
                noted
            }
        };
        seen.insert(noted.clone(), key.to_owned());
        new.insert(noted, key.to_owned());
    }
    source.note(new).await?;
    Ok(repeated)
}
