//! A service that is told to end while it polls: what SQS hands to nobody shows again soon, and not only when its queue's
//! visibility timeout is over.

use std::time::Duration;

use issei_aws::{Poll, Queue, Timing};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, seen, until};
use tokio_util::sync::CancellationToken;

/// What is hidden for as long as its queue says is not seen again in these tests.
const VISIBILITY: Duration = Duration::from_hours(2);
/// A wait for which nobody who is told to end stays.
const LONG: Duration = Duration::from_secs(20);

async fn world() -> World {
    let options = WorldOptions::default();
    World::new(WorldOptions { timing: Timing { visibility: VISIBILITY, ..options.timing }, ..options }).await
}

async fn depths(queue: &Queue) -> [u64; 2] {
    let [waiting, in_flight, _] = queue.depths().await.unwrap();
    [waiting, in_flight]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_producer_took_while_it_was_told_to_end_is_soon_carried_out_by_the_next() {
    let world = world().await;
    // SQS hands it out, and nobody hears of it.
    world.cloud.inject(Rule::every("ReceiveMessage", Fault::HangAfter).times(1));
    let (stop, producer) = (CancellationToken::new(), world.producer().await);
    let first = tokio::spawn({
        let stop = stop.clone();
        async move { producer.run(stop).await }
    });
    world.post_command(&command("terms", |_| {})).await;
    let commands = world.queue("commands").await;
    until("it is handed out", async || depths(&commands).await == [0, 1]).await;
    stop.cancel();
    first.await.unwrap();
    assert_eq!(depths(&commands).await, [0, 1]);
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| totals.accepted), Some(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_busy_service_ends_is_given_back_at_once() {
    let world = world().await;
    let (queue, shutdown) = (world.queue("chunks").await, CancellationToken::new());
    let poll = Poll::new(queue.clone(), 10, VISIBILITY);
    queue.send("a message", Duration::ZERO).await.unwrap();
    world.cloud.inject(Rule::every("ReceiveMessage", Fault::AnswerMs(200)).times(1));
    let ends = async {
        until("it is handed out", async || depths(&queue).await == [0, 1]).await;
        shutdown.cancel();
    };
    let (received, ()) = tokio::join!(poll.next(Poll::SHORT, &shutdown), ends);
    assert!(received.is_none());
    assert_eq!(depths(&queue).await, [1, 0]);
    assert!(poll.next(Duration::ZERO, &shutdown).await.is_none());
    assert_eq!(depths(&queue).await, [1, 0], "nobody receives who was told to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_idle_service_receives_is_hidden_for_the_whole_time_by_one_call_and_a_busy_one_needs_none() {
    let world = world().await;
    let (queue, shutdown) = (world.queue("chunks").await, CancellationToken::new());
    let (poll, hides) = (Poll::new(queue.clone(), 10, VISIBILITY), || world.calls_of("ChangeMessageVisibilityBatch"));
    let received = async |wait| {
        queue.send("a message", Duration::ZERO).await.unwrap();
        poll.next(wait, &shutdown).await.unwrap().unwrap().pop().unwrap()
    };
    received(LONG).await;
    assert_eq!(hides(), 1);
    received(Poll::SHORT).await;
    assert_eq!(hides(), 1);
    // Of somebody who may not hide for longer, nothing shows again early.
    world.cloud.inject(Rule::every("ChangeMessageVisibilityBatch", Fault::Refused));
    let lent = received(LONG).await;
    received(LONG).await;
    let again = seen("what was lent shows again", async || queue.receive(10, Duration::ZERO).await.unwrap().pop()).await;
    assert_eq!((again.id, again.receives), (lent.id, 2));
    assert_eq!(depths(&queue).await, [0, 4]);
}
