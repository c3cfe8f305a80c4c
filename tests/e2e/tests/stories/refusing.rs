//! A sender who is refused, or let through, in the midst of a chunk that the provider takes call by call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use issei_ledger::{Broadcast, BroadcastState, Outcome, Transition};
use issei_provider::{Allowance, Call, Counted, Facts, Provider, Providers, Ses, Span, Standing, Untold, Verdict};
use issei_schema::{Mailbox, ProviderName};
use issei_sim::{Account, Cloud, EntryRule};
use issei_test_support::{World, WorldOptions, command, judge};

/// SES, which with one of its calls begins to refuse others than before.
struct Turning {
    ses: Ses,
    cloud: Arc<Cloud>,
    calls: AtomicU32,
    turns_with: u32,
    refuses_then: Vec<EntryRule>,
}

impl Provider for Turning {
    fn facts(&self) -> &'static Facts {
        self.ses.facts()
    }

    fn send<'a>(&'a self, call: Call<'a>) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.turns_with {
            self.cloud.configure(|account| account.entry_rules.clone_from(&self.refuses_then));
        }
        self.ses.send(call)
    }

    fn allowance(&self) -> Pin<Box<dyn Future<Output = Result<Allowance, Untold>> + Send + '_>> {
        self.ses.allowance()
    }

    fn standing<'a>(&'a self, from: Option<&'a Mailbox>) -> Pin<Box<dyn Future<Output = Standing> + Send + 'a>> {
        self.ses.standing(from)
    }

    fn counted(&self, span: Span) -> Pin<Box<dyn Future<Output = Option<Counted>> + Send + '_>> {
        self.ses.counted(span)
    }
}

/// Refused with the call that it is in, for a reason that nobody knows.
fn refused(address: &str) -> EntryRule {
    EntryRule { address: address.to_owned(), status: "BAD_REQUEST: something that nobody knows".to_owned(), times: None }
}

/// Four users in one chunk, at a provider that turns.
async fn at_a_provider_that_turns(refuses: EntryRule, turns_with: u32, refuses_then: Vec<EntryRule>) -> World {
    let account = Account { entry_rules: vec![refuses], ..Account::default() };
    let mut world = World::new(WorldOptions { users: 4, account, ..WorldOptions::default() }).await;
    let (ses, cloud) = (world.ses(), world.cloud.clone());
    let turning = Turning { ses, cloud, calls: AtomicU32::new(0), turns_with, refuses_then };
    world.providers = Providers::new(world.ses()).with(ProviderName::default(), Arc::new(turning));
    world.post_command(&command("terms", |_| {})).await;
    world
}

/// The call of all four is refused, that of the first two, that of the first; and with the next the sender is let through.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_refused_until_the_sender_was_let_through_in_the_midst_of_a_chunk_is_charged_with_nothing() {
    let world = at_a_provider_that_turns(refused("@"), 4, Vec::new()).await;
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((4, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// The second of four is refused for its own sake, and from the fifth call on, which is that of the last two, everybody.
#[tokio::test(flavor = "multi_thread")]
async fn nor_is_whoever_is_refused_since_the_sender_is_refused_in_the_midst_of_a_chunk() {
    let world = at_a_provider_that_turns(refused("user000002"), 5, vec![refused("@")]).await;
    let is_sent = |broadcast: &Broadcast| !matches!(broadcast.broadcast_state, BroadcastState::Enumerating | BroadcastState::Running);
    let broadcast = world.run_until("terms", 1, is_sent).await;
    let last = broadcast.audit_trail.last().unwrap();
    assert!(broadcast.broadcast_state == BroadcastState::Paused && last.reason.contains("something that nobody knows"), "{last:?}");
    let outcomes = world.outcomes("terms").await;
    assert!(outcomes.iter().all(|who| who.outcome != Some(Outcome::Rejected)), "{outcomes:?}");
    world.cloud.configure(|account| account.entry_rules.clear());
    let resumed = Transition { to: BroadcastState::Running, actor: &"an operator".parse().unwrap(), reason: "the sender is let through" };
    world.ledger().transition(&"terms".parse().unwrap(), resumed).await.unwrap();
    world.cloud.show_all_messages();
    let broadcast = world.run_to_the_end("terms").await;
    assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((4, 0)));
    judge(&world.cloud, "terms").assert_each_once(world.addresses().await);
}

/// Whom the provider refuses for its own sake is refused also when others have been accepted, wherever it stands.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_for_their_own_sake_is_rejected_wherever_they_stand_in_a_chunk() {
    for bad in 1..=4 {
        let world = at_a_provider_that_turns(refused(&format!("user00000{bad}")), 0, Vec::new()).await;
        let broadcast = world.run_to_the_end("terms").await;
        assert_eq!(broadcast.totals.map(|totals| (totals.accepted, totals.rejected)), Some((3, 1)), "{bad}: {:?}", broadcast.audit_trail);
    }
}
