//! What a run holds, for its next heartbeat to say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use issei_schema::BroadcastId;

/// How much a run holds of each broadcast.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Mutex<BTreeMap<BroadcastId, u64>>>);

impl Held {
    pub(crate) fn hold(&self, id: &BroadcastId) -> Holding {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
        Holding { held: self.clone(), id: id.clone() }
    }

    pub(crate) fn broadcasts(&self) -> Vec<BroadcastId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Something that a run holds of a broadcast, for as long as this lives.
#[derive(Debug)]
#[must_use = "what is held is held for as long as this lives"]
pub struct Holding {
    held: Held,
    id: BroadcastId,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_held_until_the_last_of_it_is_let_go() {
        let (held, id): (Held, BroadcastId) = (Held::default(), "terms".parse().unwrap());
        let (permits, send) = (held.hold(&id), held.hold(&id));
        drop(permits);
        assert_eq!(held.broadcasts(), std::slice::from_ref(&id));
        drop(send);
        assert!(held.broadcasts().is_empty());
    }
}
