//! `SendGrid`'s export of its Email Activity Feed, a CSV that it sends a link to (`POST /v3/messages/download`): each row as
//! an event of its webhook. Its documents name no columns; these are the ones that programs which read such files name,
//! and they are found by their names, in any order.

use issei_producer::{CsvList, CsvRow, NoCsvRow};
use serde_json::{Map, Value, json};

use super::rows::Row;

/// What an event is known by. The arguments that issei gives each message stand as JSON in the last one.
const EVENT: &str = "event";
const EMAIL: &str = "email";
const MESSAGE: &str = "message_id";
const ARGUMENTS: &str = "unique_args";
/// Of a bounce, and why something bounced or was dropped.
const TYPE: &str = "type";
const REASON: &str = "reason";

/// Without these nothing can be made of a row.
const NEEDED: [&str; 4] = [EVENT, EMAIL, MESSAGE, ARGUMENTS];

/// Such a file, where it is one: its header line has several columns, and two at least of those that are needed.
fn list(text: &str) -> Option<CsvList> {
    if text.starts_with(['{', '[']) {
        return None;
    }
    let list = CsvList::of(text, |columns| columns.iter().position(|name| name == EMAIL)).ok()?;
    (NEEDED.iter().filter(|needed| list.columns().iter().any(|name| name == *needed)).count() > 1).then_some(list)
}

/// The rows of such a file; nothing where it is none. One that can't be read ends with its line, and each that stands in a
/// quote of its is told as well.
pub(super) fn rows(text: &str) -> Option<Box<dyn Iterator<Item = Row> + '_>> {
    let list = list(text)?;
    let columns = list.columns().to_vec();
    let missing: Vec<&str> = NEEDED.into_iter().filter(|needed| !columns.iter().any(|name| name == needed)).collect();
    if !missing.is_empty() {
        let reason = format!(
            "the export has no column {}, without which nothing is known of a message; export it once more with all columns, and change none of their names",
            missing.join(", ")
        );
        return Some(Box::new(std::iter::once(Row { line: 1, number: 1, value: Err(reason) })));
    }
    Some(Box::new(list.map(move |row| match row {
        Ok(CsvRow { line, fields }) => Row { line, number: 1, value: event(&columns, &fields) },
        Err(NoCsvRow { line, reason }) => Row { line, number: 1, value: Err(reason) },
    })))
}

fn event(columns: &[String], fields: &[String]) -> Result<Value, String> {
    let field = |name: &str| {
        let field = columns.iter().position(|column| column == name).and_then(|at| fields.get(at));
        field.map(|field| field.trim()).unwrap_or_default()
    };
    let mut event = Map::new();
    if !field(ARGUMENTS).is_empty() {
        let arguments: Map<String, Value> =
            serde_json::from_str(field(ARGUMENTS)).map_err(|_| format!("its {ARGUMENTS} are no JSON object"))?;
        event.extend(
            arguments.into_iter().filter(|(name, _)| matches!(name.as_str(), "broadcast" | "chunk" | "recipient" | "registration")),
        );
    }
    event.insert(EVENT.to_owned(), json!(kind(field(EVENT))?));
    event.insert(EMAIL.to_owned(), json!(field(EMAIL)));
    event.insert("sg_message_id".to_owned(), json!(field(MESSAGE)));
    event.insert(REASON.to_owned(), json!(field(REASON)));
    // The webhook calls a bounce that is not for good a block, and the feed calls it soft.
    let soft = matches!(field(TYPE), "blocked" | "soft");
    event.insert(TYPE.to_owned(), json!(if soft { "blocked" } else { field(TYPE) }));
    Ok(Value::Object(event))
}

