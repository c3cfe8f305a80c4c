//! Stories: what goes wrong, and what the provider counted afterwards. Everything runs in this
//! process over the simulator, through the AWS SDK.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and one that is skipped says so"
)]

mod commands;
mod databases;
mod feedback;
mod freezing;
mod hostile;
mod operators;
mod repair;
mod sending;

use issei_sim::Fault;
use tokio::task::JoinSet;

/// Runs a story of a kill at each of so many calls, before and after the call's effect.
async fn at_each_call<S, Told>(calls: u64, story: S)
where
    S: Fn(u64, Fault) -> Told,
    Told: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for call in 0..calls {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            if running.len() >= 8 {
                running.join_next().await.unwrap().unwrap();
            }
            running.spawn(story(call, fault));
        }
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
