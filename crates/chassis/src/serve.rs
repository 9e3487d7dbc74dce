//! Listeners: HTTP for the public, gRPC, and the admin port.
use anyhow::Context as _;
use tokio::net::TcpListener;

mod admin;
mod grpc;
mod http;
mod threads;

pub use admin::admin;
pub use grpc::grpc;
pub use http::{HttpLimits, http, router};
pub use threads::http_on_threads;

/// Binds `host:port`; port 0 takes any free one.
///
/// # Errors
/// Whatever keeps the address from being bound, naming the address.
pub async fn listen(addr: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))
}

#[cfg(test)]
mod tests;
