//! Traces by OpenTelemetry, in a build with the feature `otel`: the spans of a broadcast, of its pages, of
//! its chunks and of each send, in one trace over all processes. No log line and no address is in them.
//! What stands in without the feature is compiled with it too, so that one build shows that both are whole.

#[cfg(feature = "otel")]
pub use with_otel::flush;
#[cfg(feature = "otel")]
pub(crate) use with_otel::{HOOKS, layer};
#[cfg(not(feature = "otel"))]
pub use without::flush;
#[cfg(not(feature = "otel"))]
pub(crate) use without::{HOOKS, layer};

#[cfg(feature = "otel")]
mod with_otel {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use anyhow::Context as _;
    use issei_schema::{TraceParent, Traces};
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Export};
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::registry::LookupSpan;

    use crate::parts::VERSION;

    pub(crate) const HOOKS: Traces = Traces { current, follow };

    /// Spans go out every few seconds, and what is lost then is told then: whoever flushes in the end finds nothing left.
    #[derive(Debug)]
    struct Telling {
        exporter: SpanExporter,
        /// Since the last time that it was told.
        is_losing: AtomicBool,
    }

    impl Export for Telling {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            let taken = self.exporter.export(batch).await;
            let was_losing = self.is_losing.swap(taken.is_err(), Ordering::Relaxed);
            match &taken {
                Err(error) if !was_losing => tracing::warn!(%error, "spans are lost: the collector does not take them"),
                Ok(()) if was_losing => tracing::info!("the collector takes spans again"),
                _ => {}
            }
            taken
        }

        fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
            self.exporter.shutdown_with_timeout(timeout)
        }

        fn force_flush(&self) -> OTelSdkResult {
            self.exporter.force_flush()
        }

        fn set_resource(&mut self, resource: &Resource) {
            self.exporter.set_resource(resource);
        }
    }

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    /// Sends this process's spans to a collector; none without an endpoint.
    pub(crate) fn layer<S>(endpoint: &str) -> anyhow::Result<Option<impl Layer<S> + use<S>>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        if endpoint.is_empty() {
            return Ok(None);
        }
        // OTLP specification, "OTLP/HTTP request".
        let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder().with_http().with_endpoint(&url).build();
        let exporter = exporter
            .with_context(|| format!("otlp_endpoint is {endpoint}; give the address of a collector, such as http://127.0.0.1:4318"))?;
        let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "issei".to_owned());
        let resource = Resource::builder().with_service_name(name).with_attribute(KeyValue::new("service.version", VERSION)).build();
        let exporter = Telling { exporter, is_losing: AtomicBool::new(false) };
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let traced = tracing_opentelemetry::layer().with_tracer(provider.tracer("issei")).with_location(false).with_threads(false);
        // Spans hold ids and counts; a log line could hold anything.
        let traced = traced.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("issei")));
        let _ = PROVIDER.set(provider);
        Ok(Some(traced))
    }

    /// Sends what has not been sent yet: before the process ends, or is frozen. A collector that does not
    /// answer is waited for no longer than this.
    pub async fn flush(at_most: Duration) {
        let Some(provider) = PROVIDER.get() else { return };
        match tokio::time::timeout(at_most, tokio::task::spawn_blocking(|| provider.force_flush())).await {
            // Whether the collector took them was told when it was asked.
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "spans are lost"),
            Err(_) => tracing::warn!("spans come late or are lost: the collector does not answer"),
        }
    }

    fn current() -> Option<TraceParent> {
        let context = Span::current().context();
        let span = context.span();
        let span = span.span_context();
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
        span.is_valid().then(|| TraceParent::try_from(format!("00-{trace}-{id}-{flags:02x}")).ok()).flatten()
    }

    fn follow(span: &Span, parent: &TraceParent) {
        let text = parent.to_string();
        let parts: Vec<&str> = text.split('-').collect();
        let [_, trace, id, flags] = parts.as_slice() else { return };
        let (Ok(trace), Ok(id), Ok(flags)) = (TraceId::from_hex(trace), SpanId::from_hex(id), u8::from_str_radix(flags, 16)) else {
            return;
        };
        let remote = SpanContext::new(trace, id, TraceFlags::new(flags), true, TraceState::default());
        // A span that is not recorded has no parent either.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}

#[cfg_attr(feature = "otel", allow(dead_code, unreachable_pub, clippy::unused_async, reason = "the other one is used"))]
mod without {
    use std::time::Duration;

    use anyhow::bail;
    use issei_schema::Traces;
    use tracing_subscriber::layer::Identity;

    pub(crate) const HOOKS: Traces = Traces::NONE;

    pub(crate) fn layer(endpoint: &str) -> anyhow::Result<Option<Identity>> {
        if !endpoint.is_empty() {
            bail!("otlp_endpoint is {endpoint}, and this build has no OpenTelemetry; build it with --features otel");
        }
        Ok(None)
    }

    /// Nothing is kept, so nothing is sent.
    pub async fn flush(_: Duration) {}
}
