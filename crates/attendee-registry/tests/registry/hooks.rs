//! What tools and checkouts post: verified, stored, answered, taken.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::Service as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tagalong_integrations::Presets;
use tagalong_proto::v1::{self, DeliveryState};
use tonic::{Code, Status};

use crate::{
    messages::{by_email, by_id, product, registration},
    world::{DAY, HOUR, MINUTE, NOON, World, refusal},
};

/// A request to a hook.
struct Post {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What it is answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    allow: Option<String>,
    body: String,
}

impl Post {
    fn new(path: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: Method::POST, path: path.to_owned(), headers, body: body.into() }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    async fn to(self, world: &World) -> Answer {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body))).unwrap();
        let response = world.service.http().call(request).await.unwrap();
        let allow = response.headers().get("allow");
        let allow = allow.map(|allow| allow.to_str().unwrap().to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, allow, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

fn mac(secret: &str, message: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A payment of one course, as CopeCart tells of it.
fn payment(order: &str, metadata: &str, affiliate: &str) -> Value {
    json!({
        "event_type": "payment.made",
        "order_id": order,
        "order_date": "2026-11-22",
        "product_id": "X-course",
        "product_name": "The course",
        "buyer_email": "jane@private.example",
        "buyer_firstname": "Jane",
        "affiliate": affiliate,
        "metadata": metadata,
        "payment_plan": "one_time_payment",
        "payment_status": "paid",
        "line_item_amount": "497.00",
        "transaction_id": format!("{order}-t1"),
        "transaction_type": "sale",
        "transaction_amount": "497.00",
        "transaction_currency": "EUR",
        "transaction_date": "2026-11-22",
        "rate_number": 1
    })
}

/// The same money going back.
fn refund(order: &str) -> Value {
    let mut body = payment(order, "", "");
    body["event_type"] = json!("payment.refunded");
    body["payment_status"] = json!("successed_refunded");
    body["transaction_type"] = json!("refund");
    body["transaction_id"] = json!(format!("{order}-t2"));
    body
}

fn copecart(secret: &str, body: &Value) -> Post {
    let body = body.to_string().into_bytes();
    let signature = STANDARD.encode(mac(secret, &body));
    Post::new("/-/hooks/shop", body).with("x-copecart-signature", signature)
}

/// Posts an authentic payload of the shop's; it must be accepted.
async fn sell(world: &World, body: &Value) {
    let answer = copecart(SECRET, body).to(world).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "OK"));
}

fn zoom_registration(webinar: &str, id: &str, affiliate: &str) -> Value {
    json!({
        "event": "webinar.registration_created",
        "event_ts": NOON * 1000,
        "payload": {
            "account_id": "A1",
            "object": {
                "id": webinar,
                "uuid": "u==",
                "topic": "Launch",
                "registrant": {
                    "id": id,
                    "email": "jane@example.com",
                    "first_name": "Jane",
                    "custom_questions": [
                        { "title": "Company", "value": "none" },
                        { "title": "aff", "value": affiliate }
                    ]
                }
            }
        }
    })
}

fn zoom(at: i64, body: &Value) -> Post {
    let body = body.to_string();
    let signature = hex::encode(mac(SECRET, format!("v0:{at}:{body}").as_bytes()));
    Post::new("/-/hooks/zoom", body)
        .with("x-zm-request-timestamp", at.to_string())
        .with("x-zm-signature", format!("v0={signature}"))
}

const SECRET: &str = "a secret agreed upon";

async fn add_source(world: &World, id: &str, preset: &str, webinars: &[(&str, &str)]) {
    let source = v1::Source {
        id: id.to_owned(),
        preset: preset.to_owned(),
        programme_id: "copecart".to_owned(),
        webinars: webinars
            .iter()
            .map(|(theirs, ours)| v1::SourceWebinar {
                external_id: (*theirs).to_owned(),
                webinar_id: (*ours).to_owned(),
            })
            .collect(),
        ..Default::default()
    };
    let request = v1::CreateSourceRequest {
        source: Some(source),
        secret: SECRET.to_owned(),
        ..Default::default()
    };
    world.sources().create_source(request).await.unwrap();
}

