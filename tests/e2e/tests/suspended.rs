//! Stops while consumers go on: one with timeouts of its own, and one whose machine is suspended. The real binary;
//! SIGSTOP holds the process, and a shim its clocks.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use issei_clock::Clock;
use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Process, Processes, command_body, judge};
use serde_json::Value;

/// In the body of a claim, and of nothing else.
const CLAIM: &str = "SET chunk_state = :claimed";
/// How long a claim takes.
const CLAIM_TAKES: Duration = Duration::from_millis(900);

/// Takes from each clock what the file says in nanoseconds: monotonic, running on, wall.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile int64_t *behind;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    behind = mmap(0, 24, PROT_READ, MAP_SHARED, open(getenv("HELD_CLOCKS"), O_RDONLY), 0);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    int at = id == CLOCK_MONOTONIC ? 0 : id == CLOCK_BOOTTIME ? 1 : id == CLOCK_REALTIME ? 2 : -1;
    if (failed || at < 0 || !behind) return failed;
    int64_t all = now->tv_sec * 1000000000LL + now->tv_nsec - behind[at];
    now->tv_sec = all / 1000000000LL;
    now->tv_nsec = all % 1000000000LL;
    return 0;
}
"#;

/// A file that the shim reads: nothing is behind, or these clocks are. In place, since the process has it mapped.
fn write_held(world: &Processes, held: [bool; 3], behind: Duration) {
    let behind = i64::try_from(behind.as_nanos()).unwrap();
    let bytes: Vec<u8> = held.into_iter().flat_map(|held| (if held { behind } else { 0 }).to_ne_bytes()).collect();
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(world.path("held")).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

/// Rust links with `cc`, so it is there wherever this was built.
fn shim(world: &Processes) -> String {
    let (source, library) = (world.write("shim.c", SHIM), world.path("shim.so"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o", &library, &world.path(&source), "-ldl"]).status().unwrap();
    assert!(compiled.success(), "the C compiler fails: {compiled}");
    library
}

async fn stop(world: &Processes) -> Value {
    let stopped: Value = serde_json::from_str(world.run(&["stop", "terms", "--reason", "wrong text", "--json"]).await.trim()).unwrap();
    assert_eq!(stopped["stopped"][0]["proved"], true, "{stopped}");
    stopped
}

/// Holds a consumer of one chunk at a time while it waits for the answer to a claim, and not in the midst of a send: a
/// request that it has begun is written to its end when it wakes, and no clock of its machine keeps that back.
async fn freeze_in_a_claim(world: &Processes, consumer: &Process) {
    loop {
        world.wait_for_accepted(world.cloud.accepted() + 1).await;
        // Until the next claim is under way, which begins once this chunk is confirmed.
        tokio::time::sleep(CLAIM_TAKES / 3).await;
        consumer.freeze();
        let sent = world.cloud.last_accepted_of("terms").unwrap();
        // Nothing can have been sent since, since the next claim has not been answered.
        if Clock::system().now().saturating_duration_since(sent) < CLAIM_TAKES {
            return;
        }
        consumer.thaw();
    }
}

/// Stopped in the midst of its sends, asleep until the stop is proved, and awake again with these clocks held.
/// Gives how many were accepted after the proof. `age_max_s` is from what age on the provider refuses a signature.
async fn accepted_when_it_wakes(held: [bool; 3], age_max_s: Option<u32>) -> u64 {
    let mut world = Processes::simulated(400, Account { signature_lifetime_s: age_max_s, ..Account::default() }).await;
    world.set("ISSEI_REQUEST_LIFETIME_S", "4");
    let claim_takes = u64::try_from(CLAIM_TAKES.as_millis()).unwrap();
    world.cloud.inject(Rule::every("UpdateItem", Fault::DelayMs(claim_takes)).holding(CLAIM));
    let clock = Clock::system();
    write_held(&world, held, Duration::ZERO);
    let (library, file) = (shim(&world), world.path("held"));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    let consumer = world.start_in("consumer", &[("LD_PRELOAD", &library), ("HELD_CLOCKS", &file), ("ISSEI_CHUNKS_IN_FLIGHT", "1")]);
    world.wait_for_accepted(1).await;
    freeze_in_a_claim(&world, &consumer).await;
    let asleep = clock.now();
    stop(&world).await;
    let accepted = world.cloud.accepted();
    assert!(accepted < 400, "nothing was left to be sent");
    write_held(&world, held, clock.now().saturating_duration_since(asleep));
    consumer.thaw();
    world.wait_until_drained("ISSEI_CHUNKS_QUEUE").await;
    consumer.end().await;
    producer.end().await;
    assert_eq!(judge(&world.cloud, "terms").duplicates(), Vec::<&str>::new());
    world.cloud.accepted() - accepted
}

// The provider takes a signature of any age here: the machine's own clocks alone must tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_monotonic_clock_was_held_sends_nothing_after_a_stop() {
    assert_eq!(accepted_when_it_wakes([true, false, false], None).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_which_the_wall_clock_alone_ran_on_sends_nothing_after_a_stop() {
    assert_eq!(accepted_when_it_wakes([true, true, false], None).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_consumer_sends_whose_every_clock_was_held_is_refused_after_a_stop() {
    assert_eq!(accepted_when_it_wakes([true, true, true], Some(4)).await, 0);
}

/// What the three before would see, were neither the clocks counted that ran on nor a signature refused for its age.
#[tokio::test(flavor = "multi_thread")]
async fn without_either_guard_a_consumer_that_wakes_goes_on_after_the_stop_was_proved() {
    assert_ne!(accepted_when_it_wakes([true, true, true], None).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_with_permits_of_40_s_sends_nothing_after_a_stop_by_somebody_with_3_s() {
    // It takes nine seconds from each permit to its send, so that sends go on for as long after the stop.
    const OWN: [(&str, &str); 7] = [
        ("ISSEI_SEND_TIMEOUT_MS", "2000"),
        ("ISSEI_PERMIT_LIFE_MS", "40000"),
        ("ISSEI_LEDGER_TIMEOUT_MS", "30000"),
        ("ISSEI_LEASE_MS", "45000"),
        ("ISSEI_HANDLER_TIMEOUT_MS", "50000"),
        ("ISSEI_VISIBILITY_TIMEOUT_S", "300"),
        ("ISSEI_CHUNKS_IN_FLIGHT", "4"),
    ];
    let world = Processes::simulated(400, Account::default()).await;
    world.cloud.inject(Rule::every("UpdateItem", Fault::DelayMs(9_000)).holding(CLAIM));
    let command = world.write("command.json", &command_body("terms", |_| {}));
    world.run(&["send", "--yes", &command]).await;
    let producer = world.start("producer");
    world.wait_for("terms", "running").await;
    producer.end().await;
    let consumer = world.start_in("consumer", &OWN);
    world.wait_for_accepted(1).await;
    // Its next claims are under way by now, and the stop is asked for with permits of 2.6 s.
    stop(&world).await;
    let accepted = world.cloud.accepted();
    assert!(accepted < 400, "nothing was left to be sent");
    world.wait_until_drained("ISSEI_CHUNKS_QUEUE").await;
    consumer.end().await;
    assert_eq!(world.cloud.accepted(), accepted, "accepted after the stop was proved: {}", world.log("consumer"));
}
