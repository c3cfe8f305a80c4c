//! A command as it can be carried out at once, with nobody to approve it: what stands in the way of that is passed over, and
//! said.

use issei_assembly::Settings;
use issei_producer::{ChosenCanary, Mailable, Survey};
use issei_schema::{BroadcastCommand, Canary, CanaryApproval, InDoubtPolicy, Opening, limits};
use jiff::{SignedDuration, Timestamp};

pub(super) struct Simplified {
    pub(super) command: BroadcastCommand,
    /// What a real broadcast would wait for, in words.
    pub(super) passed_over: Vec<String>,
}

impl Simplified {
    pub(super) fn of(settings: &Settings, own: &BroadcastCommand, now: Timestamp) -> Self {
        let (mut command, mut passed_over) = (own.clone(), Vec::new());
        if own.schedule().is_given() {
            passed_over.push(match own.schedule().at(now) {
                Opening::Waiting { until } => {
                    format!("not_before and send_window: really it begins {}", own.schedule().told(until))
                }
                Opening::Open { .. } | Opening::Over => "send_window: really it sends within it alone".to_owned(),
            });
            (command.not_before, command.send_window) = (None, None);
            let ahead = SignedDuration::from_hours(limits::NOT_AFTER_HOURS_MAX) - SignedDuration::from_mins(10);
            command.not_after = own.not_after.min(now.saturating_add(ahead).unwrap_or(own.not_after));
        }
        if let Some(ramp) = own.ramp {
            passed_over
                .push(format!("ramp: really it sends to {} in its first hour, and to twice as many in each further one", ramp.first_hour));
            command.ramp = None;
        }
        if own.hold {
            passed_over.push("hold: really it waits for `issei approve` before its first send".to_owned());
        }
        if own.canary.is_some() {
            passed_over.push("canary: really the others, where there are any, wait until it is approved".to_owned());
            command.canary_approval = CanaryApproval::Operator;
        }
        if let Ok(approvals) = settings.approvals_wanted()
            && approvals.are_for(own)
        {
            let from = if approvals.from_recipients > 0 {
                format!(", where it has {} recipients or more", approvals.from_recipients)
            } else {
                String::new()
            };
            passed_over.push(format!("approvals: really {} persons must agree to it{from}", approvals.persons));
        }
        if settings.require_rehearsal {
            passed_over.push("require_rehearsal: really it is refused without one".to_owned());
        }
        if own.in_doubt != InDoubtPolicy::Hold {
            passed_over.push("in_doubt: really who is in doubt may be sent to again, after the wait; here they are listed".to_owned());
            command.in_doubt = InDoubtPolicy::Hold;
        }
        passed_over.push(
            "what only your account knows: suppressed addresses, broadcasts before this one, the quota, the sender's identity".to_owned(),
        );
        Self { command, passed_over }
    }
}

/// Why its audience would hold it before its first send.
pub(super) fn holds(command: &BroadcastCommand, survey: &Survey, skipped_share_max: f64) -> Vec<String> {
    let too_few = (survey.enough(skipped_share_max) == Mailable::TooFew).then(|| {
        format!(
            "skipped rows: {}, so really it waits for `issei approve` before its first send",
            survey.counted().share("", "are", skipped_share_max)
        )
    });
    let lacks_canary = survey.canary.as_ref().filter(|canary| canary.recipients == 0).and_then(ChosenCanary::told);
    let lacks_canary = lacks_canary.map(|told| format!("canary: {told}, so really it waits for `issei approve` before its first send"));
    let first = survey.canary.as_ref().map(|canary| canary.recipients).or(command.canary.as_ref().and_then(Canary::first).map(u64::from));
    let is_all = survey.mailable > 0 && first.is_some_and(|first| first >= survey.mailable);
    let all = (is_all && command.canary_approval == CanaryApproval::Operator).then(|| {
        format!(
            "canary: it is everybody who can be mailed ({}), so really it waits for `issei approve` before its first send",
            survey.mailable
        )
    });
    too_few.into_iter().chain(lacks_canary).chain(all).collect()
}
