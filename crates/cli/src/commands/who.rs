//! `issei who`: one person, by key or by address, in all broadcasts. It prints what it is asked for, addresses and letters
//! too, and writes nothing.
//!
//! What it must never do: say "nobody" where a broadcast could not be read, or was not reached.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use issei_assembly::{Parts, Settings, say, say_warning};
use issei_ledger::{Broadcast, Finder, Forgotten, Ledger, Skipped, Suppressed, Whereabouts};
use issei_schema::{Address, AudienceName, Bilingual, BroadcastId, ZoneName, both};
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::person::Why;
use super::serve::on_signal;
use super::show::letter_of;
use crate::Ended;
use crate::args::WhoOptions;
use crate::in_use::{self, Care};
use crate::letters::{Letter, print};
use crate::pages::{Language, sentence};
use crate::time_left::with_left;

/// What all broadcasts have of somebody.
#[derive(Serialize)]
pub(crate) struct Who {
    /// The newest first.
    pub(crate) broadcasts: Vec<Seen>,
    /// How many broadcasts were gone through.
    pub(crate) looked_at: usize,
    /// False where Ctrl-C came before the last of them, or one can't be read.
    pub(crate) complete: bool,
    pub(crate) pages_read: u64,
    /// Broadcasts whose recipients have expired, all or some, and in which nothing of them was found.
    pub(crate) expired: Vec<BroadcastId>,
    /// Those that can't be read, each with the reason. They may have whoever is sought.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Of an address: rows that were skipped in broadcasts in which nobody was found. Of these the key alone is kept, so that
    /// whoever has the address may be among them.
    pub(crate) by_key_alone: u64,
    /// Of an address: why it is on the list of those that are not mailed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suppressed: Option<Suppressed>,
    /// What the ledger may have forgotten, where it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restored: Option<Bilingual>,
}

#[derive(Serialize)]
pub(crate) struct Unreadable {
    pub(crate) broadcast_id: BroadcastId,
    pub(crate) reason: String,
}

/// What one broadcast has of somebody.
#[derive(Serialize)]
pub(crate) struct Seen {
    pub(crate) broadcast_id: BroadcastId,
    pub(crate) audience: String,
    pub(crate) state: String,
    pub(crate) created_at: Timestamp,
    /// The key by which they were found who were asked for by an address, since another broadcast to the same audience has
    /// both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by_key: Option<String>,
    /// As a recipient.
    #[serde(flatten)]
    pub(crate) why: Option<Why>,
    /// As a row that was skipped, with the reason.
    pub(crate) skipped: Option<Bilingual>,
    /// Other rows with the key of the recipient that they are, each with the reason for which it was skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_rows: Vec<Bilingual>,
    pub(crate) forgotten: Vec<Forgotten>,
    /// To write to whoever asks.
    pub(crate) sentence: String,
    pub(crate) letter: Option<Letter>,
}

/// Where to look, and in which language to answer.
pub(crate) struct Scope<'a> {
    pub(crate) ids: Vec<BroadcastId>,
    pub(crate) audience: Option<&'a AudienceName>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) language: Language,
    /// By whose clocks the sentence is told.
    pub(crate) zone: ZoneName,
    /// The ledger was restored, and is not in use yet.
    pub(crate) is_not_in_use: bool,
}

