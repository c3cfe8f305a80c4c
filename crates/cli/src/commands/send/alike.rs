//! What `send` and `try` say of an audience and its times, each in the same words.
//!
//! What it must never do: ask the ledger or a provider, which a try has not.

use issei_assembly::say;
use issei_producer::{AudienceConfig, Survey, UniqueBy};
use issei_schema::BroadcastCommand;
use jiff::Timestamp;
use serde::Serialize;

/// What repeats in an audience, is left out of it, or is read otherwise than it stands there.
#[derive(Debug, Serialize)]
pub(crate) struct Repeats {
    /// Rows of those who do not want marketing; nothing where nobody is asked, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    /// Rows whose key another row has, too: they are skipped.
    repeated_keys: u64,
    /// Keys whose rows do not all say the same.
    differing_keys: u64,
    /// Addresses that stand under several keys.
    repeated_addresses: u64,
    /// Rows whose address has invisible white space around it, which is left out.
    trimmed_addresses: u64,
    /// Each of them is mailed once, and not under each of its keys.
    unique_addresses: bool,
}

impl Repeats {
    pub(crate) fn of(survey: &Survey, config: &AudienceConfig) -> Self {
        let Survey { left_out, repeated_keys, differing_keys, repeated_addresses, trimmed_addresses, .. } = *survey;
        let unique_addresses = config.unique_by == Some(UniqueBy::Address);
        Self { left_out, repeated_keys, differing_keys, repeated_addresses, trimmed_addresses, unique_addresses }
    }

    pub(crate) fn left_out(&self) -> Option<u64> {
        self.left_out
    }

    pub(crate) fn print(&self) {
        if let Some(left_out) = self.left_out {
            say(&format!("left out       {}", left_out_told(left_out)));
        }
        if self.repeated_keys > 0 {
            let rows = counted(self.repeated_keys, "row has", "rows have");
            say(&format!("repeated       {rows} a key that another row has: skipped"));
        }
        if self.differing_keys > 0 {
            let keys = counted(self.differing_keys, "key has rows that differ", "keys have rows that differ");
            say(&format!(
                "repeated       {keys}: of each the first that can be mailed, in the order of what they say, or nobody where a wish not to be mailed binds the key"
            ));
        }
        if self.repeated_addresses > 0 {
            let then = if self.unique_addresses {
                "each is mailed once"
            } else {
                "each key is mailed; unique_by = \"address\" in the audience mails each address once"
            };
            let addresses = counted(self.repeated_addresses, "address stands", "addresses stand");
            say(&format!("repeated       {addresses} under several keys: {then}"));
        }
        if self.trimmed_addresses > 0 {
            let addresses = counted(self.trimmed_addresses, "address has", "addresses have");
            say(&format!("trimmed        {addresses} invisible white space around: that is left out, and they are mailed without it"));
        }
    }
}

/// What is said of those who do not want marketing, by whoever says how many.
pub(crate) fn left_out_told(rows: u64) -> String {
    format!(
        "{}, by `marketing_filter` or `consent_column`: they are none of the rows, and are not listed as skipped",
        counted(rows, "other row is of somebody who wants no marketing", "other rows are of those who want no marketing")
    )
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Why not everybody can be told before the day from which it binds. `begins` is when it goes on, where it may not be sent
/// now, and `done_at` when everybody is sent to at the earliest, where that is known.
pub(crate) fn too_late(
    command: &BroadcastCommand,
    now: Timestamp,
    begins: Option<Timestamp>,
    done_at: Option<Timestamp>,
) -> Option<String> {
    let (effective_at, schedule) = (command.effective_at?, command.schedule());
    let at = match (done_at, begins) {
        (Some(done_at), _) if done_at > effective_at => format!("the last of them is told {} at the earliest", schedule.told(done_at)),
        _ if effective_at <= now => format!("now it is {now:.0}"),
        (_, Some(begins)) if begins >= effective_at => format!("it begins {}", schedule.told(begins)),
        _ => return None,
    };
    Some(format!(
        "not everybody can be told before effective_at ({effective_at}): {at}; send earlier or in a longer send_window, announce a later day, or ask AWS for a higher rate"
    ))
}
