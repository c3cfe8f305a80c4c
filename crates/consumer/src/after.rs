//! What becomes of a message once its chunk has been looked at. Deletions, delays and copies go to SQS
//! ten at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use issei_aws::{Message, Queue};
use tokio::sync::mpsc;

/// What is to be done with a message.
#[derive(Debug)]
pub(crate) enum After {
    /// Its chunk is accounted for in the ledger.
    Delete,
    /// Nothing yet: it stays hidden for so long from now, since somebody is still at it.
    Keep(Duration),
    /// It comes again after this, and SQS counts the receive.
    Hide(Duration),
    /// It comes again after this as a fresh message, since nothing is wrong with it: a paused
    /// broadcast must not spend its receives and end in the dead-letter queue.
    PutBack(Duration),
    /// Whoever has it has no time left: another may have it at once.
    GiveBack,
    /// It can't be handled, for this reason.
    Bury(String),
}

/// How long a deletion may wait for company. Long enough to fill batches at a chunk in 50 ms, and
/// short against any visibility timeout.
const LINGER: Duration = Duration::from_millis(500);
const BATCH: usize = 10;
/// Batches of deletions under way at once: one after another, at 50 ms each, would hold a consumer to 10,000
/// recipients a second.
const AT_ONCE: usize = 8;
/// A function that has no time left gives its messages back as copies, since with a handful of chunks
/// for each call that would otherwise spend their receives. Not at once, or it would have them again.
const NEXT_CALL: Duration = Duration::from_secs(1);

/// Decided, and not carried out yet.
#[derive(Default)]
struct Pile {
    delete: Vec<String>,
    keep: BTreeMap<Duration, Vec<String>>,
    hide: BTreeMap<Duration, Vec<String>>,
    put_back: BTreeMap<Duration, Vec<Message>>,
}

/// SQS takes whole seconds, and what has the same delay goes in one call.
fn whole(delay: Duration) -> Duration {
    Duration::from_secs(delay.as_secs())
}

impl Pile {
    fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.keep.is_empty() && self.hide.is_empty() && self.put_back.is_empty()
    }

    /// Whatever is decided about a message comes after its keeping, and must not be undone by it.
    fn keep_no_more(&mut self, receipt: &str) {
        self.keep.retain(|_, kept| {
            kept.retain(|kept| kept != receipt);
            !kept.is_empty()
        });
    }

    fn waiting(&self) -> usize {
        let hidden = self.keep.values().chain(self.hide.values()).map(Vec::len);
        hidden.chain(self.put_back.values().map(Vec::len)).sum()
    }

    /// Hides and puts back. A message whose copy is sent is to be deleted.
    async fn postpone(&mut self, queue: &Queue) {
        for (delay, messages) in std::mem::take(&mut self.put_back) {
            for messages in messages.chunks(BATCH) {
                if copied(queue, messages, delay).await {
                    self.delete.extend(messages.iter().map(|message| message.receipt.clone()));
                }
            }
        }
        for (timeout, receipts) in std::mem::take(&mut self.keep) {
            keep(queue, &receipts, timeout).await;
        }
        for (delay, receipts) in std::mem::take(&mut self.hide) {
            if let Err(error) = queue.hide_batch(&receipts, delay).await {
                tracing::warn!(%error, "messages can't be delayed; they come again by themselves");
            }
        }
    }
}

/// Keeps messages hidden for so long from now.
pub(crate) async fn keep(queue: &Queue, receipts: &[String], timeout: Duration) {
    if let Err(error) = queue.hide_batch(receipts, timeout).await {
        tracing::warn!(%error, "messages can't be kept hidden; they may be handed out again, which is harmless");
    }
}

async fn delete(queue: &Queue, receipts: Vec<String>) {
    // A message that is not deleted comes again and finds its chunk settled.
    if let Err(error) = queue.delete_batch(receipts).await {
        tracing::warn!(%error, "messages can't be deleted; they come again, which is harmless");
    }
}

