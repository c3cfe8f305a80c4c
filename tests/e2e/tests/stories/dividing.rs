//! Calls that a provider with keys refuses as a whole: their parts have keys of their own, and whoever comes later asks about each.

use std::time::Duration;

use issei_ledger::{AskedAgain, Broadcast, BroadcastState, Chunk, Divide, Outcome, Seal};
use issei_provider::Known;
use issei_sim::{EntryRule, Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge};
use tokio::task::LocalSet;

use crate::accounts::{KEY, PLACE, URL, configure, name, resend};
use crate::asking::{ask, found, in_doubt};

/// Whom Resend refuses.
const REFUSED: &str = "user000012@";

/// Twenty users in two chunks, of whom one is refused.
async fn world_with(refused: &str) -> World {
    let mut world = World::new(WorldOptions { users: 20, page_size: 20, chunk_size: 10, ..WorldOptions::default() }).await;
    let provider = resend(&world, URL, KEY, PLACE);
    world.known.insert(name(), Known { facts: provider.facts(), rate: Some(1_000.0), carried_by: provider.carried_by() });
    configure(&mut world, URL, KEY, PLACE);
    let status = "BAD_REQUEST: Invalid `to` field.".to_owned();
    world.cloud.configure(|account| account.entry_rules.push(EntryRule { address: refused.to_owned(), status, times: None }));
    world
}

async fn send(world: &World) {
    let by_resend = command("terms", |command| {
        command["version"] = 2.into();
        command["class"] = "service".into();
        command["provider"] = "resend".into();
    });
    world.post_command(&by_resend).await;
}

/// Of a broadcast that ended by itself: everybody but the one was mailed once, and nobody is in doubt.
async fn assert_all_but_one(world: &World, last: &Broadcast) {
    let totals = last.totals.unwrap();
    assert_eq!((totals.accepted, totals.rejected, totals.in_doubt), (19, 1, 0), "{last:?}");
    let others = world.addresses().await.into_iter().filter(|address| !address.starts_with(REFUSED));
    judge(&world.cloud, "terms").assert_each_once(others);
    assert_eq!(seals(world).await, [Seal::Holds, Seal::Holds]);
}

async fn seals(world: &World) -> [Seal; 2] {
    let broadcast = world.broadcast("terms").await;
    let chunks = world.ledger().chunks(&broadcast.placed(), &[0, 1]).await.unwrap();
    [0, 1].map(|seq| chunks[&seq].seal(&broadcast, seq))
}

/// Of each call of such a chunk the answer is lost, one after the other; then of all of them, to whoever sends and to whoever
/// asks, so that another consumer begins with nothing but the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn whose_part_of_a_refused_call_has_no_answer_is_asked_about_under_the_key_of_that_part() {
    let lost = |after, times: Option<u64>| async move {
        let world = world_with(REFUSED).await;
        let lost = Rule::every("SendBatchEmails", Fault::ResetAfter).after(after);
        world.cloud.inject(times.map_or(lost.clone(), |times| lost.times(times)));
        send(&world).await;
        if times.is_none() {
            world.run_until("terms", 1, |_| world.calls_of("SendBatchEmails") > after + 4).await;
            world.cloud.heal();
            world.cloud.show_all_messages();
        }
        let last = world.run_until("terms", 2, |broadcast| broadcast.broadcast_state.is_over()).await;
        assert_all_but_one(&world, &last).await;
        assert!(last.asked_again > 0, "nobody was asked about");
    };
    let all = (0..7).map(|after| (after, Some(1))).chain([(0, None), (3, None)]);
    let side_by_side = LocalSet::new();
    let worlds: Vec<_> = all.map(|(after, times)| side_by_side.spawn_local(lost(after, times))).collect();
    side_by_side
        .run_until(async {
            for world in worlds {
                world.await.unwrap();
            }
        })
        .await;
}