/// Goes through these broadcasts, the newest first, until `shutdown`.
pub(crate) async fn look(
    parts: &Parts,
    scope: Scope<'_>,
    who: &str,
    bar: &ProgressBar,
    shutdown: &CancellationToken,
) -> anyhow::Result<Who> {
    let ledger = parts.ledger();
    let (mut broadcasts, mut unreadable) = (Vec::with_capacity(scope.ids.len()), Vec::new());
    for id in &scope.ids {
        // One that can't be read must not hide the others.
        match ledger.broadcast(id).await {
            Ok(broadcast) => broadcasts.push(broadcast),
            Err(error) => unreadable.push(Unreadable { broadcast_id: id.clone(), reason: error.to_string() }),
        }
    }
    let is_within = |it: &Broadcast| {
        scope.audience.is_none_or(|audience| it.audience == *audience) && scope.since.is_none_or(|since| it.created_at >= since)
    };
    broadcasts.retain(is_within);
    broadcasts.sort_by_key(|broadcast| std::cmp::Reverse(broadcast.created_at));
    bar.set_length(broadcasts.iter().map(|broadcast| u64::from(broadcast.pages)).sum());
    let suppressed = match Address::quoting_legacy(who) {
        Ok(address) => ledger.suppression_of(&address).await?.filter(|entry| !entry.causes.is_empty()),
        Err(_) => None,
    };
    let finder = ledger.finder(who).await?;
    let restored = ledger.restored_at().await?.map(restored);
    let mut looking = Looking {
        ledger,
        language: scope.language,
        zone: scope.zone.clone(),
        is_not_in_use: scope.is_not_in_use,
        keys: BTreeMap::new(),
        absent: Vec::new(),
        who: Who {
            broadcasts: Vec::new(),
            looked_at: 0,
            complete: true,
            pages_read: 0,
            expired: Vec::new(),
            unreadable,
            by_key_alone: 0,
            suppressed,
            restored,
        },
    };
    let all = async {
        for broadcast in &broadcasts {
            looking.look(&finder, broadcast, bar).await;
        }
        looking.look_by_keys().await;
    };
    // What was found until then is told all the same.
    let complete = shutdown.run_until_cancelled(all).await.is_some();
    bar.finish_and_clear();
    let mut who = Who { complete: complete && looking.who.unreadable.is_empty(), ..looking.who };
    if finder.reads_everything() {
        let is_found = |it: &Broadcast| who.broadcasts.iter().any(|seen| seen.broadcast_id == it.broadcast_id);
        who.by_key_alone = broadcasts.iter().filter(|it| !is_found(it)).map(|it| it.skipped).sum();
    }
    who.broadcasts.sort_by_key(|seen| std::cmp::Reverse(seen.created_at));
    Ok(who)
}

/// What is said of what a restore has made the ledger forget: whoever is not found may have got it.
fn restored(at: Timestamp) -> Bilingual {
    both!(
        "the ledger was restored from a backup, and taken into use at {at:.0}: a broadcast that was registered between the backup and then is not in it, so that nobody is to be told that they got nothing then; the provider's own records tell",
        "台帳はバックアップから復元され、{at:.0}に使用を再開しました。バックアップからそれまでに登録された一斉送信は記録されていないため、その間に「送っていない」とは回答できません。配信事業者側の記録を確認してください"
    )
}

/// On the way through the broadcasts.
struct Looking<'a> {
    ledger: Ledger,
    language: Language,
    zone: ZoneName,
    is_not_in_use: bool,
    /// The keys under which whoever has the address was found, by the audience.
    keys: BTreeMap<AudienceName, BTreeSet<String>>,
    /// Where they were not found by the address.
    absent: Vec<&'a Broadcast>,
    who: Who,
}

impl<'a> Looking<'a> {
    async fn look(&mut self, finder: &Finder, broadcast: &'a Broadcast, bar: &ProgressBar) {
        let found = finder.look(broadcast, |pages| bar.inc(u64::from(pages))).await;
        let id = &broadcast.broadcast_id;
        let told = match found {
            Ok(found) => self.tell(broadcast, found, finder.reads_everything(), None).await,
            Err(error) => Err(error.into()),
        };
        match told {
            Ok(()) => self.who.looked_at += 1,
            Err(error) => self.who.unreadable.push(Unreadable { broadcast_id: id.clone(), reason: format!("{error:#}") }),
        }
    }

    async fn tell(&mut self, broadcast: &'a Broadcast, found: Whereabouts, by_address: bool, by_key: Option<&str>) -> anyhow::Result<()> {
        self.who.pages_read += u64::from(found.read);
        if found.is_nobody() && by_key.is_none() {
            if found.expired > 0 {
                self.who.expired.push(broadcast.broadcast_id.clone());
            }
            self.absent.push(broadcast);
        }
        let seen = seen_in(self, broadcast, &found, by_key).await?;
        if by_address {
            let keys = found.recipients.iter().map(|standing| standing.recipient.key.as_str().to_owned());
            self.keys.entry(broadcast.audience.clone()).or_default().extend(keys);
        }
        self.who.broadcasts.extend(seen);
        Ok(())
    }

