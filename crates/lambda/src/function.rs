//! One function from its first call to its last: how much time a call has, and what becomes of it.

use std::pin::Pin;
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use issei_assembly::{Parts, flush_traces};
use issei_aws::{Message, Queue};
use issei_clock::Clock;
use issei_ledger::{LedgerError, OnCall};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::event::{Call, answer};
use crate::part::Part;

/// How long messages stay away that came while nothing may be done.
const PUT_BACK: Duration = Duration::from_mins(1);
/// What a function must have beside the time in which it claims nothing more.
const WORK_MIN: Duration = Duration::from_secs(1);
/// What is kept of a call's time for its answer.
const ANSWER: Duration = Duration::from_millis(500);
/// What of that a collector of traces may take.
const LAST_SPANS: Duration = Duration::from_millis(250);

/// Why a call failed as a whole. Lambda counts it as an error of the function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("this call can't be understood: {0}")]
    Unknown(String),
    #[error(
        "{left_ms} ms are left of this call's time, and the last {reserve_ms} ms are kept for what is under way: give the function a timeout of handler_timeout_ms"
    )]
    NoTime { left_ms: u128, reserve_ms: u128 },
    #[error("{0}")]
    Tick(String),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

pub(crate) struct Function {
    part: Part,
    on_call: Mutex<OnCall>,
    source: Option<Queue>,
    clock: Clock,
    /// So long before its end a call claims nothing more and begins no further page.
    reserve: Duration,
}

impl Function {
    pub(crate) async fn new(part: Part, parts: &Parts) -> anyhow::Result<Self> {
        let on_call = OnCall::new(parts.ledger(), parts.chunks_queue().await?, part.incarnation().clone());
        let source = part.source(parts).await?;
        let reserve = parts.settings.timing().last_claim_before_end();
        Ok(Self { part, on_call: Mutex::new(on_call), source, clock: parts.clock.clone(), reserve })
    }

    pub(crate) async fn serve(&self, event: LambdaEvent<Value>) -> Result<SqsBatchResponse, CallError> {
        let (payload, context) = event.into_parts();
        let span = tracing::info_span!("call", request.id = context.request_id);
        let served = self.serve_until(payload, context.deadline).instrument(span).await;
        if let Err(error) = &served {
            tracing::error!(%error, request.id = context.request_id, "the call failed");
        }
        // Between two calls an instance is frozen.
        flush_traces(LAST_SPANS).await;
        served
    }

    /// `deadline` is in milliseconds of the epoch: then Lambda kills the process.
    async fn serve_until(&self, payload: Value, deadline: u64) -> Result<SqsBatchResponse, CallError> {
        let left = time_left(deadline, u64::try_from(self.clock.wall().as_millisecond()).unwrap_or(0));
        let Some(for_work) = left.checked_sub(self.reserve).filter(|span| *span >= WORK_MIN) else {
            return Err(CallError::NoTime { left_ms: left.as_millis(), reserve_ms: self.reserve.as_millis() });
        };
        let call = Call::parse(payload).map_err(CallError::Unknown)?;
        let stop = CancellationToken::new();
        let mut work: Pin<Box<dyn Future<Output = _> + Send + '_>> = Box::pin(self.work(call, &stop));
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(for_work) => stop.cancel(),
        }
        if !self.part.may_be_cut_off() {
            return work.await;
        }
        let cut_off = CallError::NoTime { left_ms: ANSWER.as_millis(), reserve_ms: self.reserve.as_millis() };
        tokio::time::timeout(self.reserve.saturating_sub(ANSWER), work).await.unwrap_or(Err(cut_off))
    }

    async fn work(&self, call: Call, stop: &CancellationToken) -> Result<SqsBatchResponse, CallError> {
        // One call at a time: Lambda gives an instance no second one before it has answered the first.
        let mut on_call = self.on_call.lock().await;
        match call {
            Call::Tick => {
                let ticked = on_call.call(stop, async |_, stop| self.part.tick(&stop).await).await?;
                ticked.map_err(CallError::Tick)?;
                Ok(answer(Vec::new()))
            }
            Call::Messages(messages) => {
                let kept = messages.clone();
                let handled = on_call.call(stop, async move |epoch, stop| self.part.handle(epoch, messages, &stop).await).await;
                Ok(answer(match handled {
                    Ok(again) => again,
                    Err(error) => self.put_back(&kept, &error).await,
                }))
            }
        }
    }

    /// Nothing may be done now. The messages are not to blame, and lose no receive for it.
    async fn put_back(&self, messages: &[Message], why: &LedgerError) -> Vec<String> {
        tracing::error!(error = %why, messages = messages.len(), "nothing is done; the messages are put back");
        let again = || messages.iter().map(|message| message.id.clone()).collect();
        let Some(source) = &self.source else { return again() };
        match source.send_copies(messages, PUT_BACK).await {
            Ok(()) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "messages can't be put back; they come again by themselves");
                again()
            }
        }
    }
}

/// What is left until `deadline`, both in milliseconds of the epoch. `cargo lambda watch` gives a span
/// instead, 600,000 ms; what would be a moment in the first year of the epoch is taken for that.
fn time_left(deadline: u64, now: u64) -> Duration {
    const A_YEAR: u64 = 365 * 86_400 * 1_000;
    Duration::from_millis(if deadline < A_YEAR { deadline } else { deadline.saturating_sub(now) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_moment_and_in_development_a_span() {
        let now = 1_795_549_681_630;
        assert_eq!(time_left(now + 30_000, now), Duration::from_secs(30));
        assert_eq!(time_left(now - 1, now), Duration::ZERO);
        assert_eq!(time_left(600_000, now), Duration::from_mins(10));
    }
}
