//! The codes of reasons in a sentence for whoever looks, in each language; a page of `docs/reasons`
//! says what to do, and is written by the test here from `reasons.toml`. The console shows the same (`reason_page.rs`).

use std::collections::BTreeMap;

use issei_ledger::ReasonCode;
use serde::Deserialize;

use super::Language;

const RUNBOOK: &str = include_str!("../../../../docs/runbooks/en/incidents.md");
const RUNBOOK_JA: &str = include_str!("../../../../docs/runbooks/ja/incidents.md");

/// A code, and what it means.
pub(crate) struct Told {
    pub(crate) code: ReasonCode,
    pub(crate) told: &'static str,
}

impl Told {
    /// Whether it says that somebody was mailed twice, whatever the state.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.code, ReasonCode::StoppedDuplicate | ReasonCode::AcceptedTwice)
    }

    pub(crate) fn of(code: ReasonCode, language: Language) -> Self {
        let (english, japanese) = words(code);
        let told = match language {
            Language::En => english,
            Language::Ja => japanese,
        };
        Self { code, told }
    }
}

/// What a page says beside its sentence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) means: String,
    pub(super) done: String,
    pub(super) now: String,
    pub(super) over: String,
    pub(super) step: String,
}

pub(super) fn texts() -> Result<BTreeMap<String, Text>, toml::de::Error> {
    toml::from_str(include_str!("reasons.toml"))
}

/// As a heading is addressed.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The sections of a runbook: heading and text.
fn sections(runbook: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    runbook.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap_or((section, "")))
}

/// The section that is addressed so, in both languages, which have the same sections.
pub(super) fn step(address: &str) -> Option<[(&'static str, &'static str); 2]> {
    let mut both = sections(RUNBOOK).zip(sections(RUNBOOK_JA));
    both.find(|((heading, _), _)| anchor(heading) == address).map(|(english, japanese)| [english, japanese])
}

