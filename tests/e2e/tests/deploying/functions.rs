//! The real Lambda functions, called through `cargo lambda watch` with what SQS's event source sends.

use std::collections::BTreeMap;

use issei_aws::AwsCall;
use issei_test_support::{Functions, Process, Processes, command_body, judge, until};
use serde_json::json;

const QUEUES: [(&str, &str); 3] =
    [("producer", "ISSEI_COMMANDS_QUEUE"), ("consumer", "ISSEI_CHUNKS_QUEUE"), ("feedback", "ISSEI_FEEDBACK_QUEUE")];

pub(crate) struct Deployed {
    pub(crate) world: Processes,
    pub(crate) functions: Functions,
    instances: BTreeMap<&'static str, Process>,
}

impl Deployed {
    async fn new(users: u32) -> Option<Self> {
        Self::into(Processes::brisk(users, Processes::account_with_events()).await).await
    }

    /// Runs one instance of each function in this world; none where there is no `cargo-lambda`.
    pub(crate) async fn into(world: Processes) -> Option<Self> {
        let functions = Functions::start().await?;
        let mut deployed = Self { world, functions, instances: BTreeMap::new() };
        deployed.start_anew();
        Some(deployed)
    }

    /// Cold starts, as after a deployment.
    pub(crate) fn start_anew(&mut self) {
        self.instances.clear();
        for handler in ["producer", "closer", "consumer", "feedback", "sweeper"] {
            self.instances.insert(handler, self.functions.run(&self.world, handler));
        }
    }

    pub(crate) async fn send(&self, id: &str) {
        let command = self.world.write("command.json", &command_body(id, |_| {}));
        self.world.run(&["send", "--yes", &command]).await;
    }

