//! Chunks that are presumed to be unclaimed, or were looked at before a wait: nothing is concluded from what they would
//! need before somebody has looked again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use issei_aws::Timing;
use issei_ledger::{Broadcast, BroadcastState, Chunk, Claimed, Outcome, Under};
use issei_provider::{Allowance, Call, Counted, Facts, Provider, Providers, Ses, Span, Standing, Untold, Verdict};
use issei_schema::{ChunkMessage, Mailbox, ProviderName};
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, until};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const LIFE: Duration = Duration::from_mins(10);

/// A broadcast that runs and whose messages are all lost, so that the test alone says which come.
async fn without_messages(options: WorldOptions) -> (World, Broadcast, Vec<ChunkMessage>) {
    let world = World::new(options).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let queue = world.queue("chunks").await;
    loop {
        let received = queue.receive(10, Duration::ZERO).await.unwrap();
        if received.is_empty() {
            break;
        }
        queue.delete_batch(received.into_iter().map(|message| message.receipt).collect()).await.unwrap();
    }
    let messages = world.ledger().page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).collect();
    (world, broadcast, messages)
}

async fn post(world: &World, message: &ChunkMessage) {
    world.queue("chunks").await.send(&message.to_body(), Duration::ZERO).await.unwrap();
}

async fn found(world: &World, message: &ChunkMessage) -> Chunk {
    let placed = world.broadcast("terms").await.placed();
    world.ledger().chunks(&placed, &[message.chunk]).await.unwrap().remove(&message.chunk).unwrap()
}

/// Another consumer claims a chunk and confirms it, all of it with this outcome.
async fn another_confirms(world: &World, broadcast: &Broadcast, message: &ChunkMessage, outcome: Outcome) {
    let (ledger, seen) = (world.ledger(), found(world, message).await);
    let owner = format!("another-{}", seen.attempts());
    let claimed = ledger.claim(message, &broadcast.registration(), &seen, owner, LIFE, &Under::default()).await;
    let Ok(Claimed::Ours(mut claim)) = claimed else { panic!("{claimed:?}") };
    (0..message.recipients.len()).for_each(|at| claim.settle(at, outcome, None));
    ledger.confirm(&mut claim).await.unwrap();
}

/// All permits are granted, and nobody has them any more.
async fn spend_the_budget(world: &World, broadcast: &Broadcast) {
    let all = broadcast.remaining;
    world.ledger().grant(&broadcast.registration(), broadcast.epoch, (all, all), None, LIFE).await.unwrap();
    assert_eq!(world.broadcast("terms").await.remaining, 0);
}

/// A budget that stands still is recounted after a minute and more, long after whatever does not wait for it.
fn patient() -> WorldOptions {
    let options = WorldOptions::default();
    WorldOptions { timing: Timing { request_lifetime: Duration::from_mins(1), ..options.timing }, ..options }
}

/// An account with room for fewer than a chunk.
fn without_quota() -> WorldOptions {
    WorldOptions { account: Account { max_24_hour_send: 5.0, ..Account::default() }, ..WorldOptions::default() }
}

/// Until so many messages are left in the queue, or somebody has paused the broadcast.
async fn until_left(world: &World, left: u64) {
    until(format!("{left} messages are left"), async || {
        let [waiting, in_flight, _] = world.queue("chunks").await.depths().await.unwrap();
        waiting + in_flight <= left || world.broadcast("terms").await.broadcast_state != BroadcastState::Running
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_settled_chunk_pauses_nothing_when_the_days_quota_is_spent() {
    let (world, broadcast, messages) = without_messages(without_quota()).await;
    another_confirms(&world, &broadcast, &messages[0], Outcome::Accepted).await;
    post(&world, &messages[0]).await;
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    until_left(&world, 0).await;
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Running, "its chunk needs no quota");
    // One that does need it pauses.
    post(&world, &messages[1]).await;
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Paused).await;
    stop.cancel();
    consumer.await.unwrap();
}

/// SES, which says how much may be sent only once it is let.
struct SlowToTell {
    ses: Ses,
    asked: Semaphore,
    told: Semaphore,
}

impl Provider for SlowToTell {
    fn facts(&self) -> &'static Facts {
        self.ses.facts()
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        self.ses.send(call)
    }

    fn allowance(&self) -> Pin<Box<dyn Future<Output = Result<Allowance, Untold>> + Send + '_>> {
        Box::pin(async {
            self.asked.add_permits(1);
            let _told = self.told.acquire().await.unwrap();
            self.ses.allowance().await
        })
    }

    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> Pin<Box<dyn Future<Output = Standing> + Send + 'a>> {
        self.ses.standing(from)
    }

    fn counted(&self, span: Span) -> Pin<Box<dyn Future<Output = Option<Counted>> + Send + '_>> {
        self.ses.counted(span)
    }
}

