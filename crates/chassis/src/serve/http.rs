use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http1,
    service::Service,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::drain::Drain;

/// What one HTTP listener puts up with. Time and size limits of bodies are the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long a connection may take to send a request's head, waiting for it included: an
    /// idle kept-alive connection is closed after this time too. Default 10 s.
    pub header_read_timeout: Duration,
    /// How many connections are open at once; others wait in the system's queue. Default 10,000.
    pub connections: usize,
    /// How large a request's head may be and how much is read ahead, in bytes; at least 8,192.
    /// Default 16 KiB.
    pub buffer: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            connections: 10_000,
            buffer: 16 * 1024,
        }
    }
}

/// Serves HTTP/1.1 until `drain` starts, and returns when requests in flight have their answer.
/// Puts no bound on that: the caller does, by dropping it.
pub async fn http<S, B>(listener: TcpListener, service: S, limits: HttpLimits, drain: Drain)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<tower::BoxError>> + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        // Otherwise it reads once more while a request is being answered, in case the peer has gone.
        .half_close(true)
        // Answers are small: one buffer costs less than a list of them.
        .writev(false)
        .max_header_size(limits.buffer)
        .max_buf_size(limits.buffer.max(8192));
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut started = pin!(drain.started());
    loop {
        let slot = tokio::select! {
            biased;
            () = &mut started => break,
            slot = slots.clone().acquire_owned() => slot,
        };
        let stream = tokio::select! {
            biased;
            () = &mut started => break,
            stream = accept(&listener) => stream,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended badly");
            }
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves an axum router as [`http()`] does.
pub async fn router(listener: TcpListener, router: axum::Router, limits: HttpLimits, drain: Drain) {
    http(listener, TowerToHyperService::new(router), limits, drain).await;
}

/// The next connection, however long the system refuses to give one.
pub(super) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        let error = match listener.accept().await {
            Ok((stream, _)) => {
                // Best effort: without it, answers are only later.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => error,
        };
        if is_of_the_connection(&error) {
            continue;
        }
        // Mostly too many open files: exiting would drop everybody, spinning would help nobody.
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
