//! The way of SES's events, made by `issei setup --events` in an emulator that has SNS, and gone by events.

use issei_test_support::{Emulator, Processes, command_body, free_port, until};
use serde_json::{Value, json};

/// What SES publishes when an event destination is made.
const GREETING: &str = "Successfully validated SNS topic for Amazon SES event publishing.";
const MADE: [(&str, &str); 6] = [
    ("events topic", "made"),
    ("topic policy", "made"),
    ("queue policy", "made"),
    ("queue policy", "made"),
    ("subscription", "made"),
    ("event destination", "made"),
];

/// Each step of the way, with what was done, in their order.
async fn setup(world: &Processes) -> Vec<(String, String)> {
    let told: Value = serde_json::from_str(&world.run(&["setup", "--events", "--json"]).await).unwrap();
    assert_eq!(told["left"], json!([]));
    let steps = told["setup"].as_array().unwrap().iter().map(|made| (made["what"].clone(), made["done"].clone()));
    let steps = steps.map(|(what, done)| (what.as_str().unwrap().to_owned(), done.as_str().unwrap().to_owned()));
    steps.skip_while(|(what, _)| what != "events topic").collect()
}

fn owned(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    steps.iter().map(|(what, done)| ((*what).to_owned(), (*done).to_owned())).collect()
}

fn topic_of(world: &Processes) -> String {
    format!("arn:aws:sns:us-east-1:000000000000:{}-events", world.named("ISSEI_CONFIGURATION_SET"))
}

