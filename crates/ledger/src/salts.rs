//! The salts of a page's entries: one for each, and all of them from one seed, as a tree in which every node gives the
//! two below it. An entry is forgotten by keeping, instead of its path, the nodes beside it: the others keep their
//! salts, and nothing that stays leads to that one (Goldreich, Goldwasser and Micali 1986; "puncturable" since Boneh
//! and Waters 2013).
//!
//! What this must never do: keep a node above an entry that was forgotten.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// 128 bits that nobody can guess: without them a commitment can't be tried, whatever is known of a person.
pub(crate) type Salt = [u8; 16];

/// What a node gives its children for, and nothing else.
const DOMAIN: &str = "issei salt 1";
/// More entries than any page has.
const HEIGHT_MAX: u32 = 24;

/// The nodes that are kept, in the order of their entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Salts(Vec<Node>);

/// A node that is kept: all of the salts below it follow from its seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    /// The first entry below it.
    first: u32,
    /// So many levels above the entries.
    height: u32,
    #[serde(with = "crate::in_hex")]
    seed: Salt,
}

impl Salts {
    /// Of a page that nothing is forgotten of.
    pub(crate) fn new(seed: Salt, entries: usize) -> Self {
        Self(vec![Node { first: 0, height: entries.max(1).next_power_of_two().trailing_zeros(), seed }])
    }

    /// The salt of each entry; none where it was forgotten.
    pub(crate) fn all(&self, entries: usize) -> Result<Vec<Option<Salt>>, &'static str> {
        let (mut all, mut next) = (vec![None; entries], 0);
        for node in &self.0 {
            if node.height > HEIGHT_MAX || node.first < next || node.first % (1 << node.height) != 0 {
                return Err("its salts overlap");
            }
            next = node.first.saturating_add(1 << node.height);
            node.fill(&mut all);
        }
        Ok(all)
    }

    /// Forgets the salt of an entry, so that nobody can have it again.
    pub(crate) fn forget(&mut self, entry: u32) {
        let Some(at) = self.0.iter().position(|node| node.first <= entry && entry - node.first < 1 << node.height) else { return };
        let mut above = self.0.remove(at);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        while above.height > 0 {
            let [left, right] = above.children();
            if entry < right.first {
                after.push(right);
                above = left;
            } else {
                before.push(left);
                above = right;
            }
        }
        after.reverse();
        before.append(&mut after);
        self.0.splice(at..at, before);
    }
}

impl Node {
    fn children(&self) -> [Self; 2] {
        let digest: [u8; 32] = Sha256::new().chain_update(DOMAIN).chain_update(self.seed).finalize().into();
        let (mut left, mut right) = ([0; 16], [0; 16]);
        left.copy_from_slice(&digest[..16]);
        right.copy_from_slice(&digest[16..]);
        let height = self.height.saturating_sub(1);
        [Self { first: self.first, height, seed: left }, Self { first: self.first + (1 << height), height, seed: right }]
    }

    fn fill(&self, all: &mut [Option<Salt>]) {
        let first = usize::try_from(self.first).unwrap_or(usize::MAX);
        if first >= all.len() {
            return;
        }
        if self.height > 0 {
            self.children().iter().for_each(|child| child.fill(all));
        } else if let Some(place) = all.get_mut(first) {
            *place = Some(self.seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    /// Every salt that follows from a node, whichever entry it is of, and every node on the way.
    fn reachable(node: &Node, found: &mut BTreeSet<Salt>) {
        found.insert(node.seed);
        if node.height > 0 {
            node.children().iter().for_each(|child| reachable(child, found));
        }
    }

    proptest! {
        #[test]
        fn what_is_forgotten_follows_from_nothing_that_stays_and_all_others_do(entries in 1usize..300, forgotten in proptest::collection::btree_set(0u32..300, 0..40)) {
            let mut salts = Salts::new([7; 16], entries);
            let before = salts.all(entries).unwrap();
            prop_assert_eq!(before.iter().flatten().collect::<BTreeSet<_>>().len(), entries);
            for entry in &forgotten {
                salts.forget(*entry);
            }
            // Once more changes nothing.
            let once = salts.clone();
            forgotten.iter().for_each(|entry| salts.forget(*entry));
            prop_assert_eq!(&salts, &once);
            let after = salts.all(entries).unwrap();
            let mut stays = BTreeSet::new();
            salts.0.iter().for_each(|node| reachable(node, &mut stays));
            for (entry, (before, after)) in before.iter().zip(&after).enumerate() {
                let is_forgotten = forgotten.contains(&u32::try_from(entry).unwrap());
                prop_assert_eq!(*after, if is_forgotten { None } else { *before });
                prop_assert_eq!(stays.contains(&before.unwrap()), !is_forgotten);
            }
            let read: Salts = serde_json::from_str(&serde_json::to_string(&salts).unwrap()).unwrap();
            prop_assert_eq!(read, salts);
        }
    }

    #[test]
    fn nodes_that_overlap_are_refused() {
        let node = |first, height| Node { first, height, seed: [1; 16] };
        assert!(Salts(vec![node(0, 2), node(2, 1)]).all(4).is_err());
        assert!(Salts(vec![node(1, 1)]).all(4).is_err());
        assert!(Salts(vec![node(0, 40)]).all(4).is_err());
    }
}
