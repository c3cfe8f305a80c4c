//! `BroadcastCommand`: the one message that the app drops on the commands queue.

use std::fmt;
use std::num::NonZeroU64;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits::COMMAND_BYTES_MAX;
use crate::named_once::named_once;
use crate::version::parse_up_to;
use crate::{
    Actor, AudienceName, BroadcastId, Canary, Class, CommandVersion, Content, Mailbox, ParseError, ProviderName, Ramp, Reason, Schedule,
    SendWindow, TestCopy, Unsubscribe, carries_only_text,
};

/// Asks for one broadcast. Sending it twice asks for the same broadcast twice, which is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BroadcastCommand {
    pub version: CommandVersion,
    /// Chosen by the app. The same id with the same command is the same broadcast; the same id
    /// with anything else changed is refused.
    pub broadcast_id: BroadcastId,
    pub audience: AudienceName,
    /// What the broadcast is to those who get it; `marketing` needs `unsubscribe`, and an audience that says who wants it.
    /// Needed in version 2, where it is new; a command of version 1 is read as `service`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    pub content: Content,
    /// Who carries the broadcast, from its first mail to its last: a provider that the configuration names, or `ses`, which
    /// is meant where nothing is said. New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    pub from: Mailbox,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Mailbox>,
    /// How a recipient unsubscribes with one click: each mail carries `List-Unsubscribe` and `List-Unsubscribe-Post`, and
    /// `{{unsubscribe_url}}` in the content is the same URL. New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Unsubscribe>,
    /// A copy of the letter instead of a broadcast to the audience: one mail, marked as one. New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_copy: Option<TestCopy>,
    /// The budget: an audience with more mailable recipients is refused before the first send.
    pub max_recipients: NonZeroU64,
    /// The command is refused, and no further send begins, after this moment. At most 72 hours ahead, or 14 days where
    /// `not_before` or `send_window` is given.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_after: Timestamp,
    /// Nothing is sent before this moment. The audience is frozen at once. New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub not_before: Option<Timestamp>,
    /// Sends within these hours alone, and waits outside of them. New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_window: Option<SendWindow>,
    /// The day from which what is announced binds, and before which everybody is to be told. Nothing is sent or kept back by
    /// it: what can't be done before is told beforehand and while it runs, and afterwards who was told in time. New in
    /// version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub effective_at: Option<Timestamp>,
    /// Sends to so many in the first hour, and to twice as many in each further one, until the account's rate is reached.
    /// New in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<Ramp>,
    /// Sends to some recipients first, then holds: to this many, or from version 2 on to a share of the audience or to
    /// those who have certain keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Who lets the broadcast go on after its canary.
    #[serde(default, skip_serializing_if = "CanaryApproval::is_default")]
    pub canary_approval: CanaryApproval,
    #[serde(default)]
    pub in_doubt: InDoubtPolicy,
    /// Once the audience is read, judged and frozen, holds before the first send until an operator approves. For
    /// whoever can't read the audience from where they ask.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hold: bool,
    /// Why the same content, or the same subject, goes to this audience once more. Without it, what another
    /// broadcast has said to the audience within 30 days is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Reason>,
    pub requested_by: Actor,
}

/// Left out of a body, so that a command from before the field keeps its hash.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(given: &bool) -> bool {
    !given
}

/// Who lets a broadcast go on after its canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CanaryApproval {
    /// An operator, with `issei approve`.
    #[default]
    Operator,
    /// The evidence, after a wait: events of every accepted canary recipient, nobody in doubt, and bounces
    /// and complaints within the limits. Where it is not good enough, an operator still decides.
    Evidence,
}

impl CanaryApproval {
    /// Left out of a body, so that a command from before this field keeps its hash.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a recipient of whom nobody knows whether the provider accepted the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InDoubtPolicy {
    /// Listed, and never sent again.
    #[default]
    Hold,
    /// Sent again only where the provider's events prove that the first was not accepted.
    EvidenceRetry,
    /// Sent again after the wait. For safety notices, where twice is better than never.
    AtLeastOnce,
}

/// The digest of a whole command: what "the same command" means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandHash(String);

impl CommandHash {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BroadcastCommand {
    /// Reads a message body. Hostile until this returns.
    ///
    /// # Errors
    /// Names the field, what is wrong with it and what to do.
    pub fn parse(body: &str) -> Result<Self, ParseError> {
        let command = Self::stored(body)?;
        if command.class() == Class::Marketing && command.unsubscribe.is_none() {
            let reason = "is `marketing`, and whoever gets it must be able to unsubscribe with one click; add `unsubscribe`";
            return Err(ParseError::field("class", reason));
        }
        // What has begun with it goes on, by what was kept of it.
        named_once(body)?;
        command.content.judge()?;
        command.unsubscribe.as_ref().map_or(Ok(()), Unsubscribe::judge)?;
        command.from.check().map_err(|reason| ParseError::field("from", reason))?;
        command.reply_to.as_ref().map_or(Ok(()), Mailbox::check).map_err(|reason| ParseError::field("reply_to", reason))?;
        Ok(command)
    }

