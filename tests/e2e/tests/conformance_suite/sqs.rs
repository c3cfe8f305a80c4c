//! SQS: batches, visibility, redrive, long polls.

use std::time::Duration;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use issei_aws::AwsCall;
use issei_clock::Clock;

use super::Subject;

async fn create(subject: &Subject, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
    let mut create = subject.clients.sqs.create_queue().queue_name(format!("{}-{name}", subject.prefix));
    for (attribute, value) in attributes {
        create = create.attributes(attribute.clone(), *value);
    }
    create.call().await.unwrap().queue_url.unwrap()
}

async fn receive(subject: &Subject, url: &str, wait: i32) -> Vec<Message> {
    let receive = subject.clients.sqs.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(wait);
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All");
    receive.call().await.unwrap().messages.unwrap_or_default()
}

async fn send(subject: &Subject, url: &str, body: &str) {
    subject.clients.sqs.send_message().queue_url(url).message_body(body).call().await.unwrap();
}

pub(crate) async fn run(subject: &Subject) {
    missing_queues_have_their_error(subject).await;
    messages_come_back_and_then_go_to_the_dead_letter_queue(subject).await;
    batches_are_answered_entry_by_entry(subject).await;
    attributes_travel_along(subject).await;
    a_long_poll_ends_with_the_first_message(subject).await;
    delays_and_limits_hold(subject).await;
    tags_are_kept(subject).await;
}

async fn missing_queues_have_their_error(subject: &Subject) {
    let error = subject.clients.sqs.get_queue_url().queue_name(format!("{}-none", subject.prefix)).call().await.unwrap_err();
    let code = error.code().unwrap();
    assert!(matches!(code, "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist"), "{code}");
}

async fn messages_come_back_and_then_go_to_the_dead_letter_queue(subject: &Subject) {
    let dead = create(subject, "dead", &[]).await;
    let attributes =
        subject.clients.sqs.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::All).call().await.unwrap();
    let arn = &attributes.attributes.unwrap()[&QueueAttributeName::QueueArn];
    let redrive = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":\"2\"}}");
    let url = create(subject, "live", &[(QueueAttributeName::RedrivePolicy, &redrive), (QueueAttributeName::VisibilityTimeout, "1")]).await;
    send(subject, &url, "poison").await;
    for expected in ["1", "2"] {
        let messages = receive(subject, &url, 3).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].attributes.as_ref().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount], expected);
        assert!(receive(subject, &url, 0).await.is_empty(), "hidden while in flight");
    }
    assert!(receive(subject, &url, 2).await.is_empty(), "not a third time");
    assert_eq!(receive(subject, &dead, 2).await[0].body.as_deref(), Some("poison"));
}

async fn batches_are_answered_entry_by_entry(subject: &Subject) {
    let url = create(subject, "batch", &[]).await;
    let entry = |id: usize| SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(format!("body {id}")).build().unwrap();
    let answer =
        subject.clients.sqs.send_message_batch().queue_url(&url).set_entries(Some((0..10).map(entry).collect())).call().await.unwrap();
    assert_eq!((answer.successful.len(), answer.failed.len()), (10, 0));
    let error =
        subject.clients.sqs.send_message_batch().queue_url(&url).set_entries(Some((0..11).map(entry).collect())).call().await.unwrap_err();
    assert!(error.code().unwrap().ends_with("TooManyEntriesInBatchRequest"), "{error:?}");
    let mut received = Vec::new();
    while received.len() < 10 {
        received.extend(receive(subject, &url, 1).await);
    }
    let delete = |(id, message): (usize, &Message)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .receipt_handle(message.receipt_handle.as_ref().unwrap())
            .build()
            .unwrap()
    };
    let entries = received.iter().enumerate().map(delete).collect();
    let answer = subject.clients.sqs.delete_message_batch().queue_url(&url).set_entries(Some(entries)).call().await.unwrap();
    assert_eq!((answer.successful.len(), answer.failed.len()), (10, 0));
    let attributes =
        subject.clients.sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All).call().await.unwrap();
    let attributes = attributes.attributes.unwrap();
    for name in [QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible] {
        assert_eq!(attributes[&name], "0");
    }
}

async fn attributes_travel_along(subject: &Subject) {
    let url = create(subject, "attributes", &[]).await;
    let reason = MessageAttributeValue::builder().data_type("String").string_value("because").build().unwrap();
    subject.clients.sqs.send_message().queue_url(&url).message_body("x").message_attributes("reason", reason).call().await.unwrap();
    let message = receive(subject, &url, 2).await.pop().unwrap();
    assert_eq!(message.message_attributes.unwrap()["reason"].string_value.as_deref(), Some("because"));
}

async fn a_long_poll_ends_with_the_first_message(subject: &Subject) {
    let url = create(subject, "poll", &[]).await;
    let clock = Clock::system();
    let started = clock.now();
    let (messages, ()) = tokio::join!(receive(subject, &url, 20), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        send(subject, &url, "x").await;
    });
    assert_eq!(messages.len(), 1);
    let waited = started.elapsed();
    // Twenty seconds is the longest poll that there is, so no busy machine can be told more time to find it in.
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(19), "{waited:?}");
    // Given back at once, it can be received at once.
    let give_back =
        subject.clients.sqs.change_message_visibility().queue_url(&url).receipt_handle(messages[0].receipt_handle.as_ref().unwrap());
    give_back.visibility_timeout(0).call().await.unwrap();
    assert_eq!(receive(subject, &url, 2).await.len(), 1);
}

async fn delays_and_limits_hold(subject: &Subject) {
    let url = create(subject, "limits", &[]).await;
    subject.clients.sqs.send_message().queue_url(&url).message_body("later").delay_seconds(5).call().await.unwrap();
    assert!(receive(subject, &url, 0).await.is_empty(), "delayed");
    assert_eq!(receive(subject, &url, 20).await.len(), 1);
    send(subject, &url, &"x".repeat(1024 * 1024)).await;
    let over = subject.clients.sqs.send_message().queue_url(&url).message_body("x".repeat(1024 * 1024 + 1)).call().await;
    assert!(over.is_err(), "a message over 1 MiB");
}

async fn tags_are_kept(subject: &Subject) {
    let url = create(subject, "tags", &[]).await;
    let sqs = &subject.clients.sqs;
    for (name, value) in [("first", "1.1"), ("second", "x"), ("first", "1.2")] {
        sqs.tag_queue().queue_url(&url).tags(name, value).call().await.unwrap();
    }
    let tags = sqs.list_queue_tags().queue_url(&url).call().await.unwrap().tags.unwrap_or_default();
    assert_eq!((tags["first"].as_str(), tags["second"].as_str()), ("1.2", "x"));
}
