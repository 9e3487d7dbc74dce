use std::{
    collections::hash_map::RandomState, future::pending, hash::BuildHasher as _, io, time::Duration,
};

use anyhow::Context as _;
use futures::{Stream, stream::unfold};
use tokio::net::{TcpListener, TcpStream};
use tonic::{service::Routes, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::layer::layer_fn;

use super::http::accept;
use crate::{
    drain::{Drain, Ready},
    rpc,
    transport::WINDOW,
};

/// Serves gRPC until `drain` starts, and returns when calls in flight have their answer. Puts no
/// bound on that: the caller does, by dropping it; streams without an end must end by themselves
/// when `drain` starts. Adds `grpc.health.v1` (the server as a whole, the empty name: serving
/// while `ready` and no drain is announced) and reflection.
///
/// # Errors
/// Descriptors that reflection cannot read.
pub async fn grpc(
    listener: TcpListener,
    routes: Routes,
    ready: Ready,
    drain: Drain,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tagalong_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let reflection_v1 = reflection().build_v1().context("reflection")?;
    // Python's stock client knows no other.
    let reflection_v1alpha = reflection().build_v1alpha().context("reflection")?;
    // It begins as serving.
    health.set_service_status("", ServingStatus::NotServing).await;

    // The end of the connections is the signal: given one of its own, tonic would keep the
    // listener open, and let new connections wait for nothing, until the last call has ended.
    let server = Server::builder()
        .layer(layer_fn(rpc::observe))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .max_connection_age(connection_age())
        .add_routes(routes)
        .add_service(health_service)
        .add_service(reflection_v1)
        .add_service(reflection_v1alpha)
        .serve_with_incoming_shutdown(connections(listener, drain.clone()), pending());
    tokio::select! {
        ended = server => Ok(ended?),
        () = report(&health, &ready, &drain) => Ok(()),
    }
}

/// Connections until `drain` starts. Not tonic's own: that spins when no file is left to open.
fn connections(
    listener: TcpListener,
    drain: Drain,
) -> impl Stream<Item = io::Result<TcpStream>> + Send {
    unfold((listener, drain), |(listener, drain)| async move {
        let stream = tokio::select! {
            biased;
            () = drain.started() => return None,
            stream = accept(&listener) => stream,
        };
        Some((Ok(stream), (listener, drain)))
    })
}

/// Keeps health up to date; never ends.
async fn report(health: &HealthReporter, ready: &Ready, drain: &Drain) {
    let mut changes = ready.changes();
    loop {
        let serving = ready.missing().is_empty() && !drain.is_announced();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status("", status).await;
        if drain.is_announced() {
            return pending().await;
        }
        tokio::select! {
            () = drain.announced() => {}
            // Cannot fail: `ready` holds the sender.
            _ = changes.changed() => {}
        }
    }
}

/// Clients connect anew now and then, and so find new replicas: after ten to twelve minutes, each
/// process at its own pace, so that not all of them come at once. Streams are left alone.
fn connection_age() -> Duration {
    let random = RandomState::new().hash_one(std::process::id()) % 120;
    Duration::from_secs(600 + random)
}
