//! The protocol with one thing done naively. Each must find its counterexample.

use clap::ValueEnum;

/// V1 to V16 of the catalogue, and the guards that were found since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Variant {
    /// Sends first and records afterwards.
    V1RecordAfterSend,
    /// A refused claim is always somebody else's, even under our own token.
    V2RefusedIsTheirs,
    /// A refused claim is always ours.
    V3RefusedIsMine,
    /// A recipient's claim is taken over when its lease is over.
    V4RecipientLease,
    /// A chunk's claim is taken over when its lease is over, and confirmed by whoever comes.
    V5ChunkLease,
    /// The same, with confirmations fenced by the owner token.
    V6FencedChunkLease,
    /// The stop is looked at when the message is received, and by nothing after that.
    V7StopAtReceive,
    /// To stop is to purge the queue.
    V8StopIsPurge,
    /// The SDK sends again when an answer is lost.
    V9SendRetry,
    /// In doubt is sent again after a time.
    V10TimedResend,
    /// The message is deleted when it is received.
    V11AckFirst,
    /// A claim's item is gone, by TTL or by a restored backup, and nothing notices.
    V12RowVanishes,
    /// A stop is proved by the ledger alone, and leases are judged by anybody's clock.
    V13EarlyReap,
    /// The bound of a stop counts consumers, while permits are blocks.
    V14BoundCountsConsumers,
    /// A stop is proved by the ledger alone, while a consumer has permits left.
    V15UnspentPermit,
    /// A rejection that comes after the lease makes its recipients retryable.
    V16LateRejection,
    /// Chunks are made from the table when they are enqueued, and no page is frozen.
    ChunksFromTheTable,
    /// A page is written whatever stands there.
    PagesUnchained,
    /// The budget is charged when the send is confirmed.
    BudgetAfterSend,
    /// Permits of an earlier epoch are taken back.
    GiveBackAnyEpoch,
    /// The permit's deadline is not looked at before the send.
    NoDeadline,
    /// A broadcast is complete as soon as every chunk is claimed.
    CloseOverOpenClaims,
    /// The command that comes last overwrites the one registered.
    RegisterOverwrites,
    /// A stop does not hold for producers and pauses, so that resuming is always possible.
    StopIsAPause,
    /// The provider takes a send however old its permit is.
    NoRefusalByAge,
    /// A hold before the first send is told, and binds neither producers nor permits.
    HoldIsAWord,
    /// An approval whose answer was lost is made once more, and adds its permits once more.
    ApprovedTwice,
    /// What is asked about again is asked about under a new key.
    AskedUnderAnotherKey,
    /// It is asked about also when the provider has forgotten the key.
    AskedAfterTheWindow,
    /// It is asked about with what an upgrade makes of it since.
    AskedWithOtherContent,
    /// It is asked about on an old look: evidence has opened the chunk since, and somebody has claimed it again.
    AskedOfTheReopened,
    /// A repeat that is refused (throttled, or for another body) proves that the first was not accepted.
    AskedAndRefused,
    /// A repeat that did not begin in time proves that nothing was sent.
    NotAskedIsNotSent,
    /// A repeat that is refused as a whole proves that the first was not accepted nor will be, so both halves may leave.
    RefusedAsProof,
    /// What was refused as a whole is divided also by whoever has lost the claim to somebody who asks.
    DividedByAnybody,
    /// Parts leave that the ledger does not name.
    PartsUnwritten,
    /// A repeat is no send, so a stop does not bind it.
    AskedInAnyState,
    /// A claim lands however old its permit is, also once a recount has given that to others; and is asked about.
    OldClaimsLand,
    /// A repeat whose answer settles nobody gives permits back that it never had.
    AskedAndGivenBack,
    /// The rest is enqueued before the canary is approved.
    EnqueuedPastCanary,
    /// A repair enqueues whatever nobody has claimed, the rest behind a canary too.
    RepairedPastCanary,
    /// A recount counts what is kept back behind a canary as lost.
    RecountedWithTheRest,
    /// The hour is looked at when the message is received, and by nothing after that.
    HoursAtReceive,
    /// What can't be sent in its hours is taken for over.
    ShutIsOver,
    /// Within an hour of a ramp permits are granted however many there were before.
    RampBeyond,
    /// An hour of a ramp is begun on an old look, though the last is not over.
    RampHourTwice,
    /// An hour of a ramp is begun and not written down.
    RampUncounted,
    /// An hour of a ramp doubles one that nobody used.
    RampDoublesUnused,
    /// An approval counts whatever was read by whoever gave it.
    AgreedToAnything,
    /// Whoever asked counts as another.
    AskerAgrees,
    /// Permits are granted though others must agree still.
    GrantWithoutAgreement,
    /// Somebody is forgotten in a broadcast that may still send to them.
    ForgottenWhileSending,
    /// Of somebody forgotten nothing stays, not even that there was somebody.
    ForgottenWithoutTrace,
    /// A chunk is claimed again without a look at the evidence.
    EvidenceUnread,
    /// Events go into the log whatever their recipients' answer was, and evidence with them.
    LoggedWhateverTheAnswer,
}
