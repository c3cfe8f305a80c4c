//! From a row of the customer's table to a recipient, or to the reason why there is none.

use std::collections::{BTreeMap, BTreeSet};

use issei_ledger::{SkipReason, Skipped};
use issei_letter::{ContentError, Letters, Unwritable};
use issei_schema::{
    Address, AddressError, BroadcastCommand, Class, Content, Recipient, RecipientError, RecipientKey, StoredTemplate,
    UNSUBSCRIBE_PLACEHOLDER, Unsubscribe, UnsubscribeUrl,
};

use crate::audience::{AudienceConfig, LegacyLocalParts};
use crate::source::{Cell, Flaw, Row, quotable};

/// Reads the letters of a command: by every rule, or as they were taken where nothing is sent.
pub(crate) type ReadLetters = fn(&BroadcastCommand) -> Result<Letters, ContentError>;

/// What a command asks of every row of its audience.
pub(crate) struct Needed {
    /// The columns that go along with a recipient.
    columns: Vec<(usize, String)>,
    /// Whether each must be there though no letter here says so: of a template that an earlier build registered and that SES alone can
    /// read.
    needs_all: bool,
    /// Whether what is null goes along as an empty text: SES makes nothing of a letter for whose conditions a name is not there.
    fills_nulls: bool,
    pub(crate) letters: Letters,
    /// The one with the recipient's own URL to unsubscribe.
    unsubscribe: Option<(usize, String)>,
    /// There is one for everybody, from a column or not.
    has_way_out: bool,
    pub(crate) class: Class,
    legacy_local_parts: LegacyLocalParts,
}

/// What a command asks for and an audience has not, or has twice; or why its content can't be written to anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lack {
    #[error("it has no column {0}")]
    Placeholder(String),
    #[error("it has no column {0}, whose value chooses the words")]
    VariantColumn(String),
    #[error("it has no column {0} with URLs to unsubscribe")]
    UnsubscribeColumn(String),
    #[error("its column {UNSUBSCRIBE_PLACEHOLDER} has the name of the URL to unsubscribe")]
    ReservedColumn,
    #[error(transparent)]
    Content(#[from] ContentError),
}

impl Needed {
    /// The content's placeholders; every column for a stored template that SES alone can read. With them the column of the URL to unsubscribe.
    pub(crate) fn of(command: &BroadcastCommand, audience: &AudienceConfig) -> Result<Self, Lack> {
        Self::by(command, audience, Letters::of)
    }

    /// The same by letters that are read as whoever asks reads them.
    pub(crate) fn by(command: &BroadcastCommand, audience: &AudienceConfig, letters: ReadLetters) -> Result<Self, Lack> {
        let place = |name: &str| audience.columns.iter().position(|column| column == name).map(|at| (at, name.to_owned()));
        let way_out = command.unsubscribe.as_ref();
        let column = way_out.and_then(Unsubscribe::column);
        let unsubscribe = column.map(|name| place(name).ok_or_else(|| Lack::UnsubscribeColumn(name.to_owned()))).transpose()?;
        if let Content::Variants(variants) = &command.content
            && place(variants.by.as_str()).is_none()
        {
            return Err(Lack::VariantColumn(variants.by.as_str().to_owned()));
        }
        let is_reserved = |name: &str| way_out.is_some() && name == UNSUBSCRIBE_PLACEHOLDER && column != Some(name);
        let placeholders = command.content.placeholders();
        let mut asked: Vec<&str> = placeholders.into_iter().map(issei_schema::Placeholder::as_str).collect();
        let told = command.content.frozen().and_then(StoredTemplate::placeholders);
        let (fills_nulls, needs_all) = (told.is_some(), told.is_none() && matches!(command.content, Content::Template { .. }));
        let of_template: BTreeSet<String> = match told {
            Some(names) => {
                names.iter().filter_map(|name| asked_by(name, audience, way_out.is_some()).transpose()).collect::<Result<_, _>>()?
            }
            None if needs_all => audience.columns.iter().cloned().collect(),
            None => BTreeSet::new(),
        };
        asked.extend(of_template.iter().map(String::as_str));
        if audience.columns.iter().any(|name| is_reserved(name)) && asked.contains(&UNSUBSCRIBE_PLACEHOLDER) {
            return Err(Lack::ReservedColumn);
        }
        let asked = asked.into_iter().filter(|name| !is_reserved(name) && column != Some(name));
        let columns = asked.map(|name| place(name).ok_or_else(|| Lack::Placeholder(name.to_owned()))).collect::<Result<_, _>>()?;
        let (letters, has_way_out) = (letters(command)?, way_out.is_some());
        let (class, legacy_local_parts) = (command.class(), audience.legacy_local_parts);
        Ok(Self { columns, needs_all, fills_nulls, letters, unsubscribe, has_way_out, class, legacy_local_parts })
    }
}

