//! A registry with a clock of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::Timestamp;
use tagalong_attendee_registry::{Config, Hooks, Service, keys::DataKeys, store::Store};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    drain::Drain,
    status,
    transport::{Transport, local},
};
use tagalong_proto::v1::{
    self, attendee_service_client::AttendeeServiceClient,
    catalogue_service_client::CatalogueServiceClient, click_service_client::ClickServiceClient,
    delivery_service_client::DeliveryServiceClient, event_service_client::EventServiceClient,
    sale_service_client::SaleServiceClient, source_service_client::SourceServiceClient,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    database::{TestDatabase, database, dump},
    messages,
};

/// 2026-11-22T12:00:00Z, when every test begins.
pub(crate) const NOON: i64 = 1_795_348_800;
pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;

/// A registry on a database of its own.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) tokens: KeyRing,
    pub(crate) hooks: Hooks,
    pub(crate) service: Service,
    transport: Transport,
    seconds: Arc<AtomicI64>,
}

fn keys() -> DataKeys {
    DataKeys::new([7; 32], [8; 32])
}

async fn start(
    url: &str,
    keys: DataKeys,
    tokens: &KeyRing,
    hooks: &Hooks,
    seconds: &Arc<AtomicI64>,
) -> Service {
    let store = Store::connect(url).await.unwrap();
    let seconds = Arc::clone(seconds);
    let clock = Clock::new(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap());
    Service::new(store, keys, tokens.clone(), hooks.clone(), clock, Drain::default())
}

impl World {
    /// An empty registry.
    pub(crate) async fn empty() -> Self {
        let database = database().await;
        let tokens = KeyRing::new(1, [(1, [9; 32])]).unwrap();
        let seconds = Arc::new(AtomicI64::new(NOON));
        let public_url = "https://hooks.example.com".parse().unwrap();
        let hooks = Hooks { public_url, ..Config::default().hooks().unwrap() };
        let service = start(&database.url, keys(), &tokens, &hooks, &seconds).await;
        let transport = local(service.routes());
        Self { database, tokens, hooks, service, transport, seconds }
    }

    /// A registry with a programme, a webinar that promotes `ticket` and offers `course` and `extra`.
    pub(crate) async fn new() -> Self {
        let world = Self::empty().await;
        world.programme(messages::programme("copecart")).await.unwrap();
        for product in ["ticket", "course", "extra"] {
            world.product(messages::product("copecart", product)).await.unwrap();
        }
        world.webinar(messages::webinar("launch")).await.unwrap();
        world
    }

    /// The same database, opened anew, with other keys where given.
    pub(crate) async fn reopened(self, with: Option<DataKeys>) -> Self {
        let Self { database, tokens, hooks, service, transport, seconds } = self;
        drop(transport);
        service.close().await.unwrap();
        let keys = with.unwrap_or_else(keys);
        let service = start(&database.url, keys, &tokens, &hooks, &seconds).await;
        let transport = local(service.routes());
        Self { database, tokens, hooks, service, transport, seconds }
    }

    pub(crate) fn catalogue(&self) -> CatalogueServiceClient<Transport> {
        CatalogueServiceClient::new(self.transport.clone())
    }

    pub(crate) fn attendees(&self) -> AttendeeServiceClient<Transport> {
        AttendeeServiceClient::new(self.transport.clone())
    }

    pub(crate) fn clicks(&self) -> ClickServiceClient<Transport> {
        ClickServiceClient::new(self.transport.clone())
    }

    pub(crate) fn sales(&self) -> SaleServiceClient<Transport> {
        SaleServiceClient::new(self.transport.clone())
    }

    pub(crate) fn events(&self) -> EventServiceClient<Transport> {
        EventServiceClient::new(self.transport.clone())
    }

    pub(crate) fn sources(&self) -> SourceServiceClient<Transport> {
        SourceServiceClient::new(self.transport.clone())
    }

    pub(crate) fn deliveries(&self) -> DeliveryServiceClient<Transport> {
        DeliveryServiceClient::new(self.transport.clone())
    }

    /// Moves the clock to some seconds after noon.
    pub(crate) fn at(&self, seconds: i64) -> &Self {
        self.seconds.store(NOON + seconds, Ordering::SeqCst);
        self
    }

    pub(crate) async fn dump(&self) -> BTreeMap<String, Vec<String>> {
        dump(&self.database.url).await
    }

    pub(crate) async fn rows(&self, table: &str) -> usize {
        self.dump().await[table].len()
    }

    pub(crate) async fn programme(
        &self,
        programme: v1::Programme,
    ) -> Result<v1::Programme, Status> {
        let request =
            v1::CreateProgrammeRequest { programme: Some(programme), ..Default::default() };
        Ok(self.catalogue().create_programme(request).await?.into_inner().programme.unwrap())
    }

    pub(crate) async fn affiliate(
        &self,
        affiliate: v1::Affiliate,
    ) -> Result<v1::Affiliate, Status> {
        let request =
            v1::CreateAffiliateRequest { affiliate: Some(affiliate), ..Default::default() };
        Ok(self.catalogue().create_affiliate(request).await?.into_inner().affiliate.unwrap())
    }

    pub(crate) async fn product(&self, product: v1::Product) -> Result<v1::Product, Status> {
        let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
        Ok(self.catalogue().create_product(request).await?.into_inner().product.unwrap())
    }

