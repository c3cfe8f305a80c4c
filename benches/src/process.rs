//! A measured process: its CPU, user and system, and the most memory that it had.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Killed when dropped.
pub(crate) struct Measured(Child);

/// What a process has spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    /// Where the system tells; Linux does.
    pub(crate) peak_kib: Option<u64>,
}

impl Spent {
    /// Of several at once: their CPU together, and the memory of the largest.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, peak_kib: self.peak_kib.max(other.peak_kib) }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Measured {
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Ends it by SIGTERM, as an operator does, and tells what it has spent.
    pub(crate) fn end(mut self) -> anyhow::Result<Spent> {
        let peak_kib = peak_of(self.0.id());
        let pid = Pid::from_raw(i32::try_from(self.0.id())?);
        kill(pid, Signal::SIGTERM).context("it has ended before")?;
        // The children that were waited for, and between these two looks it is this one alone.
        let before = waited_for()?;
        self.0.wait()?;
        Ok(Spent { cpu: waited_for()?.saturating_sub(before), peak_kib })
    }
}

fn waited_for() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(u64::try_from(micros.iter().sum::<i64>())?))
}

fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
