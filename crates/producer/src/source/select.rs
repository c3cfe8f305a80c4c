//! The statements by which an audience is read, in the words that all databases share.

use crate::audience::{AudienceConfig, From};

/// What is read, with its names quoted.
pub(super) struct Select {
    source: String,
    filter: String,
    /// The filter by which they were asked who want it; nothing where nobody is.
    asked: Option<String>,
    /// The key, the address and the columns, each as the database names it.
    pub(super) columns: Vec<Column>,
}

pub(super) struct Column {
    /// As the configuration names it.
    pub(super) name: String,
    /// Qualified and quoted.
    pub(super) expression: String,
}

impl Select {
    pub(super) fn of(from: &From, config: &AudienceConfig, quote: char) -> Self {
        let quoted = |name: &str| {
            let doubled = name.replace(quote, &format!("{quote}{quote}"));
            format!("{quote}{doubled}{quote}")
        };
        let source = match from {
            From::Table(table) => format!("{} AS audience", table.split('.').map(quoted).collect::<Vec<_>>().join(".")),
            // A comment at the end of the query, or of the filter, must not swallow the bracket.
            From::Query(query) => format!("({}\n) AS audience", query.trim().trim_end_matches(';')),
        };
        let filtered = |condition: Option<String>| condition.map_or(String::new(), |condition| format!(" WHERE ({condition}\n)"));
        let asked = config.wanting.is_some().then(|| filtered(config.filter.clone()));
        let filter = filtered(config.condition());
        let columns = [&config.key, &config.address].into_iter().chain(&config.columns);
        // Qualified: SQLite takes a bare quoted name that is no column for a text.
        let columns = columns.map(|name| Column { name: name.clone(), expression: format!("audience.{}", quoted(name)) }).collect();
        Self { source, filter, asked, columns }
    }

    pub(super) fn count(&self) -> String {
        format!("SELECT COUNT(*) FROM {}{}", self.source, self.filter)
    }

    /// Counts all who were asked, of whom those that are read are a part; nothing where nobody is.
    pub(super) fn count_asked(&self) -> Option<String> {
        self.asked.as_ref().map(|asked| format!("SELECT COUNT(*) FROM {}{asked}", self.source))
    }

    /// All rows, in no order.
    pub(super) fn rows(&self, expressions: &[String]) -> String {
        format!("SELECT {} FROM {}{}", expressions.join(", "), self.source, self.filter)
    }

    /// Every column of the source, and no row.
    pub(super) fn nobody(&self) -> String {
        format!("SELECT * FROM {} WHERE 1 = 0", self.source)
    }

    /// A value of a column's type, with no row read for it.
    pub(super) fn no_value(&self, column: &Column) -> String {
        format!("(SELECT {} FROM {} WHERE 1 = 0)", column.expression, self.source)
    }

    pub(super) fn expressions(&self, of: impl Fn(&Column) -> String) -> Vec<String> {
        self.columns.iter().map(of).collect()
    }
}

/// A key of this type can't tell users apart for good.
pub(super) fn refused_key(column: &Column, kind: &str) -> String {
    format!(
        "the key column {:?} is of type {kind}, whose values have more than one text or none that lasts; name a column that is text, a whole number, a UUID or bytes, or give a query that makes one of it",
        column.name
    )
}
