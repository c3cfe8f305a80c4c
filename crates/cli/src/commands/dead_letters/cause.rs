//! Why a dead letter lies where it lies, as far as that decides what is to be done with it. Whatever is said of a next step is said
//! here, and for each cause: moved back, most of what a service refused would only come here again.
//!
//! What this must never do: send anybody to a redrive that changes nothing, or to delete what is still to be sent or to be counted.

use issei_aws::REASON_PROOF;
use issei_feedback::{is_of_forgotten, of_another_registration};
use issei_ledger::{Broadcast, ReasonCode, Refused};
use issei_provider::{Event, UNSIGNED, UNSIGNED_BY_SNS, Unsigned, Webhook};
use issei_schema::{BroadcastCommand, ChunkMessage, ParseError};
use serde::Serialize;

use super::{MovedBy, events_in};
use crate::args::QueueName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cause {
    /// SQS has moved it, after too many receives.
    ReceivedTooOften,
    /// Nobody says why.
    NoReason,
    /// An event whose reason nobody of the pipeline is known to have written.
    NotProved,
    /// A newer build wrote it.
    NewerVersion,
    /// It is no message of this queue.
    Malformed,
    /// A command that was tried until it was given up.
    TriedInVain,
    /// A command of before the last restore.
    OlderThanRestore,
    /// A command that came while nothing new was taken.
    Closed,
    /// A command under another's id.
    OtherContent,
    /// A command whose words another broadcast has said.
    Repeated,
    /// A command whose time is over, or never comes.
    Time,
    /// A command that asks for what is not configured, or not so.
    RefusedAsConfigured,
    /// A chunk, or an event, of a broadcast that the ledger does not have.
    NoBroadcast,
    /// A chunk that is not the frozen one.
    NotFrozen,
    /// A call that another key may prove.
    UnsignedByOurKeys,
    /// A call that no key will ever prove.
    UnsignedForEver,
    /// SNS has not signed it.
    UnsignedBySns,
    /// An event about a letter that a restore has made the ledger forget.
    Forgotten,
    /// An event about a letter of another ledger.
    OfAnother,
    /// An event that names what its broadcast does not have, or is told by another than carries it.
    NotOfIts,
}

/// What is known of a letter.
pub(super) struct Letter<'a> {
    pub(super) queue: QueueName,
    pub(super) moved_by: MovedBy,
    pub(super) reason: Option<&'a str>,
    pub(super) body: &'a str,
    /// The broadcast of its id, and the last refusal of a command of that.
    pub(super) broadcast: Option<&'a Broadcast>,
    pub(super) refused: Option<&'a Refused>,
}

