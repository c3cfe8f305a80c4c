//! Which columns are proposed, by what the table says of them, by their values and by their names.

use issei_producer::{AddressCounts, ColumnOutline, Sample, TellsApart};
use issei_schema::{Address, Template};

/// Names of keys, the likeliest first, for a source that says nothing of its columns.
const KEY_NAMES: [&str; 5] = ["id", "uuid", "userid", "key", "customerid"];
/// How others end, as they are written.
const KEY_ENDINGS: [&str; 8] = ["_id", "-id", " id", "Id", "ID", "番号", "编号", "編號"];
/// Names of addresses, without blanks and signs, the likeliest first; then what is in others.
const ADDRESS_NAMES: [&str; 10] =
    ["email", "mail", "emailaddress", "mailaddress", "メールアドレス", "メール", "eメール", "电子邮件", "電子郵件", "邮箱"];
const ADDRESS_PARTS: [&str; 6] = ["mail", "メール", "ﾒｰﾙ", "邮件", "郵件", "邮箱"];
/// Parts of names of addresses that are not a user's first one.
const SECOND: [&str; 19] = [
    "recover",
    "backup",
    "manager",
    "work",
    "billing",
    "emergency",
    "alt",
    "second",
    "old",
    "prev",
    "parent",
    "guardian",
    "cc",
    "上司",
    "予備",
    "緊急",
    "勤務先",
    "保護者",
    "旧",
];
/// Parts of names of what several users have in common.
const GROUPS: [&str; 32] = [
    "family",
    "familia",
    "household",
    "client",
    "家族",
    "世帯",
    "company",
    "compania",
    "firm",
    "org",
    "tenant",
    "workspace",
    "team",
    "group",
    "account",
    "plan",
    "shop",
    "store",
    "dealer",
    "branch",
    "office",
    "department",
    "dept",
    "region",
    "country",
    "city",
    "role",
    "会社",
    "組織",
    "店舗",
    "支店",
    "部署",
];
/// Parts of names by which people are spoken to.
const SPOKEN_TO: [&str; 8] = ["name", "title", "salutation", "company", "lang", "locale", "plan", "nick"];
/// Parts of names of what belongs in no mail.
const SECRET: [&str; 8] = ["pass", "secret", "token", "hash", "salt", "digest", "key", "otp"];

/// What is proposed, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) key: String,
    pub(super) key_reason: String,
    pub(super) address: String,
    pub(super) address_reason: String,
    pub(super) columns: Vec<String>,
    /// Columns that a content could name, and that are not proposed.
    pub(super) others: Vec<String>,
    /// Columns that no content can name, for how they are called.
    pub(super) unnameable: Vec<String>,
    /// A column that, by its name, has a value for whoever is not to be mailed.
    pub(super) filter: Option<String>,
    /// Only rows that have this column are users.
    pub(super) only_with: Option<String>,
    pub(super) addressed: Addressed,
    /// Columns that are called like a key and are none, each with what is wrong with it.
    pub(super) not_keys: Vec<String>,
}

impl Proposal {
    pub(super) fn without(self, not_keys: Vec<String>) -> Self {
        Self { not_keys, ..self }
    }

    /// Whether each address is to be mailed once, whoever has it.
    pub(super) fn is_unique_by_address(&self) -> bool {
        self.key == self.address || self.addressed.stand_several_times()
    }
}

/// How many addresses the rows have that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Addressed {
    pub(super) rows: u64,
    pub(super) counts: AddressCounts,
}

impl Addressed {
    /// Some address stands under several keys, each of which would be mailed.
    pub(super) fn stand_several_times(&self) -> bool {
        self.counts.under_several_keys > 0
    }

    pub(super) fn are_the_same_as_keys(&self) -> bool {
        let AddressCounts { different, under_several_keys, keys_with_several } = self.counts;
        different > 0 && under_several_keys == 0 && keys_with_several == 0
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let AddressCounts { different, under_several_keys, .. } = self.counts;
        let several = match under_several_keys {
            0 => String::new(),
            1 => ", one of them under several keys".to_owned(),
            some => format!(", {some} of them under several keys"),
        };
        format!("{different} different ones in {} rows{several}", self.rows)
    }
}

