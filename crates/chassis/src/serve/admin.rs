use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;

use super::http::{HttpLimits, router};
use crate::drain::{Drain, Ready};

/// Serves `/livez` (200), `/readyz` (200, or 503 with what is not ready, one per line) and
/// `/metrics` (Prometheus text), until `drain` starts. Keep it off the public network.
pub async fn admin(listener: TcpListener, ready: Ready, metrics: Registry, drain: Drain) {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state((ready, drain.clone())))
        .route("/metrics", get(scrape).with_state(metrics));
    let limits = HttpLimits { connections: 100, ..HttpLimits::default() };
    router(listener, routes, limits, drain).await;
}

async fn readyz(State((ready, drain)): State<(Ready, Drain)>) -> Response {
    let mut missing = ready.missing();
    if drain.is_announced() {
        missing.insert(0, "draining");
    }
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n").into_response()
}

async fn scrape(State(metrics): State<Registry>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&metrics.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot show metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
