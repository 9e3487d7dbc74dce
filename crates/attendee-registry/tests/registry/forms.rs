//! What forms on an operator's own pages post, and what visitors of rooms are recognised by.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::HeaderMap};
use http_body_util::{BodyExt as _, Full};
use hyper::service::Service as _;
use serde_json::json;
use tagalong_proto::v1;
use tonic::Code;

use crate::{
    messages::{
        by_email, by_id, click, click_id, order, product, programme, reference, registration,
        webinar, with_email, with_token,
    },
    world::{MINUTE, World, field, refusal},
};

const PAGE: &str = "https://www.example.com";
const FORM: &str = "application/x-www-form-urlencoded";

fn form() -> v1::RegistrationForm {
    v1::RegistrationForm {
        key: "launch-form-1".to_owned(),
        allowed_origins: vec![PAGE.to_owned(), "http://localhost:8000/".to_owned()],
        ..Default::default()
    }
}

async fn world_with(form: v1::RegistrationForm) -> World {
    let world = World::new().await;
    let launch = v1::Webinar { form: Some(form), ..webinar("launch") };
    world.change_webinar(launch).await.unwrap();
    world
}

async fn send(
    world: &World,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response: Response<_> = world.service.http().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut headers = parts.headers;
    headers.remove("date");
    (parts.status, headers, String::from_utf8(body.to_vec()).unwrap())
}

/// A page's form is sent.
async fn post(world: &World, body: &str) -> (StatusCode, HeaderMap, String) {
    let headers = [("content-type", FORM), ("origin", PAGE)];
    send(world, Method::POST, "/-/register/launch", &headers, body.to_owned()).await
}

async fn found(world: &World, email: &str) -> v1::Attendee {
    let request = v1::GetAttendeeRequest { attendee: Some(by_email("launch", email)) };
    world.attendees().get_attendee(request).await.unwrap().into_inner().attendee.unwrap()
}

async fn recognised(world: &World, product: &str, email: &str) -> String {
    let request =
        v1::RecogniseAttendeeRequest { product_id: product.to_owned(), email: email.to_owned() };
    world.attendees().recognise_attendee(request).await.unwrap().into_inner().attendee_id
}

#[tokio::test]
async fn a_form_registers_unverified() {
    let world = world_with(form()).await;
    world.record(1, vec![click(1, "ticket", "max", -60)]).await.unwrap();
    let body = format!(
        "key=launch-form-1&email=Jane%40Example.com&affiliate=max&click={}&session=monday&name=Jane",
        click_id(1)
    );
    let (status, headers, page) = post(&world, &body).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert_eq!(headers["access-control-allow-origin"], PAGE);
    assert_eq!(headers["cache-control"], "no-store");
    let jane = found(&world, "jane@example.com").await;
    let [registration] = jane.registrations.try_into().unwrap();
    assert_eq!((registration.affiliate_id.as_str(), registration.verified), ("max", false));
    assert_eq!(registration.session_id, "monday");
    assert!(jane.touches.iter().all(|touch| touch.affiliate_id == "max" && !touch.verified));
    assert_eq!(jane.touches.len(), 2, "the registration and the click");
    world.sold(order("o1", with_email("jane@example.com"))).await;
    assert_eq!(world.credited("o1").await, "max");
}

#[tokio::test]
async fn every_answer_is_the_same() {
    let thanks = "https://www.example.com/thanks?a=1";
    let world =
        world_with(v1::RegistrationForm { thank_you_url: thanks.to_owned(), ..form() }).await;
    world.registered(registration("1", "jane@example.com", "max")).await;
    let (status, headers, _) = post(&world, "key=launch-form-1&email=new%40example.com").await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, thanks));
    for again in ["new%40example.com", "jane%40example.com", "other%40example.com"] {
        let body = format!("key=launch-form-1&email={again}&affiliate=evil");
        assert_eq!(post(&world, &body).await, (status, headers.clone(), String::new()), "{again}");
    }
    let body = json!({"key": "launch-form-1", "email": "script@example.com", "affiliate": "max"});
    for (kind, body) in [
        (vec![("content-type", "application/json; charset=utf-8")], body.to_string()),
        (
            vec![("content-type", FORM), ("accept", "application/json")],
            "key=launch-form-1&email=fetch%40example.com".to_owned(),
        ),
    ] {
        let told = send(&world, Method::POST, "/-/register/launch/", &kind, body).await;
        assert_eq!((told.0, told.2.as_str()), (StatusCode::OK, "{\"accepted\":true}\n"));
        assert!(told.1.get("location").is_none());
    }
    assert_eq!(found(&world, "script@example.com").await.touches.len(), 1);
}

