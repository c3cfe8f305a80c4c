//! Asking again under a request's key: who may, and what comes between.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use issei_clock::Clock;
use issei_ledger::{
    AskAgain, AskedAgain, Broadcast, BroadcastState, Chunk, Claimed, DoubtLeft, Outcome, Repeatable, Seal, Transition, Under,
};
use issei_provider::{Allowance, Call, Counted, Facts, Provider, Providers, Span, Standing, Untold, Verdict};
use issei_schema::{Actor, BroadcastId, CarriedBy, ChunkMessage, Mailbox};
use issei_test_support::{World, WorldOptions, command, judge};

use crate::accounts::{KEY, PLACE, Producer, URL, every_answer_lost, name, resend};

const LIFE: Duration = Duration::from_mins(10);

fn terms() -> BroadcastId {
    "terms".parse().unwrap()
}

pub(crate) async fn found(world: &World) -> Chunk {
    let placed = world.broadcast("terms").await.placed();
    world.ledger().chunks(&placed, &[0]).await.unwrap().remove(&0).unwrap()
}

/// A chunk whose answer was lost: confirmed, and all of it in doubt, under a key that is remembered for ten minutes from
/// its permit, which was granted so long ago.
pub(crate) async fn in_doubt(ago: Duration) -> (World, Broadcast, ChunkMessage) {
    let world = World::new(WorldOptions::default()).await;
    world.post_command(&command("terms", |_| {})).await;
    let broadcast = world.run_until("terms", 0, Broadcast::is_enqueued).await;
    let ledger = world.ledger();
    let message = ledger.page(&broadcast.placed(), 0).await.unwrap().messages(&broadcast, None).next().unwrap();
    let repeatable = Some(Repeatable { lasting: LIFE, body: "digest".to_owned() });
    let under = Under { granted_at: Some(Clock::system().wall() - ago), repeatable, ..Under::default() };
    let claimed = ledger.claim(&message, &broadcast.registration(), &Chunk::Absent, "first".to_owned(), LIFE, &under).await;
    let Ok(Claimed::Ours(mut claim)) = claimed else { panic!("{claimed:?}") };
    (0..10).for_each(|at| claim.settle(at, Outcome::InDoubt, None));
    ledger.confirm(&mut claim).await.unwrap();
    (world, broadcast, message)
}

