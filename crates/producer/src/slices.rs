//! The producer where it is called now and then and has only so much time: commands in slices, and looking
//! after open broadcasts.

use std::time::Duration;

use issei_aws::Message;
use issei_ledger::LedgerEpoch;
use tokio_util::sync::CancellationToken;

use crate::service::{Done, Producer};

impl Producer {
    /// Looks after open broadcasts until `stop`, or until there is none. For those who call this now and
    /// then: what it saw stays, and the time between two calls counts only where this process's own clock
    /// has gone on.
    pub async fn look_after_until(&self, stop: &CancellationToken) {
        while self.look_once(stop).await {
            stop.run_until_cancelled(tokio::time::sleep(self.dice.jitter(self.options.close_every))).await;
        }
    }

    /// Carries out commands that an event source has received, and gives the ids of those that must come
    /// again; the source deletes the others. What is not finished when `stop` is cancelled goes on in a
    /// copy of its message, so that a long broadcast spends none of its receives.
    pub async fn handle_for_source(&self, epoch: LedgerEpoch, messages: &[Message], stop: &CancellationToken) -> Vec<String> {
        let mut again = Vec::new();
        for message in messages {
            let done = self.carry_out(epoch, message, stop).await;
            let is_done = match done {
                Ok(Done::Delete) => true,
                Ok(Done::Bury(refusal)) => self.refuse_message(message, &refusal).await,
                Ok(Done::Unfinished { moved: true }) => self.go_on_later(message).await,
                // A page that takes longer than a call may never be done. It counts, and ends in the dead-letter queue.
                Ok(Done::Unfinished { moved: false }) => {
                    tracing::warn!(message.id, receives = message.receives, "the call's time was over before a page was done");
                    false
                }
                Err(error) => self.try_again_later(message, &error).await,
            };
            if !is_done {
                again.push(message.id.clone());
            }
        }
        again
    }

    async fn go_on_later(&self, message: &Message) -> bool {
        let sent = self.commands.send_copies(std::slice::from_ref(message), Duration::ZERO).await;
        if let Err(error) = &sent {
            tracing::warn!(%error, "a command's continuation can't be enqueued; its message comes again by itself");
        }
        sent.is_ok()
    }
}
