//! `EventService`, and how streams learn that there is something new.

use std::{pin::Pin, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::Stream;
use prost::Message as _;
use tagalong_proto::v1::{self, event_service_server::EventService};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Registry, funnel, refuse};
use crate::{
    error::{Error, Result},
    store::{counts, feed},
};

/// How many events are read at once.
const BATCH: u64 = 256;

/// How long a follower waits before it looks for what other processes committed.
const OTHERS: Duration = Duration::from_millis(500);

/// How long a follower that wants to know hears nothing at most.
const HEARTBEAT: Duration = Duration::from_secs(1);

type Sender = mpsc::Sender<Result<v1::WatchResponse, Status>>;

#[tonic::async_trait]
impl EventService for Registry {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let message = request.into_inner();
        let started = async {
            if message.only_new && !message.cursor.is_empty() {
                return Err(Error::invalid("cursor", "must be empty where only_new is set"));
            }
            let newest = feed::newest(self.store.read()).await?;
            if message.only_new { Ok(newest) } else { read_cursor(&message.cursor, newest) }
        };
        let after = started.await.map_err(refuse)?;
        let (sender, receiver) = mpsc::channel(64);
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = follow(&registry, after, &message, &sender).await {
                let _ = sender.send(Err(refuse(error))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_funnel(
        &self,
        request: Request<v1::GetFunnelRequest>,
    ) -> Result<Response<v1::GetFunnelResponse>, Status> {
        let counted = async {
            let (filter, grouping) = funnel::read(request.get_ref())?;
            let sums = counts::sums(self.store.read(), &filter, &grouping).await?;
            Ok(v1::GetFunnelResponse { rows: funnel::rows(sums, &grouping) })
        };
        counted.await.map(Response::new).map_err(refuse)
    }
}

/// Sends what happens until the caller goes away or the process drains.
async fn follow(
    registry: &Registry,
    mut after: i64,
    wanted: &v1::WatchRequest,
    sender: &Sender,
) -> Result<()> {
    let mut commits = registry.store.commits();
    let start = v1::WatchResponse { event: None, cursor: cursor(after) };
    if sender.send(Ok(start)).await.is_err() {
        return Ok(());
    }
    let mut sent = Instant::now();
    loop {
        commits.mark_unchanged();
        let rows = feed::after(registry.store.read(), after, BATCH).await?;
        if wanted.heartbeat && rows.is_empty() && sent.elapsed() >= HEARTBEAT {
            let alive = v1::WatchResponse { event: None, cursor: cursor(after) };
            if sender.send(Ok(alive)).await.is_err() {
                return Ok(());
            }
            sent = Instant::now();
        }
        if rows.is_empty() {
            if !registry.something_new(&mut commits, sender.closed()).await {
                return Ok(());
            }
            continue;
        }
        for row in rows {
            after = row.sequence;
            if row.test && !wanted.include_test {
                continue;
            }
            let event = v1::Event::decode(row.body.as_slice()).map_err(Error::internal)?;
            let message = v1::WatchResponse { event: Some(event), cursor: cursor(after) };
            if sender.send(Ok(message)).await.is_err() {
                return Ok(());
            }
            sent = Instant::now();
        }
    }
}

impl Registry {
    /// Waits until there may be something new; whether to go on.
    pub(super) async fn something_new(
        &self,
        commits: &mut watch::Receiver<u64>,
        gone: impl Future<Output = ()>,
    ) -> bool {
        tokio::select! {
            () = gone => false,
            () = self.drain.started() => false,
            changed = commits.changed() => changed.is_ok(),
            () = tokio::time::sleep(OTHERS) => true,
        }
    }
}

const PREFIX: &str = "event:";

fn cursor(sequence: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{PREFIX}{sequence}"))
}

fn read_cursor(cursor: &str, newest: i64) -> Result<i64> {
    if cursor.is_empty() {
        return Ok(0);
    }
    URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(PREFIX)?.parse().ok())
        .filter(|sequence| (0..=newest).contains(sequence))
        .ok_or_else(|| Error::invalid("cursor", "was not given out by this feed"))
}
