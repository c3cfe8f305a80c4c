//! Faults: what goes wrong with a call, before or after its effect.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use issei_clock::Dice;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nobody listens: no byte leaves the caller. A listener, which has the bytes by then, breaks the
    /// connection instead.
    Refused,
    /// The connection breaks and nothing has happened.
    ResetBefore,
    /// It has happened and the connection breaks: the answer is lost.
    ResetAfter,
    /// No answer ever, and nothing has happened.
    HangBefore,
    /// It has happened, and no answer ever.
    HangAfter,
    /// A 500, and nothing has happened.
    ErrorBefore,
    /// It has happened, and a 500.
    ErrorAfter,
    /// The service says that there are too many calls. Nothing has happened.
    Throttle,
    /// It has happened, and half of the answer arrives.
    TruncateAfter,
    /// It has happened, and a proxy or filter in between answers in the service's place, with this status: with a page, or with an
    /// error as JSON that looks like many services' own.
    ReplacedAfter(u16),
    /// The call takes this long, then goes on as if nothing were wrong.
    DelayMs(u64),
    /// No answer ever, and it happens after so long, whether the caller still waits or has gone.
    LateMs(u64),
    /// It has happened, and the answer takes this long.
    AnswerMs(u64),
    /// Another transaction is at the same items, and nothing has happened. Befalls writes to `DynamoDB` alone.
    Conflict,
    /// `DynamoDB` leaves half of the keys of a `BatchGetItem` for another call. Befalls nothing else.
    Unprocessed,
}

/// Which calls a fault befalls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// An operation such as `SendBulkEmail`, or `*` for all.
    pub operation: String,
    /// Only calls whose body, as JSON, has this text in it.
    #[serde(default)]
    pub holding: Option<String>,
    pub fault: Fault,
    /// From 0 to 1.
    #[serde(default = "certain")]
    pub probability: f64,
    /// This many matching calls go through first.
    #[serde(default)]
    pub after: u64,
    /// This many calls at most are befallen; none means no end.
    #[serde(default)]
    pub times: Option<u64>,
}

fn certain() -> f64 {
    1.0
}

impl Rule {
    /// A fault for every call of an operation.
    #[must_use]
    pub fn every(operation: &str, fault: Fault) -> Self {
        Self { operation: operation.to_owned(), holding: None, fault, probability: 1.0, after: 0, times: None }
    }

    #[must_use]
    pub fn holding(mut self, text: &str) -> Self {
        self.holding = Some(text.to_owned());
        self
    }

    #[must_use]
    pub fn with_probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    #[must_use]
    pub fn after(mut self, calls: u64) -> Self {
        self.after = calls;
        self
    }

    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}

/// The rules in force, and how many calls they keep hanging.
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    /// How many calls of which operation were befallen by what.
    befallen: Mutex<HashMap<(String, Fault), u64>>,
    dice: Dice,
    hanging: watch::Sender<u64>,
}

impl Faults {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { rules: Mutex::new(Vec::new()), befallen: Mutex::default(), dice, hanging: watch::Sender::new(0) }
    }

    pub(crate) fn add(&self, rule: Rule) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    pub(crate) fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The fault that befalls this call, if any. The first rule that matches decides.
    pub(crate) fn draw(&self, operation: &str, body: &Value) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules.iter_mut().filter(|rule| rule.operation == "*" || rule.operation == operation) {
            if rule.times == Some(0) || rule.holding.as_ref().is_some_and(|text| !body.to_string().contains(text)) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            if rule.probability >= 1.0 || self.dice.chance(rule.probability) {
                rule.times = rule.times.map(|times| times - 1);
                let mut befallen = self.befallen.lock().unwrap_or_else(PoisonError::into_inner);
                *befallen.entry((operation.to_owned(), rule.fault)).or_default() += 1;
                return Some(rule.fault);
            }
        }
        None
    }

    /// How many calls of an operation were befallen by a fault.
    pub(crate) fn befallen(&self, operation: &str, fault: Fault) -> u64 {
        let befallen = self.befallen.lock().unwrap_or_else(PoisonError::into_inner);
        befallen.get(&(operation.to_owned(), fault)).copied().unwrap_or_default()
    }

    pub(crate) fn hang(&self) {
        self.hanging.send_modify(|hanging| *hanging += 1);
    }

    pub(crate) fn hanging(&self) -> watch::Receiver<u64> {
        self.hanging.subscribe()
    }
}
