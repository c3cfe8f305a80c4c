//! SES events: what the provider tells afterwards about each message that it accepted, on an SQS
//! queue, in the envelope of the way that it took.

use std::time::Duration;

use issei_clock::Instant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::ApiError;
use crate::cloud::State;

/// Where events go and what befalls them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The queue that they arrive on; none means that nobody is told.
    pub queue: Option<String>,
    pub envelope: Envelope,
    /// How probable it is that an event never arrives (0 to 1).
    pub lost: f64,
    /// How probable it is that an event arrives twice (0 to 1).
    pub repeated: f64,
    /// Each event arrives up to so many seconds late, so that they change their order.
    pub late_s: u64,
    /// How probable it is that an event is on its way for up to `away_s` seconds before anybody can see it (0 to 1).
    pub away: f64,
    pub away_s: u64,
    /// Messages that meet with something else than a delivery.
    pub rules: Vec<EventRule>,
}

impl Default for Events {
    fn default() -> Self {
        Self { queue: None, envelope: Envelope::Raw, lost: 0.0, repeated: 0.0, late_s: 0, away: 0.0, away_s: 0, rules: Vec::new() }
    }
}

/// The envelope around an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// SNS with raw message delivery: the event itself.
    Raw,
    /// SNS without: a notification whose `Message` is the event as text.
    Sns,
    /// `EventBridge`: the event is the `detail`.
    EventBridge,
}

/// Messages whose address contains `address` meet with `event` instead of `Delivery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    pub address: String,
    /// An event type of SES, such as `Bounce` (a permanent one) or `Rendering Failure`; of a bounce also with
    /// its subtype, `Bounce OnAccountSuppressionList`, and of a complaint with its feedback type,
    /// `Complaint not-spam`.
    pub event: String,
}

/// A message that the provider accepted.
pub(crate) struct Accepted<'a> {
    pub(crate) message_id: &'a str,
    pub(crate) source: &'a str,
    pub(crate) destination: &'a [String],
    pub(crate) tags: Value,
}

impl State {
    /// Tells what becomes of an accepted message: that it was sent, and how that ended.
    pub(crate) fn tell_events(&mut self, accepted: &Accepted<'_>) -> Result<(), ApiError> {
        if self.account.events.queue.is_none() {
            return Ok(());
        }
        let address = accepted.destination.first().map_or("", String::as_str);
        let rule = self.account.events.rules.iter().find(|rule| address.contains(&rule.address));
        let end = rule.map_or_else(|| "Delivery".to_owned(), |rule| rule.event.clone());
        // What could not be rendered was never sent.
        if end != "Rendering Failure" {
            self.tell(&self.event("Send", accepted))?;
        }
        if end != "Send" {
            self.tell(&self.event(&end, accepted))?;
        }
        Ok(())
    }

    fn event(&self, kind: &str, accepted: &Accepted<'_>) -> Value {
        let now = self.clock.wall().to_string();
        let recipients: Vec<Value> = accepted.destination.iter().map(|address| json!({ "emailAddress": address })).collect();
        let bounced = |address: &String| {
            let said = format!("smtp; 550 5.1.1 <{address}>: Recipient address rejected: User unknown in local recipient table");
            json!({ "emailAddress": address, "action": "failed", "status": "5.1.1", "diagnosticCode": said })
        };
        let (kind, sub_type) = match kind.split_once(' ') {
            Some((kind @ ("Bounce" | "Complaint"), sub_type)) => (kind, Some(sub_type)),
            _ => (kind, None),
        };
        let (name, details) = match kind {
            "Bounce" => (
                "bounce",
                json!({ "bounceType": "Permanent", "bounceSubType": sub_type.unwrap_or("General"), "bouncedRecipients": accepted.destination.iter().map(bounced).collect::<Vec<_>>(), "timestamp": now, "feedbackId": accepted.message_id }),
            ),
            "Complaint" => (
                "complaint",
                json!({ "complainedRecipients": recipients, "complaintFeedbackType": sub_type, "timestamp": now, "feedbackId": accepted.message_id }),
            ),
            "Delivery" => (
                "delivery",
                json!({ "timestamp": now, "processingTimeMillis": 500, "recipients": accepted.destination, "smtpResponse": "250 ok" }),
            ),
            "Reject" => ("reject", json!({ "reason": "Bad content" })),
            "Rendering Failure" => ("failure", json!({ "errorMessage": "Attribute 'name' is not present", "templateName": "template" })),
            "DeliveryDelay" => ("deliveryDelay", json!({ "timestamp": now, "delayType": "General" })),
            _ => ("send", json!({})),
        };
        json!({
            "eventType": kind,
            "mail": {
                "timestamp": now,
                "source": accepted.source,
                "sendingAccountId": "000000000000",
                "messageId": accepted.message_id,
                "destination": accepted.destination,
                "headersTruncated": false,
                "tags": accepted.tags,
            },
            name: details,
        })
    }

    /// Puts the events on their queue that have arrived by now, and tells when the next one will.
    pub(crate) fn events_arrive(&mut self) -> Result<Option<Instant>, ApiError> {
        let now = self.clock.now();
        for (_, queue, body) in self.away.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>() {
            self.put_on_queue(&queue, &body, 0)?;
        }
        Ok(self.away.iter().map(|(at, ..)| *at).min())
    }

    fn tell(&mut self, event: &Value) -> Result<(), ApiError> {
        let body = match self.account.events.envelope {
            Envelope::Raw => event.to_string(),
            Envelope::Sns => json!({
                "Type": "Notification", "MessageId": "5b1d1c0e", "TopicArn": "arn:aws:sns:us-east-1:000000000000:feedback",
                "Message": event.to_string(), "Timestamp": event["mail"]["timestamp"],
            })
            .to_string(),
            Envelope::EventBridge => json!({
                "version": "0", "id": "12a18625", "detail-type": format!("Email {}", event["eventType"].as_str().unwrap_or_default()),
                "source": "aws.ses", "account": "000000000000", "time": event["mail"]["timestamp"], "region": "us-east-1",
                "resources": [], "detail": event,
            })
            .to_string(),
        };
        self.tell_line(&body)
    }

    /// Puts a message on the events' queue, with whatever befalls events.
    pub(crate) fn tell_line(&mut self, body: &str) -> Result<(), ApiError> {
        let events = self.account.events.clone();
        let Some(queue) = events.queue else { return Ok(()) };
        if events.lost > 0.0 && self.dice.chance(events.lost) {
            return Ok(());
        }
        let copies = if events.repeated > 0.0 && self.dice.chance(events.repeated) { 2 } else { 1 };
        for _ in 0..copies {
            if events.away > 0.0 && self.dice.chance(events.away) {
                let at = self.clock.now() + Duration::from_secs(self.dice.below(events.away_s + 1));
                self.away.push((at, queue.clone(), body.to_owned()));
                continue;
            }
            let delay = self.dice.below(events.late_s.min(900) + 1);
            self.put_on_queue(&queue, body, delay)?;
        }
        Ok(())
    }
}
