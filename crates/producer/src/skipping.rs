//! What a frozen audience comes to that is skipped in large part. Nobody to mail is the end of a broadcast,
//! and never its completion; too many skipped are a person's to judge, before anybody is sent to.

use std::cmp::Reverse;

use issei_ledger::{Broadcast, LedgerError, ReasonCode, SkipReason, SkippedRows};
use issei_schema::CanaryApproval;

use crate::chosen::ChosenCanary;
use crate::service::Producer;

/// Of fewer rows the first that is skipped is a large share already, and says little.
const ROWS_MIN: u64 = 20;

/// Why a frozen audience is not sent to at once.
pub(crate) enum Objection {
    Nobody(String),
    /// Too many are skipped, its canary chooses nobody or is everybody, others must agree, or the command wants it so: it holds before its
    /// first send.
    Holds(ReasonCode, String),
}

/// Whether enough of an audience can be mailed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailable {
    Enough,
    Nobody,
    /// A larger share is skipped than may be: the broadcast holds before its first send.
    TooFew,
}

/// The rows of an audience, as far as they tell whether too many are skipped: those whose address another row is mailed at are
/// skipped because its configuration wants that (`unique_by`), and are as if they were none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    recipients: u64,
    skipped: u64,
    /// Those that do not count.
    wanted: u64,
}

impl Counted {
    /// `skipped` are all that are skipped, and `wanted` those among them who are mailed by another row.
    pub(crate) fn of(recipients: u64, skipped: u64, wanted: u64) -> Self {
        Self { recipients, skipped: skipped.saturating_sub(wanted), wanted }
    }

    /// Whether enough of them can be mailed, `skipped_share_max` being the share that may be skipped.
    pub(crate) fn mailable(self, skipped_share_max: f64) -> Mailable {
        let Self { recipients, skipped, .. } = self;
        let rows = recipients + skipped;
        let is_judged = rows >= ROWS_MIN || skipped > 1;
        match recipients {
            0 => Mailable::Nobody,
            _ if is_judged && number(skipped) > number(rows) * skipped_share_max => Mailable::TooFew,
            _ => Mailable::Enough,
        }
    }

    /// How large a share of them is skipped, where it is larger than it may be; `which` says whose rows they are, and `verb` when.
    #[must_use]
    pub fn share(self, which: &str, verb: &str, skipped_share_max: f64) -> String {
        let Self { recipients, skipped, wanted } = self;
        let rows = recipients + skipped;
        let (share, most) = (number(skipped) / number(rows) * 100.0, skipped_share_max * 100.0);
        let told = format!("{skipped} of {rows} rows{which} {verb} skipped, {share:.1} % where skipped_share_max is {most:.1} %");
        if wanted == 0 { told } else { format!("{told} (beside {wanted} that do not count, since another row with the address is mailed)") }
    }
}

/// Why an audience has no rows, and what to do: there are none, or all are of those who want no marketing.
#[must_use]
pub fn no_rows(audience: &str, left_out: Option<u64>) -> (String, &'static str) {
    match left_out.filter(|left_out| *left_out > 0) {
        None => (format!("the audience `{audience}` has no rows"), "correct the audience"),
        Some(left_out) => (
            format!("all {left_out} rows of the audience `{audience}` are left out, since they are of those who want no marketing"),
            "correct its `marketing_filter` or `consent_column`, or wait until somebody wants it",
        ),
    }
}

/// What is said of a canary that is all of so many recipients.
#[must_use]
pub fn canary_of_all(recipients: u64) -> String {
    format!("the canary is everybody who can be mailed ({recipients}), so nobody would be left to hold back")
}

