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
    /// Digests of the row's key and address, which `issei test-send` gives, so that whoever is to be forgotten is found here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_address: Option<String>,
}

impl TestCopy {
    /// The key under which a copy stands in its page. It is nobody's, so that a link in the copy is no user's either.
    pub const KEY: &str = "test-copy";
}
