//! Logs on stderr, metrics for Prometheus, and OTLP traces and metrics where an endpoint is set.
use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, bail};
use opentelemetry::{KeyValue, global, trace::TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    metrics::{Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tracing_subscriber::{
    EnvFilter, Layer as _, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How a process logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What to log, in the language of `RUST_LOG`, which wins if it is set.
    #[serde(deserialize_with = "filter")]
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For reading.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info,hyper=warn,h2=warn,tower=warn,tonic=warn,sqlx=warn,sea_orm_migration=warn,opentelemetry=warn"
                .to_owned(),
            format: LogFormat::Auto,
        }
    }
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let filter = String::deserialize(deserializer)?;
    match EnvFilter::try_new(&filter) {
        Ok(_) => Ok(filter),
        Err(error) => Err(D::Error::custom(format!("{filter:?} is no log filter: {error}"))),
    }
}

/// The exporter calls over hyper, h2, tower and tonic: unfiltered, it would trace itself.
const EXPORTED: &str = "info,hyper=off,h2=off,tower=off,tonic=off,opentelemetry=off";

/// Upper bounds in seconds for every histogram whose unit is `s`; the SDK's own suit milliseconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How long flushing may take when a process ends.
const FLUSH: Duration = Duration::from_secs(3);

static INITIALISED: AtomicBool = AtomicBool::new(false);
static TRACED: AtomicBool = AtomicBool::new(false);

/// Whether traces are exported. Where they are not, nobody makes spans: one costs as much as a redirect.
#[must_use]
pub fn traced() -> bool {
    TRACED.load(Ordering::Relaxed)
}

/// What has to be flushed when a process ends.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
    registry: prometheus::Registry,
}

/// Sets up logging, tracing, metrics, trace context propagation and the logging of panics for
/// this process, once; call it inside the runtime. Exporting follows the standard `OTEL_*`
/// variables and is off unless an OTLP endpoint is set (gRPC without TLS).
///
/// # Errors
/// A second call, a bad filter, a bad exporter setting.
pub fn init(service: &'static str, log: &LogConfig) -> anyhow::Result<Telemetry> {
    let filter = match env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter).context("RUST_LOG")?,
        _ => EnvFilter::try_new(&log.filter).context("log.filter")?,
    };
    if INITIALISED.swap(true, Ordering::SeqCst) {
        bail!("telemetry is already set up in this process");
    }
    let resource = resource(service);
    let registry = prometheus::Registry::new();
    let meter = meter(&registry, resource.clone())?;
    let tracer = tracer(resource)?;
    TRACED.store(tracer.is_some(), Ordering::Relaxed);

    let json = match log.format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    } else {
        lines.boxed()
    };
    let spans = tracer.as_ref().map(|tracer| {
        tracing_opentelemetry::layer()
            .with_tracer(tracer.tracer(service))
            .with_filter(EnvFilter::new(EXPORTED))
    });
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init()?;
    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_meter_provider(meter.clone());
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(message = panic.payload_as_str().unwrap_or("panic"), place, panic = true);
    }));
    Ok(Telemetry { tracer, meter, registry })
}

fn resource(service: &'static str) -> Resource {
    // `with_service_name` would override the standard variable.
    let name = env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| service.to_owned());
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

fn meter(registry: &prometheus::Registry, resource: Resource) -> anyhow::Result<SdkMeterProvider> {
    let scrape = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let mut meter =
        SdkMeterProvider::builder().with_resource(resource).with_view(seconds).with_reader(scrape);
    if exports("METRICS") {
        let exporter = MetricExporter::builder().with_tonic().build().context("OTLP metrics")?;
        meter = meter.with_periodic_exporter(exporter);
    }
    Ok(meter.build())
}

fn seconds(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram || instrument.unit() != "s" {
        return None;
    }
    let buckets = Aggregation::ExplicitBucketHistogram {
        boundaries: SECONDS.to_vec(),
        record_min_max: false,
    };
    Stream::builder().with_aggregation(buckets).build().ok()
}

fn tracer(resource: Resource) -> anyhow::Result<Option<SdkTracerProvider>> {
    if !exports("TRACES") {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().build().context("OTLP traces")?;
    let tracer =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    Ok(Some(tracer))
}

/// The SDK reads neither `OTEL_SDK_DISABLED` nor `OTEL_*_EXPORTER`, and without an endpoint it
/// exports to localhost.
fn exports(signal: &str) -> bool {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|value| value == "none");
    let endpoint = set("OTEL_EXPORTER_OTLP_ENDPOINT")
        .or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")));
    !disabled && endpoint.is_some()
}

impl Telemetry {
    /// The registry `/metrics` shows; everything measured through OpenTelemetry is in it.
    #[must_use]
    pub fn registry(&self) -> prometheus::Registry {
        self.registry.clone()
    }

    /// Sends what is buffered, for at most three seconds.
    pub async fn shutdown(self) {
        // Blocks, and joins threads that need the runtime to be alive.
        let flush = tokio::task::spawn_blocking(move || {
            let traces = self.tracer.map_or(Ok(()), |tracer| tracer.shutdown());
            let metrics = self.meter.shutdown();
            for error in [traces.err(), metrics.err()].into_iter().flatten() {
                tracing::warn!(%error, "telemetry may be incomplete");
            }
        });
        if tokio::time::timeout(FLUSH, flush).await.is_err() {
            tracing::warn!("telemetry could not be sent in time");
        }
    }
}
