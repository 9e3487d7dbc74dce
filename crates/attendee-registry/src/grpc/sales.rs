//! `SaleService`.

use std::pin::Pin;

use futures::{Stream, TryStreamExt as _, stream};
use tagalong_attribution::id::{AffiliateId, ProductId, ProgrammeId, WebinarId};
use tagalong_proto::v1::{self, sale_service_server::SaleService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Registry, after_uuid, refuse};
use crate::{
    attendee::Reference,
    deciding::{self, Preview},
    error::{Error, Result, What},
    field,
    sale::{Assignment, ItemKey, Order, Payment, Reversal},
    store::{
        attendees, decisions,
        entity::item,
        page, previews,
        sales::{self, Filter},
    },
    time,
};

#[tonic::async_trait]
impl SaleService for Registry {
    type PreviewDecisionsStream =
        Pin<Box<dyn Stream<Item = Result<v1::PreviewDecisionsResponse, Status>> + Send>>;

    async fn report_order(
        &self,
        request: Request<v1::ReportOrderRequest>,
    ) -> Result<Response<v1::ReportOrderResponse>, Status> {
        let message = request.into_inner();
        let new = Order::read(message.clone(), &self.tokens).map_err(refuse)?;
        let registry = self.clone();
        self.once("ReportOrder", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let reported = sales::report(db, &registry.keys, &new, now).await?;
                let items = sales::items_of_order(db, reported.order).await?;
                let rows = sales::with_orders(db, items).await?;
                Ok(v1::ReportOrderResponse {
                    sales: sales::messages(db, rows, true).await?,
                    repeated: reported.repeated,
                })
            })
        })
        .await
    }

    async fn report_payment(
        &self,
        request: Request<v1::ReportPaymentRequest>,
    ) -> Result<Response<v1::ReportPaymentResponse>, Status> {
        let message = request.into_inner();
        let key = ItemKey::read("item", message.item.clone()).map_err(refuse)?;
        let payment = field::required("payment", message.payment.clone()).map_err(refuse)?;
        let payment = Payment::read("payment", payment).map_err(refuse)?;
        self.once("ReportPayment", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let item = sales::item_by_key(db, &key).await?;
                let new = sales::add_payment(db, &key, &payment, item.as_ref(), now).await?;
                let sale = sale(db, item, true).await?;
                Ok(v1::ReportPaymentResponse { sale, repeated: !new })
            })
        })
        .await
    }

    async fn report_reversal(
        &self,
        request: Request<v1::ReportReversalRequest>,
    ) -> Result<Response<v1::ReportReversalResponse>, Status> {
        let message = request.into_inner();
        let key = ItemKey::read("item", message.item.clone()).map_err(refuse)?;
        let reversal = Reversal::read(message.reversal.clone()).map_err(refuse)?;
        self.once("ReportReversal", &message.request_id, &message, |db, now| {
            Box::pin(async move {
                let item = sales::item_by_key(db, &key).await?;
                let new = sales::add_reversal(db, &key, &reversal, item.as_ref(), now).await?;
                let sale = sale(db, item, true).await?;
                Ok(v1::ReportReversalResponse { sale, repeated: !new })
            })
        })
        .await
    }

    async fn get_sale(
        &self,
        request: Request<v1::GetSaleRequest>,
    ) -> Result<Response<v1::GetSaleResponse>, Status> {
        use v1::get_sale_request::Sale;
        let found = async {
            let db = self.store.read();
            let item = match field::required("sale", request.into_inner().sale)? {
                Sale::ItemId(id) => self.item_by_id(&id).await?,
                Sale::Key(key) => self.item_by_key(key).await?,
            };
            Ok(v1::GetSaleResponse { sale: sale(db, Some(item), true).await? })
        };
        found.await.map(Response::new).map_err(refuse)
    }

    async fn list_sales(
        &self,
        request: Request<v1::ListSalesRequest>,
    ) -> Result<Response<v1::ListSalesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let db = self.store.read();
            let size = page::size(message.page_size)?;
            let before = after_uuid("sales", &message.page_token)?;
            let rows = sales::list(db, &filter(&message)?, before, size + 1).await?;
            let (rows, next) = page::cut("sales", rows, size, |row| row.id.to_string());
            let rows = sales::with_orders(db, rows).await?;
            Ok((sales::messages(db, rows, false).await?, next))
        };
        let (sales, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListSalesResponse { sales, next_page_token }))
    }

    async fn explain_sale(
        &self,
        request: Request<v1::ExplainSaleRequest>,
    ) -> Result<Response<v1::ExplainSaleResponse>, Status> {
        use v1::explain_sale_request::Sale;
        let explained = async {
            let db = self.store.read();
            let item = match field::required("sale", request.into_inner().sale)? {
                Sale::ItemId(id) => self.item_by_id(&id).await?,
                Sale::Key(key) => self.item_by_key(key).await?,
            };
            let decisions = decisions::history(db, item.id).await?;
            Ok(v1::ExplainSaleResponse { sale: sale(db, Some(item), true).await?, decisions })
        };
        explained.await.map(Response::new).map_err(refuse)
    }

    async fn assign_sale(
        &self,
        request: Request<v1::AssignSaleRequest>,
    ) -> Result<Response<v1::AssignSaleResponse>, Status> {
        let message = request.into_inner();
        let id = field::uuid("item_id", &message.item_id).map_err(refuse)?;
        let new = Assignment::read(message.assignment.clone()).map_err(refuse)?;
        self.once("AssignSale", &message.request_id, &message, move |db, now| {
            Box::pin(async move {
                let item = sales::item(db, id).await?;
                if item.product.is_none() {
                    return Err(Error::Precondition {
                        reason: "PRODUCT_UNKNOWN",
                        message: format!(
                            "no product has the external ID {}: it must be known before the sale can be assigned",
                            item.external_product
                        ),
                    });
                }
                decisions::assign(db, item.id, &new, now).await?;
                deciding::items_again(db, vec![id], now).await?;
                let item = sales::item(db, id).await?;
                Ok(v1::AssignSaleResponse { sale: sale(db, Some(item), true).await? })
            })
        })
        .await
    }

    async fn preview_decision(
        &self,
        request: Request<v1::PreviewDecisionRequest>,
    ) -> Result<Response<v1::PreviewDecisionResponse>, Status> {
        let message = request.into_inner();
        let previewed = async {
            let reference = Reference::read("attendee", message.attendee, &self.tokens)?;
            let product: ProductId = field::id("product_id", &message.product_id)?;
            let at = field::required("at", time::read("at", message.at.as_ref())?)?;
            let db = self.store.read();
            let attendee = attendees::get(db, &self.keys, &reference).await?;
            let preview = Preview::new(db, &product, at).await?;
            let previewed = preview.decide(db, &attendee).await?;
            Ok(v1::PreviewDecisionResponse {
                attendee_id: attendee.id.to_string(),
                valid_from: previewed.stands.from.map(time::moment_to_proto),
                valid_until: previewed.stands.until.map(time::moment_to_proto),
                decision: Some(decisions::preview_message(db, previewed).await?),
            })
        };
        previewed.await.map(Response::new).map_err(refuse)
    }

    async fn preview_decisions(
        &self,
        request: Request<v1::PreviewDecisionsRequest>,
    ) -> Result<Response<Self::PreviewDecisionsStream>, Status> {
        let message = request.into_inner();
        let started = async {
            let webinar: WebinarId = field::id("webinar_id", &message.webinar_id)?;
            let product: ProductId = field::id("product_id", &message.product_id)?;
            let at = field::required("at", time::read("at", message.at.as_ref())?)?;
            let db = self.store.read();
            crate::store::catalogue::webinar(db, webinar.as_str()).await?;
            Ok((webinar, Preview::new(db, &product, at).await?))
        };
        let (webinar, preview) = started.await.map_err(refuse)?;
        // While one page is sent, one waits and one is read; there are never more.
        let (sender, receiver) = mpsc::channel(1);
        let registry = self.clone();
        tokio::spawn(async move {
            if let Err(error) = preview_all(&registry, &webinar, &preview, &sender).await {
                let _ = sender.send(Err(refuse(error))).await;
            }
        });
        let pages = ReceiverStream::new(receiver);
        let answers = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
        Ok(Response::new(Box::pin(answers)))
    }
}

