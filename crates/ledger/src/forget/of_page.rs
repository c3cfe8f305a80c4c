//! What is forgotten of one page: entries become tombstones, and what the page's hash is over stays.

use issei_schema::Recipient;
use jiff::Timestamp;

use super::Sought;
use crate::commitment::{Commitment, Digests, Salted, of_last_key, of_recipient, of_skipped};
use crate::page::{Body, Place};
use crate::salts::Salt;
use crate::{Page, Tombstone};

/// What is forgotten of a page.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) recipients: u64,
    pub(super) skipped: u64,
}

impl Page {
    /// Where they stand whom a mail went to: the chunk, and the place in it.
    pub(super) fn places_of(&self, sought: &Sought) -> impl Iterator<Item = (u32, u32)> {
        let is_it = |recipient: &Option<Recipient>| recipient.as_ref().is_some_and(|recipient| sought.is(recipient));
        self.chunks()
            .flat_map(move |(chunk, recipients)| (0..).zip(recipients).filter(move |(_, it)| is_it(it)).map(move |(at, _)| (chunk, at)))
    }
}

impl Body {
    pub(super) fn count(&self, sought: &Sought) -> Count {
        Count {
            recipients: self.chunks.iter().flatten().flatten().filter(|recipient| sought.is(recipient)).count() as u64,
            skipped: self.skipped.iter().flatten().filter(|skipped| sought.is_skipped(skipped)).count() as u64,
        }
    }

    /// Replaces whoever is sought by tombstones. The key after which the next page begins is somebody's, and of no use
    /// once the audience is frozen, so it goes with the first of them.
    pub(super) fn forget(&mut self, sought: &Sought, digests: &Digests<'_>, at: Timestamp) -> Result<(), &'static str> {
        let entries = self.entries();
        let (Some(place), Some(salted)) = (&mut self.place, &mut self.salted) else { return Err("it has no salts") };
        let salts = salted.salts.all(entries)?;
        let mut forgetting = Forgetting { salts, salted, next: 0, at };
        for recipient in self.chunks.iter_mut().flatten() {
            forgetting.look(
                recipient,
                |it| sought.is(it),
                of_recipient,
                |it, tombstone| {
                    (tombstone.key, tombstone.address) = (Some(digests.key(it.key.as_str())), Some(digests.address(it.address.as_str())));
                },
            )?;
        }
        for skipped in &mut self.skipped {
            forgetting.look(
                skipped,
                |it| sought.is_skipped(it),
                of_skipped,
                |it, tombstone| {
                    (tombstone.key, tombstone.rows) = (Some(digests.key(it.name())), Some(it.rows));
                },
            )?;
        }
        let Place { last_key, .. } = place;
        forgetting.look(last_key, |_| true, |salt, key| of_last_key(salt, key), |_, _| ())?;
        salted.forgotten.sort_by_key(|tombstone| tombstone.entry);
        Ok(())
    }
}

/// Going through the entries of a page in their order.
struct Forgetting<'a> {
    salts: Vec<Option<Salt>>,
    salted: &'a mut Salted,
    next: usize,
    at: Timestamp,
}

impl Forgetting<'_> {
    fn look<T>(
        &mut self,
        entry: &mut Option<T>,
        is_it: impl FnOnce(&T) -> bool,
        commit: impl FnOnce(&Salt, &T) -> Commitment,
        say: impl FnOnce(&T, &mut Tombstone),
    ) -> Result<(), &'static str> {
        let at = self.next;
        self.next += 1;
        let Some(found) = entry.take_if(|entry| is_it(entry)) else { return Ok(()) };
        let salt = self.salts.get(at).copied().flatten().ok_or("an entry has no salt")?;
        let number = u32::try_from(at).map_err(|_| "it has too many entries")?;
        let mut tombstone =
            Tombstone { entry: number, commitment: commit(&salt, &found), at: self.at, key: None, address: None, rows: None };
        say(&found, &mut tombstone);
        self.salted.salts.forget(number);
        self.salted.forgotten.push(tombstone);
        Ok(())
    }
}
