//! Requests that a run does not make again, since it would not make the same one: its key of the provider is another, or its
//! build writes them otherwise. Whoever is in doubt under one stays so, unless a run asks in time that can; so each run says with
//! its beats what it has met with.
//!
//! What this must never do: name a broadcast of which nobody can be asked about any more.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use issei_schema::{Bilingual, BroadcastId, ProviderName, both};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Broadcast, BroadcastState, Heartbeat};

/// What a run says of one broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unasked {
    pub broadcast_id: BroadcastId,
    pub requests: u64,
    /// Until when the last of them may be made again.
    pub until: Timestamp,
}

/// What a run has met with so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetWith(Arc<Mutex<BTreeMap<BroadcastId, BTreeMap<u32, Timestamp>>>>);

impl MetWith {
    /// A chunk, and until when its request may be made again.
    pub(crate) fn note(&self, id: &BroadcastId, chunk: u32, until: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default().insert(chunk, until);
    }

    /// Nobody of the chunk is in doubt any more.
    pub(crate) fn settle(&self, id: &BroadcastId, chunk: u32) {
        if let Some(chunks) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(id) {
            chunks.remove(&chunk);
        }
    }

    /// What may still be asked about at `now`; the rest is forgotten.
    pub(crate) fn told(&self, now: Timestamp) -> Vec<Unasked> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, chunks| {
            chunks.retain(|_, until| now < *until);
            !chunks.is_empty()
        });
        let last = |chunks: &BTreeMap<u32, Timestamp>| chunks.values().max().copied().unwrap_or(now);
        all.iter().map(|(id, chunks)| Unasked { broadcast_id: id.clone(), requests: chunks.len() as u64, until: last(chunks) }).collect()
    }
}

/// What the runs say together of one broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotAsked {
    provider: ProviderName,
    /// As many as one run has met with; others may have met with others.
    pub requests: u64,
    /// Until when any of them may be asked about.
    pub until: Timestamp,
    /// Who has met with them.
    pub met_by: Vec<String>,
}

impl NotAsked {
    /// Nothing where there are none, or nobody can be asked any more. Whether somebody is in doubt still the chunks tell.
    #[must_use]
    pub fn of(broadcast: &Broadcast, runs: &[Heartbeat], now: Timestamp) -> Option<Self> {
        // Nobody is asked about once it ends.
        if broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Stopping {
            return None;
        }
        let of_it = |run: &Heartbeat| run.unasked.iter().find(|met| met.broadcast_id == broadcast.broadcast_id && now < met.until).cloned();
        let met: Vec<(&str, Unasked)> = runs.iter().filter_map(|run| Some((run.actor.as_str(), of_it(run)?))).collect();
        let until = met.iter().map(|(_, met)| met.until).max()?.min(broadcast.not_after);
        (now < until).then(|| Self {
            provider: broadcast.provider.clone().unwrap_or_default(),
            requests: met.iter().map(|(_, met)| met.requests).max().unwrap_or_default(),
            until,
            met_by: met.into_iter().map(|(actor, _)| actor.to_owned()).collect(),
        })
    }

    /// What is the matter, for people.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let Self { provider, requests, until, met_by } = self;
        let count = requests;
        let (requests, were) = if *requests == 1 { ("1 request".to_owned(), "was") } else { (format!("{requests} requests"), "were") };
        both!(
            "{requests} whose answer was lost {were} made with another key of {provider} than is configured now (or by a build that writes them otherwise) where they were met with: {}; nobody asks there what became of them, and {provider} can be asked until {until:.0}",
            "応答が失われた要求が{count}件あり、確認したコンシューマー({})に現在設定されているものとは別の {provider} のキーで送られたか、要求の作り方が異なる版が送りました。そのため結果を照会していません。{provider} に照会できるのは{until:.0}までです",
            met_by.join("; ")
        )
    }

    /// What to do.
    #[must_use]
    pub fn next_step(&self, id: impl Display) -> Bilingual {
        let Self { provider, until, .. } = self;
        both!(
            "start a consumer with the key that they were made with (`key` of [providers.{provider}]) before {until:.0}; whoever is in doubt then stays so, and so does whoever a consumer of an older build has sent to, which says nothing of its key: `issei export {id} --outcome in-doubt` lists them",
            "{until:.0}までに、その要求を送ったキー([providers.{provider}] の `key`)でコンシューマーを起動してください。それ以降は結果不明のままになります。キーを記録しない旧版のコンシューマーが送った分も同じです。`issei export {id} --outcome in-doubt` で一覧できます"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_tells_of_requests_as_long_as_they_may_be_made_again_and_of_none_that_is_settled() {
        let (met, id): (_, BroadcastId) = (MetWith::default(), "terms".parse().unwrap());
        let at = |second| Timestamp::from_second(second).unwrap();
        for (chunk, until) in [(0, 100), (1, 200), (2, 150), (1, 200)] {
            met.note(&id, chunk, at(until));
        }
        let told = |now| met.told(at(now)).into_iter().map(|told| (told.requests, told.until)).collect::<Vec<_>>();
        assert_eq!(told(99), [(3, at(200))]);
        assert_eq!(told(100), [(2, at(200))]);
        met.settle(&id, 1);
        assert_eq!(told(100), [(1, at(150))]);
        assert!(told(150).is_empty());
    }
}