impl Letter<'_> {
    pub(super) fn cause(&self) -> Cause {
        match (self.moved_by, self.reason, self.queue) {
            (MovedBy::Sqs, _, _) => Cause::ReceivedTooOften,
            (MovedBy::Unknown, _, _) | (MovedBy::Issei | MovedBy::Unproved, None, _) => Cause::NoReason,
            // It stays where it is whoever wrote that, and is read before it is deleted.
            (_, Some(reason), QueueName::Feedback) if is_of_forgotten(reason) => Cause::Forgotten,
            (MovedBy::Unproved, Some(_), _) => Cause::NotProved,
            (MovedBy::Issei, Some(reason), QueueName::Commands) => self.of_command(reason),
            (MovedBy::Issei, Some(_), QueueName::Chunks) => self.of_chunk(),
            (MovedBy::Issei, Some(reason), QueueName::Feedback) => self.of_event(reason),
        }
    }

    fn of_command(&self, reason: &str) -> Cause {
        let command = match BroadcastCommand::parse(self.body) {
            Ok(command) => command,
            Err(error) => return of_unreadable(&error),
        };
        if reason.starts_with(issei_producer::TRIED) {
            return Cause::TriedInVain;
        }
        // Whatever it was refused for since, as older than the restore it is refused first.
        if self.broadcast.is_none() && self.refused.is_some_and(|refused| refused.speaks_against(&command)) {
            return Cause::OlderThanRestore;
        }
        // The ledger keeps the last refusal of an id alone, and may have cut it.
        let same = self.refused.filter(|refused| reason.starts_with(&refused.reason));
        same.and_then(|refused| refused.code).map_or(Cause::RefusedAsConfigured, of_code)
    }

    fn of_chunk(&self) -> Cause {
        match (ChunkMessage::parse(self.body), self.broadcast) {
            (Err(error), _) => of_unreadable(&error),
            (Ok(_), None) => Cause::NoBroadcast,
            (Ok(_), Some(_)) => Cause::NotFrozen,
        }
    }

    fn of_event(&self, reason: &str) -> Cause {
        let events = match Webhook::read(self.body) {
            Some(Err(_)) => return Cause::Malformed,
            Some(Ok(_)) if reason.starts_with(UNSIGNED) && Unsigned::is_mended_by_a_key(reason) => return Cause::UnsignedByOurKeys,
            Some(Ok(_)) if reason.starts_with(UNSIGNED) => return Cause::UnsignedForEver,
            None if reason.starts_with(UNSIGNED_BY_SNS) => return Cause::UnsignedBySns,
            Some(Ok(_)) | None => events_in(self.body),
        };
        let Some(broadcast) = self.broadcast else {
            return if events.is_empty() { Cause::Malformed } else { Cause::NoBroadcast };
        };
        let mark = broadcast.letter_mark();
        let is_of_another = |event: &Event| {
            event.broadcast == broadcast.broadcast_id
                && of_another_registration(&event.broadcast, mark.as_deref(), event.registration.as_deref()).is_some()
        };
        if events.iter().any(is_of_another) { Cause::OfAnother } else { Cause::NotOfIts }
    }
}

fn of_unreadable(error: &ParseError) -> Cause {
    match error {
        ParseError::UnknownVersion { .. } => Cause::NewerVersion,
        ParseError::TooLarge { .. } | ParseError::NotJson { .. } | ParseError::NoVersion { .. } | ParseError::Field { .. } => {
            Cause::Malformed
        }
    }
}

fn of_code(code: ReasonCode) -> Cause {
    match code {
        ReasonCode::RefusedRestored => Cause::OlderThanRestore,
        ReasonCode::RefusedClosed => Cause::Closed,
        ReasonCode::RefusedOtherContent => Cause::OtherContent,
        ReasonCode::RefusedRepeated => Cause::Repeated,
        ReasonCode::RefusedTime => Cause::Time,
        _ => Cause::RefusedAsConfigured,
    }
}

impl Cause {
    /// Whether a redrive is what puts it right, once its cause is gone.
    pub(super) fn is_redriven(self) -> bool {
        match self {
            Self::ReceivedTooOften
            | Self::NewerVersion
            | Self::TriedInVain
            | Self::Closed
            | Self::RefusedAsConfigured
            | Self::UnsignedByOurKeys
            | Self::UnsignedBySns => true,
            Self::NoReason
            | Self::NotProved
            | Self::Malformed
            | Self::OlderThanRestore
            | Self::OtherContent
            | Self::Repeated
            | Self::Time
            | Self::NoBroadcast
            | Self::NotFrozen
            | Self::UnsignedForEver
            | Self::Forgotten
            | Self::OfAnother
            | Self::NotOfIts => false,
        }
    }

