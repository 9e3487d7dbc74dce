//! `CatalogueService`.

use std::pin::Pin;

use futures::Stream;
use tagalong_attribution::id::{AffiliateId, ProductId, ProgrammeId, WebinarId, is_id};
use tagalong_proto::v1::{self, catalogue_service_server::CatalogueService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Registry, refuse};
use crate::{
    catalogue::{Affiliate, Product, Programme, Webinar},
    deciding,
    error::{Error, Result},
    field,
    store::{
        catalogue::{self, Write},
        deliveries::{self, waits_for_product},
        feed, page, sales, test_records,
    },
    time,
};

/// How many changes one message of the catalogue's stream holds.
const CHANGES: usize = 500;

#[tonic::async_trait]
impl CatalogueService for Registry {
    type WatchCatalogueStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchCatalogueResponse, Status>> + Send>>;

    async fn create_programme(
        &self,
        request: Request<v1::CreateProgrammeRequest>,
    ) -> Result<Response<v1::CreateProgrammeResponse>, Status> {
        let message = request.into_inner();
        let new = Programme::read(message.programme.clone()).map_err(refuse)?;
        self.once("CreateProgramme", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let programme = catalogue::put_programme(db, Write::Create, &new, now).await?;
                Ok(v1::CreateProgrammeResponse { programme: Some(programme) })
            })
        })
        .await
    }

    async fn update_programme(
        &self,
        request: Request<v1::UpdateProgrammeRequest>,
    ) -> Result<Response<v1::UpdateProgrammeResponse>, Status> {
        let message = request.into_inner();
        let new = Programme::read(message.programme.clone()).map_err(refuse)?;
        self.once("UpdateProgramme", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let programme = catalogue::put_programme(db, Write::Replace, &new, now).await?;
                Ok(v1::UpdateProgrammeResponse { programme: Some(programme) })
            })
        })
        .await
    }

    async fn get_programme(
        &self,
        request: Request<v1::GetProgrammeRequest>,
    ) -> Result<Response<v1::GetProgrammeResponse>, Status> {
        let message = request.into_inner();
        let id: ProgrammeId = field::id("id", &message.id).map_err(refuse)?;
        let programme = catalogue::programme(self.store.read(), id.as_str())
            .await
            .map(catalogue::programme_message)
            .map_err(refuse)?;
        Ok(Response::new(v1::GetProgrammeResponse { programme: Some(programme) }))
    }

    async fn list_programmes(
        &self,
        request: Request<v1::ListProgrammesRequest>,
    ) -> Result<Response<v1::ListProgrammesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let after = page::after("programmes", &message.page_token, is_id)?;
            let rows = catalogue::programmes(self.store.read(), after, size + 1).await?;
            Ok(page::cut("programmes", rows, size, |row| row.id.clone()))
        };
        let (programmes, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListProgrammesResponse { programmes, next_page_token }))
    }

    async fn create_affiliate(
        &self,
        request: Request<v1::CreateAffiliateRequest>,
    ) -> Result<Response<v1::CreateAffiliateResponse>, Status> {
        let message = request.into_inner();
        let new = Affiliate::read(message.affiliate.clone(), &message.emails).map_err(refuse)?;
        let registry = self.clone();
        self.once("CreateAffiliate", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let affiliate =
                    catalogue::put_affiliate(db, Write::Create, &new, &registry.keys, now).await?;
                affiliate_changed(db, &affiliate, now).await?;
                Ok(v1::CreateAffiliateResponse { affiliate: Some(affiliate) })
            })
        })
        .await
    }

    async fn update_affiliate(
        &self,
        request: Request<v1::UpdateAffiliateRequest>,
    ) -> Result<Response<v1::UpdateAffiliateResponse>, Status> {
        let message = request.into_inner();
        let new = Affiliate::read(message.affiliate.clone(), &message.emails).map_err(refuse)?;
        let registry = self.clone();
        self.once("UpdateAffiliate", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let affiliate =
                    catalogue::put_affiliate(db, Write::Replace, &new, &registry.keys, now).await?;
                affiliate_changed(db, &affiliate, now).await?;
                Ok(v1::UpdateAffiliateResponse { affiliate: Some(affiliate) })
            })
        })
        .await
    }

    async fn get_affiliate(
        &self,
        request: Request<v1::GetAffiliateRequest>,
    ) -> Result<Response<v1::GetAffiliateResponse>, Status> {
        let message = request.into_inner();
        let programme: ProgrammeId =
            field::id("programme_id", &message.programme_id).map_err(refuse)?;
        let id: AffiliateId = field::id("id", &message.id).map_err(refuse)?;
        let affiliate =
            catalogue::affiliate_message(self.store.read(), programme.as_str(), id.as_str())
                .await
                .map_err(refuse)?;
        Ok(Response::new(v1::GetAffiliateResponse { affiliate: Some(affiliate) }))
    }

    async fn list_affiliates(
        &self,
        request: Request<v1::ListAffiliatesRequest>,
    ) -> Result<Response<v1::ListAffiliatesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let after = page::after("affiliates", &message.page_token, is_affiliate_key)?;
            let programme: Option<ProgrammeId> =
                field::optional_id("programme_id", &message.programme_id)?;
            let programme = programme.as_ref().map(ProgrammeId::as_str);
            let rows = catalogue::affiliates(self.store.read(), programme, after, size + 1).await?;
            Ok(page::cut("affiliates", rows, size, |row| {
                format!("{} {}", row.programme_id, row.id)
            }))
        };
        let (affiliates, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListAffiliatesResponse { affiliates, next_page_token }))
    }

    async fn create_product(
        &self,
        request: Request<v1::CreateProductRequest>,
    ) -> Result<Response<v1::CreateProductResponse>, Status> {
        let message = request.into_inner();
        let new = Product::read(message.product.clone()).map_err(refuse)?;
        let done = self.once("CreateProduct", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let product = catalogue::put_product(db, Write::Create, &new, now).await?;
                product_changed(db, &product, now).await?;
                Ok(v1::CreateProductResponse { product: Some(product) })
            })
        });
        let done = done.await?;
        // Deliveries may have waited for it.
        self.inbox.arrived.notify_one();
        Ok(done)
    }

    async fn update_product(
        &self,
        request: Request<v1::UpdateProductRequest>,
    ) -> Result<Response<v1::UpdateProductResponse>, Status> {
        let message = request.into_inner();
        let new = Product::read(message.product.clone()).map_err(refuse)?;
        let done = self.once("UpdateProduct", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let product = catalogue::put_product(db, Write::Replace, &new, now).await?;
                product_changed(db, &product, now).await?;
                Ok(v1::UpdateProductResponse { product: Some(product) })
            })
        });
        let done = done.await?;
        // Deliveries may have waited for it.
        self.inbox.arrived.notify_one();
        Ok(done)
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Result<Response<v1::GetProductResponse>, Status> {
        let message = request.into_inner();
        let id: ProductId = field::id("id", &message.id).map_err(refuse)?;
        let product =
            catalogue::product_message(self.store.read(), id.as_str()).await.map_err(refuse)?;
        Ok(Response::new(v1::GetProductResponse { product: Some(product) }))
    }

    async fn list_products(
        &self,
        request: Request<v1::ListProductsRequest>,
    ) -> Result<Response<v1::ListProductsResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let after = page::after("products", &message.page_token, is_id)?;
            let programme: Option<ProgrammeId> =
                field::optional_id("programme_id", &message.programme_id)?;
            let programme = programme.as_ref().map(ProgrammeId::as_str);
            let rows = catalogue::products(self.store.read(), programme, after, size + 1).await?;
            Ok(page::cut("products", rows, size, |row| row.id.clone()))
        };
        let (products, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListProductsResponse { products, next_page_token }))
    }

    async fn create_webinar(
        &self,
        request: Request<v1::CreateWebinarRequest>,
    ) -> Result<Response<v1::CreateWebinarResponse>, Status> {
        let message = request.into_inner();
        let new = Webinar::read(message.webinar.clone()).map_err(refuse)?;
        self.once("CreateWebinar", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let before = catalogue::webinar_products(db, new.id.as_str()).await?;
                let webinar = catalogue::put_webinar(db, Write::Create, &new, now).await?;
                webinar_changed(db, before, &webinar, now).await?;
                Ok(v1::CreateWebinarResponse { webinar: Some(webinar) })
            })
        })
        .await
    }

    async fn update_webinar(
        &self,
        request: Request<v1::UpdateWebinarRequest>,
    ) -> Result<Response<v1::UpdateWebinarResponse>, Status> {
        let message = request.into_inner();
        let new = Webinar::read(message.webinar.clone()).map_err(refuse)?;
        self.once("UpdateWebinar", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let before = catalogue::webinar_products(db, new.id.as_str()).await?;
                let webinar = catalogue::put_webinar(db, Write::Replace, &new, now).await?;
                webinar_changed(db, before, &webinar, now).await?;
                Ok(v1::UpdateWebinarResponse { webinar: Some(webinar) })
            })
        })
        .await
    }

    async fn get_webinar(
        &self,
        request: Request<v1::GetWebinarRequest>,
    ) -> Result<Response<v1::GetWebinarResponse>, Status> {
        let message = request.into_inner();
        let id: WebinarId = field::id("id", &message.id).map_err(refuse)?;
        let webinar =
            catalogue::webinar_message(self.store.read(), id.as_str()).await.map_err(refuse)?;
        Ok(Response::new(v1::GetWebinarResponse { webinar: Some(webinar) }))
    }

    async fn list_webinars(
        &self,
        request: Request<v1::ListWebinarsRequest>,
    ) -> Result<Response<v1::ListWebinarsResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let after = page::after("webinars", &message.page_token, is_id)?;
            let rows = catalogue::webinars(self.store.read(), after, size + 1).await?;
            Ok(page::cut("webinars", rows, size, |row| row.id.clone()))
        };
        let (webinars, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListWebinarsResponse { webinars, next_page_token }))
    }

    async fn suspend_affiliate(
        &self,
        request: Request<v1::SuspendAffiliateRequest>,
    ) -> Result<Response<v1::SuspendAffiliateResponse>, Status> {
        let message = request.into_inner();
        let (programme, id) = affiliate_key(&message.programme_id, &message.id).map_err(refuse)?;
        let at = time::read("at", message.at.as_ref()).map_err(refuse)?;
        let reason = field::text("reason", &message.reason, field::REASON).map_err(refuse)?;
        self.once("SuspendAffiliate", &message.request_id, &message, move |db, now| {
            Box::pin(async move {
                let key = (programme.as_str(), id.as_str());
                let starts = (at.unwrap_or(now), reason);
                let affiliate = catalogue::suspend(db, key, starts, now).await?;
                affiliate_changed(db, &affiliate, now).await?;
                Ok(v1::SuspendAffiliateResponse { affiliate: Some(affiliate) })
            })
        })
        .await
    }

    async fn reinstate_affiliate(
        &self,
        request: Request<v1::ReinstateAffiliateRequest>,
    ) -> Result<Response<v1::ReinstateAffiliateResponse>, Status> {
        let message = request.into_inner();
        let (programme, id) = affiliate_key(&message.programme_id, &message.id).map_err(refuse)?;
        let at = time::read("at", message.at.as_ref()).map_err(refuse)?;
        self.once("ReinstateAffiliate", &message.request_id, &message, move |db, now| {
            Box::pin(async move {
                let key = (programme.as_str(), id.as_str());
                let affiliate = catalogue::reinstate(db, key, at.unwrap_or(now), now).await?;
                affiliate_changed(db, &affiliate, now).await?;
                Ok(v1::ReinstateAffiliateResponse { affiliate: Some(affiliate) })
            })
        })
        .await
    }

    async fn remove_test_records(
        &self,
        request: Request<v1::RemoveTestRecordsRequest>,
    ) -> Result<Response<v1::RemoveTestRecordsResponse>, Status> {
        let message = request.into_inner();
        let removed = async {
            let webinar: Option<WebinarId> = field::optional_id("webinar_id", &message.webinar_id)?;
            let programme: Option<ProgrammeId> =
                field::optional_id("programme_id", &message.programme_id)?;
            let transaction = self.store.begin().await?;
            let now = self.now();
            let webinar = webinar.as_ref().map(WebinarId::as_str);
            let programme = programme.as_ref().map(ProgrammeId::as_str);
            let removed = test_records::remove(&transaction, webinar, programme, now).await?;
            self.store.commit(transaction).await?;
            Ok(i64::try_from(removed).unwrap_or(i64::MAX))
        };
        let removed = removed.await.map_err(refuse)?;
        Ok(Response::new(v1::RemoveTestRecordsResponse { removed }))
    }

    async fn watch_catalogue(
        &self,
        request: Request<v1::WatchCatalogueRequest>,
    ) -> Result<Response<Self::WatchCatalogueStream>, Status> {
        let after = request.into_inner().after_revision;
        if after < 0 {
            return Err(refuse(Error::invalid("after_revision", "must not be negative")));
        }
        let (sender, receiver) = mpsc::channel(4);
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = watch(&registry, after, &sender).await {
                let _ = sender.send(Err(refuse(error))).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Whether a page token's key is a programme and an affiliate in it.
fn is_affiliate_key(key: &str) -> bool {
    key.split_once(' ').is_some_and(|(programme, id)| is_id(programme) && is_id(id))
}

fn affiliate_key(programme: &str, id: &str) -> Result<(ProgrammeId, AffiliateId)> {
    Ok((field::id("programme_id", programme)?, field::id("id", id)?))
}

type Db = sea_orm::DatabaseTransaction;

async fn affiliate_changed(db: &Db, affiliate: &v1::Affiliate, now: i64) -> Result<()> {
    let test = catalogue::programme(db, &affiliate.programme_id).await?.test;
    let changed = v1::AffiliateChanged {
        programme_id: affiliate.programme_id.clone(),
        affiliate_id: affiliate.id.clone(),
    };
    feed::record(db, now, test, v1::event::Kind::AffiliateChanged(changed)).await?;
    deciding::about_affiliate(db, affiliate, now).await
}

async fn product_changed(db: &Db, product: &v1::Product, now: i64) -> Result<()> {
    let changed =
        v1::CatalogueChanged { product_id: product.id.clone(), ..v1::CatalogueChanged::default() };
    feed::record(db, now, product.test, v1::event::Kind::CatalogueChanged(changed)).await?;
    let (programme, names) = (&product.programme_id, &product.external_ids);
    sales::map_items(db, programme, &product.id, names, now).await?;
    let waiting: Vec<_> = names.iter().map(|name| waits_for_product(programme, name)).collect();
    deliveries::wake(db, &waiting).await
}

async fn webinar_changed(
    db: &Db,
    before: Vec<crate::store::entity::webinar_product::Model>,
    webinar: &v1::Webinar,
    now: i64,
) -> Result<()> {
    let changed =
        v1::CatalogueChanged { webinar_id: webinar.id.clone(), ..v1::CatalogueChanged::default() };
    feed::record(db, now, webinar.test, v1::event::Kind::CatalogueChanged(changed)).await?;
    let mut products = webinar.offers_product_ids.clone();
    products.extend(before.into_iter().filter(|link| link.offers).map(|link| link.product));
    products.sort();
    products.dedup();
    deciding::about_products(db, &products, now).await
}

/// Sends the catalogue and its changes until the caller goes away or the process drains.
async fn watch(
    registry: &Registry,
    mut after: i64,
    sender: &mpsc::Sender<Result<v1::WatchCatalogueResponse, Status>>,
) -> Result<()> {
    let mut commits = registry.store.commits();
    let mut first = true;
    loop {
        commits.mark_unchanged();
        if first || catalogue::revision(registry.store.read()).await? > after {
            // Read whole before anything is sent: a slow caller must not keep a transaction open.
            let snapshot = registry.store.snapshot().await?;
            let revision = catalogue::revision(&snapshot).await?;
            let reset = after > revision;
            if reset {
                after = 0;
            }
            let changes = catalogue::changes_after(&snapshot, after).await?;
            snapshot.rollback().await?;
            let mut chunks = changes.chunks(CHANGES).peekable();
            let mut start = reset;
            loop {
                let changes = chunks.next().unwrap_or_default().to_vec();
                let more = chunks.peek().is_some();
                let message = v1::WatchCatalogueResponse {
                    changes,
                    // A caller that is cut off in between must begin again.
                    revision: if more { after } else { revision },
                    reset: std::mem::take(&mut start),
                    more,
                };
                if sender.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
                if !more {
                    break;
                }
            }
            (after, first) = (revision, false);
        }
        if !registry.something_new(&mut commits, sender.closed()).await {
            return Ok(());
        }
    }
}
