//! Guards that stand alone: each at the moment that is made for it, at which nothing else would make up for its
//! loss. `tests/mutants` takes each away.

use std::time::Duration;

use issei_aws::Timing;
use issei_clock::{Clock, Dice};
use issei_ledger::{
    Asked, Broadcast, BroadcastState, Chunk, Claim, Claimed, Enumerated, Frozen, Granted, Ledger, LedgerError, Opened, Outcome, PackedPage,
    Reading, Registered, Transition, Under,
};
use issei_schema::{Actor, BroadcastId, ChunkMessage};
use issei_sim::{Account, Events, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, seen, until};
use jiff::SignedDuration;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const LIFE: Duration = Duration::from_mins(10);

fn terms() -> BroadcastId {
    "terms".parse().unwrap()
}

fn a_test() -> Actor {
    "a test".parse().unwrap()
}

/// A broadcast of a hundred users, frozen and running, with nothing sent.
async fn running() -> (World, Broadcast) {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    (world, broadcast)
}

async fn claimed(ledger: &Ledger, message: &ChunkMessage, seen: &Chunk, owner: &str) -> Claim {
    let of = ledger.broadcast(&terms()).await.unwrap().registration();
    let claimed = ledger.claim(message, &of, seen, owner.to_owned(), LIFE, &Under::default()).await;
    let Ok(Claimed::Ours(claim)) = claimed else { panic!("{claimed:?}") };
    claim
}

async fn first_chunk(ledger: &Ledger) -> Chunk {
    let placed = ledger.broadcast(&terms()).await.unwrap().placed();
    ledger.chunks(&placed, &[0]).await.unwrap().remove(&0).unwrap()
}

/// Whoever recounts has seen the budget stand still. A grant that comes all the same must not be counted away.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_in_the_midst_of_a_recount_undoes_the_recount() {
    let (world, seen) = running().await;
    let granted = world.ledger().grant(&seen.registration(), seen.epoch, (60, 60), None, LIFE).await.unwrap();
    assert!(matches!(granted, Granted::Block(_)), "{granted:?}");
    world.ledger().recount(&seen).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.granted, after.remaining), (60, 40), "sixty permits are out, and could be granted once more");
}

/// Whoever recounts knows what its canary kept back, and has not heard that it keeps nothing back any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_recount_that_was_begun_before_an_approval_takes_nothing_from_it() {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |body| body["canary"] = json!(10))).await;
    let seen = world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    assert_eq!((seen.remaining, seen.withheld), (10, 90));
    for (to, reason) in [(BroadcastState::Holding, "the canary is sent"), (BroadcastState::Running, "approved")] {
        world.ledger().transition(&terms(), Transition { to, actor: &a_test(), reason }).await.unwrap();
    }
    world.ledger().recount(&seen).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.remaining, after.withheld), (100, 0), "ninety who were approved wait for the next recount");
}

/// What a stop said of the permits that are out stays what it said.
#[tokio::test(flavor = "multi_thread")]
async fn a_recount_that_comes_after_a_stop_changes_nothing() {
    let (world, running) = running().await;
    world.ledger().grant(&running.registration(), running.epoch, (60, 60), None, LIFE).await.unwrap();
    let seen = world.broadcast("terms").await;
    let stopping = world.ledger().end(&terms(), &a_test(), "a test").await.unwrap();
    world.ledger().recount(&seen).await.unwrap();
    let after = world.broadcast("terms").await;
    assert_eq!((after.granted, after.remaining, after.epoch), (60, 40, stopping.epoch));
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
        granted.push(matches!(world.ledger().grant(&now.registration(), epoch, (10, 10), None, LIFE).await.unwrap(), Granted::Block(_)));
    }
    assert_eq!(granted, [false, true]);
}

