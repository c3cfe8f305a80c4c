//! Lambda as far as its functions see it: the runtime interface of `cargo lambda watch`, which calls the real
//! executables, and an event source that drains a queue and believes what a function answers.

use std::process::Stdio;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use issei_aws::AwsCall;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::browser::free_port;
use crate::patience::{PATIENCE, until};
use crate::processes::{Process, Processes};

/// The functions of one world. Ended when dropped.
pub struct Functions {
    port: u16,
    /// A cargo project that has nothing but the names of the functions: they are all that is called.
    _names: TempDir,
    _server: Child,
}

/// What came of one call by the event source.
#[derive(Debug, PartialEq, Eq)]
pub struct Polled {
    pub received: usize,
    pub failed: usize,
    /// The most often that any of the messages had been received, this time included.
    pub receives_max: u32,
}

impl Functions {
    /// Starts the runtime interface; none where there is no `cargo-lambda`, which is an error in CI.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub async fn start() -> Option<Self> {
        let Some(path) = std::env::var("ISSEI_TEST_CARGO_LAMBDA").ok().filter(|path| !path.is_empty()) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "ISSEI_TEST_CARGO_LAMBDA is not set");
            eprintln!("SKIPPED: no cargo-lambda; set ISSEI_TEST_CARGO_LAMBDA, or use tests/run");
            return None;
        };
        let names = tempfile::tempdir().unwrap();
        let bins = ["producer", "closer", "consumer", "feedback", "sweeper"]
            .map(|name| format!("[[bin]]\nname = \"{name}\"\npath = \"none.rs\"\n"));
        let manifest = format!("[package]\nname = \"functions\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{}", bins.concat());
        std::fs::write(names.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::write(names.path().join("none.rs"), "fn main() {}").unwrap();
        let port = free_port();
        let server = Command::new(path)
            .args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()])
            .current_dir(names.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("cargo lambda watch listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Some(Self { port, _names: names, _server: server })
    }

    /// Starts an instance of a function, as a cold start does.
    #[must_use]
    pub fn run(&self, world: &Processes, handler: &str) -> Process {
        world.start_function(handler, &format!("http://127.0.0.1:{}/.rt/{handler}", self.port), &format!("function-{handler}"))
    }

    /// Calls a function: its status and its answer.
    pub async fn call(&self, handler: &str, payload: &Value) -> (u16, Value) {
        let url = format!("http://127.0.0.1:{}/2015-03-31/functions/{handler}/invocations", self.port);
        let request = http::Request::post(url).body(Full::new(bytes::Bytes::from(payload.to_string()))).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = tokio::time::timeout(PATIENCE, client.request(request)).await.expect("no answer").unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What an SQS event source does with `ReportBatchItemFailures`: receives a batch of up to `most`, calls the function,
    /// and deletes what it does not name.
    pub async fn poll(&self, world: &Processes, handler: &str, setting: &str, most: usize) -> Polled {
        let (sqs, url) = world.queue_url(setting, "").await;
        let mut messages = Vec::new();
        while messages.len() < most {
            let wanted = i32::try_from((most - messages.len()).min(10)).unwrap();
            let receive = sqs.receive_message().queue_url(&url).max_number_of_messages(wanted).message_attribute_names("All");
            let received = receive.message_system_attribute_names(MessageSystemAttributeName::All).call().await.unwrap().messages;
            match received {
                Some(received) if !received.is_empty() => messages.extend(received),
                _ => break,
            }
        }
        let Some(receives_max) = messages.iter().map(receives).max() else { return Polled { received: 0, failed: 0, receives_max: 0 } };
        let records: Vec<Value> = messages.iter().map(record).collect();
        let (status, answer) = self.call(handler, &json!({ "Records": records })).await;
        assert_eq!(status, 200, "{answer} {}", world.log(&format!("function-{handler}")));
        let failures = answer["batchItemFailures"].as_array().unwrap_or_else(|| panic!("{answer}"));
        let failed = |id: Option<&str>| failures.iter().any(|failure| failure["itemIdentifier"].as_str() == id);
        for message in messages.iter().filter(|message| !failed(message.message_id())) {
            // A message that the function has deleted already is gone, which is no error to SQS.
            let delete = sqs.delete_message().queue_url(&url).receipt_handle(message.receipt_handle().unwrap());
            delete.call().await.unwrap();
        }
        Polled { received: messages.len(), failed: failures.len(), receives_max }
    }
}

fn receives(message: &aws_sdk_sqs::types::Message) -> u32 {
    message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount].parse().unwrap()
}

/// A message as it stands in an event (Lambda developer guide, "Using Lambda with Amazon SQS").
fn record(message: &aws_sdk_sqs::types::Message) -> Value {
    let system: Map<String, Value> =
        message.attributes().unwrap().iter().map(|(name, value)| (name.as_str().to_owned(), value.clone().into())).collect();
    let own = message.message_attributes().into_iter().flatten();
    let own: Map<String, Value> = own
        .map(|(name, value)| {
            let value = json!({ "stringValue": value.string_value(), "stringListValues": [], "binaryListValues": [], "dataType": value.data_type() });
            (name.clone(), value)
        })
        .collect();
    json!({
        "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
        "attributes": system, "messageAttributes": own, "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
    })
}
