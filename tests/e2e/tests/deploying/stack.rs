//! The stacks, made by an emulator of `CloudFormation`, and a broadcast through what they made.

use issei_test_support::{Emulator, Process, Processes, Stack, command_body, judge, until};
use serde_json::{Value, json};

use crate::template::template;

/// Gives a world the names that a state stack gave out.
fn take_names(world: &mut Processes, stack: &Stack) {
    for (setting, output) in [
        ("ISSEI_TABLE", "Table"),
        ("ISSEI_COMMANDS_QUEUE", "CommandsQueueName"),
        ("ISSEI_CHUNKS_QUEUE", "ChunksQueueName"),
        ("ISSEI_FEEDBACK_QUEUE", "FeedbackQueueName"),
        ("ISSEI_VISIBILITY_TIMEOUT_S", "VisibilityTimeout"),
    ] {
        world.set(setting, stack.get(output));
    }
}

/// A state stack of its own, and a world that works with what it made.
async fn deployed(emulator: &Emulator, template: &Value, users: u32) -> (String, Stack, Processes) {
    let name = Emulator::name();
    let stack = emulator.make(&name, template, &[("Prefix", &name)]).await;
    let mut world = Processes::brisk(users, Processes::account_with_events()).await;
    take_names(&mut world, &stack);
    (name, stack, world)
}

async fn wait_until_delivered(world: &Processes, id: &str, count: u64) {
    world.wait_until(id, |status| status["delivered"] == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_through_what_the_template_made() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let (_, stack, mut world) = deployed(&emulator, &template("state.yaml"), 100).await;
    world.set("ISSEI_METRICS", "true");
    world.set("ISSEI_METRICS_PREFIX", "in-a-test");
    // SES is the simulator's, which knows the configuration set of the world.
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    world.wait_for("terms", "complete").await;
    world.carry_events().await;
    wait_until_delivered(&world, "terms", 100).await;
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    // What CloudWatch is told, line by line, is what the provider counted.
    let told = |service: &str, metric: &str| -> u64 {
        let lines = world.read(&format!("{service}.out"));
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["Prefix"] == "in-a-test").filter_map(|line| line[metric].as_u64()).sum()
    };
    assert_eq!((told("consumer", "Accepted"), told("consumer", "Permitted"), told("feedback", "Delivered")), (100, 100, 100));
    // What the template made is what issei needs.
    let (code, output, errors) = world.try_run(&["doctor", "--json"]).await;
    let doctor: Value = serde_json::from_str(&output).unwrap();
    // The emulator's CloudFormation leaves out two properties of a table, so these are looked up in the
    // template instead. Everything else is as deployed.
    let ignored = ["time to live", "point-in-time recovery"];
    let properties = &template("state.yaml")["Resources"]["Ledger"]["Properties"];
    assert_eq!(properties["TimeToLiveSpecification"], json!({ "AttributeName": "expires_at", "Enabled": true }));
    assert_eq!(properties["PointInTimeRecoverySpecification"], json!({ "PointInTimeRecoveryEnabled": true }));
    let findings = doctor["findings"].as_array().unwrap();
    let is_ignored = |finding: &Value| ignored.iter().any(|what| finding["what"].as_str().unwrap().ends_with(what));
    let bad: Vec<_> = findings.iter().filter(|finding| finding["judgement"] != "holds" && !is_ignored(finding)).collect();
    assert!(matches!(code, Some(0 | 3)) && bad.is_empty(), "{bad:?} {errors}");
    assert!(findings.len() > 30, "{}", findings.len());
    for service in services {
        service.end().await;
    }
    stack.delete().await;
}

/// Both stacks, with the functions called by the emulator's own event sources: nothing of this test polls a queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_through_the_functions_of_the_compute_stack() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let (name, state, mut world) = deployed(&emulator, &template("state.yaml"), 100).await;
    // SES is the simulator's, which has to know the stack's configuration set.
    world.set("ISSEI_CONFIGURATION_SET", state.get("ConfigurationSetName"));
    world.run(&["setup"]).await;
    emulator.put_object(&name, "functions.zip", world.function_archive()).await;
    let (database, hash_key) = (emulator.secret("postgres://nobody@127.0.0.1/none").await, emulator.secret("a key").await);
    let parameters = [
        ("Prefix", name.as_str()),
        ("StateStack", &name),
        ("Compute", "lambda"),
        ("CodeBucket", &name),
        ("CodeKey", "functions.zip"),
        ("Subnets", "subnet-1"),
        ("SecurityGroups", "sg-1"),
        ("DatabaseUrlSecretArn", &database),
        ("AddressHashKeySecretArn", &hash_key),
    ];
    let compute = emulator.make(&format!("{name}-compute"), &template("compute.yaml"), &parameters).await;

    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    until("it is complete", async || {
        // The schedule's tick, without the minute's wait for it.
        let answer = emulator.invoke(&format!("{name}-closer"), &json!({ "call": "tick" })).await;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
        world.try_run(&["status", "terms", "--json"]).await.1.contains("\"complete\"")
    })
    .await;
    world.carry_events().await;
    wait_until_delivered(&world, "terms", 100).await;
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    compute.delete().await;
    state.delete().await;
}

