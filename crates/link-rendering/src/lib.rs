//! Purchase links for people: singly, by the webinar, in messages, as QR codes.
//!
//! Whose affiliate a link carries is decided by the attendee registry as if the attendee bought at that moment. What it
//! decided is kept in memory as long as its change feed says that nothing changed; this service stores nothing. Where
//! nobody is credited, a link is the product's plain purchase link. No link ever has an empty affiliate or leads to a
//! sales page: every path ends at `buy`.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context as _;
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    keys::TokenKeys,
    process::{Process, announce},
    public_url::PublicUrl,
    serve,
    transport::{self, Transport},
};
use tagalong_proto::v1::link_rendering_service_server::LinkRenderingServiceServer;
use tonic::service::Routes;

mod changes;
mod config;
mod deadline;
mod decisions;
mod error;
mod grpc;
mod links;
mod message;
mod qr;
mod registry;
mod request;
mod time;

#[cfg(test)]
mod tests;

pub use config::{Config, Settings};

use decisions::Decisions;
use grpc::Grpc;
use links::Links;
use registry::Registry;

/// Largest request, in bytes: a message of 1 MiB and what is around it.
const MAX_REQUEST: usize = 2 * 1024 * 1024;

/// The service, without a listener.
#[derive(Clone)]
pub struct Service {
    links: Links,
    clock: Clock,
}

impl Service {
    /// A service that makes links below `public_url`, asks `registry` whose they are and signs with `tokens`.
    #[must_use]
    pub fn new(public_url: PublicUrl, registry: Transport, tokens: KeyRing, clock: Clock) -> Self {
        let registry = Registry::new(registry);
        let decisions = Arc::new(Decisions::new(registry.clone()));
        Self { links: Links { public_url, registry, decisions, tokens }, clock }
    }

    /// Follows what changes in the registry, for ever. As long as this does not run or the registry is out of reach, every
    /// link is asked for there.
    pub async fn follow(&self) -> Infallible {
        self.links.decisions.follow().await
    }

    /// What it serves: `tagalong.v1.LinkRenderingService`.
    #[must_use]
    pub fn routes(&self) -> Routes {
        self.add_to(Routes::default())
    }

    /// The same beside the services of others.
    #[must_use]
    pub fn add_to(&self, routes: Routes) -> Routes {
        let Self { links, clock } = self.clone();
        let service = LinkRenderingServiceServer::new(Grpc { links, clock });
        routes.add_service(service.max_decoding_message_size(MAX_REQUEST))
    }
}

/// The life of a process of its own: serves until it is told to stop.
///
/// # Errors
/// An address that cannot be bound or is none, a key file that cannot be read.
pub async fn run(process: Process<Settings>) -> anyhow::Result<()> {
    let Process { config, drain, ready, clock, metrics } = process;
    let Config { grpc, admin, registry, public_url, token_keys } = config.link_rendering;

    let keys = TokenKeys::load(&token_keys)?;
    let tokens = KeyRing::new(keys.signing(), keys.keys()).context("token keys")?;
    let registry = transport::remote(&registry).context("link_rendering.registry")?;
    let service = Service::new(public_url, registry, tokens, clock);

    let (grpc, admin) = (serve::listen(&grpc).await?, serve::listen(&admin).await?);
    announce("link-rendering", "grpc", grpc.local_addr()?);
    announce("link-rendering", "admin", admin.local_addr()?);
    let admin = serve::admin(admin, ready.clone(), metrics, drain.clone());
    let grpc = serve::grpc(grpc, service.routes(), ready, drain);
    let served = async {
        tokio::try_join!(grpc, async {
            admin.await;
            Ok(())
        })
    };
    tokio::select! {
        ended = served => ended.map(drop),
        never = service.follow() => match never {},
    }
}