    /// Of a row that was skipped nothing but the key is kept. Whoever has the address in one broadcast has the key in the
    /// others to the same audience.
    async fn look_by_keys(&mut self) {
        for broadcast in std::mem::take(&mut self.absent) {
            for key in self.keys.get(&broadcast.audience).cloned().unwrap_or_default() {
                if let Err(error) = self.look_by_key(broadcast, &key).await {
                    self.who.unreadable.push(Unreadable { broadcast_id: broadcast.broadcast_id.clone(), reason: format!("{error:#}") });
                    break;
                }
            }
        }
    }

    async fn look_by_key(&mut self, broadcast: &'a Broadcast, key: &str) -> anyhow::Result<()> {
        let finder = self.ledger.finder_by_key(key).await?;
        let found = finder.look(broadcast, |_| ()).await?;
        self.who.expired.retain(|id| found.is_nobody() || *id != broadcast.broadcast_id);
        self.tell(broadcast, found, false, Some(key)).await
    }
}

async fn seen_in(looking: &Looking<'_>, broadcast: &Broadcast, found: &Whereabouts, by_key: Option<&str>) -> anyhow::Result<Vec<Seen>> {
    let Looking { ledger, language, zone, is_not_in_use, .. } = looking;
    let language = *language;
    if found.is_nobody() {
        return Ok(Vec::new());
    }
    let command = ledger.command_of(broadcast).await?;
    let name = sentence::name_of(language, &command);
    let blank = |sentence: String| Seen {
        broadcast_id: broadcast.broadcast_id.clone(),
        audience: broadcast.audience.to_string(),
        state: broadcast.broadcast_state.to_string(),
        created_at: broadcast.created_at,
        by_key: by_key.map(str::to_owned),
        why: None,
        skipped: None,
        other_rows: Vec::new(),
        forgotten: Vec::new(),
        sentence,
        letter: None,
    };
    let mut seen = Vec::new();
    for standing in &found.recipients {
        let why = Why::read(ledger, broadcast, standing, *is_not_in_use).await?;
        let letter = letter_of(&command, &standing.recipient)?;
        let subject = letter.as_ref().and_then(|letter| letter.rendered.as_ref()).map(|rendered| rendered.subject.as_str());
        // Of one of which nothing was ever granted, nothing comes from its stop on.
        let is_over = broadcast.broadcast_state.is_over() || broadcast.is_never_granted();
        let told = sentence::of_recipient(language, zone, &why, subject, is_over);
        let other_rows = found.skipped.iter().filter(|(_, skipped)| skipped.key == why.key).map(|(_, skipped)| in_words(skipped)).collect();
        seen.push(Seen { why: Some(why), letter, other_rows, ..blank(told) });
    }
    for (_, skipped) in &found.skipped {
        // Another row with a key that is mailed is told of there.
        if found.recipients.iter().any(|standing| standing.recipient.key.as_str() == skipped.key) {
            continue;
        }
        let told = sentence::of_skipped(language, &name, skipped.reason, skipped.mailed.is_some());
        seen.push(Seen { skipped: Some(in_words(skipped)), ..blank(told) });
    }
    if let Some(Forgotten { at, .. }) = found.forgotten.first() {
        let told = sentence::of_forgotten(language, zone, &name, *at);
        seen.push(Seen { forgotten: found.forgotten.clone(), ..blank(told) });
    }
    Ok(seen)
}

/// Why a row was skipped, and what is mailed in its place.
pub(crate) fn in_words(skipped: &Skipped) -> Bilingual {
    let detail = skipped.detail().map_or_else(Bilingual::default, |detail| both!(", {detail}", "、{detail}"));
    let instead = skipped.mailed.as_deref();
    let instead = instead.map_or_else(Bilingual::default, |key| {
        both!("; the address is mailed under the key {key}", "。このメールアドレスにはキー {key} で送信します")
    });
    both!("{}{}{}", "{}{}{}", skipped.reason.told(), detail, instead)
}

