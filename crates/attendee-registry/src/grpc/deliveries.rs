//! `DeliveryService`.

use tagalong_attribution::id::SourceId;
use tagalong_proto::v1::{self, DeliveryState, delivery_service_server::DeliveryService};
use tonic::{Request, Response, Status};

use super::{Registry, after_uuid, refuse};
use crate::{
    error::Result,
    field,
    store::{
        deliveries::{self, Filter, delivery},
        page,
    },
};

#[tonic::async_trait]
impl DeliveryService for Registry {
    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let before = after_uuid("deliveries", &message.page_token)?;
            let source: Option<SourceId> = field::optional_id("source_id", &message.source_id)?;
            let state: DeliveryState = field::enumeration("state", message.state)?;
            let filter = Filter {
                source: source.map(Into::into),
                state: (state != DeliveryState::Unspecified).then_some(state),
            };
            let rows = deliveries::list(self.store.read(), &filter, before, size + 1).await?;
            Ok(page::cut("deliveries", rows, size, |row| row.id.to_string()))
        };
        let (rows, next_page_token) = listed.await.map_err(refuse)?;
        let retention = self.inbox.retention;
        let deliveries = rows.into_iter().map(|row| deliveries::message(row, retention)).collect();
        Ok(Response::new(v1::ListDeliveriesResponse { deliveries, next_page_token }))
    }

    async fn get_delivery(
        &self,
        request: Request<v1::GetDeliveryRequest>,
    ) -> Result<Response<v1::GetDeliveryResponse>, Status> {
        let message = request.into_inner();
        let found = async {
            let row = delivery(self.store.read(), field::uuid("id", &message.id)?).await?;
            let body = if message.include_body { self.inbox.payload(&row)? } else { None };
            Ok(v1::GetDeliveryResponse {
                body: body.map(|payload| v1::DeliveryBody {
                    content_type: payload.content_type().unwrap_or_default().to_owned(),
                    content: payload.body().to_vec(),
                }),
                delivery: Some(deliveries::message(row, self.inbox.retention)),
            })
        };
        found.await.map(Response::new).map_err(refuse)
    }

    async fn replay_delivery(
        &self,
        request: Request<v1::ReplayDeliveryRequest>,
    ) -> Result<Response<v1::ReplayDeliveryResponse>, Status> {
        let replayed = async {
            let id = field::uuid("id", &request.into_inner().id)?;
            let row = self.inbox.replay(id).await?;
            let delivery = Some(deliveries::message(row, self.inbox.retention));
            Ok(v1::ReplayDeliveryResponse { delivery })
        };
        replayed.await.map(Response::new).map_err(refuse)
    }
}
