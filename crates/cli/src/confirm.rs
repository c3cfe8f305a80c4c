//! A question on a terminal. Elsewhere the answer is no.

use std::io::{IsTerminal, Write};

use issei_assembly::ask;
use tokio_util::sync::CancellationToken;

/// Asks, and waits for `y`. The end of the input, a cancelled `shutdown` and anything else are a no.
pub(crate) async fn confirmed(question: &str, shutdown: &CancellationToken) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    ask(&format!("{question} [y/N] "));
    std::io::stdout().flush()?;
    let (sender, answer) = tokio::sync::oneshot::channel();
    // A thread of its own, and none of the runtime's: whoever ends does not wait for a line that never comes.
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer).map(|_| answer);
        let _ = sender.send(read);
    });
    let Some(answer) = shutdown.run_until_cancelled(answer).await else { return Ok(false) };
    Ok(matches!(answer??.trim(), "y" | "Y" | "yes"))
}
