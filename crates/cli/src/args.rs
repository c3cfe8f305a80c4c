//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use issei_assembly::{Layer, LogFormat};
use issei_certificate::NotBefore;
use issei_schema::{Address, AudienceName, BroadcastId, Mailbox, ProviderName, Reason, TopicArn};
use jiff::Timestamp;

use crate::console::{PublicUrl, Right};
use crate::pages::Language;

/// Sends one message to every user, once, and can prove it.
///
/// The app drops one command on a queue; `issei producer` freezes the audience and cuts it into
/// chunks; `issei consumer` sends each chunk once through SES. A ledger in DynamoDB decides what
/// may be sent, so nothing that is killed, repeated or replayed mails anybody twice.
///
/// Try it without AWS:    issei demo
/// Then, with AWS:        issei setup; issei producer & issei consumer & issei send command.json
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, max_term_width = 120)]
pub(crate) struct Cli {
    /// The configuration file.
    ///
    /// Without it, the nearest `issei.toml`, from here upwards to the home directory.
    #[arg(long, env = "ISSEI_CONFIG", global = true, value_name = "FILE", value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) config: Option<PathBuf>,
    /// Results as JSON on standard output, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How log lines look; `RUST_LOG` says which.
    ///
    /// `auto` (for people on a terminal, JSON elsewhere; the default), `human` or `json`. They go to standard error.
    #[arg(
        long,
        env = "ISSEI_LOG_FORMAT",
        global = true,
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,
    /// The AWS region; without it, as `AWS_REGION` and the profile say.
    #[arg(long, global = true, value_name = "NAME", help_heading = "AWS", hide_short_help = true, hide_long_help = true)]
    pub(crate) region: Option<String>,
    /// The profile of the AWS configuration; without it, `AWS_PROFILE`.
    #[arg(long, global = true, value_name = "NAME", help_heading = "AWS", hide_short_help = true, hide_long_help = true)]
    pub(crate) profile: Option<String>,
    /// Where all AWS services are asked; without it, as `AWS_ENDPOINT_URL` and its kind say.
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS", hide_short_help = true, hide_long_help = true)]
    pub(crate) endpoint_url: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Layer,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Broadcasts to a made-up user table through a simulated AWS, with crashes.
    ///
    /// Answers are lost, too. Shows what the provider counted. Needs nothing but this binary.
    Demo(DemoOptions),
    /// Tries a command on its own audience in a simulated AWS; sends nothing.
    ///
    /// With the demo's crashes and lost answers. Writes the letters into a folder, and says what it would be: who is
    /// mailed, who is skipped and why, time, cost. Asks AWS for nothing but an audience that is there. Exit code 3: refused, or
    /// somebody was mailed twice or missed.
    Try(TryOptions),
    /// Writes a first `issei.toml` from a look at a table or a file.
    ///
    /// Proposes key, address and columns, tried on a page of rows. Writes no password.
    Init(InitOptions),
    /// Makes what is missing of queues, ledger table and configuration set.
    ///
    /// Each queue gets its dead-letter queue. With --events, the way of SES's events too. Prints what it made.
    Setup(SetupOptions),
    /// Checks what is deployed against what issei needs.
    ///
    /// Each finding has its value, its source, its rule and the command that mends it. Exit code 3 where
    /// something is to be mended.
    Doctor(DoctorOptions),
    /// Rehearses at full volume, with faults, and reaches nobody.
    ///
    /// Runs on the services that are alive, which must have this version and these settings. Asks for the
    /// broadcast twice, puts chunks on the queue again, and pauses in the midst. Exit code as of `certify`.
    Rehearse(RehearseOptions),
    /// Judges a command and its audience, asks, and puts it on its queue.
    ///
    /// Reads and judges everybody by the code that freezes them. Exit code 3: refused, or not told to go on.
    Send(SendOptions),
    /// Shows the letters of a command, and sends nothing.
    ///
    /// For the first rows of its audience and the first of each variant, for one user, or for rows of a file.
    Preview(PreviewOptions),
    /// Sends one real copy of a letter, through the services that run.
    ///
    /// It is marked as one, and is a broadcast of its own: ledger and audit trail have it as any other. Exit code 3: not
    /// sent, 4: in doubt.
    TestSend(TestSendOptions),
    /// Runs the producer until SIGTERM or Ctrl-C.
    Producer,
    /// Runs the consumer until SIGTERM or Ctrl-C.
    Consumer,
    /// Runs the feedback consumer (SES events) until SIGTERM or Ctrl-C.
    Feedback,
    /// Shows how a broadcast stands, from the ledger.
    Status(StatusOptions),
    /// Grants no more permits until `resume`; what is out expires in seconds.
    Pause(OperateOptions),
    /// Lets a paused broadcast go on.
    Resume(OperateOptions),
    /// Lets a broadcast go on that holds, after its canary or before any send.
    ///
    /// Where several persons must agree to it, with `--agreed`: without, it shows what there is to agree to, and ends with
    /// exit code 3.
    Approve(ApproveOptions),
    /// Ends a broadcast for ever, and proves that nothing more can be sent.
    ///
    /// What can't be stopped is named, and the rest is stopped all the same: exit code 1. Exit code 3: stopped,
    /// and not proved yet.
    Stop(StopOptions),
    /// Takes new broadcasts and sends again, after `stop --all` and `--hard`.
    Open(OpenOptions),
    /// Lists the broadcasts, those that are not over first.
    List(ListOptions),
    /// Shows who did what to a broadcast, when and why.
    Audit(AuditOptions),
    /// Shows everything that is known of one recipient, by key or by address.
    Why(WhyOptions),
    /// Shows one person in all broadcasts, with a sentence to send to them.
    ///
    /// By a key some pages of each broadcast are read: of a thousand, ten. By an address all are, eight at once, since an
    /// address has no order; one page is an item of the ledger of 400 KB at most. It says how many it has read, and Ctrl-C
    /// ends it with what was found. Exit code 5: nobody of that name.
    Who(WhoOptions),
    /// Shows what a broadcast says, or the letter of one recipient.
    ///
    /// As the ledger keeps it, with the hash of the content.
    Show(ShowOptions),
    /// Prints the recipients with one outcome, ready to be an audience again.
    Export(ExportOptions),
    /// Makes audience and command for those whom a broadcast has missed.
    ///
    /// For a broadcast that is over: those who were frozen and never sent to, and those who were skipped and
    /// can be mailed since. Proves that nobody is among them who was accepted or is in doubt. Sends nothing.
    Resend(ResendOptions),
    /// Writes a page: timeline, outcomes, audit trail and certificate.
    Report(ReportOptions),
    /// Serves a page on 127.0.0.1 to follow and stop broadcasts.
    ///
    /// It acts with your own credentials.
    Console(ConsoleOptions),
    /// Says with evidence whether a broadcast is over, and signs it.
    ///
    /// Reads what is deployed, who took part and what the ledger holds, and watches the queues for more
    /// than twice the visibility timeout. What can't be read counts against it. Exit code 0: converged;
    /// 4: over, with recipients in doubt; 3: not converged.
    Certify(CertifyOptions),
    /// Checks a signed certificate, without any network.
    ///
    /// Exit code as of `certify`; 3 where the signature does not fit, too.
    Verify(VerifyOptions),
    /// Shows and changes the list of addresses that are not mailed.
    #[command(subcommand)]
    Suppress(Suppress),
    /// Takes a provider's events from a file, for those without its webhook.
    ///
    /// Rows as `SendGrid`'s or Resend's webhook has them: a JSON array, one on each line, or bodies one after another; or
    /// the CSV that `SendGrid`'s activity feed exports. Nobody
    /// has signed them, so the audit trail says who brought which file. Twice is as once. Exit code 3: rows were refused, or
    /// it was not told to.
    ImportEvents(ImportEventsOptions),
    /// Checks a token of a link to unsubscribe.
    #[command(subcommand)]
    UnsubscribeToken(UnsubscribeToken),
    /// Removes a person from frozen audiences and dead letters.
    ///
    /// By key or by address, in every broadcast that is over. Chain, counts and certificates hold. Shows first what it
    /// has found. Exit code 3: something can't be forgotten yet, or it was not told to.
    Forget(ForgetOptions),
    /// Enqueues again what has no outcome, after messages were lost for good.
    ///
    /// Shows first what it would do.
    Repair(RepairOptions),
    /// Shows the dead letters: who moved each, why, and what is known of it.
    ///
    /// A hundred of each queue at most; addresses are not shown. It changes nothing, but `--discard` deletes one.
    #[command(alias = "deadletters")]
    DeadLetters(DeadLettersOptions),
    /// Moves a queue's dead letters back into it.
    Redrive(RedriveOptions),
    /// Lets services work again after the ledger was restored from a backup.
    ///
    /// Ends every broadcast that is not over. Refused where nothing was restored (exit code 3). Shows what it
    /// will do, and asks for the name of the ledger table.
    AcceptRestoredLedger(AcceptRestoredOptions),
    /// Lists the shared settings: flags, variables, defaults.
    ///
    /// Each is a flag of every command, an environment variable and a key of the configuration file.
    Settings,
    /// Prints what completes this command line, for a shell.
    ///
    /// For bash: `issei completions bash > ~/.local/share/bash-completion/completions/issei`
    Completions(CompletionsOptions),
    /// Writes the manual pages into a directory.
    Man(ManOptions),
}

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
    /// Where the signed certificate goes; `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "signing_key")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SendOptions {
    /// The command, as `.json` or `.toml`; `-` reads JSON from standard input. `text_file`, `html_file` (HTML or
    /// `.mjml`) and `subject_file` name files beside it instead of `text`, `html` and `subject`.
    pub(crate) file: PathBuf,
    /// Judge and print only.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Writes three letters as a page: the first, the one with the longest data, the one with the oddest
    /// characters. It holds what they hold. `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Send it without asking. Without a terminal and without this, it only shows.
    #[arg(long)]
    pub(crate) yes: bool,
    /// For whoever can't read the audience from here: the producer reads and judges it, and the broadcast holds before its
    /// first send until `issei approve`; `issei status` shows the judgement.
    #[arg(long, conflicts_with = "output")]
    pub(crate) hold: bool,
    /// Why the same content, or the same subject, goes to this audience once more. Without it, what another
    /// broadcast has said to the audience within 30 days is refused.
    #[arg(long, value_name = "REASON")]
    pub(crate) again: Option<Reason>,
}

