//! What surrounds every gRPC call, whether it came over the network or from this process: a span
//! under the caller's, a measurement, and `INTERNAL` instead of a panic.
use std::{
    any::Any,
    collections::HashSet,
    convert::Infallible,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response};
use opentelemetry::{KeyValue, global, metrics::Histogram, trace::TraceContextExt as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use prost::Message as _;
use tonic::{Code, Status, body::Body, service::Routes};
use tower::{Layer as _, Service};
use tower_http::{catch_panic::CatchPanicLayer, classify::GrpcFailureClass, trace::TraceLayer};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::telemetry::traced;

/// Wraps routes in span, measurement and panic catching.
pub(crate) fn observe(
    routes: Routes,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let caught = CatchPanicLayer::custom(panicked).layer(routes.prepare());
    let traced = TraceLayer::new_for_grpc()
        .make_span_with(
            |request: &Request<Body>| {
                if traced() { server_span(request) } else { Span::none() }
            },
        )
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(failed)
        .layer(caught);
    Measured(traced)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    // The panic hook has logged it.
    Status::internal("internal error").into_http()
}

/// The span of one inbound call. Probes and reflection get none: they would be most of all spans.
fn server_span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    if path.starts_with("/grpc.") {
        return Span::none();
    }
    let span = tracing::info_span!(
        "rpc",
        otel.kind = "server",
        otel.name = path.trim_start_matches('/'),
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.response.status_code = Empty,
        trace_id = Empty,
    );
    let caller = global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(request.headers()))
    });
    if caller.span().span_context().is_valid() {
        // Must come before the span is first entered. Fails only where nothing is traced.
        let _ = span.set_parent(caller);
    }
    let context = span.context();
    let trace = context.span().span_context().trace_id();
    if trace != opentelemetry::TraceId::INVALID {
        span.record("trace_id", tracing::field::display(trace));
    }
    span
}

fn failed(class: GrpcFailureClass, _: Duration, span: &Span) {
    let code = match class {
        GrpcFailureClass::Status(status) => Code::from_i32(status.code_raw()),
        _ => Code::Unknown,
    };
    span.record("rpc.response.status_code", name(code));
    if is_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether the server is to blame, by OpenTelemetry's conventions for gRPC servers.
fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// As the specification writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Puts the current span's context into an outbound call.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderInjector(headers));
    });
}

/// Records `rpc.server.call.duration`: until the answer, or until the stream of answers begins.
#[derive(Clone)]
struct Measured<S>(S);

impl<S, B> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: http_body::Body<Data = bytes::Bytes, Error: Into<tower::BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = METHODS.get(request.uri().path()).map(String::as_str);
        let begin = Instant::now();
        let call = self.0.call(request);
        Box::pin(async move {
            let response = call.await?;
            if let Some(method) = method {
                record(method, begin.elapsed(), response.headers());
            }
            Ok(response.map(Body::new))
        })
    }
}

fn record(method: &'static str, duration: Duration, headers: &HeaderMap) {
    static CALLS: LazyLock<Histogram<f64>> = LazyLock::new(|| {
        global::meter("tagalong")
            .f64_histogram("rpc.server.call.duration")
            .with_unit("s")
            .with_description("How long gRPC calls took to answer")
            .build()
    });
    // A refusal has its status in the headers; a success has it in the trailers.
    let code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    CALLS.record(
        duration.as_secs_f64(),
        &[
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method.trim_start_matches('/')),
            KeyValue::new("rpc.response.status_code", name(code)),
        ],
    );
}

/// The paths that may become a label; callers could make up any number of others.
static METHODS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let set = prost_types::FileDescriptorSet::decode(tagalong_proto::DESCRIPTORS);
    let mut methods = HashSet::new();
    for file in set.unwrap_or_default().file {
        for service in &file.service {
            for method in &service.method {
                methods.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    methods
});

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn only_methods_of_ours_are_measured() {
        assert!(METHODS.contains("/tagalong.v1.RedirectService/Resolve"));
        assert!(METHODS.iter().all(|method| method.starts_with("/tagalong.v1.")));
    }

    #[test]
    fn a_call_continues_the_trace_of_its_caller() {
        let tracer = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(tracer.tracer("test"));
        global::set_text_map_propagator(TraceContextPropagator::new());
        let trace = |span: &Span| span.context().span().span_context().trace_id();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let caller = tracing::info_span!("caller");
            let mut request = Request::new(());
            caller.in_scope(|| inject(request.headers_mut()));
            let server = server_span(&request);
            assert_eq!(trace(&server), trace(&caller));
            assert_ne!(trace(&server), opentelemetry::TraceId::INVALID);

            *request.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
            assert!(server_span(&request).is_none(), "probes make no spans");
        });
    }
}
