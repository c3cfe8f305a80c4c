//! Watching the queues: nothing may lie in any of them, over more than twice the visibility timeout. SQS
//! counts are approximate, and a single look proves nothing.

use std::time::Duration;

use issei_aws::{Clients, Counts, Queue, QueueError};
use issei_clock::{Clock, Dice};
use tokio_util::sync::CancellationToken;

use crate::finding::{Finding, Part};

/// SQS says that its counts are right about a minute after the last change; a look costs six calls.
const LOOKS: u32 = 12;

/// Watches the queues until the time is over, or something is found, or `shutdown`.
pub(crate) async fn watch(
    clients: &Clients,
    (clock, dice): (&Clock, &Dice),
    names: &[String; 3],
    window: Duration,
    shutdown: &CancellationToken,
    mut tell: impl FnMut(Duration),
) -> Vec<Finding> {
    let mut found = [(Counts::default(), Counts::default()); 3];
    let (began, mut looks) = (clock.now(), 0_u32);
    loop {
        for (name, found) in names.iter().zip(&mut found) {
            match look(clients, name, dice).await {
                Ok(counts) => *found = counts,
                Err(error) => return vec![finding(name, window).unreadable(error)],
            }
        }
        looks += 1;
        let passed = clock.now().saturating_duration_since(began);
        if passed > window || found.iter().any(|(live, dead)| live.all() + dead.all() > 0) {
            return names.iter().zip(found).map(|(name, counts)| judge(name, counts, window, looks, passed)).collect();
        }
        tell(window.saturating_sub(passed));
        let pause = (window / LOOKS).max(Duration::from_millis(200)).min(window.saturating_sub(passed) + Duration::from_millis(50));
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return names.iter().map(|name| finding(name, window).unreadable("the watch was cut short")).collect();
        }
    }
}

/// What stands where a glance did not watch the queues.
pub(crate) const GLANCE: &str = "not watched: this is a glance";

/// Where nobody watched.
pub(crate) fn not_watched(names: &[String; 3], window: Duration, reason: &str) -> Vec<Finding> {
    names.iter().map(|name| finding(name, window).unreadable(reason)).collect()
}

fn finding(name: &str, window: Duration) -> Finding {
    Finding::new(
        Part::Data,
        format!("messages in {name} and its dead-letter queue"),
        format!("SQS GetQueueAttributes of {name} and {name}-dead"),
    )
    .rule(format!("none, whenever looked at over more than {} s", window.as_secs()), "a message that is left could still be handled")
}

fn judge(name: &str, (live, dead): (Counts, Counts), window: Duration, looks: u32, passed: Duration) -> Finding {
    let Counts { visible, in_flight, delayed } = live;
    let (dead, seconds) = (dead.all(), passed.as_secs());
    let value = format!("{visible} visible, {in_flight} in flight, {delayed} delayed, {dead} dead letters; {looks} looks in {seconds} s");
    let mend = if dead > 0 {
        format!(
            "read the reasons of the dead letters in {}; move them back with `issei redrive`, or delete them",
            Queue::dead_letter_name(name)
        )
    } else {
        "let the consumers drain it, and certify again; other broadcasts' messages count too".to_owned()
    };
    finding(name, window).found(value, live.all() + dead == 0).mend(mend)
}

async fn look(clients: &Clients, name: &str, dice: &Dice) -> Result<(Counts, Counts), QueueError> {
    Queue::find(clients.sqs.clone(), name, dice.clone()).await?.counts().await
}
