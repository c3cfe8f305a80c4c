//! The list of suppressed addresses, as whoever judges an audience reads it: once, where it is smaller than the audience,
//! and not once for each page. What is kept in memory is a filter: 64 bits of each digest. It says of most addresses that
//! they are not on the list; the others are looked up in the ledger, as everybody is where the audience is small or the list
//! is larger.
//!
//! What this must never do: miss somebody whose entry was acknowledged before the last look. Each entry is counted in the
//! list's marker, by its part of the list, before it is acknowledged; a look reads these counts, and then reads again each
//! part in which there is one more. Builds before this one count nothing, so the whole list is read again now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use issei_aws::AwsCall;
use issei_clock::Instant;
use issei_schema::{Address, Prover};

use crate::item::s;
use crate::suppressed::{DOMAIN, Suppressed, partition, plain, shortened};
use crate::suppression::List;
use crate::{Ledger, LedgerError};

/// Parts of the list.
const PARTS: usize = 256;
/// Parts that are read at once.
const AT_ONCE: usize = 16;
/// For fewer addresses than this the calls that read the list, one for each of its parts, are more than they spare.
const WORTH_READING: usize = 10 * PARTS;
/// More entries are not kept: 8 bytes each.
const MOST: usize = 1_000_000;
/// So old, or so many times older than reading it took, the filter is read anew, for the sake of builds that don't count
/// what they enter.
const STALE: Duration = Duration::from_secs(10);
const STALE_TIMES: u32 = 10;

/// Reads the list for one audience.
pub struct Suppressions {
    ledger: Ledger,
    /// A list with more entries is not read.
    most: usize,
    /// As of the last look.
    list: Option<List>,
    filter: Option<Arc<Filter>>,
    /// When reading the filter began, and when it is to be read anew.
    read: Option<(Instant, Instant)>,
}

/// Says who is surely not on the list. Cheap to clone.
#[derive(Clone)]
pub enum Sieve {
    /// Nobody is on it.
    Empty,
    Filter(Arc<Filter>),
    /// Whoever it is may be on it.
    None,
}

/// 64 bits of each digest on the list.
pub struct Filter {
    /// By their part, in order.
    parts: Vec<Arc<[u64]>>,
    /// With what keyed digests begin; nothing while the ledger has no key.
    prover: Option<Prover>,
    has_plain: bool,
}

impl Ledger {
    /// The list for an audience of so many.
    #[must_use]
    pub fn suppressions(&self, audience: u64) -> Suppressions {
        let most = usize::try_from(audience).map_or(MOST, |audience| audience.min(MOST));
        let most = if most < WORTH_READING { 0 } else { most };
        Suppressions { ledger: self.clone(), most, list: None, filter: None, read: None }
    }

    /// 64 bits of each digest of a part, and whether there is a plain one; nothing where there are more than `most`.
    async fn shortened_part(&self, part: u8, most: usize) -> Result<Option<(Vec<u64>, bool)>, LedgerError> {
        let (mut all, mut has_plain, mut after) = (Vec::new(), false, None);
        loop {
            let query = self.db.query().table_name(&self.table).key_condition_expression("pk = :part").projection_expression("sk");
            let query = query.expression_attribute_values(":part", s(partition(part)));
            let answer = query.set_exclusive_start_key(after).consistent_read(true).call().await.map_err(LedgerError::call("Query"))?;
            for item in answer.items.unwrap_or_default() {
                let Some((bits, is_plain)) = item.get("sk").and_then(|sk| shortened(sk.as_s().ok()?)) else { continue };
                all.push(bits);
                has_plain |= is_plain;
            }
            if all.len() > most {
                return Ok(None);
            }
            after = answer.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                all.sort_unstable();
                return Ok(Some((all, has_plain)));
            }
        }
    }
}