/// The emulator runs no containers, and knows no autoscaling: whether the rest can be made is all that this shows.
#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_the_compute_stack_can_be_made() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let name = Emulator::name();
    // With everything that is there on request only.
    let somebody = "arn:aws:iam::000000000000:root";
    let on_request = [
        ("Prefix", name.as_str()),
        ("AppPrincipalArn", somebody),
        ("OperatorPrincipalArn", somebody),
        ("WatcherPrincipalArn", somebody),
        ("KmsKeyArn", "arn:aws:kms:us-east-1:000000000000:key/1"),
        ("AlarmTopicArn", "arn:aws:sns:us-east-1:000000000000:alarms"),
    ];
    let state = emulator.make(&name, &template("state.yaml"), &on_request).await;
    for role in ["AppRoleArn", "OperatorRoleArn", "WatcherRoleArn"] {
        assert!(state.get(role).contains(":role/"), "{}", state.get(role));
    }
    let secret = emulator.secret("a key").await;
    let mut without_scaling = template("compute.yaml");
    let resources = without_scaling["Resources"].as_object_mut().unwrap();
    assert!(resources.remove("ConsumerScaling").is_some() && resources.remove("ConsumerBacklog").is_some());
    let parameters = [
        ("Prefix", name.as_str()),
        ("StateStack", &name),
        ("Compute", "ecs"),
        ("Image", "example.com/issei@sha256:0"),
        ("Subnets", "subnet-1"),
        ("SecurityGroups", "sg-1"),
        ("DatabaseUrlSecretArn", &secret),
        ("AddressHashKeySecretArn", &secret),
        ("RehearsalSender", "Example <no-reply@example.com>"),
    ];
    emulator.make(&format!("{name}-compute"), &without_scaling, &parameters).await.delete().await;
    state.delete().await;
}

/// A template with a wrong number is found where it was deployed, whoever deployed it.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_refuses_what_a_template_with_a_wrong_number_made() {
    let Some(emulator) = Emulator::at_hand() else { return };
    for (parameter, wrong, finding) in [
        ("VisibilityTimeoutSeconds", 60, "visibility timeout, seconds"),
        ("MaxReceives", 2, "receives before the dead-letter queue"),
        ("RetentionSeconds", 1_209_600, "retention, seconds"),
        ("DeadLetterRetentionSeconds", 3_600, "retention, seconds"),
        ("HandlerTimeoutSeconds", 120, "6 x handler_timeout_ms"),
    ] {
        let mut template = template("state.yaml");
        let parameter_of = template["Parameters"][parameter].as_object_mut().unwrap();
        parameter_of.insert("Default".to_owned(), wrong.into());
        // CloudFormation would refuse some of them by itself.
        parameter_of.remove("MinValue");
        let (_, stack, mut world) = deployed(&emulator, &template, 1).await;
        world.set("ISSEI_HANDLER_TIMEOUT_MS", &format!("{}000", stack.get("HandlerTimeout")));
        if parameter == "VisibilityTimeoutSeconds" {
            // Where the settings agree with the queue, it is they that are refused.
            let (code, _, error) = world.try_run(&["doctor"]).await;
            assert!(code == Some(1) && error.contains("visibility_timeout_s"), "{error}");
            world.set("ISSEI_VISIBILITY_TIMEOUT_S", "200");
        }
        let (code, output, error) = world.try_run(&["doctor", "--json"]).await;
        if parameter == "HandlerTimeoutSeconds" {
            assert!(code == Some(1) && error.contains(finding), "{parameter}: {error}");
        } else {
            let doctor: Value = serde_json::from_str(&output).unwrap();
            let found = |found: &Value| found["judgement"] == "broken" && found["what"].as_str().unwrap().ends_with(finding);
            assert!(code == Some(3) && doctor["findings"].as_array().unwrap().iter().any(found), "{parameter}: {output}");
        }
        stack.delete().await;
    }
}
