//! `issei accept-restored-ledger`: taking a ledger as a restored backup left it.
//!
//! It ends every broadcast that is not over, so it must never be done by mistake: not where nothing was
//! restored, and not without the name of the table.

use std::io::{IsTerminal, Write};

use issei_assembly::{Parts, Settings, ask, say};
use serde_json::json;

use crate::Ended;
use crate::args::AcceptRestoredOptions;
use crate::operator;

pub(crate) async fn accept(settings: &Settings, options: &AcceptRestoredOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = Parts::connect(settings).await;
    let (ledger, mirror) = (parts.ledger(), parts.chunks_queue().await?);
    let table = &settings.table;
    let refused = |why: &str| {
        say(&if as_json { json!({ "done": false, "reason": why }).to_string() } else { format!("Nothing was done: {why}.") });
        Ok(Ended::Refused)
    };
    let Some(restored) = ledger.restored(&mirror).await? else {
        return refused(&format!("the ledger in table `{table}` was not restored; services work with it as it is"));
    };
    let ending: Vec<String> = ledger.open_broadcasts().await?.iter().map(ToString::to_string).collect();
    if !as_json {
        say(&format!("ledger        table `{table}`"));
        say(&format!("restored      {restored}"));
        let ending = if ending.is_empty() { "none is open".to_owned() } else { ending.join(", ") };
        say(&format!("ends for ever {ending}: whom the restored ledger forgot nobody knows"));
        say("then          services work again, within half a minute");
    }
    let typed = match &options.table_name {
        Some(name) => name.clone(),
        None if !as_json => typed_on_a_terminal()?,
        None => String::new(),
    };
    if typed != *table {
        return refused("the name of the table was not given; type it, or give it with --table-name");
    }
    let Some(accepted) = ledger.accept_restored(&mirror, &operator::actor(&parts).await?, &options.reason).await? else {
        return refused("somebody else was first");
    };
    let ended: Vec<String> = accepted.ended.iter().map(|broadcast| broadcast.broadcast_id.to_string()).collect();
    say(&if as_json {
        json!({ "done": true, "epoch": accepted.epoch, "ended": ended }).to_string()
    } else {
        format!(
            "The ledger is accepted, in epoch {}. Broadcasts ended: {}.",
            accepted.epoch,
            if ended.is_empty() { "none".to_owned() } else { ended.join(", ") }
        )
    });
    Ok(Ended::Well)
}

/// Elsewhere nothing is typed.
fn typed_on_a_terminal() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Ok(String::new());
    }
    ask("Type the name of the table to do it: ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}