impl Suppressions {
    /// Looks at how the list stands: whoever was entered before this is heeded from now on. Says whether nobody was entered
    /// since the last look, so that what was judged since it stands.
    pub async fn look(&mut self) -> Result<bool, LedgerError> {
        let list = self.ledger.suppression_list().await?;
        let now = self.ledger.clock.now();
        let is_stale = self.read.is_some_and(|(_, stale)| now >= stale);
        let before = self.list.replace(list.clone());
        let is_same = before.as_ref().is_some_and(|before| before.is_as(&list)) && !is_stale;
        if is_same || list.is_empty || self.most == 0 {
            return Ok(is_same);
        }
        // Of the list that was read, the parts in which there is one more; all of it where its digests are others.
        let kept = self.filter.take().zip(before).filter(|(_, before)| !is_stale && before.key == list.key);
        let (mut parts, mut has_plain, due) = match kept {
            Some((filter, before)) => {
                let has_changed = |part: &u8| before.entered.get(part) != list.entered.get(part);
                (filter.parts.clone(), filter.has_plain, (0..=u8::MAX).filter(has_changed).collect())
            }
            None => (vec![Arc::default(); PARTS], false, (0..=u8::MAX).collect::<Vec<u8>>()),
        };
        let whole = due.len() == PARTS;
        let (ledger, most) = (&self.ledger, self.most);
        let mut read =
            stream::iter(due).map(async |part| Ok::<_, LedgerError>((part, ledger.shortened_part(part, most).await?))).buffered(AT_ONCE);
        let mut entries: usize = parts.iter().map(|part| part.len()).sum();
        while let Some((part, found)) = read.try_next().await? {
            let Some((bits, is_plain)) = found.filter(|(bits, _)| entries + bits.len() <= most) else {
                // Everybody is looked up from now on.
                (self.most, self.read) = (0, None);
                return Ok(false);
            };
            has_plain |= is_plain;
            if let Some(place) = parts.get_mut(usize::from(part)) {
                entries = entries - place.len() + bits.len();
                *place = bits.into();
            }
        }
        drop(read);
        if whole {
            let took = self.ledger.clock.now().saturating_duration_since(now);
            self.read = Some((now, self.ledger.clock.now() + STALE.max(took * STALE_TIMES)));
        }
        let prover = list.key.map(|key| key.prover(DOMAIN));
        self.filter = Some(Arc::new(Filter { parts, prover, has_plain }));
        Ok(false)
    }

    /// Who may be on the list, as of the last look.
    #[must_use]
    pub fn sieve(&self) -> Sieve {
        match (&self.list, &self.filter) {
            (Some(list), _) if list.is_empty => Sieve::Empty,
            (_, Some(filter)) => Sieve::Filter(filter.clone()),
            (_, None) => Sieve::None,
        }
    }

    /// Which of these addresses are on the list, by their places.
    pub async fn suppressed(&self, addresses: &[&Address]) -> Result<HashMap<usize, Suppressed>, LedgerError> {
        match &self.list {
            Some(list) if !addresses.is_empty() => self.ledger.look_up(list, addresses).await,
            Some(_) | None => Ok(HashMap::new()),
        }
    }
}

impl Sieve {
    /// Whether the address may be on the list; if not, it is not.
    #[must_use]
    pub fn may_hold(&self, address: &Address) -> bool {
        match self {
            Self::Empty => false,
            Self::Filter(filter) => filter.may_hold(address),
            Self::None => true,
        }
    }
}

impl Filter {
    fn may_hold(&self, address: &Address) -> bool {
        let plain = plain(address);
        let keyed = self.prover.as_ref().map(|prover| String::from(prover.clone().text(&plain).prove()));
        keyed.is_some_and(|keyed| self.holds(&keyed)) || (self.has_plain && self.holds(&plain))
    }

    fn holds(&self, digest: &str) -> bool {
        let Some((bits, _)) = shortened(digest) else { return true };
        let part = self.parts.get(usize::from(bits.to_be_bytes()[0]));
        part.is_none_or(|part| part.binary_search(&bits).is_ok())
    }
}
