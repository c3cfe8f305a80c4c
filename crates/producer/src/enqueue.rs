//! Putting frozen chunks on the queue. Doing it twice is harmless: the ledger decides what is sent.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use issei_ledger::{Broadcast, BroadcastState};
use issei_schema::{ChunkMessage, Opening};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::service::{Producer, ProducerError};

/// `SendMessageBatch` takes ten entries (SQS API reference).
const BATCH: usize = 10;
/// Batches under way at once: at 10 ms a call this is 20,000 recipients a second, more than the
/// consumers' side of most accounts, and one page in memory.
const BATCHES_AT_ONCE: usize = 4;

impl Producer {
    /// Enqueues the pages that have not been, and moves the cursor after each. Ends early where the
    /// broadcast has been stopped, where a canary waits for its approval, where it may not be sent now, since whoever looks
    /// after it goes on when it may, and between two pages where `stop` is cancelled.
    pub(crate) async fn enqueue(&self, mut broadcast: Broadcast, stop: &CancellationToken) -> Result<Broadcast, ProducerError> {
        let id = broadcast.broadcast_id.clone();
        while broadcast.enqueued_pages < broadcast.pages && !is_ending(&broadcast) && !stop.is_cancelled() {
            if !matches!(broadcast.schedule().at(self.clock.wall()), Opening::Open { .. }) {
                return Ok(broadcast);
            }
            let page = self.ledger.page(&id, broadcast.enqueued_pages).await?;
            let all = page.chunks().count();
            // Whoever handles a chunk of the page goes on with this.
            let span = tracing::info_span!("page", page.seq);
            let trace = span.in_scope(self.options.traces.current);
            let may = page.messages(&broadcast, trace.as_ref()).filter(|message| broadcast.may_enqueue(message.chunk));
            let bodies: Vec<String> = may.map(|message: ChunkMessage| message.to_body()).collect();
            let is_whole = bodies.len() == all;
            let batches: Vec<Vec<String>> = bodies.chunks(BATCH).map(<[String]>::to_vec).collect();
            stream::iter(batches)
                .map(async |batch| self.chunks.send_batch(&batch, Duration::ZERO).await)
                .buffer_unordered(BATCHES_AT_ONCE)
                .try_collect::<()>()
                .instrument(span)
                .await?;
            tracing::info!(page.seq, chunks = bodies.len(), of = all, "page enqueued");
            if !is_whole {
                // The canary ends here. The cursor stays before this page until it is approved.
                return Ok(broadcast);
            }
            broadcast = self.ledger.enqueued(&id, page.seq).await?;
        }
        Ok(broadcast)
    }
}

fn is_ending(broadcast: &Broadcast) -> bool {
    broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Stopping
}