/// The column that a placeholder of a stored template asks for, which gets each as it is and as `html_NAME`; nothing where it
/// is the URL to unsubscribe, which every mail has.
fn asked_by(name: &str, audience: &AudienceConfig, has_way_out: bool) -> Result<Option<String>, Lack> {
    let plain = name.strip_prefix("html_").unwrap_or(name);
    let column = [name, plain].into_iter().find(|name| audience.columns.iter().any(|column| column == name));
    match column {
        Some(column) => Ok(Some(column.to_owned())),
        None if has_way_out && plain == UNSUBSCRIBE_PLACEHOLDER => Ok(None),
        None => Err(Lack::Placeholder(name.to_owned())),
    }
}

/// The address of a row, as the audience wants it read.
pub(crate) fn address(text: &str, legacy: LegacyLocalParts) -> Result<Address, SkipReason> {
    let address = match legacy {
        LegacyLocalParts::Quote => Address::quoting_legacy(text),
        LegacyLocalParts::Skip => text.parse::<Address>(),
    };
    match address {
        Ok(address) if address.is_quoted() && legacy == LegacyLocalParts::Skip => Err(SkipReason::LegacyLocalPart),
        Ok(address) => Ok(address),
        Err(AddressError::Empty) => Err(SkipReason::NoAddress),
        Err(AddressError::LocalPartNotAscii) => Err(SkipReason::AddressNotAscii),
        Err(AddressError::LegacyLocalPart) => Err(SkipReason::LegacyLocalPart),
        Err(AddressError::Syntax | AddressError::TooLong) => Err(SkipReason::BadAddress),
    }
}

/// A row, judged.
pub(crate) enum Judged {
    Recipient(Recipient, usize),
    Skipped(String, SkipReason),
    /// Its address is mailed under another key.
    SkippedFor {
        key: String,
        mailed: String,
        /// The address, as it is compared.
        address: String,
    },
}

impl Judged {
    pub(crate) fn recipient(&self) -> Option<&Recipient> {
        match self {
            Self::Recipient(recipient, _) => Some(recipient),
            Self::Skipped(..) | Self::SkippedFor { .. } => None,
        }
    }
}

/// Judges one row. Never fails: what can't be mailed has a reason.
pub(crate) fn judge(row: Row, needed: &Needed) -> Judged {
    match recipient(&row, needed) {
        Ok((recipient, bytes)) => Judged::Recipient(recipient, bytes),
        Err(reason) => Judged::Skipped(named(&row), reason),
    }
}

/// A row as it stands in a record.
fn named(row: &Row) -> String {
    match &row.flaw {
        Some(Flaw::BrokenLine(reason)) => Skipped::broken_line(&quotable(&row.key), reason),
        Some(Flaw::KeyNotText) | None => quotable(&row.key),
    }
}

fn recipient(row: &Row, needed: &Needed) -> Result<(Recipient, usize), SkipReason> {
    match row.flaw {
        Some(Flaw::BrokenLine(_)) => return Err(SkipReason::BrokenRow),
        Some(Flaw::KeyNotText) => return Err(SkipReason::NotText),
        None => {}
    }
    let key =
        RecipientKey::try_from(row.key.clone()).map_err(|_| if row.key.is_empty() { SkipReason::NoKey } else { SkipReason::BadKey })?;
    let address = address(text(&row.address, SkipReason::NoAddress)?, needed.legacy_local_parts)?;
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    for (at, name) in &needed.columns {
        match row.values.get(*at).unwrap_or(&Cell::Null) {
            Cell::Text(text) => _ = data.insert(name.clone(), text.clone()),
            Cell::NotText => return Err(SkipReason::NotText),
            Cell::Null if needed.needs_all => return Err(SkipReason::DataMissing),
            Cell::Null => {}
        }
    }
    if let Some((at, name)) = &needed.unsubscribe {
        let url = text(row.values.get(*at).unwrap_or(&Cell::Null), SkipReason::NoUnsubscribeUrl)?;
        let url = UnsubscribeUrl::try_from(url.to_owned()).map_err(|_| SkipReason::NoUnsubscribeUrl)?;
        data.insert(name.clone(), url.as_str().to_owned());
    }
    needed.letters.make_noes_blank(&mut data);
    let mut data = writable(data, needed)?;
    if needed.fills_nulls {
        for (_, name) in &needed.columns {
            data.entry(name.clone()).or_default();
        }
    }
    let recipient = Recipient { key, address, data };
    match recipient.checked_bytes() {
        Ok(bytes) => Ok((recipient, bytes)),
        Err(RecipientError::ControlCharacter) => Err(SkipReason::ControlCharacter),
        Err(RecipientError::TooLarge { .. }) => Err(SkipReason::DataTooLarge),
    }
}

