//! Every timeout in one place, and the one chain of inequalities that they must obey.

use std::time::Duration;

/// The timeouts of the whole pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// One send. When it is over without an answer, the send is in doubt.
    pub send: Duration,
    /// How long a granted permit may be used.
    pub permit_life: Duration,
    /// How long a claim is its owner's alone. Afterwards it reads as in doubt.
    pub lease: Duration,
    /// How long one chunk may take from its claim to its confirmation.
    pub handler: Duration,
    /// How long a received message stays hidden, unless extended.
    pub visibility: Duration,
    /// One ledger call with all of its retries.
    pub ledger: Duration,
    /// How long a signed request that is still on its way may be accepted.
    pub request_lifetime: Duration,
}

/// A link of the chain that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{smaller} ({smaller_ms} ms) must be less than {larger} ({larger_ms} ms): {why}; change one of them")]
pub struct TimingError {
    smaller: &'static str,
    smaller_ms: u128,
    larger: &'static str,
    larger_ms: u128,
    why: &'static str,
}

impl Timing {
    /// Checks the chain: send < permit life < lease < handler, and visibility of at least six
    /// handlers (AWS's rule for SQS event sources, Lambda developer guide, "Using Lambda with SQS").
    pub fn checked(self) -> Result<Self, TimingError> {
        let links = [
            ("send_timeout_ms", self.send, "permit_life_ms", self.permit_life, "a send must end before its permit's time is forgotten"),
            ("permit_life_ms", self.permit_life, "lease_ms", self.lease, "a claim must outlive the permit that it was made under"),
            (
                "send_timeout_ms + ledger_timeout_ms",
                self.send + self.ledger,
                "lease_ms",
                self.lease,
                "a claim and its send must fit the lease",
            ),
            ("lease_ms", self.lease, "handler_timeout_ms", self.handler, "a handler must be able to confirm what it claimed"),
            (
                "6 x handler_timeout_ms",
                self.handler * 6,
                "visibility_timeout_s",
                self.visibility + Duration::from_millis(1),
                "a message must not come back while it is handled",
            ),
        ];
        for (smaller, small, larger, large, why) in links {
            if small >= large {
                return Err(TimingError { smaller, smaller_ms: small.as_millis(), larger, larger_ms: large.as_millis(), why });
            }
        }
        Ok(self)
    }

    /// The larger of each timeout.
    #[must_use]
    pub fn widest(&self, other: &Self) -> Self {
        Self {
            send: self.send.max(other.send),
            permit_life: self.permit_life.max(other.permit_life),
            lease: self.lease.max(other.lease),
            handler: self.handler.max(other.handler),
            visibility: self.visibility.max(other.visibility),
            ledger: self.ledger.max(other.ledger),
            request_lifetime: self.request_lifetime.max(other.request_lifetime),
        }
    }

    /// How long after a stop a permit granted before it may still lead to a send.
    #[must_use]
    pub fn longest_leak(&self) -> Duration {
        self.permit_life + self.send
    }

    /// How long after its grant a permit leads to nothing any more, whatever befell whoever holds it: a send
    /// is signed with the moment of the grant, as AWS's answer told it within a ledger call's time.
    #[must_use]
    pub fn refused_after(&self) -> Duration {
        self.ledger + self.request_lifetime.max(self.permit_life + self.send)
    }

    /// How long after the last grant every claim's lease is over, and every request made under one
    /// either accepted or refused: a claim is made within its permit's life.
    #[must_use]
    pub fn claims_over_after(&self) -> Duration {
        self.ledger + self.permit_life + self.lease + self.request_lifetime
    }

    /// How long before its end a process that will be killed then must have stopped claiming: a claim, its
    /// send and its confirmation still fit, each with its retries.
    #[must_use]
    pub fn last_claim_before_end(&self) -> Duration {
        (self.send * 2).max(self.send + self.ledger * 2)
    }

    /// For how long after its permit was granted a request may be repeated, where the provider remembers its key for
    /// `window`. The margin is for clocks, for what is on its way, and for a sender that is paused; nothing where it
    /// leaves nothing.
    #[must_use]
    pub fn askable_for(&self, window: Duration) -> Option<Duration> {
        let margin = (window / 24).max(self.refused_after() * 2);
        window.checked_sub(margin).filter(|left| !left.is_zero())
    }

    /// How long the budget must have been still before it may be recounted: every permit has then
    /// expired, no claim made under one can still arrive, and what a paused machine sends is refused.
    #[must_use]
    pub fn recount_after(&self) -> Duration {
        self.refused_after().max(self.permit_life + self.ledger)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const GOOD: Timing = Timing {
        send: Duration::from_secs(5),
        permit_life: Duration::from_secs(8),
        lease: Duration::from_secs(20),
        handler: Duration::from_secs(30),
        visibility: Duration::from_mins(3),
        ledger: Duration::from_secs(5),
        request_lifetime: Duration::from_mins(5),
    };

    #[test]
    fn the_chain_is_refused_where_any_link_breaks() {
        assert!(GOOD.checked().is_ok());
        for bad in [
            Timing { send: GOOD.permit_life, ..GOOD },
            Timing { permit_life: GOOD.lease, ..GOOD },
            Timing { lease: GOOD.handler, ..GOOD },
            Timing { ledger: GOOD.lease, ..GOOD },
            Timing { visibility: (GOOD.handler * 6).checked_sub(Duration::from_millis(1)).unwrap(), ..GOOD },
        ] {
            assert!(bad.checked().is_err(), "{bad:?}");
        }
    }
}