/// The webhook's name of an event: the feed has blanks, low lines and other endings. One that is not known here could be
/// anything, so it is refused; as an event of the webhook it would say that the message was taken.
fn kind(name: &str) -> Result<&'static str, String> {
    Ok(match name.to_ascii_lowercase().replace([' ', '_', '-'], "").as_str() {
        "processed" => "processed",
        "delivered" => "delivered",
        "deferred" => "deferred",
        "bounce" | "bounced" => "bounce",
        "dropped" | "drop" => "dropped",
        "open" | "opened" => "open",
        "click" | "clicked" => "click",
        "spamreport" => "spamreport",
        "unsubscribe" | "unsubscribed" => "unsubscribe",
        "groupunsubscribe" => "group_unsubscribe",
        "groupresubscribe" => "group_resubscribe",
        _ => return Err("its event is none that SendGrid's activity feed is known to have".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "processed,message_id,event,api_key_id,recv_message_id,credential_id,subject,from,email,asm_group_id,template_id,originating_ip,reason,outbound_ip,outbound_ip_type,mx,attempt,url,user_agent,type,is_unique,username,categories,marketing_campaign_id,marketing_campaign_name,marketing_campaign_split_id,marketing_campaign_version,unique_args";
    const ARGS: &str = r#""{""broadcast"":""terms"",""chunk"":""0"",""recipient"":""3"",""email"":""other@example.com""}""#;

    fn line(event: &str, reason: &str, kind: &str, arguments: &str) -> String {
        format!(
            "1588788367,abc.filterdrecv-1,{event},key,abc,1,\"Terms, new\",no-reply@example.com,ann@example.com,,,192.0.2.1,{reason},192.0.2.2,dedicated,mx.example.com,,,,{kind},,user,[],,,,,{arguments}"
        )
    }

    fn read(lines: &[String]) -> Vec<(u64, Result<Value, String>)> {
        let text = format!("{HEADER}\n{}\n", lines.join("\n"));
        rows(&text).unwrap().map(|row| (row.line, row.value)).collect()
    }

    #[test]
    fn a_row_of_the_activity_feed_is_the_event_that_the_webhook_would_have_told() {
        let found = read(&[
            line("bounce", "\"550 \"\"no\"\"\nsuch user, here\"", "hard", ARGS),
            line("Spam Report", "", "", ARGS),
            line("bounced", "", "soft", ARGS),
            line("delivered", "", "", ""),
        ]);
        let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5, 6]);
        let of = |at: usize| found[at].1.clone().unwrap();
        assert_eq!(
            of(0),
            json!({
                "broadcast": "terms", "chunk": "0", "recipient": "3", "event": "bounce", "email": "ann@example.com",
                "sg_message_id": "abc.filterdrecv-1", "reason": "550 \"no\"\nsuch user, here", "type": "hard",
            })
        );
        assert_eq!((&of(1)["event"], &of(2)["type"]), (&json!("spamreport"), &json!("blocked")));
        // Of somebody else's mail, which is told by what is not there.
        assert!(of(3)["broadcast"].is_null());
    }

    #[test]
    fn what_can_not_be_read_takes_no_other_row_with_it_and_is_not_quoted() {
        let swallowing = line("bounce", "\"550 no", "hard", ARGS);
        for (bad, says) in [
            (line("vanished", "", "", ARGS), "its event is none"),
            (line("bounce", "", "", "{broadcast"), "no JSON object"),
            (line("bounce", "", "", ARGS) + ",more", "29 fields and the header 28"),
        ] {
            let found = read(&[bad, line("delivered", "", "", ARGS)]);
            let refusal = found[0].1.clone().unwrap_err();
            assert!(refusal.contains(says) && !refusal.contains("ann@"), "{refusal}");
            assert!(found.len() == 2 && found[1].1.is_ok(), "{says}");
        }
        // A quote that never closes takes its row, which is told; those behind it are read, or told one by one.
        let good = || line("delivered", "", "", ARGS);
        let found = read(&[swallowing, good(), good()]);
        let told: Vec<(u64, bool)> = found.iter().map(|(line, value)| (*line, value.is_ok())).collect();
        assert_eq!(told, [(2, false), (3, true), (4, true)], "{found:?}");
        let plain = |event: &str| line(event, "", "", "").replace("\"Terms, new\"", "Terms");
        let open = plain("bounce").replace(",Terms,", ",\"Terms,");
        let found = read(&[open.clone(), plain("delivered"), plain("delivered")]);
        let told: Vec<(u64, bool)> = found.iter().map(|(line, value)| (*line, value.is_ok())).collect();
        assert_eq!(told, [(2, false), (3, true), (4, true)], "{found:?}");
        // Where it closes in a row behind it, nobody can say which of them are rows.
        let found = read(&[open, plain("delivered"), plain("delivered").replace(",Terms,", ",Terms\","), good()]);
        let told: Vec<(u64, bool)> = found.iter().map(|(line, value)| (*line, value.is_ok())).collect();
        assert_eq!(told, [(2, false), (3, false), (4, false), (5, true)], "{found:?}");
        let without = "processed,message_id,event,email\n1,a,delivered,ann@example.com\n";
        let found: Vec<Row> = rows(without).unwrap().collect();
        assert!(found.len() == 1 && found[0].value.as_ref().is_err_and(|why| why.contains("no column unique_args")));
        let renamed = "processed,Message Id,event,email,args\n1,a,delivered,ann@example.com,{}\n";
        let found: Vec<Row> = rows(renamed).unwrap().collect();
        assert!(
            found.len() == 1 && found[0].value.as_ref().is_err_and(|why| why.contains("no column message_id, unique_args")),
            "each row of it would be called no JSON"
        );
        assert!(rows("{\"event\":\"delivered\"}\n").is_none());
    }
}