/// Stands for a link to unsubscribe that is made when the mail is: a whole link, since it may be the whole of one in a letter.
const STANDS_IN: &str = "https://unsubscribe.invalid/";

/// The data, where a letter can be written with it.
fn writable(mut data: BTreeMap<String, String>, needed: &Needed) -> Result<BTreeMap<String, String>, SkipReason> {
    // The URL itself is made when the mail is; there will be one.
    let stands_in = needed.has_way_out && !data.contains_key(UNSUBSCRIBE_PLACEHOLDER);
    if stands_in {
        data.insert(UNSUBSCRIBE_PLACEHOLDER.to_owned(), STANDS_IN.to_owned());
    }
    needed.letters.judge(&data).map_err(|why| match why {
        Unwritable::Missing(_) | Unwritable::Blank => SkipReason::DataMissing,
        Unwritable::UnsafeLink(_) => SkipReason::UnsafeLink,
        Unwritable::NoVariant => SkipReason::NoVariant,
    })?;
    if stands_in {
        data.remove(UNSUBSCRIBE_PLACEHOLDER);
    }
    Ok(data)
}

fn text(cell: &Cell, missing: SkipReason) -> Result<&str, SkipReason> {
    match cell {
        Cell::Text(text) => Ok(text),
        Cell::NotText => Err(SkipReason::NotText),
        Cell::Null => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience() -> AudienceConfig {
        AudienceConfig { columns: vec!["name".to_owned(), "car".to_owned()], ..AudienceConfig::default() }
    }

    fn command(text: &str) -> BroadcastCommand {
        let command = serde_json::json!({
            "version": 1, "broadcast_id": "b", "audience": "users", "content": { "inline": { "subject": "Hi {{name}}", "text": text } },
            "from": "a@example.com", "max_recipients": 10, "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        BroadcastCommand::parse(&command.to_string()).unwrap()
    }

    fn row(key: &str, address: Option<&str>, name: Option<&str>) -> Row {
        let cell = |text: Option<&str>| text.map_or(Cell::Null, |text| Cell::Text(text.to_owned()));
        Row { key: key.to_owned(), flaw: None, address: cell(address), values: vec![cell(name), Cell::Null] }
    }

    #[test]
    fn every_row_that_cannot_be_mailed_has_its_reason() {
        let needed = Needed::of(&command("."), &audience()).unwrap();
        let long = "x".repeat(20_000);
        for (row, reason) in [
            (row("", Some("a@example.com"), Some("Ann")), SkipReason::NoKey),
            (row(&long, Some("a@example.com"), Some("Ann")), SkipReason::BadKey),
            (row("1", None, Some("Ann")), SkipReason::NoAddress),
            (row("1", Some(" "), Some("Ann")), SkipReason::NoAddress),
            (row("1", Some("ann"), Some("Ann")), SkipReason::BadAddress),
            (row("1", Some("änn@example.com"), Some("Ann")), SkipReason::AddressNotAscii),
            (row("1", Some("a@example.com"), None), SkipReason::DataMissing),
            (row("1", Some("a@example.com"), Some("A\0n")), SkipReason::ControlCharacter),
            (row("1", Some("a@example.com"), Some(&long)), SkipReason::DataTooLarge),
        ] {
            match judge(row, &needed) {
                Judged::Skipped(key, found) => {
                    assert_eq!(found, reason);
                    assert!(key.len() <= 64);
                }
                Judged::Recipient(..) | Judged::SkippedFor { .. } => panic!("{reason:?} is mailed"),
            }
        }
    }

    #[test]
    fn an_address_that_a_carrier_gave_out_is_quoted_where_the_audience_says_so() {
        let judged = |address: &str, legacy_local_parts| {
            let needed = Needed::of(&command("."), &AudienceConfig { legacy_local_parts, ..audience() }).unwrap();
            match judge(row("1", Some(address), Some("Ann")), &needed) {
                Judged::Recipient(recipient, _) => Ok(String::from(recipient.address)),
                Judged::Skipped(_, reason) => Err(reason),
                Judged::SkippedFor { .. } => panic!("nothing else is mailed"),
            }
        };
        for address in ["a..b@docomo.example.jp", "\"a..b\"@docomo.example.jp"] {
            assert_eq!(judged(address, LegacyLocalParts::Skip), Err(SkipReason::LegacyLocalPart));
            assert_eq!(judged(address, LegacyLocalParts::Quote), Ok("\"a..b\"@docomo.example.jp".to_owned()));
        }
        assert_eq!(judged("\"ann\"@example.com\u{3000}", LegacyLocalParts::Skip), Ok("ann@example.com".to_owned()));
        for blank in ["\"john smith\"@example.com", " \"john smith\"@Example.com"] {
            assert_eq!(judged(blank, LegacyLocalParts::Skip), Err(SkipReason::LegacyLocalPart));
            assert_eq!(judged(blank, LegacyLocalParts::Quote), Ok("\"john smith\"@example.com".to_owned()));
        }
        // Without quotes it may be two things, of which one is an address.
        assert_eq!(judged("john smith@example.com", LegacyLocalParts::Quote), Err(SkipReason::BadAddress));
        assert_eq!(judged("\"a,b\"@example.com", LegacyLocalParts::Quote), Err(SkipReason::BadAddress));
    }

    #[test]
    fn bytes_that_are_no_text_matter_where_they_are_needed() {
        let needed = Needed::of(&command("."), &audience()).unwrap();
        let good = row("1", Some("a@example.com"), Some("Ann"));
        for (row, reason) in [
            (Row { address: Cell::NotText, ..good.clone() }, Some(SkipReason::NotText)),
            (Row { values: vec![Cell::NotText, Cell::Null], ..good.clone() }, Some(SkipReason::NotText)),
            (Row { flaw: Some(Flaw::KeyNotText), ..good.clone() }, Some(SkipReason::NotText)),
            (Row { flaw: Some(Flaw::BrokenLine("it is none".to_owned())), ..good.clone() }, Some(SkipReason::BrokenRow)),
            (Row { values: vec![Cell::Text("Ann".to_owned()), Cell::NotText], ..good }, None),
        ] {
            let skipped = if let Judged::Skipped(_, reason) = judge(row, &needed) { Some(reason) } else { None };
            assert_eq!(skipped, reason);
        }
    }

    #[test]
    fn a_link_to_unsubscribe_that_is_made_with_the_mail_may_be_the_whole_of_a_link() {
        let command = serde_json::json!({
            "version": 2, "class": "service", "broadcast_id": "b", "audience": "users", "from": "a@example.com", "max_recipients": 10,
            "content": { "inline": { "subject": "Hi", "html": "<a href=\"{{unsubscribe_url}}\">leave</a><a href='{{unsubscribe_url}}&x=1'>" } },
            "unsubscribe": { "url": "https://app.example.com/u?t={{token}}", "key": "2026-11" },
            "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        let needed = Needed::of(&BroadcastCommand::parse(&command.to_string()).unwrap(), &audience()).unwrap();
        assert!(judge(row("1", Some("a@example.com"), None), &needed).recipient().is_some(), "skipped");
    }

    #[test]
    fn a_no_is_blank_where_a_condition_asks_for_it_so_that_whoever_renders_the_letter_takes_it_for_one() {
        let command = serde_json::json!({
            "version": 2, "class": "service", "broadcast_id": "b", "audience": "users", "from": "a@example.com", "max_recipients": 10,
            "content": { "inline": { "subject": "Hi {{name}}", "text": "{{#if car}}Your plan{{else}}No plan{{/if}}" } },
            "not_after": "2026-11-25T00:00:00Z", "requested_by": "test",
        });
        let needed = Needed::of(&BroadcastCommand::parse(&command.to_string()).unwrap(), &audience()).unwrap();
        let data = |name: &str, car: &str| {
            let row = Row { values: [name, car].map(|text| Cell::Text(text.to_owned())).to_vec(), ..row("1", Some("a@example.com"), None) };
            let Judged::Recipient(recipient, _) = judge(row, &needed) else { panic!("skipped") };
            recipient.data.into_values().collect::<Vec<_>>()
        };
        assert_eq!([data("0", "false"), data("false", "0"), data("Ann", "yes")], [["", "0"], ["", "false"], ["yes", "Ann"]]);
    }

    #[test]
    fn only_what_the_content_names_goes_along() {
        let needed = Needed::of(&command("."), &audience()).unwrap();
        let Judged::Recipient(recipient, _) = judge(row("1", Some("a@example.com"), Some("Ann")), &needed) else { panic!("skipped") };
        assert_eq!(recipient.data.keys().collect::<Vec<_>>(), ["name"]);
        assert_eq!(Needed::of(&command("{{nmae}}"), &audience()).err(), Some(Lack::Placeholder("nmae".to_owned())));
    }
}
