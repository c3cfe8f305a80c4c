//! What to write to somebody who asks whether they got it: one sentence, in their language, that says no more than is known.

use issei_ledger::{Outcome, SkipReason};
use issei_schema::{BroadcastCommand, Content, EventKind, Piece, Variants, ZoneName};
use jiff::Timestamp;

use super::Language;
use super::cause::Cause;
use crate::commands::person::Why;

/// What became of a letter, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// So many messages were accepted.
    Several(usize),
    Delivered,
    Complained,
    Bounced,
    Delayed,
    Suppressed,
    NotRendered,
    /// The provider took it, and nothing more is known.
    Accepted,
    Refused,
    Unknown,
    /// The ledger was restored, and has forgotten.
    Forgotten,
    NotYet,
    Never,
}

impl Told {
    fn of(why: &Why, is_over: bool) -> Self {
        let has = |kind| why.events.contains(&kind);
        let times = why.message_ids().len();
        match why.outcome {
            _ if why.listed_as.contains(&"accepted-twice") => Self::Several(times.max(2)),
            _ if has(EventKind::Complained) => Self::Complained,
            _ if has(EventKind::Bounced) || has(EventKind::SoftBounced) => Self::Bounced,
            _ if has(EventKind::Delivered) => Self::Delivered,
            _ if has(EventKind::Suppressed) => Self::Suppressed,
            _ if has(EventKind::RenderFailed) || has(EventKind::Rejected) => Self::NotRendered,
            _ if has(EventKind::Delayed) => Self::Delayed,
            Some(Outcome::Accepted) => Self::Accepted,
            Some(Outcome::Rejected) => Self::Refused,
            Some(Outcome::InDoubt | Outcome::Open) => Self::Unknown,
            None | Some(Outcome::Retryable) if why.may_be_forgotten() => Self::Forgotten,
            None | Some(Outcome::Retryable) if is_over => Self::Never,
            None | Some(Outcome::Retryable) => Self::NotYet,
        }
    }
}

/// What a sentence is made of, beside what became of the letter.
#[derive(Default)]
struct Facts<'a> {
    mail: &'a str,
    /// When it was accepted, or where that is not told, when it was claimed for them.
    sent: Option<Timestamp>,
    /// When the event was that tells how it ended.
    ended: Option<Timestamp>,
    /// Why, as far as it is known in plain words.
    cause: Option<&'static str>,
    /// By whose clocks it is told.
    zone: ZoneName,
}

/// Of somebody who stands in the frozen audience; `mail` is its subject, where it could be rendered.
pub(crate) fn of_recipient(language: Language, zone: &ZoneName, why: &Why, mail: Option<&str>, is_over: bool) -> String {
    if let Some(spared) = why.spared {
        return of_skipped(language, mail.unwrap_or(why.broadcast_id.as_str()), spared.into(), false);
    }
    let told = Told::of(why, is_over);
    let named = why.messages.first().map(|message| message.sent_at.as_str());
    let claimed = || named.into_iter().chain(why.claimed_at.as_deref()).find_map(|at| at.parse().ok());
    let event = told.kinds().iter().find_map(|kind| why.told_of(*kind));
    let cause = event.and_then(|event| Cause::of(event.event, event.reason.as_ref()?));
    let facts = Facts {
        mail: mail.unwrap_or(why.broadcast_id.as_str()),
        sent: why.accepted_at().or_else(claimed),
        ended: event.and_then(|event| event.at),
        cause: cause.map(|cause| cause.told(language)),
        zone: zone.clone(),
    };
    match language {
        Language::En => english(&facts, told),
        Language::Ja => japanese(&facts, told),
    }
}

impl Told {
    /// The events that tell of it, the one that counts first.
    fn kinds(self) -> &'static [EventKind] {
        match self {
            Self::Delivered => &[EventKind::Delivered],
            Self::Complained => &[EventKind::Complained],
            Self::Bounced => &[EventKind::Bounced, EventKind::SoftBounced],
            Self::Delayed => &[EventKind::Delayed],
            _ => &[],
        }
    }
}

/// A later moment in the same message: its day only where that is another.
fn is_same_day(facts: &Facts<'_>, at: Timestamp) -> bool {
    facts.sent.is_some_and(|sent| facts.zone.clocks(sent).date() == facts.zone.clocks(at).date())
}

/// A moment by the clocks of the zone.
fn clocks(facts: &Facts<'_>, at: Timestamp, form: &str) -> String {
    facts.zone.clocks(at).strftime(form).to_string()
}

