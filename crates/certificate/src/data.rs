//! The data part: the frozen audience, every chunk and the events of it, as the ledger holds them now. Page
//! by page, so that memory stays flat in the size of the audience, and each item held against the others, so
//! that one which was altered by hand shows.

mod agreement;
mod chunks;
mod command;
mod events;
mod forgotten;
mod notice;
mod odd;
mod pages;
mod permits;
mod requests;
mod runs;
mod seals;
mod surroundings;
mod totals;
mod trail;

use std::collections::BTreeSet;
use std::time::Duration;

pub use self::notice::told_in_time;
pub(crate) use self::requests::Endless;

use issei_ledger::{AuditEntry, Broadcast, BroadcastState, Chunk, EventLog, Inspected, Ledger, LedgerError, Page, Tally, Totals, phrases};
use issei_letter::Letters;
use issei_schema::{Bilingual, Canary, Recipient, both};
use jiff::{SignedDuration, Timestamp};

use crate::certificate::Notice;
use crate::finding::{Finding, Part};
use forgotten::Forgotten;
use odd::Odd;
use pages::Audience;
use runs::Runs;
use seals::{Older, Seals};
use surroundings::Kept;

/// How far the wall clocks of those who write may differ, step, and stand still while a machine is suspended.
/// A time that is further off was written by hand, or by a machine whose calls AWS refuses.
const CLOCKS: SignedDuration = SignedDuration::from_hours(6);

/// What the ledger holds of one broadcast.
pub(crate) struct Data {
    pub(crate) tally: Tally,
    /// Recipients whose chunks were never claimed.
    pub(crate) never_claimed: u64,
    pub(crate) notice: Option<Notice>,
    pub(crate) findings: Vec<Finding>,
    /// The tokens of the runs that have claimed its chunks, or frozen its pages.
    pub(crate) runs: BTreeSet<String>,
}

/// The findings about the ledger alone, without what is deployed, the services, the queues and the provider.
/// `held` is how long an open claim's request may still be accepted after its lease.
pub async fn what_the_ledger_holds(ledger: &Ledger, broadcast: &Broadcast, held: Duration, now: Timestamp) -> Vec<Finding> {
    // Who carries it is known by name alone: of SES each has an id of its own.
    let id_for_each = broadcast.provider.is_none();
    Reader { ledger, broadcast, id_for_each, endless: None, held, now, everywhere: false }.read().await.findings
}

/// Reads everything.
pub(crate) struct Reader<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) broadcast: &'a Broadcast,
    /// Whether the provider's answer names each recipient's message.
    pub(crate) id_for_each: bool,
    /// Where no time ends what a request may come to.
    pub(crate) endless: Option<Endless>,
    pub(crate) held: Duration,
    pub(crate) now: Timestamp,
    /// Whether it is looked for chunks in partitions too in which no build looks.
    pub(crate) everywhere: bool,
}

pub(crate) fn data(what: Bilingual, from: Bilingual) -> Finding {
    Finding::of(Part::Data, what, from)
}

/// Read from this item of the ledger.
pub(crate) fn item(name: &str) -> Bilingual {
    both!("ledger item `{name}`", "台帳の項目 `{name}`")
}

/// Read from these items of the ledger.
pub(crate) fn items(names: &[&str]) -> Bilingual {
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    let all = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join("、");
    let others = others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let and = if others.is_empty() { "" } else { " and " };
    Bilingual { english: format!("ledger items {others}{and}`{last}`"), japanese: format!("台帳の項目 {all}") }
}

/// Nothing is there.
pub(crate) fn none() -> Bilingual {
    both!("none", "なし")
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    tally: Tally,
    never_claimed: u64,
    proven: u64,
    notice: Option<Notice>,
    audience: Audience,
    chunks: Odd,
    seals: Seals,
    times: Odd,
    claims: Odd,
    events: Odd,
    twice: Odd,
    kept: Kept,
    runs: Runs,
    forgotten: Forgotten,
    log: EventLog,
    /// Permits granted once the chunks had been read, of a broadcast that goes on.
    granted_since: Option<u64>,
}

