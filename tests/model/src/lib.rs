//! The protocol of issei as a model: producers, consumers, a queue that redelivers, the ledger, the
//! provider, its events, crashes, timeouts, an operator. `stateright` looks at every state that can be
//! reached for some small sizes, and at the invariants I1 to I7 in each. It must never follow the code's
//! shape where the code is wrong: what is checked here is the idea, and the simulation checks the code.
//!
//! `cargo run --release -p issei-model` checks what the test command does and prints the counts;
//! `-- --large` more of it, `-- --variant NAME` shows how a naive protocol fails.
//!
//! # Which code a step stands for
//!
//! | step | code |
//! |---|---|
//! | `Register` | `ledger/src/register.rs::register`, a conditional put; `producer/src/command.rs` refuses other content |
//! | `Read` | `producer/src/freeze.rs::build`: rows after the last frozen key |
//! | `Freeze` | `ledger/src/freezing.rs::freeze_page`, one transaction; with no row left `finish_enumeration` |
//! | `Enqueue`, `Advance` | `producer/src/enqueue.rs::enqueue`: messages first, then the cursor |
//! | `Complete` | `producer/src/close.rs::complete` with `ledger/src/walk.rs::is_settled` |
//! | `Receive` | `consumer/src/service.rs::receive`, `chunk.rs::unless_running` and `readiness` |
//! | `Grant`, `GrantAnswerLost` | `ledger/src/permit.rs::grant`, called by `consumer/src/permits.rs::take` |
//! | `Recount` | `ledger/src/recount.rs::recount`, after `Timing::recount_after` without a grant |
//! | `PutDown` | `consumer/src/chunk.rs::handle` where `take` says `Denied` |
//! | `Claim`, `ClaimAnswerLost` | `ledger/src/claim.rs::claim`, with its comparison of the owner token |
//! | `Send` | `consumer/src/send.rs::send`: the permit's and the lease's deadline, then `send_once` |
//! | `TimeOut` | `aws/src/timing.rs::Timing::send`; `provider/src/ses/answers.rs` says in doubt |
//! | `AskAgain` | `ledger/src/ask_again.rs::ask_again`, one transaction; `consumer/src/ask.rs` repeats the request |
//! | `WindowCloses` | `ledger/src/keyed.rs::Chunk::askable`, and the date of AWS's answer in `ask_again` |
//! | `KeyForgotten` | a provider that remembers the key of a request for a window |
//! | `Confirm` | `ledger/src/claim/confirm.rs::confirm`, with `retryable_is_in_doubt` |
//! | `Finish` | `consumer/src/chunk.rs::settle` and `after.rs::carry_out` |
//! | `ReturnPermits` | `consumer/src/permits.rs::return_unused`, `ledger/src/permit.rs::give_back` |
//! | `Accept`, `AcceptAndLoseAnswer`, `Reject`, `LoseRequest` | SES; `provider/src/ses/answers.rs` reads what it answers |
//! | `RefuseWhole` | a provider that checks a call as a whole; `provider/src/resend/answer.rs`, `Verdict::split` |
//! | `Divide` | `ledger/src/claim/divide.rs::divide` with `keyed/part.rs`, by `consumer/src/send.rs::halves` and `repeat.rs` |
//! | `Hear` | `feedback/src/batch.rs::take_in`: `ledger/src/feedback.rs::merge_feedback`, or `answered.rs::log` |
//! | `Reopen`, `EnqueueReopened` | `feedback/src/sweep.rs::settle_by_absence`, `ledger/src/reopen.rs::reopen` |
//! | `ClocksHeld` | a machine that was paused with every clock; `provider/src/ses/request.rs`, by which AWS refuses what it sends |
//! | `Approve` | `ledger/src/transition.rs::transition` out of `holding`, before the first permit |
//! | `ApproveCanary` | the same, with what was withheld; `Broadcast::may_enqueue` keeps the rest off the queue until then |
//! | `Agree` | `ledger/src/agreement.rs::approve`, on the condition of what was agreed to; `grant` waits for it |
//! | `HourTurns` | `schema/src/schedule.rs`; `consumer/src/send.rs::send` looks before each send |
//! | `RampHourEnds` | `schema/src/ramp.rs::Ramped::hour_at`; `ledger/src/permit.rs::grant` begins the next with its first permit |
//! | `Acknowledge` | `consumer/src/chunk.rs::proven_since` before a further claim, `ledger/src/acknowledge.rs` |
//! | `Forget` | `ledger/src/forget.rs::forget`, of a broadcast that is over |
//! | `PermitsExpire`, `LeaseEnds` | `Permit::is_valid`, `Claim::lease_ends`; the order is `Timing::checked`'s |
//! | `Stop`, `Stopped`, `Pause`, `Resume` | `ledger/src/state.rs`, `producer/src/close.rs`, `cli/src/commands/operate.rs` |
//! | `ProveStop` | fact 6: what a certificate may call proved; nothing in issei calls it so yet |
//! | `Repair` | `producer/src/repair.rs::repair` |
//! | `Restore`, `AcceptRestored` | `ledger/src/lineage.rs::while_whole`, `accept_restored` |
//! | `ProducerDies`, `ConsumerDies`, `Purge`, `Redeliver`, `RowComes`, `RowGoes` | the world |
//!
//! # What it leaves out
//!
//! A consumer of the model handles one chunk at a time with a block of its own; a real one with twenty is
//! twenty of these. A page is one chunk. Nobody is rejected for good, since that differs from accepted in
//! nothing that is checked here. Nobody comes on the suppression list, since that is looked at before a page is frozen, and
//! there are neither variants nor copies: a copy is a broadcast of one. A canary is the first chunks; a chosen one is frozen
//! first. An hour of a ramp counts what was granted and not given back, here as in the code: what comes back in a later hour may
//! be granted in that one beside its share. That an old look begins no hour is the condition of one write; how clocks differ the
//! simulation draws. Hours open and close for everybody at once; that a clock may be wrong the simulation draws. There is no rate, and no progress that must come: that a broadcast ends
//! is checked by the simulation. Events are all lost or all arrive, and in time but where evidence is late: there a second mail is
//! possible, here as in the code, and so it would be where one is lost by itself. That no event comes between the look at the
//! evidence and the claim is so here alone: in the code a call lies between. What was refused as a whole
//! has two parts here, of which a claim sends the first and leaves the other to whoever asks; one request is made by one
//! permission to ask; and nobody is refused who stands alone. At most two
//! copies of a message are about. A key is remembered from the first request that is accepted under it, and a
//! machine that is paused with a permission to ask wakes within the margin, or is refused for the age of what it
//! sends: where it is neither, a repeat can be a second send, here as in the code.

#![allow(
    clippy::cast_possible_truncation,
    clippy::struct_excessive_bools,
    clippy::unused_self,
    reason = "places and counts are below ten, and a model is made of such things"
)]
#![allow(clippy::indexing_slicing, reason = "a place outside of a state is a bug of the model, and shows as one")]

mod agreement;
mod beside;
mod canary;
mod consuming;
mod forgetting;
mod hours;
mod late;
mod operating;
mod producing;
mod protocol;
mod providing;
mod ramp;
mod state;
mod step;
mod suite;
mod variant;

pub use protocol::{Protocol, Sizes};
pub use suite::{LARGE, SUITES, Suite, counterexample_of};
pub use variant::Variant;

/// States are small allocations, and little else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