impl Producer {
    /// What speaks against sending to the audience as it was frozen. Reads its pages only where there is something.
    pub(crate) async fn objection(
        &self,
        broadcast: &Broadcast,
        is_asked_to_hold: bool,
        chosen: Option<&ChosenCanary>,
        left_out: Option<u64>,
    ) -> Result<Option<Objection>, LedgerError> {
        let Broadcast { audience, recipients, skipped, .. } = broadcast;
        let awaited = broadcast.awaited().filter(|_| !broadcast.is_below_agreement());
        let is_to_hold = is_asked_to_hold || awaited.is_some();
        // First, since whoever can't agree need not read on.
        let agreement = awaited.map_or_else(String::new, |awaited| format!("{awaited}; "));
        let rows = broadcast.audience_size();
        let most = self.options.skipped_share_max;
        let wanted = broadcast.skipped_by.get(&SkipReason::DuplicateAddress.to_string()).copied().unwrap_or_default();
        let counted = Counted::of(*recipients, *skipped, wanted);
        let mailable = counted.mailable(most);
        let id = &broadcast.broadcast_id;
        // Without its canary it would go to everybody at once, which is what the canary was to prevent.
        let lacks_canary = chosen.filter(|chosen| chosen.recipients == 0).and_then(ChosenCanary::told);
        if mailable == Mailable::Enough && !is_to_hold {
            if let Some(told) = lacks_canary {
                let reason = format!(
                    "{told}, so there is no canary; nothing was sent; `issei approve {id} --reason \"…\"` sends to all {recipients} at once; or stop it, and send it with another canary in a new command, with a new broadcast_id"
                );
                return Ok(Some(Objection::Holds(ReasonCode::HoldingNoCanary, reason)));
            }
            // Where a person is to be asked, the last moment for that is before the canary. Whoever has the evidence decide asks
            // nobody, and has said who is mailed before it does.
            if broadcast.canary_is_everybody() && broadcast.canary_approval == CanaryApproval::Operator {
                let reason = format!(
                    "{}; nothing was sent; `issei approve {id} --reason \"…\"` sends to all of them at once; or stop it, and send it with a smaller canary in a new command, with a new broadcast_id",
                    canary_of_all(*recipients)
                );
                return Ok(Some(Objection::Holds(ReasonCode::HoldingCanaryIsAll, reason)));
            }
            return Ok(None);
        }
        if rows == 0 {
            let (why, mend) = no_rows(audience.as_str(), left_out);
            return Ok(Some(Objection::Nobody(format!(
                "{why}; nothing was sent; {mend}, and send it in a new command, with a new broadcast_id"
            ))));
        }
        let mut counts: Vec<_> = self.ledger.skipped_by_reason(broadcast).await?.into_iter().collect();
        counts.sort_by_key(|(_, skipped)| Reverse(skipped.rows));
        let approving = approving(broadcast, awaited.is_some());
        if mailable == Mailable::Enough {
            let why = if is_asked_to_hold { "the command is to hold: " } else { "" };
            let code = if awaited.is_some() { ReasonCode::HoldingAgreement } else { ReasonCode::HoldingAsked };
            return Ok(Some(Objection::Holds(
                code,
                agreement + why + &as_asked(broadcast, &counts, &approving) + &canary(broadcast, chosen),
            )));
        }
        let commonest = counts
            .iter()
            .find(|(reason, _)| *reason != SkipReason::DuplicateAddress)
            .or(counts.first())
            .map(|(reason, _)| reason.to_string())
            .unwrap_or_default();
        let counts = counts.iter().map(|(reason, skipped)| format!("{} {reason}", skipped.rows)).collect::<Vec<_>>().join(", ");
        let why = format!("most often {commonest} ({counts}); nothing was sent; `issei export {id} --outcome skipped` lists them");
        Ok(Some(if mailable == Mailable::Nobody {
            Objection::Nobody(format!(
                "all {rows} rows of the audience `{audience}` were skipped, {why}; correct the rows or the audience, and send it in a new command, with a new broadcast_id"
            ))
        } else {
            let asked = if is_asked_to_hold { "the command is to hold; " } else { "" };
            let share = counted.share(&format!(" of the audience `{audience}`"), "were", most);
            let reason =
                format!("{agreement}{asked}{share}, {why}; {approving} sends to the other {recipients}{}", canary(broadcast, chosen));
            Objection::Holds(ReasonCode::HoldingSkipped, reason)
        }))
    }
}

