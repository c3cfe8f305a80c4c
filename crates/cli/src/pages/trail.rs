//! Steps and reasons of an audit trail, in the language of the page. A trail is evidence, so what was written stays to be read as it was.
//!
//! What it must never do: put words into somebody's mouth. Only what issei itself has written is said otherwise.

use issei_ledger::{AuditEntry, BroadcastState, ReasonCode, phrases};

use super::outside::{as_written, folded, outside};
use super::{Language, Told, Words};

/// From which state to which, or what else was done.
pub(super) fn step(words: &Words, step: &str) -> String {
    let state = |name: &str| name.parse::<BroadcastState>().ok().map(|state| words.state(state));
    let told = match (words.of(), step.split_once(" -> ")) {
        (Language::En, _) => None,
        (Language::Ja, Some((from, to))) => state(from).zip(state(to)).map(|(from, to)| format!("{from} → {to}")),
        (Language::Ja, None) => state(step).map(str::to_owned).or_else(|| phrases::in_japanese(step)),
    };
    outside(told.as_deref().unwrap_or(step))
}

/// A code, and in Japanese what it means, since the reason beside it is English.
#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
pub(super) fn coded(words: &Words, code: &Option<ReasonCode>) -> String {
    match (words.of(), code) {
        (_, None) => String::new(),
        (Language::En, Some(code)) => format!("<code>{code}</code> "),
        (Language::Ja, Some(code)) => format!("<code>{code}</code> {} ", Told::of(*code, Language::Ja).told),
    }
}

/// Why, with a code where that stands beside it.
#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the templates call it so")]
pub(super) fn reason(words: &Words, code: &Option<ReasonCode>, reason: &str) -> String {
    match (words.of(), code) {
        (Language::En, _) => folded(reason),
        (Language::Ja, Some(_)) => as_written(words, reason),
        (Language::Ja, None) => folded(phrases::in_japanese(reason).as_deref().unwrap_or(reason)),
    }
}

/// Why, and who said it.
pub(super) fn said(words: &Words, entry: &AuditEntry) -> String {
    let AuditEntry { reason: why, actor, code, .. } = entry;
    match words.of() {
        Language::En => folded(&format!("{why} ({actor})")),
        Language::Ja => format!("{} ({})", reason(words, code, why), outside(actor)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_issei_has_written_is_said_in_japanese_and_what_somebody_has_said_stays() {
        let words = Language::Ja.words();
        assert_eq!(step(words, "running -> paused"), "<bdi>送信中 → 一時停止中</bdi>");
        assert_eq!(step(words, "forgot 1 of page 0"), "<bdi>1件を消去(ページ0)</bdi>");
        assert_eq!(step(words, "danced"), "<bdi>danced</bdi>");
        assert_eq!(reason(words, &None, "the wrong text"), "<bdi>the wrong text</bdi>");
        let coded = reason(words, &Some(ReasonCode::PausedQuota), "all of 200 are used up");
        assert!(coded.contains("記録の原文") && coded.contains("<bdi>all of 200 are used up</bdi>"), "{coded}");
        for state in ["enumerating", "running", "stopping"] {
            assert_eq!(step(Language::En.words(), state), format!("<bdi>{state}</bdi>"));
        }
    }
}
