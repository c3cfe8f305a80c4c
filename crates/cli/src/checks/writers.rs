//! Who may write events: the policies of the feedback queue and of its dead-letter queue, against those that `infra/state.yaml` and
//! `issei setup --events` give them.
//!
//! An allowance to write stands in identities, too, which nobody can list. So only a denial for everybody tells, by whom it leaves out.
//! What must never be: a denial that is not understood counts as one.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::QueueAttributeName;
use issei_assembly::Parts;
use issei_aws::{AwsCall, Queue, chain};
use issei_certificate::Finding;
use issei_provider::SnsTrust;
use serde_json::Value;

use super::InEnglish;
use super::setting;

/// By which tag a policy knows the roles of the parts.
const TAG: &str = "aws:principaltag/issei-part";
const SOURCE: &str = "aws:sourcearn";

/// The roles that may write, by what their tag ends with: whoever moves dead events back, and the API of webhooks.yaml, whose events
/// are believed by their signature alone.
const WRITERS: [&str; 2] = ["-event-redriver", "-webhooks"];
/// To the dead-letter queue: the feedback consumer, which buries what is no event.
const BURIERS: [&str; 1] = ["-feedback"];

/// Without SES nothing is believed as it comes: of another provider's broadcast its signature alone counts.
pub(crate) async fn who_may_write_events(parts: &Parts, uses_ses: bool) -> Vec<Finding> {
    let live = &parts.settings.feedback_queue;
    let topics = if uses_ses { topics(parts).await } else { Some(BTreeSet::new()) };
    let by_sns = matches!(parts.settings.sns_trust(), Ok(SnsTrust::Require(_)));
    let is_signed = by_sns || !uses_ses;
    let signer = if uses_ses { "SNS" } else { "its provider" };
    let mut findings = Vec::new();
    let mut live_arn = None;
    for (name, roles, whom) in [
        (live.clone(), &WRITERS[..], "the topic of SES's events, and by their tag the roles that move dead events back and take webhooks"),
        (Queue::dead_letter_name(live), &BURIERS[..], "SNS, SQS, and by its tag the role of the feedback consumer"),
    ] {
        let finding = setting(&format!("queue {name}: who may write"), &format!("SQS GetQueueAttributes of {name}")).rule(
            whom,
            "events are believed as they come: whoever writes some can settle or reopen doubt, so that people are mailed again, or stop a broadcast",
        );
        let (arn, policy) = match deployed(parts, &name).await {
            Ok(deployed) => deployed,
            Err(error) => {
                findings.push(finding.unreadable(error).mend("issei setup"));
                continue;
            }
        };
        let wanted = Wanted { roles, topics: topics.as_ref(), live: live_arn.as_deref() };
        let (told, is_kept) = match let_in(&policy, &arn) {
            Ok(exceptions) => wanted.judged(&exceptions),
            Err(why) => (why, false),
        };
        live_arn = live_arn.or(Some(arn));
        let told = if is_signed && !is_kept { format!("{told}; each event is believed by {signer}'s signature alone") } else { told };
        findings.push(finding.found(told, is_kept || is_signed).mend(
            "issei setup --events, which says what is to be added where the policy is your own, or the statements of FeedbackQueuePolicy in infra/state.yaml",
        ));
    }
    findings
}

/// The topics that SES publishes to; nothing where it does not tell.
async fn topics(parts: &Parts) -> Option<BTreeSet<String>> {
    let named = match parts.settings.sns_trust() {
        Ok(SnsTrust::Require(topic)) => Some(topic.to_string()),
        _ => None,
    };
    let told = parts.ses().events_to().await.ok()?;
    Some(told.iter().filter_map(|one| one.topic().map(str::to_owned)).chain(named).collect())
}

/// Its ARN and its policy.
async fn deployed(parts: &Parts, name: &str) -> Result<(String, Value), String> {
    let sqs = &parts.clients.sqs;
    let url = sqs.get_queue_url().queue_name(name).call().await.map_err(|error| chain(&error))?.queue_url.unwrap_or_default();
    let request = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let mut attributes = request.call().await.map_err(|error| chain(&error))?.attributes.unwrap_or_default();
    let policy = attributes.remove(&QueueAttributeName::Policy).unwrap_or_default();
    // A policy that can't be read keeps nobody out.
    Ok((attributes.remove(&QueueAttributeName::QueueArn).unwrap_or_default(), serde_json::from_str(&policy).unwrap_or_default()))
}

/// Whom a denial leaves out: the key of the condition, in small letters, and its value.
type Exceptions = BTreeSet<(String, String)>;

