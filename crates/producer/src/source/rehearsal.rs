//! The audience of a rehearsal: so many recipients at the SES mailbox simulator, which accepts mail and
//! tells events of it, and bothers nobody (SES developer guide, "Using the mailbox simulator").

use super::Row;

/// What the names of such audiences begin with; the number of recipients follows. No configured audience
/// may have such a name.
pub const REHEARSAL_PREFIX: &str = "rehearsal-";

/// How many recipients the audience of this name has; nothing where it is not one of a rehearsal.
pub(crate) fn size_of(name: &str) -> Option<u64> {
    name.strip_prefix(REHEARSAL_PREFIX)?.parse().ok()
}

/// The rows after `key`. Labels make the addresses differ, as real ones do.
pub(super) fn rows(size: u64, after: Option<&str>, limit: usize) -> Vec<Row> {
    let after: u64 = after.and_then(|key| key.parse().ok()).unwrap_or(0);
    let row = |number: u64| Row {
        key: number.to_string(),
        address: Some(format!("success+{number}@simulator.amazonses.com")),
        values: vec![Some(format!("Recipient {number}"))],
    };
    (after + 1..=size).take(limit).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_without_a_gap() {
        let mut keys = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let page = rows(25, last.as_deref(), 10);
            let Some(row) = page.last() else { break };
            last = Some(row.key.clone());
            keys.extend(page.into_iter().map(|row| row.key));
        }
        assert_eq!(keys, (1..=25).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn only_a_number_makes_a_rehearsal() {
        assert_eq!(
            [size_of("rehearsal-100"), size_of("rehearsal-"), size_of("users"), size_of("rehearsal-x")],
            [Some(100), None, None, None]
        );
    }
}
