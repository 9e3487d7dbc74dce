//! Callers over gRPC.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::{sync::oneshot, task::JoinSet};
use tonic::transport::{Channel, Endpoint};

use crate::harness::Round;

/// One connection, made when it is first used.
pub(crate) fn connection(url: &str) -> anyhow::Result<Channel> {
    Ok(Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true).connect_lazy())
}

/// So many callers, each with one call after the other until `length` is over; calls a second, and how long
/// they took. `call` is told which caller calls.
pub(crate) async fn callers<F>(
    callers: usize,
    length: Duration,
    call: impl Fn(usize) -> F + Send + Sync + 'static,
) -> anyhow::Result<Round>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let call = Arc::new(call);
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let call = call.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while begin.elapsed() < length {
                let called = Instant::now();
                call(caller).await?;
                took.push(called.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took: Vec<Duration> = Vec::new();
    while let Some(caller) = tasks.join_next().await {
        took.extend(caller??);
    }
    let round = Round::rate(took.len() as u64, begin.elapsed());
    took.sort_unstable();
    let percentile = |percent: usize| {
        let at = took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)));
        at.map(|took| took.as_secs_f64() * 1e6)
    };
    Ok(Round { p50: percentile(50), p99: percentile(99), ..round })
}

/// Does it on the core of who asks, in a runtime of one thread.
pub(crate) async fn on_load_core<T: Send + 'static, F: Future<Output = anyhow::Result<T>>>(
    work: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let done = || {
            let mut cores = CpuSet::new();
            cores.set(1);
            sched_setaffinity(None, &cores)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
        };
        // Nobody waits any more: the bench was interrupted.
        let _ = sender.send(done());
    });
    receiver.await.context("a caller panicked")?
}
