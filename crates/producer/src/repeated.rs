//! Addresses that stand under several keys, counted in the spool, so that memory stays flat.

use std::collections::BTreeMap;

use crate::SourceError;
use crate::source::{Mailed, Source};

/// Before an address in the spool, once it stands under several keys. No address holds a control character.
const SEVERAL: char = '\u{1}';

/// What a part of an audience adds to the addresses that were noted.
pub(crate) struct Noted {
    /// Addresses that nobody had before.
    pub(crate) new: u64,
    /// Those that stand under more than one key since this part.
    pub(crate) repeated: u64,
}

/// Notes in the spool who has which address, and counts what that adds. A part that was noted before changes nothing.
pub(crate) async fn note_addresses(source: &mut Source, addresses: Vec<(String, &str)>) -> Result<Noted, SourceError> {
    let several = |address: &str| format!("{SEVERAL}{address}");
    let mut seen: Mailed = source.mailed(addresses.iter().flat_map(|(address, _)| [several(address), address.clone()]).collect()).await?;
    let (mut counted, mut noted_now) = (Noted { new: 0, repeated: 0 }, BTreeMap::new());
    for (address, key) in addresses {
        let noted = match seen.get(&address) {
            None => {
                counted.new += 1;
                address
            }
            Some(first) if first == key => continue,
            Some(_) => {
                let noted = several(&address);
                if seen.contains_key(&noted) {
                    continue;
                }
                counted.repeated += 1;
                noted
            }
        };
        seen.insert(noted.clone(), key.to_owned());
        noted_now.insert(noted, key.to_owned());
    }
    source.note(noted_now).await?;
    Ok(counted)
}
