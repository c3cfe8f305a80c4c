//! A copy of a letter for somebody who wants to see it as it arrives: one mail, of no audience, with data that the
//! command brings along. It takes the same way as any broadcast.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Address;

/// Whom a copy goes to, and the row that it is written from. It stands in for the audience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCopy {
    /// In the sender's own domain, or among the producer's `test_recipients`.
    pub to: Address,
    /// The values of the columns that the content names.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
}
