//! Machines that are suspended, and functions that stand still between two calls.

use std::sync::Arc;
use std::time::Duration;

use issei_aws::Queue;
use issei_clock::{Clock, Held, Instant};
use issei_consumer::Consumer;
use issei_ledger::OnCall;
use tokio_util::sync::CancellationToken;

use crate::world::{TIMING, World};

impl World {
    /// The machine of a service stands still for so long, and with it the clocks that are held.
    pub(crate) fn suspend(&mut self, service: usize, held: Held, lasting: Duration) {
        if let Some(clock) = self.clocks.get(&service) {
            clock.suspend(held);
            self.asleep.push((self.clock.now() + lasting, service));
        }
    }

    /// Wakes the machines whose time has come.
    pub(crate) fn wake(&mut self, now: Instant) {
        let clocks = &self.clocks;
        self.asleep.retain(|(until, service)| {
            if let Some(clock) = clocks.get(service).filter(|_| *until <= now) {
                clock.wake();
            }
            *until > now
        });
    }

    /// Waits until the last machine is awake. Nobody looks meanwhile: there may be hours of it.
    pub(crate) async fn until_all_are_awake(&mut self) {
        while let Some(next) = self.asleep.iter().map(|(until, _)| *until).min() {
            tokio::time::sleep(next.saturating_duration_since(self.clock.now())).await;
            self.wake(self.clock.now());
        }
    }
}

/// What AWS does for a function: it receives messages, calls, deletes what need not come again, and lets the
/// instance stand still until the next call.
pub(crate) async fn called(consumer: Arc<Consumer>, mut on_call: OnCall, queue: Queue, machine: Clock, held: Held) {
    loop {
        let Ok(messages) = queue.receive(10, Duration::from_secs(20)).await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        if messages.is_empty() {
            continue;
        }
        machine.wake();
        let stop = CancellationToken::new();
        let all: Vec<(String, String)> = messages.iter().map(|message| (message.id.clone(), message.receipt.clone())).collect();
        let call = on_call.call(&stop, async |_, token| consumer.handle_for_source(messages, &token).await);
        let handled = {
            let mut call = std::pin::pin!(machine.clone().awake(call));
            tokio::select! {
                biased;
                handled = &mut call => handled,
                () = tokio::time::sleep(TIMING.handler) => {
                    stop.cancel();
                    call.await
                }
            }
        };
        if let Ok(again) = handled {
            let done: Vec<String> = all.into_iter().filter(|(id, _)| !again.contains(id)).map(|(_, receipt)| receipt).collect();
            let _ = queue.delete_batch(done).await;
        }
        machine.suspend(held);
    }
}
