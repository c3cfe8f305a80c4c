//! What a function is called with, parsed. Hostile until then, like every message in it.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use issei_aws::{Message, SENDERS, SENT_AT};
use serde::Deserialize;
use serde_json::Value;

/// Why a function was called.
#[derive(Debug)]
pub(crate) enum Call {
    /// An SQS event source has received these.
    Messages(Vec<Message>),
    /// A schedule says that it is time.
    Tick,
}

/// What the schedule sends: `{"call": "tick"}`.
#[derive(Deserialize)]
struct Scheduled {
    call: Tick,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tick {
    Tick,
}

impl Call {
    pub(crate) fn parse(payload: Value) -> Result<Self, String> {
        if payload.get("Records").is_some() {
            let event: SqsEvent = serde_json::from_value(payload).map_err(|_| "it has Records and is no event of SQS".to_owned())?;
            return event.records.into_iter().map(message).collect::<Result<_, _>>().map(Self::Messages);
        }
        match serde_json::from_value(payload) {
            Ok(Scheduled { call: Tick::Tick }) => Ok(Self::Tick),
            Err(_) => Err(r#"it is neither an event of SQS nor {"call": "tick"}"#.to_owned()),
        }
    }
}

fn message(record: SqsMessage) -> Result<Message, String> {
    // Without these two nobody could say what became of it.
    let (Some(id), Some(receipt)) = (record.message_id, record.receipt_handle) else {
        return Err("a record has no messageId or no receiptHandle".to_owned());
    };
    let attribute = |name: &str| record.attributes.get(name).and_then(|value| value.parse::<i64>().ok());
    let receives = attribute("ApproximateReceiveCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    let sent_at_ms = attribute("SentTimestamp").unwrap_or_default();
    let written = |name: &str| record.message_attributes.get(name)?.string_value.as_deref();
    let sender = record.attributes.get("SenderId").map(String::as_str);
    let received = Message::new(id, record.body.unwrap_or_default(), receipt, receives, sent_at_ms, written(SENT_AT));
    Ok(received.sent_by(sender, written(SENDERS)))
}

/// What the event source is told: these come again, and the others are done
/// (Lambda developer guide, "Reporting batch item failures").
pub(crate) fn answer(again: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    again.into_iter().for_each(|id| response.add_failure(id));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> Value {
        json!({
            "messageId": "m", "receiptHandle": "r", "body": "b",
            "attributes": { "ApproximateReceiveCount": "3", "SentTimestamp": "1000", "SenderId": "AROADBQP57FF2AEXAMPLE:app", "ApproximateFirstReceiveTimestamp": "1001" },
            "messageAttributes": { "sent_at_ms": { "stringValue": "400", "stringListValues": [], "binaryListValues": [], "dataType": "Number" } },
            "md5OfBody": "x", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:1:chunks", "awsRegion": "us-east-1"
        })
    }

    #[test]
    fn a_record_of_sqs_is_a_message_as_old_as_the_first() {
        let Ok(Call::Messages(messages)) = Call::parse(json!({ "Records": [record()] })) else { panic!("no messages") };
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((message.id.as_str(), message.receipt.as_str(), message.body.as_str()), ("m", "r", "b"));
        assert_eq!((message.receives, message.sent_at_ms), (3, 400));
        assert_eq!(message.senders.known, ["AROADBQP57FF2AEXAMPLE:app".parse().unwrap()]);
    }

    #[test]
    fn what_is_no_call_is_refused_and_not_quoted() {
        assert!(matches!(Call::parse(json!({ "call": "tick" })), Ok(Call::Tick)));
        let mut without_receipt = record();
        without_receipt.as_object_mut().unwrap().remove("receiptHandle");
        for bad in
            [json!(null), json!({}), json!({ "call": "secret" }), json!({ "Records": "secret" }), json!({ "Records": [without_receipt] })]
        {
            let error = Call::parse(bad).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_answer_names_what_comes_again() {
        assert_eq!(
            serde_json::to_value(answer(vec!["m".to_owned()])).unwrap(),
            json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] })
        );
        assert_eq!(serde_json::to_value(answer(Vec::new())).unwrap(), json!({ "batchItemFailures": [] }));
    }
}
