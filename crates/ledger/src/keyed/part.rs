//! A part of a claim's request, under a key of its own, and how parts are divided that the provider refuses as a whole.
//!
//! Where it is proved that nobody of a part was accepted nor will be, since it was made once and refused, its halves get keys of
//! their own. Where it may have been made before, by somebody whose answer nobody knows, one half keeps its key and the other waits
//! behind it: once a half is accepted under that key, the provider itself refuses the whole under it, and what waits may leave.
//!
//! What this must never do: let two bodies with the same recipient leave under different keys while the first may still be accepted.

use issei_schema::{MessageKey, Prover};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Keyed;

/// What keys of parts are made for, and nothing else.
const DOMAIN: &str = "issei part key 1";

/// One request under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub(super) key: String,
    /// When the first request may have begun at the earliest, in milliseconds of the epoch: when its permit was granted.
    pub(super) first_at: i64,
    /// Until when it may be repeated, by AWS's clock.
    pub(super) until: i64,
    pub(super) body: String,
    /// Whom it is for: `1` or `0` for each recipient of the chunk.
    pub(super) positions: String,
    /// Whom the key was used for before, together with these or by themselves, and refused; each list is a request to come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) behind: Vec<String>,
}

/// How a part is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divide {
    /// It was refused as a whole, and made once: nobody of it was accepted nor will be.
    Proven,
    /// It was refused as a whole, and may have been made before.
    Unproven,
    /// It is one recipient who was refused, and others wait behind it.
    Next,
    /// It was accepted, so nothing else ever is under its key.
    Accepted,
}

impl Part {
    /// What the provider knows it by: 64 hexadecimal digits.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The digest of its body. Another body under the same key is not asked with.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Whom it is for, all of whom a repeat names too.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        places(&self.positions)
    }

    /// These, and whoever waits behind them.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.positions().chain(self.behind.iter().flat_map(|list| places(list)))
    }

    /// Whether anybody waits behind it.
    #[must_use]
    pub fn has_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Until when it may be made again, by AWS's clock.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        Timestamp::from_millisecond(self.until).unwrap_or(Timestamp::MIN)
    }

    pub(super) fn sealed_with(&self, prover: Prover) -> Prover {
        let time = |ms: i64| u64::try_from(ms).unwrap_or(0);
        let prover = prover.text(&self.key).number(time(self.first_at)).number(time(self.until));
        prover.text(&self.body).text(&self.positions)
    }

    pub(super) fn sealed_behind(&self, prover: Prover) -> Prover {
        self.behind.iter().fold(prover.number(self.behind.len() as u64), |prover, list| prover.text(list))
    }

    /// The same for others, with the body of these.
    fn of(&self, positions: String, body: &impl Fn(&[usize]) -> String) -> Self {
        let body = body(&places(&positions).collect::<Vec<_>>());
        Self { positions, body, behind: Vec::new(), ..self.clone() }
    }

    /// The same for others, under a key of their own: always the same one for them, and for nobody else.
    fn apart(&self, positions: String, key: &MessageKey, body: &impl Fn(&[usize]) -> String) -> Self {
        let own = key.prover(DOMAIN).text(&self.key).text(&positions).prove().into();
        Self { key: own, ..self.of(positions, body) }
    }

    fn halves(&self) -> [String; 2] {
        let all: Vec<usize> = self.positions().collect();
        let (first, second) = all.split_at(all.len() / 2);
        [first, second].map(|half| (0..self.positions.len()).map(|at| if half.contains(&at) { '1' } else { '0' }).collect())
    }

    /// What becomes of it. `body` gives the digest of the body for some of its recipients.
    fn divided(&self, how: Divide, key: &MessageKey, body: &impl Fn(&[usize]) -> String) -> Vec<Self> {
        let [first, second] = self.halves();
        match how {
            // One recipient is no whole.
            Divide::Proven | Divide::Unproven if places(&first).next().is_none() => vec![self.clone()],
            Divide::Proven if !self.has_behind() => [first, second].map(|half| self.apart(half, key, body)).into(),
            Divide::Proven | Divide::Unproven => {
                let behind = [second].into_iter().chain(self.behind.iter().cloned()).collect();
                vec![Self { behind, ..self.of(first, body) }]
            }
            Divide::Next => {
                let mut behind = self.behind.clone();
                if behind.is_empty() {
                    return vec![self.clone()];
                }
                let next = behind.remove(0);
                behind.push(self.positions.clone());
                vec![Self { behind, ..self.of(next, body) }]
            }
            Divide::Accepted => {
                let apart = self.behind.iter().map(|list| self.apart(list.clone(), key, body));
                [Self { behind: Vec::new(), ..self.clone() }].into_iter().chain(apart).collect()
            }
        }
    }
}

impl Keyed {
    /// The same, with the part of this key divided, and the keys of what is to be asked next.
    pub(crate) fn divided(&self, of: &str, how: Divide, key: &MessageKey, body: &impl Fn(&[usize]) -> String) -> (Self, Vec<String>) {
        let (mut parts, mut next) = (Vec::new(), Vec::new());
        for part in &self.parts {
            if part.key != of {
                parts.push(part.clone());
                continue;
            }
            let divided = part.divided(how, key, body);
            let is_next = |part: &&Part| how != Divide::Accepted || part.key != of;
            next.extend(divided.iter().filter(is_next).map(|part| part.key.clone()));
            parts.extend(divided);
        }
        (Self { parts, ..self.clone() }, next)
    }
}

fn places(letters: &str) -> impl Iterator<Item = usize> + '_ {
    letters.bytes().enumerate().filter(|(_, letter)| *letter == b'1').map(|(at, _)| at)
}
