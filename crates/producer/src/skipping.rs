//! What a frozen audience comes to that is skipped in large part. Nobody to mail is the end of a broadcast,
//! and never its completion; too many skipped are a person's to judge, before anybody is sent to.

use std::cmp::Reverse;

use issei_ledger::{Broadcast, LedgerError};

use crate::service::Producer;

/// Of fewer rows a share says little.
const ROWS_MIN: u64 = 20;

/// Why a frozen audience is not sent to at once.
pub(crate) enum Objection {
    Nobody(String),
    TooManySkipped(String),
}

/// Whether enough of an audience can be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailable {
    Enough,
    Nobody,
    /// A larger share is skipped than may be: the broadcast holds before its first send.
    TooFew,
}

impl Mailable {
    /// Of so many rows, `skipped_share_max` being the share of them that may be skipped.
    pub(crate) fn of(recipients: u64, skipped: u64, skipped_share_max: f64) -> Self {
        let rows = recipients + skipped;
        match recipients {
            0 => Self::Nobody,
            _ if rows >= ROWS_MIN && number(skipped) > number(rows) * skipped_share_max => Self::TooFew,
            _ => Self::Enough,
        }
    }
}

impl Producer {
    /// What speaks against sending to the audience as it was frozen. Reads its pages only where there is something.
    pub(crate) async fn objection(&self, broadcast: &Broadcast) -> Result<Option<Objection>, LedgerError> {
        let Broadcast { audience, recipients, skipped, .. } = broadcast;
        let rows = broadcast.audience_size();
        let most = self.options.skipped_share_max;
        let mailable = Mailable::of(*recipients, *skipped, most);
        if mailable == Mailable::Enough {
            return Ok(None);
        }
        let id = &broadcast.broadcast_id;
        if rows == 0 {
            return Ok(Some(Objection::Nobody(format!(
                "the audience `{audience}` has no rows; nothing was sent; correct the audience, and send it in a new command, with a new broadcast_id"
            ))));
        }
        let mut counts: Vec<_> = self.ledger.skipped_by_reason(broadcast).await?.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        let commonest = counts.first().map(|(reason, _)| reason.to_string()).unwrap_or_default();
        let counts = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ");
        let why = format!("most often {commonest} ({counts}); nothing was sent; `issei export {id} --outcome skipped` lists them");
        Ok(Some(if mailable == Mailable::Nobody {
            Objection::Nobody(format!(
                "all {rows} rows of the audience `{audience}` were skipped, {why}; correct the rows or the audience, and send it in a new command, with a new broadcast_id"
            ))
        } else {
            let (share, most) = (number(*skipped) / number(rows) * 100.0, most * 100.0);
            Objection::TooManySkipped(format!(
                "{skipped} of {rows} rows of the audience `{audience}` were skipped, {share:.1} % where skipped_share_max is {most:.1} %, {why}; `issei approve {id}` sends to the other {recipients}"
            ))
        }))
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn number(rows: u64) -> f64 {
    rows as f64
}
