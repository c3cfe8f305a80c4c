//! What an account has seen: calls, what they used, and what its provider accepted for whom, which tests judge by.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::PoisonError;

use issei_clock::Instant;

use super::{Calls, Cloud, Counts};
use crate::store::{Mail, SentTo, StoreError};
use crate::usage::Usage;

impl Cloud {
    /// How many calls each service got.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut all = Counts::new();
        for usage in self.usage.lock().unwrap_or_else(PoisonError::into_inner).values() {
            usage.calls.iter().for_each(|(call, count)| *all.entry(call.clone()).or_default() += count);
        }
        all
    }

    /// What whoever signs with an access key has used so far.
    #[must_use]
    pub fn usage_of(&self, access_key: &str) -> Usage {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).get(access_key).cloned().unwrap_or_default()
    }

    /// What each caller has asked for so far.
    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A digest over every call so far, with its moment and its fault: two runs that have the same
    /// have gone the same way.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.lock().unwrap_or_else(PoisonError::into_inner).finish()
    }

    /// The provider's record: addresses after `after`, in order, with how often each was asked for
    /// and accepted under the broadcast's tag.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn sent_to(&self, broadcast: &str, after: &str, limit: u32) -> Result<Vec<SentTo>, StoreError> {
        self.state().store.sent_to(broadcast, after, limit)
    }

    /// The provider's record of one address.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn sent_for(&self, broadcast: &str, address: &str) -> Result<SentTo, StoreError> {
        self.state().store.sent_for(broadcast, address)
    }

    /// Every mail as rendered, where the account keeps them.
    ///
    /// # Errors
    /// Fails where the store can't be read.
    pub fn mails(&self) -> Result<Vec<Mail>, StoreError> {
        self.state().store.mails()
    }

    /// The account's suppression list: addresses with their reasons.
    #[must_use]
    pub fn suppressed(&self) -> BTreeMap<String, String> {
        self.state().ses.suppressed.clone()
    }

    /// Recipients that the provider has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.state().ses.accepted
    }

    /// Messages that were handed out and stayed in their queue, to be handed out once more, by `Account::redelivery`.
    #[must_use]
    pub fn messages_doubled(&self) -> u64 {
        self.state().sqs.doubled
    }

    /// Recipients of one broadcast that the provider has accepted so far.
    #[must_use]
    pub fn accepted_of(&self, broadcast: &str) -> u64 {
        self.state().ses.accepted_of.get(broadcast).copied().unwrap_or(0)
    }

    /// When a send of one broadcast was asked for last, on the simulation's monotonic clock.
    #[must_use]
    pub fn last_send_of(&self, broadcast: &str) -> Option<Instant> {
        self.last_send.lock().unwrap_or_else(PoisonError::into_inner).get(broadcast).copied()
    }

    /// When the provider accepted a recipient of a broadcast last, on the simulation's monotonic clock.
    #[must_use]
    pub fn last_accepted_of(&self, broadcast: &str) -> Option<Instant> {
        self.state().ses.last_accepted_of.get(broadcast).copied()
    }

    /// When the last of the sends was asked for by which the provider accepted somebody of a broadcast, on the simulation's
    /// monotonic clock. One that was long on its way was asked for before it was accepted.
    #[must_use]
    pub fn last_taken_of(&self, broadcast: &str) -> Option<Instant> {
        self.last_taken.lock().unwrap_or_else(PoisonError::into_inner).get(broadcast).copied()
    }

    /// The most recipients that the provider accepted within any one second.
    #[must_use]
    pub fn peak_in_a_second(&self) -> u64 {
        self.state().ses.peak_in_a_second
    }
}
