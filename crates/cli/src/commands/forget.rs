//! `issei forget`: a person goes out of frozen pages and dead letters, and tombstones stay.
//!
//! It shows what it has found before it does anything, and what it can't do. It prints no key and no address.

mod letters;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, stderr};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use issei_assembly::{Settings, say, say_warning};
use issei_ledger::{Broadcast, BroadcastState, Found, Ledger, LedgerError, Sought};
use issei_schema::{Address, BroadcastCommand, BroadcastId, Canary, Choice, Reason, RecipientKey};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::serve::on_signal;
use super::who::by_key_alone;
use crate::args::ForgetOptions;
use crate::confirm::confirmed;
use crate::in_use::{self, Care};
use crate::time_left::with_left;
use crate::{Ended, Interrupted, Refused, operator};

/// What one broadcast holds of the person.
#[derive(Serialize)]
struct Held {
    broadcast_id: BroadcastId,
    audience: String,
    state: BroadcastState,
    #[serde(flatten)]
    found: Found,
    /// Why nobody of it can be forgotten now, and what to do.
    waits: Option<String>,
    /// It is a copy whose command has the values of their row, or of whichever went to their address.
    copied: bool,
    /// What stays of them, and why.
    stays: Vec<String>,
    #[serde(skip)]
    sought: Option<Sought>,
}

/// Everything that was looked at.
#[derive(Default)]
struct Looked {
    held: Vec<Held>,
    broadcasts: usize,
    /// The audiences of all broadcasts that were asked, and how many of them are to another than is meant.
    audiences: BTreeSet<String>,
    left_out: usize,
    /// Rows that were skipped where nothing of an address was found.
    by_key_alone: u64,
    unreadable: Vec<(BroadcastId, LedgerError)>,
}

pub(crate) async fn run(settings: &Settings, options: &ForgetOptions, as_json: bool) -> anyhow::Result<Ended> {
    let parts = in_use::open(settings, Care::MustKnow).await?;
    let (ledger, sought, shutdown) = (parts.ledger(), Sought::new(&options.who), on_signal()?);
    let names_them = "the reason names whom it is about, and stands in the audit trail for ever; give one without key and address";
    if sought.is_named_in(&options.reason) {
        bail!(Refused(names_them.to_owned()));
    }
    let looked = look(&ledger, options, &sought).await?;
    // Whoever gives an address may write the key that the pages have beside it.
    if looked.sought().values().any(|all| all.is_named_in(&options.reason)) {
        bail!(Refused(names_them.to_owned()));
    }
    if let Some(audience) = options.audience.as_ref().filter(|audience| !looked.audiences.contains(audience.as_str())) {
        let known = looked.audiences.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        bail!(Refused(format!("no broadcast in the ledger is to an audience `{audience}`; there are broadcasts to {known}")));
    }
    let letters = letters::look(&parts, &ledger, &looked.sought(), &sought).await?;
    if !as_json {
        looked.print();
        letters.print(&settings.chunks_queue);
        is_suppressed(&ledger, &options.who).await?;
    }
    let told = |done: Option<(u64, usize)>, reason: Option<&str>| {
        let unreadable: BTreeMap<String, String> = looked.unreadable.iter().map(|(id, why)| (id.to_string(), why.to_string())).collect();
        json!({ "broadcasts": looked.held, "dead_letters": letters, "unreadable": unreadable, "done": done.is_some(), "reason": reason,
            "forgotten": done.map_or(0, |(entries, _)| entries), "deleted": done.map_or(0, |(_, deleted)| deleted) })
        .to_string()
    };
    if let Decision::No(ended, why) = decide(&looked, letters.found, options, as_json, &shutdown).await? {
        letters.show(&parts).await;
        say(&if as_json { told(None, Some(&why)) } else { format!("\n{why}") });
        looked.fails()?;
        return Ok(ended);
    }
    let (actor, mut entries) = (operator::actor(&parts).await?, 0);
    for held in looked.held.iter().filter(|held| held.waits.is_none()) {
        let Some(sought) = &held.sought else { continue };
        // First, since nothing finds it any more once the page is empty and an interruption came between.
        if held.copied {
            entries += u64::from(ledger.forget_copied(&held.broadcast_id).await?);
        }
        for page in held.found.pages.iter().filter(|page| !held.found.older_pages.contains(page)) {
            if shutdown.is_cancelled() {
                bail!(Interrupted(format!(
                    "interrupted after {entries} entries; what was forgotten is, and the same command again forgets the rest"
                )));
            }
            entries += ledger.forget(&held.broadcast_id, *page, sought, &actor, &options.reason).await?;
        }
    }
    let deleted = letters.delete(&parts).await?;
    say(&if as_json {
        told(Some((entries, deleted)), None)
    } else {
        format!("\n{entries} entries forgotten, {deleted} dead letters deleted")
    });
    looked.fails()?;
    let left = looked.left() + letters.waiting;
    if left > 0 && !as_json {
        say("what is named above as not to be done now is still there; repeat the command then");
    }
    Ok(if left > 0 { Ended::Refused } else { Ended::Well })
}