/// Whoever stops the broadcast counts a permit's life from its grant, whenever the answer came.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_whose_answer_took_as_long_as_its_life_is_over_when_it_comes() {
    let (world, running) = running().await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::AnswerMs(1_500)).holding("grant_count").times(1));
    let granted = world.ledger().grant(&running.registration(), running.epoch, (5, 5), None, Duration::from_millis(1_200)).await.unwrap();
    let Granted::Block(block) = granted else { panic!("{granted:?}") };
    assert!(block.is_over(Clock::system().reading()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_with_a_grant_since_it_was_counted_is_not_complete() {
    let (world, counted) = running().await;
    let (tally, actor): (_, Actor) = (world.ledger().tally(&counted).await.unwrap(), a_test());
    world.ledger().grant(&counted.registration(), counted.epoch, (10, 10), None, LIFE).await.unwrap();
    assert!(!world.ledger().complete(&counted, &tally, &actor).await.unwrap(), "complete, and ten may still be sent to");
}

/// The owner of the claim was only slow: it has confirmed while somebody concluded that nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_opens_nothing_but_what_it_has_looked_at() {
    let (world, broadcast) = running().await;
    let ledger = world.ledger();
    ledger.grant(&broadcast.registration(), broadcast.epoch, (10, 10), None, LIFE).await.unwrap();
    let page = ledger.page(&broadcast.placed(), 0).await.unwrap();
    let message = page.messages(&broadcast, None).next().unwrap();
    let mut claim = claimed(&ledger, &message, &Chunk::Absent, "slow").await;
    let seen = first_chunk(&ledger).await;
    (0..10).for_each(|at| claim.settle(at, Outcome::Accepted, Some("id")));
    ledger.confirm(&mut claim).await.unwrap();
    let _ = ledger.reopen(&broadcast, 0, &seen, &[0, 1, 2], "new").await;
    let found = first_chunk(&ledger).await;
    assert_eq!(found.outcomes().unwrap().count(Outcome::Accepted), 10, "{found:?}");
}

/// One has heard of two. Another looked at the chunk before that was written, and has heard of one of them.
#[tokio::test(flavor = "multi_thread")]
async fn late_evidence_is_written_over_nothing_but_what_it_has_looked_at() {
    let (world, broadcast) = running().await;
    let ledger = world.ledger();
    let message = ledger.page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    let mut claim = claimed(&ledger, &message, &Chunk::Absent, "owner").await;
    (0..10).for_each(|at| claim.settle(at, Outcome::Retryable, None));
    ledger.confirm(&mut claim).await.unwrap();
    let seen = first_chunk(&ledger).await;
    assert!(ledger.acknowledge(&broadcast, 0, &seen, &[0, 1], "one").await.unwrap());
    assert!(!ledger.acknowledge(&broadcast, 0, &seen, &[0], "other").await.unwrap());
    assert_eq!(first_chunk(&ledger).await.outcomes().unwrap().count(Outcome::Accepted), 2, "somebody would be sent to again");
    assert_eq!(world.broadcast("terms").await.remaining, 98, "two have had their permits");
}

/// Nobody was reached, and nobody by the next try either, so the chunk's letters are as they were when it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_on_an_old_look_is_refused_though_all_letters_are_the_same() {
    let (world, broadcast) = running().await;
    let ledger = world.ledger();
    let message = ledger.page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    let (mut seen, mut looks) = (Chunk::Absent, Vec::new());
    for owner in ["first", "second"] {
        let mut claim = claimed(&ledger, &message, &seen, owner).await;
        (0..10).for_each(|at| claim.settle(at, Outcome::Retryable, None));
        ledger.confirm(&mut claim).await.unwrap();
        seen = first_chunk(&ledger).await;
        looks.push(seen.clone());
    }
    let (old, new) = (&looks[0], &looks[1]);
    assert_eq!(old.outcomes(), new.outcomes());
    let late = ledger.claim(&message, &broadcast.registration(), old, "late".to_owned(), LIFE, &Under::default()).await.unwrap();
    assert!(matches!(late, Claimed::Refused(_)), "the second try would count as never made");
    let _third = claimed(&ledger, &message, new, "third").await;
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
    let letter = seen("it is a dead letter, or gone", async || {
        world.cloud.show_all_messages();
        let is_gone = world.queue("chunks").await.depths().await.unwrap()[..2] == [0, 0];
        let letter = world.dead_letters("chunks").await.pop();
        (letter.is_some() || is_gone).then_some(letter)
    })
    .await;
    stop.cancel();
    consumer.await.unwrap();
    assert_eq!(letter.unwrap().0, "no chunk");
}