/// With a known address and one's own affiliate ID, however the person became known.
#[tokio::test]
async fn a_known_address_changes_nothing_at_all() {
    let world = world_with(form()).await;
    world.registered(registration("1", "jane@example.com", "max")).await;
    world.registered(registration("2", "nobodys@example.com", "")).await;
    post(&world, "key=launch-form-1&email=form%40example.com&affiliate=max").await;
    post(&world, "key=launch-form-1&email=alone%40example.com").await;
    world.record(1, vec![click(1, "ticket", "evil", 0)]).await.unwrap();
    world.at(MINUTE);
    let before = world.dump().await;
    for email in
        ["Jane%40example.com", "nobodys%40example.com", "form%40EXAMPLE.com", "alone%40example.com"]
    {
        for session in ["", "monday"] {
            let click = click_id(1);
            let body = format!(
                "key=launch-form-1&email={email}&affiliate=evil&click={click}&session={session}"
            );
            assert_eq!(post(&world, &body).await.0, StatusCode::OK);
        }
    }
    assert_eq!(world.dump().await, before);
    for (order_id, email, credited) in [
        ("o1", "jane@example.com", "max"),
        ("o2", "nobodys@example.com", ""),
        ("o3", "form@example.com", "max"),
        ("o4", "alone@example.com", ""),
    ] {
        world.sold(order(order_id, with_email(email))).await;
        assert_eq!(world.credited(order_id).await, credited, "{email}");
    }
}

#[tokio::test]
async fn who_was_erased_may_come_back() {
    let world = world_with(form()).await;
    let body = "key=launch-form-1&email=jane%40example.com&affiliate=max";
    post(&world, body).await;
    let before = found(&world, "jane@example.com").await;
    let erase = v1::EraseAttendeeRequest { attendee: Some(by_id(&before.id)) };
    world.attendees().erase_attendee(erase).await.unwrap();
    post(&world, body).await;
    assert_ne!(found(&world, "jane@example.com").await.id, before.id);
}

#[tokio::test]
async fn what_is_not_taken_changes_nothing() {
    let world = world_with(form()).await;
    world.webinar(webinar("closed")).await.unwrap();
    let before = world.dump().await;
    let good = "key=launch-form-1&email=jane%40example.com";
    let of = |kind: &'static str| vec![("content-type", kind)];
    let from = |origin: &'static str| vec![("content-type", FORM), ("origin", origin)];
    let long = format!("{good}&x={}", "x".repeat(20_000));
    for (method, path, headers, body, status) in [
        (Method::POST, "launch", from("https://evil.example"), good, 403),
        (Method::POST, "launch", from("null"), good, 403),
        (Method::POST, "launch", from("https://www.example.com.evil.example"), good, 403),
        (Method::POST, "launch", of(FORM), "key=launch-form-2&email=jane%40example.com", 404),
        (Method::POST, "launch", of(FORM), "email=jane%40example.com", 404),
        (Method::POST, "launch", of(FORM), "key=launch-form-1", 422),
        (Method::POST, "launch", of(FORM), "key=launch-form-1&email=jane", 422),
        (Method::POST, "launch", of(FORM), &long, 413),
        (Method::POST, "launch", of("text/plain"), good, 415),
        (Method::POST, "launch", of("application/json"), good, 400),
        (Method::POST, "launch", of("application/json"), "[]", 400),
        (Method::POST, "closed", of(FORM), good, 404),
        (Method::POST, "nowhere", of(FORM), good, 404),
        (Method::POST, "", of(FORM), good, 404),
        (Method::POST, "launch/more", of(FORM), good, 404),
        (Method::GET, "launch?key=launch-form-1&email=jane%40example.com", vec![], "", 405),
        (Method::HEAD, "launch", vec![], "", 405),
        (Method::PUT, "launch", of(FORM), good, 405),
    ] {
        let path = format!("/-/register/{path}");
        let told = send(&world, method.clone(), &path, &headers, body.to_owned()).await;
        assert_eq!(told.0, status, "{method} {path} {headers:?} {body:.60}");
        assert!(!told.2.contains("jane"), "{}", told.2);
    }
    assert_eq!(world.dump().await, before);
}

