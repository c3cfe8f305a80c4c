//! The state stack, made by an emulator of `CloudFormation`, and a broadcast through what it made.

use std::time::Duration;

use issei_test_support::{Process, Processes, StackOutputs, command_body, judge};

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_through_what_the_template_made() {
    let template = include_str!("../../../../infra/state.yaml");
    // Names of its own, so that it can share the emulator.
    let Some(stack) = StackOutputs::create(template).await else { return };
    let mut world = Processes::new(100, Processes::account_with_events()).await;
    for (setting, output) in [
        ("ISSEI_TABLE", "Table"),
        ("ISSEI_COMMANDS_QUEUE", "CommandsQueueName"),
        ("ISSEI_CHUNKS_QUEUE", "ChunksQueueName"),
        ("ISSEI_FEEDBACK_QUEUE", "FeedbackQueueName"),
        ("ISSEI_VISIBILITY_TIMEOUT_S", "VisibilityTimeout"),
    ] {
        world.set(setting, stack.get(output));
    }
    world.set("ISSEI_METRICS", "true");
    world.set("ISSEI_METRICS_PREFIX", "in-a-test");
    // SES is the simulator's, which knows the configuration set of the world.
    let services: Vec<Process> = ["producer", "consumer", "feedback"].iter().map(|service| world.start(service)).collect();
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", &command]).await;
    world.wait_for("terms", "complete").await;
    world.carry_events().await;
    for _ in 0..600 {
        if world.run(&["status", "terms", "--json"]).await.contains("\"delivered\":100") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    // What CloudWatch is told, line by line, is what the provider counted.
    let told = |service: &str, metric: &str| -> u64 {
        let lines = world.read(&format!("{service}.out"));
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.filter(|line| line["Prefix"] == "in-a-test").filter_map(|line| line[metric].as_u64()).sum()
    };
    assert_eq!((told("consumer", "Accepted"), told("consumer", "Permitted"), told("feedback", "Delivered")), (100, 100, 100));
    // What the template made is what issei needs.
    let (code, output, errors) = world.try_run(&["doctor", "--json"]).await;
    let doctor: serde_json::Value = serde_json::from_str(&output).unwrap();
    // The emulator's CloudFormation leaves out two properties of a table, so these are looked up in the
    // template instead. Everything else is as deployed.
    let ignored = ["time to live", "point-in-time recovery"];
    let properties = &crate::template::template("state.yaml")["Resources"]["Ledger"]["Properties"];
    assert_eq!(properties["TimeToLiveSpecification"], serde_json::json!({ "AttributeName": "expires_at", "Enabled": true }));
    assert_eq!(properties["PointInTimeRecoverySpecification"], serde_json::json!({ "PointInTimeRecoveryEnabled": true }));
    let findings = doctor["findings"].as_array().unwrap();
    let is_ignored = |finding: &serde_json::Value| ignored.iter().any(|what| finding["what"].as_str().unwrap().ends_with(what));
    let bad: Vec<_> = findings.iter().filter(|finding| finding["judgement"] != "holds" && !is_ignored(finding)).collect();
    assert!(matches!(code, Some(0 | 3)) && bad.is_empty(), "{bad:?} {errors}");
    assert!(findings.len() > 30, "{}", findings.len());
    for service in services {
        service.end().await;
    }
    stack.delete().await;
}
