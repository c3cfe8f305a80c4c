//! Many consumers of one account, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use issei_aws::Timing;
use issei_provider::Ses;
use issei_sim::{Account, Cloud, Options, StoreKind, connector};
use tokio::task::JoinSet;

use super::*;

const TIMING: Timing = Timing {
    send: Duration::from_secs(5),
    permit_life: Duration::from_secs(8),
    lease: Duration::from_secs(20),
    handler: Duration::from_secs(30),
    visibility: Duration::from_mins(3),
    ledger: Duration::from_secs(5),
    request_lifetime: Duration::from_mins(5),
};

/// What consumers do with a rate: the share of it that they use, the most in a second by its size, and writes to
/// the rate's item for each recipient.
struct Shared {
    used: f64,
    peak: f64,
    writes: f64,
}

/// So many consumers, each with so many chunks of fifty at work, of whom each takes a tenth of a second once its turn has
/// come. Looked at for a minute, once they have found out that they are many.
async fn share(consumers: u64, in_flight: u32, rate: f64) -> Shared {
    let clock = Clock::starting_at("2026-11-26T00:00:00Z".parse().unwrap());
    let account = Account { max_send_rate: rate, max_24_hour_send: 1e9, latency_ms: 10, ..Account::default() };
    let cloud = Cloud::new(Options { clock: clock.clone(), seed: 1, store: StoreKind::Memory, account }).unwrap();
    let clients = issei_aws::connect_to("http://simulator", Some(connector(cloud.clone())), &TIMING).await;
    let ledger = Ledger::new(clients.dynamodb.clone(), "ledger".to_owned(), clock.clone(), Dice::seeded(1), Duration::from_hours(1));
    ledger.ensure_table().await.unwrap();
    let provider: Arc<dyn Provider> = Arc::new(Ses::new(clients.ses.clone(), "issei"));
    let sent: Arc<[AtomicU64]> = (0..=240).map(|_| AtomicU64::new(0)).collect();
    let (began, mut work) = (clock.now(), JoinSet::new());
    for consumer in 0..consumers {
        let dice = Dice::seeded(consumer);
        let one = Arc::new(Rate::new(ledger.clone(), ProviderName::default(), provider.clone(), clock.clone(), dice, None));
        for _ in 0..in_flight {
            let (one, clock, sent) = (one.clone(), clock.clone(), sent.clone());
            work.spawn(async move {
                loop {
                    let Ok(Turn::Now { .. }) = one.turn(50).await else { panic!("a turn is always given at last") };
                    let second = usize::try_from(clock.now().saturating_duration_since(began).as_secs()).unwrap();
                    sent.get(second).map(|sent| sent.fetch_add(50, Ordering::Relaxed));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }
    let writes = || cloud.counts().get(&("dynamodb", "UpdateItem".to_owned())).copied().unwrap_or_default();
    tokio::time::sleep(Duration::from_mins(3)).await;
    let before = writes();
    tokio::time::sleep(Duration::from_mins(1)).await;
    let seconds: Vec<u64> = sent[180..240].iter().map(|sent| sent.load(Ordering::Relaxed)).collect();
    let all = as_f64(seconds.iter().sum());
    Shared { used: all / 60.0 / rate, peak: as_f64(*seconds.iter().max().unwrap()) / rate, writes: as_f64(writes() - before) / all }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_consumers_use_the_whole_rate_and_ask_for_it_seldom() {
    let shared = share(1_000, 20, 5_000.0).await;
    assert!((0.97..=1.005).contains(&shared.used), "{}", shared.used);
    assert!(shared.peak <= 1.05, "{}", shared.peak);
    assert!(shared.writes <= 0.0075, "{}", shared.writes);
}

#[tokio::test(start_paused = true)]
async fn a_few_consumers_use_the_whole_rate_and_one_alone_does() {
    for (consumers, rate) in [(1, 500.0), (1, 5_000.0), (3, 5_000.0), (64, 5_000.0)] {
        let shared = share(consumers, 20, rate).await;
        assert!((0.97..=1.005).contains(&shared.used), "{consumers} at {rate}: {}", shared.used);
        assert!(shared.peak <= 1.05, "{consumers} at {rate}: {}", shared.peak);
        assert!(shared.writes <= 0.004, "{consumers} at {rate}: {}", shared.writes);
    }
}