#[derive(Debug, Args)]
pub(crate) struct PreviewOptions {
    /// The command, as `.json` or `.toml`; `-` reads JSON from standard input.
    pub(crate) file: PathBuf,
    /// Another audience than the command's.
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Option<AudienceName>,
    /// So many rows, and the first of each variant.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rows: usize,
    /// The row with this key alone.
    #[arg(long = "as", value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Rows of one's own instead of the audience: an array of JSON objects, or one a line.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["audience", "key"])]
    pub(crate) data: Option<PathBuf>,
    /// Writes a page with all parts, the HTML at two widths. It holds what the rows hold. `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TestSendOptions {
    /// The command, as `.json` or `.toml`; `-` reads JSON from standard input.
    pub(crate) file: PathBuf,
    /// Whom the copy goes to: in the sender's domain, or in `test_recipients`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Address,
    /// Written from the row with this key. Without it, from the first that can be mailed.
    #[arg(long = "as", value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Written from the first row of a file: an array of JSON objects, or one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) data: Option<PathBuf>,
    /// Waits so many seconds for its outcome.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) wait_s: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ShowOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// The letter of whoever has this key in the audience, or this address.
    #[arg(long = "as", value_name = "KEY_OR_ADDRESS")]
    pub(crate) recipient: Option<String>,
    /// Writes the letter as a page, the HTML at two widths. `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "recipient")]
    pub(crate) output: Option<PathBuf>,
}

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
    #[command(flatten)]
    pub(crate) operate: OperateOptions,
    /// What you agree to, where several persons must: the digest that `issei status` and the console show beside the
    /// letters, or its first 16 characters.
    #[arg(long, value_name = "DIGEST")]
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
    /// forgotten, and everybody else who uses this configuration set. `issei open` allows it again.
    #[arg(long)]
    pub(crate) hard: bool,
    /// Why. It stands in the audit trail. Give one; but nothing is kept from being stopped for want of it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct OpenOptions {
    /// Why. It stands in this command's log line.
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
pub(crate) struct AuditOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
}

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
}

