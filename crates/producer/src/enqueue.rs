//! Putting frozen chunks on the queue. Doing it twice is harmless: the ledger decides what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use issei_ledger::{Broadcast, BroadcastState, LedgerError};
use issei_schema::{ChunkMessage, Opening};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::service::{Producer, ProducerError};

/// `SendMessageBatch` takes ten entries (SQS API reference).
const BATCH: usize = 10;
/// Pages under way at once: their chunks are some megabytes.
const PAGES_AT_ONCE: usize = 3;
/// Batches of each of them.
const BATCHES_AT_ONCE: usize = 4;

impl Producer {
    /// Enqueues the pages that have not been, some at once, and moves the cursor over each once it and all before it are.
    /// Ends early where the broadcast has been stopped, where a canary waits for its approval, where it may not be sent now,
    /// since whoever looks after it goes on when it may, and between two pages where `stop` is cancelled.
    pub(crate) async fn enqueue(&self, broadcast: Broadcast, stop: &CancellationToken) -> Result<Broadcast, ProducerError> {
        let (id, first) = (broadcast.broadcast_id.clone(), Arc::new(broadcast.clone()));
        let (mut broadcast, is_over) = (broadcast, AtomicBool::new(is_ending(&first)));
        let may_go_on = |_: &u32| {
            let is_open = matches!(first.schedule().at(self.clock.wall()), Opening::Open { .. });
            is_open && !stop.is_cancelled() && !is_over.load(Ordering::Relaxed)
        };
        let pages = (first.enqueued_pages..first.pages).take_while(may_go_on);
        let mut enqueued = stream::iter(pages).map(|seq| self.enqueue_page(&first, seq)).buffered(PAGES_AT_ONCE);
        let mut page = enqueued.try_next().await?;
        while let Some((seq, is_whole)) = page {
            if !is_whole {
                // The canary ends here. The cursor stays before this page until it is approved.
                return Ok(broadcast);
            }
            let (moved, next) = tokio::join!(self.ledger.enqueued(&id, seq), enqueued.try_next());
            broadcast = moved?;
            is_over.store(is_ending(&broadcast), Ordering::Relaxed);
            page = next?;
        }
        Ok(broadcast)
    }

    /// Enqueues those chunks of a page that may be; says whether those are all.
    async fn enqueue_page(&self, broadcast: &Arc<Broadcast>, seq: u32) -> Result<(u32, bool), ProducerError> {
        let unread = self.ledger.unread_page(&broadcast.placed(), seq).await?;
        // Whoever handles a chunk of the page goes on with this.
        let span = tracing::info_span!("page", page.seq = seq);
        let (trace, broadcast) = (span.in_scope(self.options.traces.current), broadcast.clone());
        let reading = self.aside.compute(move || {
            let page = unread.read()?.page;
            let may = page.messages(&broadcast, trace.as_ref()).filter(|message| broadcast.may_enqueue(message.chunk));
            let bodies: Vec<String> = may.map(|message: ChunkMessage| message.to_body()).collect();
            let batches: Vec<Vec<String>> = bodies.chunks(BATCH).map(<[String]>::to_vec).collect();
            Ok::<_, LedgerError>((bodies.len(), page.chunks().count(), batches))
        });
        let (may, all, batches) = reading.await??;
        stream::iter(batches)
            .map(async |batch| self.chunks.send_batch(&batch, Duration::ZERO).await)
            .buffer_unordered(BATCHES_AT_ONCE)
            .try_collect::<()>()
            .instrument(span)
            .await?;
        tracing::info!(page.seq = seq, chunks = may, of = all, "page enqueued");
        Ok((seq, may == all))
    }
}

fn is_ending(broadcast: &Broadcast) -> bool {
    broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Stopping
}
