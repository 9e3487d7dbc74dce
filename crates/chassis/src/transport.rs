//! One client type, whether the peer is across the network or in this process.
use std::{
    iter,
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response, Uri, uri::Scheme};
use tokio::runtime::Handle;
use tonic::{Code, Status, TimeoutExpired, body::Body, service::Routes, transport::Endpoint};
use tower::{BoxError, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::{rpc, telemetry};

/// What generated clients are made from: `XClient::new(transport)`.
///
/// A deadline set on a request (`Request::set_timeout`) holds in both kinds and answers
/// `DEADLINE_EXCEEDED`; for a stream it covers the time until the stream begins.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, CallError>;

/// Why a call got no answer. `tonic` makes a `Status` of it, usually `UNAVAILABLE`.
///
/// A type of its own because futures that hold a `Box<dyn Error>` behind a generic client are not
/// seen to be `Send`, and so could not be spawned.
#[derive(Debug, thiserror::Error)]
#[error("the peer gave no answer")]
pub struct CallError(#[source] BoxError);

/// Why a peer's address is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URI.
    #[error("{uri} is not a URI such as http://attendee-registry:50052")]
    Uri {
        /// What was given.
        uri: String,
    },
    /// Not `http` with a port: TLS between services belongs to what runs them.
    #[error("{uri}: services talk plain http to each other, such as http://127.0.0.1:50052")]
    Scheme {
        /// What was given.
        uri: String,
    },
}

/// Bytes of one call that may be on their way unread. HTTP/2's own 64 KiB would halt a run of clicks a dozen times.
pub(crate) const WINDOW: u32 = 1 << 20;

/// A peer across the network: connects at the first call, and again whenever it has to. Passes
/// the trace context on. Call it inside the runtime.
///
/// # Errors
/// Anything but `http://host:port`.
pub fn remote(uri: &str) -> Result<Transport, Error> {
    let parsed: Uri = uri.parse().map_err(|_| Error::Uri { uri: uri.to_owned() })?;
    if parsed.scheme() != Some(&Scheme::HTTP) || parsed.port_u16().is_none() {
        return Err(Error::Scheme { uri: uri.to_owned() });
    }
    let channel = Endpoint::from(parsed)
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        // Without pings, a peer that vanished is noticed only when the system gives up resending.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    Ok(BoxCloneSyncService::new(service_fn(move |mut request: Request<Body>| {
        if telemetry::traced() {
            rpc::inject(request.headers_mut());
        }
        within(deadline(request.headers()), channel.clone().oneshot(request))
    })))
}

/// A peer in this process, with the span, measurement and panic catching of a served one.
#[must_use]
pub fn local(routes: Routes) -> Transport {
    let service = rpc::observe(routes);
    BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        within(deadline(request.headers()), service.clone().oneshot(request))
    }))
}

/// The same, answered on the runtime where this is called, whoever calls. For what belongs to a runtime: a connection
/// to a database that a visitor's thread has opened would stand still whenever that thread is busy, and end with it.
#[must_use]
pub fn local_at_home(routes: Routes) -> Transport {
    let service = rpc::observe(routes);
    let home = Handle::current();
    BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        let deadline = deadline(request.headers());
        let call = service.clone().oneshot(request);
        let home = home.clone();
        async move {
            if Handle::current().id() == home.id() {
                return within(deadline, call).await;
            }
            home.spawn(within(deadline, call))
                .await
                .unwrap_or_else(|lost| Err(CallError(lost.into())))
        }
    }))
}

async fn within<E: Into<BoxError>>(
    deadline: Option<Duration>,
    call: impl Future<Output = Result<Response<Body>, E>>,
) -> Result<Response<Body>, CallError> {
    let Some(deadline) = deadline else {
        return call.await.map_err(|error| CallError(error.into()));
    };
    let begin = Instant::now();
    let answer = match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer.map_err(|error| CallError(error.into())),
        Err(_) => return Ok(too_late()),
    };
    // The channel and the server keep the deadline too, and say CANCELLED when they are faster.
    let cancelled = match &answer {
        Err(error) => is_timeout(error),
        Ok(answer) => {
            begin.elapsed() >= deadline
                && Status::from_header_map(answer.headers())
                    .is_some_and(|status| status.code() == Code::Cancelled)
        }
    };
    if cancelled { Ok(too_late()) } else { answer }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source())
        .any(<dyn std::error::Error>::is::<TimeoutExpired>)
}

fn too_late() -> Response<Body> {
    Status::deadline_exceeded("the deadline passed before the answer").into_http()
}

fn deadline(headers: &HeaderMap) -> Option<Duration> {
    timeout(headers.get("grpc-timeout")?.to_str().ok()?)
}

/// Reads the value of `grpc-timeout`: at most eight digits and a unit.
#[must_use]
pub fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_grpc_writes_them() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("150m", Some(Duration::from_millis(150))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("0u", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("-1S", None),
            ("5", None),
            ("5ü", None),
            ("", None),
        ] {
            assert_eq!(timeout(text), expected, "{text}");
        }
    }
}