#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Which recipients.
    #[arg(long, value_enum)]
    pub(crate) outcome: Wanted,
    /// How the rows are written; --json is `jsonl`
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
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
    /// SES took the message and could not render it.
    RenderFailed,
    /// SES took the message and did not send it, since the address is on its suppression list.
    Suppressed,
    /// The recipient's mail server did not take it at once.
    Delayed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    #[default]
    Csv,
    Jsonl,
}

#[derive(Debug, Args)]
pub(crate) struct ReportOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Where the page goes; `-` for standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// A signed certificate to show in it.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The public key that must have signed it.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) public_key: Option<PathBuf>,
    /// The language of the page
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lang: Language,
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
pub(crate) struct CertifyOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// The Ed25519 private key that signs, in PEM (`openssl genpkey -algorithm ed25519 -out FILE`).
    /// Without it the certificate is shown and not signed.
    #[arg(long, env = "ISSEI_SIGNING_KEY_FILE", value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
    /// Where the signed certificate goes; `-` for standard output.
    #[arg(long, short, value_name = "FILE", requires = "signing_key")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyOptions {
    /// The signed certificate.
    pub(crate) file: PathBuf,
    /// The public key of whoever you trust, in PEM (`openssl pkey -in KEY -pubout`). Get it over another
    /// way than the certificate.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
    /// The broadcast that it must be about. A good certificate of another one is refused.
    #[arg(long, value_name = "ID")]
    pub(crate) broadcast: Option<BroadcastId>,
    /// The oldest that it may be: a day (UTC) or a time (RFC 3339). One that was issued before is refused.
    #[arg(long, value_name = "DATE")]
    pub(crate) not_before: Option<NotBefore>,
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
        /// The mail address
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
        /// The mail address
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
        address: Option<Address>,
    },
    /// Reads the list of another sender: an export of `SendGrid` or listmonk, or SES's own suppression list.
    ///
    /// Shows first how many it would enter. `SendGrid`'s exports don't say what they hold: --because does.
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

#[derive(Debug, Args)]
pub(crate) struct RepairOptions {
    /// The broadcast's id
    pub(crate) id: BroadcastId,
    /// Why. It stands in the audit trail.
    #[arg(long)]
    pub(crate) reason: String,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueName {
    Commands,
    Chunks,
    Feedback,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn short_help_fits_a_screen() {
        let help = Cli::command().term_width(100).render_help().to_string();
        assert!(help.lines().count() <= 53, "{help}");
        insta::assert_snapshot!(help);
    }
}
