//! What stands around the pages and chunks: the lists of broadcasts, and how long items are kept.

use issei_ledger::{Entry, Expiry, LedgerError, Surroundings};
use jiff::{SignedDuration, Timestamp};

use super::odd::Odd;
use issei_schema::{Bilingual, both};

use super::{CLOCKS, data, items};
use crate::deployed::RECOVERY_DAYS;
use crate::finding::Finding;

/// The lists name the broadcast as its state asks for.
pub(super) fn lists(found: &Result<Surroundings, LedgerError>, is_over: bool) -> Finding {
    let finding = data(both!("lists: of broadcasts", "一覧: 一斉送信"), items(&["known", "open"])).must(
        both!(
            "known; open only until it is over; no page beyond the last",
            "`known` にあり、`open` にあるのは終了まで。最後のページより先のページはない"
        ),
        "what is in the wrong list is looked after by nobody, or for ever",
    );
    let found = match found {
        Ok(found) => found,
        Err(error) => return finding.failed(error),
    };
    let mut odd = Odd::default();
    odd.note_if(found.known == Entry::Absent, || both!("it is not in the list `known`", "一覧 `known` にありません"));
    odd.note_if(is_over && found.open != Entry::Absent, || {
        both!("it is over, and in the list `open`", "終了していますが、一覧 `open` に残っています")
    });
    odd.note_if(found.page_beyond != Entry::Absent, || both!("there is a page beyond the last", "最後のページより先にページがあります"));
    odd.into_finding(finding, both!("as its state asks for", "状態のとおり")).mended_by(both!(
        "wait for the producer's next look, and certify again",
        "プロデューサーの次の確認を待って、もう一度 `issei certify` を実行してください"
    ))
}

/// What would be deleted before its time, or was to be kept for ever.
#[derive(Default)]
pub(super) struct Kept {
    odd: Odd,
    items: u64,
}

impl Kept {
    /// An item with a time to live, which was written at this time or after it.
    pub(super) fn look_at(&mut self, name: impl Fn() -> Bilingual, expires: Expiry, written_at: Timestamp, now: Timestamp) {
        self.items += 1;
        let days = i64::try_from(RECOVERY_DAYS).unwrap_or(i64::MAX);
        let least = written_at.saturating_add(SignedDuration::from_hours(days * 24)).and_then(|at| at.saturating_sub(CLOCKS));
        let least = least.unwrap_or(Timestamp::MAX);
        match expires {
            Expiry::Never => self.odd.note(|| both!("{} has no expires_at", "{}に expires_at がありません", name())),
            Expiry::At(at) => self.odd.note_if(at <= now || at < least, || {
                both!("{} may be deleted at {at} (expires_at)", "{}が{at}に削除される可能性があります(expires_at)", name())
            }),
        }
    }

    /// Items that stay for ever.
    pub(super) fn look_around(&mut self, found: &Surroundings) {
        for (name, entry) in [("broadcast", found.broadcast), ("command", found.command), ("known", found.known)] {
            self.items += 1;
            if let Entry::There(Expiry::At(at)) = entry {
                self.odd.note(|| {
                    both!(
                        "the item `{name}` may be deleted at {at} (expires_at), and stays for ever",
                        "期限なく残すべき項目 `{name}` が{at}に削除される可能性があります(expires_at)"
                    )
                });
            }
        }
    }

    pub(super) fn into_finding(self) -> Finding {
        let finding = data(both!("items: how long they are kept", "項目: 保存期間"), both!("ledger attribute `expires_at`", "台帳の属性 `expires_at`")).must(
            both!(
                "pages, chunks and events: {RECOVERY_DAYS} days or more from when they were written; broadcast, command and its place in `known`: for ever",
                "ページ、チャンク、イベントは書き込みから{RECOVERY_DAYS}日以上。一斉送信、指示、`known` の項目は期限なし"
            ),
            "DynamoDB deletes what has expired, and then nobody can tell that it was there",
        );
        self.odd.into_finding(finding, both!("{} items", "{}項目", self.items))
    }
}