/// What Japanese readers call the clocks, where there is a word.
fn clocks_in_japanese(zone: &ZoneName) -> &'static str {
    match zone.name() {
        "UTC" | "Etc/UTC" => "協定世界時",
        "Asia/Tokyo" | "Japan" => "日本時間",
        _ => "%Z",
    }
}

fn english(facts: &Facts<'_>, told: Told) -> String {
    let mail = facts.mail;
    let at = facts.sent.map_or(String::new(), |at| clocks(facts, at, " on %-d %B %Y at %H:%M %Z"));
    let then = facts
        .ended
        .map_or(String::new(), |at| clocks(facts, at, if is_same_day(facts, at) { " at %H:%M %Z" } else { " on %-d %B %Y at %H:%M %Z" }));
    let why = facts.cause.map_or(String::new(), |cause| format!(": {cause}"));
    let sent = format!("We sent you “{mail}”{at}");
    match told {
        Told::Several(times) => format!("{sent}, and our mail provider accepted it {times} times; we are sorry for that."),
        Told::Delivered => format!("{sent}, and your mail server took it{then}; please look in the folder for spam, too."),
        Told::Complained => format!("{sent}, your mail server took it, and it was reported to us as spam from your mailbox{then}."),
        Told::Bounced => format!("{sent}, and your mail server refused it{then}{why}."),
        Told::Delayed => format!("{sent}; your mail server did not take it at once{why}. Whether it has since we don't know."),
        Told::Suppressed => {
            format!(
                "We had “{mail}” for you{at}, and our mail provider did not send it, since mail to this address had been refused before."
            )
        }
        Told::NotRendered => format!("We had “{mail}” for you{at}, and our mail provider did not send it."),
        Told::Accepted => format!("{sent}, and our mail provider accepted it; whether your mail server took it we don't know."),
        Told::Refused => format!("We had “{mail}” for you{at}, and our mail provider refused to send it to this address."),
        Told::Unknown => {
            format!("We tried to send you “{mail}”{at}; whether it was sent is not known, and so it was not sent a second time.")
        }
        Told::Forgotten => format!("Whether “{mail}” was sent to you is not known."),
        Told::NotYet => format!("“{mail}” has not been sent to you yet."),
        Told::Never => format!("“{mail}” was not sent to you."),
    }
}

fn japanese(facts: &Facts<'_>, told: Told) -> String {
    let mail = facts.mail;
    let whole = format!("%Y年%-m月%-d日%H時%M分({})に", clocks_in_japanese(&facts.zone));
    let at = facts.sent.map_or(String::new(), |at| clocks(facts, at, &whole) + "、");
    let then = facts.ended.map_or(String::new(), |at| clocks(facts, at, if is_same_day(facts, at) { "%H時%M分に" } else { &whole }));
    let why = facts.cause.map_or(String::new(), |cause| format!("(理由: {cause})"));
    match told {
        Told::Several(times) => {
            format!("{at}「{mail}」をお送りしましたが、配信事業者が{times}通受け付けておりました。重複してお送りし、申し訳ございません。")
        }
        Told::Delivered => {
            format!("{at}「{mail}」をお送りし、お客様のメールサーバーが{then}受け取っています。迷惑メールフォルダーもご確認ください。")
        }
        Told::Complained => {
            format!("{at}「{mail}」をお送りし、お客様のメールサーバーが受け取りましたが、その後、{then}迷惑メールとして報告されています。")
        }
        Told::Bounced => format!("{at}「{mail}」をお送りしましたが、{then}お客様のメールサーバーに受け取りを拒否されました{why}。"),
        Told::Delayed => {
            format!(
                "{at}「{mail}」をお送りしましたが、お客様のメールサーバーがすぐには受け取らず{why}、その後届いたかは確認できていません。"
            )
        }
        Told::Suppressed => {
            format!("{at}「{mail}」をお送りする予定でしたが、以前このメールアドレスで不達があったため、配信事業者が送信しませんでした。")
        }
        Told::NotRendered => format!("{at}「{mail}」をお送りする予定でしたが、配信事業者が送信しませんでした。"),
        Told::Accepted => {
            format!("{at}「{mail}」をお送りし、配信事業者が受け付けました。お客様のメールサーバーに届いたかは確認できていません。")
        }
        Told::Refused => format!("{at}「{mail}」をお送りしようとしましたが、このメールアドレスへの送信を配信事業者に断られました。"),
        Told::Unknown => format!("{at}「{mail}」の送信を試みましたが、送信されたかどうかは分かっておらず、二通目はお送りしていません。"),
        Told::Forgotten => format!("「{mail}」をお送りしたかどうかは分かっておりません。"),
        Told::NotYet => format!("「{mail}」は、まだお送りしていません。"),
        Told::Never => format!("「{mail}」は、お送りしていません。"),
    }
}

