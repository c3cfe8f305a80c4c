//! `issei accept-restored-ledger`: taking a ledger as a restored backup left it.
//!
//! It ends every broadcast that is not over, so it must never be done by mistake: not where nothing was
//! restored, and not without the name of the table.

use std::io::{IsTerminal, Write};

use issei_assembly::{Settings, ask, say};
use issei_ledger::BroadcastState;
use serde_json::json;

use crate::Ended;
use crate::args::AcceptRestoredOptions;
use crate::in_use::{self, Care};
use crate::operator;

pub(crate) async fn accept(settings: &Settings, options: &AcceptRestoredOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::Itself).await?;
    let (ledger, mirror) = (parts.ledger(), parts.chunks_queue().await?);
    let table = &settings.table;
    let refused = |why: &str| {
        say(&if as_json { json!({ "done": false, "reason": why }).to_string() } else { format!("Nothing was done: {why}.") });
        Ok(Ended::Refused)
    };
    let Some(restored) = ledger.restored(&mirror).await? else {
        return refused(&format!("the ledger in table `{table}` was not restored; services work with it as it is"));
    };
    let (mut ending, mut ending_already) = (Vec::new(), Vec::new());
    for id in ledger.open_broadcasts().await? {
        // One that was stopped before is on the list until its end is written.
        let state = ledger.broadcast(&id).await.map(|broadcast| broadcast.broadcast_state);
        let is_ending = state.is_ok_and(|state| state == BroadcastState::Stopping || state.is_over());
        let list = if is_ending { &mut ending_already } else { &mut ending };
        list.push(id.to_string());
    }
    if !as_json {
        say(&format!("ledger        table `{table}`"));
        say(&format!("restored      {restored}"));
        if ending.is_empty() {
            say("ends for ever none: nothing is under way");
        } else {
            say(&format!("ends for ever {}: whom the restored ledger forgot nobody knows", ending.join(", ")));
        }
        if !ending_already.is_empty() {
            say(&format!("ending already {}", ending_already.join(", ")));
        }
        say("then          services work again, within half a minute");
    }
    let typed = match &options.table_name {
        Some(name) => name.clone(),
        None if !as_json => typed_on_a_terminal()?,
        None => String::new(),
    };
    if typed.is_empty() {
        return refused("the name of the table was not given; type it, or give it with --table-name");
    }
    if typed != *table {
        return refused(&format!("`{typed}` was given, and the table is `{table}`: look whether this is the ledger that you mean"));
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
