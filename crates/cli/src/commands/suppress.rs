//! `issei suppress`: the ledger's list of addresses that are not mailed, for people. An address is printed only where
//! somebody has typed it.

mod import;

use anyhow::{Context, bail};
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Cause, Migrated, Suppressed, Suppression, Unsuppressed};
use issei_schema::{Address, Reason};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{Because, Suppress};
use crate::commands::serve::on_signal;
use crate::confirm::confirmed;
use crate::in_use::{self, Care};
use crate::{Ended, Interrupted, operator};

/// Digits of a digest that tell entries apart for people.
const SHOWN: usize = 16;
/// Rows that can't be read, shown and in a document.
const UNREADABLE_SHOWN: usize = 5;
const UNREADABLE_TOLD: usize = 100;

pub(crate) async fn run(settings: &Settings, options: &Suppress, as_json: bool) -> anyhow::Result<Ended> {
    // Nobody is kept from being put on the list.
    let care = if matches!(options, Suppress::Remove { .. } | Suppress::Migrate { .. }) { Care::MustKnow } else { Care::Says };
    let parts = in_use::open(settings, care).await?;
    match options {
        Suppress::Add { address, because, reason } => add(&parts, address, *because, reason, as_json).await,
        Suppress::Remove { address, reason } => remove(&parts, address, reason, as_json).await,
        Suppress::List { address: Some(address) } => of(&parts, address, as_json).await,
        Suppress::List { address: None } => list(&parts, as_json).await,
        Suppress::Import { file, because, yes } => {
            let read = import::read(file, *because)?;
            let shutdown = on_signal()?;
            enter_all(&parts, read, *yes, as_json, &shutdown).await
        }
        Suppress::Migrate { yes } => migrate(&parts, *yes, as_json).await,
    }
}

fn suppression(because: Because) -> Suppression {
    match because {
        Because::Bounced => Suppression::Bounced,
        Because::Complained => Suppression::Complained,
        Because::Unsubscribed => Suppression::Unsubscribed,
        Because::Operator => Suppression::Operator,
    }
}

async fn add(parts: &Parts, address: &Address, because: Because, reason: &Reason, as_json: bool) -> anyhow::Result<Ended> {
    let (why, now) = (suppression(because), parts.clock.wall());
    let entered_by = operator::actor(parts).await?.to_string();
    let cause = Cause { since: now, entered_at: now, source: "an operator".to_owned(), entered_by, reason: Some(reason.to_string()) };
    let before = parts.ledger().suppression_of(address).await?;
    let already: Vec<&str> = before.iter().flat_map(|entry| entry.causes.keys()).map(|why| why.as_str()).collect();
    parts.ledger().enter_suppressed([(address.clone(), why, cause)]).await?;
    if as_json {
        in_use::say_document(json!({ "added": why, "already": already }))?;
    } else if !already.is_empty() {
        say(&format!("{} was on the list already ({}), and now is for this, too: {}", address.as_str(), already.join(", "), words(why)));
    } else {
        say(&format!(
            "{} is on the list: {}; whatever is frozen from now on skips it, and what is under way spares it in ten seconds, unless it has sent to it",
            address.as_str(),
            words(why)
        ));
    }
    Ok(Ended::Well)
}

async fn remove(parts: &Parts, address: &Address, reason: &Reason, as_json: bool) -> anyhow::Result<Ended> {
    let outcome = parts.ledger().unsuppress(address, &operator::actor(parts).await?, reason.as_str()).await?;
    let removed = outcome == Unsuppressed::Done;
    let address = address.as_str();
    let left = format!("aws sesv2 delete-suppressed-destination --email-address '{address}'");
    say(&if as_json {
        json!({ "removed": removed, "changed_since": outcome == Unsuppressed::ChangedSince, "ses": left }).to_string()
    } else if removed {
        format!("{address} is off the list. SES has a list of its own, of which this takes nothing:\n  {left}")
    } else if outcome == Unsuppressed::ChangedSince {
        format!(
            "{address} is on the list still: somebody has entered it since this was asked; look at it with `issei suppress list`, and repeat this if it is to go"
        )
    } else {
        format!("{address} is not on the list")
    });
    Ok(if removed { Ended::Well } else { Ended::Refused })
}