#[tokio::test]
async fn scripts_of_exactly_these_pages_may_ask() {
    let world = world_with(form()).await;
    for (origin, allowed) in [
        (PAGE, true),
        ("http://localhost:8000", true),
        ("http://www.example.com", false),
        ("https://example.com", false),
        ("null", false),
    ] {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let told = send(&world, Method::OPTIONS, "/-/register/launch", &headers, "").await;
        assert_eq!(told.0, StatusCode::NO_CONTENT);
        let shared = told.1.get("access-control-allow-origin").map(|to| to.to_str().unwrap());
        assert_eq!(shared, allowed.then_some(origin), "{origin}");
        assert_eq!(told.1.contains_key("access-control-allow-headers"), allowed);
        assert!(told.1["vary"].to_str().unwrap().contains("Origin"));
    }
}

#[tokio::test]
async fn a_form_that_cannot_be_is_refused_by_name() {
    let world = World::new().await;
    let with = |form| v1::Webinar { form: Some(form), ..webinar("launch") };
    for (bad, named) in [
        (v1::RegistrationForm { key: "short".into(), ..form() }, "webinar.form.key"),
        (v1::RegistrationForm { key: "with space".into(), ..form() }, "webinar.form.key"),
        (
            v1::RegistrationForm { allowed_origins: vec![], ..form() },
            "webinar.form.allowed_origins",
        ),
        (
            v1::RegistrationForm { allowed_origins: vec![format!("{PAGE}/page")], ..form() },
            "webinar.form.allowed_origins[0]",
        ),
        (
            v1::RegistrationForm { allowed_origins: vec!["*".into()], ..form() },
            "webinar.form.allowed_origins[0]",
        ),
        (
            v1::RegistrationForm { thank_you_url: "javascript:alert(1)".into(), ..form() },
            "webinar.form.thank_you_url",
        ),
        (
            v1::RegistrationForm { programme_id: "nothing".into(), ..form() },
            "webinar.form.programme_id",
        ),
    ] {
        let refused = world.change_webinar(with(bad)).await.unwrap_err();
        assert_eq!(field(&refused), named);
    }
    for room in
        ["//room.example", "ftp://room.example", "https://a:b@room.example", "https://ro om"]
    {
        let launch = v1::Webinar { room_url: room.into(), ..webinar("launch") };
        let refused = world.change_webinar(launch).await.unwrap_err();
        assert_eq!(field(&refused), "webinar.room_url", "{room}");
    }
    // Two programmes: nobody would be there to say which one an affiliate's ID is of.
    world.programme(programme("other")).await.unwrap();
    world.product(product("other", "book")).await.unwrap();
    let mut both = with(form());
    both.offers_product_ids.push("book".to_owned());
    let refused = world.change_webinar(both.clone()).await.unwrap_err();
    assert_eq!(field(&refused), "webinar.form.programme_id");
    both.form.as_mut().unwrap().programme_id = "other".to_owned();
    both.room_url = "https://room.example/j/1?pwd=x".to_owned();
    let stored = world.change_webinar(both.clone()).await.unwrap();
    both.form.as_mut().unwrap().allowed_origins[1] = "http://localhost:8000".to_owned();
    assert_eq!((stored.form, stored.room_url), (both.form, both.room_url));
    let off = world.change_webinar(webinar("launch")).await.unwrap();
    assert_eq!((off.form, off.room_url.as_str()), (None, ""));
}

