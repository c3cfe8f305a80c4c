//! The sizes that are checked, and for each naive variant the sizes in which it fails.

use crate::protocol::Sizes;
use crate::variant::Variant;

/// Sizes with a name.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    pub name: &'static str,
    pub sizes: Sizes,
}

const SMALL: Sizes = Sizes {
    users: 2,
    chunk: 1,
    producers: 1,
    consumers: 2,
    block: 1,
    faults: 1,
    changes: 0,
    budget: None,
    commands: false,
    frozen: true,
    stop: false,
    hold: false,
    held: false,
    pauses: 0,
    repairs: 0,
    purge: false,
    redeliveries: false,
    restore: false,
    evidence: false,
    late: false,
    keys: false,
    refusals: 0,
    canary: 0,
    hours: 0,
    ramp: 0,
    agreement: false,
    forgetting: false,
};

const fn suite(name: &'static str, sizes: Sizes) -> Suite {
    Suite { name, sizes }
}

/// What the test command checks.
pub const SUITES: &[Suite] = &[
    suite("two consumers, two chunks", Sizes { faults: 2, stop: true, pauses: 1, redeliveries: true, ..SMALL }),
    suite(
        "three consumers, a chunk of two",
        Sizes { chunk: 2, consumers: 3, faults: 3, stop: true, pauses: 1, redeliveries: true, ..SMALL },
    ),
    suite(
        "two producers, two commands, rows that change",
        Sizes { users: 3, chunk: 2, producers: 2, consumers: 1, changes: 1, commands: true, frozen: false, stop: true, ..SMALL },
    ),
    suite("a budget of two for three", Sizes { users: 3, budget: Some(2), block: 2, faults: 0, stop: true, ..SMALL }),
    suite("purge, repair, restore", Sizes { faults: 2, repairs: 1, purge: true, restore: true, ..SMALL }),
    suite("held before the first send", Sizes { stop: true, hold: true, ..SMALL }),
    suite("a machine is paused with all of its clocks", Sizes { stop: true, held: true, ..SMALL }),
    suite("doubt ends by evidence", Sizes { chunk: 2, faults: 2, evidence: true, stop: true, ..SMALL }),
    suite("a provider that remembers keys", Sizes { users: 1, faults: 2, keys: true, stop: true, pauses: 1, ..SMALL }),
    suite("keys, and two in a chunk", Sizes { chunk: 2, faults: 2, keys: true, stop: true, redeliveries: true, ..SMALL }),
    suite("keys, and evidence", Sizes { users: 1, keys: true, evidence: true, ..SMALL }),
    suite("keys, and a machine that is paused", Sizes { users: 1, faults: 2, keys: true, held: true, stop: true, ..SMALL }),
    suite("keys, purge, repair, restore", Sizes { users: 1, keys: true, repairs: 1, purge: true, restore: true, ..SMALL }),
    suite("keys, and calls refused as a whole", Sizes { chunk: 2, faults: 2, keys: true, refusals: 1, ..SMALL }),
    suite("keys, calls refused as a whole, and a stop", Sizes { chunk: 2, keys: true, refusals: 2, stop: true, ..SMALL }),
    suite("a canary of one", Sizes { canary: 1, ..SMALL }),
    suite("hours that open and close", Sizes { hours: 2, ..SMALL }),
    suite("a ramp of one", Sizes { ramp: 1, ..SMALL }),
    suite("others must agree", Sizes { agreement: true, hold: true, users: 1, stop: true, ..SMALL }),
    suite("somebody is forgotten", Sizes { forgetting: true, stop: true, redeliveries: true, ..SMALL }),
    suite("evidence comes late", Sizes { users: 1, evidence: true, late: true, stop: true, ..SMALL }),
];

/// What is checked by hand, since it takes minutes.
pub const LARGE: &[Suite] = &[
    suite("two consumers, two chunks, three faults", Sizes { faults: 3, stop: true, pauses: 1, redeliveries: true, ..SMALL }),
    suite("three consumers, two chunks", Sizes { consumers: 3, faults: 2, stop: true, ..SMALL }),
    suite(
        "two producers, two consumers, rows that change",
        Sizes { users: 3, chunk: 2, producers: 2, changes: 1, commands: true, frozen: false, ..SMALL },
    ),
    suite(
        "two producers, chunks of one, two rows that change",
        Sizes { users: 3, producers: 2, consumers: 1, changes: 2, frozen: false, ..SMALL },
    ),
    suite("a budget of two for three, with a fault", Sizes { users: 3, budget: Some(2), block: 2, stop: true, ..SMALL }),
    suite("doubt of two chunks ends by evidence", Sizes { evidence: true, ..SMALL }),
    suite("three faults, and keys", Sizes { users: 1, faults: 3, keys: true, stop: true, pauses: 1, ..SMALL }),
    suite("two chunks, and keys", Sizes { keys: true, stop: true, ..SMALL }),
    suite("keys, evidence, and a stop", Sizes { users: 1, keys: true, evidence: true, stop: true, ..SMALL }),
    suite("a canary of one, a repair, and a stop", Sizes { canary: 1, repairs: 1, stop: true, ..SMALL }),
    suite("late evidence, two faults", Sizes { users: 1, faults: 2, evidence: true, late: true, stop: true, ..SMALL }),
    suite("keys, evidence, two faults", Sizes { users: 1, faults: 2, keys: true, evidence: true, ..SMALL }),
    suite("three consumers, and keys", Sizes { users: 1, consumers: 3, faults: 2, keys: true, stop: true, ..SMALL }),
];