    async fn status(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.world.run(&["status", id, "--json"]).await).unwrap()
    }

    pub(crate) async fn drain(&self, handler: &str) {
        let (_, setting) = QUEUES.iter().find(|(name, _)| *name == handler).unwrap();
        while self.functions.poll(&self.world, handler, setting, 20).await.received > 0 {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_through_functions_alone() {
    let Some(deployed) = Deployed::new(100).await else { return };
    let Deployed { world, functions, .. } = &deployed;
    deployed.send("terms").await;
    world.post("ISSEI_COMMANDS_QUEUE", "this is no command").await;
    world.post("ISSEI_CHUNKS_QUEUE", "this is no chunk").await;
    world.post("ISSEI_FEEDBACK_QUEUE", "this is no event").await;
    deployed.drain("producer").await;
    assert_eq!(deployed.status("terms").await["state"], "running");
    deployed.drain("consumer").await;
    // The closer looks until nothing is open any more.
    assert_eq!(functions.call("closer", &json!({ "call": "tick" })).await, (200, json!({ "batchItemFailures": [] })));
    assert_eq!(deployed.status("terms").await["state"], "complete");
    world.carry_events().await;
    deployed.drain("feedback").await;
    assert_eq!(functions.call("sweeper", &json!({ "call": "tick" })).await.0, 200);
    let status = deployed.status("terms").await;
    assert_eq!((&status["delivered"], &status["in_doubt"]), (&json!(100), &json!(0)), "{status}");
    judge(&world.cloud, "terms").assert_each_once(world.users.all().await.into_iter().filter_map(|(_, address)| address));
    for (_, setting) in QUEUES {
        let reasons = world.dead_reasons(setting).await;
        assert!(reasons.len() == 1 && !reasons[0].is_empty(), "{setting}: {reasons:?}");
    }
    // A function between two calls has ended, so a certificate need not wait for it.
    assert_eq!(status["services"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_broadcast_goes_back_and_spends_no_receive() {
    let Some(deployed) = Deployed::new(100).await else { return };
    let Deployed { world, functions, .. } = &deployed;
    deployed.send("terms").await;
    deployed.drain("producer").await;
    world.run(&["pause", "terms", "--reason", "a test"]).await;
    let polled = functions.poll(world, "consumer", "ISSEI_CHUNKS_QUEUE", 20).await;
    assert!(polled.received > 5 && polled.failed == 0, "{polled:?}");
    let (sqs, url) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names("All".into()).call().await.unwrap().attributes.unwrap();
    let number = |name: &str| attributes[&name.into()].parse::<usize>().unwrap();
    // Each lies there as a fresh message, a minute away.
    assert_eq!(number("ApproximateNumberOfMessagesDelayed"), polled.received, "{attributes:?}");
    assert_eq!(number("ApproximateNumberOfMessagesNotVisible"), 0, "{attributes:?}");
    assert_eq!(world.cloud.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_restored_ledger_functions_put_everything_back() {
    let Some(deployed) = Deployed::new(100).await else { return };
    let Deployed { world, functions, .. } = &deployed;
    deployed.send("terms").await;
    // The mirror knows of more starts than the ledger: as if the table had come from a backup.
    let (sqs, url) = world.queue_url("ISSEI_CHUNKS_QUEUE", "").await;
    sqs.tag_queue().queue_url(url).tags("issei-ledger", "1.99").call().await.unwrap();
    let polled = functions.poll(world, "producer", "ISSEI_COMMANDS_QUEUE", 10).await;
    assert_eq!((polled.received, polled.failed), (1, 0));
    let (sqs, url) = world.queue_url("ISSEI_COMMANDS_QUEUE", "").await;
    let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names("All".into()).call().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&"ApproximateNumberOfMessagesDelayed".into()], "1");
    let (status, answer) = functions.call("closer", &json!({ "call": "tick" })).await;
    assert!(status >= 400 && answer["errorMessage"].as_str().is_some_and(|error| error.contains("restored")), "{status} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_does_not_keep_a_call() {
    let mut world = Processes::brisk(10, Processes::account_with_events()).await;
    // Whoever connects is never accepted.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    world.set("ISSEI_OTLP_ENDPOINT", &format!("http://{}", silent.local_addr().unwrap()));
    let Some(deployed) = Deployed::into(world).await else { return };
    for _ in 0..2 {
        assert_eq!(deployed.functions.call("closer", &json!({ "call": "tick" })).await.0, 200);
    }
    // Said by whoever stopped waiting. The exporter itself waits for longer, and would say that it failed.
    assert!(deployed.world.log("function-closer").contains("the collector does not answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_in_a_call_leaves_no_double() {
    let Some(mut deployed) = Deployed::new(100).await else { return };
    deployed.send("terms").await;
    deployed.drain("producer").await;
    // It dies while the provider has accepted and not yet answered.
    let hangs = issei_sim::Rule::every("SendBulkEmail", issei_sim::Fault::HangAfter).times(1);
    deployed.world.cloud.inject(hangs);
    let mut hanging = deployed.world.cloud.hanging();
    let killed = deployed.instances.remove("consumer").unwrap();
    let Deployed { world, functions, .. } = &deployed;
    let call = functions.poll(world, "consumer", "ISSEI_CHUNKS_QUEUE", 20);
    let kill = async {
        hanging.wait_for(|hanging| *hanging > 0).await.unwrap();
        killed.kill_without_mercy().await;
    };
    // Nobody answers the call any more, and SQS shows its messages again.
    tokio::select! {
        polled = call => panic!("a call that nobody can answer is answered: {polled:?}"),
        () = kill => {}
    }
    let again = functions.run(world, "consumer");
    // The chunk that was under way stays in doubt, and its message finds that out once its lease is over.
    until("no message is left", async || {
        functions.poll(world, "consumer", "ISSEI_CHUNKS_QUEUE", 20).await;
        let status = deployed.status("terms").await;
        status["waiting_messages"] == 0 && status["messages_in_flight"] == 0
    })
    .await;
    assert_eq!(judge(&world.cloud, "terms").duplicates(), [""; 0]);
    drop(again);
}
