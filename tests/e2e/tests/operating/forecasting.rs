//! How long so many recipients would take on what is there now: `issei doctor --for`.

use issei_sim::Account;
use issei_test_support::{Processes, until};
use serde_json::Value;

/// What `doctor` says, and whether it is sound as far as that goes.
async fn doctor(world: &Processes, recipients: &str) -> Value {
    let (_, output, error) = world.try_run(&["doctor", "--for", recipients, "--json"]).await;
    serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"))
}

fn found<'a>(told: &'a Value, what: &str) -> (&'a str, &'a str) {
    let found = told["findings"].as_array().unwrap().iter().find(|finding| finding["what"].as_str().unwrap().starts_with(what));
    let found = found.unwrap_or_else(|| panic!("no {what}: {told}"));
    (found["judgement"].as_str().unwrap(), found["value"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_how_long_they_take_what_holds_them_up_and_what_they_cost() {
    let account = Account { max_send_rate: 300.0, max_24_hour_send: 150_000.0, ..Account::default() };
    let world = Processes::simulated(5, account).await;
    let told = doctor(&world, "100000").await;
    let (judgement, time) = found(&told, "time for 100000 recipients");
    assert!(judgement == "holds" && time.contains("sent after ") && time.contains("no consumer is alive, as if one were"), "{time}");
    let (_, bound) = found(&told, "what holds up");
    assert!(bound.starts_with("the provider's rate, used to ") && bound.contains("ask the provider for a higher rate"), "{bound}");
    assert_eq!(found(&told, "quota of 24 hours for"), ("holds", "150000 left of 150000"));
    assert!(found(&told, "cost of").1.starts_with("$ 10.00 SES, $ 0.0"), "{told}");
    assert_eq!(told["for"]["bound"], "rate", "{told}");
    assert!((333.0..350.0).contains(&told["for"]["sending_s"].as_f64().unwrap()), "{told}");

    // More than the account may send in a day, and longer than a command is good for.
    let told = doctor(&world, "100000000").await;
    assert_eq!(found(&told, "time for 100000000 recipients").0, "broken", "{told}");
    assert_eq!(found(&told, "quota of 24 hours for"), ("broken", "150000 left of 150000"));
    let (code, text, _) = world.try_run(&["doctor", "--for", "100000000"]).await;
    assert!(code == Some(3) && text.contains("send to a part of the audience each day"), "{text}");
    for wrong in ["0", "many", "100000001"] {
        assert_eq!(world.try_run(&["doctor", "--for", wrong]).await.0, Some(2), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_and_the_consumers_that_are_alive_are_reckoned_with() {
    let mut world = Processes::simulated(5, Account { max_send_rate: 1e6, max_24_hour_send: -1.0, ..Account::default() }).await;
    world.cloud.configure(|account| account.warm_writes = Some(200));
    let told = doctor(&world, "1000000").await;
    assert_eq!(told["for"]["bound"], "table", "{told}");
    assert!(found(&told, "what holds up").1.contains("--warm-throughput"), "{told}");
    assert!(found(&told, "time for").1.contains("a table that takes 200 writes a second at once"), "{told}");
    assert_eq!(found(&told, "quota of 24 hours for"), ("holds", "no limit"));
    // Some endpoints say 0 for what they do not tell.
    for untold in [None, Some(0)] {
        world.cloud.configure(|account| account.warm_writes = untold);
        let told = doctor(&world, "1000000").await;
        assert!(found(&told, "time for").1.contains("counted as a new one (4000)"), "{told}");
        assert!(told["for"]["sent_s"].as_f64().unwrap() > told["for"]["frozen_s"].as_f64().unwrap(), "{told}");
    }

    world.cloud.configure(|account| account.warm_writes = Some(100_000));
    let one = doctor(&world, "1000000").await;
    world.set("ISSEI_CHUNKS_IN_FLIGHT", "3");
    let services = [world.start("consumer"), world.start("consumer")];
    until("both are alive", async || found(&doctor(&world, "1000000").await, "time for").1.contains("2 consumers alive of 3 chunks")).await;
    let two = doctor(&world, "1000000").await;
    assert_eq!((&two["for"]["setup"]["consumers"], &two["for"]["setup"]["chunks_in_flight"]), (&2.into(), &3.into()), "{two}");
    assert_eq!(one["for"]["setup"]["shards"], 20);
    for service in services {
        service.end().await;
    }
}
