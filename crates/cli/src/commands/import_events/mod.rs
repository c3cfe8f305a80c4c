//! `issei import-events`: what a provider has told, from a file, for those without its webhook.
//!
//! Nobody has signed such a file. So before anything in it counts, the audit trail of each broadcast that it is about says who
//! brought it, how many events, and by which SHA-256 the file is known; then the feedback consumer's own code takes them. What
//! this must never do: let a row that can't be read, or is of another broadcast, keep another from being taken, or print an
//! address.

mod activity;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;
use indicatif::ProgressBar;
use issei_assembly::{Parts, Settings, say};
use issei_aws::{Message, Senders};
use issei_feedback::{Handled, of_another_registration};
use issei_ledger::{Broadcast, phrases};
use issei_provider::{Exported, Told, Webhook, WebhookKeys};
use issei_schema::{Actor, BroadcastId, on_one_line, without_addresses};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::args::ImportEventsOptions;
use crate::commands::serve::on_signal;
use crate::confirm::confirmed;
use crate::in_use::{self, Care};
use crate::{Ended, Interrupted, input, operator};
use rows::rows;

/// Events taken at once.
const BATCH: usize = 1_000;
/// Refused rows that are printed for people.
const SHOWN: usize = 10;

/// The line of a row, and its number there.
type At = (u64, u64);

/// A row that is an event of one of our broadcasts.
struct Brought {
    at: At,
    id: BroadcastId,
    chunk: u32,
    registration: Option<String>,
    kind: Exported,
    body: String,
}

/// A file, read.
#[derive(Default)]
struct Read {
    name: String,
    sha256: String,
    brought: Vec<Brought>,
    /// Events about other mail through the same account.
    not_ours: u64,
    refused: BTreeMap<At, String>,
}

impl Read {
    fn of(file: &Path, now: Timestamp) -> anyhow::Result<Self> {
        let bytes = input::bytes(file)?;
        let name = file.file_name().map(|name| on_one_line(&name.to_string_lossy())).unwrap_or_default();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let mut read = Self { name: without_addresses(&name), sha256, ..Self::default() };
        for row in rows(&String::from_utf8_lossy(&bytes)) {
            match row.value {
                Ok(value) => read.take((row.line, row.number), &value, now),
                Err(reason) => read.refuse((row.line, row.number), reason),
            }
        }
        Ok(read)
    }

    fn refuse(&mut self, at: At, reason: String) {
        self.refused.insert(at, reason);
    }

    fn take(&mut self, at: At, value: &serde_json::Value, now: Timestamp) {
        let Some(kind) = Exported::of(value) else {
            return self.refuse(at, "it is no event as SendGrid's or Resend's webhook has it".to_owned());
        };
        let provider = kind.facts().title.to_owned();
        let webhook = Webhook { provider, id: String::new(), timestamp: String::new(), signature: String::new(), body: kind.body(value) };
        let told = WebhookKeys::Brought(kind).read(&webhook, now).map(|mut events| events.pop());
        match told {
            Ok(Some(Ok(Told::Event(event)))) => {
                let (id, chunk, registration) = (event.broadcast, event.chunk, event.registration);
                self.brought.push(Brought { at, id, chunk, registration, kind, body: webhook.to_line() });
            }
            Ok(Some(Ok(_)) | None) => self.not_ours += 1,
            Ok(Some(Err(error))) => self.refuse(at, error.to_string()),
            Err(error) => self.refuse(at, error.to_string()),
        }
    }

    /// Leaves out what is about no broadcast of the ledger, or about one that somebody else carries.
    async fn look_up(&mut self, parts: &Parts) -> anyhow::Result<BTreeMap<BroadcastId, Broadcast>> {
        let (mut known, mut reasons) = (BTreeMap::new(), BTreeMap::new());
        let carriers = parts.known_providers();
        let kinds: BTreeSet<(BroadcastId, Exported)> = self.brought.iter().map(|row| (row.id.clone(), row.kind)).collect();
        for (id, kind) in kinds {
            let Some(broadcast) = parts.ledger().find_broadcast(&id).await? else {
                reasons.insert((id.clone(), kind), format!("there is no broadcast `{id}` in the ledger"));
                continue;
            };
            let carrier = broadcast.provider.clone().unwrap_or_default();
            let (told, carried) = (kind.facts().title, carriers.get(&carrier).map(|known| known.facts.title));
            if carried == Some(told) {
                known.insert(id, broadcast);
            } else {
                let by = carried.map_or_else(|| format!("`{carrier}`, which is not configured here"), str::to_owned);
                reasons.insert((id.clone(), kind), format!("`{id}` is carried by {by}, and the event is told by {told}"));
            }
        }
        let marks: BTreeMap<_, _> = known.iter().map(|(id, broadcast)| (id.clone(), broadcast.letter_mark())).collect();
        for row in std::mem::take(&mut self.brought) {
            let (id, chunk) = (&row.id, row.chunk);
            let chunks = known.get(id).map_or(0, |broadcast| broadcast.chunks);
            let mark = marks.get(id).and_then(Option::as_deref);
            let reason = reasons.get(&(id.clone(), row.kind)).cloned();
            let reason = reason.or_else(|| of_another_registration(id, mark, row.registration.as_deref()));
            let beyond = || format!("broadcast `{id}` has {chunks} chunks, and the event names chunk {chunk}");
            match reason.or_else(|| (chunk >= chunks).then(beyond)) {
                Some(reason) => self.refuse(row.at, reason),
                None => self.brought.push(row),
            }
        }
        let left: BTreeSet<&BroadcastId> = self.brought.iter().map(|row| &row.id).collect();
        known.retain(|id, _| left.contains(id));
        Ok(known)
    }

