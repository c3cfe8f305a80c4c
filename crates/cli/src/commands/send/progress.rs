//! The bar of a reading: how far it is, of how much, and how long it still takes. Only a terminal has one.

use std::io::{IsTerminal, stderr};

use indicatif::style::TemplateError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use issei_producer::Stage;

use crate::time_left::with_left;

/// A bar for each stage, since neither's pace says anything about the other's.
pub(super) struct Bar {
    bar: ProgressBar,
    is_judging: bool,
    ended: ProgressStyle,
}

impl Bar {
    pub(super) fn new() -> Result<Self, TemplateError> {
        let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let endless = ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?;
        let ended = with_left(ProgressStyle::with_template("[{bar:30}] {msg}, {elapsed}{left}")?.progress_chars("#>."));
        Ok(Self { bar: ProgressBar::with_draw_target(None, target).with_style(endless), is_judging: false, ended })
    }

    pub(super) fn show(&mut self, stage: Stage) {
        let (text, end) = told(stage);
        let is_judging = matches!(stage, Stage::Judging { .. });
        if is_judging != self.is_judging {
            self.is_judging = is_judging;
            self.bar.reset();
        }
        if let Some((done, all)) = end {
            self.bar.set_style(self.ended.clone());
            self.bar.set_length(all);
            self.bar.set_position(done.min(all));
        }
        self.bar.set_message(text);
        self.bar.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What is said of a stage, and how much of how much is done, where that is known.
fn told(stage: Stage) -> (String, Option<(u64, u64)>) {
    match stage {
        Stage::Reading { rows, counted: Some(counted), done, all } => {
            (format!("{rows} of {counted} rows read"), all.map(|all| (done, all)))
        }
        Stage::Reading { rows, counted: None, done, all } => (format!("{rows} rows read"), all.map(|all| (done, all))),
        Stage::Judging { rows, counted } => (format!("{rows} of {counted} rows judged"), Some((rows, counted))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_an_end_as_soon_as_it_is_known() {
        let read = |counted, done, all| told(Stage::Reading { rows: 500, counted, done, all });
        assert_eq!(read(None, 0, None), ("500 rows read".to_owned(), None));
        assert_eq!(read(Some(1_000), 500, Some(1_000)), ("500 of 1000 rows read".to_owned(), Some((500, 1_000))));
        // A file's rows are known only at its end, and its bytes at once.
        assert_eq!(read(None, 65_536, Some(655_360)), ("500 rows read".to_owned(), Some((65_536, 655_360))));
        let judged = told(Stage::Judging { rows: 100, counted: 1_000 });
        assert_eq!(judged, ("100 of 1000 rows judged".to_owned(), Some((100, 1_000))));
    }
}
