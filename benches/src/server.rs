//! The in-memory server of AWS's protocols as a process of its own, so that its CPU is nobody else's.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context;
use issei_clock::Clock;
use issei_sim::{Account, Cloud, Events, Options, StoreKind, Usage, listen};
use serde::{Deserialize, Serialize};

/// How the account is set up.
#[derive(clap::Args)]
pub(crate) struct Setup {
    #[arg(long)]
    latency: u64,
    #[arg(long)]
    rate: f64,
    /// The queue that events go to.
    #[arg(long)]
    events: Option<String>,
}

/// What is asked for, one line of JSON each.
#[derive(Serialize, Deserialize)]
enum Question {
    Accepted,
    Usage(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Accepted(u64),
    Usage(Used),
}

/// What one caller has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// By operation.
    pub(crate) calls: Vec<(String, u64)>,
    pub(crate) written_units: u64,
    pub(crate) half_read_units: u64,
}

impl Used {
    pub(crate) fn all_calls(&self) -> u64 {
        self.calls.iter().map(|(_, calls)| calls).sum()
    }

    /// Of SQS alone.
    pub(crate) fn sqs_calls(&self) -> u64 {
        self.calls.iter().filter(|(call, _)| call.starts_with("sqs ")).map(|(_, calls)| calls).sum()
    }
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        let calls = usage.calls.into_iter().map(|((service, operation), calls)| (format!("{service} {operation}"), calls));
        Self { calls: calls.collect(), written_units: usage.units.written, half_read_units: usage.units.half_read }
    }
}

/// Serves until standard input ends. The first line that it prints is its URL.
pub(crate) async fn serve(setup: Setup) -> anyhow::Result<()> {
    let account = Account {
        max_send_rate: setup.rate,
        max_24_hour_send: 1e9,
        // Up to so long before the effect and up to so long after it, so this on average.
        latency_ms: if setup.latency == 0 { 0 } else { setup.latency + 1 },
        events: Events { queue: setup.events, ..Events::default() },
        ..Account::default()
    };
    let cloud = Cloud::new(Options { clock: Clock::system(), seed: 1, store: StoreKind::Memory, account })?;
    let listening = listen(cloud.clone()).await?;
    let answer = |line: &str| -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    };
    answer(&listening.url())?;
    let asked = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
        for line in std::io::stdin().lock().lines() {
            let told = match serde_json::from_str(&line?)? {
                Question::Accepted => Told::Accepted(cloud.accepted()),
                Question::Usage(key) => Told::Usage(cloud.usage_of(&key).into()),
            };
            answer(&serde_json::to_string(&told)?)?;
        }
        Ok(())
    });
    asked.await?
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start(this: &Path, latency: u64, rate: f64, events: Option<&str>) -> anyhow::Result<Self> {
        let mut command = Command::new(this);
        command.arg("server").args(["--latency", &latency.to_string(), "--rate", &rate.to_string()]);
        command.args(events.into_iter().flat_map(|queue| ["--events", queue]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the server does not start")?;
        let questions = child.stdin.take().context("no way to ask the server")?;
        let answers = BufReader::new(child.stdout.take().context("no way to hear the server")?);
        let mut server = Self { child, questions, answers, url: String::new() };
        server.line()?.trim().clone_into(&mut server.url);
        Ok(server)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("the server ended")?;
        Ok(line)
    }

    fn ask(&mut self, question: &Question) -> anyhow::Result<Told> {
        writeln!(self.questions, "{}", serde_json::to_string(question)?)?;
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("the server says {line:?}"))
    }

    /// Recipients that the provider has accepted so far.
    pub(crate) fn accepted(&mut self) -> anyhow::Result<u64> {
        match self.ask(&Question::Accepted)? {
            Told::Accepted(accepted) => Ok(accepted),
            Told::Usage(_) => anyhow::bail!("the server answers something else"),
        }
    }

    /// What whoever signs with this access key has used so far.
    pub(crate) fn usage_of(&mut self, key: &str) -> anyhow::Result<Used> {
        match self.ask(&Question::Usage(key.to_owned()))? {
            Told::Usage(used) => Ok(used),
            Told::Accepted(_) => anyhow::bail!("the server answers something else"),
        }
    }
}
