//! Those of an audience who are not mailed, and why.

use std::collections::BTreeMap;
use std::fmt;

use issei_schema::Bilingual;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Broadcast, Ledger, LedgerError, Suppression};

/// Keys that are shown for each reason.
const EXAMPLES: usize = 3;

/// Why somebody in the audience can't be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The key column is null.
    NoKey,
    /// The key has more than 256 bytes, or a control character.
    BadKey,
    /// The key stands in the audience twice.
    DuplicateKey,
    /// The address column is null or empty.
    NoAddress,
    /// The address is not of the form local@domain.tld.
    BadAddress,
    /// The address has a local part that is legal in quotes only, and the audience does not ask for those.
    LegacyLocalPart,
    /// SES can't mail a local part that is not ASCII.
    AddressNotAscii,
    /// A column that the content needs is null.
    DataMissing,
    /// A column holds a control character.
    ControlCharacter,
    /// The recipient with its data is larger than 16 KiB.
    DataTooLarge,
    /// The address bounced for good in an earlier broadcast.
    Bounced,
    /// Whose address it is complained about an earlier broadcast.
    Complained,
    /// A column that is needed holds bytes that are no text in its encoding.
    NotText,
    /// Another row with this address is mailed, and the audience mails each address once.
    DuplicateAddress,
    /// The line of the file can't be read.
    BrokenRow,
    /// The column with the recipient's URL to unsubscribe has none, or one that is not https or fits no header.
    NoUnsubscribeUrl,
    /// A column that begins a link in the content holds none that may stand there, such as `https://…`.
    UnsafeLink,
    /// The content has no words for the value of the column that chooses them.
    NoVariant,
    /// Whose address it is has unsubscribed, as an import or an operator says.
    Unsubscribed,
    /// An operator put the address on the list of those that are not mailed.
    Suppressed,
    /// Another row of the key says of its owner that they have not agreed to such mail.
    NoConsent,
}

impl From<Suppression> for SkipReason {
    fn from(why: Suppression) -> Self {
        match why {
            Suppression::Bounced => Self::Bounced,
            Suppression::Complained => Self::Complained,
            Suppression::Unsubscribed => Self::Unsubscribed,
            Suppression::Operator => Self::Suppressed,
        }
    }
}

impl SkipReason {
    /// In Japanese, for people. In English it goes by its word.
    #[must_use]
    pub fn in_japanese(self) -> &'static str {
        match self {
            Self::NoKey => "キーがありません",
            Self::BadKey => "キーが長すぎるか、制御文字を含みます",
            Self::DuplicateKey => "同じキーの行がほかにあります",
            Self::NoAddress => "メールアドレスがありません",
            Self::BadAddress => "メールアドレスの形式に誤りがあります",
            Self::LegacyLocalPart => "引用符が必要な形式のメールアドレスです",
            Self::AddressNotAscii => "メールアドレスの@より前にASCII以外の文字があります",
            Self::DataMissing => "文面に必要な列が空です",
            Self::ControlCharacter => "列に制御文字があります",
            Self::DataTooLarge => "差し込みデータが大きすぎます",
            Self::Bounced => "以前の一斉送信で不達になりました",
            Self::Complained => "以前の一斉送信で迷惑メールとして報告されました",
            Self::NotText => "列が文字として読めません",
            Self::DuplicateAddress => "同じメールアドレスの別の行に送信します",
            Self::BrokenRow => "ファイルの行を読み取れません",
            Self::NoUnsubscribeUrl => "配信停止用のURLがないか、使えない形式です",
            Self::UnsafeLink => "リンクの先頭になる列の値が使えません",
            Self::NoVariant => "この値に対応する文面がありません",
            Self::Unsubscribed => "配信停止の申し出がありました",
            Self::Suppressed => "担当者が送信を控える一覧に登録しました",
            Self::NoConsent => "この種のメールの受信に同意がありません",
        }
    }

    /// By the word that stands in the ledger; nothing where a newer build has written one.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::deserialize(StrDeserializer::<serde::de::value::Error>::new(word)).ok()
    }

    /// With its word, by which exports have it.
    #[must_use]
    pub fn told(self) -> Bilingual {
        Bilingual { english: self.to_string(), japanese: format!("{}(`{self}`)", self.in_japanese()) }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the word that stands in the ledger.
        self.serialize(f)
    }
}