/// Whether it is to be done.
enum Decision {
    Yes,
    No(Ended, String),
}

async fn decide(
    looked: &Looked,
    letters: usize,
    options: &ForgetOptions,
    as_json: bool,
    shutdown: &CancellationToken,
) -> anyhow::Result<Decision> {
    let no = |why: &str| Ok(Decision::No(Ended::Refused, why.to_owned()));
    if let Some(audiences) = looked.several_audiences(&options.who) {
        return no(&format!(
            "nothing was done: the key stands in the audiences {audiences}, where it may be somebody else; say which by --audience NAME"
        ));
    }
    if looked.is_nobody() && letters == 0 {
        let is_forgotten = looked.held.iter().any(|held| !held.found.forgotten.is_empty());
        return match (is_forgotten, looked.left()) {
            (true, 0) => Ok(Decision::No(Ended::Well, "nothing is left to forget".to_owned())),
            (_, 0) if looked.by_key_alone > 0 => {
                no(&format!("no recipient with that address was found; {}", by_key_alone(looked.by_key_alone)))
            }
            (_, 0) => no("nobody with that key or address was found"),
            (_, _) => no("nothing can be forgotten now"),
        };
    }
    if options.dry_run {
        // As it would end without it.
        let ended = if looked.left() > 0 { Ended::Refused } else { Ended::Well };
        return Ok(Decision::No(ended, "nothing was done: --dry-run".to_owned()));
    }
    let question = "Forget them? What goes can't be had again";
    if !options.yes && (as_json || !confirmed(question, shutdown).await?) {
        return no("nothing was done; repeat with --yes to do it");
    }
    Ok(Decision::Yes)
}

