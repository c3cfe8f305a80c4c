//! Whose queues a ledger is used with. The queues of one ledger under another are the way to everybody's second letter: each of
//! the two knows half of what was sent, and would take the other for a backup of itself. So a ledger has an identity, which a
//! backup of it keeps, and the chunks queue has a tag that names it.
//!
//! What this must never do: take queues away from a ledger that is there.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{AttributeValue, KeySchemaElement};
use issei_aws::{AwsCall, Queue};

use crate::item::Key;
use crate::lineage::LineageItem;
use crate::{Ledger, LedgerError};

/// The tag of the chunks queue: the ledger's identity, and the table that it was in when it was last written.
const TAG: &str = "issei-ledger-id";

/// The ledger that queues are used with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) id: String,
    pub(crate) table: String,
}

impl Whose {
    /// From the tags of the chunks queue. Nothing where no service of a build that writes it has started.
    pub(crate) fn of(tags: &HashMap<String, String>) -> Option<Self> {
        let (id, table) = tags.get(TAG)?.split_once(' ')?;
        Some(Self { id: id.to_owned(), table: table.to_owned() })
    }

    pub(crate) fn tag(&self) -> (&'static str, String) {
        (TAG, format!("{} {}", self.id, self.table))
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ledger in table `{}`", self.table)
    }
}

impl Ledger {
    /// Refuses queues that are another ledger's. `written` is this one's lineage, nothing where no service has ever started
    /// with it; `table_id` is the id of its table.
    pub(crate) fn check_queues_of(
        &self,
        whose: Option<&Whose>,
        written: Option<&LineageItem>,
        table_id: Option<&str>,
    ) -> Result<(), LedgerError> {
        let Some(whose) = whose else { return Ok(()) };
        let was_restored = |written: &LineageItem| written.table_id.as_deref().zip(table_id).is_some_and(|(then, now)| then != now);
        let is_ours = match written.and_then(|written| written.ledger_id.as_deref()) {
            Some(id) => id == whose.id,
            // Of an older build, or none: the table tells, but for one that was restored into another.
            None => whose.table == self.table || written.is_some_and(was_restored),
        };
        if is_ours { Ok(()) } else { Err(self.foreign(whose)) }
    }

    fn foreign(&self, whose: &Whose) -> LedgerError {
        LedgerError::Foreign { table: self.table.clone(), whose: whose.to_string() }
    }

    /// The same, before queues and table are made or changed.
    pub async fn check_queues(&self, chunks: &Queue) -> Result<(), LedgerError> {
        let tags = chunks.tags().await;
        let tags = tags.map_err(|error| LedgerError::Unavailable { operation: "ListQueueTags", reason: error.to_string() })?;
        let Some(whose) = Whose::of(&tags) else { return Ok(()) };
        if whose.table == self.table {
            return Ok(());
        }
        let is_there = self.is_there(&self.table).await?;
        let (written, table_id) = if is_there { tokio::try_join!(self.lineage(), self.table_id())? } else { (None, None) };
        match self.check_queues_of(Some(&whose), written.as_ref(), table_id.as_deref()) {
            Err(_) if written.is_none() && self.is_lost(&whose).await? => Ok(()),
            other => other,
        }
    }

    /// Whether the ledger that a tag names is gone, so that another may take its place.
    pub(crate) async fn is_lost(&self, whose: &Whose) -> Result<bool, LedgerError> {
        Ok(!self.is_there(&whose.table).await?)
    }

    async fn is_there(&self, table: &str) -> Result<bool, LedgerError> {
        match self.db.describe_table().table_name(table).call().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) => Ok(false),
            Err(error) => Err(LedgerError::call("DescribeTable")(error)),
        }
    }

    /// What this ledger is called from now on: as the queues say, where they are its own, or by a token of its own.
    pub(crate) fn named(&self, whose: Option<&Whose>) -> AttributeValue {
        AttributeValue::S(whose.map_or_else(|| self.dice.token(), |whose| whose.id.clone()))
    }

    /// Says what a table is that is no ledger; nothing where it is one, or could become one.
    pub(crate) async fn is_no_ledger(&self) -> Result<Option<String>, LedgerError> {
        let answer = self.db.describe_table().table_name(&self.table).call().await.map_err(LedgerError::call("DescribeTable"))?;
        let keys = answer.table.map(|table| table.key_schema.unwrap_or_default()).unwrap_or_default();
        let names: Vec<&str> = keys.iter().map(KeySchemaElement::attribute_name).collect();
        if !names.is_empty() && names != ["pk", "sk"] {
            return Ok(Some(format!("its key is {}, and a ledger's is pk and sk", names.join(" and "))));
        }
        for key in [Key::lineage(), Key::suppression_key()] {
            if self.get(key).await?.is_some() {
                return Ok(None);
            }
        }
        let first = self.db.scan().table_name(&self.table).limit(1).call().await.map_err(LedgerError::call("Scan"))?;
        Ok((first.count > 0).then(|| "it has items, and none that a ledger has".to_owned()))
    }
}