/// A registry whose source `shop` is a checkout, and `zoom` a webinar tool.
async fn world() -> World {
    let world = World::new().await;
    add_source(&world, "shop", "copecart", &[]).await;
    add_source(&world, "zoom", "zoom", &[("81", "launch")]).await;
    world
}

async fn listed(world: &World, state: DeliveryState) -> Vec<v1::Delivery> {
    let request = v1::ListDeliveriesRequest { state: state.into(), ..Default::default() };
    world.deliveries().list_deliveries(request).await.unwrap().into_inner().deliveries
}

/// Takes what waits; the one delivery there is.
async fn taken(world: &World) -> v1::Delivery {
    world.service.take_deliveries().await.unwrap();
    let [delivery] = listed(world, DeliveryState::Unspecified).await.try_into().unwrap();
    delivery
}

async fn replay(world: &World, id: &str) -> Result<v1::Delivery, Status> {
    let request = v1::ReplayDeliveryRequest { id: id.to_owned() };
    Ok(world.deliveries().replay_delivery(request).await?.into_inner().delivery.unwrap())
}

fn problem(delivery: &v1::Delivery) -> (&str, &str) {
    assert_eq!(delivery.state(), DeliveryState::Parked, "{delivery:?}");
    let problem = delivery.problem.as_ref().unwrap();
    (&problem.reason, &problem.path)
}

/// The sale of an order at the shop, with every decision it had.
async fn sale(world: &World, order: &str) -> Result<v1::ExplainSaleResponse, Status> {
    let key = v1::ItemKey {
        source: "shop".to_owned(),
        order_external_id: order.to_owned(),
        item_external_id: "X-course".to_owned(),
    };
    let sale = v1::explain_sale_request::Sale::Key(key);
    let request = v1::ExplainSaleRequest { sale: Some(sale) };
    Ok(world.sales().explain_sale(request).await?.into_inner())
}

#[tokio::test]
async fn a_signed_payment_becomes_a_decided_sale() {
    let world = world().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.at(HOUR);
    sell(&world, &payment("o1", &world.token(&jane), "max")).await;
    assert_eq!(listed(&world, DeliveryState::Received).await.len(), 1);
    let delivery = taken(&world).await;
    assert_eq!(delivery.state(), DeliveryState::Mapped, "{delivery:?}");
    assert_eq!((delivery.kind.as_str(), delivery.copies), ("payment", 1));
    let sale = sale(&world, "o1").await.unwrap().sale.unwrap();
    let decision = sale.decision.unwrap();
    assert_eq!((decision.affiliate_id.as_str(), decision.credit()), ("max", v1::Credit::Agreed));
    assert_eq!(decision.carried_by(), v1::CarriedBy::Token);
    assert_eq!(decision.attendee_id, jane.id);
    assert_eq!(sale.payments.len(), 1);
    let amount = v1::Money { minor_units: 49_700, currency: "EUR".to_owned() };
    assert_eq!(sale.payments[0].amount, Some(amount));
    assert_eq!(sale.item.unwrap().product_id, "course");
}

#[tokio::test]
async fn a_registration_is_a_verified_touch() {
    let world = world().await;
    let answer = zoom(NOON, &zoom_registration("81", "r1", "max")).to(&world).await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert_eq!(taken(&world).await.state(), DeliveryState::Mapped);
    let key = v1::RegistrationKey {
        source: "zoom".to_owned(),
        external_webinar_id: "81".to_owned(),
        external_id: "r1".to_owned(),
    };
    let reference = v1::attendee_reference::Reference::Registration(key);
    let request = v1::GetAttendeeRequest {
        attendee: Some(v1::AttendeeReference { reference: Some(reference) }),
    };
    let jane = world.attendees().get_attendee(request).await.unwrap().into_inner();
    let jane = jane.attendee.unwrap();
    assert_eq!((jane.webinar_id.as_str(), jane.has_email), ("launch", true));
    let [touch] = jane.touches.as_slice() else { panic!("{jane:?}") };
    assert_eq!((touch.affiliate_id.as_str(), touch.verified), ("max", true));
}

