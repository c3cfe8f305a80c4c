//! What keeps a broadcast from beginning, where people look for it.

use issei_aws::AwsCall;
use issei_sim::Account;
use issei_test_support::{Processes, command_body, until};
use serde_json::{Value, json};

use crate::console::Door;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_broadcast_is_told_that_it_was_refused_and_why() {
    let world = Processes::new(10, Account::default()).await;
    let (code, _, error) = world.try_run(&["status", "terms"]).await;
    assert!(code == Some(1) && error.contains("no broadcast `terms`"), "{error}");

    // Somebody watches before anything is there. The command comes, and names an audience that nobody knows.
    let watch = async || world.try_run(&["status", "terms", "--watch", "--json"]).await;
    let refuse = async {
        let producer = world.start("producer");
        world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |body| body["audience"] = json!("everybody"))).await;
        producer
    };
    let ((code, output, error), producer) = tokio::join!(watch(), refuse);
    assert_eq!(code, Some(3), "{output}{error}");
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["broadcast_id"]), (&json!("refused"), &json!("terms")), "{output}");
    assert!(last["refused"]["reason"].as_str().unwrap().contains("no audience `everybody`"), "{output}");

    let (code, text, _) = world.try_run(&["status", "terms"]).await;
    assert!(code == Some(3) && text.contains("state         refused: field `audience`"), "{text}");
    let list = world.run(&["list"]).await;
    assert!(list.contains("terms") && list.contains("refused") && list.contains("no audience `everybody`"), "{list}");
    assert!(!world.run(&["list", "--open"]).await.contains("refused"));
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    let overview = door.get("/").await;
    assert!(overview.contains("Refused commands") && overview.contains("no audience `everybody`"), "{overview}");
    let missing = door.get("/b/terms").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("Refused: field `audience`"), "{missing}");

    // Corrected, it goes, and a watcher who came first stays until it is over.
    let corrected = async {
        world.post("ISSEI_COMMANDS_QUEUE", &command_body("late", |_| {})).await;
        world.start("consumer")
    };
    let ((code, output, error), consumer) = tokio::join!(world.try_run(&["status", "late", "--watch", "--json"]), corrected);
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!((code, &last["state"], &last["accepted"]), (Some(0), &json!("complete"), &json!(10)), "{output}{error}");
    for process in [console, producer, consumer] {
        process.end().await;
    }
}

