//! What tests are made of: peers that do as they are told, and a redirect with a catalogue.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, Method, Response, Uri, header::LOCATION};
use http_body_util::Full;
use hyper::{body::Bytes, service::Service as _};
use jiff::{SignedDuration, Timestamp};
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    drain::Ready,
    transport::{Transport, local},
};
use tagalong_proto::v1::{
    self, Click, ClickClass, GetClickLogRequest, GetClickLogResponse, LinkBasis, ListClicksRequest,
    ListClicksResponse, RecordClicksRequest, RecordClicksResponse, RenderLinkRequest,
    RenderLinkResponse, WatchCatalogueRequest, WatchCatalogueResponse,
    catalogue_change::Change,
    click_service_server::{ClickService, ClickServiceServer},
    link_rendering_service_server::{LinkRenderingService, LinkRenderingServiceServer},
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{
    Request, Status,
    server::{Grpc, ServerStreamingService},
    service::Routes,
};
use tower::service_fn;
use uuid::Uuid;

use crate::{
    Config, Peers, Service,
    catalogue::{
        Catalogue,
        tests::{product, step, suspended},
        to_proto,
    },
    click_log::{ClickLog, LogStatus},
    visit,
};

pub(crate) const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// Where the webinar `launch` takes place.
pub(crate) const ROOM: &str = "https://room.test/j/42?pwd=x";

pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn clock() -> Clock {
    Clock::new(now)
}

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(1, [(1, [7; 32])]).unwrap()
}

pub(crate) fn attendee() -> Uuid {
    Uuid::from_u128(0x0193_5a2b_7c8d_7e9f_8a1b_2c3d_4e5f_6071)
}

/// Fails, rather than hangs, where something never happens.
pub(crate) async fn soon<T>(happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), happens).await.expect("it never happened")
}

/// A click; its ID sorts after those before it.
pub(crate) fn click() -> Click {
    static CLICKS: AtomicI64 = AtomicI64::new(0);
    let later = SignedDuration::from_millis(CLICKS.fetch_add(1, Ordering::Relaxed));
    Click {
        id: visit::click_id(now() + later),
        product_id: "course".into(),
        occurred_at: Some(to_proto(now())),
        class: ClickClass::Human.into(),
        ..Click::default()
    }
}

/// A peer that cannot be reached.
pub(crate) fn down() -> Transport {
    Transport::new(service_fn(async |_| Ok(Status::unavailable("down").into_http())))
}

/// The webinar `launch` sells both products. `course` has a sales page and a checkout, `book` has only a checkout with the affiliate in the path; `sus` is suspended.
pub(crate) fn catalogue() -> Catalogue {
    let page = |with: &str, without: &str| {
        Some(v1::Destination { with_affiliate: with.into(), without_affiliate: without.into() })
    };
    let course = v1::Product {
        sales_page: page("https://sales.test/webinar?lang=de&aff={affiliate}&s={sub1}#top", ""),
        cookie_policy: v1::CookiePolicy::Always.into(),
        ..product("course", "https://pay.test/c/42?partner={affiliate}&ref={reference}")
    };
    let book = v1::Product {
        checkout: page("https://shop.test/{affiliate}/book", "https://shop.test/book"),
        ..product("book", "")
    };
    let launch = v1::Webinar {
        id: "launch".into(),
        room_url: ROOM.into(),
        offers_product_ids: vec!["course".into(), "book".into()],
        ..Default::default()
    };
    let changes = vec![
        Change::Product(course),
        Change::Product(book),
        Change::Webinar(launch),
        Change::Webinar(v1::Webinar { id: "roomless".into(), ..Default::default() }),
        suspended("sus", 0, None),
    ];
    let mut catalogue = Catalogue::default();
    catalogue.apply(step(changes, 3), &Catalogue::default());
    catalogue
}

/// A redirect in `data` that knows [`catalogue`] from disk, with its registry down.
pub(crate) fn service(data: &Path, link_rendering: Transport) -> Service {
    catalogue().save(&data.join("catalogue.bin")).unwrap();
    let config = Config { data: data.to_owned(), decision_deadline_ms: 5000, ..Config::default() };
    open(&config, link_rendering)
}

pub(crate) fn open(config: &Config, link_rendering: Transport) -> Service {
    open_with(config, Peers { registry: down(), link_rendering })
}

pub(crate) fn open_with(config: &Config, peers: Peers) -> Service {
    Service::open(config, peers, keys(), clock(), &Ready::default()).unwrap()
}

