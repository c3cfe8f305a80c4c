//! The frozen audience: how its pages follow each other, and how they are cut into chunks.

use std::collections::BTreeMap;

use issei_ledger::{Broadcast, BroadcastState, LastKey, Page, Reading, SkipReason, Skipped};
use issei_letter::Letters;
use issei_schema::limits::{CHUNK_BYTES_MAX, CHUNK_RECIPIENTS_MAX, RECIPIENT_BYTES_MAX};
use issei_schema::{Bilingual, Choice, Recipient, both};

use super::odd::Odd;
use super::{data, items};
use crate::finding::Finding;

/// So many rows may come and go between two readings, or one in a hundred where that is more.
const APART_MAX: u64 = 10;

/// What recipients of one chunk have in common.
#[derive(PartialEq)]
struct Kind {
    letter: Option<usize>,
    in_canary: bool,
}

/// What the pages so far come to.
#[derive(Default)]
pub(super) struct Audience {
    pub(super) recipients: u64,
    pub(super) skipped: u64,
    /// Of them, rows that were forgotten, and with them their reasons.
    forgotten_rows: u64,
    pub(super) chunks: u32,
    canary_chunks: u32,
    /// The letters of the command; nothing where it can't be read.
    pub(super) letters: Option<Letters>,
    /// Whom the canary chooses by their keys, as the command says it.
    pub(super) choice: Option<Choice>,
    /// How many of them are frozen, and whether anybody else is.
    chosen: u64,
    is_past_canary: bool,
    last_key: Option<String>,
    skipped_by_reason: BTreeMap<SkipReason, u64>,
    /// Of them, rows whose key another row has.
    further_rows: u64,
    pub(super) odd: Odd,
}

impl Audience {
    pub(super) fn add(&mut self, page: &Page, broadcast: &Broadcast) {
        let seq = page.seq;
        self.odd.note_if(page.first_chunk != self.chunks, || {
            both!(
                "page {seq} begins with chunk {}, and {} chunks are before it (first_chunk)",
                "ページ{seq}はチャンク{}から始まりますが、その前のチャンクは{}個です(first_chunk)",
                page.first_chunk,
                self.chunks
            )
        });
        self.part(page, broadcast);
        self.canary_chunks += page.canary_chunks(self.recipients, broadcast.canary);
        let mut before = self.recipients;
        let mut cut: Vec<(Kind, u32, &[Option<Recipient>])> = Vec::new();
        for (chunk, recipients) in page.chunks() {
            let letter = self.letter(recipients);
            let is_known = recipients.iter().any(Option::is_some);
            self.odd.note_if(letter.is_none() && is_known, || {
                both!(
                    "chunk {chunk} has recipients of different letters, or of none",
                    "チャンク{chunk}に、文面の異なる、または文面のない宛先があります"
                )
            });
            cut.push((Kind { letter, in_canary: before < broadcast.canary }, chunk, recipients));
            before += recipients.len() as u64;
        }
        for (at, (kind, chunk, recipients)) in cut.iter().enumerate() {
            let size = usize::try_from(broadcast.chunk_size).unwrap_or(usize::MAX);
            self.odd.note_if(recipients.len() > size, || {
                both!(
                    "chunk {chunk} has {} recipients, and chunk_size is {size}",
                    "チャンク{chunk}の宛先は{}件ですが、chunk_size は{size}です",
                    recipients.len()
                )
            });
            let size = size.min(CHUNK_RECIPIENTS_MAX);
            // A chunk ends short of its size with its page, with the canary, or for its bytes; one of each letter does.
            // Where somebody was forgotten, neither is known.
            let is_last = !cut.iter().skip(at + 1).any(|(other, ..)| other == kind) || recipients.contains(&None);
            let is_short = recipients.len() < size && !is_last;
            self.odd.note_if(is_short && has_room(recipients), || {
                both!(
                    "chunk {chunk} has {} recipients and room for more, and chunk_size is {size}",
                    "チャンク{chunk}の宛先は{}件でまだ余裕がありますが、chunk_size は{size}です",
                    recipients.len()
                )
            });
            self.chunks += 1;
        }
        self.recipients = before;
        self.skipped += page.skipped_rows();
        self.forgotten_rows += page.forgotten_rows();
        for skipped in page.skipped() {
            *self.skipped_by_reason.entry(skipped.reason).or_default() += skipped.rows;
            self.further_rows += further_rows(skipped);
        }
        self.last_key.clone_from(&page.last_key);
    }

    /// The number of the one letter that all of them get; nothing where they get different ones.
    fn letter(&self, recipients: &[Option<Recipient>]) -> Option<usize> {
        let Some(letters) = &self.letters else { return Some(0) };
        let mut numbers = recipients.iter().flatten().map(|recipient| letters.number(&recipient.data));
        let first = numbers.next().flatten()?;
        numbers.all(|other| other == Some(first)).then_some(first)
    }