/// Who may write whatever identities are allowed, by the denials for everybody: whoever is left out by each of them. Else why anybody
/// may.
fn let_in(policy: &Value, queue: &str) -> Result<Exceptions, String> {
    let mut let_in: Option<Exceptions> = None;
    let mut not_understood = BTreeSet::new();
    for statement in each(&policy["Statement"]).into_iter().filter(|statement| statement["Effect"] == "Deny" && is_of(statement, queue)) {
        match exceptions(statement) {
            Ok(these) => let_in = Some(let_in.map_or_else(|| these.clone(), |before| before.intersection(&these).cloned().collect())),
            Err(condition) => drop(not_understood.insert(condition)),
        }
    }
    let anybody = "any identity that is allowed sqs:SendMessage";
    let_in.ok_or_else(|| {
        let others: Vec<String> = not_understood.into_iter().collect();
        if others.is_empty() {
            format!("{anybody}: no statement denies it")
        } else {
            format!("{anybody}, as far as can be told: the denial holds only under {}", others.join(", "))
        }
    })
}

/// Whether it is about everybody who writes to this queue.
fn is_of(statement: &Value, queue: &str) -> bool {
    let is_any =
        |name: &str, wanted: &[&str]| texts(&statement[name]).iter().any(|text| wanted.iter().any(|one| text.eq_ignore_ascii_case(one)));
    let everybody = &statement["Principal"];
    let is_everybody = *everybody == "*" || texts(&everybody["AWS"]).contains(&"*");
    is_everybody
        && is_any("Action", &["sqs:SendMessage", "sqs:*", "*"])
        && texts(&statement["Resource"]).iter().any(|of| [queue, "*"].contains(of))
}

/// A negated condition holds where its key is missing, too, and a denial whose every condition holds: so whoever meets one of the
/// values is left out of it.
fn exceptions(statement: &Value) -> Result<Exceptions, String> {
    let mut all = Exceptions::new();
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        let is_negated = ["ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike"].contains(&operator.as_str());
        for (key, values) in keys.as_object().into_iter().flatten() {
            let key = key.to_ascii_lowercase();
            if !is_negated || ![SOURCE, TAG].contains(&key.as_str()) {
                return Err(format!("{operator} of {key}"));
            }
            all.extend(texts(values).into_iter().map(|value| (key.clone(), value.to_owned())));
        }
    }
    Ok(all)
}

/// Who is to be let in.
struct Wanted<'a> {
    roles: &'a [&'a str],
    topics: Option<&'a BTreeSet<String>>,
    /// The queue whose dead letters they are.
    live: Option<&'a str>,
}

impl Wanted<'_> {
    /// Who is let in, and whether nobody is but those. Whoever is wanted and is not let in writes nothing, which others see to.
    fn judged(&self, exceptions: &Exceptions) -> (String, bool) {
        let (known, others): (Vec<_>, Vec<_>) = exceptions.iter().partition(|exception| self.is_wanted(exception, exceptions));
        let told = |all: &[&(String, String)]| {
            let named = |(key, value): &(String, String)| if key == TAG { format!("issei-part {value}") } else { value.clone() };
            all.iter().map(|exception| named(exception)).collect::<Vec<_>>().join(", ")
        };
        match (known.is_empty(), others.is_empty()) {
            (true, true) => ("nobody".to_owned(), true),
            (false, true) => (told(&known), true),
            (true, false) => (format!("ALSO {}", told(&others)), false),
            (false, false) => (format!("{}; ALSO {}", told(&known), told(&others)), false),
        }
    }

    fn is_wanted(&self, (key, value): &(String, String), all: &Exceptions) -> bool {
        if key == TAG {
            return !value.contains('*') && self.roles.iter().any(|role| value.ends_with(role));
        }
        // By an own rule of EventBridge, where SES tells its events that way.
        let is_rule = value.contains(":events:") && value.contains(":rule/") && !value.contains('*');
        let is_topic = || match self.topics {
            // As the templates name it, beside the roles.
            Some(topics) => topics.contains(value) || self.prefixes(all).any(|prefix| is_beside(value, prefix)),
            None => value.contains(":sns:") && !value.contains('*'),
        };
        self.live == Some(value) || is_rule || is_topic()
    }

    fn prefixes<'a>(&'a self, all: &'a Exceptions) -> impl Iterator<Item = &'a str> {
        let tags = all.iter().filter(|(key, _)| key == TAG);
        tags.flat_map(|(_, value)| self.roles.iter().filter_map(|role| value.strip_suffix(role)))
    }
}