pub(crate) async fn ask(world: &World, broadcast: &Broadcast, message: &ChunkMessage, seen: &Chunk, owner: &str) -> AskedAgain {
    let (of, epoch, owner) = (&broadcast.registration(), broadcast.epoch, owner.to_owned());
    world.ledger().ask_again(AskAgain { of, epoch, message, seen, owner, lease: LIFE, life: LIFE }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_ask_about_the_same_doubt_one_does_under_the_first_key_and_no_permit_is_spent() {
    let (world, broadcast, message) = in_doubt(Duration::ZERO).await;
    let seen = found(&world).await;
    let key = seen.request().unwrap().parts()[0].key().to_owned();
    let AskedAgain::Ours(mut claim, _) = ask(&world, &broadcast, &message, &seen, "one").await else { panic!("refused") };
    assert_eq!(claim.request().unwrap().parts()[0].key(), key);
    assert!(matches!(ask(&world, &broadcast, &message, &seen, "other").await, AskedAgain::Refused));
    (0..10).for_each(|at| claim.settle(at, Outcome::Accepted, Some("id")));
    world.ledger().confirm(&mut claim).await.unwrap();
    let (after, now) = (found(&world).await, world.broadcast("terms").await);
    assert_eq!(after.outcomes().unwrap().count(Outcome::Accepted), 10);
    assert_eq!((after.attempts(), after.request().unwrap().asked_again(), after.seal(&now, 0)), (1, 1, Seal::Holds));
    assert_eq!((now.asked_again, now.granted, now.remaining), (1, broadcast.granted, broadcast.remaining));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_about_a_broadcast_that_was_stopped_or_of_an_earlier_epoch() {
    let (world, broadcast, message) = in_doubt(Duration::ZERO).await;
    let (seen, actor): (_, Actor) = (found(&world).await, "a test".parse().unwrap());
    let earlier = Broadcast { epoch: broadcast.epoch + 1, ..broadcast.clone() };
    assert!(matches!(ask(&world, &earlier, &message, &seen, "one").await, AskedAgain::Refused));
    world.ledger().end(&terms(), &actor, "enough").await.unwrap();
    assert!(matches!(ask(&world, &broadcast, &message, &seen, "two").await, AskedAgain::Refused));
    assert_eq!(found(&world).await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_when_the_time_of_the_key_is_over_by_the_ledgers_own_clock() {
    let (world, broadcast, message) = in_doubt(LIFE * 2).await;
    // As if this machine's clock were behind, so that it does not see that itself.
    let seen = found(&world).await;
    let until = seen.request().unwrap().until();
    assert!(!seen.askable(until - Duration::from_mins(1)).is_empty() && seen.askable(until).is_empty());
    assert!(matches!(ask(&world, &broadcast, &message, &seen, "one").await, AskedAgain::TooLate(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_in_which_an_answer_may_still_end_doubt_is_neither_complete_nor_counted_before_who_asks() {
    let (world, _, message) = in_doubt(Duration::ZERO).await;
    let counted = world.broadcast("terms").await;
    let tally = world.ledger().tally(&counted).await.unwrap();
    let seen = found(&world).await;
    assert_eq!(tally.askable_until, Some(seen.request().unwrap().until()));
    let AskedAgain::Ours(..) = ask(&world, &counted, &message, &seen, "one").await else { panic!("refused") };
    let actor: Actor = "a test".parse().unwrap();
    assert!(!world.ledger().complete(&counted, &tally, &actor).await.unwrap(), "complete, and somebody asks");
}

/// A provider as another build writes to it: the same call with other bytes, or known by no mark of its key.
pub(crate) struct OtherBuild {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) is_marked: bool,
}

impl Provider for OtherBuild {
    fn facts(&self) -> &'static Facts {
        self.provider.facts()
    }

    fn carried_by(&self) -> Option<CarriedBy> {
        self.provider.carried_by()
    }

    fn key_mark(&self) -> Option<&str> {
        self.provider.key_mark().filter(|_| self.is_marked)
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        self.provider.send(Call { reply_to: self.reply_to.as_ref().or(call.reply_to), ..call })
    }

    fn allowance(&self) -> Pin<Box<dyn Future<Output = Result<Allowance, Untold>> + Send + '_>> {
        self.provider.allowance()
    }

    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> Pin<Box<dyn Future<Output = Standing> + Send + 'a>> {
        self.provider.standing(from)
    }

    fn counted(&self, span: Span) -> Pin<Box<dyn Future<Output = Option<Counted>> + Send + '_>> {
        self.provider.counted(span)
    }
}

/// A build is rolled back in the midst. What the provider calls another request it will call so after each resume, too.
#[tokio::test(flavor = "multi_thread")]
async fn whose_request_the_provider_remembers_otherwise_stays_in_doubt_and_the_broadcast_goes_on_to_its_end() {
    let mut world = every_answer_lost(KEY, Producer::Ours).await;
    let (provider, reply_to) = (resend(&world, URL, KEY, PLACE), "answers@example.com".parse().ok());
    let rewording = OtherBuild { provider, reply_to, is_marked: true };
    world.providers = Providers::new(world.ses()).with(name(), Arc::new(rewording));
    let last = world
        .run_until("terms", 2, |broadcast| broadcast.broadcast_state.is_over() || broadcast.broadcast_state == BroadcastState::Paused)
        .await;
    assert_eq!((last.broadcast_state, last.totals.map(|totals| totals.in_doubt)), (BroadcastState::Complete, Some(40)));
    assert!(last.asked_again > 0, "nobody was asked about");
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Nobody is asked about once the end, a pause or closed hours came first: a request made again may be the first that is taken, and
/// would mail its recipients late. So whoever can do something in time is told how many they are, until when, and what.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stays_in_doubt_since_the_end_came_first_is_told_of_for_as_long_as_the_provider_remembers_them() {
    let (world, running, _) = in_doubt(Duration::ZERO).await;
    let (ledger, now, actor): (_, _, Actor) = (world.ledger(), world.now(), "a test".parse().unwrap());
    let tally = ledger.tally(&running).await.unwrap();
    let until = tally.askable_until.unwrap();
    let left = |broadcast: &Broadcast, now| {
        let left = DoubtLeft::of(broadcast, &tally, now);
        left.map(|left| (left.recipients, left.told().english, left.next_step.english))
    };
    assert_eq!(left(&running, now), None, "somebody asks");
    let opens = |not_before| Broadcast { not_before: Some(not_before), ..running.clone() };
    assert_eq!(left(&opens(until - Duration::from_secs(1)), now), None, "somebody asks in time");
    let (recipients, told, _) = left(&opens(until), now).unwrap();
    assert!(recipients == 10 && told.contains("nobody asks before "), "{told}");
    let late = Broadcast { not_after: now, ..running.clone() };
    let (recipients, told, next) = left(&late, now).unwrap();
    assert!(recipients == 10 && told.contains("nobody asks any more") && told.contains("would mail them late"), "{told}");
    assert!(next.contains("`issei export terms --outcome in-doubt`"), "{next}");

    ledger.transition(&terms(), Transition { to: BroadcastState::Paused, actor: &actor, reason: "a look" }).await.unwrap();
    let (_, told, next) = left(&world.broadcast("terms").await, now).unwrap();
    assert!(told.ends_with("nobody asks while it is paused") && next.starts_with("issei resume terms before "), "{told}: {next}");
    // Whoever lets it go on helps nobody where it may be sent only when they are forgotten.
    let paused = world.broadcast("terms").await;
    let (_, told, next) = left(&Broadcast { not_before: Some(until), ..paused.clone() }, now).unwrap();
    assert!(told.contains("nobody asks before ") && !next.contains("issei resume"), "{told}: {next}");
    let (_, told, next) = left(&Broadcast { not_after: now, ..paused }, now).unwrap();
    assert!(told.contains("nobody asks any more") && !next.contains("issei resume"), "{told}: {next}");
    ledger.end(&terms(), &actor, "enough").await.unwrap();
    let ended = world.broadcast("terms").await;
    let (recipients, told, _) = left(&ended, now).unwrap();
    assert!(recipients == 10 && told.contains("it is stopping"), "{told}");
    let certificate = crate::scheduled::certifier(&world).glance(&terms()).await.unwrap();
    let finding = certificate.findings.into_iter().find(|finding| finding.what == "claims: in doubt, and asked about").unwrap();
    assert!(finding.holds() && finding.value.starts_with("10 in doubt whose requests "), "{finding:?}");
    assert_eq!(left(&ended, until), None, "nobody remembers them");
}
