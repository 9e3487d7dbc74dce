//! `SourceService`.

use tagalong_attribution::id::{SourceId, is_id};
use tagalong_integrations::{Preset, links::AffiliateNames};
use tagalong_proto::v1::{self, source_service_server::SourceService};
use tonic::{Request, Response, Status};

use super::{Registry, refuse};
use crate::{
    error::{Error, Result},
    field,
    http::HOOKS,
    source::{Rotation, Source, secret},
    store::{catalogue::Write, deliveries, page, sources},
};

#[tonic::async_trait]
impl SourceService for Registry {
    async fn create_source(
        &self,
        request: Request<v1::CreateSourceRequest>,
    ) -> Result<Response<v1::CreateSourceResponse>, Status> {
        let message = request.into_inner();
        let new = self.read_source(message.source.clone()).map_err(refuse)?;
        let secret = secret(&message.secret).map_err(refuse)?;
        let registry = self.clone();
        self.once("CreateSource", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let mut source = sources::put_source(db, Write::Create, &new, now).await?;
                if let Some(secret) = secret {
                    sources::add_secret(db, &registry.keys, &source.id, &secret, now).await?;
                    let row = sources::source(db, &source.id).await?;
                    source = sources::message(db, row).await?;
                }
                let setup = registry.setup(&source.preset);
                Ok(v1::CreateSourceResponse { source: Some(registry.shown(source)), setup })
            })
        })
        .await
    }

    async fn update_source(
        &self,
        request: Request<v1::UpdateSourceRequest>,
    ) -> Result<Response<v1::UpdateSourceResponse>, Status> {
        let message = request.into_inner();
        let new = self.read_source(message.source.clone()).map_err(refuse)?;
        let registry = self.clone();
        let updated = self.once("UpdateSource", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let source = sources::put_source(db, Write::Replace, &new, now).await?;
                deliveries::wake_source(db, &source.id).await?;
                Ok(v1::UpdateSourceResponse { source: Some(registry.shown(source)) })
            })
        });
        let updated = updated.await?;
        self.inbox.arrived.notify_one();
        Ok(updated)
    }

    async fn get_source(
        &self,
        request: Request<v1::GetSourceRequest>,
    ) -> Result<Response<v1::GetSourceResponse>, Status> {
        let found = async {
            let db = self.store.read();
            let id: SourceId = field::id("id", &request.into_inner().id)?;
            let row = sources::source(db, id.as_str()).await?;
            let setup = self.setup(&row.preset);
            let source = self.shown(sources::message(db, row).await?);
            Ok(v1::GetSourceResponse { source: Some(source), setup })
        };
        found.await.map(Response::new).map_err(refuse)
    }

    async fn list_sources(
        &self,
        request: Request<v1::ListSourcesRequest>,
    ) -> Result<Response<v1::ListSourcesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let db = self.store.read();
            let size = page::size(message.page_size)?;
            let after = page::after("sources", &message.page_token, is_id)?;
            let rows = sources::list(db, after, size + 1).await?;
            let (rows, next) = page::cut("sources", rows, size, |row| row.id.clone());
            let sources = sources::messages(db, rows).await?;
            Ok((sources.into_iter().map(|source| self.shown(source)).collect(), next))
        };
        let (sources, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListSourcesResponse { sources, next_page_token }))
    }

    async fn rotate_source_secret(
        &self,
        request: Request<v1::RotateSourceSecretRequest>,
    ) -> Result<Response<v1::RotateSourceSecretResponse>, Status> {
        let message = request.into_inner();
        let new = Rotation::read(&message).map_err(refuse)?;
        let registry = self.clone();
        self.once("RotateSourceSecret", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let source = sources::rotate(db, &registry.keys, &new, now).await?;
                Ok(v1::RotateSourceSecretResponse { source: Some(registry.shown(source)) })
            })
        })
        .await
    }
}

impl Registry {
    fn read_source(&self, message: Option<v1::Source>) -> Result<Source> {
        let new = Source::read(message)?;
        let presets = &self.inbox.presets;
        if presets.get(&new.preset).is_some_and(Preset::delivers) {
            return Ok(new);
        }
        let known = presets.iter().filter(|preset| preset.delivers());
        let known: Vec<&str> = known.map(Preset::name).collect();
        let problem = format!("must be one of {}", known.join(", "));
        Err(Error::invalid("source.preset", problem))
    }

    /// A source with what only this process knows.
    fn shown(&self, source: v1::Source) -> v1::Source {
        let hook_url = self.public_url.join(&format!("{HOOKS}{}", source.id));
        v1::Source { hook_url, ..source }
    }

    /// How to connect a platform; none where its preset is gone.
    fn setup(&self, preset: &str) -> Option<v1::SourceSetup> {
        let preset = self.inbox.presets.get(preset)?;
        Some(v1::SourceSetup {
            platform: preset.title().to_owned(),
            own_secret: preset.needs_own_secret(),
            draft: preset.draft().unwrap_or_default().to_owned(),
            unverified: preset.unverified().to_vec(),
            ignores_affiliate_case: preset.links().affiliate_names == AffiliateNames::IgnoreCase,
        })
    }
}
