//! The disaster that issei was made for, once more, with issei in it.
//!
//! The mail about the new terms went to every user up to five times: the caller timed out while the
//! callee did the work; the job runner retried; killed jobs came back to life; a blocked deploy
//! stood in the way; and nobody could say that it was over. Here real processes meet the same day,
//! and the provider's own record says what each user got.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use issei_sim::{Account, Fault, Rule};
use issei_test_support::{Processes, command_body, judge};

const USERS: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn every_user_has_one_mail() {
    let world = Processes::brisk(USERS, Account::default()).await;
    let command = world.write("command.json", &command_body("terms-2026", |_| {}));

    // The job posts the command. It hears nothing back in time, and the job runner retries: five
    // times in all. Two producers and two consumers are up.
    let (first, second) = (world.start("producer"), world.start("producer"));
    let (one, two) = (world.start("consumer"), world.start("consumer"));
    // The provider takes a send and its answer never comes: the load balancer's part in the story.
    world.cloud.inject(Rule::every("SendBulkEmail", Fault::HangAfter).after(3).times(2));
    for _ in 0..5 {
        world.run(&["send", "--yes", &command]).await;
    }
    world.cloud.hanging().wait_for(|hanging| *hanging >= 1).await.unwrap();

    // Somebody kills what can be killed, in the midst of sends whose answers are out.
    one.kill_without_mercy().await;
    first.kill_without_mercy().await;

    // The jobs come back to life: the same command again, and services that start over.
    world.run(&["send", "--yes", &command]).await;
    let (third, three) = (world.start("producer"), world.start("consumer"));

    // It is over when the ledger says so, and then it stays over.
    let status = world.wait_for("terms-2026", "complete").await;
    world.run(&["send", "--yes", &command]).await;
    three.end().await;
    two.end().await;
    second.end().await;
    third.end().await;

    let judged = judge(&world.cloud, "terms-2026");
    assert_eq!(judged.duplicates(), Vec::<&str>::new(), "mailed more than once");
    let in_doubt = status["in_doubt"].as_u64().unwrap();
    let accounted = status["accepted"].as_u64().unwrap() + in_doubt;
    assert_eq!(accounted, u64::from(USERS), "{status}");
    // The lost answers were of sends that were accepted. They are listed in doubt, and nobody was
    // sent to again on that ground.
    assert!(in_doubt >= 10, "{status}");
    let missing = u64::from(USERS) - judged.reached().len() as u64;
    assert!(missing <= in_doubt, "{missing} users without a mail, {in_doubt} in doubt");
}
