//! The producer: an audience frozen page after page, and enqueued. When it has done what, and when which messages are
//! there.

use crate::room::{Room, Time, whole};
use crate::{Setup, cost};

/// Pages that are enqueued at once, and batches of one page (`crates/producer/src/enqueue.rs`).
const PAGES_AT_ONCE: usize = 3;
const BATCHES_AT_ONCE: u32 = 4;

/// When the audience was frozen, and when how many messages are on the queue.
pub(crate) struct Produced {
    pub(crate) frozen: Time,
    pub(crate) batches: Vec<(Time, u32)>,
    /// When the cursor moves over each page, which is a write to the broadcast.
    pub(crate) moves: Vec<Time>,
    /// Write units of all pages.
    pub(crate) units: f64,
}

fn ms(ms: f64) -> Time {
    whole(ms * 1e3)
}

pub(crate) fn produce(setup: &Setup) -> Produced {
    let Setup { recipients, page_recipients, chunk_recipients, latency, cpu, .. } = setup;
    let pages = recipients.div_ceil(u64::from(*page_recipients)).max(1);
    let (mut item, mut table) = (Room::new(cost::PARTITION_WRITES), Room::new(setup.table.writes));
    let (mut at, mut units) = (0, 0.0);
    let page_size =
        |page: u64| u32::try_from((recipients - page * u64::from(*page_recipients)).min(u64::from(*page_recipients))).unwrap_or(0);
    for page in 0..pages {
        let of = page_size(page);
        let (of_page, of_broadcast) = cost::page(of);
        // A look at the list of suppressed addresses, and then the page, while the next is filled. Its item lies in a
        // partition of its own.
        let looked = at + ms(latency.ledger_ms);
        let through = item.pass(looked, of_broadcast).max(table.pass(looked, of_page + of_broadcast));
        at = (through + ms(latency.ledger_ms)).max(at + whole(f64::from(of) * cpu.freeze_us));
        units += of_page + of_broadcast;
    }
    // Another look, and the step to running.
    let frozen = at + 2 * ms(latency.ledger_ms);
    let (mut batches, mut taken, mut moved, mut core) = (Vec::new(), Vec::<Time>::new(), frozen, frozen);
    for page in 0..pages {
        let of = page_size(page);
        let chunks = of.div_ceil(*chunk_recipients);
        let number = usize::try_from(page).unwrap_or(usize::MAX);
        // Three are under way at once: this one began when the third before it was taken.
        let begins = number.checked_sub(PAGES_AT_ONCE).and_then(|before| taken.get(before)).copied().unwrap_or(frozen);
        let has_read = begins + ms(latency.ledger_ms);
        core = core.max(has_read) + whole(f64::from(of) * cpu.enqueue_us);
        let (mut left, mut there) = (chunks, core);
        while left > 0 {
            there += ms(latency.queue_ms);
            for _ in 0..BATCHES_AT_ONCE {
                let batch = left.min(cost::BATCH);
                if batch > 0 {
                    batches.push((there, batch));
                }
                left -= batch;
            }
        }
        // The cursor moves over a page once it has moved over the one before.
        let takes = there.max(moved);
        taken.push(takes);
        moved = takes + ms(latency.ledger_ms);
    }
    batches.sort_unstable();
    Produced { frozen, batches, moves: taken, units }
}