/// Two consumers begin the same hour, and one of them has heard of it before the other's permits came back.
#[tokio::test(flavor = "multi_thread")]
async fn a_permit_on_an_old_look_at_a_ramp_is_none_of_the_hour_that_is_thought_of() {
    let mut world = World::new(WorldOptions::default()).await;
    let ramped = command("terms", |body| {
        (body["version"], body["class"], body["ramp"]) = (json!(2), json!("service"), json!({ "first_hour": 20 }));
    });
    world.post_command(&ramped).await;
    let before = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let grant = async |world: &World, look: &Broadcast| {
        world.ledger().grant(&look.registration(), look.epoch, (10, 90), look.ramped(), LIFE).await.unwrap()
    };
    assert!(matches!(grant(&world, &before).await, Granted::Block(_)));
    let twice = grant(&world, &before).await;
    let full = world.broadcast("terms").await;
    assert_eq!((full.granted, matches!(twice, Granted::Denied(_))), (20, true), "an hour has begun twice");
    let within = grant(&world, &full).await;
    assert_eq!(
        (world.broadcast("terms").await.granted, matches!(within, Granted::Denied(_))),
        (20, true),
        "an hour is full, and more are granted"
    );
    // Of the twenty fifteen were not used after all, so the next hour is as the first.
    world.ledger().give_back(&full.registration(), full.epoch, 15).await.unwrap();
    world.later(SignedDuration::from_hours(1));
    assert!(matches!(grant(&world, &full).await, Granted::Block(_)));
    let next = world.broadcast("terms").await;
    assert_eq!((next.granted, next.ramp_hour_before, next.ramp_doublings), (25, Some(5), Some(0)));
    // Whoever has slept since its first permits does not know that others have used the rest.
    let slept = Broadcast { granted: 10, ..next.clone() };
    world.later(SignedDuration::from_hours(1));
    assert!(matches!(grant(&world, &slept).await, Granted::Block(_)));
    let doubled = world.broadcast("terms").await;
    assert_eq!((doubled.granted, doubled.ramp_hour_before, doubled.ramp_doublings), (65, Some(25), Some(1)));
}