/// What to call a mail of which no letter to them is known: its subject, of several that in the reader's language. What would
/// be theirs in it is left out.
pub(crate) fn name_of(language: Language, command: &BroadcastCommand) -> String {
    let fallback = match &command.content {
        Content::Variants(Variants { of, fallback: Some(fallback), .. }) => of.get(fallback),
        _ => None,
    };
    let words = command.content.words();
    let subjects: Vec<String> =
        fallback.into_iter().chain(words.iter().map(|(_, words)| *words)).map(|words| without_values(words.subject.pieces())).collect();
    // As far as letters tell it: Japanese is not written in ASCII.
    let is_theirs = |subject: &&String| subject.replace('…', "").is_ascii() == (language == Language::En);
    let subject = subjects.iter().find(is_theirs).or_else(|| subjects.first());
    subject.filter(|subject| subject.chars().any(char::is_alphabetic)).cloned().unwrap_or_else(|| command.broadcast_id.to_string())
}

fn without_values(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value { or, .. } => or.clone().unwrap_or_else(|| "…".to_owned()),
        Piece::If { otherwise, .. } => without_values(otherwise),
    };
    pieces.iter().map(piece).collect::<String>().trim().to_owned()
}

/// Of somebody who was skipped; `elsewhere`, since another row with the address is mailed.
pub(crate) fn of_skipped(language: Language, mail: &str, reason: SkipReason, elsewhere: bool) -> String {
    match (language, elsewhere) {
        (Language::En, true) => format!("“{mail}” was sent to your address once, under another account of yours."),
        (Language::Ja, true) => format!("「{mail}」は、同じメールアドレスの別のアカウントに対して一通だけお送りしています。"),
        (Language::En, false) => format!("“{mail}” was not sent to you: {}.", why(reason).0),
        (Language::Ja, false) => format!("「{mail}」は、{}、お送りしていません。", why(reason).1),
    }
}

/// Why somebody was skipped, as far as it is theirs to know.
fn why(reason: SkipReason) -> (&'static str, &'static str) {
    match reason {
        SkipReason::NoAddress => ("we had no address for you", "メールアドレスの登録がなかったため"),
        SkipReason::BadAddress | SkipReason::LegacyLocalPart | SkipReason::AddressNotAscii => {
            ("mail can't be sent to the address that we had for you", "登録されていたメールアドレスが送信できない形式のため")
        }
        SkipReason::Bounced => ("mail to your address had been refused before", "以前このメールアドレスで不達があったため"),
        SkipReason::Complained => {
            ("mail of ours to your address had been reported as spam", "以前のメールが迷惑メールとして報告されていたため")
        }
        SkipReason::Unsubscribed => ("you had unsubscribed", "配信停止のお申し出をいただいていたため"),
        SkipReason::NoConsent => ("you had not agreed to mail of this kind", "この種のメールの受信に同意をいただいていなかったため"),
        SkipReason::Suppressed => {
            ("your address is on our list of those that we do not mail", "送信を控えるメールアドレスとして登録されているため")
        }
        SkipReason::DuplicateAddress => {
            ("your address is mailed under another account", "同じメールアドレスの別のアカウントにお送りするため")
        }
        SkipReason::NoKey
        | SkipReason::BadKey
        | SkipReason::DuplicateKey
        | SkipReason::DataMissing
        | SkipReason::ControlCharacter
        | SkipReason::DataTooLarge
        | SkipReason::NotText
        | SkipReason::BrokenRow
        | SkipReason::NoUnsubscribeUrl
        | SkipReason::UnsafeLink
        | SkipReason::NoVariant => {
            ("what we had of your account was not complete enough to write it", "登録内容に不足や誤りがあり作成できなかったため")
        }
    }
}

