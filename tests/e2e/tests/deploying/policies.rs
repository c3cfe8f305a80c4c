//! Least privilege: what each part really asks for, as the simulator records it, is what its policy allows,
//! and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use issei_aws::AwsCall;
use issei_sim::{EntryRule, EventRule, Fault, Rule};
use issei_test_support::{Process, Processes, command_body, until};
use serde_json::{Value, json};

use crate::functions::Deployed;
use crate::template::template;

/// An action on a resource, by the resource's name in the template; nothing for SES and Lambda, whose
/// resources are not in their requests.
type Allowed = BTreeSet<(String, String)>;

/// What a policy of the template allows.
fn policy(part: &str) -> Allowed {
    let state = template("state.yaml");
    let document = &state["Resources"][format!("{part}Policy")]["Properties"]["PolicyDocument"];
    let mut allowed = Allowed::new();
    for statement in document["Statement"].as_array().unwrap() {
        // Only where there is a key of the customer's.
        if statement["Fn::If"][0] == "HasKey" {
            assert_eq!(statement["Fn::If"][1]["Resource"]["Ref"], "KmsKeyArn");
            continue;
        }
        // Only where audiences are tables of DynamoDB: a story reads one.
        if statement["Fn::If"][0] == "HasAudienceTables" {
            assert_eq!(statement["Fn::If"][1]["Resource"]["Ref"], "AudienceTableArns");
            assert_eq!(statement["Fn::If"][1]["Action"], json!(["dynamodb:Scan"]));
            continue;
        }
        // Only where audiences are objects of S3, and keys are secrets of Secrets Manager: tests of the operator's read them.
        let only_where = [
            ("HasAudienceObjects", "AudienceObjectArns", json!(["s3:GetObject", "s3:GetObjectVersion"])),
            ("HasAudienceBuckets", "AudienceBucketArns", json!(["s3:ListBucket"])),
            ("HasApiKeySecrets", "ApiKeySecretArns", json!(["secretsmanager:GetSecretValue"])),
            ("HasWebhookKeySecrets", "WebhookKeySecretArns", json!(["secretsmanager:GetSecretValue"])),
        ];
        if let Some((_, arns, actions)) = only_where.iter().find(|(condition, ..)| statement["Fn::If"][0] == *condition) {
            assert_eq!(statement["Fn::If"][1]["Resource"]["Ref"], *arns);
            assert_eq!(statement["Fn::If"][1]["Action"], *actions);
            continue;
        }
        assert_eq!(statement["Effect"], "Allow");
        let resources: Vec<&Value> = match &statement["Resource"] {
            Value::Array(resources) => resources.iter().collect(),
            one => vec![one],
        };
        for action in statement["Action"].as_array().unwrap() {
            let action = action.as_str().unwrap();
            assert!(!action.contains('*'), "{part}: {action}");
            if action.starts_with("ses:") || action.starts_with("lambda:") {
                // Where there is nothing to restrict, AWS wants a star; everywhere else it is a finding.
                let unrestricted =
                    ["ses:GetAccount", "ses:BatchGetMetricData", "ses:PutSuppressedDestination", "lambda:ListEventSourceMappings"];
                assert!(resources.iter().all(|resource| *resource != "*") || unrestricted.contains(&action), "{part}: {action} on *");
                allowed.insert((action.to_owned(), String::new()));
                continue;
            }
            for resource in &resources {
                let name = resource["Fn::GetAtt"][0].as_str().unwrap_or_else(|| panic!("{part}: {action} on {resource}"));
                allowed.insert((action.to_owned(), name.to_owned()));
            }
        }
    }
    allowed
}

/// What a caller asked for, in the policy's words.
fn asked(world: &Processes, key: &str) -> Allowed {
    let logical = |name: &str| {
        let of = |setting: &str, logical: &str| {
            let base = world.named(setting);
            if name == base {
                Some(logical.to_owned())
            } else if name == format!("{base}-dead") {
                Some(logical.replace("Queue", "DeadQueue"))
            } else {
                None
            }
        };
        of("ISSEI_TABLE", "Ledger")
            .or_else(|| of("ISSEI_COMMANDS_QUEUE", "CommandsQueue"))
            .or_else(|| of("ISSEI_CHUNKS_QUEUE", "ChunksQueue"))
            .or_else(|| of("ISSEI_FEEDBACK_QUEUE", "FeedbackQueue"))
            .unwrap_or_else(|| panic!("{name} is no resource of the template"))
    };
    let calls = world.cloud.calls().remove(key).unwrap_or_default();
    calls
        .into_iter()
        .map(|(service, operation, resource)| {
            // A batch is allowed by the action on one (SQS developer guide, "Actions").
            let operation = operation.strip_suffix("Batch").unwrap_or(&operation);
            if matches!(service, "ses" | "lambda") {
                (format!("{service}:{operation}"), String::new())
            } else {
                (format!("{service}:{operation}"), logical(&resource))
            }
        })
        .collect()
}

