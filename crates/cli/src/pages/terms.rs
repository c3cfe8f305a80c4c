//! What whoever approves a broadcast agrees to, and when it would be done, in the language of the page.
//!
//! What this must never do: say more or less in one language than in the other.

use issei_ledger::{IfApproved, Outlook, Term, Terms};
use issei_schema::{CanaryApproval, InDoubtPolicy};

use super::Language;

/// Each of them in its own words.
pub(super) fn told(language: Language, terms: &Terms) -> Vec<String> {
    let in_words = |term: &Term| match language {
        Language::En => term.to_string(),
        Language::Ja => japanese(term),
    };
    terms.0.iter().map(in_words).collect()
}

/// When it would be done if it were approved now.
pub(super) fn if_approved(language: Language, told: &IfApproved) -> String {
    let rate = told.recipients_a_second;
    match (language, &told.outlook) {
        (Language::En, _) => told.to_string(),
        (Language::Ja, Outlook::Done(done)) => format!("今承認すると、早くて{done}に送信が終わります(毎秒{rate}件)"),
        (Language::Ja, Outlook::TooLate { not_after }) => {
            format!("間に合いません: 今承認しても、not_after({not_after})までに送信が終わりません(毎秒{rate}件)")
        }
        (Language::Ja, Outlook::AfterItBinds { done, binds }) => {
            format!("間に合いません: 今承認しても、送信が終わるのは早くて{done}で、効力は{binds}に生じます(毎秒{rate}件)")
        }
    }
}

fn japanese(term: &Term) -> String {
    match term {
        Term::CarriedBy { name, account } => match (name, account) {
            (Some(name), Some(account)) => format!("送信の経路: {name}({})", account.japanese),
            (name, account) => {
                let account = account.as_ref().map(|account| account.japanese.as_str());
                format!("送信の経路: {}", account.or(name.as_deref()).unwrap_or("SES"))
            }
        },
        Term::To { audience, at_most } => format!("対象者: {audience}(最大{at_most}件)"),
        Term::First { recipients, approval: CanaryApproval::Operator } => {
            format!("まず{recipients}件に送り、残りは誰かがその結果を承認してから送ります")
        }
        Term::First { recipients, approval: CanaryApproval::Evidence } => {
            format!("まず{recipients}件に送り、残りはその配信結果が良好であれば自動で送ります")
        }
        Term::AllAtOnce => "先行送信の対象が全員のため、全員に一度に送ります".to_owned(),
        Term::NotBefore(moment) => format!("送信開始は{moment}以降"),
        Term::Within(window) => format!("送信する時間帯: {window}"),
        Term::Ramp(recipients) => format!("最初の1時間は{recipients}件まで、その後は1時間ごとに倍"),
        Term::NotAfter(moment) => format!("送信は{moment}まで"),
        Term::Binds(moment) => format!("効力が生じる日時: {moment}"),
        Term::Doubt(InDoubtPolicy::Hold) => "結果不明の宛先には再送しません".to_owned(),
        Term::Doubt(InDoubtPolicy::EvidenceRetry) => {
            "結果不明の宛先には、配信イベントから再送してよいと証明できる場合に再送します".to_owned()
        }
        Term::Doubt(InDoubtPolicy::AtLeastOnce) => "結果不明の宛先には再送します".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use issei_schema::CarriedBy;

    #[test]
    fn each_term_has_words_of_its_own_in_each_language_with_the_same_numbers_and_moments() {
        let moment = || "2026-11-24T09:00:00+09:00[Asia/Tokyo], 2026-11-24T00:00:00Z".to_owned();
        let (operator, evidence) = (CanaryApproval::Operator, CanaryApproval::Evidence);
        let window = r#"{ "days": ["mon"], "from": "09:00", "to": "18:00", "time_zone": "Asia/Tokyo" }"#;
        let terms = Terms(vec![
            Term::CarriedBy {
                name: Some("mails".to_owned()),
                account: Some(CarriedBy::new("resend", Some("https://api.resend.com"), None).told()),
            },
            Term::CarriedBy { name: None, account: Some(CarriedBy::new("ses", None, Some("aws:123456789012")).told()) },
            Term::CarriedBy { name: None, account: None },
            Term::To { audience: "drivers".to_owned(), at_most: 4711 },
            Term::First { recipients: 17, approval: operator },
            Term::First { recipients: 17, approval: evidence },
            Term::AllAtOnce,
            Term::NotBefore(moment()),
            Term::Within(serde_json::from_str(window).unwrap()),
            Term::Ramp(500),
            Term::NotAfter(moment()),
            Term::Binds(moment()),
            Term::Doubt(InDoubtPolicy::Hold),
            Term::Doubt(InDoubtPolicy::EvidenceRetry),
            Term::Doubt(InDoubtPolicy::AtLeastOnce),
        ]);
        let (english, japanese) = (told(Language::En, &terms), told(Language::Ja, &terms));
        let facts = [
            "mails",
            "https://api.resend.com",
            "123456789012",
            "SES",
            "drivers",
            "4711",
            "17",
            "500",
            "2026-11-24T00:00:00Z",
            "09:00–18:00 Asia/Tokyo",
        ];
        assert_eq!(japanese[0], "送信の経路: mails(Resend、接続先 https://api.resend.com)");
        assert_eq!(japanese[1], "送信の経路: SES、AWSアカウント 123456789012");
        for (english, japanese) in english.iter().zip(&japanese) {
            assert!(english.is_ascii() != japanese.is_ascii() || english.contains('–'), "{english}: {japanese}");
            for fact in facts {
                assert_eq!(english.contains(fact), japanese.contains(fact), "{fact}: {english}: {japanese}");
            }
        }
        for all in [english, japanese] {
            assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:?}");
        }
    }
}
