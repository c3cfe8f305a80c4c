//! Who comes on the list of those that are not mailed after the audience was frozen, and before their turn has come.

use std::collections::BTreeSet;
use std::time::Duration;

use issei_ledger::{Broadcast, BroadcastState, Cause, Suppression};
use issei_provider::{Known, Providers};
use issei_sim::{Fault, Rule};
use issei_test_support::{World, WorldOptions, command, judge, until};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::accounts::{KEY, PLACE, URL, name, resend, resume};

async fn of_twenty() -> World {
    World::new(WorldOptions { users: 20, page_size: 20, chunk_size: 5, skipped_share_max: 1.0, ..WorldOptions::default() }).await
}

fn address(id: u32) -> String {
    format!("user{id:06}@example.com")
}

async fn enter(world: &World, ids: &[u32], why: Suppression) {
    let (since, source, entered_by) = (world.now(), "an operator".to_owned(), "Kim".to_owned());
    let cause = Cause { since, entered_at: since, source, entered_by, reason: None };
    let entries: Vec<_> = ids.iter().map(|id| (address(*id).parse().unwrap(), why, cause.clone())).collect();
    world.ledger().enter_suppressed(entries).await.unwrap();
}

/// A broadcast whose audience is frozen, and to whom nothing was sent yet.
async fn frozen(class: &str) -> World {
    let world = of_twenty().await;
    world
        .post_command(&command("terms", |command| {
            command["version"] = 2.into();
            command["class"] = class.into();
        }))
        .await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    world
}

/// Whom nothing was sent to, and why, by the ledger's record; which no certificate finds fault with.
async fn spared(world: &World) -> Vec<(String, Suppression)> {
    let over = world.run_to_the_end("terms").await;
    assert_eq!(over.broadcast_state, BroadcastState::Complete);
    let later = world.now().saturating_add(SignedDuration::from_mins(1)).unwrap();
    let findings = issei_certificate::what_the_ledger_holds(&world.ledger(), &over, Duration::ZERO, later).await;
    let against: Vec<_> = findings.iter().filter(|finding| !finding.holds()).collect();
    assert!(against.is_empty(), "{against:?}");
    let spared = world.outcomes("terms").await.into_iter().filter_map(|who| Some((who.recipient?.key.to_string(), who.spared?)));
    let spared: Vec<_> = spared.collect();
    let totals = over.totals.unwrap();
    let count = spared.len() as u64;
    assert_eq!((totals.accepted, totals.rejected, totals.spared, totals.refused()), (20 - count, count, Some(count), 0));
    let told = world.ledger().progress(&over.broadcast_id).await.unwrap();
    assert_eq!((told.rejected, told.spared, told.refused()), (count, count, 0));
    spared
}

