//! The command line: the commands, and what is true of each. What each takes stands with its kind, below `args/`.

mod answering;
mod beginning;
mod operating;
mod proving;
mod sending;

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueHint};
use issei_assembly::{Layer, LogFormat};

pub(crate) use self::answering::{
    Because, ExportFormat, ExportOptions, ForgetOptions, ImportEventsOptions, ResendOptions, Suppress, UnsubscribeToken, Wanted,
    WhoOptions, WhyOptions,
};
pub(crate) use self::beginning::{
    CompletionsOptions, DemoOptions, DemoProvider, DoctorOptions, InitOptions, ManOptions, RehearseOptions, SetupOptions, TryOptions,
};
pub(crate) use self::operating::{
    AcceptRestoredOptions, ApproveOptions, ConsoleOptions, DeadLettersOptions, ListOptions, OpenOptions, OperateOptions, QueueName,
    RedriveOptions, RepairOptions, StatusOptions, StopOptions,
};
pub(crate) use self::proving::{AuditOptions, CertifyOptions, ReportOptions, VerifyOptions};
pub(crate) use self::sending::{PreviewOptions, SendOptions, ShowOptions, TestSendOptions};

/// Sends one message to every user, once, and can prove it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
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

/// The commands by what somebody wants to do. Each stands in one of these.
pub(crate) const JOBS: [(&str, &[&str]); 6] = [
    ("To begin", &["demo", "try", "init", "setup", "doctor", "rehearse", "settings", "completions", "man"]),
    ("To send", &["preview", "test-send", "send", "producer", "consumer", "feedback"]),
    ("To follow and to stop", &["status", "list", "console", "pause", "resume", "approve", "stop", "open"]),
    ("To answer and to prove", &["who", "why", "show", "audit", "export", "report", "certify", "verify"]),
    ("Not to mail somebody", &["suppress", "unsubscribe-token", "import-events", "forget"]),
    ("To mend", &["resend", "repair", "dead-letters", "redrive", "accept-restored-ledger"]),
];

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
    /// Grants no more permits until `resume`; what is out may still be sent.
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
    /// and not proved yet, or with `--hard` and an id by another provider than SES, which that can't shut, or that the
    /// ledger does not know.
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