/// Somebody in the audience who can't be mailed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Of a line that can't be read, what is wrong with it too: a page commits to keys, in the eyes of older builds as well.
    pub key: String,
    pub reason: SkipReason,
    /// How many rows; more than one where they have no key to tell them apart.
    pub rows: u64,
    /// Of a duplicate address, the key that is mailed instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailed: Option<String>,
}

/// Those of a frozen audience who are skipped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedRows {
    pub rows: u64,
    /// The first three keys; none where the rows have none.
    pub examples: Vec<String>,
}

/// Between which line it is and what is wrong with it.
const IS_WRONG: &str = ": ";
/// Characters that are kept of what is wrong.
const WRONG_CHARS: usize = 300;

impl Skipped {
    /// What stands as the key of a line that can't be read.
    #[must_use]
    pub fn broken_line(line: &str, reason: &str) -> String {
        line.chars().chain(IS_WRONG.chars()).chain(shown(reason).take(WRONG_CHARS)).collect()
    }

    /// The key; of a line that can't be read, which one it is.
    #[must_use]
    pub fn name(&self) -> &str {
        self.line().map_or(&self.key, |(line, _)| line)
    }

    /// What is wrong with a line that can't be read; nothing of other rows, and where an older build froze it.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.line().map(|(_, reason)| reason)
    }

    fn line(&self) -> Option<(&str, &str)> {
        (self.reason == SkipReason::BrokenRow).then(|| self.key.split_once(IS_WRONG)).flatten()
    }
}

/// Characters of a key that a skipped row keeps, and of these so many of its beginning where it has more.
const KEPT_CHARS: usize = 64;
const BEGINNING_CHARS: usize = 47;
/// Of a longer key's SHA-256, in hexadecimal.
const DIGEST_CHARS: usize = KEPT_CHARS - BEGINNING_CHARS - 1;

/// A key as a skipped row keeps it, fit to be shown: whole where it is short, and else its beginning with a part of its digest,
/// so that no two are taken for each other.
#[must_use]
pub fn kept_key(key: &str) -> String {
    if key.chars().nth(KEPT_CHARS).is_none() {
        return shown(key).collect();
    }
    kept_with_digest(key, &hex::encode(Sha256::digest(key)))
}

/// The same of a key of which no more is known than its beginning and its SHA-256 in hexadecimal.
#[must_use]
pub fn kept_with_digest(beginning: &str, digest: &str) -> String {
    let digest = digest.chars().take(DIGEST_CHARS);
    shown(beginning).take(BEGINNING_CHARS).chain(std::iter::once('~')).chain(digest).collect()
}

fn shown(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c })
}

impl Ledger {
    /// Skipped rows by reason. Reads every page that is frozen.
    pub async fn skipped_by_reason(&self, broadcast: &Broadcast) -> Result<BTreeMap<SkipReason, SkippedRows>, LedgerError> {
        let mut found: BTreeMap<SkipReason, SkippedRows> = BTreeMap::new();
        for seq in 0..broadcast.pages {
            for skipped in self.page(&broadcast.placed(), seq).await?.skipped() {
                let of_reason = found.entry(skipped.reason).or_default();
                of_reason.rows += skipped.rows;
                if of_reason.examples.len() < EXAMPLES && skipped.reason != SkipReason::NoKey {
                    of_reason.examples.push(skipped.key.clone());
                }
            }
        }
        Ok(found)
    }
}