async fn assert_all_but(world: &World, spared: &[u32]) {
    let spared: BTreeSet<String> = spared.iter().map(|id| address(*id)).collect();
    let addresses = world.addresses().await.into_iter().filter(|address| !spared.contains(address));
    judge(&world.cloud, "terms").assert_each_once(addresses);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_unsubscribes_after_the_audience_was_frozen_and_before_their_turn_is_not_mailed() {
    let world = frozen("service").await;
    // All of the first chunk, and one of the second.
    enter(&world, &[1, 2, 3, 4, 5], Suppression::Unsubscribed).await;
    enter(&world, &[7], Suppression::Complained).await;
    let spared = spared(&world).await;
    assert_eq!(spared.iter().filter(|(_, why)| *why == Suppression::Unsubscribed).count(), 5);
    assert_eq!(spared.last(), Some(&("7".to_owned(), Suppression::Complained)));
    assert_all_but(&world, &[1, 2, 3, 4, 5, 7]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_notice_still_goes_to_whoever_unsubscribes_and_to_nobody_who_bounces() {
    let world = frozen("legal_notice").await;
    enter(&world, &[3], Suppression::Unsubscribed).await;
    enter(&world, &[4], Suppression::Bounced).await;
    assert_eq!(spared(&world).await, [("4".to_owned(), Suppression::Bounced)]);
    assert_all_but(&world, &[4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_taken_from_the_list_again_before_their_turn_is_mailed() {
    let world = frozen("service").await;
    enter(&world, &[3, 4], Suppression::Operator).await;
    world.ledger().unsuppress(&address(3).parse().unwrap(), &"Kim".parse().unwrap(), "a mistake").await.unwrap();
    assert_eq!(spared(&world).await, [("4".to_owned(), Suppression::Operator)]);
    assert_all_but(&world, &[4]).await;
}

/// Whoever is to approve the rest reads why nobody is there to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_which_nobody_is_left_to_be_sent_to_says_so_and_why() {
    let world = of_twenty().await;
    world
        .post_command(&command("terms", |command| {
            (command["version"], command["class"], command["canary"]) = (2.into(), "service".into(), 5.into());
        }))
        .await;
    world.run_until("terms", 0, |broadcast| broadcast.broadcast_state == BroadcastState::Running).await;
    enter(&world, &(1..=20).collect::<Vec<_>>(), Suppression::Unsubscribed).await;
    let holding = world.run_until("terms", 1, |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    let reason = &holding.last_step().unwrap().reason;
    assert!(reason.starts_with("nobody of the canary was sent to: all 5 came on the suppression list"), "{reason}");
    assert_eq!(world.cloud.accepted(), 0);
}

/// The consumer lives all the while, and has looked at the list.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_waits_for_the_canarys_approval_looks_at_the_list_again() {
    let mut world = of_twenty().await;
    world.later(SignedDuration::ZERO);
    world
        .post_command(&command("terms", |command| {
            (command["version"], command["class"], command["canary"]) = (2.into(), "service".into(), 5.into());
        }))
        .await;
    let stop = CancellationToken::new();
    let services = world.start(&stop).await;
    until("the canary is sent to", async || world.cloud.accepted() == 5).await;
    let sent: BTreeSet<String> = judge(&world.cloud, "terms").reached().into_iter().map(str::to_owned).collect();
    let left: Vec<u32> = (1..=20).filter(|id| !sent.contains(&address(*id))).collect();
    enter(&world, &left[..4], Suppression::Unsubscribed).await;
    world.wait_until("terms", |broadcast| broadcast.broadcast_state == BroadcastState::Holding).await;
    world.step_wall(SignedDuration::from_secs(11));
    resume(&world).await;
    world.wait_until("terms", |broadcast| broadcast.broadcast_state.is_over()).await;
    stop.cancel();
    services.join_all().await;
    assert_eq!(spared(&world).await.len(), 4);
    assert_all_but(&world, &left[..4]).await;
}

/// Carried by Resend, frozen, and nobody was sent to yet.
async fn frozen_at_resend() -> World {
    let mut world = of_twenty().await;
    let provider = resend(&world, URL, KEY, PLACE);
    let known = Known { facts: provider.facts(), rate: Some(1_000.0), carried_by: provider.carried_by() };
    world.known.insert(name(), known);
    world.providers = Providers::new(world.ses()).with(name(), provider);
    world
        .post_command(&command("terms", |command| {
            command["version"] = 2.into();
            command["class"] = "service".into();
            command["provider"] = "resend".into();
        }))
        .await;
    world.run_until("terms", 0, Broadcast::is_enqueued).await;
    world
}

/// A consumer dies with all that it has sent, and whoever asks about that tells people of those whom it had left out, too.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_killed_consumer_has_spared_is_told_by_whoever_asks_about_the_others() {
    let world = frozen_at_resend().await;
    let left_out = [1, 7, 12, 17];
    enter(&world, &left_out, Suppression::Unsubscribed).await;
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::HangAfter));
    let victim = tokio::spawn(world.consumer().await.run(CancellationToken::new()));
    world.cloud.hanging().wait_for(|hanging| *hanging >= 4).await.unwrap();
    victim.abort();
    world.cloud.heal();
    world.cloud.show_all_messages();
    assert_eq!(spared(&world).await.len(), 4);
    assert_all_but(&world, &left_out).await;
}

/// What is asked about again is the request that was made, byte for byte, and whoever was left out of it is in no doubt.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_spared_stands_in_no_request_that_is_made_again() {
    let world = frozen_at_resend().await;
    world.cloud.inject(Rule::every("SendBatchEmails", Fault::ResetAfter).times(6));
    enter(&world, &[1, 2, 3, 4, 5, 7], Suppression::Unsubscribed).await;
    assert_eq!(spared(&world).await.len(), 6);
    assert_all_but(&world, &[1, 2, 3, 4, 5, 7]).await;
}