pub(crate) async fn ask(
    service: &Service,
    method: Method,
    target: &str,
    headers: &[(&'static str, &str)],
) -> Response<Full<Bytes>> {
    send(service, method, target, headers, "").await
}

pub(crate) async fn send(
    service: &Service,
    method: Method,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> Response<Full<Bytes>> {
    let mut request = http::Request::new(Full::new(Bytes::from(body.to_owned())));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse::<Uri>().unwrap();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    *request.headers_mut() = headers;
    service.http().call(request).await.unwrap()
}

/// Where a human is sent.
pub(crate) async fn location(service: &Service, target: &str) -> String {
    let response = ask(service, Method::GET, target, &[("user-agent", CHROME)]).await;
    assert_eq!(response.status(), 302, "{target}");
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

/// All clicks in a service's log.
pub(crate) async fn recorded(service: &Service) -> Vec<Click> {
    read(&service.edge.log).await.0
}

/// All clicks in a log that never lost any, and where it stands.
pub(crate) async fn read(log: &ClickLog) -> (Vec<Click>, LogStatus) {
    let run = log.with(|log| log.read(1, i64::MAX, usize::MAX)).await.unwrap();
    (run.clicks(usize::MAX, usize::MAX).unwrap(), run.log)
}

/// Link rendering that does the same each time.
#[derive(Debug, Clone)]
pub(crate) enum Rendering {
    Says(&'static str, LinkBasis),
    Fails,
    NeverAnswers,
}

impl Rendering {
    /// And what it was asked.
    pub(crate) fn start(self) -> (Transport, Arc<Mutex<Vec<RenderLinkRequest>>>) {
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let fake = FakeRendering { does: self, asked: asked.clone() };
        (local(Routes::new(LinkRenderingServiceServer::new(fake))), asked)
    }
}

#[derive(Debug)]
struct FakeRendering {
    does: Rendering,
    asked: Arc<Mutex<Vec<RenderLinkRequest>>>,
}

#[tonic::async_trait]
impl LinkRenderingService for FakeRendering {
    type RenderLinksStream = ReceiverStream<Result<v1::RenderLinksResponse, Status>>;

    async fn render_link(
        &self,
        request: Request<RenderLinkRequest>,
    ) -> Result<tonic::Response<RenderLinkResponse>, Status> {
        self.asked.lock().unwrap().push(request.into_inner());
        match self.does {
            Rendering::Says(affiliate, basis) => Ok(tonic::Response::new(RenderLinkResponse {
                affiliate_id: affiliate.into(),
                basis: basis.into(),
                token: keys().sign(attendee()),
                ..Default::default()
            })),
            Rendering::Fails => Err(Status::unavailable("on purpose")),
            Rendering::NeverAnswers => std::future::pending().await,
        }
    }

    async fn render_links(
        &self,
        _: Request<v1::RenderLinksRequest>,
    ) -> Result<tonic::Response<Self::RenderLinksStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn render_message(
        &self,
        _: Request<v1::RenderMessageRequest>,
    ) -> Result<tonic::Response<v1::RenderMessageResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn render_qr_code(
        &self,
        _: Request<v1::RenderQrCodeRequest>,
    ) -> Result<tonic::Response<v1::RenderQrCodeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A registry that recognises [`attendee`] by one address, and what it was asked. Any other call fails.
pub(crate) fn recognising(
    email: &'static str,
) -> (Transport, Arc<Mutex<Vec<v1::RecogniseAttendeeRequest>>>) {
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let calls = asked.clone();
    let transport = Transport::new(service_fn(move |request: http::Request<tonic::body::Body>| {
        let calls = calls.clone();
        async move {
            if !request.uri().path().ends_with("/RecogniseAttendee") {
                return Ok(Status::unavailable("on purpose").into_http());
            }
            let answer = service_fn(move |request: Request<v1::RecogniseAttendeeRequest>| {
                let request = request.into_inner();
                let known = request.email == email;
                calls.lock().unwrap().push(request);
                let attendee_id = if known { attendee().to_string() } else { String::new() };
                let answer = v1::RecogniseAttendeeResponse { attendee_id };
                async move { Ok::<_, Status>(tonic::Response::new(answer)) }
            });
            Ok(Grpc::new(tonic_prost::ProstCodec::default()).unary(answer, request).await)
        }
    }));
    (transport, asked)
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and changes nothing.
    Before,
    /// It is done, and the answer gets lost.
    After,
}

/// The registry's side of shipping, as the proto describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ingest(Arc<IngestState>);

#[derive(Debug, Default)]
struct IngestState {
    stored: Mutex<Stored>,
    changed: Notify,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// The next position of each log.
    pub(crate) next: HashMap<String, i64>,
    /// By click ID; and how often each was sent.
    pub(crate) clicks: BTreeMap<String, u32>,
    /// Runs in the order they came: first position, length.
    pub(crate) runs: Vec<(i64, usize)>,
    /// What goes wrong next.
    pub(crate) faults: VecDeque<Fault>,
}

impl Ingest {
    pub(crate) fn transport(&self) -> Transport {
        local(Routes::new(ClickServiceServer::new(self.clone())))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Stored) -> T) -> T {
        change(&mut self.0.stored.lock().unwrap())
    }

    /// Waits until something is true.
    pub(crate) async fn until(&self, holds: impl Fn(&Stored) -> bool) -> Stored {
        soon(async {
            loop {
                let changed = self.0.changed.notified();
                let stored = self.change(|stored| stored.clone());
                if holds(&stored) {
                    return stored;
                }
                changed.await;
            }
        })
        .await
    }

    fn fault(&self) -> Result<bool, Status> {
        match self.change(|stored| stored.faults.pop_front()) {
            Some(Fault::Before) => Err(Status::unavailable("on purpose")),
            Some(Fault::After) => Ok(true),
            None => Ok(false),
        }
    }
}

#[tonic::async_trait]
impl ClickService for Ingest {
    async fn record_clicks(
        &self,
        request: Request<RecordClicksRequest>,
    ) -> Result<tonic::Response<RecordClicksResponse>, Status> {
        let lost = self.fault()?;
        let run = request.into_inner();
        let next = self.change(|stored| {
            let next = *stored.next.get(&run.log_id).unwrap_or(&1);
            if run.first_position > next && run.first_position != run.oldest_position {
                return Err(Status::failed_precondition("gap"));
            }
            stored.runs.push((run.first_position, run.clicks.len()));
            for (position, click) in (run.first_position..).zip(run.clicks) {
                if position >= next {
                    *stored.clicks.entry(click.id).or_default() += 1;
                    stored.next.insert(run.log_id.clone(), position + 1);
                }
            }
            Ok(*stored.next.get(&run.log_id).unwrap_or(&1))
        })?;
        self.0.changed.notify_waiters();
        if lost {
            return Err(Status::unavailable("the answer got lost"));
        }
        Ok(tonic::Response::new(RecordClicksResponse { next_position: next }))
    }

    async fn get_click_log(
        &self,
        request: Request<GetClickLogRequest>,
    ) -> Result<tonic::Response<GetClickLogResponse>, Status> {
        self.fault()?;
        let id = request.into_inner().log_id;
        let next = self.change(|stored| *stored.next.get(&id).unwrap_or(&1));
        Ok(tonic::Response::new(GetClickLogResponse { next_position: next }))
    }

    async fn list_clicks(
        &self,
        _: Request<ListClicksRequest>,
    ) -> Result<tonic::Response<ListClicksResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// A step of the catalogue's stream, or its end.
pub(crate) type Step = Result<WatchCatalogueResponse, Status>;

/// One call of `WatchCatalogue`: what was asked, and where its steps go.
pub(crate) type Watcher = (i64, mpsc::Sender<Step>);

/// A registry whose `WatchCatalogue` a test plays. Any other call hangs.
pub(crate) fn watched() -> (Transport, mpsc::Receiver<Watcher>) {
    let (watchers, calls) = mpsc::channel(8);
    let transport = Transport::new(service_fn(move |request: http::Request<tonic::body::Body>| {
        let watch = Watch(watchers.clone());
        async move {
            if !request.uri().path().ends_with("/WatchCatalogue") {
                std::future::pending::<()>().await;
            }
            let codec = tonic_prost::ProstCodec::default();
            Ok(Grpc::new(codec).server_streaming(watch, request).await)
        }
    }));
    (transport, calls)
}

struct Watch(mpsc::Sender<Watcher>);

type Steps = Pin<Box<dyn Stream<Item = Step> + Send>>;

impl ServerStreamingService<WatchCatalogueRequest> for Watch {
    type Response = WatchCatalogueResponse;
    type ResponseStream = Steps;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Steps>, Status>> + Send>>;

    fn call(&mut self, request: Request<WatchCatalogueRequest>) -> Self::Future {
        let watchers = self.0.clone();
        Box::pin(async move {
            let (steps, stream) = mpsc::channel(8);
            let watcher = (request.into_inner().after_revision, steps);
            watchers.send(watcher).await.map_err(|_| Status::unavailable("the test is over"))?;
            Ok(tonic::Response::new(Box::pin(ReceiverStream::new(stream)) as Steps))
        })
    }
}