async fn of(parts: &Parts, address: &Address, as_json: bool) -> anyhow::Result<Ended> {
    let found = parts.ledger().suppression_of(address).await?;
    let is_on_it = found.as_ref().is_some_and(|entry| !entry.causes.is_empty());
    if as_json {
        in_use::say_document(json!({ "suppressed": is_on_it, "entry": found }))?;
    } else {
        if !is_on_it {
            say(&format!("{} is not on the list", address.as_str()));
        }
        found.iter().for_each(show);
    }
    Ok(if is_on_it { Ended::Well } else { Ended::Refused })
}

/// The whole list, by digest.
async fn list(parts: &Parts, as_json: bool) -> anyhow::Result<Ended> {
    let (ledger, mut entries) = (parts.ledger(), 0_u64);
    for part in 0..=u8::MAX {
        for entry in ledger.suppressed_part(part).await? {
            if as_json {
                in_use::say_document(&entry)?;
            } else {
                show(&entry);
            }
            entries += 1;
        }
    }
    match (entries, as_json) {
        (0, true) => in_use::say_of_no_rows()?,
        (0, false) => say("nobody is on the list"),
        _ => {}
    }
    Ok(Ended::Well)
}

fn show(entry: &Suppressed) {
    let digest = entry.digest.get(..SHOWN).unwrap_or(&entry.digest);
    let kind = if entry.keyed { "" } else { ", plain" };
    let removed = entry.removed.iter().map(|cause| ("taken off the list", cause));
    for (what, cause) in entry.causes.iter().map(|(why, cause)| (why.as_str(), cause)).chain(removed) {
        let Cause { since, source, entered_by, reason, .. } = cause;
        let by = if entered_by.is_empty() { String::new() } else { format!(", by {entered_by}") };
        let from = if source.is_empty() { String::new() } else { format!(", {source}") };
        let reason = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        say(&format!("{digest}  {what} since {since:.0}{from}{by}{reason}{kind}"));
    }
}

fn words(why: Suppression) -> &'static str {
    match why {
        Suppression::Bounced => "it bounced for good, and gets nothing, legal notices neither",
        Suppression::Complained => "its owner complained, and gets nothing but legal notices",
        Suppression::Unsubscribed => "its owner unsubscribed, and gets nothing but legal notices",
        Suppression::Operator => "it gets nothing but legal notices",
    }
}

