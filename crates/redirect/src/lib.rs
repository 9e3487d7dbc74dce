//! The redirect: answers affiliate and purchase links from memory, and records each click on local disk before it
//! answers.
//!
//! * `link`, `query`: what a link asks for
//! * `visit`: where it leads, and what is recorded of it; `class`, `cookie`
//! * `http`, `grpc`: how that is asked for and answered
//! * `catalogue`, `watch`: what is known of products, kept fresh and saved
//! * `click_log`, `shipping`: clicks, on disk and on their way to the registry

mod backoff;
mod catalogue;
mod class;
mod click_log;
mod config;
mod cookie;
mod error;
mod grpc;
mod http;
mod link;
mod query;
mod shipping;
#[cfg(test)]
mod testing;
mod visit;
mod watch;

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue, global,
    metrics::{ObservableCounter, ObservableGauge},
};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    drain::{Drain, Ready},
    keys::TokenKeys,
    process::{Process, announce},
    serve,
    transport::{self, Transport},
};
use tagalong_proto::v1::{ClickClass, redirect_service_server::RedirectServiceServer};
use tonic::service::Routes;

pub use config::{ClickDurability, Config, Settings};
pub use error::Error;
pub use http::Http;

use crate::{class::Classes, click_log::ClickLog, watch::Live};

/// Whom the redirect asks.
#[derive(Debug, Clone)]
pub struct Peers {
    /// The attendee registry: `CatalogueService`, `ClickService` and `AttendeeService`.
    pub registry: Transport,
    /// Link rendering: `LinkRenderingService`.
    pub link_rendering: Transport,
}

/// The redirect. Cheap to clone; its data directory is locked until the last clone is gone.
#[derive(Debug, Clone)]
pub struct Service {
    edge: Arc<Edge>,
    click_retention: Duration,
}

/// What every answer needs.
#[derive(Debug)]
pub(crate) struct Edge {
    live: Live,
    log: ClickLog,
    registry: Transport,
    link_rendering: Transport,
    tokens: KeyRing,
    clock: Clock,
    classes: Classes,
    decision_deadline: Duration,
    cookie: cookie::Setting,
    metrics: Metrics,
    _lock: File,
}

impl Service {
    /// Opens the data directory, making it where there is none. Adds the gate `catalogue` to `ready`. A click log that
    /// cannot be opened is no error: visitors are served.
    ///
    /// # Errors
    /// A setting that cannot be, or a data directory that cannot be used or is used by another process.
    pub fn open(
        config: &Config,
        peers: Peers,
        tokens: KeyRing,
        clock: Clock,
        ready: &Ready,
    ) -> Result<Self, Error> {
        config.check()?;
        let lock = lock(&config.data)?;
        let log =
            ClickLog::open(config.data.join("clicks.sqlite"), clock.clone(), config.click_limits())
                .map_err(Error::Thread)?;
        let edge = Edge {
            live: Live::open(config.data.join("catalogue.bin"), ready.gate("catalogue")),
            metrics: Metrics::new(&log),
            log,
            registry: peers.registry,
            link_rendering: peers.link_rendering,
            tokens,
            clock,
            classes: Classes::new(),
            decision_deadline: config.decision_deadline(),
            cookie: cookie::Setting::new(config.cookie_max_age(), config.cookie_secure),
            _lock: lock,
        };
        Ok(Self { edge: Arc::new(edge), click_retention: config.click_retention() })
    }

    /// What visitors talk to; for [`serve::http_on_threads`]. Call it inside the runtime that serves it.
    #[must_use]
    pub fn http(&self) -> Http {
        Http { edge: self.edge.clone(), log: self.edge.log.here() }
    }

    /// `RedirectService`.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.add_to(Routes::default())
    }

    /// The same beside the services of others.
    #[must_use]
    pub fn add_to(&self, routes: Routes) -> Routes {
        routes.add_service(RedirectServiceServer::new(grpc::Grpc(self.edge.clone())))
    }

    /// Follows the catalogue and ships clicks until `drain` starts. What is not shipped then is after the next start.
    pub async fn run(&self, drain: &Drain) {
        let Edge { live, log, clock, registry, .. } = &*self.edge;
        tokio::select! {
            () = live.follow(registry.clone()) => {}
            () = live.save() => {}
            () = shipping::ship(log, registry.clone(), clock, self.click_retention) => {}
            () = drain.started() => {}
        }
        live.save_now().await;
    }

    /// Waits for the disk, once nobody answers visitors any more.
    pub async fn close(&self) {
        let log = &self.edge.log;
        if tokio::time::timeout(Duration::from_secs(2), log.with(|_| Ok(()))).await.is_err() {
            tracing::warn!("the click log is not done yet");
        }
    }

    /// How many clicks were answered but not recorded since the start.
    #[must_use]
    pub fn dropped_clicks(&self) -> u64 {
        self.edge.log.dropped()
    }

    /// How many clicks the registry does not have yet, as far as is known.
    #[must_use]
    pub fn unshipped_clicks(&self) -> u64 {
        self.edge.log.backlog()
    }
}

