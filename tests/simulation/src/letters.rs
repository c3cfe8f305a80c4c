//! What mails say, by the provider's own record of them, and whom the suppression list has kept from getting any.

use issei_clock::Instant;
use issei_ledger::{Broadcast, Ledger, SkipReason, Suppression};
use issei_sim::{Cloud, KEY_HEADER, Mail};

use crate::judge::{Broken, broken};
use crate::watched::Watched;

/// The mark of a copy.
const COPY_HEADER: &str = "X-Issei-Test-Copy";
const COPY_SUBJECT: &str = "[Test] ";

/// An address that has come on the suppression list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) address: String,
    pub(crate) why: Suppression,
    /// The first page of the broadcast that can only have been judged afterwards.
    pub(crate) from_page: u32,
    /// From when on nothing more is to be accepted for it: consumers look at the list every ten seconds, and a request that
    /// begins later than its permit lets it is refused.
    pub(crate) heeded_at: Instant,
    /// How many messages to it were accepted by then, once it is then.
    pub(crate) accepted: Option<u64>,
    /// They were in doubt then under a key, and whoever is asked about is named in the same body as before (decision 13): the repeat may
    /// be the first that is accepted.
    pub(crate) is_asked_about: bool,
}

impl Listed {
    /// What can't arrive is sent to nobody; a wish not to be mailed does not hold against a legal notice.
    pub(crate) fn binds(&self, class: Option<&str>) -> bool {
        self.why == Suppression::Bounced || class != Some("legal_notice")
    }
}

pub(crate) fn user_of(address: &str) -> Option<i64> {
    address.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// Everybody has the words that are for them, by the provider that carries the broadcast; and what is a copy says so, goes to
/// whom it was asked for, and nothing else says that it is one.
pub(crate) fn say_what_they_should(mails: &[Mail], all: &[Watched]) -> Result<(), Broken> {
    for mail in mails {
        let is_of = |watched: &&Watched| mail.tags.split(' ').any(|tag| tag.strip_prefix("broadcast=") == Some(watched.id.as_str()));
        let Some(watched) = all.iter().find(is_of) else { return broken("letters", "a mail is of no broadcast that was asked for") };
        let (id, user) = (&watched.id, user_of(&mail.address).unwrap_or(-1));
        let meant = watched.kinds.subject_for(&watched.subject, user);
        let unmarked = mail.subject.strip_prefix(COPY_SUBJECT);
        let said = unmarked.unwrap_or(&mail.subject);
        let said = said.strip_prefix("Other ").unwrap_or(said);
        if meant.as_deref() != Some(said) {
            return broken("letters", format!("user {user} of {id} was sent `{}`, and {meant:?} was meant", mail.subject));
        }
        let has = |name: &str| mail.headers.iter().any(|(header, _)| header == name);
        let is_copy = watched.copy_to.is_some();
        if has(COPY_HEADER) != is_copy || unmarked.is_some() != is_copy || watched.copy_to.is_some_and(|to| to != user) {
            return broken("copies", format!("a mail of {id} to user {user} is marked as a copy: {}", has(COPY_HEADER)));
        }
        if has(KEY_HEADER) != watched.keys.is_some() {
            return broken("providers", format!("a mail of {id} went by the provider with keys: {}", has(KEY_HEADER)));
        }
    }
    Ok(())
}

/// Whoever had come on the list before a page was judged is not in it, where the class heeds why; and nobody is left out of a
/// legal notice for a wish.
pub(crate) async fn heed_the_list(ledger: &Ledger, cloud: &Cloud, broadcast: &Broadcast, watched: &Watched) -> Result<(), Broken> {
    let (id, class, listed) = (&watched.id, watched.kinds.class, &watched.listed);
    if listed.is_empty() {
        return Ok(());
    }
    for seq in 0..broadcast.pages {
        let page = match ledger.page(&broadcast.placed(), seq).await {
            Ok(page) => page,
            Err(error) => return broken("I6", format!("page {seq} can't be read: {error}")),
        };
        let bound = |listed: &&Listed| {
            let is_there = page.known_recipients().any(|recipient| recipient.address.as_str() == listed.address);
            listed.binds(class) && seq >= listed.from_page && is_there
        };
        if let Some(Listed { address, why, from_page, .. }) = listed.iter().find(bound) {
            return broken("suppression", format!("{address} is {} since before page {from_page}, and in page {seq}", why.as_str()));
        }
        let wished = |reason| matches!(reason, SkipReason::Complained | SkipReason::Unsubscribed | SkipReason::Suppressed);
        if let Some(skipped) = page.skipped().find(|skipped| class == Some("legal_notice") && wished(skipped.reason)) {
            return broken("suppression", format!("user {} is left out of a legal notice: {}", skipped.key, skipped.reason));
        }
    }
    let is_sent_to = |listed: &&Listed| {
        let asked = cloud.sent_for(id.as_str(), &listed.address).map_or(0, |sent| sent.requests);
        listed.binds(class) && listed.from_page == 0 && asked > 0
    };
    match listed.iter().find(is_sent_to) {
        Some(Listed { address, .. }) => broken("suppression", format!("{address} was on the list before {id} was, and was sent to")),
        None => Ok(()),
    }
}