/// Two who stand side by side are refused, and theirs are the only answers that nobody has: of those who are asked about everybody
/// is refused, and of the chunk others were accepted. So it is not the sender's fault, and nothing waits for an operator.
#[tokio::test(flavor = "multi_thread")]
async fn those_alone_whose_refusals_were_lost_are_rejected_and_pause_nothing() {
    // The last two of the second chunk, by the order of their keys' bytes.
    let refused = ["user000008@", "user000009@"];
    let lost_from = |after| async move {
        let world = world_with(refused[0]).await;
        world.cloud.configure(|account| {
            let other = EntryRule { address: refused[1].to_owned(), ..account.entry_rules[0].clone() };
            account.entry_rules.push(other);
        });
        world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter).after(after));
        send(&world).await;
        world.run_until("terms", 1, |_| world.calls_of("SendBatchEmails") > after + 2).await;
        world.cloud.heal();
        world.cloud.show_all_messages();
        let last = world
            .run_until("terms", 1, |broadcast| broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Paused)
            .await;
        let totals = last.totals.unwrap_or_else(|| panic!("{:?}", last.audit_trail));
        assert_eq!((totals.accepted, totals.rejected, totals.in_doubt), (18, 2, 0), "from call {after} on: {last:?}");
    };
    let side_by_side = LocalSet::new();
    let worlds: Vec<_> = (4..9).map(|after| side_by_side.spawn_local(lost_from(after))).collect();
    side_by_side
        .run_until(async {
            for world in worlds {
                world.await.unwrap();
            }
        })
        .await;
}

/// Keys and parts cost those nothing who meet with no refusal.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_refused_a_chunk_is_one_call_under_one_key() {
    let world = world_with("nobody@").await;
    send(&world).await;
    world.run_until("terms", 1, |broadcast| broadcast.broadcast_state.is_over()).await;
    assert_eq!((world.calls_of("SendBatchEmails"), world.cloud.accepted()), (2, 20));
    let chunks = world.ledger().chunks(&world.broadcast("terms").await.placed(), &[0, 1]).await.unwrap();
    assert!(chunks.values().all(|chunk| chunk.request().unwrap().parts().len() == 1), "{chunks:?}");
}

/// Whoever has read a chunk before it was divided would ask about the whole beside its parts.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_about_the_whole_who_has_read_it_before_it_was_divided() {
    let (world, broadcast, message) = in_doubt(Duration::ZERO).await;
    let seen = found(&world).await;
    let AskedAgain::Ours(mut claim, _) = ask(&world, &broadcast, &message, &seen, "one").await else { panic!("refused") };
    let read = found(&world).await;
    let key = claim.request().unwrap().parts()[0].key().to_owned();
    let body = |places: &[usize]| format!("{places:?}");
    let next = world.ledger().divide(&mut claim, "one again".to_owned(), &key, Divide::Unproven, body).await.unwrap();
    assert_eq!(next, std::slice::from_ref(&key));
    let stands = found(&world).await;
    assert_eq!(stands.seal(&broadcast, 0), Seal::Holds);
    assert_eq!(stands.request().unwrap().parts()[0].positions().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(matches!(ask(&world, &broadcast, &message, &read, "two").await, AskedAgain::Refused));
    // Nor does whoever has divided it before it was somebody else's.
    let AskedAgain::Ours(mut theirs, _) = ask(&world, &broadcast, &message, &stands, "two").await else { panic!("refused") };
    let late = world.ledger().divide(&mut claim, "one at last".to_owned(), &key, Divide::Unproven, body).await;
    assert!(late.is_err(), "{late:?}");
    (0..10).for_each(|at| theirs.settle(at, Outcome::Accepted, Some("id")));
    world.ledger().confirm(&mut theirs).await.unwrap();
    let Chunk::Confirmed { outcomes, .. } = found(&world).await else { panic!("not confirmed") };
    assert_eq!(outcomes.count(Outcome::Accepted), 10);
}