/// The sizes in which a naive variant fails, and the invariant that it breaks there.
#[must_use]
pub const fn counterexample_of(variant: Variant) -> (Sizes, &'static str) {
    use Variant as V;
    let one = Sizes { users: 1, faults: 0, ..SMALL };
    // The budget alone would hide a second send, were there no slack in it.
    let slack = Sizes { chunk: 2, budget: Some(4), ..SMALL };
    match variant {
        V::V1RecordAfterSend | V::V3RefusedIsMine => (one, "I1"),
        V::V2RefusedIsTheirs | V::V11AckFirst | V::V16LateRejection => (Sizes { faults: 1, ..one }, "I2"),
        V::V4RecipientLease => (Sizes { budget: Some(2), ..one }, "I1"),
        V::V5ChunkLease | V::V6FencedChunkLease => (slack, "I1"),
        V::V7StopAtReceive | V::V8StopIsPurge => (Sizes { faults: 0, stop: true, ..SMALL }, "I4"),
        V::V9SendRetry | V::V10TimedResend => (Sizes { faults: 1, ..one }, "I1"),
        V::V12RowVanishes => (Sizes { faults: 2, restore: true, redeliveries: true, ..one }, "I1"),
        V::V13EarlyReap | V::V15UnspentPermit | V::StopIsAPause | V::NoDeadline => (Sizes { stop: true, ..one }, "I4"),
        V::NoRefusalByAge => (Sizes { faults: 1, stop: true, held: true, ..one }, "I4"),
        V::HoldIsAWord => (Sizes { hold: true, ..one }, "I4"),
        V::ApprovedTwice => (Sizes { faults: 1, hold: true, ..one }, "I5"),
        V::V14BoundCountsConsumers => (Sizes { chunk: 2, faults: 0, stop: true, ..SMALL }, "I4"),
        V::ChunksFromTheTable => (Sizes { users: 4, chunk: 2, consumers: 1, changes: 1, frozen: false, ..SMALL }, "I1"),
        V::PagesUnchained => {
            (Sizes { users: 3, chunk: 2, producers: 2, consumers: 1, faults: 0, changes: 1, frozen: false, ..SMALL }, "I6")
        }
        V::BudgetAfterSend => (Sizes { budget: Some(1), faults: 0, ..SMALL }, "I5"),
        V::GiveBackAnyEpoch => (SMALL, "I5"),
        V::CloseOverOpenClaims => (one, "I7"),
        V::AskedUnderAnotherKey | V::AskedAfterTheWindow | V::NotAskedIsNotSent => (Sizes { keys: true, faults: 1, ..one }, "I1"),
        V::AskedWithOtherContent => (Sizes { keys: true, faults: 1, ..one }, "I3"),
        V::AskedOfTheReopened => (Sizes { keys: true, evidence: true, faults: 1, ..one }, "I1"),
        V::AskedAndRefused => (Sizes { keys: true, faults: 2, ..one }, "I1"),
        V::RefusedAsProof | V::DividedByAnybody | V::PartsUnwritten => {
            (Sizes { chunk: 2, keys: true, faults: 2, refusals: 1, budget: Some(4), ..SMALL }, "I1")
        }
        V::AskedInAnyState => (Sizes { keys: true, stop: true, faults: 1, ..one }, "I4"),
        V::OldClaimsLand => (Sizes { keys: true, held: true, faults: 2, ..one }, "I5"),
        V::LoggedWhateverTheAnswer => (Sizes { evidence: true, faults: 1, ..one }, "I1"),
        V::EnqueuedPastCanary => (Sizes { canary: 1, faults: 0, ..SMALL }, "canary"),
        V::RepairedPastCanary => (Sizes { canary: 1, faults: 0, repairs: 1, ..SMALL }, "canary"),
        V::RecountedWithTheRest => (Sizes { canary: 1, ..SMALL }, "I5"),
        V::HoursAtReceive => (Sizes { hours: 1, ..one }, "hours"),
        V::RampBeyond | V::RampHourTwice | V::RampUncounted | V::RampDoublesUnused => (Sizes { ramp: 1, faults: 0, ..SMALL }, "ramp"),
        V::ShutIsOver => (Sizes { hours: 1, ..one }, "I2"),
        V::AgreedToAnything | V::AskerAgrees | V::GrantWithoutAgreement => (Sizes { agreement: true, hold: true, ..one }, "agreement"),
        V::ForgottenWhileSending => (Sizes { forgetting: true, ..one }, "forgotten"),
        V::ForgottenWithoutTrace => (Sizes { forgetting: true, ..one }, "I2"),
        V::EvidenceUnread => (Sizes { evidence: true, late: true, faults: 1, ..one }, "late"),
        V::AskedAndGivenBack => (Sizes { keys: true, faults: 1, ..one }, "I5"),
        V::RegisterOverwrites => (Sizes { faults: 0, commands: true, frozen: false, ..SMALL }, "I3"),
    }
}