/// Every call is allowed, and every right is used, but for `unseen`, which this test's minutes don't reach.
fn assert_least(world: &Processes, part: &str, key: &str, unseen: &[(&str, &str)]) {
    let (allowed, asked) = (policy(part), asked(world, key));
    let denied: Vec<_> = asked.difference(&allowed).collect();
    assert!(denied.is_empty(), "{part} asks for what its policy does not allow: {denied:?}");
    let unseen: Allowed = unseen.iter().map(|(action, name)| ((*action).to_owned(), (*name).to_owned())).collect();
    let idle: Vec<_> = allowed.difference(&asked).filter(|right| !unseen.contains(*right)).collect();
    assert!(idle.is_empty(), "{part} may what it never asks for: {idle:?}");
    let seen: Vec<_> = unseen.intersection(&asked).collect();
    assert!(seen.is_empty(), "{part} does ask for {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_may_do_what_it_does_and_no_more() {
    let mut account = Processes::account_with_events();
    account.events.rules = vec![EventRule { address: "user000003".to_owned(), event: "Bounce".to_owned() }];
    account.entry_rules = vec![EntryRule { address: "user000005".to_owned(), status: "ACCOUNT_THROTTLED".to_owned(), times: Some(1) }];
    let mut world = Processes::simulated(100, account).await;
    world.set("ISSEI_CHUNKS_IN_FLIGHT", "2");
    // Everything that each service can meet with within minutes: bad messages, throttling, failing calls.
    let services: Vec<Process> =
        ["producer", "consumer", "feedback"].iter().map(|service| world.start_as(&service.to_uppercase(), service)).collect();
    for setting in ["ISSEI_COMMANDS_QUEUE", "ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE"] {
        world.post(setting, "this is no message").await;
    }
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::ErrorBefore).times(5));
    // Evidence that can't be read with all of the SDK's tries, before a second claim: the message is hidden for a while.
    world.cloud.inject(Rule::every("BatchGetItem", Fault::ErrorBefore).holding("feedback#").times(4));
    // Accepted, and the answer lost: events end that doubt. Not in the chunk that is throttled.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).holding("user000095").times(1));
    let operator = async |arguments: &[&str]| world.try_run_as("OPERATOR", arguments).await;
    let watcher = async |arguments: &[&str]| world.try_run_as("WATCHER", arguments).await;
    let terms = world.write("terms.json", &command_body("terms", |_| {}));
    assert_eq!(operator(&["send", "--yes", &terms]).await.0, Some(0));
    world.wait_for("terms", "complete").await;
    let stored = command_body("stored", |body| body["content"] = json!({ "template": { "name": "terms" } }));
    let (code, _, error) = operator(&["send", "--yes", &world.write("stored.json", &stored)]).await;
    assert!(code == Some(3) && error.contains("template terms"), "{error}");
    // An app asks nobody first: the producer reads the template, and there is none.
    world.post("ISSEI_COMMANDS_QUEUE", &stored).await;
    let read = ("ses:GetEmailTemplate".to_owned(), String::new());
    until("the producer reads the template", async || asked(&world, "PRODUCER").contains(&read)).await;
    // One that is held, so that its messages are put back; then it is paused, resumed, stopped.
    let held = command_body("held", |body| body["canary"] = 10.into());
    assert_eq!(operator(&["send", "--yes", &world.write("held.json", &held)]).await.0, Some(0));
    world.wait_for("held", "holding").await;
    // One send goes through and the others are throttled, so that it is still running when it is paused.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::Throttle).after(1));
    for arguments in [&["approve", "held", "--reason", "a test"][..], &["pause", "held", "--reason", "a test"]] {
        assert_eq!(operator(arguments).await.0, Some(0), "{arguments:?}");
        // Approved, its chunks are enqueued and some of them sent.
        world.wait_for_accepted(111).await;
    }
    // Paused, its messages are put back.
    let put_back = ("sqs:SendMessage".to_owned(), "ChunksQueue".to_owned());
    until("messages are put back", async || asked(&world, "CONSUMER").contains(&put_back)).await;
    for arguments in [
        &["repair", "held", "--reason", "a test", "--yes"][..],
        &["resume", "held", "--reason", "a test"],
        &["stop", "--all", "--hard", "--reason", "a test"],
        &["dead-letters"],
        &["redrive", "commands"],
        &["redrive", "chunks"],
        &["open", "--reason", "a test"],
        &["doctor", "--from", "no-reply@example.com", "--audience", "users"],
    ] {
        let (code, output, errors) = operator(arguments).await;
        assert!(code.is_some_and(|code| code != 2), "{arguments:?}: {output}{errors}");
    }
    world.cloud.heal();
    let suppressed = ("ses:PutSuppressedDestination".to_owned(), String::new());
    until("events are taken", async || {
        world.carry_events().await;
        let status: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
        status["in_doubt"] == 0 && status["delivered"] == 99 && asked(&world, "FEEDBACK").contains(&suppressed)
    })
    .await;
    let doctor = operator(&["doctor", "--from", "no-reply@example.com", "--probe"]);
    let carry = async {
        loop {
            world.carry_events().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        _ = doctor => {}
        () = carry => {}
    }
    for arguments in [
        &["status", "terms", "--exact"][..],
        &["list"],
        &["audit", "terms"],
        &["why", "terms", "3"],
        &["who", "3"],
        &["who", "user000003@example.com"],
        &["export", "terms", "--outcome", "bounced"],
        &["report", "terms", "-o", "report.html"],
        &["doctor", "--from", "no-reply@example.com"],
        &["certify", "terms"],
    ] {
        let (code, output, errors) = watcher(arguments).await;
        assert!(code.is_some_and(|code| code != 2 && code != 1), "{arguments:?}: {output}{errors}");
        operator(arguments).await;
    }
    let (code, output, errors) = operator(&["forget", "3", "--yes"]).await;
    assert!(output.contains("1 entries forgotten") || output.contains("2 entries forgotten"), "{code:?}: {output}{errors}");
    // Who writes events can cause sends, so moving dead ones back is another's right.
    let (code, output, errors) = world.try_run_as("REDRIVER", &["redrive", "feedback"]).await;
    assert_eq!(code, Some(0), "{output}{errors}");
    // Those of which nobody knows who put them there go by SQS's own move.
    let (code, output, errors) = world.try_run_as("REDRIVER", &["redrive", "feedback", "--unknown-origin"]).await;
    assert_eq!(code, Some(0), "{output}{errors}");
    world.restore_ledger().await;
    operator(&["accept-restored-ledger", "--reason", "a test", "--table-name", world.table_name()]).await;
    for service in services {
        service.end().await;
    }

    assert_eq!(
        policy("App"),
        [("sqs:GetQueueUrl", "CommandsQueue"), ("sqs:SendMessage", "CommandsQueue")].map(|(a, r)| (a.to_owned(), r.to_owned())).into()
    );
    assert_least(&world, "Producer", "PRODUCER", &[]);
    // It counts claims anew where the budget is spent and a copy of a message still wants permits, or another consumer
    // died with some in hand (`stories/operators.rs` kills one): in these minutes, as it happens.
    let recount = ("dynamodb:Query", "Ledger");
    let has_recounted = asked(&world, "CONSUMER").contains(&(recount.0.to_owned(), recount.1.to_owned()));
    assert_least(&world, "Consumer", "CONSUMER", if has_recounted { &[] } else { std::slice::from_ref(&recount) });
    // What evidence opens it enqueues only after a wait of 900 s or more; `stories/feedback.rs` does that.
    let after_wait =
        [("sqs:SendMessage", "ChunksQueue"), ("sqs:GetQueueAttributes", "FeedbackQueue"), ("sqs:GetQueueAttributes", "FeedbackDeadQueue")];
    assert_least(&world, "Feedback", "FEEDBACK", &after_wait);
    // The metrics are asked for only of broadcasts that are older than a day.
    let after_a_day = ("ses:BatchGetMetricData", "");
    assert_least(&world, "Watcher", "WATCHER", &[after_a_day]);
    // One by one only where SQS has no task for it.
    let by_hand = [after_a_day, ("sqs:DeleteMessage", "CommandsDeadQueue"), ("sqs:DeleteMessage", "ChunksDeadQueue")];
    assert_least(&world, "Operator", "OPERATOR", &by_hand);
    assert_least(&world, "EventRedriver", "REDRIVER", &[]);
}

