//! A registry with a handful of records, which notes how it was asked.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::Response;
use prost_types::Timestamp;
use tagalong_chassis::{status::refusal, transport::Transport};
use tagalong_proto::v1::{
    Affiliate, Attendee, AttendeeReference, Decision, Event, GetAffiliateRequest,
    GetAffiliateResponse, GetAttendeeRequest, GetAttendeeResponse, GetProductRequest,
    GetProductResponse, PreviewDecisionRequest, PreviewDecisionResponse, PreviewDecisionsRequest,
    PreviewDecisionsResponse, Product, RegistrationKey, Suspension, WatchRequest, WatchResponse,
    attendee_reference::Reference, event::Kind,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Iter, wrappers::UnboundedReceiverStream};
use tonic::{Code, Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;
use tower::{service_fn, util::BoxCloneSyncService};
use uuid::Uuid;

/// Whom `max` is credited for.
pub(super) const FRIEND: Uuid = Uuid::from_u128(0x0193_5a2b_7c8d_7e9f_8a1b_2c3d_4e5f_6071);
/// For whom nobody is credited.
pub(super) const STRANGER: Uuid = Uuid::from_u128(0x0193_5a2b_7c8d_7e9f_8a1b_2c3d_4e5f_6072);
/// When the suspension of `gone` begins, in seconds; it lasts 100.
pub(super) const SUSPENDED: i64 = 1_700_000_000;

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    /// How many answers of a stream were taken.
    pub(super) streamed: Arc<AtomicUsize>,
    /// What every call answers.
    pub(super) fails: Option<Status>,
    /// No call is ever answered.
    pub(super) hangs: bool,
    /// Whom [`FRIEND`] is credited to, and from when until when.
    pub(super) friend: Arc<Mutex<Credited>>,
    /// Previews wait for their answer, which is found before.
    pub(super) held: Arc<watch::Sender<bool>>,
    /// The change feed, while it is followed.
    pub(super) feed: Arc<Mutex<Option<Feed>>>,
}

/// An affiliate, and the seconds from which and until which it is credited.
type Credited = (&'static str, [Option<i64>; 2]);

type Feed = mpsc::UnboundedSender<Result<WatchResponse, Status>>;

impl Default for Fake {
    fn default() -> Self {
        Self {
            asked: Arc::default(),
            streamed: Arc::default(),
            fails: None,
            hangs: false,
            friend: Arc::new(Mutex::new(("max", [None, None]))),
            held: Arc::new(watch::Sender::new(false)),
            feed: Arc::default(),
        }
    }
}

/// How the registry was asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) timeout: String,
    pub(super) at: Option<Timestamp>,
}

impl Fake {
    pub(super) fn transport(&self) -> Transport {
        let fake = self.clone();
        BoxCloneSyncService::new(service_fn(move |request| {
            let fake = fake.clone();
            async move { Ok(fake.call(request).await) }
        }))
    }