    /// Reads a body that an issei has judged and kept, perhaps an older one, which had fewer rules: what it
    /// has begun with is not refused any more.
    ///
    /// # Errors
    /// Names the field, what is wrong with it and what to do.
    pub fn stored(body: &str) -> Result<Self, ParseError> {
        let command: Self = parse_up_to(CommandVersion::NEWEST.into(), body, COMMAND_BYTES_MAX, |command: &Self| command.version.into())?;
        match (command.version, command.class) {
            (CommandVersion::V1, Some(_)) => return Err(ParseError::field("class", "is not of version 1; write version 2 with it")),
            (CommandVersion::V2, None) => {
                return Err(ParseError::field("class", "is missing; say what the broadcast is: `legal_notice`, `service` or `marketing`"));
            }
            (CommandVersion::V1, None) | (CommandVersion::V2, Some(_)) => {}
        }
        let new = [
            ("provider", command.provider.is_some()),
            ("unsubscribe", command.unsubscribe.is_some()),
            ("test_copy", command.test_copy.is_some()),
            ("not_before", command.not_before.is_some()),
            ("send_window", command.send_window.is_some()),
            ("effective_at", command.effective_at.is_some()),
            ("ramp", command.ramp.is_some()),
        ];
        if let Some((field, _)) = new.into_iter().find(|(_, is_given)| *is_given && command.version == CommandVersion::V1) {
            return Err(ParseError::field(field, "is not of version 1; write version 2 with it"));
        }
        if let Some(copy) = &command.test_copy {
            if command.max_recipients.get() != 1 || command.canary.is_some() || command.hold {
                return Err(ParseError::field("test_copy", "is one mail: give max_recipients 1, and neither `canary` nor `hold`"));
            }
            if command.schedule().is_given() {
                return Err(ParseError::field("test_copy", "is sent at once; take `not_before` and `send_window` out"));
            }
            if !copy.data.values().all(|value| carries_only_text(value)) {
                return Err(ParseError::field("test_copy.data", "holds a control character; take it out"));
            }
        }
        if let Some((field, reason)) = command.content.newer_than_version_1().filter(|_| command.version == CommandVersion::V1) {
            return Err(ParseError::field(&field, reason));
        }
        command.content.check()?;
        if let Some(not_before) = command.not_before.filter(|not_before| *not_before >= command.not_after) {
            let why = format!(
                "is {not_before}, not before not_after ({}), so nothing could ever be sent; set a later not_after",
                command.not_after
            );
            return Err(ParseError::field("not_before", why));
        }
        if let Some((not_before, effective_at)) = command.not_before.zip(command.effective_at).filter(|(first, binds)| first >= binds) {
            let why = format!("is {effective_at}, not after not_before ({not_before}), so nobody could be told before it; send earlier");
            return Err(ParseError::field("effective_at", why));
        }
        if let Some(window) = &command.send_window {
            window.check().map_err(|(field, why)| ParseError::field(field, why))?;
        }
        if command.canary.is_none() && command.canary_approval != CanaryApproval::default() {
            return Err(ParseError::field("canary_approval", "is given without a canary; add `canary` or take it out"));
        }
        let is_new = command.canary.as_ref().is_some_and(|canary| canary.choice().is_some());
        if command.version == CommandVersion::V1 && is_new {
            return Err(ParseError::field("canary", "is a number of recipients in version 1; write version 2 for a share or for keys"));
        }
        if let Some(least) = command.canary.as_ref().map(Canary::least).filter(|least| *least > command.max_recipients.get()) {
            return Err(ParseError::field(
                "canary",
                format!("is {least}, more than max_recipients ({}); lower it", command.max_recipients),
            ));
        }
        Ok(command)
    }

    /// With the quotes around senders' names that an older build left out where it wrote the command down, for whoever makes
    /// another of it. Its hash is the same.
    #[must_use]
    pub fn in_quotes(self) -> Self {
        Self { from: self.from.in_quotes(), reply_to: self.reply_to.map(Mailbox::in_quotes), ..self }
    }

    /// When it may be sent.
    #[must_use]
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { not_before: self.not_before, window: self.send_window.as_ref(), not_after: self.not_after }
    }

    /// What the broadcast is; a command that does not say is about the service.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class.unwrap_or(Class::Service)
    }

    /// Who carries it; a command that does not say means SES.
    #[must_use]
    pub fn provider(&self) -> ProviderName {
        self.provider.clone().unwrap_or_default()
    }

    /// Who carries it, where that is not SES.
    #[must_use]
    pub fn other_provider(&self) -> Option<&ProviderName> {
        self.provider.as_ref().filter(|name| **name != ProviderName::default())
    }

    /// The message body. The same command gives the same bytes.
    #[must_use]
    pub fn to_body(&self) -> String {
        // Only maps with keys that are no strings can fail here, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The digest over everything that the command says, however its JSON was laid out.
    #[must_use]
    pub fn hash(&self) -> CommandHash {
        let (from, reply_to) = (self.from.as_hashed(), self.reply_to.as_ref().and_then(Mailbox::as_hashed));
        let body = if from.is_some() || reply_to.is_some() {
            let (from, reply_to) = (from.unwrap_or_else(|| self.from.clone()), reply_to.or_else(|| self.reply_to.clone()));
            Self { from, reply_to, ..self.clone() }.to_body()
        } else {
            self.to_body()
        };
        CommandHash(hex::encode(Sha256::digest(body)))
    }
}