#[tokio::test]
async fn what_is_not_authentic_leaves_no_trace() {
    let world = world().await;
    let before = world.dump().await;
    let body = payment("o1", "", "max");
    let unsigned = Post::new("/-/hooks/shop", body.to_string());
    let forged = copecart("another secret", &body);
    let mut changed = copecart(SECRET, &body);
    changed.body = payment("o1", "", "mallory").to_string().into_bytes();
    let registration = zoom_registration("81", "r1", "max");
    let stale = zoom(NOON - HOUR, &registration);
    let early = zoom(NOON + HOUR, &registration);
    for post in [unsigned, forged, changed, stale, early] {
        let answer = post.to(&world).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
    }
    world.service.take_deliveries().await.unwrap();
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_source_that_is_not_there_answers_everybody_alike() {
    let world = world().await;
    let request = v1::GetSourceRequest { id: "zoom".to_owned() };
    let mut zoom = world.sources().get_source(request).await.unwrap().into_inner().source.unwrap();
    zoom.disabled = true;
    let request = v1::UpdateSourceRequest { source: Some(zoom), ..Default::default() };
    world.sources().update_source(request).await.unwrap();
    let nothing = Answer { status: StatusCode::NOT_FOUND, allow: None, body: String::new() };
    for path in [
        "/-/hooks/none",
        "/-/hooks/none/secret",
        "/-/hooks/zoom",
        "/-/hooks/",
        "/",
        "/-/hooks/a/b/c",
    ] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            let mut post = copecart(SECRET, &payment("o1", "", "max"));
            post.method = method.clone();
            post.path = path.to_owned();
            assert_eq!(post.to(&world).await, nothing, "{method} {path}");
        }
    }
    assert_eq!(world.rows("delivery").await, 0);
}

