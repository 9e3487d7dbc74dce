//! The registry: the only owner of data.
//!
//! * `grpc`, `http`: messages in and out
//! * `inbox`: what tools and checkouts post
//! * `form`: what registration forms post
//! * [`email`], [`keys`]: personal data
//! * `catalogue`, `source`, `attendee`, `click`, `sale`: what is reported, read and checked
//! * `deciding`: whose an item is, and when that is decided again
//! * `writing`: writes that share a commit
//! * [`store`]: every query

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    config::{DatabaseUrl, LogConfig},
    drain::Drain,
    process::{Process, announce},
    public_url::PublicUrl,
    serve,
};
use tagalong_integrations::Presets;
use tagalong_proto::v1::{
    attendee_service_server::AttendeeServiceServer,
    catalogue_service_server::CatalogueServiceServer, click_service_server::ClickServiceServer,
    delivery_service_server::DeliveryServiceServer, event_service_server::EventServiceServer,
    sale_service_server::SaleServiceServer, source_service_server::SourceServiceServer,
};
use tokio::sync::Notify;
use tonic::service::Routes;

mod attendee;
mod catalogue;
mod click;
mod deciding;
pub mod email;
pub mod error;
mod field;
mod form;
mod grpc;
mod http;
mod inbox;
pub mod keys;
mod sale;
mod source;
pub mod store;
mod time;
mod writing;

use form::Forms;
pub use http::{Http, answers};
use inbox::{Inbox, Metrics};
use keys::DataKeys;
use store::{Store, counts, deliveries::Retention};
use writing::Writer;

/// Settings of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where tools and checkouts post.
    pub http: String,
    /// Where gRPC is served.
    pub grpc: String,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub admin: String,
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub database: DatabaseUrl,
    /// The file of the keys of personal data.
    pub data_keys: PathBuf,
    /// The file of the token keys, the same for all services.
    pub token_keys: PathBuf,
    /// Where `http` is reached from outside: the base of the URLs that tools and checkouts post to.
    pub public_url: PublicUrl,
    /// A directory of the operator's own presets; they take the place of built-in ones of the same name.
    pub presets: Option<PathBuf>,
    /// How long what was posted is kept, in days.
    pub delivery_retention_days: u32,
    /// How long it is kept where it could not be taken as a whole, in days.
    pub parked_retention_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8082".to_owned(),
            grpc: "127.0.0.1:50052".to_owned(),
            admin: "127.0.0.1:9092".to_owned(),
            database: DatabaseUrl::from("sqlite://tagalong-data/registry.sqlite".to_owned()),
            data_keys: "tagalong-data/data-keys.toml".into(),
            token_keys: "tagalong-data/token-keys.toml".into(),
            public_url: PublicUrl::local(8082),
            presets: None,
            delivery_retention_days: 30,
            parked_retention_days: 180,
        }
    }
}

/// What hooks need beside the registry's data.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// The base of their URLs.
    pub public_url: PublicUrl,
    /// The platforms.
    pub presets: Presets,
    /// How long what was posted is kept.
    pub retention: Retention,
}

impl Config {
    /// What hooks need.
    ///
    /// # Errors
    /// If a preset cannot be read or used.
    pub fn hooks(&self) -> anyhow::Result<Hooks> {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        Ok(Hooks {
            public_url: self.public_url.clone(),
            presets: Presets::load(self.presets.as_deref())?,
            retention: Retention {
                handled: i64::from(self.delivery_retention_days) * DAY,
                parked: i64::from(self.parked_retention_days) * DAY,
            },
        })
    }
}

/// Settings of the process `tagalong-attendee-registry`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The registry.
    pub attendee_registry: Config,
    /// Logging.
    pub log: LogConfig,
    // One file or environment may serve all services: the sections of the others are theirs to read.
    #[serde(skip_serializing)]
    redirect: IgnoredAny,
    #[serde(skip_serializing)]
    link_rendering: IgnoredAny,
}

impl tagalong_chassis::config::Settings for Settings {
    fn log(&self) -> &LogConfig {
        &self.log
    }
}

/// The process `tagalong-attendee-registry`, from start to drained.
///
/// # Errors
/// If keys or database cannot be opened, or a listener fails.
pub async fn run(process: Process<Settings>) -> anyhow::Result<()> {
    let Process {
        config: Settings { attendee_registry: config, .. },
        drain,
        ready,
        clock,
        metrics,
    } = process;
    let hooks = config.hooks()?;
    let http = serve::listen(&config.http).await?;
    let grpc = serve::listen(&config.grpc).await?;
    let admin = serve::listen(&config.admin).await?;
    announce("attendee-registry", "http", http.local_addr()?);
    announce("attendee-registry", "grpc", grpc.local_addr()?);
    announce("attendee-registry", "admin", admin.local_addr()?);
    let gate = ready.gate("database");
    let admin = tokio::spawn(serve::admin(admin, ready.clone(), metrics, drain.clone()));

    let store =
        Store::connect(config.database.expose()).await.context("the database cannot be opened")?;
    let (keys, tokens) = keys::open(&store, &config.data_keys, &config.token_keys).await?;
    let service = Service::new(store, keys, tokens.ring()?, hooks, clock, drain.clone());
    gate.open();
    let limits = serve::HttpLimits::default();
    // Where one part ended, the process must not live on without it.
    let (served, (), ()) = tokio::join!(
        drain.start_after(serve::grpc(grpc, service.routes(), ready, drain.clone())),
        drain.start_after(serve::http(http, service.http(), limits, drain.clone())),
        service.run(),
    );
    served?;
    admin.await?;
    service.close().await
}