/// The columns that may be the key, the likeliest first.
pub(super) fn key_candidates(columns: &[ColumnOutline]) -> Vec<&ColumnOutline> {
    let by_name = |column: &ColumnOutline| {
        let (name, ends) = (plain(&column.name), KEY_ENDINGS.iter().any(|end| column.name.trim().ends_with(end)));
        KEY_NAMES.iter().position(|known| name == *known).or(ends.then_some(KEY_NAMES.len())).unwrap_or(usize::MAX)
    };
    let is_said = |column: &ColumnOutline| !matches!(column.tells_apart, TellsApart::Unsaid | TellsApart::Sorts);
    let mut candidates: Vec<&ColumnOutline> = columns.iter().filter(|column| is_said(column) || by_name(column) < usize::MAX).collect();
    // An address changes, and a key must not.
    candidates.sort_by_key(|column| (is_called_mail(&column.name), column.tells_apart, by_name(column)));
    candidates
}

/// Of which kind an item is by a value of its key: what stands before the first sign that ends such a word, or the whole of a word.
/// A number, a date or an identifier says nothing of that.
pub(super) fn kind_of(value: &str) -> &str {
    let is_word = |text: &str| text.chars().all(|c| c.is_alphabetic() || c == '_' || c == '-');
    let word = value.split(['#', '|', ':', '/']).next().unwrap_or_default();
    if is_word(word) { word } else { "" }
}

/// Says whether a column is, by its name, of something that several users have in common.
pub(super) fn is_of_a_group(name: &str) -> bool {
    is_any(name, &GROUPS)
}

/// Where addresses stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// The column.
    pub(super) at: usize,
    /// Of its values that were looked at.
    addresses: usize,
    values: usize,
    /// So many columns more hold addresses.
    others: usize,
}

/// Of the columns that hold addresses the one that is called so. Only where none is, the one with the most: a recovery
/// address that everybody had to give is not the one that users are mailed at, though a few of those are missing. Nothing
/// where no column holds any, nor is called so.
pub(super) fn addresses(columns: &[ColumnOutline], sample: &Sample) -> Option<Addresses> {
    let name = |at: usize| columns.get(at).map_or("", |column| column.name.as_str());
    let of = |at: usize| {
        let values = || sample.values.iter().filter_map(|row| row.get(at)?.as_deref()).filter(|value| !value.trim().is_empty());
        let addresses = values().filter(|value| Address::quoting_legacy(value).is_ok()).count();
        Addresses { at, addresses, values: values().count(), others: 0 }
    };
    let holds = |found: &Addresses| found.addresses * 2 > found.values || (found.values == 0 && is_called_mail(name(found.at)));
    let called = |at| ADDRESS_NAMES.iter().position(|known| plain(name(at)) == *known).unwrap_or(ADDRESS_NAMES.len());
    let found: Vec<Addresses> = (0..columns.len()).map(of).filter(holds).collect();
    let first = found.iter().filter(|found| found.addresses > 0 || found.values == 0).min_by_key(|found| {
        let (name, is_empty) = (name(found.at), found.values == 0);
        let is_second = !is_called_mail(name) || is_any(name, &SECOND);
        // Of those that are not called so, the number decides.
        let fewer = if is_called_mail(name) { 0 } else { usize::MAX - found.addresses };
        (is_empty, called(found.at), is_second, !is_called_mail(name), fewer, found.at)
    })?;
    Some(Addresses { others: found.len() - 1, ..*first })
}

