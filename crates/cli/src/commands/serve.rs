//! The long-running services.

use issei_assembly::{Parts, Settings, VERSION};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::Ended;

pub(crate) async fn producer(settings: &Settings) -> anyhow::Result<Ended> {
    let shutdown = of_service()?;
    let connecting = async { Parts::connect(settings).await.producer().await };
    let Some(producer) = shutdown.run_until_cancelled(connecting).await.transpose()? else { return Ok(Ended::Well) };
    tracing::info!(version = VERSION, audiences = settings.audiences.len(), "producer started");
    if settings.audiences.is_empty() {
        let file = settings.file.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string());
        tracing::warn!(file, "no audience is configured, so every command will be refused; name the configuration file by --config");
    }
    producer.run(shutdown).await;
    tracing::info!("producer ended");
    Ok(Ended::Well)
}

pub(crate) async fn consumer(settings: &Settings) -> anyhow::Result<Ended> {
    let shutdown = of_service()?;
    let connecting = async { Parts::connect(settings).await.consumer().await };
    let Some(consumer) = shutdown.run_until_cancelled(connecting).await.transpose()? else { return Ok(Ended::Well) };
    tracing::info!(version = VERSION, in_flight = settings.chunks_in_flight, "consumer started");
    consumer.run(shutdown).await;
    tracing::info!("consumer ended: nothing is in flight");
    Ok(Ended::Well)
}

pub(crate) async fn feedback(settings: &Settings) -> anyhow::Result<Ended> {
    let shutdown = of_service()?;
    let connecting = async { Parts::connect(settings).await.feedback().await };
    let Some(feedback) = shutdown.run_until_cancelled(connecting).await.transpose()? else { return Ok(Ended::Well) };
    tracing::info!(version = VERSION, "feedback consumer started");
    feedback.run(shutdown).await;
    tracing::info!("feedback consumer ended");
    Ok(Ended::Well)
}

/// The same for a service, which says so.
fn of_service() -> anyhow::Result<CancellationToken> {
    let shutdown = on_signal()?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        token.cancelled().await;
        tracing::info!("told to end: receiving nothing more, finishing what is in flight");
    });
    Ok(shutdown)
}

/// Cancelled by SIGTERM or Ctrl-C, and asked for before anything else, so that whoever is told to end while it
/// starts ends as cleanly. The work in flight is finished; a second signal changes nothing,
/// since cutting off a send would leave it in doubt.
pub(crate) fn on_signal() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}
