//! Schedules that are chosen, not drawn: each aims at one guard of the protocol, at the one moment at
//! which nothing else would make up for its loss. In most of them nobody helps where nothing moves any more, so
//! that a message or a permit that is lost shows.

mod asking;
mod claims;
mod messages;
mod permits;

use issei_clock::Held;

use crate::run::Ran;

/// In the body of a claim, and of a confirmation, and of nothing else; and so on.
/// In a heartbeat of a consumer.
const BEAT: &str = "\"consumer\"";
const CLAIM: &str = "SET chunk_state = :claimed";
const CONFIRM: &str = "message_ids = :ids";
const GRANT: &str = "SET remaining = remaining - :n";
const GIVE_BACK: &str = "granted = granted - :n";

/// Runs the schedules that aim at one guard.
pub type Aimed = fn() -> anyhow::Result<Vec<Ran>>;

/// Each guard by name.
pub const DIRECTED: &[(&str, Aimed)] = &[
    ("a claim that lands when its permit has expired sends nothing", permits::late_claim),
    ("a permit lives from the moment at which it was asked for", permits::slow_grant),
    ("permits given back after a recount do not count twice", permits::late_give_back),
    ("permits whose return is not answered are given back once", permits::lost_give_back),
    ("a broadcast is stopped only when no permit is left", permits::early_end),
    ("a stop is over by the timeouts of those who send", permits::wider_timeouts),
    ("a stop is proved early by nothing that was said before it", permits::said_before),
    ("consumers together keep to the account's rate", permits::rate),
    ("a send does not begin when its window has closed", permits::window_closes),
    ("a rejection after the lease loses nobody", claims::late_rejection),
    ("a lease lasts from the moment at which it was asked for", claims::slow_claim),
    ("an open claim is not over while its request may still be accepted", claims::request_under_way),
    ("a confirmation of the old owner changes nothing under a new claim", claims::late_confirmation),
    ("a confirmation that comes twice counts once", claims::two_confirmations),
    ("a machine whose monotonic clock stood still sends nothing under an old permit", || claims::suspended(Held::Monotonic)),
    ("nor one of which the wall clock alone ran on", || claims::suspended(Held::AllButWall)),
    ("what a machine sends of which every clock stood still is refused", || claims::suspended(Held::Everything)),
    ("the message of a live claim stays", messages::of_a_live_claim),
    ("a message whose copy fails stays", messages::copy_fails),
    ("the cursor stays before chunks that are not enqueued", messages::enqueuing_fails),
    ("nobody is forgotten while a message to them may still be sent", messages::of_somebody_forgotten),
    ("a function that stood still goes on where its broadcast was resumed", messages::resumed_between_calls),
    ("doubt that evidence may end is no end", claims::evidence_to_come),
    ("whose answer is lost is asked about under the same key, and nobody stays in doubt", asking::lost_answers),
    ("that a repeat is refused proves nothing of the request that it repeats", asking::refused_repeats),
    ("a call that is refused as a whole is asked about part by part, and nobody stays in doubt", asking::refused_wholes),
    ("whoever is in doubt since an earlier attempt is asked about under its key", asking::throttled_parts),
    ("what is refused as a whole may be on its way still, and is accepted beside none of its parts", asking::late_wholes),
    ("nobody is asked about when the provider has forgotten the key", asking::forgotten_keys),
    ("a stop binds who asks as it binds who sends", asking::stops),
    ("a claim that comes too late for its permit is asked about by nobody", asking::late_claims),
];
