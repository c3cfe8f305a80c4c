//! `issei accept-restored-ledger`: taking a ledger as a restored backup left it.
//!
//! It ends every broadcast that is not over, so it must never be done by mistake: not where nothing was
//! restored, and not without the name of the table.

use std::io::{IsTerminal, Write};

use issei_assembly::{Settings, ask, say};
use issei_ledger::{Beside, BroadcastState, Heartbeat, SEEN_WITHIN};
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
    let beside = ledger.beside(&mirror).await?;
    let alive = ledger.alive().await?;
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
        if let Some(beside) = &beside {
            say(&format!("silences      {}", silenced(beside)));
        }
        say(&format!("then          {}", then(table, &alive)));
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
        let silenced = beside.map(|Beside { table, alive }| {
            let (services, unreadable) = (alive.as_deref().map(names).ok(), alive.as_ref().err().map(ToString::to_string));
            json!({ "table": table, "services": services, "unreadable": unreadable })
        });
        json!({ "done": true, "epoch": accepted.epoch, "ended": ended, "silenced": silenced }).to_string()
    } else {
        format!(
            "The ledger is accepted, in epoch {}. Broadcasts ended: {}. Services see it within {} s.",
            accepted.epoch,
            if ended.is_empty() { "none".to_owned() } else { ended.join(", ") },
            SEEN_WITHIN.as_secs()
        )
    });
    Ok(Ended::Well)
}

/// Each service by its kind and who runs it.
fn names(runs: &[Heartbeat]) -> Vec<String> {
    runs.iter().map(|run| format!("{} {}", run.service.as_str(), run.actor)).collect()
}

/// Whom it silences: they go on with the table that the queues are used with.
fn silenced(Beside { table, alive }: &Beside) -> String {
    let who = match alive {
        Ok(alive) if alive.is_empty() => "whoever works with it (none is alive now)".to_owned(),
        Ok(alive) => names(alive).join(", "),
        Err(error) => format!("whoever works with it (who that is can't be read: {error})"),
    };
    format!(
        "the queues are used with table `{table}` now: {who} will send nothing more, within {} s, and call that table restored until it is taken into use again; what is under way there goes on until then",
        SEEN_WITHIN.as_secs()
    )
}

/// Who works with it then.
fn then(table: &str, alive: &[Heartbeat]) -> String {
    let seconds = SEEN_WITHIN.as_secs();
    let who = if alive.is_empty() { String::new() } else { format!(": {}", names(alive).join(", ")) };
    format!(
        "services that are configured with table `{table}` begin to work within {seconds} s{who}; others must be configured with it, and started again"
    )
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
