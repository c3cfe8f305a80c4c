//! Which broadcast is for those whom another has missed: one, so that nobody is among the missed of two. Its command says so in
//! its `again`, and is registered only as it is noted, and only where nothing was said to them since it was looked who they are.
//!
//! What it must never do: let two be registered that may both send to the same people.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use issei_aws::AwsCall;
use issei_schema::{AudienceName, BroadcastCommand, BroadcastId, Content, Reason};

use crate::item::{Key, s};
use crate::said::Looked;
use crate::{Broadcast, Ledger, LedgerError};

/// Why a broadcast says what was said: it is for whom another has missed, whose id stands in the middle, as it was looked then.
const FOR: [&str; 3] = ["for those whom ", " has missed", " (look "];

/// So many broadcasts are followed from one to that for whose missed it was made.
const LINE_MAX: usize = 1_000;

/// For whose missed a command is, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedBy {
    pub of: BroadcastId,
    /// By what look it was made; an older build does not say.
    pub(crate) look: Option<String>,
}

/// What a command says that is for whom this one has missed.
pub fn reason_for(id: &BroadcastId, looked: &Looked) -> Result<Reason, String> {
    let [before, behind, look] = FOR;
    Reason::try_from(format!("{before}{id}{behind}{look}{})", looked.token()))
}

/// For whose missed this command is, if it says so.
#[must_use]
pub fn missed_by(command: &BroadcastCommand) -> Option<MissedBy> {
    let [before, behind, look] = FOR;
    let (id, rest) = command.again.as_ref()?.as_str().strip_prefix(before)?.split_once(behind)?;
    let look = match rest {
        "" => None,
        rest => Some(rest.strip_prefix(look)?.strip_suffix(')')?.to_owned()),
    };
    Some(MissedBy { of: id.parse().ok()?, look })
}

/// The first of a line of broadcasts each of which was made for whom the one before had missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstOfLine {
    pub broadcast_id: BroadcastId,
    /// To which all of the line speak, under audiences of their own.
    pub audience: AudienceName,
    /// What it says, which whoever resends may mend.
    pub content: Content,
}

/// What came of noting a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    Noted,
    /// Somebody else has noted another.
    Another(Option<BroadcastId>),
    /// Something was said to the same people since it was looked who they are.
    SaidSince,
}

impl Ledger {
    /// The broadcasts before a command in its line, from that for whose missed it is back to the first.
    pub async fn line_before(&self, command: &BroadcastCommand) -> Result<Vec<Broadcast>, LedgerError> {
        let (mut line, mut of): (Vec<Broadcast>, _) = (Vec::new(), missed_by(command));
        while let Some(MissedBy { of: id, .. }) = of.take() {
            // Somebody may have written two that name one another.
            if line.len() == LINE_MAX || line.iter().any(|known| known.broadcast_id == id) {
                break;
            }
            let Some(broadcast) = self.find_broadcast(&id).await? else { break };
            of = missed_by(&self.command(&id).await?);
            line.push(broadcast);
        }
        Ok(line)
    }

    /// The first of a command's line: its own broadcast, unless it is for whom another has missed.
    pub async fn first_of_line(&self, command: &BroadcastCommand) -> Result<FirstOfLine, LedgerError> {
        let BroadcastCommand { broadcast_id, audience, content, .. } = match self.line_before(command).await?.pop() {
            Some(first) => self.command(&first.broadcast_id).await?,
            None => command.clone(),
        };
        Ok(FirstOfLine { broadcast_id, audience, content })
    }

    /// The broadcast that is noted for those whom this one has missed, unless that is `new`, or over: then its own outcomes say whom
    /// it has mailed.
    pub async fn resent_by_another(&self, broadcast: &Broadcast, new: &BroadcastId) -> Result<Option<BroadcastId>, LedgerError> {
        let Some(noted) = broadcast.resent_as.as_ref().filter(|noted| *noted != new) else { return Ok(None) };
        let is_over = self.find_broadcast(noted).await?.is_some_and(|noted| noted.broadcast_state.is_over());
        Ok((!is_over).then(|| noted.clone()))
    }

    /// Notes that `new` is for those whom this broadcast has missed, where no other is noted but the one that was seen, and nothing
    /// was said since it was `looked` who they are.
    pub async fn note_resend(&self, broadcast: &Broadcast, new: &BroadcastId, looked: &Looked) -> Result<Noted, LedgerError> {
        let (of, token) = (broadcast.registration(), looked.token());
        let seen = if broadcast.resent_as.is_some() { "resent_as = :seen" } else { "attribute_not_exists(resent_as)" };
        let mut request = self
            .db
            .update_item()
            .table_name(&self.table)
            .set_key(Some(Key::broadcast(&of.id).into_item()))
            .update_expression("SET resent_as = :new, resent_look = :token, resent_looked_at = :at")
            .condition_expression(of.condition(&format!("({seen} OR resent_as = :new)")))
            .expression_attribute_values(":new", s(new.as_str()))
            .expression_attribute_values(":token", s(token))
            .expression_attribute_values(":at", s(looked.at().to_string()));
        if let Some(seen) = &broadcast.resent_as {
            request = request.expression_attribute_values(":seen", s(seen.as_str()));
        }
        for (name, value) in of.values() {
            request = request.expression_attribute_values(name, value);
        }
        match request.call().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
                return Ok(Noted::Another(self.broadcast(&of.id).await?.resent_as));
            }
            Err(error) => return Err(LedgerError::call("UpdateItem")(error)),
        }
        // Noted first: a registration under way, which now reads once more, reads that as well.
        Ok(if self.leave_token(looked).await? { Noted::Noted } else { Noted::SaidSince })
    }
}