    /// Those whom the canary chooses come first, all of them and nobody else. A key can be an address, so none is shown.
    fn part(&mut self, page: &Page, broadcast: &Broadcast) {
        let (seq, in_canary) = (page.seq, page.is_in_canary());
        self.odd.note_if(in_canary && self.is_past_canary, || {
            both!(
                "page {seq} is of the canary, and comes after others that are not",
                "先行送信のページ{seq}が、そうでないページの後にあります"
            )
        });
        self.is_past_canary |= !in_canary;
        self.chosen += if in_canary { page.recipients() as u64 } else { 0 };
        let is_chosen = |key: &str| self.choice.as_ref().is_some_and(|choice| choice.holds(&broadcast.broadcast_id, key));
        let misplaced = page.known_recipients().filter(|it| is_chosen(it.key.as_str()) != in_canary).count();
        self.odd.note_if(misplaced > 0, || {
            both!(
                "page {seq} has {misplaced} recipients who are on the wrong side of the canary's end",
                "ページ{seq}に、先行送信の境界の反対側にある宛先が{misplaced}件あります"
            )
        });
    }

    /// Against what the broadcast item says of it.
    pub(super) fn compare(&mut self, broadcast: &Broadcast) {
        let mut same = |field: &str, says: u64, found: u64| {
            self.odd.note_if(says != found, || {
                both!(
                    "the broadcast's {field} is {says}, and the pages hold {found}",
                    "一斉送信の {field} は{says}ですが、ページでは{found}です"
                )
            });
        };
        same("recipients", broadcast.recipients, self.recipients);
        same("skipped", broadcast.skipped, self.skipped);
        same("chunks", broadcast.chunks.into(), self.chunks.into());
        same("canary_chunks", broadcast.canary_chunks.into(), self.canary_chunks.into());
        if self.choice.is_some() {
            same("canary", broadcast.canary, self.chosen);
        }
        // Whatever an older build froze is not in it.
        let counted = broadcast.skipped_by.values().sum::<u64>();
        let found =
            |reason: &str| self.skipped_by_reason.iter().find(|(found, _)| found.to_string() == reason).map_or(0, |(_, rows)| *rows);
        for (reason, says) in &broadcast.skipped_by {
            let found = found(reason);
            let most = found + self.forgotten_rows;
            let is_wrong = if counted == broadcast.skipped { !(found..=most).contains(says) } else { *says > most };
            self.odd.note_if(is_wrong, || {
                both!(
                    "the broadcast's skipped_by says {says} {reason}, and the pages hold {found}",
                    "一斉送信の skipped_by では {reason} が{says}件ですが、ページでは{found}件です"
                )
            });
        }
        // A key can be an address, so neither is shown.
        let is_same = match &broadcast.last_key {
            Some(LastKey::InBytes(key)) => self.last_key.as_ref() == Some(key),
            // In the order of a database: of a build before the first that counted what it read.
            Some(LastKey::InDatabase) => broadcast.reading.is_none(),
            // It goes with the end of enumeration.
            None => true,
        };
        self.odd.note_if(!is_same, || {
            both!("the broadcast's last_key is not that of its last page", "一斉送信の last_key が最後のページのものと違います")
        });
    }
}

