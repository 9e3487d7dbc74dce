//! `ClickService`.

use tagalong_attribution::id::ProductId;
use tagalong_proto::v1::{self, click_service_server::ClickService};
use tonic::{Request, Response, Status};

use super::{Registry, after_uuid, refuse};
use crate::{
    click::Run,
    error::Result,
    field,
    store::{clicks, page},
};

#[tonic::async_trait]
impl ClickService for Registry {
    async fn record_clicks(
        &self,
        request: Request<v1::RecordClicksRequest>,
    ) -> Result<Response<v1::RecordClicksResponse>, Status> {
        let recorded = async {
            let run = Run::read(request.get_ref())?;
            let transaction = self.store.begin().await?;
            let next_position = clicks::record(&transaction, run, self.now()).await?;
            self.store.commit(transaction).await?;
            Ok(v1::RecordClicksResponse { next_position })
        };
        recorded.await.map(Response::new).map_err(refuse)
    }

    async fn get_click_log(
        &self,
        request: Request<v1::GetClickLogRequest>,
    ) -> Result<Response<v1::GetClickLogResponse>, Status> {
        let found = async {
            let log = field::uuid("log_id", &request.into_inner().log_id)?;
            let next_position = clicks::next_position(self.store.read(), log).await?;
            Ok(v1::GetClickLogResponse { next_position })
        };
        found.await.map(Response::new).map_err(refuse)
    }

    async fn list_clicks(
        &self,
        request: Request<v1::ListClicksRequest>,
    ) -> Result<Response<v1::ListClicksResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let size = page::size(message.page_size)?;
            let after = after_uuid("clicks", &message.page_token)?;
            let product: Option<ProductId> = field::optional_id("product_id", &message.product_id)?;
            let product = product.as_ref().map(ProductId::as_str);
            let db = self.store.read();
            let rows = clicks::list(db, product, message.include_test, after, size + 1).await?;
            Ok(page::cut("clicks", rows, size, |row| row.id.to_string()))
        };
        let (rows, next_page_token) = listed.await.map_err(refuse)?;
        let clicks = rows.into_iter().map(clicks::message).collect();
        Ok(Response::new(v1::ListClicksResponse { clicks, next_page_token }))
    }
}