/// What the role of a function allows beside its part's policy, on its own queue.
fn of_the_source(function: &str, queue: &str) -> Allowed {
    let compute = template("compute.yaml");
    let role = &compute["Resources"][format!("{function}FunctionRole")]["Properties"];
    let mut allowed = Allowed::new();
    for statement in
        role["Policies"].as_array().unwrap().iter().flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap())
    {
        let (actions, resource) = (statement["Action"].as_array().unwrap(), &statement["Resource"]);
        match statement["Sid"].as_str().unwrap() {
            // By Lambda, which keeps what a function writes to standard output.
            "Log" => {
                assert_eq!(actions, json!(["logs:CreateLogStream", "logs:PutLogEvents"]).as_array().unwrap());
                assert_eq!(*resource, json!({ "Fn::GetAtt": ["Logs", "Arn"] }));
            }
            "Source" => {
                let name = &resource["Fn::Sub"][1]["Name"];
                assert_eq!(*name, json!({ "Fn::ImportValue": { "Fn::Sub": format!("${{StateStack}}-{queue}Name") } }));
                allowed.extend(actions.iter().map(|action| (action.as_str().unwrap().to_owned(), queue.to_owned())));
            }
            other => panic!("{function} may {other}"),
        }
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn each_function_may_do_what_it_and_its_event_source_do() {
    let world = Processes::simulated(100, Processes::account_with_events()).await;
    let Some(mut deployed) = Deployed::into(world).await else { return };
    let Deployed { world, functions, .. } = &deployed;
    deployed.send("terms").await;
    for setting in ["ISSEI_COMMANDS_QUEUE", "ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE"] {
        world.post(setting, "this is no message").await;
    }
    deployed.drain("producer").await;
    deployed.drain("consumer").await;
    functions.call("closer", &json!({ "call": "tick" })).await;
    world.carry_events().await;
    deployed.drain("feedback").await;
    functions.call("sweeper", &json!({ "call": "tick" })).await;
    // Whoever starts in a restored ledger puts everything back.
    deployed.send("more").await;
    world.post("ISSEI_CHUNKS_QUEUE", "any").await;
    world.post("ISSEI_FEEDBACK_QUEUE", "any").await;
    let (sqs, url) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    sqs.tag_queue().queue_url(url).tags("issei-ledger", "1.99").call().await.unwrap();
    deployed.start_anew();
    for handler in ["producer", "consumer", "feedback"] {
        deployed.drain(handler).await;
    }
    let world = &deployed.world;

    for (function, part, queue) in [
        ("Producer", "Producer", Some("CommandsQueue")),
        ("Closer", "Producer", None),
        ("Consumer", "Consumer", Some("ChunksQueue")),
        ("Feedback", "Feedback", Some("FeedbackQueue")),
        ("Sweeper", "Feedback", None),
    ] {
        let asked = asked(world, &format!("function-{}", function.to_lowercase()));
        assert!(asked.len() > 4, "{function}: {asked:?}");
        let own = of_the_source(function, queue.unwrap_or("none"));
        let allowed: Allowed = policy(part).union(&own).cloned().collect();
        let denied: Vec<_> = asked.difference(&allowed).collect();
        assert!(denied.is_empty(), "{function} asks for what its role does not allow: {denied:?}");
        // What Lambda asks for in the role's name (Lambda developer guide, "Using Lambda with Amazon SQS").
        let of_lambda = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"];
        let idle: Vec<_> = own.difference(&asked).filter(|(action, _)| !of_lambda.contains(&action.as_str())).collect();
        assert!(idle.is_empty(), "{function} may what it never asks for: {idle:?}");
        assert_eq!(own.len(), if queue.is_some() { 4 } else { 0 }, "{function}");
    }
}