/// A block is a consumer's own; nothing but itself says what may still be cut from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_block_gives_nothing_that_it_has_not_or_when_it_is_over() {
    let (world, running) = running().await;
    let block = async |permits, life| {
        let granted = world.ledger().grant(&running.registration(), running.epoch, (permits, permits), None, life).await.unwrap();
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
    assert!(other.put_back(permit).is_err());
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

/// A broadcast of which nothing is frozen, and whoever read its audience.
async fn enumerating() -> (World, Broadcast, Reading) {
    let world = World::new(WorldOptions::default()).await;
    let registered = world.ledger().register(&command("terms", |_| {}), 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    let Registered::New(broadcast) = registered else { panic!("{registered:?}") };
    let reading = Reading {
        id: "one".to_owned(),
        rows: 2,
        counted: 2,
        without_key: 0,
        repeated: 0,
        differing: None,
        trimmed: None,
        unique_addresses: None,
        section: None,
        left_out: None,
        digest: None,
        readings: 1,
    };
    (world, broadcast, reading)
}

/// The next page, with one recipient.
fn page_of(ledger: &Ledger, broadcast: &Broadcast, key: &str) -> PackedPage {
    let mut page = ledger.page_after(broadcast, false, "a test".to_owned()).unwrap();
    let recipient = json!({ "key": key, "address": format!("user{key}@example.com"), "data": { "name": "Ann" } });
    page.push(serde_json::from_value(recipient).unwrap(), 100, 0, 0).unwrap();
    page.advance(key.to_owned());
    page.build().pack().unwrap()
}

async fn write(ledger: &Ledger, broadcast: &Broadcast, key: &str, reading: &Reading) -> Broadcast {
    let frozen = ledger.freeze_page(broadcast, &page_of(ledger, broadcast, key), reading).await.unwrap();
    let Frozen::Written(after) = frozen else { panic!("{frozen:?}") };
    after
}

/// Another producer has read somebody more, and has written a page since.
#[tokio::test(flavor = "multi_thread")]
async fn an_audience_is_frozen_with_every_page_that_is_there() {
    let (world, broadcast, reading) = enumerating().await;
    let ledger = world.ledger();
    let mine = write(&ledger, &broadcast, "1", &reading).await;
    let theirs = write(&ledger, &mine, "2", &Reading { id: "other".to_owned(), ..reading.clone() }).await;
    let ended = ledger.finish_enumeration(&mine, &reading, &a_test(), None).await.unwrap();
    assert!(matches!(&ended, Enumerated::Changed(now) if now.pages == 2), "permits for one of two: {ended:?}");
    let ended = ledger.finish_enumeration(&theirs, &reading, &a_test(), None).await.unwrap();
    assert!(matches!(&ended, Enumerated::Running(now) if (now.recipients, now.remaining) == (2, 2)), "{ended:?}");
}

/// Whoever ended the enumeration has counted, and may have approved, those who were there.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_added_to_an_audience_that_is_frozen() {
    let (world, broadcast, reading) = enumerating().await;
    let ledger = world.ledger();
    let seen = write(&ledger, &broadcast, "1", &reading).await;
    ledger.finish_enumeration(&seen, &reading, &a_test(), None).await.unwrap();
    let late = ledger.freeze_page(&seen, &page_of(&ledger, &seen, "2"), &reading).await.unwrap();
    assert!(matches!(&late, Frozen::Changed(now) if now.broadcast_state == BroadcastState::Running), "{late:?}");
    let after = world.broadcast("terms").await;
    assert_eq!((after.pages, after.recipients, after.chain), (1, 1, seen.chain));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ledger_registers_nothing_until_it_is_opened() {
    let world = World::new(WorldOptions::default()).await;
    let (ledger, command) = (world.ledger(), command("terms", |_| {}));
    ledger.close(&a_test(), "all of it").await.unwrap();
    let refused = ledger.register(&command, 10, false, &Asked::default(), &Dice::system()).await;
    assert!(matches!(&refused, Err(LedgerError::Closed(closing)) if closing.reason == "all of it"), "{refused:?}");
    assert!(ledger.find_broadcast(&terms()).await.unwrap().is_none());
    ledger.open(&a_test(), "it is right now").await.unwrap();
    let registered = ledger.register(&command, 10, false, &Asked::default(), &Dice::system()).await.unwrap();
    assert!(matches!(registered, Registered::New(_)), "{registered:?}");
}

/// Whoever opens ends the closing that they have read: an order that takes long, or is repeated by the SDK, leaves a later one alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_open_that_takes_long_leaves_a_colleagues_later_closing_in_force() {
    // The SDK repeats what has no answer after a third of it: time for the colleague.
    let options = WorldOptions::default();
    let timing = Timing { ledger: Duration::from_secs(12), ..options.timing };
    let mut world = World::new(WorldOptions { timing, ..options }).await;
    let (ledger, colleague) = (world.ledger(), "a colleague".parse().unwrap());
    ledger.close(&a_test(), "the first").await.unwrap();
    for operation in ["DeleteItem", "TransactWriteItems"] {
        world.cloud.inject(Rule::every(operation, Fault::HangBefore).times(1));
    }
    let mut hanging = world.cloud.hanging();
    let late = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.open(&a_test(), "as user1@example.com said").await })
    };
    hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
    assert!(matches!(ledger.open(&a_test(), "it is right now").await, Ok(Opened::Done(_))));
    let second = ledger.close(&colleague, "the second").await.unwrap();
    let late = late.await.unwrap().unwrap();
    assert_eq!(ledger.closing().await.unwrap().as_ref(), Some(&second), "{late:?}");
    assert_eq!(late, Opened::ClosedSince(second));
    // Whoever has opened it stands in the ledger, with the closing that they ended, and no address does.
    let ended = ledger.last_opening().await.unwrap().unwrap();
    assert_eq!((ended.reason.as_str(), ended.ended.unwrap().reason.as_str()), ("it is right now", "the first"));
    world.later(SignedDuration::from_secs(1));
    world.ledger().open(&colleague, "as user1@example.com said").await.unwrap();
    let last = ledger.last_opening().await.unwrap().unwrap();
    assert_eq!((last.opened_by.as_str(), last.reason.as_str()), ("a colleague", "as (an address) said"));
    assert_eq!(ledger.closing().await.unwrap(), None);
    // Who orders the same while it is closed already is not undone by an order to open that was given before.
    world.later(SignedDuration::from_secs(1));
    let third = ledger.close(&a_test(), "the third").await.unwrap();
    world.cloud.inject(Rule::every("TransactWriteItems", Fault::HangBefore).times(1));
    let hung = *hanging.borrow();
    let late = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.open(&a_test(), "it is right again").await })
    };
    hanging.wait_for(|hanging| *hanging > hung).await.unwrap();
    let both = ledger.close(&colleague, "the fourth").await.unwrap();
    assert_eq!((both.reason.as_str(), both.last_order().1, both.last_order().2), ("the third", "a colleague", "the fourth"));
    let late = late.await.unwrap().unwrap();
    assert_eq!((late, ledger.closing().await.unwrap()), (Opened::ClosedSince(both.clone()), Some(both)), "{third:?}");
    // An answer that was lost makes no second order of the same.
    assert!(matches!(ledger.open(&a_test(), "it is right again").await, Ok(Opened::Done(_))));
    world.cloud.inject(Rule::every("PutItem", Fault::ResetAfter).times(1));
    assert_eq!(ledger.close(&a_test(), "the fifth").await.unwrap().again, None);
    world.later(SignedDuration::from_secs(1));
    world.ledger().open(&colleague, "that too").await.unwrap();
    // Where it is open already that is written down, too.
    world.later(SignedDuration::from_secs(1));
    world.ledger().open(&colleague, "to be sure").await.unwrap();
    assert_eq!(ledger.last_opening().await.unwrap().unwrap().ended, None);
}