    /// What is to be done with it. `is_over` says that nothing of its broadcast can be sent any more.
    pub(super) fn next(self, queue: QueueName, is_over: bool) -> String {
        let word = queue.word();
        let delete = format!("`issei dead-letters {word} --discard` with the message's id deletes it");
        match (self, queue) {
            (Self::ReceivedTooOften, QueueName::Feedback) => {
                "an event is never over: moved back, it counts, and whoever bounced or complained is not mailed any more; `issei redrive feedback` moves it back once the cause is gone, which the log of the feedback consumer tells, and twice is as once".to_owned()
            }
            (Self::ReceivedTooOften | Self::NoReason, QueueName::Chunks) | (Self::NotFrozen, _) if is_over => format!("its broadcast is over: it causes nothing any more; {delete}"),
            (Self::ReceivedTooOften, _) => format!("the log of the service that had it tells why; once that is gone `issei redrive {word}` moves it back, and it is harmless where its work is done"),
            (Self::NoReason, QueueName::Feedback) => format!("somebody has put it there, and events are believed: `issei redrive feedback` leaves it where it is. Where it is known from where it is, `--unknown-origin` moves it, too; else {delete}"),
            (Self::NoReason, _) => format!("ask who has put it there; `issei redrive {word}` moves it back, where it is judged like any other; else {delete}"),
            (Self::NotProved, _) => format!("`issei redrive feedback` leaves it where it is. Where a build that writes no `{REASON_PROOF}` has refused it, its cause is gone and it is surely the provider's, `--unknown-origin` moves it, too; else {delete}"),
            (Self::NewerVersion, _) => format!("upgrade whoever reads {word}, then `issei redrive {word}` moves it back"),
            (Self::Malformed, QueueName::Commands) => format!("moved back it would be refused again: correct what writes it, and send the command again; then {delete}"),
            (Self::Malformed, QueueName::Chunks) => format!("moved back it would be refused again, and nothing is lost by it: issei writes no such message. See who may write to the queue (`issei doctor`); {delete}"),
            (Self::Malformed, QueueName::Feedback) => format!("moved back it would be refused again: no event of the publisher or of a webhook reads so. See who else may write to the queue (`issei doctor`), or whether the mapping template of the API is that of infra/webhooks.yaml; {delete}"),
            (Self::TriedInVain, _) => "mend what its reason names, then `issei redrive commands` moves it back: it goes on from where it was".to_owned(),
            (Self::OlderThanRestore, _) => format!("moved back it would be refused again: it was sent before the ledger was restored, and may have been carried out then. Look into the provider's own records for its tags; where nothing of it was sent, send the command again with `\"again\": \"REASON\"` (`issei send --again REASON`); then {delete}"),
            (Self::Closed, _) => "`issei open`, then `issei redrive commands` moves it back, while its `not_after` is not over".to_owned(),
            (Self::OtherContent, _) => format!("moved back it would be refused again: its id is another command's for ever. Where it is wanted, send it with a broadcast_id of its own; then {delete}"),
            (Self::Repeated, _) => format!("moved back it would be refused again, as long as the broadcast that its reason names counts as having said the same. Where everybody is to get that once more, send the command again with `\"again\": \"REASON\"` (`issei send --again REASON`); then {delete}"),
            (Self::Time, _) => format!("moved back it would be refused again: its times stand in it. Where it is still wanted, send it with other times and a broadcast_id of its own; then {delete}"),
            (Self::RefusedAsConfigured, _) => format!("where what its reason names is to be mended in the configuration, mend it wherever a producer runs, then `issei redrive commands` moves it back; where it stands in the command, send that corrected, and {delete}"),
            (Self::NoBroadcast, QueueName::Feedback) => format!("moved back it would be refused again, while the ledger has no such broadcast: see whether this is the table that the broadcast was sent by (`--table`), or another ledger shares the account of the provider or its configuration set; where nobody needs it, {delete}"),
            (Self::NoBroadcast, _) => format!("moved back it would be refused again, while the ledger has no such broadcast, and nobody of it is sent to by it: see whether this is the table that goes with these queues (`--table`); where nobody needs it, {delete}"),
            (Self::NotFrozen, _) => format!("moved back it would be refused again. `issei repair` with the broadcast's id enqueues what is missing of it as it was frozen; once the broadcast is over {delete}"),
            (Self::UnsignedByOurKeys, _) => "it names a letter of this ledger, and no key that is configured has signed it: most likely it is the provider's, and `webhook_keys` is wrong; once that is mended wherever a feedback consumer runs, `issei redrive feedback` moves it back and it counts. Deleted, what it tells is lost, and a certificate says no more than that it was kept".to_owned(),
            (Self::UnsignedForEver, _) => format!("it names a letter of this ledger, and moved back it would be refused again whatever `webhook_keys` says: it bears no signature that could be believed, or came too late or too early for it. Turn on signatures at the provider, and see that calls come at once and the clocks are right; what it tells `issei import-events` brings from the provider's own export; then {delete}"),
            (Self::UnsignedBySns, _) => format!("it says to be from SNS, which has not signed it: see who may write to the queue (`issei doctor`), and what `sns_signatures` and `sns_topic` ask for. Where these were wrong, mend them, and `issei redrive feedback` moves it back; else {delete}"),
            (Self::Forgotten, _) => format!("moved back it would be refused again, and `issei redrive` leaves it here: a restore has made the ledger forget the registration that its letter was sent for. It says who was mailed then, so keep it until that is settled; then {delete}"),
            (Self::OfAnother, _) => format!("moved back it would be refused again: its letter is another ledger's that shares the account of the provider, or of before a restore, and then it says who was mailed. Where that is settled, {delete}"),
            (Self::NotOfIts, _) => format!("moved back it would be refused again, unless what its reason names is mended: who carries the broadcast and who tells of it go by one name in [providers]. Where nobody of issei has sent such a letter, somebody has made it up: see who may write to the queue (`issei doctor`), and {delete}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Cause; 20] = [
        Cause::ReceivedTooOften,
        Cause::NoReason,
        Cause::NotProved,
        Cause::NewerVersion,
        Cause::Malformed,
        Cause::TriedInVain,
        Cause::OlderThanRestore,
        Cause::Closed,
        Cause::OtherContent,
        Cause::Repeated,
        Cause::Time,
        Cause::RefusedAsConfigured,
        Cause::NoBroadcast,
        Cause::NotFrozen,
        Cause::UnsignedByOurKeys,
        Cause::UnsignedForEver,
        Cause::UnsignedBySns,
        Cause::Forgotten,
        Cause::OfAnother,
        Cause::NotOfIts,
    ];

    fn letter<'a>(queue: QueueName, reason: &'a str, body: &'a str, refused: Option<&'a Refused>) -> Letter<'a> {
        Letter { queue, moved_by: MovedBy::Issei, reason: Some(reason), body, broadcast: None, refused }
    }

