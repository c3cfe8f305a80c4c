//! What becomes of a message once its chunk has been looked at. Deletions and delays go to SQS ten
//! at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use issei_aws::{Message, Queue};
use tokio::sync::mpsc;

/// What is to be done with a message.
#[derive(Debug)]
pub(crate) enum After {
    /// Its chunk is accounted for in the ledger.
    Delete,
    /// It comes again after this, and SQS counts the receive.
    Hide(Duration),
    /// It comes again after this as a fresh message, since nothing is wrong with it: a paused
    /// broadcast must not spend its receives and end in the dead-letter queue.
    PutBack(Duration),
    /// It can't be handled, for this reason.
    Bury(String),
}

/// How long a deletion may wait for company. Long enough to fill batches at a chunk in 50 ms, and
/// short against any visibility timeout.
const LINGER: Duration = Duration::from_millis(500);
const BATCH: usize = 10;

/// Carries out what was decided, until every sender is gone and the last batch is out.
pub(crate) async fn carry_out(queue: &Queue, mut decided: mpsc::Receiver<(Message, After)>) {
    let mut delete: Vec<String> = Vec::new();
    let mut hide: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    loop {
        let waiting = !delete.is_empty() || !hide.is_empty();
        let next = if waiting { tokio::time::timeout(LINGER, decided.recv()).await } else { Ok(decided.recv().await) };
        let is_idle = next.is_err();
        let is_over = matches!(next, Ok(None));
        match next {
            Ok(Some((message, After::Delete))) => delete.push(message.receipt),
            Ok(Some((message, After::Hide(delay)))) => hide.entry(delay.as_secs()).or_default().push(message.receipt),
            Ok(Some((message, After::PutBack(delay)))) => {
                // The copy first: a crash in between leaves two, and the ledger knows them as one.
                match queue.send(&message.body, delay).await {
                    Ok(()) => delete.push(message.receipt),
                    Err(error) => tracing::warn!(%error, "a message can't be put back; it comes again by itself"),
                }
            }
            Ok(Some((message, After::Bury(reason)))) => {
                tracing::error!(message.id, reason, "message refused; it is in the dead-letter queue");
                if let Err(error) = queue.bury(&message, &reason).await {
                    tracing::warn!(%error, message.id, "a refused message can't be moved; it comes again");
                }
            }
            Ok(None) | Err(_) => {}
        }
        if delete.len() >= BATCH || ((is_idle || is_over) && !delete.is_empty()) {
            // A message that is not deleted comes again and finds its chunk settled.
            if let Err(error) = queue.delete_batch(std::mem::take(&mut delete)).await {
                tracing::warn!(%error, "messages can't be deleted; they come again, which is harmless");
            }
        }
        if is_idle || is_over || hide.values().map(Vec::len).sum::<usize>() >= BATCH {
            for (seconds, receipts) in std::mem::take(&mut hide) {
                if let Err(error) = queue.hide_batch(&receipts, Duration::from_secs(seconds)).await {
                    tracing::warn!(%error, "messages can't be delayed; they come again by themselves");
                }
            }
        }
        if is_over {
            return;
        }
    }
}
