//! How long a bar says that something still takes. It must never say that nothing is left where something is: nothing is said where
//! that is not known, or where all is counted and the rest is no matter of the bar's.

use std::fmt::Write;

use indicatif::{HumanDuration, ProgressState, ProgressStyle};

/// The style with `{left}`, which has its own comma before it.
pub(crate) fn with_left(style: ProgressStyle) -> ProgressStyle {
    style.with_key("left", |state: &ProgressState, out: &mut dyn Write| {
        // A bar that can't be written to is not seen either.
        let _ = out.write_str(&told(state.eta().as_secs()));
    })
}

fn told(seconds: u64) -> String {
    if seconds == 0 { String::new() } else { format!(", {:#} left", HumanDuration(std::time::Duration::from_secs(seconds))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bar_says_that_nothing_is_left() {
        assert_eq!([0, 1, 40].map(told), ["", ", 1s left", ", 40s left"]);
    }
}
