//! A notice that is to reach everybody before the day from which it binds: whether that can still be done.

use jiff::Timestamp;

use crate::Broadcast;

impl Broadcast {
    /// Why some will be told after the day from which it binds; nothing where everybody may still be told before, and
    /// where it is over. So many have been `settled`, and so many a second are sent to at most, where that is known.
    #[must_use]
    pub fn falls_behind(&self, now: Timestamp, settled: u64, recipients_a_second: Option<f64>) -> Option<String> {
        let effective_at = self.effective_at.filter(|_| !self.broadcast_state.is_over())?;
        let left = self.recipients.saturating_sub(settled);
        if left == 0 {
            return None;
        }
        if now >= effective_at {
            return Some(format!("effective_at ({effective_at}) has passed, and {left} of {} are not settled", self.recipients));
        }
        let rate = recipients_a_second.filter(|rate| *rate > 0.0)?;
        let done = self.schedule().done_at(now, left, rate, self.ramped());
        if done.is_some_and(|done| done <= effective_at) {
            return None;
        }
        let done = done.map_or("not before its not_after".to_owned(), |done| format!("at {} at the earliest", self.schedule().told(done)));
        Some(format!("{left} are left, at {rate:.2} a second at most: done {done}, and effective_at is {effective_at}"))
    }
}