    pub(crate) async fn change_product(&self, product: v1::Product) -> Result<v1::Product, Status> {
        let request = v1::UpdateProductRequest { product: Some(product), ..Default::default() };
        Ok(self.catalogue().update_product(request).await?.into_inner().product.unwrap())
    }

    pub(crate) async fn webinar(&self, webinar: v1::Webinar) -> Result<v1::Webinar, Status> {
        let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
        Ok(self.catalogue().create_webinar(request).await?.into_inner().webinar.unwrap())
    }

    pub(crate) async fn change_webinar(&self, webinar: v1::Webinar) -> Result<v1::Webinar, Status> {
        let request = v1::UpdateWebinarRequest { webinar: Some(webinar), ..Default::default() };
        Ok(self.catalogue().update_webinar(request).await?.into_inner().webinar.unwrap())
    }

    pub(crate) async fn register(
        &self,
        request: v1::RegisterAttendeeRequest,
    ) -> Result<v1::RegisterAttendeeResponse, Status> {
        Ok(self.attendees().register_attendee(request).await?.into_inner())
    }

    /// A registration that has to succeed; the attendee.
    pub(crate) async fn registered(&self, request: v1::RegisterAttendeeRequest) -> v1::Attendee {
        self.register(request).await.unwrap().attendee.unwrap()
    }

    pub(crate) async fn attendee(&self, id: &str) -> Result<v1::Attendee, Status> {
        let request = v1::GetAttendeeRequest { attendee: Some(messages::by_id(id)) };
        Ok(self.attendees().get_attendee(request).await?.into_inner().attendee.unwrap())
    }

    /// The token of an attendee.
    pub(crate) fn token(&self, attendee: &v1::Attendee) -> String {
        self.tokens.sign(Uuid::try_parse(&attendee.id).unwrap())
    }

    pub(crate) async fn order(
        &self,
        request: v1::ReportOrderRequest,
    ) -> Result<v1::ReportOrderResponse, Status> {
        Ok(self.sales().report_order(request).await?.into_inner())
    }

    /// An order that has to succeed; its first sale.
    pub(crate) async fn sold(&self, request: v1::ReportOrderRequest) -> v1::Sale {
        self.order(request).await.unwrap().sales.remove(0)
    }

    /// The sale as it stands, with every decision it had, newest first.
    pub(crate) async fn explain(&self, order: &str, item: &str) -> v1::ExplainSaleResponse {
        let sale = v1::explain_sale_request::Sale::Key(messages::item_key(order, item));
        let request = v1::ExplainSaleRequest { sale: Some(sale) };
        self.sales().explain_sale(request).await.unwrap().into_inner()
    }

    /// Who is credited for the first item of an order.
    pub(crate) async fn credited(&self, order: &str) -> String {
        self.explain(order, "1").await.sale.unwrap().decision.unwrap().affiliate_id
    }

    /// Sends a run of clicks of the one log.
    pub(crate) async fn record(
        &self,
        first_position: i64,
        clicks: Vec<v1::Click>,
    ) -> Result<i64, Status> {
        let request = v1::RecordClicksRequest {
            log_id: Uuid::from_u128(1).to_string(),
            first_position,
            clicks,
            oldest_position: 1,
        };
        Ok(self.clicks().record_clicks(request).await?.into_inner().next_position)
    }

    pub(crate) async fn suspend(&self, affiliate: &str, at: i64) -> Result<v1::Affiliate, Status> {
        let request = v1::SuspendAffiliateRequest {
            programme_id: "copecart".to_owned(),
            id: affiliate.to_owned(),
            at: Some(messages::time(at)),
            reason: "fraud".to_owned(),
            ..Default::default()
        };
        Ok(self.catalogue().suspend_affiliate(request).await?.into_inner().affiliate.unwrap())
    }

    pub(crate) async fn assign(&self, item: &str, affiliate: &str) -> Result<v1::Sale, Status> {
        let request = v1::AssignSaleRequest {
            item_id: item.to_owned(),
            assignment: Some(v1::Assignment {
                affiliate_id: affiliate.to_owned(),
                author: "ada".to_owned(),
                reason: "phone call".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        Ok(self.sales().assign_sale(request).await?.into_inner().sale.unwrap())
    }

    /// The whole feed so far, and the cursor after it.
    pub(crate) async fn feed(&self, cursor: &str, include_test: bool) -> (Vec<v1::Event>, String) {
        let cursor = cursor.to_owned();
        let request =
            v1::WatchRequest { cursor, include_test, heartbeat: true, ..Default::default() };
        let mut stream = self.events().watch(request).await.unwrap().into_inner();
        let mut cursor = stream.message().await.unwrap().unwrap().cursor;
        let mut events = Vec::new();
        loop {
            let step = stream.message().await.unwrap().unwrap();
            // The heart beats where there is nothing more.
            let Some(event) = step.event else { return (events, cursor) };
            events.push(event);
            cursor = step.cursor;
        }
    }
}

/// The one field a refusal names.
pub(crate) fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status::field_violations(status);
    assert_eq!(violations.len(), 1, "{status:?}");
    violations.into_iter().next().unwrap().0
}

/// The reason of a refusal, with its code.
pub(crate) fn refusal(status: &Status) -> (Code, String) {
    (status.code(), status::reason(status).unwrap_or_default())
}