/// A running registry.
#[derive(Clone)]
pub struct Service {
    registry: grpc::Registry,
}

impl Service {
    /// A registry on a store. Call it inside the runtime.
    #[must_use]
    pub fn new(
        store: Store,
        keys: DataKeys,
        tokens: KeyRing,
        hooks: Hooks,
        clock: Clock,
        drain: Drain,
    ) -> Self {
        let Hooks { public_url, presets, retention } = hooks;
        let writer = Arc::new(Writer::start(store.clone(), keys.clone(), clock.clone()));
        let inbox = Arc::new(Inbox {
            store: store.clone(),
            writer: writer.clone(),
            keys: keys.clone(),
            tokens: tokens.clone(),
            clock: clock.clone(),
            presets,
            retention,
            metrics: Metrics::new(),
            arrived: Notify::new(),
        });
        let forms = Arc::new(Forms::new(store.clone(), writer.clone(), keys.clone()));
        Self {
            registry: grpc::Registry::new(grpc::Inner {
                store,
                writer,
                inbox,
                forms,
                keys,
                tokens,
                public_url,
                clock,
                drain,
            }),
        }
    }

    /// What answers tools, checkouts and forms. Call it inside the runtime it was made in.
    #[must_use]
    pub fn http(&self) -> Http {
        Http { inbox: self.registry.inbox.clone(), forms: self.registry.forms.clone() }
    }

    /// The gRPC services.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.add_to(Routes::default())
    }

    /// The gRPC services beside those of others.
    #[must_use]
    pub fn add_to(&self, routes: Routes) -> Routes {
        /// A run of 5,000 clicks fits four times.
        const MAX_MESSAGE: usize = 16 * 1024 * 1024;
        let registry = &self.registry;
        routes
            .add_service(CatalogueServiceServer::new(registry.clone()))
            .add_service(AttendeeServiceServer::new(registry.clone()))
            .add_service(
                ClickServiceServer::new(registry.clone()).max_decoding_message_size(MAX_MESSAGE),
            )
            .add_service(SaleServiceServer::new(registry.clone()))
            .add_service(EventServiceServer::new(registry.clone()))
            .add_service(SourceServiceServer::new(registry.clone()))
            .add_service(DeliveryServiceServer::new(registry.clone()))
    }

    /// Does what nobody asks for, until drained: takes what was posted, removes what was kept long enough, adds up what was
    /// counted.
    pub async fn run(&self) {
        let drain = &self.registry.drain;
        tokio::join!(self.registry.inbox.run(drain), self.tidy(drain));
    }

    async fn tidy(&self, drain: &Drain) {
        const PAUSE: Duration = Duration::from_secs(10);
        let drained = drain.started();
        tokio::pin!(drained);
        while tokio::time::timeout(PAUSE, &mut drained).await.is_err() {
            if let Err(error) = self.fold_counts().await {
                tracing::warn!(%error, "what was counted could not be added up; it will be");
            }
            if let Err(error) = self.clear_deliveries().await {
                tracing::warn!(%error, "outdated deliveries could not be removed; they will be");
            }
        }
    }

    /// Takes the deliveries that wait.
    ///
    /// # Errors
    /// If the database cannot be read or written now.
    pub async fn take_deliveries(&self) -> error::Result<()> {
        while self.registry.inbox.take_waiting().await? {}
        Ok(())
    }

    /// Removes the deliveries that were kept long enough.
    ///
    /// # Errors
    /// If the database cannot be read or written now.
    pub async fn clear_deliveries(&self) -> error::Result<()> {
        self.registry.inbox.clear().await
    }

    /// Adds up what was counted, so that reading it stays fast. It is right before and after.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn fold_counts(&self) -> error::Result<()> {
        let store = &self.registry.store;
        if !counts::unfolded(store.read()).await? {
            return Ok(());
        }
        let transaction = store.begin().await?;
        counts::fold(&transaction).await?;
        store.commit(transaction).await
    }

    /// Finishes what is being written, and closes the database.
    ///
    /// # Errors
    /// If the database says so.
    pub async fn close(self) -> anyhow::Result<()> {
        self.registry.writer.finish().await;
        Ok(self.registry.store.clone().close().await?)
    }
}