#[tokio::test]
async fn a_probe_is_answered_and_does_nothing() {
    let world = world().await;
    let before = world.dump().await;
    for path in ["/-/hooks/shop", "/-/hooks/shop/", "/-/hooks/shop/some-secret"] {
        for (method, status, allow) in [
            (Method::GET, StatusCode::OK, None),
            (Method::HEAD, StatusCode::OK, None),
            (Method::PUT, StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, POST")),
            (Method::DELETE, StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD, POST")),
        ] {
            let mut post = copecart(SECRET, &payment("o1", "", "max"));
            post.method = method.clone();
            post.path = path.to_owned();
            let answer = post.to(&world).await;
            assert_eq!((answer.status, answer.allow.as_deref()), (status, allow), "{method}");
        }
    }
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let world = world().await;
    let mut body = payment("o1", "", "max");
    body["product_name"] = json!("x".repeat(1024 * 1024));
    let answer = copecart(SECRET, &body).to(&world).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.rows("delivery").await, 0);
}

#[tokio::test]
async fn zoom_is_shown_that_we_know_the_secret() {
    let world = world().await;
    let before = world.dump().await;
    let body = json!({
        "event": "endpoint.url_validation",
        "event_ts": NOON * 1000,
        "payload": { "plainToken": "tiny-token" }
    });
    let answer = zoom(NOON, &body).to(&world).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let expected = hex::encode(mac(SECRET, b"tiny-token"));
    assert_eq!(answer, json!({ "plainToken": "tiny-token", "encryptedToken": expected }));
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn the_same_again_gets_the_same_answer_and_counts_once() {
    let world = world().await;
    let body = payment("o1", "", "max");
    sell(&world, &body).await;
    sell(&world, &body).await;
    let first = taken(&world).await;
    let before = world.dump().await;
    sell(&world, &body).await;
    let again = taken(&world).await;
    assert_eq!((first.copies, again.copies), (2, 3));
    assert_eq!(v1::Delivery { copies: 3, ..first }, again);
    let mut after = world.dump().await;
    after.insert("delivery".to_owned(), before["delivery"].clone());
    assert_eq!(after, before);
    // The same transaction in other words is another delivery, and changes nothing else.
    let mut other = body.clone();
    other["product_name"] = json!("Renamed");
    sell(&world, &other).await;
    world.service.take_deliveries().await.unwrap();
    assert_eq!(listed(&world, DeliveryState::Mapped).await.len(), 2);
    assert_eq!(sale(&world, "o1").await.unwrap().sale.unwrap().payments.len(), 1);
    assert_eq!(world.rows("payment").await, 1);
}

#[tokio::test]
async fn a_refund_may_come_first() {
    let mut sales = Vec::new();
    for bodies in
        [[payment("o1", "", "max"), refund("o1")], [refund("o1"), payment("o1", "", "max")]]
    {
        let world = world().await;
        for body in &bodies {
            sell(&world, body).await;
            world.service.take_deliveries().await.unwrap();
        }
        assert_eq!(listed(&world, DeliveryState::Mapped).await.len(), 2);
        let sale = sale(&world, "o1").await.unwrap().sale.unwrap();
        sales.push((sale.payments, sale.reversals));
    }
    assert_eq!(sales[0], sales[1]);
    let (payments, reversals) = &sales[0];
    assert_eq!((payments.len(), reversals.len()), (1, 1));
    assert_eq!(reversals[0].kind(), v1::ReversalKind::Refund);
    assert!(!reversals[0].exceeds_payments);
}

#[tokio::test]
async fn a_test_payment_is_a_test_sale() {
    let world = world().await;
    let mut body = payment("o1", "", "max");
    body["test_payment"] = json!(true);
    sell(&world, &body).await;
    taken(&world).await;
    assert!(sale(&world, "o1").await.unwrap().sale.unwrap().order.unwrap().test);
}

#[tokio::test]
async fn a_webinar_nobody_named_is_parked_until_somebody_does() {
    let world = world().await;
    zoom(NOON, &zoom_registration("82", "r1", "max")).to(&world).await;
    let parked = taken(&world).await;
    assert_eq!(problem(&parked).0, "WEBINAR_UNKNOWN");
    assert!(parked.problem.unwrap().message.contains("82"));
    assert_eq!(world.rows("registration").await, 0);

    world.at(DAY);
    let request = v1::GetSourceRequest { id: "zoom".to_owned() };
    let mut zoom = world.sources().get_source(request).await.unwrap().into_inner().source.unwrap();
    let everything_else =
        v1::SourceWebinar { external_id: String::new(), webinar_id: "launch".to_owned() };
    zoom.webinars.push(everything_else);
    let request = v1::UpdateSourceRequest { source: Some(zoom), ..Default::default() };
    world.sources().update_source(request).await.unwrap();
    let mapped = taken(&world).await;
    assert_eq!((mapped.state(), mapped.problem), (DeliveryState::Mapped, None));
    // The person registered when the tool said so, not when we understood it.
    let request = v1::GetAttendeeRequest { attendee: Some(by_email("launch", "jane@example.com")) };
    let jane = world.attendees().get_attendee(request).await.unwrap().into_inner();
    let registered = jane.attendee.unwrap().registrations[0].registered_at.unwrap();
    assert!(registered.seconds <= NOON, "{registered:?}");
}

#[tokio::test]
async fn an_order_of_an_unknown_product_is_kept_and_decided_when_it_is_known() {
    let world = world().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let mut body = payment("o1", &world.token(&jane), "max");
    body["product_id"] = json!("X-new");
    sell(&world, &body).await;
    let parked = taken(&world).await;
    assert_eq!(problem(&parked).0, "PRODUCT_UNKNOWN");
    assert!(parked.problem.as_ref().unwrap().message.contains("X-new"));

    let new = product("copecart", "new");
    world.product(new).await.unwrap();
    let mut launch = crate::messages::webinar("launch");
    launch.offers_product_ids.push("new".to_owned());
    world.change_webinar(launch).await.unwrap();
    assert_eq!(taken(&world).await.state(), DeliveryState::Mapped);
    let listed = world.sales().list_sales(v1::ListSalesRequest::default()).await.unwrap();
    let [sale] = listed.into_inner().sales.try_into().unwrap();
    assert_eq!(sale.item.unwrap().product_id, "new");
    assert_eq!(sale.decision.unwrap().affiliate_id, "max");
}

#[tokio::test]
async fn orders_of_a_source_without_programme_wait_for_one() {
    let world = world().await;
    let request = v1::GetSourceRequest { id: "shop".to_owned() };
    let mut shop = world.sources().get_source(request).await.unwrap().into_inner().source.unwrap();
    for (programme, expected) in [("", Some("PROGRAMME_MISSING")), ("copecart", None)] {
        shop.programme_id = programme.to_owned();
        shop.revision = 0;
        let request = v1::UpdateSourceRequest { source: Some(shop.clone()), ..Default::default() };
        world.sources().update_source(request).await.unwrap();
        sell(&world, &payment("o1", "", "max")).await;
        let delivery = taken(&world).await;
        let reason = delivery.problem.map(|problem| problem.reason);
        assert_eq!(reason.as_deref(), expected);
    }
}

/// A hall that signs nothing; it says when somebody registered at `at`.
fn hall(at: &str) -> String {
    format!(
        "title = 'Hall'\nkind = 'webinar'\nverified = true\n\
         [signature]\nscheme = 'own_secret'\n\
         [events]\nname = '$.event'\n[events.kinds]\njoined = 'registration'\n\
         [registration]\nid = '$.{at}'\nwebinar = '$.hall'\nemail = '$.mail'\naffiliate = '$.aff'\n"
    )
}

async fn with_presets(mut world: World, directory: &Path) -> World {
    world.hooks.presets = Presets::load(Some(directory)).unwrap();
    world.reopened(None).await
}

#[tokio::test]
async fn what_cannot_be_read_is_replayed_when_the_preset_is_mended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hall.toml");
    std::fs::write(&file, hall("person").replace("$.event", "$.kind")).unwrap();
    let world = with_presets(World::new().await, directory.path()).await;
    add_source(&world, "hall", "hall", &[("", "launch")]).await;
    let body = json!({ "event": "joined", "person": "p1", "hall": "7", "aff": "max" }).to_string();
    for (path, status) in [
        ("/-/hooks/hall", StatusCode::UNAUTHORIZED),
        ("/-/hooks/hall/another%20secret", StatusCode::UNAUTHORIZED),
        ("/-/hooks/hall/a%20secret%20agreed%20upon", StatusCode::OK),
    ] {
        assert_eq!(Post::new(path, body.clone()).to(&world).await.status, status, "{path}");
    }
    let parked = taken(&world).await;
    let (reason, path) = problem(&parked);
    assert_eq!((reason, path.contains("$.kind")), ("UNREADABLE", true), "{parked:?}");
    // It fails as before as long as nothing is mended.
    assert_eq!(problem(&replay(&world, &parked.id).await.unwrap()), problem(&parked));

    std::fs::write(&file, hall("person")).unwrap();
    let world = with_presets(world, directory.path()).await;
    let mended = replay(&world, &parked.id).await.unwrap();
    assert_eq!((mended.state(), mended.kind.as_str()), (DeliveryState::Mapped, "registration"));
    assert_eq!(mended.problem, None);
    let before = world.dump().await;
    let again = replay(&world, &parked.id).await.unwrap();
    assert_eq!(again, mended);
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn addresses_do_not_become_ids() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hall.toml");
    std::fs::write(&file, hall("mail")).unwrap();
    let world = with_presets(World::new().await, directory.path()).await;
    add_source(&world, "hall", "hall", &[("", "launch")]).await;
    for aff in ["max", "anna"] {
        let body = json!({ "event": "joined", "mail": "Jane@Example.com", "aff": aff }).to_string();
        let mut post = Post::new("/-/hooks/hall", body);
        post = post.with("authorization", format!("Bearer {SECRET}"));
        assert_eq!(post.to(&world).await.status, StatusCode::OK);
    }
    world.service.take_deliveries().await.unwrap();
    assert_eq!(listed(&world, DeliveryState::Mapped).await.len(), 2);
    assert_eq!((world.rows("attendee").await, world.rows("registration").await), (1, 1));
    let dump = format!("{:?}", world.dump().await).to_lowercase();
    assert!(!dump.contains("jane") && !dump.contains(&hex::encode(b"jane")));
}

#[tokio::test]
async fn bodies_are_shown_on_request_only_and_sealed() {
    let world = world().await;
    let body = payment("o1", "", "max");
    sell(&world, &body).await;
    let id = taken(&world).await.id;
    let dump = format!("{:?}", world.dump().await).to_lowercase();
    for secret in ["jane", "private.example"] {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode(secret)), "{secret}");
    }
    let get = async |include_body| {
        let request = v1::GetDeliveryRequest { id: id.clone(), include_body };
        world.deliveries().get_delivery(request).await.unwrap().into_inner()
    };
    let without = get(false).await;
    assert_eq!(without.body, None);
    assert!(!format!("{without:?}").contains("jane"));
    let shown = get(true).await.body.unwrap();
    assert_eq!(shown.content_type, "application/json");
    assert_eq!(shown.content, body.to_string().into_bytes());
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_page_by_page() {
    let world = world().await;
    for n in 0..5 {
        sell(&world, &payment(&format!("o{n}"), "", "max")).await;
    }
    zoom(NOON, &zoom_registration("82", "r1", "max")).to(&world).await;
    world.service.take_deliveries().await.unwrap();
    let mut request = v1::ListDeliveriesRequest { page_size: 2, ..Default::default() };
    let mut ids = Vec::new();
    loop {
        let page = world.deliveries().list_deliveries(request.clone()).await.unwrap().into_inner();
        ids.extend(page.deliveries.into_iter().map(|delivery| delivery.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 6);
    assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
    assert_eq!(listed(&world, DeliveryState::Parked).await.len(), 1);
    let request = v1::ListDeliveriesRequest { source_id: "shop".to_owned(), ..Default::default() };
    let of_shop = world.deliveries().list_deliveries(request).await.unwrap().into_inner();
    assert_eq!(of_shop.deliveries.len(), 5);

    let none = replay(&world, "00000000-0000-7000-8000-000000000000").await.unwrap_err();
    assert_eq!(refusal(&none), (Code::NotFound, "DELIVERY_NOT_FOUND".to_owned()));
    assert_eq!(replay(&world, "x").await.unwrap_err().code(), Code::InvalidArgument);
    let request = v1::ListDeliveriesRequest { state: 99, ..Default::default() };
    let refused = world.deliveries().list_deliveries(request).await.unwrap_err();
    assert_eq!(crate::world::field(&refused), "state");
}

#[tokio::test]
async fn a_secret_is_exchanged_while_deliveries_go_on() {
    let world = world().await;
    let request = v1::RotateSourceSecretRequest {
        source_id: "shop".to_owned(),
        secret: "the new secret".to_owned(),
        keep_old_for: Some(prost_types::Duration { seconds: HOUR, nanos: 0 }),
        ..Default::default()
    };
    world.sources().rotate_source_secret(request).await.unwrap();
    for (at, order, secret, status) in [
        (0, "o1", SECRET, StatusCode::OK),
        (0, "o2", "the new secret", StatusCode::OK),
        (HOUR - 1, "o3", SECRET, StatusCode::OK),
        (HOUR, "o4", SECRET, StatusCode::UNAUTHORIZED),
        (HOUR, "o5", "the new secret", StatusCode::OK),
    ] {
        world.at(at);
        let answer = copecart(secret, &payment(order, "", "max")).to(&world).await;
        assert_eq!(answer.status, status, "{order}");
    }
}

#[tokio::test]
async fn a_source_without_a_secret_takes_nothing() {
    let world = world().await;
    let source =
        v1::Source { id: "bare".to_owned(), preset: "copecart".to_owned(), ..Default::default() };
    let request = v1::CreateSourceRequest { source: Some(source), ..Default::default() };
    world.sources().create_source(request).await.unwrap();
    for secret in ["", SECRET] {
        let mut post = Post::new("/-/hooks/bare", payment("o1", "", "max").to_string());
        let signature = STANDARD.encode(mac(secret, &post.body));
        post = post.with("x-copecart-signature", signature);
        assert_eq!(post.to(&world).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn what_was_answered_is_taken_after_a_restart() {
    let world = world().await;
    for n in 0..70 {
        sell(&world, &payment(&format!("o{n}"), "", "max")).await;
    }
    let world = world.reopened(None).await;
    assert_eq!(world.rows("item").await, 0);
    world.service.take_deliveries().await.unwrap();
    assert_eq!(world.rows("item").await, 70);
    assert_eq!(listed(&world, DeliveryState::Received).await.len(), 0);
}

#[tokio::test]
async fn deliveries_are_kept_for_their_time_and_no_longer() {
    let world = world().await;
    sell(&world, &payment("o1", "", "max")).await;
    zoom(NOON, &zoom_registration("82", "r1", "max")).to(&world).await;
    world.service.take_deliveries().await.unwrap();
    sell(&world, &payment("waits", "", "max")).await;
    for (at, left) in [
        (30 * DAY - MINUTE, vec!["mapped", "parked", "received"]),
        (30 * DAY, vec!["parked", "received"]),
        (180 * DAY - MINUTE, vec!["parked", "received"]),
        // What waits for its turn is never removed.
        (180 * DAY, vec!["received"]),
    ] {
        world.at(at);
        world.service.clear_deliveries().await.unwrap();
        let mut states: Vec<_> = listed(&world, DeliveryState::Unspecified)
            .await
            .iter()
            .map(|d| d.state().as_str_name().trim_start_matches("DELIVERY_STATE_").to_lowercase())
            .collect();
        states.sort();
        assert_eq!(states, left, "{at}");
    }
    // The platform's late retry still counts once.
    sell(&world, &payment("o1", "", "max")).await;
    world.service.take_deliveries().await.unwrap();
    assert_eq!(sale(&world, "o1").await.unwrap().sale.unwrap().payments.len(), 1);
}

#[tokio::test]
async fn whoever_is_erased_is_erased_from_the_inbox_too() {
    let world = world().await;
    zoom(NOON, &zoom_registration("81", "r1", "max")).to(&world).await;
    world.service.take_deliveries().await.unwrap();
    let request = v1::GetAttendeeRequest { attendee: Some(by_email("launch", "jane@example.com")) };
    let jane = world.attendees().get_attendee(request).await.unwrap().into_inner();
    let jane = jane.attendee.unwrap();
    // Bought with another address, recognised by the token.
    sell(&world, &payment("o1", &world.token(&jane), "max")).await;
    // Somebody else's stays.
    let mut other = payment("o2", "", "max");
    other["buyer_email"] = json!("john@example.com");
    sell(&world, &other).await;
    world.service.take_deliveries().await.unwrap();
    let erase = v1::EraseAttendeeRequest { attendee: Some(by_id(&jane.id)) };
    world.attendees().erase_attendee(erase).await.unwrap();

    let deliveries = listed(&world, DeliveryState::Unspecified).await;
    let erased: Vec<_> = deliveries.iter().map(|delivery| delivery.body_erased).collect();
    assert_eq!(erased, [false, true, true]);
    let refused = replay(&world, &deliveries[2].id).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "DELIVERY_BODY_ERASED".to_owned()));
    let request = v1::GetDeliveryRequest { id: deliveries[2].id.clone(), include_body: true };
    let shown = world.deliveries().get_delivery(request).await.unwrap().into_inner();
    assert_eq!(shown.body, None);
    // Nor does the tool's retry bring anybody back.
    zoom(NOON, &zoom_registration("81", "r1", "max")).to(&world).await;
    world.service.take_deliveries().await.unwrap();
    assert!(listed(&world, DeliveryState::Unspecified).await[2].body_erased);
    assert_eq!(world.rows("attendee_email").await, 0);
}
