//! Words that others wrote, as much of them as a screen has room for. A document for programs has all of them.

use std::borrow::Cow;

/// No reason of issei's own is longer.
const CHARACTERS: usize = 1_000;

/// The beginning of a reason, and a sign where there is more.
pub(crate) fn shortened(reason: &str) -> Cow<'_, str> {
    match reason.char_indices().nth(CHARACTERS).and_then(|(at, _)| reason.get(..at)) {
        Some(beginning) => Cow::Owned(format!("{beginning}…")),
        None => Cow::Borrowed(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_reason_the_beginning_is_shown_and_that_there_is_more() {
        assert_eq!(shortened("too slow"), "too slow");
        let whole = "渡".repeat(CHARACTERS);
        assert_eq!(shortened(&whole), whole);
        assert_eq!(shortened(&"渡".repeat(5_000)), whole + "…");
    }
}
