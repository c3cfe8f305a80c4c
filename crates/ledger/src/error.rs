//! What went wrong with the ledger, by what the caller must do.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use issei_schema::{Bilingual, without_addresses};

/// The reason where there is no ledger.
pub const NO_TABLE: &str = "the table does not exist; `issei setup` makes it";

/// A ledger call that did not give an answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Try again later. Whether a write took effect is not known; every write here is safe to repeat.
    #[error("ledger {operation}: {reason}")]
    Unavailable { operation: &'static str, reason: String },
    /// Stop and look: an item says what no issei writes.
    #[error("ledger item {item} can't be read: {reason}; do not send for this broadcast until it is understood")]
    Corrupt { item: String, reason: String },
    /// The ledger is not the one that it says it is.
    #[error(
        "the ledger was restored from a backup: {reason}; it has forgotten sends, so nothing is sent until `issei accept-restored-ledger`"
    )]
    Restored { reason: String },
    /// What another ledger's services wait for is nothing for this one's.
    #[error(
        "the chunks queue is that of {whose}, and not of table `{table}`: two ledgers on the same queues send twice; give this one queues of its own (--commands-queue, --chunks-queue, --feedback-queue), or name that table (--table, ISSEI_TABLE); where this is that very ledger, which an older build took into use after a restore, take the tag `issei-ledger-id` off the queue (aws sqs untag-queue)"
    )]
    Foreign { table: String, whose: String },
    /// A table that holds something else.
    #[error(
        "table `{table}` is no ledger: {reason}; nothing in it was changed; name another (--table, ISSEI_TABLE), and `issei setup` makes it"
    )]
    NoLedger { table: String, reason: String },
    /// An operator has stopped everything.
    #[error("closed for new broadcasts since {} by {}: {}; `issei open` opens it again", .0.closed_at, .0.closed_by, .0.reason)]
    Closed(crate::Closing),
    /// The caller named a broadcast that the ledger does not hold.
    #[error(
        "there is no broadcast `{id}` in the ledger table `{table}`; check the id with the app's log, and the table with `issei doctor`"
    )]
    NoBroadcast { id: String, table: String },
    /// The caller asked for a step that the state does not allow.
    #[error("broadcast `{id}` is {from}{}", cannot_become(*.from, *.to))]
    Transition { id: String, from: crate::BroadcastState, to: crate::BroadcastState },
    /// It has gone on since it was looked at.
    #[error("broadcast `{id}` has gone on since what was shown, and is {state} for another reason now; nothing was done: look at it again")]
    WentOn { id: String, state: crate::BroadcastState },
    /// Others must want it, or something else was agreed to.
    #[error("broadcast `{id}` is not approved: {}", .reason.english)]
    NotAgreed { id: String, reason: Bilingual },
    /// Nobody is forgotten in a broadcast that may still send to them.
    #[error(
        "broadcast `{id}` is {state}, and may still send: nobody of it is forgotten before it is over; wait for that, or `issei stop {id}`, and repeat"
    )]
    MayStillSend { id: String, state: crate::BroadcastState },
    /// An item has 400 KB at most.
    #[error("ledger item {item} has no room for another tombstone beside its {tombstones}; what it holds goes when it expires")]
    PageIsFull { item: String, tombstones: usize },
}

/// Whoever takes a step that a colleague has just taken is told of that, and not of rules.
fn cannot_become(from: crate::BroadcastState, to: crate::BroadcastState) -> String {
    if from == to {
        " already: somebody else has just done this (`issei audit` says who)".to_owned()
    } else {
        format!(", and from there it can't become {to}")
    }
}

