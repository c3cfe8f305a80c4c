//! A person's terminal: the real binary with a pseudoterminal for all of its input and output.

use std::process::Stdio;

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use crate::patience::PATIENCE;
use crate::processes::Processes;

/// A command that runs at a terminal.
pub struct Terminal {
    child: Child,
    screen: File,
    seen: String,
}

impl Processes {
    /// Starts a command at a terminal.
    #[must_use]
    pub fn at_terminal(&self, arguments: &[&str]) -> Terminal {
        let pty = openpty(None, None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        // Whoever shows progress asks what kind of terminal it is.
        let child = self.command(arguments).env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        Terminal { child, screen: File::from_std(std::fs::File::from(pty.master)), seen: String::new() }
    }
}

impl Terminal {
    /// Waits until a text stands on the screen.
    pub async fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read().await, "it ends without `{text}`: {}", self.seen);
        }
    }

    /// What has stood on the screen so far.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Types.
    pub async fn type_in(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).await.unwrap();
        self.screen.flush().await.unwrap();
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
    }

    /// Waits for its end: exit code, and all that stood on the screen.
    pub async fn end(mut self) -> (Option<i32>, String) {
        while self.read().await {}
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        (status.code(), self.seen)
    }

    /// Whether there was more. The other side's end reads as an error (`man 4 pts`: EIO).
    async fn read(&mut self) -> bool {
        let mut some = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.screen.read(&mut some)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more after {PATIENCE:?}: {}", self.seen)).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&some[..read]));
        read > 0
    }
}