fn words(code: ReasonCode) -> (&'static str, &'static str) {
    match code {
        ReasonCode::PausedQuota => ("The account's recipients of 24 hours are used up.", "24時間あたりの送信枠を使い切りました。"),
        ReasonCode::PausedProvider => (
            "The provider refuses, and it is not known to be a recipient's fault.",
            "配信事業者が送信を拒否しており、宛先のせいとは言えません。",
        ),
        ReasonCode::PausedNobodyAccepted => ("Of many chunks in a row nobody was accepted.", "連続して一件も受理されませんでした。"),
        ReasonCode::PausedKeyMissing => {
            ("A consumer lacks the key that signs links to unsubscribe.", "配信停止リンクに署名する鍵がコンシューマーにありません。")
        }
        ReasonCode::PausedContent => {
            ("An earlier build took its letter, which is refused now.", "以前の版が受け付けた文面ですが、現在の版では送信できません。")
        }
        ReasonCode::PausedOtherAccount => (
            "A consumer would send it by another account of the provider than it was registered for.",
            "登録時とは別の配信事業者アカウントがコンシューマーに設定されています。",
        ),
        ReasonCode::HoldingCanary => ("The canary is sent, and the rest waits for an approval.", "先行送信が終わり、残りは承認待ちです。"),
        ReasonCode::HoldingNoCanary => {
            ("The canary chooses nobody, so nothing was sent.", "先行送信の対象者がいないため、まだ何も送信していません。")
        }
        ReasonCode::HoldingCanaryIsAll => {
            ("The canary is everybody, so nothing was sent.", "先行送信の対象が全員のため、まだ何も送信していません。")
        }
        ReasonCode::HoldingSkipped => {
            ("Too large a share of the audience is skipped; nothing was sent.", "対象外の割合が大きいため、まだ何も送信していません。")
        }
        ReasonCode::HoldingAsked => ("It holds before its first send, as it was asked to.", "指示どおり、最初の送信前で承認待ちです。"),
        ReasonCode::HoldingAgreement => ("Others must agree before its first send.", "最初の送信前に、ほかの人の承認が必要です。"),
        ReasonCode::StoppedDuplicate => {
            ("The provider accepted a second message for somebody.", "同じ人への二通目を配信事業者が受理しました。")
        }
        ReasonCode::AcceptedTwice => (
            "The provider accepted a second message for somebody; nothing was left to stop.",
            "同じ人への二通目を配信事業者が受理しました。すでに停止または完了していました。",
        ),
        ReasonCode::StoppedBounces => ("Too many bounced.", "不達の割合が上限を超えました。"),
        ReasonCode::StoppedComplaints => ("Too many complained.", "苦情の割合が上限を超えました。"),
        ReasonCode::StoppedRestored => ("The ledger has forgotten sends: it was restored.", "台帳が復元され、送信の記録が失われています。"),
        ReasonCode::StoppedExpired => ("Its time was over before its end.", "期限までに終わりませんでした。"),
        ReasonCode::StoppedOverBudget => {
            ("The audience is larger than the command allows; nothing was sent.", "宛先数が指示の上限を超えたため、送信していません。")
        }
        ReasonCode::StoppedNobody => ("The audience has nobody to mail.", "送信できる宛先がありません。"),
        ReasonCode::StoppedNotRehearsed => ("Rehearsals are required, and none is good enough.", "必要なリハーサルが済んでいません。"),
        ReasonCode::StoppedOtherOrder => {
            ("An earlier version has begun to freeze it in another order.", "以前の版が別の順序で宛先を確定し始めていました。")
        }
        ReasonCode::HeldUpSource => ("The audience can't be read.", "対象者を読み取れません。"),
        ReasonCode::HeldUpNotConfigured => ("The audience is no longer configured.", "対象者の設定がなくなっています。"),
        ReasonCode::HeldUpAudienceChanged => (
            "The audience is configured otherwise than when the command was taken; nothing was sent.",
            "指示を受け付けた後に対象者の設定が変わり、この指示に使えません。まだ何も送信していません。",
        ),
        ReasonCode::HeldUpContent => (
            "An earlier build took its letter, which is refused now; nothing was sent.",
            "以前の版が受け付けた文面ですが、現在の版では送信できません。まだ何も送信していません。",
        ),
        ReasonCode::HeldUpCallTooShort => {
            ("A function's time was over before everybody was read.", "関数の実行時間内に読み終わりませんでした。")
        }
        ReasonCode::WaitingForTime => ("It waits for its moment, or for its hours.", "送信時刻を待っています。"),
        ReasonCode::RefusedCommand => ("The command can't be read, or a field of it is wrong.", "指示の内容に誤りがあります。"),
        ReasonCode::RefusedAudience => {
            ("The producer has no such audience, or not for such a command.", "その対象者は設定されていないか、この指示には使えません。")
        }
        ReasonCode::RefusedContent => ("The content can't be written to this audience.", "この対象者に対して文面を作成できません。"),
        ReasonCode::RefusedProvider => (
            "Whoever is to carry it is not configured, or can't do what it asks.",
            "指定の配信事業者が設定されていないか、対応していません。",
        ),
        ReasonCode::RefusedKeyMissing => {
            ("There is no key of that name for links to unsubscribe.", "その名前の配信停止リンク用の鍵がありません。")
        }
        ReasonCode::RefusedCopy => ("A copy may not go to that address.", "そのメールアドレスに見本は送れません。"),
        ReasonCode::RefusedTime => {
            ("Its time is over, too far ahead, or never comes.", "期限切れか、先すぎるか、送信できる時間がありません。")
        }
        ReasonCode::RefusedRestored => ("The command is older than the last restore of the ledger.", "台帳の復元より前の指示です。"),
        ReasonCode::RefusedClosed => ("The ledger is closed for new broadcasts.", "新規の一斉送信を受け付けていません。"),
        ReasonCode::RefusedOtherContent => {
            ("The id is that of another command, which goes on untouched.", "同じIDの別の指示がすでにあります。")
        }
        ReasonCode::RefusedRepeated => {
            ("Another broadcast has said the same to this audience.", "同じ内容が、この対象者にすでに送られています。")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    const INDEX: &str = include_str!("reasons_head.md");
    const SUMMARY: &str = include_str!("../../../../docs/SUMMARY.md");

    fn page(code: ReasonCode, text: &Text) -> String {
        let (english, japanese) = words(code);
        let Text { means, done, now, over, step: address } = text;
        let [(heading, _), (in_japanese, _)] = step(address).unwrap_or_else(|| panic!("{code}: the runbook has no section {address}"));
        format!(
            "# {code}\n\n{english} {japanese}\n\n{means}\n\n## What issei has done\n\n{done}\n\n## What to do now\n\n{now}\n\n## How to see that it is over\n\n{over}\n\n\
             Runbook: [{heading}](../runbooks/en/incidents.md#{address}) · [{in_japanese}](../runbooks/ja/incidents.md#{})\n",
            anchor(in_japanese)
        )
    }

    /// Each file below `docs` with its text.
    fn documentation() -> BTreeMap<String, String> {
        let (texts, mut index) = (texts().unwrap(), INDEX.to_owned());
        let mut pages = BTreeMap::new();
        for code in ReasonCode::ALL {
            let text = texts.get(code.as_str()).unwrap_or_else(|| panic!("reasons.toml says nothing of {code}"));
            let (english, japanese) = words(*code);
            writeln!(index, "| [{code}](reasons/{code}.md) | {english} | {japanese} |").unwrap();
            pages.insert(format!("reasons/{code}.md"), page(*code, text));
        }
        pages.insert("reasons.md".to_owned(), index);
        pages
    }

    /// With `ISSEI_UPDATE=1` it writes the pages instead.
    #[test]
    fn every_code_has_its_page_and_there_is_no_other() {
        let docs = Path::new(DOCS);
        for (name, text) in documentation() {
            if std::env::var_os("ISSEI_UPDATE").is_some() {
                std::fs::create_dir_all(docs.join("reasons")).unwrap();
                std::fs::write(docs.join(&name), &text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(docs.join(&name)).unwrap_or_default(), text, "{name}: run the tests with ISSEI_UPDATE=1");
        }
        let codes: Vec<&str> = ReasonCode::ALL.iter().map(|code| code.as_str()).collect();
        let known = |name: &str| codes.contains(&name);
        assert!(texts().unwrap().keys().all(|name| known(name)), "reasons.toml has a code that there is not");
        for entry in std::fs::read_dir(docs.join("reasons")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.strip_suffix(".md").is_some_and(known), "there is no code of {name}");
        }
        for code in ReasonCode::ALL {
            assert_eq!(code.page(), format!("docs/reasons/{code}.md"));
            assert!(SUMMARY.contains(&format!("(reasons/{code}.md)")), "the book lacks {code}");
        }
    }

    /// A page that repeats its sentence is none.
    #[test]
    fn every_page_says_what_it_means_what_is_done_what_to_do_and_when_it_is_over() {
        assert_eq!(sections(RUNBOOK).count(), sections(RUNBOOK_JA).count(), "the runbooks have other sections");
        for (code, Text { means, done, now, over, .. }) in texts().unwrap() {
            for (what, text) in [("means", means), ("done", done), ("now", now), ("over", over)] {
                assert!(text.len() > 40 && text.ends_with(['.', ')']), "{code} {what}: {text}");
            }
        }
    }
}