/// What is said where an address was not found, of rows that were skipped. Their addresses are in no page.
pub(crate) fn by_key_alone(rows: u64) -> String {
    let (rows, are) =
        if rows == 1 { ("1 row that was skipped".to_owned(), "is") } else { (format!("{rows} rows that were skipped"), "are") };
    format!("of {rows} the key alone {are} kept, so an address is not found among them: ask by the key, too (`issei who KEY`)")
}

pub(crate) async fn run(settings: &Settings, options: &WhoOptions, as_json: bool) -> anyhow::Result<Ended> {
    let shutdown = on_signal()?;
    let parts = in_use::open(settings, Care::Says).await?;
    let ids = if options.broadcast.is_empty() { parts.ledger().known_broadcasts().await? } else { options.broadcast.clone() };
    let (audience, since) = (options.audience.as_ref(), options.since);
    let scope = Scope {
        ids,
        audience,
        since,
        language: options.lang,
        zone: options.time_zone.clone(),
        is_not_in_use: in_use::is_found_not_in_use(),
    };
    let who = look(&parts, scope, &options.who, &bar()?, &shutdown).await?;
    if as_json {
        // By way of a value, in which each name stands once.
        in_use::say_document(&who)?;
    } else {
        who.print(options.letter);
    }
    for Unreadable { broadcast_id, reason } in &who.unreadable {
        say_warning(&format!("broadcast `{broadcast_id}` can't be read, and may have them: {reason}"));
    }
    if let [first, ..] = who.unreadable.as_slice() {
        anyhow::bail!("{} broadcasts can't be read, first `{}`", who.unreadable.len(), first.broadcast_id);
    }
    if !who.complete {
        say_warning(&format!("interrupted after {} broadcasts, the newest; others may have them", who.looked_at));
        return Ok(Ended::Interrupted);
    }
    Ok(if who.broadcasts.is_empty() { Ended::Nobody } else { Ended::Well })
}

impl Who {
    fn print(&self, with_letters: bool) {
        for (at, seen) in self.broadcasts.iter().enumerate() {
            if at > 0 {
                say("");
            }
            say(&format!("{}  {}, {:.0}, audience {}", seen.broadcast_id, seen.state, seen.created_at, seen.audience));
            if let Some(key) = &seen.by_key {
                say(&format!("  found     by the key {key}, under which the address stands in another broadcast to this audience"));
            }
            seen.why.iter().flat_map(Why::lines).for_each(|line| say(&format!("  {line}")));
            if let Some(reason) = &seen.skipped {
                say(&format!("  skipped   {}", reason.english));
            }
            for reason in &seen.other_rows {
                say(&format!("  other row with this key was skipped: {}", reason.english));
            }
            for Forgotten { at, page, .. } in &seen.forgotten {
                say(&format!("  forgotten at {at:.0}, in page {page}; `issei audit {}` says who did it", seen.broadcast_id));
            }
            say(&format!("  to them   {}", seen.sentence));
            if let Some(letter) = seen.letter.as_ref().filter(|_| with_letters) {
                print(std::slice::from_ref(letter));
            }
        }
        if self.broadcasts.is_empty() && self.complete && self.unreadable.is_empty() {
            let nobody = if self.by_key_alone > 0 { "no recipient with that address" } else { "nobody of that name" };
            say(&format!("{nobody} in {} broadcasts ({} pages read)", self.looked_at, self.pages_read));
        }
        if let Some(restored) = &self.restored {
            say(&restored.english);
        }
        if self.by_key_alone > 0 {
            say(&by_key_alone(self.by_key_alone));
        }
        if let [first, ..] = self.expired.as_slice() {
            let count = self.expired.len();
            say(&format!(
                "the recipients of {count} broadcasts have expired (ledger_days), first `{first}`: who they were is not known any more"
            ));
        }
        for (why, cause) in self.suppressed.iter().flat_map(|entry| &entry.causes) {
            say(&format!("the address is on the list of those that are not mailed: {} since {:.0}", why.as_str(), cause.since));
        }
    }
}

/// Pages that were read, of all. Only a terminal has it.
fn bar() -> anyhow::Result<ProgressBar> {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = with_left(ProgressStyle::with_template("[{bar:30}] {pos} of {len} pages{left}; Ctrl-C ends it")?.progress_chars("#>."));
    Ok(ProgressBar::with_draw_target(None, target).with_style(style))
}
