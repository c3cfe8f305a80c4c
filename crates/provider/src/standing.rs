//! What a provider says of the account and the key that it is asked by, and what it has counted itself. Asking sends nothing.

use issei_schema::Bilingual;
use jiff::Timestamp;

/// Whether an account's key may send, and what was asked to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The provider's own name of what was asked.
    pub asked: &'static str,
    pub right: Right,
}

/// What the answer proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It may send, and this is what else was told.
    MaySend(String),
    /// It may not, for this reason, until somebody does this.
    MayNot { why: String, mend: String },
    /// The answer proves neither.
    Untold(String),
}

/// Why an address stands on a provider's own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Bounce,
    Complaint,
}

/// One thing that stands at a provider, held against what a broadcast needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    pub what: Bilingual,
    pub asked: Bilingual,
    pub rule: Bilingual,
    /// Why it must be so.
    pub why: &'static str,
    /// What was told, and whether that is as it must be.
    pub told: Result<(Bilingual, bool), Unsaid>,
    /// What mends it.
    pub mend: Option<Bilingual>,
}

/// Why nothing was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// The call failed, in these words.
    Failed(String),
    /// It was answered, and not this.
    Silent(Bilingual),
}

/// The time of a broadcast, for whoever counts by days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub created_at: Timestamp,
    /// Nothing was sent before.
    pub begins_at: Timestamp,
    /// Nothing was sent after.
    pub ended_at: Timestamp,
    pub now: Timestamp,
}

/// What a provider has counted in that time. Others may send through the account too, so it can only be too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What it has counted, in words.
    pub what: Bilingual,
    pub asked: &'static str,
    pub told: Result<u64, String>,
    /// What to do where it does not tell.
    pub mend: Bilingual,
    /// What to do where it tells too little.
    pub too_few: Bilingual,
}
