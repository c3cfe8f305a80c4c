//! Every number of the templates, held against the setting, the chain or the limit of AWS that it obeys.
//! A number that no rule speaks of is refused, so that none is added without one.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::template::template;

/// What the default of a setting is, as documented, which a test keeps true.
fn setting(name: &str) -> f64 {
    let documented = include_str!("../../../../docs/configuration.md");
    let row = documented.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("no setting {name}"));
    row.split('|').nth(5).unwrap().trim().trim_matches('`').replace(',', "").parse().unwrap()
}

/// A number of a template, and where it stands.
struct Number {
    /// `/Resources/ConsumerSource/Properties/BatchSize`
    pointer: String,
    /// What it is, without the names of resources: `AWS::Lambda::EventSourceMapping/BatchSize`.
    kind: String,
    value: f64,
}

fn numbers(template: &Value) -> Vec<Number> {
    fn walk(value: &Value, pointer: &str, kind: &str, found: &mut Vec<Number>) {
        match value {
            Value::Number(number) => {
                found.push(Number { pointer: pointer.to_owned(), kind: kind.to_owned(), value: number.as_f64().unwrap() });
            }
            Value::Object(members) => {
                for (name, member) in members {
                    walk(member, &format!("{pointer}/{name}"), &format!("{kind}/{name}"), found);
                }
            }
            Value::Array(members) => {
                for (at, member) in members.iter().enumerate() {
                    walk(member, &format!("{pointer}/{at}"), kind, found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&template["Parameters"], "/Parameters", "Parameters", &mut found);
    for (name, resource) in template["Resources"].as_object().unwrap() {
        let kind = resource["Type"].as_str().unwrap();
        walk(&resource["Properties"], &format!("/Resources/{name}/Properties"), kind, &mut found);
    }
    found
}

/// What a number of this kind may be.
#[expect(clippy::match_same_arms, reason = "each has a reason of its own")]
fn rule(number: &Number) -> Option<RangeInclusive<f64>> {
    let exactly = |value: f64| value..=value;
    let handler = setting("handler_timeout_ms") / 1_000.0;
    let parts: Vec<&str> = number.pointer.split('/').collect();
    Some(match number.kind.as_str() {
        // Parameters that say what a setting says. The chain between them is tried by `chain`.
        "Parameters/VisibilityTimeoutSeconds/Default" => exactly(setting("visibility_timeout_s")),
        "Parameters/HandlerTimeoutSeconds/Default" => exactly(handler),
        "Parameters/MaxReceives/Default" => exactly(setting("max_receives")),
        "Parameters/RetentionSeconds/Default" => exactly(setting("retention_s")),
        "Parameters/DeadLetterRetentionSeconds/Default" => exactly(setting("dead_letter_retention_s")),
        // What SQS and Lambda allow (quotas), and what doctor asks for.
        "Parameters/VisibilityTimeoutSeconds/MinValue" => 1.0..=setting("visibility_timeout_s"),
        "Parameters/VisibilityTimeoutSeconds/MaxValue" => exactly(43_200.0),
        "Parameters/HandlerTimeoutSeconds/MinValue" => (setting("lease_ms") / 1_000.0 + 1.0)..=handler,
        "Parameters/HandlerTimeoutSeconds/MaxValue" => exactly(900.0),
        "Parameters/MaxReceives/MinValue" => exactly(5.0),
        // Before messages are lost, and not while a broadcast of this size is under way.
        "Parameters/BacklogSecondsMax/Default" => 600.0..=setting("retention_s") / 4.0,
        "Parameters/ConsumersMin/Default" => 1.0..=10.0,
        // ScalingConfig of an event source (Lambda API reference).
        "Parameters/ConsumersMax/Default" => 2.0..=1_000.0,
        "Parameters/ConsumersMax/MinValue" => exactly(2.0),
        "Parameters/ConsumersMax/MaxValue" => exactly(1_000.0),
        // Beyond 100 a call has no time for them all; what it can't begin is put back.
        "Parameters/ChunksPerCall/Default" | "Parameters/ChunksPerCall/MinValue" => 1.0..=100.0,
        "Parameters/ChunksPerCall/MaxValue" => exactly(100.0),
        "Parameters/BacklogPerConsumer/Default" => 1.0..=10_000.0,
        // As long as what they speak of can still be proved by the ledger.
        "Parameters/LogRetentionDays/Default" => setting("ledger_days")..=3_653.0,
        "Parameters/RehearsalRecipients/Default" => 1.0..=100_000.0,
        // Longer than a handler, and as long as Fargate allows (ECS API reference, ContainerDefinition).
        "AWS::ECS::TaskDefinition/ContainerDefinitions/StopTimeout" => handler..=120.0,
        // A second producer or feedback consumer does no harm, and none does.
        "AWS::ECS::Service/DesiredCount" => 1.0..=10.0,
        "AWS::ECS::Service/DeploymentConfiguration/MinimumHealthyPercent" => exactly(100.0),
        "AWS::ECS::Service/DeploymentConfiguration/MaximumPercent" => exactly(200.0),
        // Not in before the messages of a consumer that was ended have come back.
        "AWS::ApplicationAutoScaling::ScalingPolicy/TargetTrackingScalingPolicyConfiguration/ScaleInCooldown" => {
            setting("visibility_timeout_s")..=3_600.0
        }
        "AWS::ApplicationAutoScaling::ScalingPolicy/TargetTrackingScalingPolicyConfiguration/ScaleOutCooldown" => 30.0..=300.0,
        "AWS::Scheduler::Schedule/Target/EcsParameters/TaskCount" => exactly(1.0),
        "AWS::Scheduler::Schedule/Target/RetryPolicy/MaximumRetryAttempts" | "AWS::Lambda::EventInvokeConfig/MaximumRetryAttempts" => {
            exactly(0.0)
        }
        "AWS::Lambda::EventInvokeConfig/MaximumEventAgeInSeconds" => 60.0..=300.0,
        "AWS::Lambda::Function/MemorySize" => 256.0..=3_008.0,
        // In MiB, as Lambda allows (Lambda API reference, EphemeralStorage).
        "AWS::Lambda::Function/EphemeralStorage/Size" => 512.0..=10_240.0,
        "AWS::Lambda::Function/Timeout" => handler..=900.0,
        "AWS::Lambda::Function/ReservedConcurrentExecutions" => exactly(1.0),
        "AWS::Lambda::EventSourceMapping/BatchSize" => 1.0..=100.0,
        "AWS::Lambda::EventSourceMapping/MaximumBatchingWindowInSeconds" => 0.0..=window_max(),
        "AWS::Lambda::EventSourceMapping/ScalingConfig/MaximumConcurrency" => 2.0..=10.0,
        "AWS::CloudWatch::Alarm/Period" | "AWS::CloudWatch::Alarm/EvaluationPeriods" | "AWS::CloudWatch::Alarm/Threshold" => {
            alarm(parts[2], parts[4])?
        }
        _ => return None,
    })
}

/// A message must stay hidden for six times the function's timeout and the batch window (Lambda developer guide).
fn window_max() -> f64 {
    setting("visibility_timeout_s") - 6.0 * setting("handler_timeout_ms") / 1_000.0
}

/// What each alarm waits for. Where it speaks of a rate, it comes after the breaker and before SES's own review.
fn alarm(name: &str, what: &str) -> Option<RangeInclusive<f64>> {
    let (period, periods, threshold) = match name {
        "CommandsDeadLettersAlarm"
        | "ChunksDeadLettersAlarm"
        | "FeedbackDeadLettersAlarm"
        | "AcceptedTwiceAlarm"
        | "AcceptedBeyondAudienceAlarm" => (60.0..=60.0, 1.0..=1.0, 0.0..=0.0),
        // Its threshold is a parameter.
        "BacklogAlarm" => (60.0..=60.0, 5.0..=15.0, 0.0..=-1.0),
        "EventsLagAlarm" => (60.0..=60.0, 5.0..=15.0, 300.0..=setting("evidence_wait_s")),
        // For 15 minutes.
        "InDoubtAlarm" => (300.0..=300.0, 3.0..=3.0, 0.0..=0.0),
        "BehindAlarm" | "NoConsumerAlarm" => (60.0..=60.0, 2.0..=5.0, 0.0..=0.0),
        "BounceRateAlarm" => (3_600.0..=3_600.0, 1.0..=1.0, setting("bounce_rate_max")..=0.049),
        "ComplaintRateAlarm" => (3_600.0..=3_600.0, 1.0..=1.0, setting("complaint_rate_max")..=0.000_99),
        _ => return None,
    };
    Some(match what {
        "Period" => period,
        "EvaluationPeriods" => periods,
        _ => threshold,
    })
}

/// What is wrong with the two templates.
fn check(state: &Value, compute: &Value) -> Vec<String> {
    let mut wrong: Vec<String> = [state, compute].into_iter().flat_map(numbers).filter_map(|number| misfit(&number)).collect();
    let default = |name: &str| state["Parameters"][name]["Default"].as_f64().unwrap();
    let functions = || resources(compute, "AWS::Lambda::Function");
    let sources = || resources(compute, "AWS::Lambda::EventSourceMapping");

    let windows = sources().filter_map(|(_, source)| source["MaximumBatchingWindowInSeconds"].as_f64());
    let hidden = 6.0 * default("HandlerTimeoutSeconds") + windows.fold(0.0, f64::max);
    if default("VisibilityTimeoutSeconds") < hidden {
        wrong.push(format!("VisibilityTimeoutSeconds is less than {hidden}: six handlers and a batch window"));
    }
    let (live, dead) = (default("RetentionSeconds"), default("DeadLetterRetentionSeconds"));
    // DynamoDB restores the last 35 days (point-in-time recovery).
    if live >= dead || live + dead + 35.0 * 86_400.0 >= setting("ledger_days") * 86_400.0 {
        wrong.push(format!("RetentionSeconds {live} and DeadLetterRetentionSeconds {dead} don't fit each other and the ledger"));
    }
    for (name, source) in sources() {
        let function = source["FunctionName"]["Ref"].as_str().unwrap();
        if compute["Resources"][function]["Properties"]["Timeout"] != import("HandlerTimeout") {
            wrong.push(format!("{function} is called by a queue and its timeout is not HandlerTimeout"));
        }
        if source["FunctionResponseTypes"] != json!(["ReportBatchItemFailures"]) {
            wrong.push(format!("{name} does not report which messages failed"));
        }
        if source["ScalingConfig"]["MaximumConcurrency"].is_null() {
            wrong.push(format!("{name} has no MaximumConcurrency"));
        }
        // Lambda API reference, CreateEventSourceMapping.
        let large = source["BatchSize"].as_f64().is_none_or(|size| size > 10.0);
        if large && source["MaximumBatchingWindowInSeconds"].as_f64() < Some(1.0) {
            wrong.push(format!("{name}: batches of more than ten need a window of a second or more"));
        }
    }
    let environments = functions()
        .map(|(name, function)| (name, function["Environment"]["Variables"].clone()))
        .chain(resources(compute, "AWS::ECS::TaskDefinition").map(|(name, task)| (name, container_environment(task))));
    for (name, environment) in environments {
        let handler = json!({ "Fn::Sub": ["${Seconds}000", { "Seconds": import("HandlerTimeout") }] });
        for (variable, wanted) in [("ISSEI_VISIBILITY_TIMEOUT_S", import("VisibilityTimeout")), ("ISSEI_HANDLER_TIMEOUT_MS", handler)] {
            if environment[variable] != wanted {
                wrong.push(format!("{name} does not get {variable} from the state stack"));
            }
        }
    }
    wrong
}

fn misfit(number: &Number) -> Option<String> {
    match rule(number) {
        Some(range) if range.contains(&number.value) => None,
        Some(range) => Some(format!("{} is {}, and not of {range:?}", number.pointer, number.value)),
        None => Some(format!("{} is {}, and no rule speaks of {}", number.pointer, number.value, number.kind)),
    }
}

fn resources<'t>(template: &'t Value, kind: &'static str) -> impl Iterator<Item = (&'t str, &'t Value)> {
    let all = template["Resources"].as_object().unwrap().iter();
    all.filter(move |(_, resource)| resource["Type"] == kind).map(|(name, resource)| (name.as_str(), &resource["Properties"]))
}

fn container_environment(task: &Value) -> Value {
    let variables = task["ContainerDefinitions"][0]["Environment"].as_array().unwrap();
    variables.iter().map(|variable| (variable["Name"].as_str().unwrap().to_owned(), variable["Value"].clone())).collect()
}

/// What the compute stack takes from the state stack.
fn import(output: &str) -> Value {
    json!({ "Fn::ImportValue": { "Fn::Sub": format!("${{StateStack}}-{output}") } })
}

#[test]
fn every_number_of_the_templates_obeys_its_rule() {
    let wrong = check(&template("state.yaml"), &template("compute.yaml"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_number_out_of_its_range_is_refused() {
    let templates = [template("state.yaml"), template("compute.yaml")];
    let mut tried = 0;
    for (at, of) in templates.iter().enumerate() {
        for number in numbers(of) {
            for value in [-1.0, (number.value + 1.0) * 10_000.0] {
                let mut mutated = templates.clone();
                *mutated[at].pointer_mut(&number.pointer).unwrap() = json!(value);
                let [state, compute] = &mutated;
                assert!(!check(state, compute).is_empty(), "{} may be {value}", number.pointer);
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

/// What the state stack hands on can't be written down a second time, nor left out.
#[test]
fn a_number_from_a_second_place_is_refused() {
    let templates = [template("state.yaml"), template("compute.yaml")];
    for (at, pointer, value) in [
        (0, "/Resources/ChunksQueue/Properties/VisibilityTimeout", json!(200)),
        (0, "/Resources/ChunksQueue/Properties/MessageRetentionPeriod", json!(345_600)),
        (0, "/Resources/ChunksQueue/Properties/RedrivePolicy/maxReceiveCount", json!(10)),
        (0, "/Resources/FeedbackDeadQueue/Properties/MessageRetentionPeriod", json!(1_209_600)),
        (1, "/Resources/ConsumerFunction/Properties/Timeout", json!(30)),
        (1, "/Resources/ConsumerFunction/Properties/Environment/Variables/ISSEI_HANDLER_TIMEOUT_MS", json!("30000")),
        (1, "/Resources/SweeperFunction/Properties/Environment/Variables/ISSEI_VISIBILITY_TIMEOUT_S", json!("200")),
        (1, "/Resources/ProducerTask/Properties/ContainerDefinitions/0/Environment", json!([])),
        (1, "/Resources/ConsumerSource/Properties/FunctionResponseTypes", json!([])),
        (1, "/Resources/ConsumerSource/Properties/ScalingConfig", json!({})),
        (1, "/Resources/ConsumerSource/Properties/MaximumBatchingWindowInSeconds", json!(0)),
    ] {
        let mut mutated = templates.clone();
        *mutated[at].pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        let [state, compute] = &mutated;
        assert!(!check(state, compute).is_empty(), "{pointer}");
    }
}