#[tokio::test]
async fn an_address_is_recognised_where_its_webinar_offers_the_product() {
    let world = world_with(form()).await;
    let autumn = v1::Webinar { promotes_product_ids: vec![], ..webinar("autumn") };
    world
        .webinar(v1::Webinar { offers_product_ids: vec!["course".into()], ..autumn })
        .await
        .unwrap();
    assert_eq!(recognised(&world, "course", "jane@example.com").await, "");
    post(&world, "key=launch-form-1&email=jane%40example.com").await;
    let launch = found(&world, "jane@example.com").await.id;
    assert_eq!(recognised(&world, "course", " JANE@example.com").await, launch);
    world.at(MINUTE);
    let mut later = registration("2", "jane@example.com", "");
    (later.webinar_id, later.key.as_mut().unwrap().external_webinar_id) =
        ("autumn".to_owned(), "z2".to_owned());
    let autumn = world.registered(later).await.id;
    assert_eq!(recognised(&world, "course", "jane@example.com").await, autumn, "it is verified");
    assert_eq!(recognised(&world, "extra", "jane@example.com").await, launch);
    assert_eq!(recognised(&world, "ticket", "jane@example.com").await, "", "it is not sold there");
    assert_eq!(recognised(&world, "course", "no address").await, "");
    let nothing =
        v1::RecogniseAttendeeRequest { product_id: "nothing".into(), email: "a@b.example".into() };
    let refused = world.attendees().recognise_attendee(nothing).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::NotFound, "PRODUCT_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_registrant_is_named_only_where_the_source_allows_it() {
    let world = World::new().await;
    let jane = world.registered(registration("r1", "jane@example.com", "max")).await;
    let named = async |source: &str, id: &str| {
        let registrant = v1::Registrant { source: source.to_owned(), external_id: id.to_owned() };
        let who = reference(v1::attendee_reference::Reference::Registrant(registrant));
        let request = v1::GetAttendeeRequest { attendee: Some(who) };
        let found = world.attendees().get_attendee(request).await;
        found.map(|found| found.into_inner().attendee.unwrap().id).map_err(|error| error.code())
    };
    assert_eq!(named("zoom", "r1").await, Err(Code::NotFound), "there is no such source");
    let mut zoom =
        v1::Source { id: "zoom".to_owned(), preset: "zoom".to_owned(), ..Default::default() };
    let request = v1::CreateSourceRequest { source: Some(zoom.clone()), ..Default::default() };
    world.sources().create_source(request).await.unwrap();
    assert_eq!(named("zoom", "r1").await, Err(Code::NotFound), "it is off by default");
    let update = async |zoom: &v1::Source| {
        let request = v1::UpdateSourceRequest { source: Some(zoom.clone()), ..Default::default() };
        world.sources().update_source(request).await.unwrap().into_inner().source.unwrap()
    };
    zoom.registrant_links = true;
    assert!(update(&zoom).await.registrant_links);
    assert_eq!(named("zoom", "r1").await, Ok(jane.id));
    assert_eq!(named("zoom", "r2").await, Err(Code::NotFound));
    assert_eq!(named("zoom", "").await, Err(Code::InvalidArgument));
    zoom.disabled = true;
    update(&zoom).await;
    assert_eq!(named("zoom", "r1").await, Err(Code::NotFound));
}

#[tokio::test]
async fn a_landing_is_an_unverified_touch_and_counts_as_a_click() {
    let world = World::new().await;
    let mut landing = click(1, "ticket", "max", -60);
    landing.link = v1::LinkKind::Landing.into();
    world.record(1, vec![landing]).await.unwrap();
    let mut claim = registration("1", "jane@example.com", "");
    claim.click_id = click_id(1);
    let jane = world.registered(claim).await;
    let [touch] = <[_; 1]>::try_from(jane.touches.clone()).unwrap();
    assert_eq!((touch.kind(), touch.verified), (v1::TouchKind::Landing, false));
    world.sold(order("o1", with_token(world.token(&jane)))).await;
    assert_eq!(world.credited("o1").await, "max");
    // A verified click of another's displaces it, although it is no newer.
    world.record(2, vec![click(2, "ticket", "eva", -120)]).await.unwrap();
    let mut claim = registration("1", "jane@example.com", "");
    claim.click_id = click_id(2);
    world.registered(claim).await;
    assert_eq!(world.credited("o1").await, "eva");
    let funnel = world.events().get_funnel(v1::GetFunnelRequest::default()).await.unwrap();
    let [row] = <[_; 1]>::try_from(funnel.into_inner().rows).unwrap();
    assert_eq!(row.human_clicks, 2);
}