    fn of_broadcast(&self, id: &BroadcastId) -> usize {
        self.brought.iter().filter(|row| row.id == *id).count()
    }
}

pub(crate) async fn run(settings: &Settings, options: &ImportEventsOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let shutdown = on_signal()?;
    let mut read = Read::of(&options.file, parts.clock.wall())?;
    let known = read.look_up(&parts).await?;
    if !as_json {
        show(&read, known.keys());
    }
    let nothing = known.is_empty();
    let wanted = !nothing && (options.yes || (!as_json && confirmed("Take them as evidence?", &shutdown).await?));
    if !wanted {
        let why = if nothing { "there is nothing in it to be taken" } else { "nothing was taken; repeat with --yes to take them" };
        say(&if as_json { told(&read, known.keys(), false, 0) } else { why.to_owned() });
        return Ok(if nothing && read.refused.is_empty() { Ended::Well } else { Ended::Refused });
    }
    let actor = operator::actor(&parts).await?;
    parts.ledger().check_whole(&parts.chunks_queue().await?).await?;
    for broadcast in known.values() {
        write_down(&parts, &read, broadcast, &actor).await?;
    }
    let failed = take(&parts, &mut read, &actor, as_json, &shutdown).await?;
    if as_json {
        say(&told(&read, known.keys(), true, failed));
    } else {
        let taken = read.brought.len() - usize::try_from(failed).unwrap_or(usize::MAX).min(read.brought.len());
        say(&format!("\n{taken} events are in the ledger, or were already"));
        show_refused(&read);
    }
    if failed > 0 {
        bail!("{failed} events can't be written down now; what was taken stays, and the same import again takes the rest");
    }
    Ok(if read.refused.is_empty() { Ended::Well } else { Ended::Refused })
}

/// Who brought what, before any of it counts. The same file is written down once.
async fn write_down(parts: &Parts, read: &Read, broadcast: &Broadcast, actor: &Actor) -> anyhow::Result<()> {
    let ledger = parts.ledger();
    let (step, of_file) = (phrases::IMPORTED_STEP.with(&[]), format!("SHA-256 {}", read.sha256));
    let trail = ledger.audit_trail(broadcast).await?;
    if trail.entries.iter().any(|entry| entry.step == step && entry.reason.contains(&of_file)) {
        return Ok(());
    }
    let (id, name) = (&broadcast.broadcast_id, name_of(&read.name));
    let reason = phrases::IMPORTED.with(&[&read.of_broadcast(id), &name, &read.sha256]);
    ledger.audit(id, actor, &step, &reason).await?;
    Ok(())
}

/// So short that the digest behind it is never cut off.
fn name_of(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Gives how many could not be written down.
async fn take(parts: &Parts, read: &mut Read, actor: &Actor, as_json: bool, shutdown: &CancellationToken) -> anyhow::Result<u64> {
    let feedback = parts.importer(actor.clone()).await?;
    let bar = if as_json { ProgressBar::hidden() } else { ProgressBar::new(read.brought.len() as u64) };
    let (mut failed, mut refused) = (0, Vec::new());
    for some in read.brought.chunks(BATCH) {
        if shutdown.is_cancelled() {
            bail!(Interrupted("interrupted; what was taken stays, and the same import again takes the rest".to_owned()));
        }
        let message = |(number, row): (usize, &Brought)| Message {
            id: number.to_string(),
            body: row.body.clone(),
            receipt: String::new(),
            receives: 1,
            sent_at_ms: parts.clock.wall().as_millisecond(),
            senders: Senders::default(),
            dead_by: None,
        };
        let messages: Vec<Message> = some.iter().enumerate().map(message).collect();
        for (row, handled) in some.iter().zip(feedback.handle_batch(&messages).await) {
            match handled {
                Handled::Done => {}
                Handled::Bury(reason) => refused.push((row.at, reason)),
                Handled::Again => failed += 1,
            }
        }
        bar.inc(some.len() as u64);
    }
    bar.finish_and_clear();
    refused.into_iter().for_each(|(at, reason)| read.refuse(at, reason));
    let Read { brought, refused, .. } = read;
    brought.retain(|row| !refused.contains_key(&row.at));
    Ok(failed)
}

fn show<'a>(read: &Read, known: impl Iterator<Item = &'a BroadcastId>) {
    say(&format!("file           {}, SHA-256 {}", read.name, read.sha256));
    let each: Vec<String> = known.map(|id| format!("{} of {id}", read.of_broadcast(id))).collect();
    say(&format!("to be taken    {}", if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }));
    say(&format!("about others   {} events of mail that is not issei's", read.not_ours));
    show_refused(read);
    say("Nobody has signed these events. The audit trail will say that you brought them, and from which file.");
}

fn show_refused(read: &Read) {
    say(&format!("refused        {} rows", read.refused.len()));
    for ((line, number), reason) in read.refused.iter().take(SHOWN) {
        let number = if *number > 1 { format!(", row {number}") } else { String::new() };
        say(&format!("  line {line}{number}: {reason}"));
    }
    if read.refused.len() > SHOWN {
        say("  …; --json tells all of them");
    }
}

fn told<'a>(read: &Read, known: impl Iterator<Item = &'a BroadcastId>, taken: bool, failed: u64) -> String {
    let broadcasts: Vec<_> = known.map(|id| json!({ "broadcast_id": id, "events": read.of_broadcast(id) })).collect();
    let refused: Vec<_> = read.refused.iter().map(|((line, row), reason)| json!({ "line": line, "row": row, "reason": reason })).collect();
    let (file, sha256, not_ours) = (&read.name, &read.sha256, read.not_ours);
    json!({
        "file": file, "sha256": sha256, "broadcasts": broadcasts, "not_ours": not_ours, "refused": refused, "taken": taken, "failed": failed,
    })
    .to_string()
}
