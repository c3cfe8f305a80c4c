//! What issei itself writes into audit trails: in English, since their chain is over the words, and the same in Japanese, for whoever
//! reads a page. A writer takes its words from here, so that none is written which the other language has not.
//!
//! What it must never do: say otherwise in English what stands in ledgers already, which would be read as somebody's own words; or
//! change what somebody has written themselves.

use std::fmt::Display;

/// Words with places for names and numbers, `{}`, which come in the same order in both languages.
#[derive(Clone, Copy, Debug)]
pub struct Phrase {
    pub(crate) english: &'static str,
    japanese: &'static str,
}

const PLACE: &str = "{}";

macro_rules! phrases {
    ($($(#[$doc:meta])* $name:ident = $english:literal, $japanese:literal;)+) => {
        $($(#[$doc])* pub const $name: Phrase = Phrase { english: $english, japanese: $japanese };)+

        const ALL: &[Phrase] = &[$($name,)+];
    };
}

phrases! {
    // Steps that change no state.
    APPROVAL_STEP = "approval", "承認";
    KEY_REVOKED_STEP = "key revoked", "APIキーの失効";
    NOTHING_HELD_STEP = "nothing held", "手元に残りなし";
    REPAIR_STEP = "repair", "再投入";
    FORGOT_STEP = "forgot {} of page {}", "{}件を消去(ページ{})";
    ACCEPTED_TWICE_STEP = "accepted more than once", "二重の受理";
    IMPORTED_STEP = "events imported", "イベントの取り込み";
    DISCARDED_STEP = "dead letter {} of {} deleted", "デッドレター {} の削除({})";
    UNREADABLE_STEP = "unreadable", "読み取り不能";
    // Reasons.
    NO_REASON = "no reason given", "理由の記載なし";
    CANT_BE_READ = "what stands here can't be read", "ここの記録を読み取れません";
    FROZEN = "audience frozen: {} recipients in {} chunks, {} skipped{}", "宛先を確定しました: {}件({}チャンク)、対象外{}件{}";
    COUNTED = "{} accepted, {} rejected, {} in doubt", "受理{}件、拒否{}件、不明{}件";
    COUNTED_WITH_SPARED = "{} accepted, {} rejected, {} spared, {} in doubt", "受理{}件、拒否{}件、抑制リストにより未送信{}件、不明{}件";
    PERMITS_EXPIRED = "every permit granted before the stop has expired", "停止前に発行した送信許可がすべて失効しました";
    SHUT_AND_EXPIRED = "SES may not send until `issei open`, and every permit granted before the stop has expired", "`issei open` までSESは送信できず、停止前に発行した送信許可はすべて失効しました";
    NOBODY_HOLDS_ANY = "every consumer has said that it holds nothing of it any more", "すべてのコンシューマーが、手元に何も残っていないと報告しました";
    NONE_GRANTED = "no permit of it was ever granted", "送信許可は一度も出ていません";
    CANARY_WENT_WELL = "the canary went well: {} accepted, {} delivered, {} bounced, {} suppressed, {} complained", "先行送信の結果は良好です: 受理{}件、配信{}件、不達{}件、事業者の抑制リスト{}件、苦情{}件";
    AGREES = "{} agrees to {}: command {}, {} recipients, {} skipped", "{} が {} を承認しました(指示 {}、宛先{}件、対象外{}件)";
    AGREES_FOR = "{} agrees to {}: command {}, {} recipients, {} skipped; {}", "{} が {} を承認しました(指示 {}、宛先{}件、対象外{}件): {}";
    ENQUEUED_AGAIN = "{} chunks enqueued again: {}", "{}個のチャンクを再投入しました: {}";
    IMPORTED = "{} events that nobody has signed, from {}, SHA-256 {}", "署名のないイベント{}件を {} から取り込みました(SHA-256 {})";
    FORGOTTEN_BY_LEDGER = "the ledger was restored, and whom it forgot nobody knows: {}", "台帳が復元され、失われた記録が誰のものかは分かりません: {}";
    REHEARSED_PAUSE = "a rehearsal of a pause", "一時停止のリハーサル";
    REHEARSED_PAUSE_OVER = "the rehearsal of a pause is over", "一時停止のリハーサルの終了";
    APPROVED_AT_ONCE = "approved at once, since nobody is mailed", "実際には誰にも送信しないため、すぐに承認しました";
    RECEIVED = "command received{}", "指示を受け付けました{}";
    // What follows on that a command was received.
    RECEIVED_FROM = " from {}", "、依頼者 {}";
    RECEIVED_CARRIER = ", to be carried by {}", "、送信の経路 {}";
    RECEIVED_ACCOUNT = ", which is {}", "、接続先の原文: {}";
    RECEIVED_TEMPLATE = ", its template read: {}", "、読み込んだテンプレート {}";
    RECEIVED_AGAIN = ", again: {}", "、再送の理由: {}";
}

/// Between two who have asked for it.
pub const AND: &str = " and ";

const OF_RECEIVED: [Phrase; 5] = [RECEIVED_FROM, RECEIVED_CARRIER, RECEIVED_ACCOUNT, RECEIVED_TEMPLATE, RECEIVED_AGAIN];

impl Phrase {
    /// As it is written.
    #[must_use]
    pub fn with(self, parts: &[&dyn Display]) -> String {
        let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        filled(self.english, parts.iter().map(String::as_str))
    }

    /// What stands in its places; nothing where the text is another.
    fn read(self, text: &str) -> Option<Vec<&str>> {
        let mut words = self.english.split(PLACE);
        let (mut rest, mut parts) = (text.strip_prefix(words.next()?)?, Vec::new());
        let mut words = words.peekable();
        while let Some(after) = words.next() {
            let is_last = words.peek().is_none();
            let at = if is_last && after.is_empty() { rest.len() } else { rest.find(after)? };
            let (part, others) = rest.split_at(at);
            parts.push(part);
            rest = others.strip_prefix(after)?;
        }
        // A sentence of somebody's own is no number and no name.
        let begins_well = !self.english.starts_with(PLACE) || parts.first().is_some_and(|first| !first.contains(' '));
        (rest.is_empty() && begins_well).then_some(parts)
    }

    fn lead(self) -> (&'static str, &'static str) {
        let lead = |text: &'static str| text.split(PLACE).next().unwrap_or_default();
        (lead(self.english), lead(self.japanese))
    }
}

fn filled<'a>(words: &str, mut parts: impl Iterator<Item = &'a str>) -> String {
    let mut words = words.split(PLACE);
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, after| text + parts.next().unwrap_or_default() + after)
}

/// A step or a reason that issei itself has written, in Japanese; nothing where it is somebody's own words.
#[must_use]
pub fn in_japanese(text: &str) -> Option<String> {
    if let Some([more]) = RECEIVED.read(text).as_deref() {
        let in_order = |more: String, one: &Phrase| {
            let (english, japanese) = one.lead();
            more.replacen(english, japanese, 1)
        };
        let (who, others) = more.split_at(more.find(", ").unwrap_or(more.len()));
        let more = OF_RECEIVED.iter().fold(who.replace(AND, "、") + others, in_order);
        return Some(filled(RECEIVED.japanese, std::iter::once(more.as_str())));
    }
    let written = ALL.iter().find_map(|phrase| Some((phrase, phrase.read(text)?)));
    written.map(|(phrase, parts)| filled(phrase.japanese, parts.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_japanese_and_what_somebody_has_written_is_left_alone() {
        assert_eq!(AGREES_FOR.english, format!("{}; {{}}", AGREES.english));
        let leads: Vec<_> = OF_RECEIVED.iter().map(|one| one.english).collect();
        for phrase in ALL.iter().filter(|phrase| !leads.contains(&phrase.english)) {
            let places = phrase.english.matches(PLACE).count();
            assert_eq!(phrase.japanese.matches(PLACE).count(), places, "{phrase:?}");
            let parts: Vec<String> = (0..places).map(|place| (7_001 + place).to_string()).collect();
            let written = phrase.with(&parts.iter().map(|part| part as &dyn Display).collect::<Vec<_>>());
            let read = in_japanese(&written).unwrap_or_else(|| panic!("{written}"));
            assert!(!read.is_ascii() && parts.iter().all(|part| read.contains(part.as_str())), "{written}: {read}");
            assert!(!read.contains(" accepted") && !read.contains(" skipped"), "{written}: {read}");
        }
        assert_eq!(
            in_japanese("command received from 0000 and AROA:ann, to be carried by mails, which is Resend, again: the first was wrong")
                .as_deref(),
            Some("指示を受け付けました、依頼者 0000、AROA:ann、送信の経路 mails、接続先の原文: Resend、再送の理由: the first was wrong")
        );
        for own in ["wrong text", "文面の誤り", "all of it was accepted, 1 rejected, 2 in doubt", "", "repaired"] {
            assert_eq!(in_japanese(own), None, "{own}");
        }
    }
}
