use std::{convert::Infallible, io, num::NonZero, thread};

use hyper::{
    Request, Response,
    body::{Body, Incoming},
    service::Service,
};
use tokio::{net::TcpListener, runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::http::{HttpLimits, http};
use crate::drain::Drain;

/// Serves HTTP as [`http()`] does, on a thread for each core with a runtime of its own: nothing of a request crosses
/// threads, which makes small answers about half as expensive. `service` is called once in each of them.
///
/// # Errors
/// If threads or runtimes cannot be started.
pub async fn http_on_threads<S, B>(
    listener: TcpListener,
    service: impl Fn() -> S + Clone + Send + 'static,
    limits: HttpLimits,
    drain: Drain,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<tower::BoxError>> + Send + 'static,
{
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let limits = HttpLimits { connections: limits.connections.div_ceil(threads), ..limits };
    // They all wait at one listener: a busy thread leaves new connections to the others.
    let listener = listener.into_std()?;
    let dropped = CancellationToken::new();
    let _guard = dropped.clone().drop_guard();
    let mut running = Vec::new();
    for _ in 0..threads {
        let (ended, end) = oneshot::channel::<io::Result<()>>();
        let listener = listener.try_clone()?;
        let (service, drain, dropped) = (service.clone(), drain.clone(), dropped.clone());
        // The runtime is made there, because it must not be dropped here where a later step fails.
        let work = move || -> io::Result<()> {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(dropped.run_until_cancelled(async {
                    let listener = TcpListener::from_std(listener)?;
                    http(listener, service(), limits, drain).await;
                    Ok(())
                }))
                .unwrap_or(Ok(()))
        };
        thread::Builder::new().name("http".to_owned()).spawn(move || {
            // Nobody is left to hear of it.
            let _ = ended.send(work());
        })?;
        running.push(end);
    }
    drop(listener);
    for end in running {
        // A thread that panicked has said so.
        end.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}
