//! Letters that have nothing where a value should stand, for whoever reads a forecast. A blank is no reason to skip anybody.

use issei_assembly::say;
use issei_producer::Survey;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct BlankColumn {
    column: String,
    /// Of those who would be sent to.
    rows: u64,
    /// The keys of three of them.
    examples: Vec<String>,
}

impl BlankColumn {
    /// The commonest first.
    pub(crate) fn all(survey: &Survey) -> Vec<Self> {
        let columns = survey.blank.columns.iter();
        let of = |(column, skips): (&String, &issei_producer::Skips)| Self {
            column: column.clone(),
            rows: skips.rows,
            examples: skips.examples.clone(),
        };
        let mut all: Vec<Self> = columns.map(of).collect();
        all.sort_by_key(|blank| std::cmp::Reverse(blank.rows));
        all
    }

    pub(crate) fn print(all: &[Self]) {
        for (at, Self { column, rows, examples }) in all.iter().enumerate() {
            let (head, have) = (if at == 0 { "blank" } else { "" }, if *rows == 1 { "has" } else { "have" });
            let more = if *rows > examples.len() as u64 { ", …" } else { "" };
            let keys = examples.join(", ");
            say(&format!("{head:<14} {rows} of those to be mailed {have} nothing in {column}, with the keys {keys}{more}"));
        }
        if let Some(Self { column, .. }) = all.first() {
            say(&format!(
                "               their letters say nothing there: {{{{{column} | \"Customer\"}}}} has words for them, and {{{{#if {column}}}}}…{{{{/if}}}} leaves more out"
            ));
        }
    }
}
