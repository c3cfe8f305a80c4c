//! issei as Lambda functions: one executable for all of them. Which part a function has, its handler says.
//!
//! | handler | called by | does |
//! |---|---|---|
//! | `producer` | the commands queue | carries out commands, in slices |
//! | `closer` | a schedule | looks after open broadcasts until there is none |
//! | `consumer` | the chunks queue | sends |
//! | `feedback` | the feedback queue | merges events |
//! | `sweeper` | a schedule | sweeps open broadcasts |
//!
//! Nothing is decided here about sending. A function does what the services do, through the same
//! library functions, and ends before it would be killed.

mod event;
mod function;
mod part;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use issei_assembly::{Layer, LogFormat, Parts, Settings, VERSION, enable_metrics, init_logs, no_secrets_in_endpoints, runtime, say_error};
use lambda_runtime::{LambdaEvent, service_fn};

use crate::function::Function;
use crate::part::Part;

/// The settings of a function: its environment variables, and `issei.toml` beside the executable.
#[derive(Debug, Parser)]
struct Environment {
    #[arg(long, env = "ISSEI_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Layer,
}

fn main() -> ExitCode {
    match runtime() {
        Ok(runtime) => runtime.block_on(serve()),
        Err(error) => failed(&format!("no threads can be started: {error}")),
    }
}

async fn serve() -> ExitCode {
    match start().await {
        Ok(function) => {
            let function = Arc::new(function);
            let served = lambda_runtime::run(service_fn(move |event: LambdaEvent<serde_json::Value>| {
                let function = function.clone();
                async move { function.serve(event).await.map_err(lambda_runtime::Error::from) }
            }));
            match served.await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error.to_string()),
            }
        }
        // Lambda starts it again with the next call, and its log says why it did not work.
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn failed(reason: &str) -> ExitCode {
    say_error(reason);
    ExitCode::FAILURE
}

async fn start() -> anyhow::Result<Function> {
    no_secrets_in_endpoints(None)?;
    let environment = Environment::try_parse_from(["issei-lambda"])?;
    let settings = Settings::load(environment.config.as_deref(), environment.settings)?;
    // Lambda keeps whatever is written, line by line.
    init_logs(LogFormat::Json, false, &settings.otlp_endpoint)?;
    if settings.metrics {
        enable_metrics(&settings.metrics_prefix);
    }
    let handler = std::env::var("_HANDLER").context("_HANDLER is not set: this executable is a Lambda function; `issei` is the command")?;
    let parts = Parts::connect(&settings).await;
    let part = Part::named(&handler, &parts).await?;
    tracing::info!(version = VERSION, part = %handler, "function started");
    Function::new(part, &parts).await
}
