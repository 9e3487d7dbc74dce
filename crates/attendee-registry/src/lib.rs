//! The registry: the only owner of data.
//!
//! * `grpc`: messages in and out
//! * [`email`], [`keys`]: personal data
//! * `catalogue`, `attendee`, `click`, `sale`: what is reported, read and checked
//! * `deciding`: whose an item is, and when that is decided again
//! * `writing`: writes that share a commit
//! * [`store`]: every query

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    config::{DatabaseUrl, LogConfig},
    drain::Drain,
    process::{Process, announce},
    serve,
};
use tagalong_proto::v1::{
    attendee_service_server::AttendeeServiceServer,
    catalogue_service_server::CatalogueServiceServer, click_service_server::ClickServiceServer,
    event_service_server::EventServiceServer, sale_service_server::SaleServiceServer,
};
use tonic::service::Routes;

mod attendee;
mod catalogue;
mod click;
mod deciding;
pub mod email;
pub mod error;
mod field;
mod grpc;
pub mod keys;
mod sale;
pub mod store;
mod time;
mod writing;

use keys::DataKeys;
use store::{Store, counts};
use writing::Writer;

/// Settings of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grpc: "127.0.0.1:50052".to_owned(),
            admin: "127.0.0.1:9092".to_owned(),
            database: DatabaseUrl::from("sqlite://tagalong-data/registry.sqlite".to_owned()),
            data_keys: "tagalong-data/data-keys.toml".into(),
            token_keys: "tagalong-data/token-keys.toml".into(),
        }
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
    let grpc = serve::listen(&config.grpc).await?;
    let admin = serve::listen(&config.admin).await?;
    announce("attendee-registry", "grpc", grpc.local_addr()?);
    announce("attendee-registry", "admin", admin.local_addr()?);
    let gate = ready.gate("database");
    let admin = tokio::spawn(serve::admin(admin, ready.clone(), metrics, drain.clone()));

    let store =
        Store::connect(config.database.expose()).await.context("the database cannot be opened")?;
    let (keys, tokens) = keys::open(&store, &config.data_keys, &config.token_keys).await?;
    let service = Service::new(store, keys, tokens.ring()?, clock, drain.clone());
    gate.open();
    let (served, ()) = tokio::join!(
        async {
            let served = serve::grpc(grpc, service.routes(), ready, drain.clone()).await;
            // Where one part ended, the process must not live on without it.
            drain.start();
            served
        },
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
    pub fn new(store: Store, keys: DataKeys, tokens: KeyRing, clock: Clock, drain: Drain) -> Self {
        let writer = Writer::start(store.clone(), keys.clone(), clock.clone());
        Self {
            registry: grpc::Registry::new(grpc::Inner {
                store,
                writer,
                keys,
                tokens,
                clock,
                drain,
            }),
        }
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
    }

    /// Does what nobody asks for, until drained: adds up what was counted.
    pub async fn run(&self) {
        const PAUSE: Duration = Duration::from_secs(10);
        let drained = self.registry.drain.started();
        tokio::pin!(drained);
        while tokio::time::timeout(PAUSE, &mut drained).await.is_err() {
            if let Err(error) = self.fold_counts().await {
                tracing::warn!(%error, "what was counted could not be added up; it will be");
            }
        }
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
