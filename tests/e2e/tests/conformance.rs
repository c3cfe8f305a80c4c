//! One list of calls with the answers expected, run over the simulator and over whatever endpoint
//! `ISSEI_TEST_AWS_URL` names. What both say, the simulator has not made up. Where an emulator
//! differs from AWS's documentation, the documentation decides and the difference is named here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on fails, and one that is skipped says so"
)]

mod conformance_suite;

use issei_clock::{Clock, Dice};
use issei_sim::{Account, Cloud, Options, StoreKind, connector, listen};
use issei_test_support::{WorldOptions, aws_url};

use conformance_suite::{Subject, run_all};

fn cloud() -> std::sync::Arc<Cloud> {
    Cloud::new(Options { clock: Clock::system(), seed: 1, store: StoreKind::Memory, account: Account::default() }).unwrap()
}

async fn subject(name: &'static str, url: &str, http: Option<std::sync::Arc<Cloud>>) -> Subject {
    let clients = issei_aws::connect_to(url, http.map(connector), &WorldOptions::default().timing).await;
    Subject { name, clients, prefix: format!("c{}", &Dice::system().token()[..8]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_by_its_connector() {
    run_all(&subject("simulator, connector", "http://simulator", Some(cloud())).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_by_its_listener() {
    let listening = listen(cloud()).await.unwrap();
    run_all(&subject("simulator, listener", &listening.url(), None).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulator_that_was_named() {
    let Some(url) = aws_url() else {
        println!("SKIPPED: ISSEI_TEST_AWS_URL names no emulator; tests/run starts one");
        return;
    };
    run_all(&subject("emulator", &url, None).await).await;
}