/// Every broadcast that is meant, by id.
async fn look(ledger: &Ledger, options: &ForgetOptions, sought: &Sought) -> anyhow::Result<Looked> {
    let ids = match &options.broadcast {
        Some(id) => vec![id.clone()],
        None => ledger.known_broadcasts().await?,
    };
    let mut looked = Looked { broadcasts: ids.len(), ..Looked::default() };
    let bar = bar(ids.len())?;
    for (number, id) in (1..).zip(&ids) {
        match looked.look_at(ledger, id, options, sought).await {
            Ok(()) => {}
            // One that can't be read must not keep the others from being forgotten.
            Err(error @ LedgerError::Corrupt { .. }) => looked.unreadable.push((id.clone(), error)),
            Err(error) => return Err(error.into()),
        }
        if bar.is_hidden() {
            tracing::info!(broadcast.id = %id, number, of = looked.broadcasts, "looked through");
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(looked)
}

/// Only a terminal has it; a log has a line for each.
fn bar(broadcasts: usize) -> anyhow::Result<ProgressBar> {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = with_left(ProgressStyle::with_template("[{bar:30}] {pos} of {len} broadcasts looked through{left}")?.progress_chars("#>."));
    Ok(ProgressBar::with_draw_target(Some(u64::try_from(broadcasts)?), target).with_style(style))
}

fn waits(broadcast: &Broadcast, found: &Found) -> Option<String> {
    let (id, state) = (&broadcast.broadcast_id, broadcast.broadcast_state);
    if state == BroadcastState::Enumerating {
        return Some(format!("its audience is being frozen, and they may be in it: wait for its end, or `issei stop {id}`, and repeat"));
    }
    (!state.is_over() && !found.pages.is_empty())
        .then(|| format!("it may still send, and messages on their way name them: wait for its end, or `issei stop {id}`, and repeat"))
}

/// What the command itself and the audit trail say of them, by whichever key the pages have, or had, beside what was asked for. The
/// command's hash is over the one, which is in certificates, and the trail's hashes are over the other.
async fn stays(
    ledger: &Ledger,
    broadcast: &Broadcast,
    command: &BroadcastCommand,
    all: &Sought,
    found: &Found,
) -> Result<Vec<String>, LedgerError> {
    let mut stays = Vec::new();
    let mut says = |is_so: bool, what: &str, over: &str| {
        if is_so {
            stays.push(format!("{what}: that stays, since the {over}"));
        }
    };
    let over = "command's hash is over it";
    let named = match command.canary.as_ref().and_then(Canary::choice) {
        Some(Choice::Keys(keys)) => ledger.names(all, found, keys.iter().map(RecipientKey::as_str)).await?,
        Some(Choice::Share(_)) | None => false,
    };
    says(named, "the command names their key in its canary", over);
    let again = command.again.as_ref().map_or("", Reason::as_str);
    says(ledger.is_named_in(all, found, again).await?, "the command's `again` names them, or has a word that is their key", over);
    let is_copy = command.test_copy.as_ref().is_some_and(|copy| all.is_address(&copy.to));
    says(is_copy, "the command of a test copy names their address", over);
    let mut in_trail = false;
    for entry in broadcast.audit_trail.iter().filter(|entry| entry.is_of_a_person()) {
        in_trail |= ledger.is_named_in(all, found, &entry.reason).await?;
    }
    says(in_trail, "a reason in its audit trail names them, or has a word that is their key", "hashes of the trail are over it");
    if !is_copy && command.test_copy.as_ref().is_some_and(|copy| copy.row_key.is_none() && !copy.data.is_empty()) {
        stays.push(format!(
            "a copy that does not say which row it was written from, perhaps theirs: that stays; `issei show {id}` shows whose it is, and `issei forget ADDRESS --broadcast {id}`, with the address that it went to, empties it",
            id = broadcast.broadcast_id
        ));
    }
    Ok(stays)
}

async fn is_suppressed(ledger: &Ledger, who: &str) -> anyhow::Result<()> {
    let Ok(address) = Address::quoting_legacy(who) else { return Ok(()) };
    if ledger.suppression_of(&address).await?.is_some_and(|entry| !entry.causes.is_empty()) {
        say("suppression    the address is on the list, as a keyed digest, and stays there: else it would be mailed again");
    }
    Ok(())
}

impl Looked {
    async fn look_at(&mut self, ledger: &Ledger, id: &BroadcastId, options: &ForgetOptions, sought: &Sought) -> Result<(), LedgerError> {
        let broadcast = ledger.broadcast(id).await?;
        self.audiences.insert(broadcast.audience.to_string());
        if options.audience.as_ref().is_some_and(|audience| *audience != broadcast.audience) {
            self.left_out += 1;
            return Ok(());
        }
        let command = ledger.command(&broadcast.broadcast_id).await?;
        let (all, found) = ledger.look_for(&broadcast, sought).await?;
        let stays = stays(ledger, &broadcast, &command, &all, &found).await?;
        let copied = match command.test_copy.as_ref().filter(|copy| !copy.data.is_empty()) {
            Some(copy) => all.is_address(&copy.to) || ledger.is_copied_from(&command, &all).await?,
            None => false,
        };
        let waits = waits(&broadcast, &found);
        if Address::quoting_legacy(&options.who).is_ok() && found.pages.is_empty() && found.forgotten.is_empty() {
            self.by_key_alone += broadcast.skipped;
        }
        if copied || !found.pages.is_empty() || !found.forgotten.is_empty() || waits.is_some() || !stays.is_empty() {
            let Broadcast { broadcast_id, audience, broadcast_state: state, .. } = broadcast;
            self.held.push(Held { broadcast_id, audience: audience.to_string(), state, found, waits, copied, stays, sought: Some(all) });
        }
        Ok(())
    }

    fn is_nobody(&self) -> bool {
        self.held.iter().all(|held| held.waits.is_some() || (!held.copied && held.can_be_forgotten() == 0))
    }

    /// Broadcasts in which something stays for now.
    fn left(&self) -> usize {
        self.held.iter().filter(|held| held.waits.is_some() || !held.found.older_pages.is_empty()).count()
    }

    fn sought(&self) -> BTreeMap<BroadcastId, Sought> {
        self.held.iter().filter_map(|held| Some((held.broadcast_id.clone(), held.sought.clone()?))).collect()
    }

    /// A key is somebody else's in another audience; an address is the same person's everywhere.
    fn several_audiences(&self, who: &str) -> Option<String> {
        let of = self.held.iter().filter(|held| !held.found.pages.is_empty()).map(|held| format!("`{}`", held.audience));
        let audiences: BTreeSet<String> = of.collect();
        let is_address = Address::quoting_legacy(who).is_ok();
        (!is_address && audiences.len() > 1).then(|| audiences.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn fails(&self) -> anyhow::Result<()> {
        for (id, error) in &self.unreadable {
            say_warning(&format!("broadcast `{id}` can't be read: {error}"));
        }
        match self.unreadable.len() {
            0 => Ok(()),
            count => bail!("{count} of {} broadcasts can't be read, and nobody of them was forgotten", self.broadcasts),
        }
    }

    fn print(&self) {
        say(&format!("looked at      {} broadcasts", self.broadcasts - self.left_out));
        if self.left_out > 0 {
            say(&format!(
                "not looked at  {} broadcasts to other audiences, where the same key or address may stand, too: without --audience they are looked at",
                self.left_out
            ));
        }
        if self.by_key_alone > 0 && !self.is_nobody() {
            say(&format!("not found      {}", by_key_alone(self.by_key_alone)));
        }
        for Held { broadcast_id, audience, state, found, waits, copied, stays, .. } in &self.held {
            say(&format!("{broadcast_id} ({state}, audience {audience})"));
            if !found.pages.is_empty() {
                say(&format!("    found      {} recipients, {} skipped, in {} pages", found.recipients, found.skipped, found.pages.len()));
            }
            if *copied {
                say("    found      the values of the row that this copy was written from, in its command");
            }
            if let Some(expire) = found.older_expire {
                say(&format!(
                    "    not now    {} of these pages are of a build before this one, whose hash is over plain data: they expire at {expire:.0}",
                    found.older_pages.len()
                ));
            }
            for forgotten in &found.forgotten {
                say(&format!("    forgotten  at {:.0}, in page {}", forgotten.at, forgotten.page));
            }
            waits.iter().for_each(|waits| say(&format!("    not now    {waits}")));
            stays.iter().for_each(|stays| say(&format!("    stays      {stays}")));
        }
    }
}

impl Held {
    fn can_be_forgotten(&self) -> usize {
        self.found.pages.len() - self.found.older_pages.len()
    }
}