impl LedgerError {
    /// For people. What DynamoDB or an item says stands in its own words.
    #[must_use]
    pub fn told(&self) -> Bilingual {
        let japanese = match self {
            Self::Unavailable { operation, reason } if reason == NO_TABLE => {
                format!("台帳の {operation}: テーブルがありません。`issei setup` で作成できます")
            }
            Self::Unavailable { operation, reason } => format!("台帳の {operation} に失敗しました。原文: {reason}"),
            Self::Corrupt { item, reason } => {
                format!("台帳の項目を読み取れません。原因が分かるまで、この一斉送信を送信しないでください。原文: {item}: {reason}")
            }
            Self::Restored { reason } => format!(
                "台帳がバックアップから復元されています。送信の記録が失われているため、`issei accept-restored-ledger` を実行するまで何も送信しません。原文: {reason}"
            ),
            Self::Foreign { table, whose } => format!(
                "chunksキューは {whose} のもので、テーブル `{table}` のものではありません。2つの台帳が同じキューを使うと二重に送信されます。この台帳専用のキュー(--commands-queue、--chunks-queue、--feedback-queue)を指定するか、そのテーブル(--table、ISSEI_TABLE)を指定してください。復元後に旧版が使い始めた同じ台帳である場合は、キューからタグ `issei-ledger-id` を外してください(aws sqs untag-queue)"
            ),
            Self::NoLedger { table, reason } => format!(
                "テーブル `{table}` は台帳ではありません。何も変更していません。別の名前(--table、ISSEI_TABLE)を指定すると、`issei setup` が作成します。原文: {reason}"
            ),
            Self::Closed(crate::Closing { closed_at, closed_by, reason, .. }) => {
                format!("{closed_at} から新規の一斉送信を受け付けていません({closed_by}: {reason})。`issei open` で受け付けを再開します")
            }
            Self::NoBroadcast { id, table } => format!(
                "台帳のテーブル `{table}` に一斉送信 `{id}` はありません。IDはアプリのログで、テーブルは `issei doctor` で確認してください"
            ),
            Self::Transition { id, from, to } if from == to => {
                format!("一斉送信 `{id}` はすでに `{from}` です。ほかの人が直前に操作しました(`issei audit` で確認できます)")
            }
            Self::Transition { id, from, to } => format!("一斉送信 `{id}` の状態は `{from}` で、そこから `{to}` には変えられません"),
            Self::WentOn { id, state } => format!(
                "一斉送信 `{id}` は、表示された時点の後で先に進み、別の理由で `{state}` になっています。何も実行していません。もう一度確認してください"
            ),
            Self::NotAgreed { id, reason } => format!("一斉送信 `{id}` は承認されていません: {}", reason.japanese),
            Self::MayStillSend { id, state } => format!(
                "一斉送信 `{id}` の状態は `{state}` で、まだ送信する可能性があります。終了するまで誰も消去できません。終了を待つか、`issei stop {id}` のあとで繰り返してください"
            ),
            Self::PageIsFull { item, tombstones } => format!(
                "台帳の項目 {item} には、{tombstones}件の消去の記録に加えてもう1件を書く余裕がありません。保存期間が過ぎると中身は消えます"
            ),
        };
        Bilingual { english: self.to_string(), japanese }
    }

    pub(crate) fn call<E>(operation: &'static str) -> impl Fn(SdkError<E>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        move |error| {
            // Of items that are not there DynamoDB says nothing, so it is the table.
            let is_missing = error.code() == Some("ResourceNotFoundException");
            Self::Unavailable { operation, reason: if is_missing { NO_TABLE.to_owned() } else { issei_aws::chain(&error) } }
        }
    }

    /// A chunk says that it belongs to a page that does not hold it.
    #[must_use]
    pub fn corrupt_chunk(id: &issei_schema::BroadcastId, chunk: u32, page: u32) -> Self {
        Self::corrupt(format!("chunk {chunk} of `{id}`"), format!("it names page {page}, which does not hold it"))
    }

    pub(crate) fn corrupt(item: impl Into<String>, reason: impl ToString) -> Self {
        Self::Corrupt { item: item.into(), reason: without_addresses(&reason.to_string()) }
    }
}