    /// Nobody is sent to what changes nothing.
    #[test]
    fn a_redrive_is_named_where_it_puts_right_and_what_would_come_again_is_said_to() {
        for (cause, queue) in
            ALL.into_iter().flat_map(|cause| [QueueName::Commands, QueueName::Chunks, QueueName::Feedback].map(|queue| (cause, queue)))
        {
            let next = cause.next(queue, false);
            let word = queue.word();
            let moves = [word, "commands"].iter().any(|word| next.contains(&format!("`issei redrive {word}` moves it back")));
            let comes_again = next.contains("moved back it would be refused again");
            assert!(!(moves && comes_again), "{cause:?}: {next}");
            if cause.is_redriven() {
                assert!(next.contains("`issei redrive "), "{cause:?}: {next}");
            } else {
                assert!(comes_again || matches!(cause, Cause::NoReason | Cause::NotProved), "{cause:?}: {next}");
            }
            assert_eq!(
                next.contains("`webhook_keys`"),
                matches!(cause, Cause::UnsignedByOurKeys | Cause::UnsignedForEver),
                "{cause:?}: {next}"
            );
        }
    }

    #[test]
    fn a_cause_is_told_by_what_the_letter_is_and_by_what_the_ledger_has_noted() {
        let command = include_str!("../../../../schema/json/broadcast-command.v1.example.json");
        let refused = |code, reason: &str| Refused {
            broadcast_id: "terms".parse().unwrap(),
            refused_at: jiff::Timestamp::UNIX_EPOCH,
            refused_by: String::new(),
            reason: reason.to_owned(),
            code: Some(code),
            older_than_restore: code == ReasonCode::RefusedRestored,
            older_agains: Vec::new(),
        };
        for (code, cause) in [
            (ReasonCode::RefusedRestored, Cause::OlderThanRestore),
            (ReasonCode::RefusedClosed, Cause::Closed),
            (ReasonCode::RefusedOtherContent, Cause::OtherContent),
            (ReasonCode::RefusedRepeated, Cause::Repeated),
            (ReasonCode::RefusedTime, Cause::Time),
            (ReasonCode::RefusedAudience, Cause::RefusedAsConfigured),
            (ReasonCode::RefusedCommand, Cause::RefusedAsConfigured),
        ] {
            let noted = refused(code, "so it is");
            assert_eq!(letter(QueueName::Commands, "so it is, and more", command, Some(&noted)).cause(), cause, "{code}");
        }
        // The last refusal of the id is another's, but for one that stays.
        let noted = refused(ReasonCode::RefusedClosed, "closed");
        assert_eq!(letter(QueueName::Commands, "so it is", command, Some(&noted)).cause(), Cause::RefusedAsConfigured);
        let noted = Refused { older_than_restore: true, ..noted };
        assert_eq!(letter(QueueName::Commands, "closed", command, Some(&noted)).cause(), Cause::OlderThanRestore);
        let tried = "tried 10 times, the last time in vain because of this: no table";
        for (queue, reason, body, cause) in [
            (QueueName::Commands, tried, command, Cause::TriedInVain),
            (QueueName::Commands, "so it is", "{}", Cause::Malformed),
            (QueueName::Commands, "so it is", r#"{"version":99}"#, Cause::NewerVersion),
            (QueueName::Chunks, "so it is", "{}", Cause::Malformed),
            (QueueName::Chunks, "so it is", r#"{"version":99}"#, Cause::NewerVersion),
            (QueueName::Chunks, "so it is", include_str!("../../../../schema/json/chunk-message.v1.example.json"), Cause::NoBroadcast),
            (QueueName::Feedback, "so it is", "ann@example.com is no event", Cause::Malformed),
            (QueueName::Feedback, "so it is", "webhook~resend", Cause::Malformed),
            (QueueName::Feedback, "SNS has not signed this notification: its topic is another", "{}", Cause::UnsignedBySns),
            (
                QueueName::Feedback,
                "the webhook is not its provider's: no key of `resend` is configured here",
                "webhook~resend~~~~",
                Cause::UnsignedByOurKeys,
            ),
            (
                QueueName::Feedback,
                "the webhook is not its provider's: its signature is old: it was signed 400 seconds before it came",
                "webhook~resend~~~~",
                Cause::UnsignedForEver,
            ),
        ] {
            assert_eq!(letter(queue, reason, body, None).cause(), cause, "{reason}: {body}");
        }
        let moved = |moved_by, reason| Letter { moved_by, reason, ..letter(QueueName::Feedback, "", "{}", None) };
        assert_eq!(moved(MovedBy::Sqs, Some("so it is")).cause(), Cause::ReceivedTooOften);
        assert_eq!(moved(MovedBy::Unknown, None).cause(), Cause::NoReason);
        assert_eq!(moved(MovedBy::Unproved, Some("so it is")).cause(), Cause::NotProved);
        let forgotten = "its letter was sent by this ledger, or by the one that it was restored from, for a registration of `terms` that it does not know";
        assert_eq!(moved(MovedBy::Unproved, Some(forgotten)).cause(), Cause::Forgotten);
    }
}