/// Two processes on one click log would each believe to know its end.
fn lock(data: &Path) -> Result<File, Error> {
    let unusable = |source| Error::Data { path: data.to_owned(), source };
    fs::create_dir_all(data).map_err(unusable)?;
    let path = data.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    // On a disk that has become read-only the click log is sick, and visitors are served all the same.
    let file = file.or_else(|error| File::open(&path).map_err(|_| error)).map_err(unusable)?;
    file.try_lock().map_err(|error| Error::data(data, error))?;
    Ok(file)
}

/// Clicks by class. Plain numbers, read when somebody looks: a labelled counter would cost more than the rest of a click.
#[derive(Debug)]
struct Metrics {
    clicks: Arc<[AtomicU64; CLASSES.len()]>,
    _counter: ObservableCounter<u64>,
    _backlog: ObservableGauge<u64>,
}

const CLASSES: [(ClickClass, &str); 6] = [
    (ClickClass::Unspecified, "unspecified"),
    (ClickClass::Human, "human"),
    (ClickClass::Bot, "bot"),
    (ClickClass::Prefetch, "prefetch"),
    (ClickClass::Preview, "preview"),
    (ClickClass::Head, "head"),
];

impl Metrics {
    fn new(log: &ClickLog) -> Self {
        let meter = global::meter("tagalong");
        let clicks: Arc<[AtomicU64; CLASSES.len()]> = Arc::default();
        let counter = meter
            .u64_observable_counter("tagalong.clicks")
            .with_description("Answered links, by who or what seems to have visited")
            .with_callback({
                let clicks = clicks.clone();
                move |counter| {
                    for ((_, class), clicks) in CLASSES.iter().zip(&*clicks) {
                        let clicks = clicks.load(Ordering::Relaxed);
                        counter.observe(clicks, &[KeyValue::new("class", *class)]);
                    }
                }
            })
            .build();
        let backlog = log.backlog_reader();
        let backlog = meter
            .u64_observable_gauge("tagalong.clicks.backlog")
            .with_description("Recorded clicks that the registry does not have yet")
            .with_callback(move |gauge| gauge.observe(backlog(), &[]))
            .build();
        Self { clicks, _counter: counter, _backlog: backlog }
    }

    fn count(&self, class: ClickClass) {
        let classes = CLASSES.iter().zip(&*self.clicks);
        for (_, clicks) in classes.filter(|((other, _), _)| *other == class) {
            clicks.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The redirect as a process of its own: peers across the network, listeners of its own.
///
/// # Errors
/// Settings, keys, data directory or addresses that cannot be used.
pub async fn serve(process: Process<Settings>) -> anyhow::Result<()> {
    let Process { config: Settings { redirect: config, .. }, drain, ready, clock, metrics } =
        process;
    let peers = Peers {
        registry: transport::remote(&config.registry)?,
        link_rendering: transport::remote(&config.link_rendering)?,
    };
    let tokens = TokenKeys::load(&config.token_keys)?.ring()?;
    let service = Service::open(&config, peers, tokens, clock, &ready)?;

    let http = serve::listen(&config.http).await?;
    let grpc = serve::listen(&config.grpc).await?;
    let admin = serve::listen(&config.admin).await?;
    announce("redirect", "http", http.local_addr()?);
    announce("redirect", "grpc", grpc.local_addr()?);
    announce("redirect", "admin", admin.local_addr()?);
    let visitors = {
        let service = service.clone();
        move || service.http()
    };
    let limits = serve::HttpLimits::default();
    let (http, grpc, (), ()) = tokio::join!(
        drain.start_after(serve::http_on_threads(http, visitors, limits, drain.clone())),
        drain.start_after(serve::grpc(grpc, service.routes(), ready.clone(), drain.clone())),
        serve::admin(admin, ready.clone(), metrics, drain.clone()),
        service.run(&drain),
    );
    service.close().await;
    http?;
    grpc
}