impl Reader<'_> {
    pub(crate) async fn read(self) -> Data {
        let broadcast = self.broadcast;
        let mut seen = Seen { notice: broadcast.effective_at.map(notice::of), ..Seen::default() };
        let command = self.ledger.command(&broadcast.broadcast_id).await;
        let asked_by = command.as_ref().ok().map(|command| command.requested_by.to_string());
        let audit_trail = self.ledger.audit_trail(broadcast).await;
        // Where the older entries can't be read, that counts against it, and those that can say when it ended.
        let entries = audit_trail.as_ref().map_or(&broadcast.audit_trail, |trail| &trail.entries);
        let mut steps = trail::follow(broadcast, entries, asked_by.as_deref(), self.now);
        let told = entries.clone();
        let surroundings = self.ledger.surroundings(broadcast).await;
        let mut findings = vec![
            self.state(),
            command::judge(broadcast, &command),
            trail::finding(std::mem::take(&mut steps.odd), audit_trail, broadcast.audit_count),
            agreement::told(broadcast),
            surroundings::lists(&surroundings, broadcast.broadcast_state.is_over()),
        ];
        if let Ok(command) = &command {
            seen.audience.choice = command.canary.as_ref().and_then(Canary::choice).cloned();
            seen.audience.letters = Letters::as_taken(command).ok();
        }
        if let Ok(around) = &surroundings {
            seen.kept.look_around(around);
        }
        let ended = steps.last_at.unwrap_or(self.now);
        let chain = data(both!("audience: chain of pages", "対象者: ページの連鎖"), items(&["page"])).must(
            both!(
                "{} pages, each with its own hash and that of the page before it; the last is the broadcast's",
                "{}ページ。それぞれ自身と直前のページのハッシュを持ち、最後のハッシュが一斉送信の記録と一致する",
                broadcast.pages
            ),
            "a page that was lost or altered hides whom it held",
        );
        let head = match self.pages(ended, &mut seen).await {
            Ok(head) => head,
            Err(Unread::Broken(reason)) => {
                findings.push(chain.is(reason, false));
                return Data { tally: seen.tally, never_claimed: seen.never_claimed, notice: None, findings, runs: seen.runs.tokens() };
            }
            Err(Unread::Unreadable(reason)) => {
                findings.push(chain.failed(reason));
                return Data { tally: seen.tally, never_claimed: seen.never_claimed, notice: None, findings, runs: seen.runs.tokens() };
            }
        };
        if !broadcast.broadcast_state.is_over() {
            seen.granted_since = self.ledger.broadcast(&broadcast.broadcast_id).await.ok().map(|now| now.granted);
        }
        seen.audience.compare(broadcast);
        seen.audience.odd.note_if(head != broadcast.chain, || {
            both!("the last page is not the head of the broadcast's chain", "最後のページが一斉送信の連鎖の先頭と一致しません")
        });
        let value = both!(
            "{} pages, {} recipients, {} skipped, head {}",
            "{}ページ、宛先{}件、対象外{}件、先頭のハッシュ {}",
            broadcast.pages,
            seen.audience.recipients,
            seen.audience.skipped,
            head.get(..16).map_or_else(none, Bilingual::verbatim)
        );
        findings.push(std::mem::take(&mut seen.audience.odd).into_finding(chain, value));
        findings.extend(seen.audience.as_read(broadcast));
        findings.extend(std::mem::take(&mut seen.forgotten).into_finding(broadcast, &told));
        findings.push(self.no_other_chunks(&seen).await);
        let totals_are_due = surroundings.is_ok_and(|around| around.totals_are_due);
        let heartbeats = self.ledger.heartbeats(broadcast.created_at).await;
        let runs = seen.runs.tokens();
        findings.push(std::mem::take(&mut seen.runs).into_finding(&heartbeats));
        // Where they can't be read that counts against it already, and nobody is taken for older.
        let older = Older::of(heartbeats.as_deref().unwrap_or_default());
        Data { runs, ..self.judge(seen, &steps, totals_are_due, &older, findings) }
    }

    fn state(&self) -> Finding {
        let state = self.broadcast.broadcast_state;
        let why = match (self.broadcast.last_step(), self.broadcast.decided()) {
            (Some(last), Some(AuditEntry { reason, code, .. })) => {
                let in_japanese = match code {
                    Some(code) => format!("{code}、原文: {reason}"),
                    None => phrases::in_japanese(reason).unwrap_or_else(|| reason.clone()),
                };
                Bilingual {
                    english: format!("{state} since {:.0}: {reason}", last.at),
                    japanese: format!("{:.0}から {state}: {in_japanese}", last.at),
                }
            }
            _ => Bilingual::verbatim(state),
        };
        data(both!("broadcast: state", "一斉送信: 状態"), item("broadcast"))
            .must(both!("complete or stopped", "complete または stopped"), "in every other state something may still be sent")
            .is(why, state.is_over())
            .mended_by(both!("wait for its end, or end it with `issei stop`", "終了を待つか、`issei stop` で終了させてください"))
            .only_so_far(true)
    }

    /// Every page and every chunk of it. Gives the hash of the last page.
    async fn pages(&self, ended: Timestamp, seen: &mut Seen) -> Result<String, Unread> {
        let mut previous = String::new();
        seen.log = self.ledger.event_log(self.broadcast).await?;
        if let Some(expires) = seen.log.expires() {
            seen.kept.look_at(|| both!("the log of events", "イベントのログ"), expires, self.broadcast.created_at, self.now);
        }
        for seq in 0..self.broadcast.pages {
            let kept = self.ledger.kept_page(&self.broadcast.placed(), seq).await?;
            if kept.page.previous != previous {
                return Err(Unread::Broken(both!(
                    "page {seq} does not follow from page {}",
                    "ページ{seq}がページ{}に続いていません",
                    seq.saturating_sub(1)
                )));
            }
            seen.kept.look_at(|| of_page(seq), kept.expires, self.broadcast.created_at, self.now);
            if let Some(mark) = kept.page.frozen_by() {
                seen.runs.note(mark, || of_page(seq));
            }
            seen.forgotten.look_at(self.ledger, &kept).await.map_err(|error| Unread::Unreadable(error.to_string()))?;
            previous = kept.hash;
            self.chunks_of(&kept.page, ended, seen).await.map_err(|error| Unread::Unreadable(error.to_string()))?;
            seen.audience.add(&kept.page, self.broadcast);
        }
        Ok(previous)
    }

    async fn chunks_of(&self, page: &Page, ended: Timestamp, seen: &mut Seen) -> Result<(), LedgerError> {
        let chunks: Vec<(u32, &[Option<Recipient>])> = page.chunks().collect();
        // `BatchGetItem` takes a hundred keys (API reference).
        for some in chunks.chunks(100) {
            let numbers: Vec<u32> = some.iter().map(|(chunk, _)| *chunk).collect();
            let inspected = self.ledger.inspect(&self.broadcast.placed(), &numbers, &seen.log).await?;
            for (looked, (_, recipients)) in inspected.iter().zip(some) {
                self.look_at(page.seq, looked, recipients.len(), ended, seen);
                if let Some(told) = &mut seen.notice {
                    notice::look_at(looked, recipients, self.held, told);
                }
            }
        }
        Ok(())
    }

    fn look_at(&self, page: u32, looked: &Inspected, recipients: usize, ended: Timestamp, seen: &mut Seen) {
        let (seq, created_at) = (looked.walked.seq, self.broadcast.created_at);
        seen.tally.add(&looked.walked);
        seen.proven += looked.walked.feedback.proven();
        events::look_at(&looked.walked, self.broadcast, &mut seen.events, &mut seen.twice);
        if let Some(expires) = looked.events_expire {
            seen.kept.look_at(|| both!("the events of chunk {seq}", "チャンク{seq}のイベント"), expires, created_at, self.now);
        }
        let Some(marks) = &looked.claim else {
            seen.never_claimed += recipients as u64;
            return;
        };
        seen.kept.look_at(|| of_chunk(seq), marks.expires, created_at, self.now);
        seen.runs.note(&marks.owner, || of_chunk(seq));
        chunks::content(looked, page, recipients, self.id_for_each, &mut seen.chunks);
        seen.seals.look_at(looked, self.broadcast);
        chunks::times(looked, self.broadcast, ended, &mut seen.times);
        if let Chunk::Claimed { lease_until, .. } = looked.walked.chunk
            && let over = lease_until.saturating_add(self.held).unwrap_or(Timestamp::MAX)
            && over > self.now
        {
            seen.claims.note(|| {
                both!(
                    "chunk {seq} is claimed, and its request may be accepted until {over}",
                    "チャンク{seq}は送信処理中で、{over}まで受理される可能性があります"
                )
            });
        }
    }

    /// Every chunk in the ledger belongs to a page.
    async fn no_other_chunks(&self, seen: &Seen) -> Finding {
        let finding = data(both!("chunks: all of them", "チャンク: すべて"), items(&["chunk", "feedback"])).must(
            both!("each belongs to a page", "すべていずれかのページに属する"),
            "a chunk that no page holds was sent to somebody outside the audience",
        );
        let (mut walk, mut tally, mut other) = (self.ledger.walk_everywhere(self.broadcast), Tally::default(), Odd::default());
        loop {
            match walk.next().await {
                Ok(None) => break,
                Ok(Some(walked)) if walked.seq >= self.broadcast.chunks => {
                    other.note(|| both!("chunk {} of {}", "チャンク{}(全{}個)", walked.seq, self.broadcast.chunks));
                }
                Ok(Some(walked)) => tally.add(&walked),
                Err(error) => return finding.failed(error),
            }
        }
        if self.everywhere {
            match self.ledger.elsewhere(self.broadcast).await {
                Ok(found) => found.iter().for_each(|pk| {
                    other.note(|| {
                        both!(
                            "the partition `{pk}` has some, and no build looks there",
                            "どの版も読まないパーティション `{pk}` にチャンクがあります"
                        )
                    });
                }),
                Err(error) => return finding.failed(error),
            }
        }
        if other.is_empty() && tally != seen.tally {
            return finding
                .is(
                    both!(
                        "the ledger changed while it was read, or a chunk stands in a partition where it does not belong",
                        "読み取り中に台帳が変わったか、チャンクが本来とは別のパーティションにあります"
                    ),
                    false,
                )
                .mended_by(both!(
                    "wait until it stands still, and certify again",
                    "動きが止まるのを待って、もう一度 `issei certify` を実行してください"
                ))
                .only_so_far(!self.broadcast.broadcast_state.is_over());
        }
        other.into_finding(
            finding,
            both!("{0} claimed of {1}", "{1}個のうち{0}個で送信処理を開始", seen.tally.chunks, self.broadcast.chunks),
        )
    }

    fn judge(&self, seen: Seen, steps: &trail::Steps, totals_are_due: bool, older: &Older, mut findings: Vec<Finding>) -> Data {
        let broadcast = self.broadcast;
        let totals = seen.tally.totals();
        let finding = data(both!("chunks: as they were frozen and confirmed", "チャンク: 確定時と結果"), items(&["page", "chunk"])).must(
            both!(
                "as many outcomes as recipients; a message id with each acceptance, and with nothing else",
                "結果の数が宛先の数と一致し、メッセージIDは受理された分にだけある"
            ),
            "an altered chunk proves nothing",
        );
        findings.push(seen.chunks.into_finding(finding, both!("{} chunks", "チャンク{}個", seen.tally.chunks)));
        findings.push(seen.seals.into_finding(broadcast, older));
        let finding = data(both!("chunks: their times", "チャンク: 日時"), items(&["chunk"])).must(
            both!(
                "claimed while the broadcast ran, give or take {} h; reopened only where the policy allows it",
                "送信処理の開始は一斉送信の期間内(前後{}時間まで)。再開は方針が許す場合だけ",
                CLOCKS.as_hours()
            ),
            "what was claimed before or after is no part of it",
        );
        findings.push(seen.times.into_finding(finding, both!("{} claims", "送信処理{}件", seen.tally.chunks)));
        // A machine that is silent may hold permits still, and nothing is known of what it begins with them.
        let may_be_held = broadcast.broadcast_state == BroadcastState::Stopped && broadcast.grant_count > 0 && !steps.nothing_held;
        let open = requests::Open { chunks: seen.claims, claims: seen.tally.open_claims, in_doubt: totals.in_doubt, may_be_held };
        let open = requests::judge(&broadcast.broadcast_id, self.endless.as_ref(), open, steps.revoked.as_ref());
        findings.push(open.only_so_far(!broadcast.broadcast_state.is_over()));
        // Whom events alone prove accepted, in a chunk that nobody has claimed, counts elsewhere: a certificate goes by claims, and has
        // those events against it.
        let claimed = Totals { accepted: totals.accepted - seen.tally.unclaimed, ..totals };
        findings.push(totals::everybody(broadcast, claimed, totals.retryable + seen.never_claimed));
        findings.extend(totals::own(broadcast, &seen.tally, steps.ran, totals_are_due, older));
        // Who is accepted by events alone, when they were to be sent to again, has no permit until that is recorded.
        let sent = claimed.accepted + totals.rejected + totals.in_doubt - seen.tally.unacknowledged;
        findings.push(permits::judge(broadcast, steps, sent, seen.granted_since));
        findings.push(permits::cursors(broadcast, steps));
        let finding = data(both!("events: of whom", "イベント: 対象"), items(&["feedback"])).must(
            both!("only of recipients who were sent to, each with its message's id", "送信した宛先のものだけで、すべてメッセージIDがある"),
            "an event of somebody else was caused by another sender, or by a ledger that forgot",
        );
        findings.push(seen.events.into_finding(finding, both!("events of {} recipients", "宛先{}件のイベント", seen.proven)));
        let finding = data(both!("events: accepted twice", "イベント: 二重の受理"), items(&["feedback", "chunk"])).must(
            both!("nobody, unless the policy is at_least_once", "方針が at_least_once でない限り、該当者なし"),
            "this is what issei exists to prevent",
        );
        findings.push(seen.twice.into_finding(finding, both!("nobody", "該当者なし")));
        findings.push(seen.kept.into_finding());
        let notice = seen.notice.map(|notice| notice::listed(notice, &self.broadcast.broadcast_id));
        Data { tally: seen.tally, never_claimed: seen.never_claimed, notice, findings, runs: BTreeSet::new() }
    }
}

fn of_page(seq: u32) -> Bilingual {
    both!("page {seq}", "ページ{seq}")
}

fn of_chunk(seq: u32) -> Bilingual {
    both!("chunk {seq}", "チャンク{seq}")
}

/// Why the pages could not be read to their end.
enum Unread {
    Broken(Bilingual),
    Unreadable(String),
}

impl From<LedgerError> for Unread {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Corrupt { .. } => Self::Broken(error.told()),
            other => Self::Unreadable(other.to_string()),
        }
    }
}
