//! Who froze and who claimed: each by the mark of a run, whose heartbeat must be there and say what it said then.

use std::collections::{BTreeMap, BTreeSet};

use issei_ledger::{Heartbeat, LedgerError, RunMark};

use issei_schema::{Bilingual, both};

use super::odd::Odd;
use super::{data, items};
use crate::finding::Finding;

/// The marks seen so far, each with what bore it first. As many as there were runs, whatever the audience.
#[derive(Default)]
pub(super) struct Runs {
    seen: BTreeMap<RunMark, Bilingual>,
    /// What builds before the mark have written.
    unmarked: u64,
}

impl Runs {
    pub(super) fn note(&mut self, token: &str, what: impl FnOnce() -> Bilingual) {
        match RunMark::read(token) {
            Some(mark) => {
                self.seen.entry(mark).or_insert_with(what);
            }
            None => self.unmarked += 1,
        }
    }

    /// Which runs they are.
    pub(super) fn tokens(&self) -> BTreeSet<String> {
        self.seen.keys().map(|mark| mark.token.clone()).collect()
    }

    pub(super) fn into_finding(self, heartbeats: &Result<Vec<Heartbeat>, LedgerError>) -> Finding {
        let finding = data(
            both!("runs: who froze and who claimed", "実行: 宛先を確定し、送信処理をした者"),
            items(&["page", "chunk", "services#DAY"]),
        )
        .must(
            both!("each a run with a heartbeat that says what it said then", "すべて、当時と同じ内容のハートビートがある実行"),
            "what was written by a run that nobody knows was written by hand, or by a sender that hides",
        );
        let heartbeats = match heartbeats {
            Ok(heartbeats) => heartbeats,
            Err(error) => return finding.failed(error),
        };
        let marks: BTreeMap<&str, RunMark> = heartbeats.iter().map(|run| (run.token.as_str(), run.mark())).collect();
        let mut odd = Odd::default();
        for (mark, what) in &self.seen {
            match marks.get(mark.token.as_str()) {
                None => odd.note(|| {
                    both!(
                        "{} names the run {}, of which there is no heartbeat",
                        "{}が示す実行 {} のハートビートがありません",
                        *what,
                        mark.token
                    )
                }),
                Some(now) => odd.note_if(now != mark, || {
                    both!(
                        "{} names the run {}, whose heartbeat was altered since",
                        "{}が示す実行 {} のハートビートが、その後変更されています",
                        *what,
                        mark.token
                    )
                }),
            }
        }
        odd.into_finding(
            finding,
            both!(
                "{} runs, and {} items of builds that name none",
                "実行{}件。実行を記録しない旧版の項目{}件",
                self.seen.len(),
                self.unmarked
            ),
        )
    }
}