impl Audience {
    /// Everybody whom the source named is frozen or skipped; nothing where the version that froze it kept no count.
    pub(super) fn as_read(&self, broadcast: &Broadcast) -> Option<Finding> {
        let Reading { rows, counted, without_key, repeated, differing, trimmed, digest, readings, .. } = broadcast.reading.as_ref()?;
        let by_reason = self.skipped_by_reason.iter().map(|(reason, rows)| both!("{rows} {}", "{}: {rows}件", reason.told()));
        let forgotten = (self.forgotten_rows > 0).then(|| both!("{} forgotten", "消去済み: {}件", self.forgotten_rows));
        let by_reason = Bilingual::join(by_reason.chain(forgotten), (", ", "、"));
        let by_reason = if by_reason.is_empty() { by_reason } else { both!(" ({})", "({})", by_reason) };
        // Between two readings rows come and go, and before the end of enumeration not all are frozen.
        let is_whole = broadcast.broadcast_state == BroadcastState::Complete || broadcast.granted > 0;
        let frozen = self.recipients + self.skipped;
        let apart = frozen.abs_diff(*rows);
        // Of several readings single rows may differ; where more do, nobody knows whether they were of the same people.
        let is_near = *readings > 1 && (apart <= APART_MAX || apart * 100 <= *rows);
        let all_there = !is_whole || apart == 0 || is_near;
        let unknown = if all_there || *readings < 2 {
            Bilingual::default()
        } else {
            both!("; not known whether the readings were of the same people", "。各回の読み取りが同じ人々のものかは分かりません")
        };
        // Each further row of a key is frozen as skipped, as a duplicate or with the first. Who was forgotten may have been one.
        let keyless = self.skipped_by_reason.get(&SkipReason::NoKey).copied().unwrap_or_default().saturating_sub(*without_key);
        let duplicates = self.further_rows + keyless.saturating_sub(1);
        let is_known = *readings == 1 && is_whole && self.forgotten_rows == 0 && differing.is_some();
        let all_repeats = (!is_known || *repeated == duplicates) && differing.is_none_or(|differing| differing <= *repeated);
        let finding = data(both!("audience: as it was read", "対象者: 読み取りのとおり"), items(&["broadcast", "page"])).must(
            both!(
                "rows read are the rows that the source counted in the same snapshot, and those of a single reading are all frozen, repeated keys as such; of several, all but ten, or one in a hundred",
                "読み取った行数が、同じ時点で取得元が数えた行数と一致する。1回の読み取りなら全行が確定済み(重複キーは重複として)で、複数回なら差は10行または1%まで"
            ),
            "a row that was not read belongs to somebody who is never mailed",
        );
        let trimmed = trimmed.map_or_else(Bilingual::default, |trimmed| {
            both!(", {trimmed} with invisible white space around the address", "、メールアドレスの前後に見えない空白{trimmed}行")
        });
        let differing = differing.map_or_else(Bilingual::default, |keys| {
            both!(
                " ({keys} keys with rows that differ: of each the first that can be mailed, in the order of what they say, or nobody where a wish not to be mailed binds the key)",
                "(内容が異なる行のあるキー{keys}個。内容順で最初に送信できる行を採用し、受信を望まない意思表示があるキーには送信しない)"
            )
        });
        let from =
            broadcast.read_from.as_ref().map_or_else(Bilingual::default, |objects| both!("; read from {}", "。取得元 {}", objects.told()));
        let file = digest.as_ref().map_or_else(Bilingual::default, |digest| {
            both!("; read from a file with the SHA-256 {digest}", "。取得元ファイルのSHA-256は {digest}")
        });
        let value = both!(
            "{rows} rows read, {counted} counted by the source, {repeated} of them with a repeated key{}{}; frozen: {} recipients, {} skipped{}; {readings} readings{}{}{}",
            "{rows}行を読み取り(取得元の計数{counted}行)、うち重複キー{repeated}行{}{}。確定: 宛先{}件、対象外{}件{}。読み取り{readings}回{}{}{}",
            differing,
            trimmed,
            self.recipients,
            self.skipped,
            by_reason,
            from,
            file,
            unknown
        );
        Some(finding.is(value, rows == counted && all_there && all_repeats))
    }
}

/// How many rows of what was skipped have the key of another. Where it has none, the reading knows of how many that is a null.
fn further_rows(skipped: &Skipped) -> u64 {
    match skipped.reason {
        SkipReason::DuplicateKey => skipped.rows,
        SkipReason::NoKey => 0,
        // Of a key that nobody can be mailed by all rows have one reason.
        _ => skipped.rows.saturating_sub(1),
    }
}

/// Says whether another recipient of any size would have fitted.
fn has_room(recipients: &[Option<Recipient>]) -> bool {
    serde_json::to_vec(recipients).is_ok_and(|json| json.len() + RECIPIENT_BYTES_MAX + 2_048 < CHUNK_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where so many rows are frozen, and the last of so many readings read so many.
    fn found(frozen: u64, rows: u64, readings: u64) -> (bool, bool) {
        let broadcast = serde_json::json!({
            "broadcast_id": "terms", "command_hash": "c", "audience": "users", "broadcast_state": "complete", "epoch": 1,
            "max_recipients": 9, "remaining": 0, "withheld": 0, "granted": 9, "grant_count": 1, "chunk_size": 3, "pages": 1,
            "enqueued_pages": 1, "chunks": 3, "recipients": frozen, "skipped": 0, "chain": "", "canary": 0, "canary_chunks": 0,
            "not_after": "2026-11-26T00:00:00Z", "created_at": "2026-11-24T00:00:00Z",
            "reading": { "id": "one", "rows": rows, "counted": rows, "without_key": 0, "repeated": 0, "readings": readings },
        });
        let finding = Audience { recipients: frozen, ..Audience::default() }.as_read(&serde_json::from_value(broadcast).unwrap()).unwrap();
        (finding.holds(), finding.value.contains("not known whether the readings were of the same people"))
    }

    #[test]
    fn a_key_that_no_row_can_be_mailed_by_has_its_further_rows_under_its_own_reason() {
        for (reason, rows, further) in
            [(SkipReason::DuplicateKey, 2, 2), (SkipReason::BadAddress, 1, 0), (SkipReason::NoConsent, 3, 2), (SkipReason::NoKey, 4, 0)]
        {
            assert_eq!(further_rows(&Skipped { key: "1".to_owned(), reason, rows, mailed: None }), further, "{reason}");
        }
    }

    #[test]
    fn that_a_source_was_read_twice_explains_single_rows_and_no_more() {
        for (frozen, rows, readings, holds, is_unknown) in [
            (100, 100, 1, true, false),
            (99, 100, 1, false, false),
            (95, 100, 2, true, false),
            (110, 100, 2, true, false),
            (89, 100, 2, false, true),
            (5_165, 10_000, 2, false, true),
            (9_900, 10_000, 3, true, false),
            (10_101, 10_000, 2, false, true),
        ] {
            assert_eq!(found(frozen, rows, readings), (holds, is_unknown), "{frozen} of {rows} by {readings}");
        }
    }
}
