//! What is asked of whoever watches, pauses, stops and repairs.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use issei_schema::BroadcastId;

use crate::console::{PublicUrl, Right};

#[derive(Debug, Args)]
pub(crate) struct StatusOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Again every second, until the broadcast is over or Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Count every chunk instead of taking the consumers' word: exact, and reads the whole broadcast.
    #[arg(long)]
    pub(crate) exact: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OperateOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Why. It stands in the audit trail.
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Why. It stands in the audit trail. Not needed only to see what there is to agree to.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// What you agree to, where several persons must: the digest that `issei status` and the console show beside the
    /// letters, or its first 16 characters.
    #[arg(long, value_name = "DIGEST", requires = "reason")]
    pub(crate) agreed: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StopOptions {
    /// The broadcast's id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) id: Option<BroadcastId>,
    /// Every broadcast that is not over. New ones are refused until `issei open`.
    #[arg(long)]
    pub(crate) all: bool,
    /// Forbids the SES configuration set to send, too: that stops even consumers that are broken or
    /// forgotten, and everybody else who uses this configuration set. `issei open` allows it again. With the id of a
    /// broadcast by another provider SES is left as it is, and the key to revoke is named; so it is with an id that
    /// the ledger does not know.
    #[arg(long)]
    pub(crate) hard: bool,
    /// Why. It stands in the audit trail. Give one; but nothing is kept from being stopped for want of it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct OpenOptions {
    /// Why. It stands in the ledger, and `issei doctor` shows the last.
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    /// Only those that are not over.
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConsoleOptions {
    /// The port on 127.0.0.1; 0 for any that is free.
    #[arg(long, default_value_t = 8_474, conflicts_with = "listen")]
    pub(crate) port: u16,
    /// Another address to listen on, such as 0.0.0.0:8474 in a container. It speaks plain HTTP: what others than this machine
    /// reach needs a proxy with TLS before it, and `--public-url`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The address under which browsers reach it, such as `https://issei.example.com`, or `http://localhost:9000` through a
    /// forwarded port. No other name is answered.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// For whom an address is printed: whoever has it may do this and no more. Several with commas between them.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "RIGHT", default_value = "everything")]
    pub(crate) right: Vec<Right>,
}

#[derive(Debug, Args)]
pub(crate) struct RepairOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Why. It stands in the audit trail.
    #[arg(long)]
    pub(crate) reason: String,
    /// Record, and enqueue nothing, that each key is revoked with which another provider than SES was asked for it. Nothing
    /// of it is accepted any more then, which a certificate goes by.
    #[arg(long)]
    pub(crate) key_revoked: bool,
    /// Do it without asking. Without a terminal and without this, it only shows.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersOptions {
    /// Whose; without it, all.
    #[arg(value_enum)]
    pub(crate) queue: Option<QueueName>,
    /// Delete this one of QUEUE, by the message's id that is shown. May be given several times.
    #[arg(long, value_name = "MESSAGE_ID", requires = "queue", requires = "reason")]
    pub(crate) discard: Vec<String>,
    /// Why. It stands in the audit trail, where the letter is of a broadcast that there is.
    #[arg(long, requires = "discard")]
    pub(crate) reason: Option<String>,
    /// Delete without asking. Without a terminal and without this, it only shows.
    #[arg(long, requires = "discard")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RedriveOptions {
    /// Whose dead letters.
    #[arg(value_enum)]
    pub(crate) queue: QueueName,
    /// Also events that bear no mark of SQS or of a service of issei. They are believed then, so look at each first.
    #[arg(long)]
    pub(crate) unknown_origin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueName {
    Commands,
    Chunks,
    Feedback,
}

impl QueueName {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Chunks => "chunks",
            Self::Feedback => "feedback",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AcceptRestoredOptions {
    /// Why. It stands in the ledger and in the audit trail of each broadcast that it ends.
    #[arg(long)]
    pub(crate) reason: String,
    /// The name of the ledger table, for scripts; without it, it is asked for on a terminal.
    #[arg(long, value_name = "NAME")]
    pub(crate) table_name: Option<String>,
}
