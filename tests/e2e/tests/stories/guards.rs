//! Guards that stand alone: each at the moment that is made for it, at which nothing else would make up for its
//! loss. `tests/mutants` takes each away.

use std::time::Duration;

use issei_clock::Clock;
use issei_ledger::{Broadcast, Chunk, Claimed, Granted, LedgerError, Outcome};
use issei_schema::{Actor, BroadcastId};
use issei_sim::{Account, Events, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, seen, until};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const LIFE: Duration = Duration::from_mins(10);

fn terms() -> BroadcastId {
    "terms".parse().unwrap()
}

/// A broadcast of a hundred users, frozen and running, with nothing sent.
async fn running() -> (World, Broadcast) {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    (world, broadcast)
}

/// Whoever recounts has seen the budget stand still. A grant that comes all the same must not be counted away.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_in_the_midst_of_a_recount_undoes_the_recount() {
    let (world, seen) = running().await;
    let granted = world.ledger().grant(&seen.registration(), seen.epoch, 60, 60, LIFE).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
    world.ledger().recount(&seen).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.granted, after.remaining), (60, 40), "sixty permits are out, and could be granted once more");
}

/// What is left of a permit goes back within its own epoch, so one of an earlier epoch would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_an_earlier_epoch_alone_gets_no_permit() {
    let (world, before) = running().await;
    world.ledger().recount(&before).await.unwrap();
    let now = world.broadcast("terms").await;
    assert!(now.epoch > before.epoch);
    let mut granted = Vec::new();
    for epoch in [before.epoch, now.epoch] {
        granted.push(matches!(world.ledger().grant(&now.registration(), epoch, 10, 10, LIFE).await.unwrap(), Granted::Block(_)));
    }
    assert_eq!(granted, [false, true]);
}

