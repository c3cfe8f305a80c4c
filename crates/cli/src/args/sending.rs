//! What is asked of whoever writes, looks at and sends.

use std::path::PathBuf;

use clap::Args;
use issei_schema::{Address, AudienceName, BroadcastId, Reason};

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