/// Nothing where no column holds addresses, nor is called so. The key may be the address.
pub(super) fn propose(key: &ColumnOutline, columns: &[ColumnOutline], sample: &Sample) -> Option<Proposal> {
    let Addresses { at, addresses, values, others } = addresses(columns, sample)?;
    let address = columns.get(at)?.name.clone();
    let address_reason = if values == 0 {
        "by its name; no row has a value".to_owned()
    } else {
        let some = format!("{addresses} of {values} values that were looked at are addresses");
        match others {
            0 => some,
            1 => format!("{some}; one more column holds addresses, so look whether this is the one that users are mailed at"),
            others => format!("{some}; {others} more columns hold addresses, so look whether this is the one that users are mailed at"),
        }
    };
    // A letter that needs what nobody has is nobody's.
    let is_there = |at: usize| sample.values.is_empty() || sample.values.iter().any(|row| row.get(at).is_some_and(Option::is_some));
    let rest = columns.iter().enumerate().map(|(at, column)| (at, column.name.clone()));
    let rest = rest.filter(|(_, name)| *name != key.name && *name != address && !is_any(name, &SECRET));
    let (rest, unnameable): (Vec<_>, Vec<_>) = rest.partition(|(_, name)| is_placeholder(name));
    let unnameable = unnameable.into_iter().map(|(_, name)| name).collect();
    let (columns, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(at, name)| is_any(name, &SPOKEN_TO) && is_there(*at));
    let [columns, others] = [columns, others].map(|named| named.into_iter().map(|(_, name)| name).collect::<Vec<String>>());
    let filter = sample_filter(&others);
    Some(Proposal {
        key: key.name.clone(),
        key_reason: match key.tells_apart {
            TellsApart::PrimaryKey => "the primary key".to_owned(),
            TellsApart::Unique => "unique, and never null".to_owned(),
            TellsApart::WithAnother => "the partition key, which one item with an address has each".to_owned(),
            TellsApart::Unsaid | TellsApart::Sorts if key.name == address => match sample.without_own_key() {
                0 => "the address, since no column tells users apart".to_owned(),
                some => format!("the address, since no column tells users apart; {some} of {} rows have none, or another's", sample.rows),
            },
            TellsApart::Unsaid | TellsApart::Sorts if sample.without_key > 0 => {
                format!("by its name, but {} of {} rows have none, and are skipped", sample.without_key, sample.rows)
            }
            TellsApart::Unsaid | TellsApart::Sorts => "by its name; every row that was read has its own value".to_owned(),
        },
        address,
        address_reason,
        columns,
        others,
        unnameable,
        filter,
        only_with: None,
        addressed: Addressed::default(),
        not_keys: Vec::new(),
    })
}

/// In how many rows a key stands that another has, too, with some of them.
pub(super) fn repeats(Sample { rows, repeated, repeats, .. }: &Sample) -> String {
    // A key that is a mail address belongs in no file.
    let keys: Vec<String> =
        repeats.iter().filter(|(key, _)| !key.contains('@')).map(|(key, times)| format!("{key:?} in {times}")).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
    format!("{repeated} of {rows} rows have another's{keys}")
}

fn sample_filter(others: &[String]) -> Option<String> {
    let is =
        |name: &&String| matches!(name.to_ascii_lowercase().as_str(), "deleted_at" | "deletedat" | "unsubscribed_at" | "deactivated_at");
    others.iter().find(is).cloned()
}

fn is_called_mail(name: &str) -> bool {
    let name = plain(name);
    name == "address" || ADDRESS_PARTS.iter().any(|part| name.contains(part))
}