/// The ARN of the one subscription of the topic.
async fn subscription(emulator: &Emulator, topic: &str) -> String {
    let listed = emulator.sns("ListSubscriptionsByTopic", &[("TopicArn", topic)]).await;
    assert_eq!(listed.matches("<SubscriptionArn>").count(), 1, "{listed}");
    listed.split("<SubscriptionArn>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

async fn set(emulator: &Emulator, subscription: &str, attribute: &str, value: &str) {
    let form = [("SubscriptionArn", subscription), ("AttributeName", attribute), ("AttributeValue", value)];
    emulator.sns("SetSubscriptionAttributes", &form).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_makes_the_whole_way_of_the_events_and_each_comes_to_the_ledger_by_it() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let mut world = Processes::new(20, Processes::account_with_events()).await;
    // An emulator's signatures are none.
    world.set("ISSEI_SNS_SIGNATURES", "off");
    let topic = topic_of(&world);
    assert_eq!(setup(&world).await, owned(&MADE));
    let was_there = MADE.map(|(what, _)| (what, "was there"));
    assert_eq!(setup(&world).await, owned(&was_there), "twice changes nothing");
    let writers = crate::writers::who_may_write(&world).await;
    assert!(writers.len() == 2 && writers.iter().all(|(holds, _)| *holds), "{writers:?}");
    let attributes = emulator.sns("GetTopicAttributes", &[("TopicArn", &topic)]).await;
    assert!(attributes.contains("OnlyThisConfigurationSet") && !attributes.contains("__default_policy_ID"), "{attributes}");

    let services = ["producer", "consumer", "feedback"].map(|service| world.start(service));
    let carry = async || {
        world
            .carry_events_by(async |event| {
                emulator.sns("Publish", &[("TopicArn", &topic), ("Message", &event)]).await;
            })
            .await
    };
    for (id, is_raw) in [("raw", true), ("wrapped", false)] {
        if !is_raw {
            set(&emulator, &subscription(&emulator, &topic).await, "RawMessageDelivery", "false").await;
            let mut as_it_is = was_there;
            as_it_is[4].1 = "was there, without raw delivery";
            assert_eq!(setup(&world).await, owned(&as_it_is), "what somebody has set is read as well, and left");
        }
        emulator.sns("Publish", &[("TopicArn", &topic), ("Message", GREETING)]).await;
        world.post("ISSEI_COMMANDS_QUEUE", &command_body(id, |_| {})).await;
        world.wait_for(id, "complete").await;
        until(format!("every event of {id} is in the ledger"), async || {
            carry().await;
            let status: Value = serde_json::from_str(&world.run(&["status", id, "--json"]).await).unwrap();
            status["delivered"] == 20
        })
        .await;
    }
    world.wait_until_drained("ISSEI_FEEDBACK_QUEUE").await;
    assert_eq!(world.dead_reasons("ISSEI_FEEDBACK_QUEUE").await, Vec::<String>::new(), "the greeting is no dead letter");
    for service in services {
        service.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_put_on_the_way_is_named_and_left_alone() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let world = Processes::new(1, Processes::account_with_events()).await;
    let topic = topic_of(&world);
    setup(&world).await;
    let subscription = subscription(&emulator, &topic).await;
    set(&emulator, &subscription, "FilterPolicy", r#"{"kind":["bounce"]}"#).await;
    let (code, _, error) = world.try_run(&["setup", "--events"]).await;
    assert!(code == Some(1) && error.contains("has a filter, so events may be missing") && error.contains(&subscription), "{error}");

    let theirs = json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Theirs", "Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": topic }] });
    let form = [("TopicArn", topic.as_str()), ("AttributeName", "Policy"), ("AttributeValue", &theirs.to_string())];
    emulator.sns("SetTopicAttributes", &form).await;
    let (code, _, error) = world.try_run(&["setup", "--events"]).await;
    assert!(code == Some(1) && error.contains("a policy of its own, which is left alone"), "{error}");
    let attributes = emulator.sns("GetTopicAttributes", &[("TopicArn", &topic)]).await;
    assert!(attributes.contains("Theirs"), "{attributes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_signatures_gets_a_way_that_has_them_and_no_other() {
    let Some(emulator) = Emulator::at_hand() else { return };
    let mut world = Processes::new(1, Processes::account_with_events()).await;
    let topic = topic_of(&world);
    world.set("ISSEI_SNS_SIGNATURES", "require");
    world.set("ISSEI_SNS_TOPIC", "arn:aws:sns:us-east-1:000000000000:another");
    let (code, _, error) = world.try_run(&["setup", "--events"]).await;
    assert!(code == Some(1) && error.contains(&topic) && error.contains("name that with sns_topic"), "{error}");
    let own = ["setup", "--events-topic", &topic, "--json"];
    assert_eq!(world.try_run(&own).await.0, Some(1), "nor by a topic of one's own");

    world.set("ISSEI_SNS_TOPIC", &topic);
    let mut made = MADE;
    made[4].1 = "made, without raw delivery";
    assert_eq!(setup(&world).await, owned(&made), "nothing was made before, by which nobody would be believed");
    let mut was_there = MADE.map(|(what, _)| (what, "was there"));
    was_there[4].1 = "was there, without raw delivery";
    assert_eq!(setup(&world).await, owned(&was_there));
    assert!(world.run(&own).await.contains("RawMessageDelivery=false"));

    let subscription = subscription(&emulator, &topic).await;
    set(&emulator, &subscription, "RawMessageDelivery", "true").await;
    let (code, _, error) = world.try_run(&["setup", "--events"]).await;
    assert!(code == Some(1) && error.contains(&subscription) && error.contains("have no signature"), "{error}");
    set(&emulator, &subscription, "RawMessageDelivery", "false").await;
    assert_eq!(setup(&world).await, owned(&was_there));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_sns_does_not_answer_setup_names_the_call_and_the_next_step() {
    let world = Processes::simulated(1, Processes::account_with_events()).await;
    let dead = format!("http://127.0.0.1:{}", free_port());
    let (code, _, error) = world.try_run_under(&[("AWS_ENDPOINT_URL_SNS", Some(&dead))], &["setup", "--events"]).await;
    assert!(code == Some(1) && error.contains("SNS GetTopicAttributes: no connection could be made"), "{error}");
    assert!(error.contains("AWS_ENDPOINT_URL_SNS") && error.contains("then repeat this"), "{error}");
    let (code, _, _) = world.try_run(&["setup", "--events", "--events-topic", "arn:aws:sns:us-east-1:000000000000:t"]).await;
    assert_eq!(code, Some(2), "one of the two");
}
