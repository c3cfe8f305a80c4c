//! Who may write events, as `issei doctor` finds it.

use aws_sdk_sqs::types::QueueAttributeName;
use issei_aws::AwsCall;
use issei_test_support::Processes;
use serde_json::{Value, json};

/// Gives the queues of events the denials of `infra/state.yaml`, which leave these roles out besides.
pub(crate) async fn keep_others_out(world: &Processes, more: &[&str]) {
    let topic = "arn:aws:sns:us-east-1:000000000000:issei-events";
    let arn_of = async |suffix: &str| {
        let (sqs, url) = world.queue_url("ISSEI_FEEDBACK_QUEUE", suffix).await;
        let request = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
        let arn = request.call().await.unwrap().attributes.unwrap().remove(&QueueAttributeName::QueueArn).unwrap();
        (sqs, url, arn)
    };
    let (_, _, live) = arn_of("").await;
    for (suffix, sources, roles) in
        [("", json!(topic), vec!["issei-event-redriver", "issei-webhooks"]), ("-dead", json!([topic, live]), vec!["issei-feedback"])]
    {
        let (sqs, url, arn) = arn_of(suffix).await;
        let roles = [&roles[..], more].concat();
        let denial = json!({
            "Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": {
                "ArnNotEquals": { "aws:SourceArn": sources },
                "StringNotEquals": { "aws:PrincipalTag/issei-part": roles },
            },
        });
        let policy = json!({ "Version": "2012-10-17", "Statement": [denial] }).to_string();
        sqs.set_queue_attributes().queue_url(&url).attributes(QueueAttributeName::Policy, policy).call().await.unwrap();
    }
}

/// Of both queues: whether the rule holds, and what was found.
pub(crate) async fn who_may_write(world: &Processes) -> Vec<(bool, String)> {
    let found = world.examined(": who may write", &[]).await;
    let told = |finding: &Value| {
        let holds = finding["judgement"] == "holds";
        assert!(holds || finding["mend"].as_str().unwrap().contains("issei setup --events"), "{finding}");
        (holds, finding["value"].as_str().unwrap().to_owned())
    };
    found.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_who_may_write_events_besides_those_who_must() {
    let mut world = Processes::simulated(1, Processes::account_with_events()).await;
    let anybody = "any identity that is allowed sqs:SendMessage: no statement denies it";
    assert_eq!(who_may_write(&world).await, [(false, anybody.to_owned()), (false, anybody.to_owned())]);
    keep_others_out(&world, &[]).await;
    let found = who_may_write(&world).await;
    assert!(found.len() == 2 && found.iter().all(|(holds, _)| *holds), "{found:?}");
    let (told, roles) = (&found[0].1, "issei-part issei-event-redriver, issei-part issei-webhooks, ");
    assert!(told.starts_with(roles) && told.ends_with(":issei-events"), "{found:?}");
    keep_others_out(&world, &["issei-app"]).await;
    let found = who_may_write(&world).await;
    assert!(found.len() == 2 && found.iter().all(|(holds, told)| !holds && told.ends_with("; ALSO issei-part issei-app")), "{found:?}");
    // Whoever writes one without SNS's signature is not believed.
    world.set("ISSEI_SNS_SIGNATURES", "require");
    world.set("ISSEI_SNS_TOPIC", "arn:aws:sns:us-east-1:000000000000:issei-events");
    let found = who_may_write(&world).await;
    assert!(found.iter().all(|(holds, told)| *holds && told.ends_with("is believed by SNS's signature alone")), "{found:?}");
}
