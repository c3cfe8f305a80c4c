//! What is asked of whoever answers a user, and of who is not mailed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use issei_schema::{Address, AudienceName, BroadcastId, Reason, ZoneName};
use jiff::Timestamp;

use crate::pages::Language;

#[derive(Debug, Args)]
pub(crate) struct WhyOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// The recipient's key in the audience, or the address.
    pub(crate) recipient: String,
}

#[derive(Debug, Args)]
pub(crate) struct WhoOptions {
    /// The person's key in the audience, or the address, however it is written.
    #[arg(value_name = "KEY_OR_ADDRESS")]
    pub(crate) who: String,
    /// In this broadcast alone; may be given again.
    #[arg(long, value_name = "ID")]
    pub(crate) broadcast: Vec<BroadcastId>,
    /// In broadcasts to this audience alone: the same key in another may be somebody else's.
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<AudienceName>,
    /// In broadcasts that were registered since then (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Timestamp>,
    /// With each letter, as it was rendered.
    #[arg(long)]
    pub(crate) letter: bool,
    /// The language of the sentence.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lang: Language,
    /// By whose clocks the sentence says when, such as `Asia/Tokyo`. UTC where not given.
    #[arg(long, value_name = "NAME", default_value = "UTC", hide_default_value = true, value_parser = zone)]
    pub(crate) time_zone: ZoneName,
}

fn zone(name: &str) -> Result<ZoneName, String> {
    ZoneName::try_from(name.to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Which recipients.
    #[arg(long, value_enum)]
    pub(crate) outcome: Wanted,
    /// How the rows are written, where no file's name says it; --json is `jsonl`
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
    /// A file for the rows instead of standard output, which nobody else may read: `.csv`, `.jsonl` or `.ndjson`, packed where
    /// `.gz` stands behind it.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetOptions {
    /// The key in the audience, or the address.
    #[arg(value_name = "KEY_OR_ADDRESS")]
    pub(crate) who: String,
    /// In this broadcast alone.
    #[arg(long, value_name = "ID")]
    pub(crate) broadcast: Option<BroadcastId>,
    /// In broadcasts to this audience alone: the same key in another may be somebody else's.
    #[arg(long, value_name = "NAME", conflicts_with = "broadcast")]
    pub(crate) audience: Option<AudienceName>,
    /// Show what is found, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it without asking. Without a terminal and without this, it only shows.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why. It stands in the audit trail, so it must not name whom.
    #[arg(long, default_value = "asked to be forgotten")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ResendOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// The id of the new broadcast, and the name of its audience and files.
    #[arg(long = "as", value_name = "NEW_ID")]
    pub(crate) new_id: BroadcastId,
    /// The directory for the two files.
    #[arg(long, short, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) output: PathBuf,
    /// The new command's `not_after` (RFC 3339). Without it, 24 hours from now.
    #[arg(long, value_name = "TIME")]
    pub(crate) not_after: Option<Timestamp>,
}

/// Recipients by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    /// The provider took the message.
    Accepted,
    /// The provider refused the message for good.
    Rejected,
    /// Nobody knows whether the provider took it.
    InDoubt,
    /// To be sent to, or to be sent to again.
    Missing,
    Delivered,
    Bounced,
    Complained,
    /// The provider took more than one message for them.
    AcceptedTwice,
    /// Not mailed, each with the reason.
    Skipped,
    /// On the suppression list since they were frozen, and not sent to
    Spared,
    /// SES took the message and could not render it.
    RenderFailed,
    /// SES took the message and kept it back: the address is on its own list.
    Suppressed,
    /// The recipient's mail server did not take it at once.
    Delayed,
    /// Not surely told before the command's `effective_at`, as a certificate counts them.
    NotInTime,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Csv,
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct ImportEventsOptions {
    /// Where the events are.
    pub(crate) file: PathBuf,
    /// Without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Suppress {
    /// Puts an address on the list.
    Add {
        /// The mail address, as people write it
        #[arg(value_parser = Address::quoting_legacy)]
        address: Address,
        /// Why it is not to be mailed. Only `bounced` holds against a legal notice.
        #[arg(long, value_enum, default_value_t)]
        because: Because,
        /// Why, for whoever reads the list.
        #[arg(long)]
        reason: Reason,
    },
    /// Takes an address from the list; who did and why stays there. Exit code 3 where it was not on it.
    Remove {
        /// The mail address, as people write it
        #[arg(value_parser = Address::quoting_legacy)]
        address: Address,
        /// Why, for whoever reads the list.
        #[arg(long)]
        reason: Reason,
    },
    /// Shows since when, for what and by whom an address is on the list, or the whole list by digest.
    ///
    /// Exit code 3 where the address is not on it.
    List {
        /// This one alone
        #[arg(value_parser = Address::quoting_legacy)]
        address: Option<Address>,
    },
    /// Reads the list of another sender: an export of `SendGrid` or listmonk, or SES's own suppression list.
    ///
    /// Shows first how many it would enter, and which rows it can't read: the others are entered, and exit code 3 says that
    /// these are not. `SendGrid`'s exports don't say what they hold: --because does.
    Import {
        /// Where the addresses are
        file: PathBuf,
        /// What a file of `SendGrid` holds.
        #[arg(long, value_enum)]
        because: Option<Because>,
        /// Enter them without asking. Without a terminal and without this, it only shows.
        #[arg(long)]
        yes: bool,
    },
    /// Keeps what builds before this one entered under the ledger's key. Only once everything is upgraded.
    Migrate {
        /// Everything is upgraded.
        #[arg(long)]
        yes: bool,
    },
}

/// Why an address is not mailed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Because {
    Bounced,
    Complained,
    Unsubscribed,
    #[default]
    Operator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UnsubscribeToken {
    /// Says what a token says, or why it says nothing (exit code 3).
    ///
    /// The keys are those of `[unsubscribe_keys]` in the configuration. Without any network, unless one is a secret.
    Verify {
        /// The token, as the link has it.
        token: String,
    },
}