/// Of somebody who was forgotten.
pub(crate) fn of_forgotten(language: Language, zone: &ZoneName, mail: &str, at: Timestamp) -> String {
    let at = zone.clocks(at);
    match language {
        Language::En => {
            format!("Your data was deleted on {}, and with it whether “{mail}” was sent to you.", at.strftime("%-d %B %Y"))
        }
        Language::Ja => {
            format!("お客様の情報は{}に消去しており、「{mail}」をお送りしたかどうかの記録も残っていません。", at.strftime("%Y年%-m月%-d日"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_called_by_its_subject_in_the_readers_language_without_what_is_somebody_elses() {
        let command = |content: serde_json::Value| -> BroadcastCommand {
            let command = serde_json::json!({
                "version": 2, "broadcast_id": "terms-2027-01", "audience": "users", "class": "legal_notice", "max_recipients": 10,
                "requested_by": "a test", "not_after": "2099-01-01T00:00:00Z", "from": "no-reply@example.com", "content": content,
            });
            BroadcastCommand::parse(&command.to_string()).unwrap()
        };
        let words = |subject: &str| serde_json::json!({ "subject": subject, "text": "Dear {{name}}" });
        let of = serde_json::json!({ "de": words("Neues"), "en": words("New terms for {{name}}"), "ja": words("利用規約の改定") });
        let several = command(serde_json::json!({ "variants": { "by": "locale", "of": of, "fallback": "en" } }));
        assert_eq!(name_of(Language::En, &several), "New terms for …");
        assert_eq!(name_of(Language::Ja, &several), "利用規約の改定");
        let one = command(serde_json::json!({ "inline": words("{{#if shop}}For {{shop}}{{else}}Terms{{/if}}") }));
        assert_eq!([Language::En, Language::Ja].map(|language| name_of(language, &one)), ["Terms", "Terms"]);
        let nothing = command(serde_json::json!({ "inline": words("{{name}}") }));
        assert_eq!(name_of(Language::En, &nothing), "terms-2027-01");
    }

    #[test]
    fn every_fate_has_its_own_sentence_in_both_languages() {
        let all = [
            Told::Several(2),
            Told::Delivered,
            Told::Complained,
            Told::Bounced,
            Told::Delayed,
            Told::Suppressed,
            Told::NotRendered,
            Told::Accepted,
            Told::Refused,
            Told::Unknown,
            Told::NotYet,
            Told::Never,
        ];
        let at = |text: &str| Some(text.parse().unwrap());
        let facts = |mail| Facts { mail, sent: at("2026-11-26T09:05:00Z"), ..Facts::default() };
        for write in [english, japanese] {
            let sentences: std::collections::BTreeSet<String> = all.iter().map(|told| write(&facts("Terms"), *told)).collect();
            assert_eq!(sentences.len(), all.len());
            assert!(sentences.iter().all(|sentence| sentence.contains("Terms")), "{sentences:?}");
        }
        assert_eq!(
            english(&facts("Terms"), Told::Delivered),
            "We sent you “Terms” on 26 November 2026 at 09:05 UTC, and your mail server took it; please look in the folder for spam, too."
        );
        assert!(japanese(&facts("規約"), Told::Accepted).starts_with("2026年11月26日09時05分(協定世界時)に、「規約」をお送りし"));
        // By the clocks of whoever reads it, also over midnight.
        let there = |sent, zone: &str| Facts { sent: at(sent), zone: ZoneName::try_from(zone.to_owned()).unwrap(), ..facts("規約") };
        let tokyo = there("2026-11-26T15:51:00Z", "Asia/Tokyo");
        assert!(japanese(&tokyo, Told::Accepted).starts_with("2026年11月27日00時51分(日本時間)に、「規約」をお送りし"));
        assert!(english(&tokyo, Told::Accepted).contains(" on 27 November 2026 at 00:51 JST,"));
        assert!(japanese(&there("2026-07-01T09:00:00Z", "Europe/Berlin"), Told::Accepted).starts_with("2026年7月1日11時00分(CEST)に、"));
        // When it ended, with the day where that is another, and why.
        let delivered = Facts { ended: at("2026-11-26T09:06:59Z"), ..facts("Terms") };
        assert!(english(&delivered, Told::Delivered).contains(", and your mail server took it at 09:06 UTC; please"));
        assert!(japanese(&delivered, Told::Delivered).contains("メールサーバーが09時06分に受け取っています。"));
        let bounced =
            |language| Facts { ended: at("2026-11-27T00:00:01Z"), cause: Some(Cause::NoMailbox.told(language)), ..facts("Terms") };
        assert!(
            english(&bounced(Language::En), Told::Bounced)
                .ends_with(", and your mail server refused it on 27 November 2026 at 00:00 UTC: there is no such mailbox.")
        );
        assert!(japanese(&bounced(Language::Ja), Told::Bounced).ends_with(
            "お送りしましたが、2026年11月27日00時00分(協定世界時)にお客様のメールサーバーに受け取りを拒否されました(理由: このメールアドレスは存在しません)。"
        ));
    }
}