/// The message came when its chunk was to be sent again. While it waited for its turn another consumer did that.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_the_message_of_a_chunk_that_another_has_settled_while_it_waited() {
    let (mut world, broadcast, messages) = without_messages(without_quota()).await;
    let provider = Arc::new(SlowToTell { ses: world.ses(), asked: Semaphore::new(0), told: Semaphore::new(0) });
    world.providers = Providers::new(world.ses()).with(ProviderName::default(), provider.clone());
    another_confirms(&world, &broadcast, &messages[0], Outcome::Retryable).await;
    post(&world, &messages[0]).await;
    // Received once before, so that its chunk is looked at and not presumed to be unclaimed.
    assert_eq!(world.queue("chunks").await.receive(10, Duration::ZERO).await.unwrap().len(), 1);
    world.cloud.show_all_messages();
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    provider.asked.acquire().await.unwrap().forget();
    another_confirms(&world, &broadcast, &messages[0], Outcome::Accepted).await;
    provider.told.add_permits(1);
    until_left(&world, 0).await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(world.broadcast("terms").await.broadcast_state, BroadcastState::Running, "its chunk needs no quota any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_settled_chunk_waits_for_no_budget_that_is_spent() {
    let (world, broadcast, messages) = without_messages(patient()).await;
    another_confirms(&world, &broadcast, &messages[0], Outcome::Accepted).await;
    spend_the_budget(&world, &broadcast).await;
    let before = world.broadcast("terms").await;
    post(&world, &messages[0]).await;
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    until_left(&world, 0).await;
    let after = world.broadcast("terms").await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!((after.epoch, after.grant_count), (before.epoch, before.grant_count), "it waited until the budget was recounted");
}

/// The one that needs permits waits for them with the pool locked.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_wait_behind_a_chunk_that_needs_permits() {
    let (world, broadcast, messages) = without_messages(patient()).await;
    another_confirms(&world, &broadcast, &messages[0], Outcome::Accepted).await;
    spend_the_budget(&world, &broadcast).await;
    let before = world.broadcast("terms").await;
    let (looks, stop) = (world.calls_of("BatchGetItem"), CancellationToken::new());
    post(&world, &messages[1]).await;
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    until("it is looked whether it is unclaimed", async || world.calls_of("BatchGetItem") > looks).await;
    let asked = world.calls_of("UpdateItem");
    until("it asks for permits again and again", async || world.calls_of("UpdateItem") > asked + 3).await;
    post(&world, &messages[0]).await;
    until_left(&world, 1).await;
    let after = world.broadcast("terms").await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!((after.epoch, after.grant_count), (before.epoch, before.grant_count), "it waited until the budget was recounted");
    assert_eq!((found(&world, &messages[1]).await, world.cloud.accepted()), (Chunk::Absent, 0));
}

/// A copy has taken the last permits for a chunk that is settled, and while its claim is under way another chunk needs them.
#[tokio::test(flavor = "multi_thread")]
async fn permits_that_were_taken_for_a_settled_chunk_are_there_at_once_for_the_next() {
    let (world, broadcast, messages) = without_messages(patient()).await;
    another_confirms(&world, &broadcast, &messages[0], Outcome::Accepted).await;
    let others = broadcast.remaining - 10;
    world.ledger().grant(&broadcast.registration(), broadcast.epoch, (others, others), None, LIFE).await.unwrap();
    world.cloud.inject(Rule::every("UpdateItem", Fault::DelayMs(1_000)).holding("SET chunk_state = :claimed").times(1));
    let stop = CancellationToken::new();
    post(&world, &messages[0]).await;
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.wait_until("terms", |broadcast| broadcast.remaining == 0).await;
    post(&world, &messages[1]).await;
    until("the other is sent", async || world.cloud.accepted() == 10).await;
    let after = world.broadcast("terms").await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(after.epoch, broadcast.epoch, "it waited until the budget was recounted");
}

/// Events have proved accepted whom a chunk would send to again, and while somebody looks another chunk waits for permits.
#[tokio::test(flavor = "multi_thread")]
async fn whom_events_prove_accepted_is_recorded_at_once_though_another_chunk_waits_for_permits() {
    let (world, broadcast, messages) = without_messages(patient()).await;
    let (ledger, chunk) = (world.ledger(), &messages[0]);
    let claimed = ledger.claim(chunk, &broadcast.registration(), &Chunk::Absent, "another".to_owned(), LIFE, &Under::default()).await;
    let Ok(Claimed::Ours(mut claim)) = claimed else { panic!("{claimed:?}") };
    (0..10).for_each(|at| claim.settle(at, if at < 5 { Outcome::Accepted } else { Outcome::Retryable }, None));
    ledger.confirm(&mut claim).await.unwrap();
    for at in 5..10 {
        let tags = world.tags("terms", chunk.chunk, at).await;
        let event = json!({ "eventType": "Delivery", "mail": { "messageId": format!("late-{at}"), "tags": tags } });
        world.queue("feedback").await.send(&event.to_string(), Duration::ZERO).await.unwrap();
    }
    world.take_events().await;
    let others = broadcast.remaining - 5;
    ledger.grant(&broadcast.registration(), broadcast.epoch, (others, others), None, LIFE).await.unwrap();
    world.cloud.inject(Rule::every("BatchGetItem", Fault::DelayMs(2_000)).holding("feedback#").times(1));
    let stop = CancellationToken::new();
    post(&world, chunk).await;
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    world.wait_until("terms", |broadcast| broadcast.remaining == 0).await;
    post(&world, &messages[1]).await;
    let accepted = async || found(&world, chunk).await.outcomes().map(|outcomes| outcomes.count(Outcome::Accepted));
    until("all of it is accepted", async || accepted().await == Some(10)).await;
    let after = world.broadcast("terms").await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!((after.epoch, world.cloud.accepted()), (broadcast.epoch, 0), "it waited until the budget was recounted");
}