/// Shows what a file would enter, and enters it once told so.
async fn enter_all(parts: &Parts, read: import::Import, yes: bool, as_json: bool, shutdown: &CancellationToken) -> anyhow::Result<Ended> {
    let counts: Vec<(Suppression, usize)> =
        Suppression::ALL.iter().map(|why| (*why, read.entries.iter().filter(|entry| entry.why == *why).count())).collect();
    let counted = |(why, count): &(Suppression, usize)| (*count > 0).then(|| format!("{count} {}", why.as_str()));
    if !as_json {
        say(&format!("format         {}", read.format));
        say(&format!("to be entered  {}", some_or_none(&counts.iter().filter_map(counted).collect::<Vec<_>>())));
        say(&format!("left out       {} that are not suppressed there", read.left_out));
        if read.disabled > 0 {
            say(&format!(
                "               of these {} `disabled`, whom listmonk itself mails (it passes over `blocklisted` alone); `issei suppress add` enters one",
                read.disabled
            ));
        }
        show_unreadable(&read);
    }
    let told = |entered: bool| {
        let counts: serde_json::Map<_, _> = counts.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect();
        json!({ "format": read.format, "counts": counts, "left_out": read.left_out, "disabled": read.disabled, "unreadable": read.unreadable.len(),
            "unreadable_rows": read.unreadable.get(..UNREADABLE_TOLD).unwrap_or(&read.unreadable), "entered": entered, "has_more": read.has_more })
        .to_string()
    };
    if !read.unreadable.is_empty() {
        say_warning(&format!(
            "NOT ALL: {} rows can't be read, and are mailed on; correct them and import the file again, or enter each with issei suppress add",
            read.unreadable.len()
        ));
    }
    // Whoever is asked knows by then that it is not all.
    if read.has_more {
        say_warning(
            "NOT ALL: the file is one page of several, as its NextToken says; import the next, too: aws sesv2 list-suppressed-destinations --next-token TOKEN",
        );
    }
    if !yes && (as_json || !confirmed("Enter them?", shutdown).await?) {
        say(&if as_json { told(false) } else { "nothing was entered; repeat with --yes to enter them".to_owned() });
        return Ok(Ended::Refused);
    }
    let (now, entered_by) = (parts.clock.wall(), operator::actor(parts).await?.to_string());
    let entry = |import::Entry { address, why, since, reason }| {
        let (since, source, entered_by) = (since.unwrap_or(now), read.source.clone(), entered_by.clone());
        (address, why, Cause { since, entered_at: now, source, entered_by, reason })
    };
    let entries = read.entries.iter().cloned().map(entry).take_while(|_| !shutdown.is_cancelled());
    let failed = "an entry can't be written; what was entered stays, and the same import again enters the rest";
    parts.ledger().enter_suppressed(entries).await.context(failed)?;
    if shutdown.is_cancelled() {
        bail!(Interrupted("interrupted; what was entered stays, and the same import again enters the rest".to_owned()));
    }
    say(&if as_json { told(true) } else { format!("{} entries are on the list", read.entries.len()) });
    // Whoever is left out would be mailed: that is no good end of what was to keep them from it.
    Ok(if read.has_more || !read.unreadable.is_empty() { Ended::Refused } else { Ended::Well })
}

/// The first rows that can't be read, each with its cause.
fn show_unreadable(read: &import::Import) {
    let count = read.unreadable.len();
    if count == 0 {
        return say("not readable   0");
    }
    say(&format!("not readable   {count}: they are not entered"));
    for import::Unreadable { row, why } in read.unreadable.iter().take(UNREADABLE_SHOWN) {
        say(&format!("               {} {row}: {why}", read.row));
    }
    if count > UNREADABLE_SHOWN {
        say("               …");
    }
}

fn some_or_none(some: &[String]) -> String {
    if some.is_empty() { "nobody".to_owned() } else { some.join(", ") }
}

async fn migrate(parts: &Parts, yes: bool, as_json: bool) -> anyhow::Result<Ended> {
    let shutdown = on_signal()?;
    if !as_json {
        say("Entries of builds before this one are kept under the ledger's key from now on, and their plain digests are deleted.");
        say("A producer of such a build that still runs would find nobody on the list: upgrade all of them first.");
    }
    let refused = |why: &str| {
        say(&if as_json { json!({ "done": false, "reason": why }).to_string() } else { format!("nothing was done: {why}") });
        Ok(Ended::Refused)
    };
    if !yes && (as_json || !confirmed("Is everything upgraded?", &shutdown).await?) {
        return refused("repeat with --yes once everything is upgraded");
    }
    match parts.ledger().migrate_suppressions().await? {
        Migrated::Done { entries } if as_json => say(&json!({ "done": true, "entries": entries }).to_string()),
        Migrated::Done { entries } => say(&format!("{entries} entries were rewritten; no plain digest is left")),
        Migrated::TooSoon { seconds } => {
            return refused(&format!(
                "an entry was written {seconds} s ago, perhaps by a build before this one; repeat ten minutes after the last"
            ));
        }
    }
    Ok(Ended::Well)
}
