//! What goes wrong, for both alike: a throw of the same dice for each request to the mail service. Who asks for fifty users
//! at once meets what the first of them would have met alone.

use issei_clock::Dice;
use sha2::{Digest, Sha256};

/// What befalls one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The provider takes it, and the answer comes too late for whoever waits at the other side of the load balancer.
    AnswerLost,
    /// The provider takes it, and before the answer comes a deploy wants the worker to end.
    Deploy,
    /// The machine dies before the request has come to the provider.
    CrashBefore,
    /// The machine dies once the provider has taken it, and before anything could be written down.
    CrashAfter,
    /// Too many requests: nothing has happened.
    Refused,
}

/// All throws of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misfortune {
    pub(super) seed: u64,
    pub(super) users: u64,
    /// Nothing goes wrong.
    pub(super) calm: bool,
}

/// For these shares of the users, in their order, the mail service is so slow that most answers are lost.
const SLOW: (u64, u64) = (40, 50);
/// So many tries of each fall into that time.
const SLOW_TRIES: u32 = 3;
const SLOW_PER_MILLION: u64 = 800_000;
/// Of a million requests at any time.
const PER_MILLION: [(Mishap, u64); 5] = [
    (Mishap::AnswerLost, 10_000),
    (Mishap::Deploy, 5_000),
    (Mishap::CrashBefore, 1_000),
    (Mishap::CrashAfter, 1_000),
    (Mishap::Refused, 10_000),
];

impl Misfortune {
    /// What befalls the request whose first user is this one (from 0), tried so many times before.
    pub(super) fn of(&self, user: u64, tries: u32) -> Option<Mishap> {
        if self.calm {
            return None;
        }
        let mut throw = self.throw(user, tries);
        let percent = user * 100 / self.users.max(1);
        if tries < SLOW_TRIES && (SLOW.0..SLOW.1).contains(&percent) {
            if throw < SLOW_PER_MILLION {
                return Some(Mishap::AnswerLost);
            }
            // The others fare as always.
            throw = (throw - SLOW_PER_MILLION) * 1_000_000 / (1_000_000 - SLOW_PER_MILLION);
        }
        for (mishap, share) in PER_MILLION {
            if throw < share {
                return Some(mishap);
            }
            throw -= share;
        }
        None
    }

    fn throw(&self, user: u64, tries: u32) -> u64 {
        let digest: [u8; 32] = Sha256::digest(format!("{}/{user}/{tries}", self.seed)).into();
        let seed = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        Dice::seeded(seed).below(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_and_another_something_else() {
        let all = |seed: u64| (0..2_000).map(|user| Misfortune { seed, users: 2_000, calm: false }.of(user, 0)).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        let slow = &all(1)[800..1_000];
        let lost = slow.iter().filter(|mishap| **mishap == Some(Mishap::AnswerLost)).count();
        assert!((140..180).contains(&lost), "{lost}");
        let calm = &all(1)[..800];
        assert!(calm.iter().flatten().count() < 60 && calm.contains(&Some(Mishap::AnswerLost)));
        assert_eq!(Misfortune { seed: 1, users: 10, calm: true }.of(4, 0), None);
    }
}
