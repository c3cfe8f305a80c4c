//! Sends of SES v2: what a call must be, what becomes of each of its entries, and the letters as they are rendered.

use std::collections::BTreeMap;

use handlebars::{Handlebars, no_escape};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bad;
use crate::answer::ApiError;
use crate::cloud::State;
use crate::events::Accepted;
use crate::store::Mail;

/// Under what an account that remembers keys is told one.
pub const KEY_HEADER: &str = "Idempotency-Key";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Bulk {
    from_email_address: Option<String>,
    #[serde(default)]
    reply_to_addresses: Vec<String>,
    default_content: DefaultContent,
    bulk_email_entries: Vec<Entry>,
    configuration_set_name: Option<String>,
}

impl Bulk {
    pub(super) fn key(&self) -> Option<&str> {
        let entry = self.bulk_email_entries.first()?;
        entry.replacement_headers.iter().find(|header| header.name == KEY_HEADER).map(|header| header.value.as_str())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultContent {
    template: Template,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Template {
    template_name: Option<String>,
    template_content: Option<TemplateContent>,
    template_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TemplateContent {
    subject: String,
    text: String,
    html: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    destination: Destination,
    #[serde(default)]
    replacement_tags: Vec<Tag>,
    replacement_email_content: Option<Replacement>,
    #[serde(default)]
    replacement_headers: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(default)]
    to_addresses: Vec<String>,
}

/// A tag, or a header.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Replacement {
    replacement_template: ReplacementTemplate,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplacementTemplate {
    replacement_template_data: Option<String>,
}

/// The broadcast that an entry is tagged with.
fn tagged(entry: &Entry) -> &str {
    entry.replacement_tags.iter().find(|tag| tag.name == "broadcast").map_or("", |tag| tag.value.as_str())
}

/// Every value is a text: what else Handlebars would make of one is a rendering failure.
fn render(text: &str, data: &BTreeMap<String, Value>) -> Option<String> {
    issei_schema::render(text, |name| data.get(name)?.as_str())
}

/// What a stored template comes to that has more than plain placeholders. Where anything that it names is not there, it fails.
fn by_handlebars(text: &str, data: &BTreeMap<String, Value>) -> Option<String> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    // SES escapes nothing (developer guide, "Using templates to send personalized email").
    handlebars.register_escape_fn(no_escape);
    handlebars.render_template(text, data).ok()
}

impl State {
    /// One simple message, as those send whom the benchmark compares issei with.
    pub(super) fn send_email(&mut self, body: &Value) -> Result<Value, ApiError> {
        let simple = &body["Content"]["Simple"];
        let text = |part: &Value| part["Data"].as_str().unwrap_or_default().to_owned();
        let content =
            json!({ "Subject": text(&simple["Subject"]), "Text": text(&simple["Body"]["Text"]), "Html": text(&simple["Body"]["Html"]) });
        let tags = body["EmailTags"].as_array().cloned().unwrap_or_default();
        let bulk = json!({
            "FromEmailAddress": body["FromEmailAddress"],
            "DefaultContent": { "Template": { "TemplateContent": content } },
            "BulkEmailEntries": [{ "Destination": body["Destination"], "ReplacementTags": tags }],
            "ConfigurationSetName": body["ConfigurationSetName"],
        });
        let answer = self.send_bulk(&Bulk::deserialize(&bulk).map_err(|error| bad(error.to_string()))?)?;
        let result = &answer["BulkEmailEntryResults"][0];
        match result["MessageId"].as_str() {
            Some(id) => Ok(json!({ "MessageId": id })),
            None => Err(bad(result["Status"].as_str().unwrap_or_default())),
        }
    }

    pub(super) fn send_bulk(&mut self, bulk: &Bulk) -> Result<Value, ApiError> {
        let entries = bulk.bulk_email_entries.len();
        if entries == 0 || entries > 50 {
            return Err(bad(format!("a bulk send has 1 to 50 entries, this one {entries}")));
        }
        if let Some(name) = &bulk.configuration_set_name {
            self.configuration_set(name)?;
        }
        let headers = bulk
            .from_email_address
            .iter()
            .chain(&bulk.reply_to_addresses)
            .chain(bulk.bulk_email_entries.iter().flat_map(|entry| &entry.destination.to_addresses));
        if headers.into_iter().any(|header| header.chars().any(char::is_control)) {
            return Err(bad("a header holds a control character"));
        }
        if let Some(refusal) = bulk.bulk_email_entries.iter().find_map(|entry| self.refuses_call(entry)) {
            for entry in &bulk.bulk_email_entries {
                self.record(entry, false)?;
            }
            return Err(refusal);
        }
        let mut results = Vec::with_capacity(entries);
        for entry in &bulk.bulk_email_entries {
            results.push(self.send_entry(bulk, entry)?);
        }
        Ok(json!({ "BulkEmailEntryResults": results }))
    }

    fn refuses_call(&self, entry: &Entry) -> Option<ApiError> {
        let valid = |text: &str| text.len() <= 256 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@'));
        let tags = entry.replacement_tags.iter().all(|tag| !tag.name.is_empty() && valid(&tag.name) && valid(&tag.value));
        if !tags || entry.destination.to_addresses.is_empty() {
            return Some(bad("an entry is malformed"));
        }
        // SES API v2 reference, "MessageHeader".
        let is_header = |header: &Tag| {
            let named =
                !header.name.is_empty() && header.name.len() <= 126 && header.name.chars().all(|c| c.is_ascii_graphic() && c != ':');
            named && header.name.len() + header.value.len() <= 996 && header.value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        };
        if !entry.replacement_headers.iter().all(is_header) {
            return Some(bad("a header of an entry is malformed"));
        }
        let address = entry.destination.to_addresses.first()?;
        let rule = self.account.entry_rules.iter().find(|rule| rule.times != Some(0) && address.contains(&rule.address))?;
        match rule.parts() {
            ("BAD_REQUEST", words) => Some(bad(words)),
            ("CALL_REJECTED", words) => Some(ApiError::new("MessageRejected", words)),
            _ => None,
        }
    }

    fn use_rule(&mut self, entry: &Entry) -> Option<(String, String)> {
        let address = entry.destination.to_addresses.first()?;
        let rule = self.account.entry_rules.iter_mut().find(|rule| rule.times != Some(0) && address.contains(&rule.address))?;
        rule.times = rule.times.map(|times| times - 1);
        let (status, words) = rule.parts();
        Some((status.to_owned(), words.to_owned()))
    }

    fn record(&mut self, entry: &Entry, accepted: bool) -> Result<(), ApiError> {
        let broadcast = tagged(entry);
        for address in &entry.destination.to_addresses {
            self.store.count_send(address, broadcast, accepted)?;
        }
        Ok(())
    }

    fn send_entry(&mut self, bulk: &Bulk, entry: &Entry) -> Result<Value, ApiError> {
        let plain = |status: &str| Some((status.to_owned(), "simulated".to_owned()));
        let refused = if let Some(refused) = self.use_rule(entry) {
            Some(refused)
        } else if bulk.configuration_set_name.as_ref().is_some_and(|name| self.ses.configuration_sets.get(name) == Some(&false)) {
            plain("CONFIGURATION_SET_SENDING_PAUSED")
        } else if self.over_rate() {
            plain("ACCOUNT_THROTTLED")
        } else if self.ses.accepted.to_string().parse::<f64>().unwrap_or(f64::MAX) >= self.account.max_24_hour_send {
            plain("ACCOUNT_DAILY_QUOTA_EXCEEDED")
        } else {
            None
        };
        self.record(entry, refused.is_none())?;
        if let Some((status, words)) = refused {
            return Ok(json!({ "Status": status, "Error": words }));
        }
        self.count_accepted_of(tagged(entry));
        self.ses.sent += 1;
        let sent = self.ses.sent;
        let id = message_id(self.clock.wall(), sent);
        if self.account.keep_mails && self.account.mails_max.is_none_or(|most| sent <= most) {
            self.keep(bulk, entry, &id)?;
        }
        let tags = entry.replacement_tags.iter().map(|tag| (tag.name.clone(), json!([tag.value]))).collect::<serde_json::Map<_, _>>();
        self.tell_events(&Accepted {
            message_id: &id,
            source: bulk.from_email_address.as_deref().unwrap_or_default(),
            destination: &entry.destination.to_addresses,
            tags: Value::Object(tags),
        })?;
        Ok(json!({ "Status": "SUCCESS", "MessageId": id }))
    }

    fn keep(&mut self, bulk: &Bulk, entry: &Entry, id: &str) -> Result<(), ApiError> {
        let template = &bulk.default_content.template;
        let parse = |data: Option<&String>| data.map_or(Ok(BTreeMap::new()), |data| serde_json::from_str::<BTreeMap<String, Value>>(data));
        let mut data = parse(template.template_data.as_ref()).map_err(|error| bad(error.to_string()))?;
        let replacement =
            entry.replacement_email_content.as_ref().and_then(|content| content.replacement_template.replacement_template_data.as_ref());
        data.extend(parse(replacement).map_err(|error| bad(error.to_string()))?);
        // A stored template whose content the account does not have is shown by its name alone.
        let stored = template.template_name.as_ref().and_then(|name| self.account.templates.get(name));
        let stored = stored.and_then(|content| TemplateContent::deserialize(content).ok());
        let content = template.template_content.as_ref().or(stored.as_ref());
        let part = |text: fn(&TemplateContent) -> &String| {
            content.map_or_else(
                || template.template_name.clone().unwrap_or_default(),
                |content| {
                    let rendered = render(text(content), &data).or_else(|| by_handlebars(text(content), &data));
                    rendered.unwrap_or_else(|| "RENDERING FAILED".to_owned())
                },
            )
        };
        let mail = Mail {
            address: entry.destination.to_addresses.join(","),
            from: bulk.from_email_address.clone().unwrap_or_default(),
            subject: part(|content| &content.subject),
            text: part(|content| &content.text),
            html: part(|content| &content.html),
            headers: entry.replacement_headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
            tags: entry.replacement_tags.iter().map(|tag| format!("{}={}", tag.name, tag.value)).collect::<Vec<_>>().join(" "),
            reply_to: bulk.reply_to_addresses.clone(),
            message_id: id.to_owned(),
            accepted_at: self.clock.wall(),
        };
        Ok(self.store.keep_mail(&mail)?)
    }
}

/// As long as a real one and as much at random, so that ledger items have their real size: the moment, a UUID, a counter.
fn message_id(now: Timestamp, sent: u64) -> String {
    // SplitMix64, which gives no number twice.
    let mixed = |number: u64| {
        let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (a, b) = (mixed(2 * sent), mixed(2 * sent + 1));
    let (moment, node) = (now.as_millisecond(), b & 0xffff_ffff_ffff);
    format!("0100{moment:012x}-{:08x}-{:04x}-{:04x}-{:04x}-{node:012x}-000000", a >> 32, (a >> 16) & 0xffff, a & 0xffff, b >> 48)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data() -> BTreeMap<String, Value> {
        [("t0", "<Ann> {{h0}} \\"), ("h0", "&lt;"), ("_a", "")].map(|(name, value)| (name.to_owned(), json!(value))).into()
    }

    proptest! {
        /// Where this renders a text, Handlebars renders the same. Where this calls it a failure, it may.
        #[test]
        fn a_text_is_rendered_as_handlebars_renders_it(
            text in "([a-z<>&\"'. \n\\\\}]|あ|\\{\\{ ?(t0|h0|_a) ?\\}\\}|\\{\\{|\\{){0,12}",
        ) {
            if let Some(rendered) = render(&text, &data()) {
                prop_assert_eq!(Some(rendered), by_handlebars(&text, &data()));
            }
        }
    }

    #[test]
    fn what_handlebars_interprets_is_not_rendered_as_it_stands() {
        for text in
            ["\\{{t0}}", "{{{t0}}}", "{{&t0}}", "{{#if t0}}a{{/if}}", "{{> t0}}", "{{! t0}}", "{{~t0}}", "{{t0", "{{missing}}", "{{this}}"]
        {
            assert_eq!(render(text, &data()), None, "{text}");
        }
        assert_eq!(by_handlebars("\\{{t0}}", &data()), Some("{{t0}}".to_owned()), "the backslash that a command may not have");
        assert_eq!(by_handlebars("{{missing}}", &data()), None);
    }
}
