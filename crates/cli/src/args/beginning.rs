//! What is asked of whoever tries it, sets it up or looks whether it would work.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use issei_schema::{AudienceName, Mailbox, ProviderName, TopicArn};

#[derive(Debug, Args)]
pub(crate) struct CompletionsOptions {
    /// Whose command lines are completed
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManOptions {
    /// It is made where it is not there. `man -M` takes its parent where it is called `man1`.
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// How many users the made-up table has: 100,000, or 10,000 with --compare.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) recipients: Option<u64>,
    /// Decides every injected fault.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Without faults: no crash, no redelivery, no lost answer.
    #[arg(long)]
    pub(crate) calm: bool,
    /// The same faults on a job for each user, with retries, and on issei: who is mailed how often.
    #[arg(long)]
    pub(crate) compare: bool,
    /// Draws that as a picture (SVG); `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "compare")]
    pub(crate) output: Option<PathBuf>,
    /// Who carries the broadcast.
    #[arg(long, value_enum, default_value_t, conflicts_with = "compare")]
    pub(crate) provider: DemoProvider,
}

/// A provider that the simulator knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoProvider {
    #[default]
    Ses,
    Sendgrid,
    Resend,
}

#[derive(Debug, Args)]
pub(crate) struct TryOptions {
    /// The command, as `.json` or `.toml`; `-` reads JSON from standard input.
    pub(crate) file: PathBuf,
    /// Where the letters go: a folder that is empty or not there. Without it, a temporary one, which stays.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// So many letters at most, the first that the simulated provider accepts: 200 where not given.
    #[arg(long, value_name = "N", default_value_t = 200, hide_default_value = true, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) letters: u64,
    /// Recipients a second to reckon the time with: 14 where not given. `issei doctor` tells your account's own.
    #[arg(long, value_name = "N", default_value_t = 14.0, hide_default_value = true, value_parser = positive)]
    pub(crate) rate: f64,
    /// Decides every injected fault: 1 where not given.
    #[arg(long, default_value_t = 1, hide_default_value = true)]
    pub(crate) seed: u64,
    /// Without faults: no crash, no redelivery, no lost answer.
    #[arg(long)]
    pub(crate) calm: bool,
    /// No console beside it. It ends by itself.
    #[arg(long)]
    pub(crate) no_console: bool,
    /// End without waiting for Ctrl-C, as it does without a terminal.
    #[arg(long)]
    pub(crate) yes: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0).ok_or_else(|| "give a number above 0".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct SetupOptions {
    /// Makes the way of SES's events to the feedback queue as well: an SNS topic, its policy and subscription, a
    /// policy of the queue that lets nobody but the topic write to it, and SES's event destination.
    #[arg(long, conflicts_with = "events_topic")]
    pub(crate) events: bool,
    /// The same with an SNS topic of your own. What is to be done in SNS is told and not done.
    #[arg(long, value_name = "ARN")]
    pub(crate) events_topic: Option<TopicArn>,
}

#[derive(Debug, Args)]
pub(crate) struct InitOptions {
    /// A database's URL, a file, `s3://…` or `dynamodb://TABLE`; or what --url-env names
    pub(crate) source: Option<String>,
    /// The users' table (`--table` names the ledger's), where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) users_table: Option<String>,
    /// The variable with the URL; the file names it, where the URL has a password
    #[arg(long, value_name = "NAME", default_value = "DATABASE_URL")]
    pub(crate) url_env: String,
    /// The file's encoding, a label of the Encoding Standard such as `shift_jis`
    #[arg(long, value_name = "LABEL")]
    pub(crate) encoding: Option<String>,
    /// Skip and record lines of the file that can't be read, instead of refusing it
    #[arg(long)]
    pub(crate) allow_broken_rows: bool,
    /// The audience's name, by which commands call it.
    #[arg(long, value_name = "NAME", default_value = "users")]
    pub(crate) name: AudienceName,
    /// The file to write; `-` for standard output.
    #[arg(long, short, value_name = "FILE", default_value = "issei.toml")]
    pub(crate) output: PathBuf,
    /// Overwrite the file where it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    /// An audience that SES's quota must be enough for. Counts its rows.
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<String>,
    /// How long so many recipients take with what is there now, what holds them up, what to turn, and what it costs.
    ///
    /// By a model of the services and of AWS's limits: the account's rate and quota, the table, the consumers that are alive and
    /// how long calls take from here are asked for. Nothing is sent.
    #[arg(long = "for", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) recipients: Option<u64>,
    /// The sender, whose identity must be verified, and whose DKIM, SPF and DMARC must hold.
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) from: Option<Mailbox>,
    /// Sends one mail to the SES mailbox simulator, and waits until its event is in the ledger.
    #[arg(long, requires = "from")]
    pub(crate) probe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RehearseOptions {
    /// As many recipients as this audience has rows. None of them is sent to.
    #[arg(long, value_name = "NAME", required_unless_present = "recipients", conflicts_with = "recipients")]
    pub(crate) audience: Option<String>,
    /// So many recipients.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) recipients: Option<u64>,
    /// The verified sender.
    #[arg(long, value_name = "MAILBOX")]
    pub(crate) from: Mailbox,
    /// Who carries it, by a name of `[providers]`: to addresses by which that provider reaches nobody. SES where none is
    /// given.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<ProviderName>,
    /// Without faults.
    #[arg(long)]
    pub(crate) calm: bool,
    /// After so many days it must be rehearsed again.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub(crate) good_for_days: u16,
    /// The Ed25519 private key that signs, in PEM.
    #[arg(long, env = "ISSEI_SIGNING_KEY_FILE", value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
    /// Where the signed certificate goes, over nothing that is there; `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "signing_key")]
    pub(crate) output: Option<PathBuf>,
}