/// The claim's answer comes when its permit is good still, and a send would be under way for longer than the lease lasts:
/// others would rightly read the claim as in doubt, and whoever was refused then would stay so.
#[tokio::test(flavor = "multi_thread")]
async fn no_send_begins_that_could_outlast_its_lease() {
    let options = WorldOptions::default();
    let timing = Timing { permit_life: Duration::from_secs(11), ..options.timing }.checked().unwrap();
    let mut world = World::new(WorldOptions { users: 5, timing, ..options }).await;
    world.post_command(&command("terms", |_| {})).await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    world.later(SignedDuration::ZERO);
    world.cloud.inject(Rule::every("UpdateItem", Fault::AnswerMs(1_000)).holding("SET chunk_state = :claimed").times(1));
    let stop = CancellationToken::new();
    let consumer = tokio::spawn(world.consumer().await.run(stop.clone()));
    let chunk = async || first_chunk(&world.ledger()).await;
    until("it is claimed", async || chunk().await != Chunk::Absent).await;
    world.step_wall(SignedDuration::from_millis(8_500));
    until("all are accepted", async || chunk().await.outcomes().is_some_and(|outcomes| outcomes.count(Outcome::Accepted) == 5)).await;
    stop.cancel();
    consumer.await.unwrap();
    assert!(chunk().await.attempts() > 1, "it was sent under the first claim, of which less than a send's time was left");
    assert_eq!(world.calls_of("SendBulkEmail"), 1);
}