/// The copies first: a crash in between leaves two of each, and the ledger knows them as one.
async fn copied(queue: &Queue, messages: &[Message], delay: Duration) -> bool {
    let sent = queue.send_copies(messages, delay).await;
    if let Err(error) = &sent {
        tracing::warn!(%error, "messages can't be put back; they come again by themselves");
    }
    sent.is_ok()
}

/// A copy first, like above.
async fn refused(queue: &Queue, message: &Message, reason: &str) -> bool {
    tracing::error!(message.id, reason, "message refused; it goes to the dead-letter queue");
    let copied = queue.copy_to_dead_letters(message, reason, None).await;
    if let Err(error) = &copied {
        tracing::warn!(%error, message.id, "a refused message can't be moved; it comes again");
    }
    copied.is_ok()
}

/// Carries out what was decided, until every sender is gone and the last batch is out.
pub(crate) async fn carry_out(queue: &Queue, mut decided: mpsc::Receiver<(Message, After)>) {
    let (mut pile, mut deletions) = (Pile::default(), FuturesUnordered::new());
    loop {
        let is_waiting = !pile.is_empty();
        let next = tokio::select! {
            biased;
            Some(()) = deletions.next(), if !deletions.is_empty() => continue,
            next = decided.recv() => Ok(next),
            () = tokio::time::sleep(LINGER), if is_waiting => Err(()),
        };
        let is_idle = next.is_err();
        let is_over = matches!(next, Ok(None));
        if let Ok(Some((message, after))) = next {
            pile.keep_no_more(&message.receipt);
            match after {
                After::Delete => pile.delete.push(message.receipt),
                After::Keep(timeout) => pile.keep.entry(whole(timeout)).or_default().push(message.receipt),
                After::Hide(delay) => pile.hide.entry(whole(delay)).or_default().push(message.receipt),
                After::GiveBack => pile.hide.entry(Duration::ZERO).or_default().push(message.receipt),
                After::PutBack(delay) => pile.put_back.entry(whole(delay)).or_default().push(message),
                After::Bury(reason) => {
                    if refused(queue, &message, &reason).await {
                        pile.delete.push(message.receipt);
                    }
                }
            }
        }
        if is_idle || is_over || pile.waiting() >= BATCH {
            pile.postpone(queue).await;
        }
        while pile.delete.len() >= BATCH || ((is_idle || is_over) && !pile.delete.is_empty()) {
            let rest = pile.delete.split_off(pile.delete.len().min(BATCH));
            if deletions.len() >= AT_ONCE {
                deletions.next().await;
            }
            deletions.push(delete(queue, std::mem::replace(&mut pile.delete, rest)));
        }
        if is_over {
            while deletions.next().await.is_some() {}
            return;
        }
    }
}

/// Carries out what was decided about messages that an event source has received, and deletes itself
/// unless it is told that they must come again. Gives the ids of those.
pub(crate) async fn carry_out_for_source(queue: &Queue, decided: Vec<(Message, After)>) -> Vec<String> {
    let (mut pile, mut again) = (Pile::default(), Vec::new());
    for (message, after) in decided {
        match after {
            After::Delete | After::Keep(_) => {}
            After::Hide(delay) => {
                pile.hide.entry(whole(delay)).or_default().push(message.receipt);
                again.push(message.id);
            }
            After::GiveBack => pile.put_back.entry(NEXT_CALL).or_default().push(message),
            After::PutBack(delay) => pile.put_back.entry(whole(delay)).or_default().push(message),
            After::Bury(reason) => {
                if !refused(queue, &message, &reason).await {
                    again.push(message.id);
                }
            }
        }
    }
    for (delay, messages) in std::mem::take(&mut pile.put_back) {
        for messages in messages.chunks(BATCH) {
            if !copied(queue, messages, delay).await {
                again.extend(messages.iter().map(|message| message.id.clone()));
            }
        }
    }
    pile.postpone(queue).await;
    again
}
