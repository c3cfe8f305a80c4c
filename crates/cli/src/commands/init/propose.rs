//! Which columns are proposed, by what the table says of them, by their values and by their names.

use issei_producer::{ColumnOutline, Sample, TellsApart};
use issei_schema::{Address, Template};

/// Names of keys, the likeliest first, for a source that says nothing of its columns.
const KEY_NAMES: [&str; 6] = ["id", "uuid", "user_id", "userid", "key", "customer_id"];
/// Parts of names by which people are spoken to.
const SPOKEN_TO: [&str; 8] = ["name", "title", "salutation", "company", "lang", "locale", "plan", "nick"];
/// Parts of names of what belongs in no mail.
const SECRET: [&str; 8] = ["pass", "secret", "token", "hash", "salt", "digest", "key", "otp"];

/// What is proposed, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) key: String,
    pub(super) key_reason: &'static str,
    pub(super) address: String,
    pub(super) address_reason: String,
    pub(super) columns: Vec<String>,
    /// Columns that a content could name, and that are not proposed.
    pub(super) others: Vec<String>,
    /// A condition that the names suggest.
    pub(super) filter: Option<String>,
}

/// The columns that may be the key, the likeliest first.
pub(super) fn key_candidates(columns: &[ColumnOutline]) -> Vec<&ColumnOutline> {
    let by_name = |column: &ColumnOutline| {
        let name = column.name.to_ascii_lowercase();
        KEY_NAMES.iter().position(|known| name == *known).unwrap_or(KEY_NAMES.len())
    };
    let mut candidates: Vec<&ColumnOutline> =
        columns.iter().filter(|column| column.tells_apart != TellsApart::Unsaid || by_name(column) < KEY_NAMES.len()).collect();
    // An address changes, and a key must not.
    candidates.sort_by_key(|column| (is_called_mail(&column.name), column.tells_apart, by_name(column)));
    candidates
}

/// Nothing where no column holds addresses, nor is called so.
pub(super) fn propose(key: &ColumnOutline, columns: &[ColumnOutline], sample: &Sample) -> Option<Proposal> {
    let (at, addresses, values) = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.name != key.name || columns.len() == 1)
        .map(|(at, _)| {
            let values = || sample.values.iter().filter_map(|row| row.get(at)?.as_deref()).filter(|value| !value.trim().is_empty());
            (at, values().filter(|value| Address::quoting_legacy(value).is_ok()).count(), values().count())
        })
        .filter(|(at, addresses, values)| {
            addresses * 2 > *values || (*values == 0 && columns.get(*at).is_some_and(|column| is_called_mail(&column.name)))
        })
        .max_by_key(|(at, addresses, _)| {
            (columns.get(*at).is_some_and(|column| is_called_mail(&column.name)), *addresses, std::cmp::Reverse(*at))
        })?;
    let address = columns.get(at)?.name.clone();
    let address_reason = if values == 0 {
        "by its name; no row has a value".to_owned()
    } else {
        format!("{addresses} of {values} values that were looked at are addresses")
    };
    let rest = columns.iter().map(|column| column.name.clone()).filter(|name| *name != key.name && *name != address);
    let (columns, others): (Vec<String>, Vec<String>) =
        rest.filter(|name| is_placeholder(name) && !is_any(name, &SECRET)).partition(|name| is_any(name, &SPOKEN_TO));
    let filter = sample_filter(&others);
    Some(Proposal {
        key: key.name.clone(),
        key_reason: match key.tells_apart {
            TellsApart::PrimaryKey => "the primary key",
            TellsApart::Unique => "unique, and never null",
            TellsApart::Unsaid => "by its name; every row that was read has its own value",
        },
        address,
        address_reason,
        columns,
        others,
        filter,
    })
}

fn sample_filter(others: &[String]) -> Option<String> {
    let is =
        |name: &&String| matches!(name.to_ascii_lowercase().as_str(), "deleted_at" | "deletedat" | "unsubscribed_at" | "deactivated_at");
    others.iter().find(is).map(|name| format!("{name} IS NULL"))
}

fn is_called_mail(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("mail") || name.contains("メール") || name == "address"
}

fn is_any(name: &str, parts: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}

/// Says whether a content could name it.
fn is_placeholder(name: &str) -> bool {
    Template::try_from(format!("{{{{{name}}}}}")).is_ok_and(|template| template.is_plain() && template.placeholders().len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, tells_apart: TellsApart) -> ColumnOutline {
        ColumnOutline { name: name.to_owned(), kind: String::new(), tells_apart }
    }

    fn sample(rows: &[&[&str]]) -> Sample {
        let values = rows.iter().map(|row| row.iter().map(|value| (!value.is_empty()).then(|| (*value).to_owned())).collect()).collect();
        Sample { rows: rows.len() as u64, without_own_key: 0, values }
    }

    #[test]
    fn the_address_is_found_by_its_values_and_the_key_by_what_the_table_says() {
        use TellsApart::{PrimaryKey, Unique, Unsaid};
        let columns = [
            column("email_verified", Unsaid),
            column("email", Unique),
            column("id", Unsaid),
            column("uuid", PrimaryKey),
            column("contact", Unsaid),
            column("first_name", Unsaid),
            column("password_hash", Unsaid),
            column("deleted_at", Unsaid),
            column("no placeholder", Unsaid),
        ];
        let keys: Vec<&str> = key_candidates(&columns).iter().map(|column| column.name.as_str()).collect();
        assert_eq!(keys, ["uuid", "id", "email"]);
        let rows: [&[&str]; 2] = [
            &["t", "a@example.com", "1", "u1", "", "Ann", "x", "", "y"],
            &["f", "a..b@docomo.ne.jp", "2", "u2", "b@example.com", "Bob", "x", "", "y"],
        ];
        let proposal = propose(&columns[3], &columns, &sample(&rows)).unwrap();
        assert_eq!((proposal.key.as_str(), proposal.address.as_str(), proposal.key_reason), ("uuid", "email", "the primary key"));
        assert_eq!(proposal.columns, ["first_name"]);
        assert_eq!(proposal.others, ["email_verified", "id", "contact", "deleted_at"]);
        assert_eq!(proposal.filter.as_deref(), Some("deleted_at IS NULL"));
    }

    #[test]
    fn an_address_under_another_name_is_found_and_none_is_made_up() {
        let columns = [column("id", TellsApart::PrimaryKey), column("contact", TellsApart::Unsaid), column("note", TellsApart::Unsaid)];
        let found = propose(&columns[0], &columns, &sample(&[&["1", "a@example.com", "x"], &["2", "b@example.com", ""]])).unwrap();
        assert_eq!(found.address, "contact");
        assert_eq!(propose(&columns[0], &columns, &sample(&[&["1", "x", "y"], &["2", "z", ""]])), None);
        assert_eq!(propose(&columns[0], &columns, &sample(&[])), None);
    }
}