/// Whoever stops the broadcast counts a permit's life from its grant, whenever the answer came.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_whose_answer_took_as_long_as_its_life_is_over_when_it_comes() {
    let (world, running) = running().await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::AnswerMs(1_500)).holding("grant_count").times(1));
    let granted = world.ledger().grant(&running.registration(), running.epoch, 5, 5, Duration::from_millis(1_200)).await.unwrap();
    let Granted::Block(block) = granted else { panic!("{granted:?}") };
    assert!(block.is_over(Clock::system().reading()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_with_a_grant_since_it_was_counted_is_not_complete() {
    let (world, counted) = running().await;
    let (tally, actor): (_, Actor) = (world.ledger().tally(&counted).await.unwrap(), "a test".parse().unwrap());
    world.ledger().grant(&counted.registration(), counted.epoch, 10, 10, LIFE).await.unwrap();
    assert!(!world.ledger().complete(&counted, &tally, &actor).await.unwrap(), "complete, and ten may still be sent to");
}

/// The owner of the claim was only slow: it has confirmed while somebody concluded that nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_opens_nothing_but_what_it_has_looked_at() {
    let (world, broadcast) = running().await;
    let ledger = world.ledger();
    ledger.grant(&broadcast.registration(), broadcast.epoch, 10, 10, LIFE).await.unwrap();
    let page = ledger.page(&terms(), 0).await.unwrap();
    let message = page.messages(&broadcast, None).next().unwrap();
    let Ok(Claimed::Ours(mut claim)) =
        ledger.claim(&message, None, &Chunk::Absent, "slow".to_owned(), LIFE, &issei_ledger::Under::default()).await
    else {
        panic!("not ours")
    };
    let seen = ledger.chunks(&[(terms(), 0)]).await.unwrap().remove(&(terms(), 0)).unwrap();
    (0..10).for_each(|at| claim.settle(at, Outcome::Accepted, Some("id")));
    ledger.confirm(&mut claim).await.unwrap();
    let _ = ledger.reopen(&broadcast, 0, &seen, &[0, 1, 2], "new").await;
    let found = ledger.chunks(&[(terms(), 0)]).await.unwrap().remove(&(terms(), 0)).unwrap();
    assert_eq!(found.outcomes().unwrap().count(Outcome::Accepted), 10, "{found:?}");
}

/// Nobody was reached, and nobody by the next try either, so the chunk's letters are as they were when it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_on_an_old_look_is_refused_though_all_letters_are_the_same() {
    let (world, broadcast) = running().await;
    let ledger = world.ledger();
    let message = ledger.page(&terms(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    let (mut seen, mut looks) = (Chunk::Absent, Vec::new());
    for owner in ["first", "second"] {
        let Ok(Claimed::Ours(mut claim)) =
            ledger.claim(&message, None, &seen, owner.to_owned(), LIFE, &issei_ledger::Under::default()).await
        else {
            panic!("not ours")
        };
        (0..10).for_each(|at| claim.settle(at, Outcome::Retryable, None));
        ledger.confirm(&mut claim).await.unwrap();
        seen = ledger.chunks(&[(terms(), 0)]).await.unwrap().remove(&(terms(), 0)).unwrap();
        looks.push(seen.clone());
    }
    let (old, new) = (&looks[0], &looks[1]);
    assert_eq!(old.outcomes(), new.outcomes());
    let late = ledger.claim(&message, None, old, "late".to_owned(), LIFE, &issei_ledger::Under::default()).await.unwrap();
    assert!(matches!(late, Claimed::Refused(_)), "the second try would count as never made");
    assert!(matches!(
        ledger.claim(&message, None, new, "third".to_owned(), LIFE, &issei_ledger::Under::default()).await,
        Ok(Claimed::Ours(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_that_can_be_copied_nowhere_stays() {
    let (world, _) = running().await;
    world.queue("chunks").await.send("no chunk", Duration::ZERO).await.unwrap();
    // As often as the SDK tries.
    world.cloud.inject(Rule::every("SendMessage", Fault::ErrorBefore).times(4));
    let before = world.calls_of("SendMessage");
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    until("no copy is taken", async || world.calls_of("SendMessage") >= before + 4).await;
    // Deletions wait for company for half a second; one that should not be made has the time to be made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let letter = seen("it is a dead letter", async || {
        world.cloud.show_all_messages();
        world.dead_letters("chunks").await.pop()
    })
    .await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(letter.0, "no chunk");
}

/// A block is a consumer's own; nothing but itself says what may still be cut from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_gives_nothing_that_it_has_not_or_when_it_is_over() {
    let (world, running) = running().await;
    let block = async |permits, life| {
        let granted = world.ledger().grant(&running.registration(), running.epoch, permits, permits, life).await.unwrap();
        let Granted::Block(block) = granted else { panic!("{granted:?}") };
        block
    };
    let (mut mine, mut other) = (block(5, LIFE).await, block(5, LIFE * 2).await);
    let mut over = block(1, Duration::ZERO).await;
    let now = Clock::system().reading();
    assert!(mine.take(6, now).is_none(), "more than are in it");
    assert!(over.take(1, now).is_none(), "after its end");
    let permit = mine.take(5, now).unwrap();
    // Put back into another block, it would count where it was never granted.
    other.put_back(permit);
    assert_eq!((mine.into_unused().1, other.into_unused().1), (0, 5));
}

/// The events that are missing lie in our own queue, while those of everybody else have been read.
#[tokio::test(flavor = "multi_thread")]
async fn absence_proves_nothing_while_the_very_events_wait_unread() {
    let events = Events { queue: Some("feedback".to_owned()), ..Events::default() };
    let mut world = World::new(WorldOptions { account: Account { events, ..Account::default() }, ..WorldOptions::default() }).await;
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::ResetAfter).after(3).times(1));
    world.post_command(&command("terms", |body| body["in_doubt"] = json!("evidence_retry"))).await;
    world.run_until_counted("terms", |totals| (totals.accepted, totals.in_doubt) == (90, 10)).await;
    let (in_doubt, queue, feedback) = (world.in_doubt("terms").await, world.queue("feedback").await, world.feedback().await);
    loop {
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        if messages.is_empty() {
            break;
        }
        let of_others: Vec<_> = messages.into_iter().filter(|message| !in_doubt.iter().any(|who| message.body.contains(who))).collect();
        feedback.handle_batch(&of_others).await;
        for message in of_others {
            queue.delete_batch(vec![message.receipt]).await.unwrap();
        }
    }
    world.cloud.show_all_messages();
    world.later(SignedDuration::from_hours(2));
    world.feedback().await.sweep().await.unwrap();
    assert_eq!(world.in_doubt("terms").await.len(), 10, "somebody who was accepted would be sent to again");
}

/// DynamoDB restores into a new table. Nothing but its id tells that it is not the one of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_in_another_table_is_recognised_by_its_id_alone() {
    let (world, _) = running().await;
    let (now, chunks) = (world.cloud.back_up("ledger").unwrap(), world.queue("chunks").await);
    assert!(world.ledger().check_whole(&chunks).await.is_ok());
    world.cloud.restore("ledger", &now, true).unwrap();
    let found = world.ledger().check_whole(&chunks).await;
    assert!(matches!(found, Err(LedgerError::Restored { .. })), "{found:?}");
}