/// What lets it go on: where others must agree, nobody's word alone does.
fn approving(Broadcast { broadcast_id: id, .. }: &Broadcast, is_awaited: bool) -> String {
    if is_awaited {
        format!(
            "`issei approve {id} --agreed DIGEST --reason \"…\"` by each who must agree, with the digest that `issei status {id}` shows,"
        )
    } else {
        format!("`issei approve {id} --reason \"…\"`")
    }
}

/// What is to be known of the canary beside the reason for a hold.
fn canary(broadcast: &Broadcast, chosen: Option<&ChosenCanary>) -> String {
    let all = broadcast.canary_is_everybody().then(|| canary_of_all(broadcast.recipients));
    chosen.and_then(ChosenCanary::told).into_iter().chain(all).map(|told| format!("; {told}")).collect::<Vec<_>>().concat()
}

/// What a broadcast that is to hold has come to, for whoever approves it.
fn as_asked(broadcast: &Broadcast, skipped: &[(SkipReason, SkippedRows)], approving: &str) -> String {
    let Broadcast { broadcast_id: id, audience, recipients, .. } = broadcast;
    let rows = broadcast.audience_size();
    let of_reason = |(reason, skipped): &(SkipReason, SkippedRows)| {
        // A key may be an address, which stands in no reason.
        let keys: Vec<&str> = skipped.examples.iter().map(String::as_str).filter(|key| !key.contains('@')).collect();
        let keys = if keys.is_empty() {
            String::new()
        } else {
            format!(" (keys {}{})", keys.join(", "), if skipped.rows > 3 { ", …" } else { "" })
        };
        format!("{} {reason}{keys}", skipped.rows)
    };
    let skipped = match skipped {
        [] => "nobody is skipped".to_owned(),
        some => format!(
            "skipped: {}; `issei export {id} --outcome skipped` lists them",
            some.iter().map(of_reason).collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "{recipients} of {rows} rows of the audience `{audience}` are to be mailed; nothing was sent; {approving} sends to them; {skipped}"
    )
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, far above any audience")]
fn number(rows: u64) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_audience_of_which_several_are_skipped_is_a_persons_to_judge_and_one_row_of_few_is_not() {
        for (recipients, skipped, wanted) in [
            (4, 1, Mailable::Enough),
            (3, 2, Mailable::TooFew),
            (2, 3, Mailable::TooFew),
            (17, 2, Mailable::TooFew),
            (19, 1, Mailable::Enough),
            (18, 2, Mailable::TooFew),
            (0, 3, Mailable::Nobody),
            (95, 5, Mailable::Enough),
            (94, 6, Mailable::TooFew),
        ] {
            assert_eq!(Counted::of(recipients, skipped, 0).mailable(0.05), wanted, "{skipped} of {}", recipients + skipped);
        }
        // Two rows of somebody who is mailed by a third are no rows that can't be mailed, and hide none either.
        for (recipients, skipped, repeated, wanted) in [
            (8, 2, 2, Mailable::Enough),
            (8, 3, 2, Mailable::Enough),
            (8, 4, 2, Mailable::TooFew),
            (40, 60, 60, Mailable::Enough),
            (40, 64, 60, Mailable::TooFew),
        ] {
            assert_eq!(Counted::of(recipients, skipped, repeated).mailable(0.05), wanted, "{recipients}, {skipped}, {repeated}");
        }
        let told = Counted::of(40, 64, 60).share("", "are", 0.05);
        let says = "4 of 44 rows are skipped, 9.1 % where skipped_share_max is 5.0 % (beside 60 that do not count, since another row with the address is mailed)";
        assert_eq!(told, says);
    }
}