fn is_beside(arn: &str, prefix: &str) -> bool {
    arn.contains(":sns:") && arn.rsplit(':').next().and_then(|name| name.strip_suffix("-events")) == Some(prefix)
}

/// One, or a list of them.
fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<&str> {
    each(value).into_iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:1:issei-feedback";
    const TOPIC: &str = "arn:aws:sns:us-east-1:1:issei-events";

    fn denial(condition: &Value) -> Value {
        json!({ "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": QUEUE, "Condition": condition })
    }

    fn usual() -> Value {
        json!({
            "ArnNotEquals": { "aws:SourceArn": TOPIC },
            "StringNotEquals": { "aws:PrincipalTag/issei-part": ["issei-event-redriver", "issei-webhooks"] },
        })
    }

    fn judged(statements: &Value, topics: Option<&[&str]>) -> (String, bool) {
        let topics = topics.map(|topics| topics.iter().map(|topic| (*topic).to_owned()).collect());
        let wanted = Wanted { roles: &WRITERS, topics: topics.as_ref(), live: None };
        match let_in(&json!({ "Statement": statements }), QUEUE) {
            Ok(exceptions) => wanted.judged(&exceptions),
            Err(why) => (why, false),
        }
    }

    #[test]
    fn whoever_is_left_out_of_the_denial_for_everybody_may_write_and_nobody_else() {
        let all = format!("issei-part issei-event-redriver, issei-part issei-webhooks, {TOPIC}");
        for statements in [
            json!([denial(&usual())]),
            denial(&usual()),
            json!([{ "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" }, denial(&usual())]),
        ] {
            assert_eq!(judged(&statements, Some(&[])), (all.clone(), true), "{statements}");
        }
        // A second denial keeps out whom the first lets in.
        let narrow = json!({ "ArnNotEquals": { "aws:SourceArn": TOPIC } });
        assert_eq!(judged(&json!([denial(&usual()), denial(&narrow)]), Some(&[TOPIC])), (TOPIC.to_owned(), true));
        assert_eq!(judged(&json!([denial(&json!({}))]), Some(&[])), ("nobody".to_owned(), true));
        let with = |key: &str, value: &str| {
            let mut condition = usual();
            let there = &mut condition["StringNotEquals"];
            there[key] = json!([value]);
            condition
        };
        for (condition, also) in [
            (with("aws:PrincipalTag/issei-part", "issei-app"), "issei-part issei-app"),
            (with("aws:PrincipalTag/issei-part", "*-webhooks"), "issei-part *-webhooks"),
            (
                json!({ "ArnNotEquals": { "aws:SourceArn": "arn:aws:sns:us-east-1:1:others-events" } }),
                "arn:aws:sns:us-east-1:1:others-events",
            ),
        ] {
            let (told, holds) = judged(&json!([denial(&condition)]), Some(&[TOPIC]));
            assert!(!holds && told.ends_with(&format!("ALSO {also}")), "{told}");
        }
        // Of a topic of one's own SES says that it publishes to it.
        let own = json!({ "ArnNotEquals": { "aws:SourceArn": "arn:aws:sns:us-east-1:1:own" } });
        assert!(
            judged(&denial(&own), Some(&["arn:aws:sns:us-east-1:1:own"])).1
                && judged(&denial(&own), None).1
                && !judged(&denial(&own), Some(&[])).1
        );
    }

    #[test]
    fn what_denies_less_than_everybody_or_is_not_understood_keeps_nobody_out() {
        let mut cases = vec![json!([]), json!([{ "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": QUEUE }])];
        for (name, value) in [
            ("Principal", json!({ "AWS": "arn:aws:iam::1:role/app" })),
            ("Action", json!("sqs:ReceiveMessage")),
            ("Resource", json!("arn:aws:sqs:us-east-1:1:issei-chunks")),
        ] {
            let mut other = denial(&usual());
            other[name] = value;
            cases.push(other);
        }
        for (operator, key) in
            [("Null", "aws:PrincipalTag/issei-part"), ("StringEquals", "aws:SourceAccount"), ("StringNotEquals", "aws:PrincipalArn")]
        {
            let mut condition = usual();
            condition[operator] = json!({ key: "x" });
            cases.push(denial(&condition));
        }
        for statements in cases {
            let (told, holds) = judged(&statements, None);
            assert!(!holds && told.starts_with("any identity that is allowed sqs:SendMessage"), "{statements}: {told}");
        }
    }
}
