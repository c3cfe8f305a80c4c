//! Watching the queues: nothing may lie in any of them, over more than twice the visibility timeout. SQS
//! counts are approximate, and a single look proves nothing.

use std::time::Duration;

use issei_aws::{Clients, Counts, Queue, QueueError};
use issei_clock::{Clock, Dice};
use issei_schema::{Bilingual, both};
use tokio_util::sync::CancellationToken;

use crate::finding::{Finding, Part};

/// SQS says that its counts are right about a minute after the last change; a look costs six calls.
const LOOKS: u32 = 12;

/// Watches the queues until the time is over, or something is found, or `shutdown`. What may be the cause of dead letters among the
/// events, the last of them, is told with these.
pub(crate) async fn watch(
    clients: &Clients,
    (clock, dice): (&Clock, &Dice),
    names: &[String; 3],
    of_events: &[Bilingual],
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
                Err(error) => return vec![finding(name, window).failed(error)],
            }
        }
        looks += 1;
        let passed = clock.now().saturating_duration_since(began);
        if passed > window || found.iter().any(|(live, dead)| live.all() + dead.all() > 0) {
            let causes = [&[], &[], of_events];
            let judged = names.iter().zip(found).zip(causes);
            return judged.map(|((name, counts), causes)| judge(name, counts, causes, window, looks, passed)).collect();
        }
        tell(window.saturating_sub(passed));
        let pause = (window / LOOKS).max(Duration::from_millis(200)).min(window.saturating_sub(passed) + Duration::from_millis(50));
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return names
                .iter()
                .map(|name| {
                    let cut = both!("the watch was cut short", "監視が途中で打ち切られました");
                    finding(name, window).not_read(cut)
                })
                .collect();
        }
    }
}

/// What stands where a glance did not watch the queues.
pub(crate) const GLANCE: &str = "not watched: this is a glance";

pub(crate) fn glanced() -> Bilingual {
    both!("{GLANCE}", "ここでは監視していません")
}

/// Where nobody watched.
pub(crate) fn not_watched(names: &[String; 3], window: Duration, reason: &Bilingual) -> Vec<Finding> {
    names.iter().map(|name| finding(name, window).not_read(reason.clone())).collect()
}

fn finding(name: &str, window: Duration) -> Finding {
    Finding::of(
        Part::Data,
        both!("messages in {name} and its dead-letter queue", "{name} とそのデッドレターキューのメッセージ"),
        both!("SQS GetQueueAttributes of {name} and {name}-dead", "SQS GetQueueAttributes({name}、{name}-dead)"),
    )
    .must(
        both!("none, whenever looked at over more than {} s", "{}秒を超える間、いつ確認してもない", window.as_secs()),
        "a message that is left could still be handled",
    )
}

fn judge(name: &str, (live, dead): (Counts, Counts), causes: &[Bilingual], window: Duration, looks: u32, passed: Duration) -> Finding {
    let Counts { visible, in_flight, delayed } = live;
    let (dead, seconds) = (dead.all(), passed.as_secs());
    let value = both!(
        "{visible} visible, {in_flight} in flight, {delayed} delayed, {dead} dead letters; {looks} looks in {seconds} s",
        "待機{visible}、処理中{in_flight}、遅延{delayed}、デッドレター{dead}。{seconds}秒間に{looks}回確認"
    );
    let mend = if dead > 0 {
        let read = both!(
            "`issei dead-letters` says of each in {} why it lies there and what is to be done with it; a redrive mends not all of them",
            "`issei dead-letters` で {} の各メッセージの理由と次の手順を確認してください。`issei redrive` で解決しないものもあります",
            Queue::dead_letter_name(name)
        );
        Bilingual::join(causes.iter().cloned().chain([read]), ("; ", "。"))
    } else {
        both!(
            "let the consumers drain it, and certify again; other broadcasts' messages count too",
            "コンシューマーが処理し終えるのを待って、もう一度 `issei certify` を実行してください。ほかの一斉送信のメッセージも数に入ります"
        )
    };
    finding(name, window).is(value, live.all() + dead == 0).mended_by(mend)
}

async fn look(clients: &Clients, name: &str, dice: &Dice) -> Result<(Counts, Counts), QueueError> {
    Queue::find(clients.sqs.clone(), name, dice.clone()).await?.counts().await
}
