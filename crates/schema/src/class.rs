//! What a message is to those who get it: the law and the manners of mail ask different things of a notice that must
//! reach everybody and of an offer that nobody asked for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a broadcast is to those who get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// What the law or a contract wants told to everybody, such as changed terms. Whoever complained about an earlier
    /// broadcast, or unsubscribed, gets it all the same; whose address bounced for good is listed, so that a letter can be
    /// posted.
    LegalNotice,
    /// What somebody's use of the service brings with it.
    Service,
    /// What promotes anything. It needs `unsubscribe`, and an audience that says who wants such mail.
    Marketing,
}

impl Class {
    /// Whether somebody's wish not to be mailed keeps it from them: a complaint, an unsubscription, an operator's entry.
    #[must_use]
    pub fn heeds_objections(self) -> bool {
        self != Self::LegalNotice
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the word that stands in a command.
        self.serialize(f)
    }
}