    pub(super) fn methods(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.method.clone()).collect()
    }

    fn note(&self, at: Option<Timestamp>) {
        self.asked.lock().unwrap().last_mut().unwrap().at = at;
    }

    async fn call(self, request: http::Request<Body>) -> Response<Body> {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let timeout = request.headers().get("grpc-timeout");
        let timeout = timeout.map(|text| text.to_str().unwrap().to_owned()).unwrap_or_default();
        self.asked.lock().unwrap().push(Asked { method: method.clone(), timeout, at: None });
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(status) = &self.fails {
            return status.clone().into_http();
        }
        macro_rules! unary {
            ($answer:expr) => {{
                let answer = service_fn(move |request: tonic::Request<_>| {
                    let answer = $answer(request.into_inner()).map(tonic::Response::new);
                    async move { answer }
                });
                Grpc::new(ProstCodec::default()).unary(answer, request).await
            }};
        }
        match method.as_str() {
            "PreviewDecision" => {
                let answer = service_fn(move |request: tonic::Request<_>| {
                    let answer = self.decision(request.into_inner()).map(tonic::Response::new);
                    let mut held = self.held.subscribe();
                    async move {
                        held.wait_for(|held| !held).await.unwrap();
                        answer
                    }
                });
                Grpc::new(ProstCodec::default()).unary(answer, request).await
            }
            "Watch" => {
                let answer = service_fn(move |request: tonic::Request<_>| {
                    let answer = self.watch(request.get_ref());
                    async move { Ok(tonic::Response::new(answer)) }
                });
                Grpc::new(ProstCodec::default()).server_streaming(answer, request).await
            }
            "GetAttendee" => unary!(attendee),
            "GetProduct" => unary!(product),
            "GetAffiliate" => unary!(affiliate),
            "PreviewDecisions" => {
                let answer = service_fn(move |request: tonic::Request<_>| {
                    let answer = self.decisions(request.get_ref()).map(tonic::Response::new);
                    async move { answer }
                });
                Grpc::new(ProstCodec::default()).server_streaming(answer, request).await
            }
            _ => Status::unimplemented(method).into_http(),
        }
    }

    fn decision(&self, asked: PreviewDecisionRequest) -> Result<PreviewDecisionResponse, Status> {
        self.note(asked.at);
        let attendee = known(asked.attendee)?;
        product(GetProductRequest { id: asked.product_id.clone() })?;
        let credited = attendee == FRIEND;
        let (affiliate, stands) = *self.friend.lock().unwrap();
        let decision = Decision {
            programme_id: "shop".to_owned(),
            affiliate_id: if credited { affiliate } else { "" }.to_owned(),
            reason: if credited {
                format!("{affiliate} brought the buyer")
            } else {
                "nobody is credited".to_owned()
            },
            ..Decision::default()
        };
        let [valid_from, valid_until] =
            stands.map(|moment| moment.map(|seconds| Timestamp { seconds, nanos: 0 }));
        let attendee_id = attendee.to_string();
        Ok(PreviewDecisionResponse {
            attendee_id,
            decision: Some(decision),
            valid_from,
            valid_until,
        })
    }

    fn watch(
        &self,
        asked: &WatchRequest,
    ) -> UnboundedReceiverStream<Result<WatchResponse, Status>> {
        assert!(asked.only_new && asked.include_test && asked.heartbeat && asked.cursor.is_empty());
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(Ok(WatchResponse::default())).unwrap();
        *self.feed.lock().unwrap() = Some(sender);
        UnboundedReceiverStream::new(receiver)
    }

    /// Tells who follows.
    pub(super) fn tell(&self, kind: Option<Kind>) {
        let event = Event { kind, ..Event::default() };
        let step = WatchResponse { event: Some(event), cursor: String::new() };
        self.feed.lock().unwrap().as_ref().unwrap().send(Ok(step)).unwrap();
    }

    /// How often a method was called.
    pub(super) fn calls(&self, method: &str) -> usize {
        self.methods().iter().filter(|asked| *asked == method).count()
    }

    /// A webinar with more attendees than anybody can take; the third is one nobody is credited for.
    fn decisions(
        &self,
        asked: &PreviewDecisionsRequest,
    ) -> Result<Iter<impl Iterator<Item = Result<PreviewDecisionsResponse, Status>> + use<>>, Status>
    {
        self.note(asked.at);
        if asked.webinar_id != "live" {
            return Err(unknown("WEBINAR_NOT_FOUND"));
        }
        product(GetProductRequest { id: asked.product_id.clone() })?;
        let (streamed, broken) = (self.streamed.clone(), asked.product_id == "broken");
        Ok(tokio_stream::iter((1_u128..).map(move |number| {
            streamed.fetch_add(1, Ordering::Relaxed);
            if broken && number == 2 {
                return Err(Status::internal("select attendee from password"));
            }
            Ok(PreviewDecisionsResponse {
                attendee_id: Uuid::from_u128(number).to_string(),
                affiliate_id: if number == 3 { String::new() } else { format!("partner{number}") },
                registration: Some(RegistrationKey {
                    source: "zoom".to_owned(),
                    external_webinar_id: "77".to_owned(),
                    external_id: number.to_string(),
                }),
            })
        })))
    }
}

fn attendee(asked: GetAttendeeRequest) -> Result<GetAttendeeResponse, Status> {
    let attendee = Attendee { id: known(asked.attendee)?.to_string(), ..Attendee::default() };
    Ok(GetAttendeeResponse { attendee: Some(attendee) })
}

fn product(asked: GetProductRequest) -> Result<GetProductResponse, Status> {
    match asked.id.as_str() {
        "kurs" | "buch" | "broken" => {
            Ok(GetProductResponse { product: Some(Product { id: asked.id, ..Product::default() }) })
        }
        _ => Err(unknown("PRODUCT_NOT_FOUND")),
    }
}

fn affiliate(asked: GetAffiliateRequest) -> Result<GetAffiliateResponse, Status> {
    assert_eq!(asked.programme_id, "shop");
    if asked.id != "gone" {
        return Err(unknown("AFFILIATE_NOT_FOUND"));
    }
    let moment = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let suspension = Suspension {
        starts_at: moment(SUSPENDED),
        ends_at: moment(SUSPENDED + 100),
        ..Suspension::default()
    };
    let affiliate =
        Affiliate { id: asked.id, suspensions: vec![suspension], ..Affiliate::default() };
    Ok(GetAffiliateResponse { affiliate: Some(affiliate) })
}

fn known(reference: Option<AttendeeReference>) -> Result<Uuid, Status> {
    match reference.and_then(|reference| reference.reference) {
        Some(Reference::AttendeeId(id)) if id == FRIEND.to_string() => Ok(FRIEND),
        Some(Reference::AttendeeId(id)) if id == STRANGER.to_string() => Ok(STRANGER),
        Some(Reference::Registration(key)) if key.external_id == "42" => Ok(FRIEND),
        Some(Reference::Email(email)) if email.email == "a@b.test" => Ok(FRIEND),
        Some(Reference::Registrant(registrant)) if registrant.external_id == "42" => Ok(FRIEND),
        Some(Reference::Email(email)) if !email.email.contains('@') => {
            let problem = "must be an e-mail address";
            Err(tagalong_chassis::status::bad_request([("attendee.email.email", problem)]))
        }
        _ => Err(unknown("ATTENDEE_NOT_FOUND")),
    }
}

fn unknown(reason: &'static str) -> Status {
    refusal(Code::NotFound, reason, "unknown", &[])
}

impl Asked {
    /// The deadline it came with, in microseconds.
    pub(super) fn micros(&self) -> u64 {
        self.timeout.strip_suffix('u').expect("a deadline").parse().unwrap()
    }
}
