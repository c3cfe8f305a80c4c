//! What a canary that chooses by keys comes to: of whom it is, and who was named and is not among them. Told before the
//! first send, since a canary that reaches nobody shows nothing.

use std::collections::{BTreeMap, BTreeSet};

use issei_ledger::{Broadcast, LedgerError, SkipReason};
use issei_schema::{BroadcastCommand, Choice};

use crate::judging::Candidate;
use crate::row::Judged;
use crate::service::Producer;
use crate::source::quotable;

/// Keys that are told of each kind.
const TOLD: usize = 5;

/// Whom a canary chooses of an audience, by a share or by keys. It holds no more keys than its command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenCanary {
    choice: Choice,
    pub recipients: u64,
    /// Of keys that were named: who is mailed, and why others are not.
    mailed: BTreeSet<String>,
    skipped: BTreeMap<String, SkipReason>,
}

impl ChosenCanary {
    /// Nobody yet; nothing where the command's canary does not choose.
    pub(crate) fn of(command: &BroadcastCommand) -> Option<Self> {
        let choice = command.canary.as_ref()?.choice()?.clone();
        Some(Self { choice, recipients: 0, mailed: BTreeSet::new(), skipped: BTreeMap::new() })
    }

    /// Someone of the canary's part of the audience.
    pub(crate) fn take(&mut self, candidate: &Candidate) {
        match &candidate.judged {
            Judged::Recipient(recipient, _) => self.add(recipient.key.as_str(), None),
            Judged::Skipped(key, reason) => self.add(key, Some(*reason)),
            Judged::SkippedFor { key, .. } => self.add(key, Some(SkipReason::DuplicateAddress)),
        }
    }

    fn add(&mut self, key: &str, skipped: Option<SkipReason>) {
        self.recipients += u64::from(skipped.is_none());
        if matches!(self.choice, Choice::Share(_)) {
            return;
        }
        let key = quotable(key);
        match skipped {
            None => _ = self.mailed.insert(key),
            Some(reason) => _ = self.skipped.insert(key, reason),
        }
    }

    /// What is to be known of it: that nobody is chosen, or which of those who were named are not mailed. Nothing where
    /// all is as it was asked for. A key that may be an address is counted and not told.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let keys = match &self.choice {
            Choice::Share(share) => {
                return (self.recipients == 0).then(|| format!("the canary's share of {share} chooses nobody who can be mailed"));
            }
            Choice::Keys(keys) => keys,
        };
        let named: Vec<String> = keys.iter().map(|key| quotable(key.as_str())).collect();
        let absent: Vec<String> =
            named.iter().filter(|key| !self.mailed.contains(*key) && !self.skipped.contains_key(*key)).cloned().collect();
        let skipped = |key: &String| Some(format!("{key}: {}", self.skipped.get(key).filter(|_| !self.mailed.contains(key))?));
        let skipped: Vec<String> = named.iter().filter_map(skipped).collect();
        let told = [(absent, "not in the audience"), (skipped, "skipped")];
        let told: Vec<String> = told
            .iter()
            .filter(|(keys, _)| !keys.is_empty())
            .map(|(keys, what)| format!("{} {} {what}{}", keys.len(), if keys.len() == 1 { "is" } else { "are" }, listed(keys)))
            .collect();
        let named = named.len();
        (!told.is_empty()).then(|| format!("of the {named} keys that the canary names {}", told.join(" and ")))
    }
}

/// Some keys in brackets, of those that can't be addresses.
fn listed(keys: &[String]) -> String {
    let shown: Vec<&str> = keys.iter().map(String::as_str).filter(|key| !key.contains('@')).take(TOLD).collect();
    match shown.len() {
        0 => String::new(),
        some if some < keys.len() => format!(" ({}, …)", shown.join(", ")),
        _ => format!(" ({})", shown.join(", ")),
    }
}

impl Producer {
    /// What the canary of a frozen audience has come to; nothing where it does not choose.
    pub(crate) async fn chosen(&self, command: &BroadcastCommand, broadcast: &Broadcast) -> Result<Option<ChosenCanary>, LedgerError> {
        let Some(mut chosen) = ChosenCanary::of(command) else { return Ok(None) };
        for seq in 0..broadcast.pages {
            let page = self.ledger.page(&broadcast.placed(), seq).await?;
            if !page.is_in_canary() {
                break;
            }
            page.known_recipients().for_each(|recipient| chosen.add(recipient.key.as_str(), None));
            page.skipped().for_each(|skipped| chosen.add(&skipped.key, Some(skipped.reason)));
        }
        Ok(Some(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(canary: &str) -> ChosenCanary {
        let body = format!(
            r#"{{"version":2,"class":"service","broadcast_id":"b","audience":"users","content":{{"inline":{{"subject":"x","text":"y"}}}},
            "from":"a@example.com","max_recipients":10,"not_after":"2026-11-25T00:00:00Z","requested_by":"test","canary":{canary}}}"#
        );
        ChosenCanary::of(&BroadcastCommand::parse(&body).unwrap()).unwrap()
    }

    #[test]
    fn who_is_named_and_not_mailed_is_told_and_addresses_are_not() {
        let mut chosen = chosen(r#"{"keys":["17","18","19","ann@example.com"]}"#);
        chosen.add("17", None);
        chosen.add("17", Some(SkipReason::DuplicateKey));
        chosen.add("19", Some(SkipReason::Bounced));
        let told = "of the 4 keys that the canary names 2 are not in the audience (18, …) and 1 is skipped (19: bounced)";
        assert_eq!(chosen.told().as_deref(), Some(told));
        ["18", "19", "ann@example.com"].iter().for_each(|key| chosen.add(key, None));
        assert_eq!((chosen.told(), chosen.recipients), (None, 4));
    }

    #[test]
    fn a_share_that_chooses_nobody_is_told() {
        let mut chosen = chosen(r#"{"share":0.01}"#);
        assert_eq!(chosen.told().as_deref(), Some("the canary's share of 0.01 chooses nobody who can be mailed"));
        chosen.add("17", None);
        assert_eq!(chosen.told(), None);
    }
}