impl Registry {
    async fn item_by_id(&self, id: &str) -> Result<item::Model> {
        sales::item(self.store.read(), field::uuid("item_id", id)?).await
    }

    async fn item_by_key(&self, key: v1::ItemKey) -> Result<item::Model> {
        let key = ItemKey::read("key", Some(key))?;
        sales::item_by_key(self.store.read(), &key)
            .await?
            .ok_or_else(|| Error::not_found(What::Sale, format!("{}/{}", key.order, key.item)))
    }
}

async fn sale(
    db: &impl sea_orm::ConnectionTrait,
    item: Option<item::Model>,
    with_touches: bool,
) -> Result<Option<v1::Sale>> {
    let rows = sales::with_orders(db, item.into_iter().collect()).await?;
    Ok(sales::messages(db, rows, with_touches).await?.pop())
}

fn filter(message: &v1::ListSalesRequest) -> Result<Filter> {
    let programme: Option<ProgrammeId> = field::optional_id("programme_id", &message.programme_id)?;
    let affiliate: Option<AffiliateId> = field::optional_id("affiliate_id", &message.affiliate_id)?;
    let product: Option<ProductId> = field::optional_id("product_id", &message.product_id)?;
    if affiliate.is_some() && programme.is_none() {
        return Err(Error::invalid("programme_id", "is required with affiliate_id"));
    }
    let credit: v1::Credit = field::enumeration("credit", message.credit)?;
    let carried_by: v1::CarriedBy = field::enumeration("carried_by", message.carried_by)?;
    Ok(Filter {
        credit: (credit != v1::Credit::Unspecified).then_some(credit),
        carried_by: (carried_by != v1::CarriedBy::Unspecified).then_some(carried_by),
        product: product.map(Into::into),
        programme: programme.map(Into::into),
        affiliate: affiliate.map(Into::into),
        include_test: message.include_test,
    })
}

/// Decides for all attendees of a webinar, a page at a time, as fast as the caller reads.
async fn preview_all(
    registry: &Registry,
    webinar: &WebinarId,
    preview: &Preview,
    sender: &mpsc::Sender<Result<Vec<v1::PreviewDecisionsResponse>, Status>>,
) -> Result<()> {
    let db = registry.store.read();
    let mut after: Option<Uuid> = None;
    loop {
        let people = previews::page(db, webinar.as_str(), after).await?;
        let Some(last) = people.last() else { return Ok(()) };
        after = Some(last.id);
        let affiliates = preview.affiliates(db, &people).await?;
        let answer = |(person, affiliate): (previews::Person, Option<AffiliateId>)| {
            v1::PreviewDecisionsResponse {
                attendee_id: person.id.to_string(),
                affiliate_id: affiliate.map(Into::into).unwrap_or_default(),
                registration: person.registration,
            }
        };
        let page = people.into_iter().zip(affiliates).map(answer).collect();
        if sender.send(Ok(page)).await.is_err() {
            return Ok(());
        }
    }
}