/// Without blanks, signs and capitals.
fn plain(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| c.is_alphanumeric() || *c == 'ー').collect()
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
        Sample { rows: rows.len() as u64, without_key: 0, repeated: 0, repeats: Vec::new(), values }
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
            column("氏名", Unsaid),
        ];
        let keys: Vec<&str> = key_candidates(&columns).iter().map(|column| column.name.as_str()).collect();
        assert_eq!(keys, ["uuid", "id", "email"]);
        let rows: [&[&str]; 2] = [
            &["t", "a@example.com", "1", "u1", "", "Ann", "x", "", "y"],
            &["f", "a..b@docomo.ne.jp", "2", "u2", "b@example.com", "Bob", "x", "", "y"],
        ];
        let proposal = propose(&columns[3], &columns, &sample(&rows)).unwrap();
        assert_eq!((proposal.key.as_str(), proposal.address.as_str(), proposal.key_reason.as_str()), ("uuid", "email", "the primary key"));
        assert_eq!(proposal.columns, ["first_name"]);
        assert_eq!(proposal.others, ["email_verified", "id", "contact", "deleted_at"]);
        assert_eq!(proposal.unnameable, ["no placeholder", "氏名"]);
        assert_eq!(proposal.filter.as_deref(), Some("deleted_at"));
    }

    #[test]
    fn an_address_under_another_name_is_found_and_none_is_made_up() {
        let columns = [column("id", TellsApart::PrimaryKey), column("contact", TellsApart::Unsaid), column("note", TellsApart::Unsaid)];
        let found = propose(&columns[0], &columns, &sample(&[&["1", "a@example.com", "x"], &["2", "b@example.com", ""]])).unwrap();
        assert_eq!(found.address, "contact");
        assert_eq!(propose(&columns[0], &columns, &sample(&[&["1", "x", "y"], &["2", "z", ""]])), None);
        assert_eq!(propose(&columns[0], &columns, &sample(&[])), None);
    }
    #[test]
    fn an_address_is_found_by_its_values_whatever_it_is_called_and_by_its_name_only_where_two_hold_as_many() {
        use TellsApart::Unsaid;
        for name in ["E-Mail", "e-mail address", "Mail", "メールアドレス", "メール", "电子邮件", "Ansprechpartner"] {
            let columns = [column("name", Unsaid), column(name, Unsaid), column("other", Unsaid)];
            let rows: [&[&str]; 2] = [&["Ann", "a@example.com", ""], &["Bob", "b@example.com", "c@example.com"]];
            let proposal = propose(&columns[1], &columns, &sample(&rows)).unwrap();
            assert_eq!((proposal.key.as_str(), proposal.address.as_str()), (name, name));
            assert!(proposal.key_reason.starts_with("the address, since"), "{}", proposal.key_reason);
        }
        // Called so, and holding none.
        let columns = [column("email_sent", Unsaid), column("contact", Unsaid), column("E-Mail", Unsaid)];
        let rows: [&[&str]; 2] = [&["yes", "a@example.com", "a@example.com"], &["no", "b@example.com", "b@example.com"]];
        assert_eq!(columns[addresses(&columns, &sample(&rows)).unwrap().at].name, "E-Mail");
        // One that is missing, or is none, does not make another column the users'.
        for (names, second) in [
            (["id", "email", "recovery_email"], "r@old.example"),
            (["会員番号", "メールアドレス", "緊急連絡先"], "k@example.com"),
            (["id", "work_email", "user_email"], "w@example.com"),
        ] {
            let columns = names.map(|name| column(name, Unsaid));
            let own = usize::from(names[1] == "work_email") + 1;
            let row = |first: &'static str| if own == 1 { ["1", first, second] } else { ["1", second, first] };
            let rows = [row("a@example.com"), row("b@example.com"), row("none")];
            let looked = sample(&rows.each_ref().map(<[&str; 3]>::as_slice));
            let found = addresses(&columns, &looked).unwrap();
            assert_eq!((columns[found.at].name.as_str(), found.others), (names[own], 1));
        }
        let ids = ["Kunden-ID", "会員番号", "userId"].map(|name| column(name, Unsaid));
        assert_eq!(key_candidates(&ids).len(), 3);
        assert!(key_candidates(&[column("paid", Unsaid), column("Mail", Unsaid)]).is_empty());
    }

    #[test]
    fn a_kind_is_a_word_of_a_key_and_never_its_number() {
        for (value, kind) in [
            ("USER#17", "USER"),
            ("PROFILE", "PROFILE"),
            ("user:17", "user"),
            ("ORDER|2026-11-27|3", "ORDER"),
            ("#META", ""),
            ("17", ""),
            ("2026-11-27T09:00:00Z", ""),
            ("01JDB7Z4", ""),
            ("", ""),
        ] {
            assert_eq!(kind_of(value), kind, "{value}");
        }
    }
}