/// SQS moves there whatever is received too often, and nobody notes a reason in the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_broadcast_is_told_that_its_command_lies_among_the_dead_ones() {
    let world = Processes::new(10, Account::default()).await;
    for body in [command_body("terms", |_| {}), "no command".to_owned()] {
        world.post("ISSEI_COMMANDS_QUEUE", &body).await;
    }
    let (sqs, url) = world.queue_url("ISSEI_COMMANDS_QUEUE", "").await;
    until("SQS moves the messages", async || {
        let received = sqs.receive_message().queue_url(&url).visibility_timeout(0).max_number_of_messages(10).call().await.unwrap();
        received.messages.unwrap_or_default().is_empty()
    })
    .await;
    let (code, output, error) = world.try_run(&["status", "terms", "--watch", "--json"]).await;
    assert_eq!(code, Some(3), "{output}{error}");
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["dead"]["of_none"]), (&json!("absent"), &json!(1)), "{output}");
    assert!(last["dead"]["of_it"][0].as_str().unwrap().contains("moved by SQS itself"), "{output}");
    let (code, text, _) = world.try_run(&["status", "terms", "--watch"]).await;
    assert!(code == Some(3) && text.contains("next step     ") && text.contains("`issei redrive commands` moves it back"), "{text}");
    assert!(text.contains("1 whose id can't be read"), "{text}");
    let (code, _, error) = world.try_run(&["status", "terms"]).await;
    assert!(code == Some(1) && error.contains("its command lies in") && error.contains("issei redrive commands"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ledger_and_an_audience_that_cannot_be_read_are_told_in_status_list_and_console() {
    let world = Processes::new(10, Account::default()).await;
    world.users.execute("ALTER TABLE users RENAME TO gone").await;
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    let status = world.wait_until("terms", |status| !status["held_up"].is_null()).await;
    assert!(status["held_up"]["reason"].as_str().unwrap().contains("audience `users`"), "{status}");
    let (console, url) = world.start_console().await;
    let door = Door::at(url.as_str());
    for path in ["/", "/b/terms", "/b/terms/live"] {
        let shown = door.get(path).await.replace("<bdi>", "");
        assert!(shown.contains("Held up: audience `users`"), "{path}: {shown}");
    }
    // The code of the reason, with the page that says what to do, and its words in the language of whoever looks.
    assert_eq!((&status["reason_code"], &status["held_up"]["code"]), (&json!("HELD_UP_SOURCE"), &json!("HELD_UP_SOURCE")), "{status}");
    let text = world.run(&["status", "terms"]).await;
    assert!(text.contains("HELD UP") && text.contains("code          HELD_UP_SOURCE: docs/reasons/HELD_UP_SOURCE.md"), "{text}");
    assert!(world.run(&["list"]).await.contains("recipients  HELD_UP_SOURCE: audience `users`"));
    for (path, told) in [
        ("/", "<code>HELD_UP_SOURCE</code></a> The audience can&#39;t be read."),
        ("/b/terms?lang=ja", "<code>HELD_UP_SOURCE</code> 対象者を読み取れません。"),
        ("/b/terms", "<a href=\"../reason/HELD_UP_SOURCE\">What to do</a>"),
        ("/reason/HELD_UP_SOURCE", "<h2>What to do now</h2>"),
        ("/reason/HELD_UP_SOURCE?lang=ja", "手順: 一斉送信が始まらない"),
    ] {
        let shown = door.get(path).await;
        assert!(shown.contains(told), "{path}: {shown}");
    }

    world.run(&["stop", "--all", "--reason", "a test"]).await;
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("after", |_| {})).await;
    until("the closed ledger's refusal is told", async || world.try_run(&["status", "after"]).await.0 == Some(3)).await;
    let text = world.try_run(&["status", "after"]).await.1;
    assert!(text.contains("refused: closed for new broadcasts") && text.contains("CLOSED        for new broadcasts since"), "{text}");
    assert!(text.contains("issei open") && text.contains("REFUSED_CLOSED: docs/reasons/REFUSED_CLOSED.md"), "{text}");
    // What a person has said is the reason, without a code.
    let status: Value = serde_json::from_str(&world.run(&["status", "terms", "--json"]).await).unwrap();
    assert_eq!((&status["state"], &status["reason_code"]), (&json!("stopped"), &Value::Null), "{status}");
    assert!(status["reason"].as_str().unwrap().starts_with("a test"), "{status}");
    console.end().await;
    producer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_say_who_moved_them_and_why_and_what_the_ledger_knows() {
    let world = Processes::new(10, Account::default()).await;
    let producer = world.start("producer");
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("terms", |_| {})).await;
    world.wait_until("terms", |status| status["waiting_messages"] == 1).await;
    world.post("ISSEI_COMMANDS_QUEUE", &command_body("lost", |body| body["audience"] = json!("everybody"))).await;
    world.post("ISSEI_FEEDBACK_QUEUE", "ann@example.com is no event").await;
    world.wait_until("terms", |status| status["queues"]["commands"]["dead_letters"] == 1).await;
    // Whoever receives a message again and again, and ends each time before it can say anything.
    for setting in ["ISSEI_CHUNKS_QUEUE", "ISSEI_FEEDBACK_QUEUE"] {
        let (sqs, url) = world.queue_url(setting, "").await;
        until("SQS moves the message", async || {
            let received = sqs.receive_message().queue_url(&url).visibility_timeout(0).call().await.unwrap();
            received.messages.unwrap_or_default().is_empty()
        })
        .await;
    }
    // Looking leaves them where they are.
    for _ in [1, 2] {
        let told = world.run(&["dead-letters", "--json"]).await;
        assert!(!told.contains('@'), "{told}");
        let told: Value = serde_json::from_str(&told).unwrap();
        let [commands, chunks, feedback] = [0, 1, 2].map(|queue| &told["dead_letters"][queue]["letters"][0]);
        assert_eq!((&commands["moved_by"], &commands["broadcast_id"]), (&json!("issei"), &json!("lost")), "{told}");
        assert!(commands["reason"].as_str().unwrap().contains("no audience `everybody`"), "{told}");
        assert!(commands["ledger"][0].as_str().unwrap().contains("was refused"), "{told}");
        assert_eq!((&chunks["moved_by"], &chunks["broadcast_id"], &chunks["chunk"]), (&json!("sqs"), &json!("terms"), &json!(0)), "{told}");
        assert!(chunks["receives"].as_u64().unwrap() > 10 && chunks["reason"].is_null(), "{told}");
        let known = chunks["ledger"].to_string();
        assert!(known.contains("the broadcast is running") && known.contains("chunk 0 was never claimed"), "{told}");
        assert_eq!((&feedback["moved_by"], &feedback["broadcast_id"]), (&json!("sqs"), &Value::Null), "{told}");
    }
    let id = async |queue: &str| {
        let told: Value = serde_json::from_str(&world.run(&["dead-letters", queue, "--json"]).await).unwrap();
        told["dead_letters"][0]["letters"][0]["message_id"].as_str().unwrap().to_owned()
    };
    // What is still to be sent is not deleted, and what nobody needs is, with its reason.
    let (chunk, command) = (id("chunks").await, id("commands").await);
    let discard = |queue: &'static str, id: String| {
        let world = &world;
        async move { world.try_run(&["dead-letters", queue, "--discard", &id, "--reason", "a typing error", "--yes"]).await }
    };
    let (code, _, error) = discard("chunks", chunk).await;
    assert!(code == Some(1) && error.contains("is still to be sent") && error.contains("nothing was deleted"), "{error}");
    let (code, output, error) = discard("commands", command.clone()).await;
    assert!(code == Some(0) && output.contains("1 of 1 letter deleted"), "{output}{error}");
    let (code, _, error) = discard("commands", command).await;
    assert!(code == Some(1) && error.contains("no dead letter"), "{error}");
    assert!(world.run(&["dead-letters", "commands"]).await.ends_with("-dead: 0\n"));
    let text = world.run(&["dead-letters", "chunks"]).await;
    assert!(text.contains("terms, chunk 0 (message ") && text.contains("moved by SQS itself, since it was received too often"), "{text}");
    assert!(world.run(&["status", "terms"]).await.contains("`issei dead-letters` shows who moved each"));
    world.run(&["redrive", "chunks"]).await;
    let consumer = world.start("consumer");
    world.wait_for("terms", "complete").await;
    assert!(world.run(&["deadletters", "chunks"]).await.ends_with("-dead: 0\n"));
    // An event counts whenever it comes, so of one nobody is told that it is over.
    let (sqs, url) = world.queue_url("ISSEI_FEEDBACK_QUEUE", "-dead").await;
    let complaint = json!({
        "eventType": "Complaint", "complaint": { "complaintFeedbackType": "abuse" },
        "mail": { "messageId": "1", "tags": { "broadcast": ["terms"], "chunk": ["0"], "recipient": ["3"] } },
    });
    sqs.send_message().queue_url(&url).message_body(complaint.to_string()).call().await.unwrap();
    let text = world.run(&["dead-letters", "feedback"]).await;
    assert!(text.contains("an event is never over") && !text.contains("causes nothing any more"), "{text}");
    // Nobody knows who has put it there, and it would be believed.
    let (code, output, error) = world.try_run(&["redrive", "feedback"]).await;
    assert!(code == Some(3) && output.contains("1 dead letters moved back one by one; 1 left"), "{output}{error}");
    producer.end().await;
    consumer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_topic_of_ones_own_setup_makes_the_rest_of_the_way_and_says_what_is_left_in_sns() {
    let world = Processes::new(1, Account::default()).await;
    let topic = "arn:aws:sns:us-east-1:000000000000:issei-events";
    let setup = async |topic: &str| world.try_run(&["setup", "--events-topic", topic, "--json"]).await;
    let (code, output, error) = setup(topic).await;
    assert_eq!(code, Some(0), "{error}");
    let told: Value = serde_json::from_str(&output).unwrap();
    let done = |told: &Value, what: &str| {
        let of_kind = told["setup"].as_array().unwrap().iter().filter(|made| made["what"] == what);
        of_kind.map(|made| made["done"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((done(&told, "queue policy"), done(&told, "event destination")), (vec!["made".to_owned(); 2], vec!["made".to_owned()]));
    let left = told["left"].to_string();
    assert!(left.contains("aws sns subscribe") && left.contains("set-topic-attributes") && left.contains(topic), "{left}");
    let policy = async |suffix: &str| {
        let (sqs, url) = world.queue_url("ISSEI_FEEDBACK_QUEUE", suffix).await;
        let asked = sqs.get_queue_attributes().queue_url(url).attribute_names("Policy".into()).call().await.unwrap();
        serde_json::from_str::<Value>(asked.attributes.unwrap().values().next().unwrap()).unwrap()
    };
    let live = policy("").await;
    assert_eq!(live["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"], topic);
    assert_eq!((&live["Statement"][1]["Effect"], &live["Statement"][1]["Principal"]), (&json!("Deny"), &json!("*")));
    // What lies among the dead is believed once it is moved back. What is no event is buried by the feedback consumer itself.
    let denied = &policy("-dead").await["Statement"][1];
    assert_eq!((&denied["Effect"], &denied["Principal"]), (&json!("Deny"), &json!("*")));
    let (source, part) = ("aws:SourceArn", "aws:PrincipalTag/issei-part");
    assert_eq!(denied["Condition"]["ArnNotEquals"][source], json!([topic, live["Statement"][0]["Resource"]]));
    assert!(denied["Condition"]["StringNotEquals"][part].as_str().unwrap().ends_with("-feedback"), "{denied}");

    let again: Value = serde_json::from_str(&setup(topic).await.1).unwrap();
    assert_eq!(
        (done(&again, "queue policy"), done(&again, "event destination")),
        (vec!["was there".to_owned(); 2], vec!["was there".to_owned()])
    );
    assert_eq!(policy("").await, live);
    // Somebody else's policy is not ours to replace.
    let (sqs, url) = world.queue_url("ISSEI_FEEDBACK_QUEUE", "").await;
    let other = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#;
    sqs.set_queue_attributes().queue_url(url).attributes("Policy".into(), other).call().await.unwrap();
    let (code, _, error) = setup(topic).await;
    assert!(code == Some(1) && error.contains("a policy of its own, which is left alone"), "{error}");
    assert_eq!(policy("").await["Statement"][0]["Sid"], "Theirs");
    assert_eq!(world.try_run(&["setup", "--events-topic", "issei-events"]).await.0, Some(2));
}
