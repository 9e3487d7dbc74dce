#![allow(clippy::unnecessary_wraps, reason = "helpers make what fields of messages hold")]

use std::{sync::atomic::Ordering, time::Duration};

use jiff::Timestamp;
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{
    clock::Clock,
    status::{field_violations, reason},
    transport::{Transport, local},
};
use tagalong_proto::v1::{
    AffiliateLink, AttendeeEmail, AttendeeReference, ImageFormat, LinkBasis, MessageFormat,
    Registrant, RegistrationKey, RenderLinkRequest, RenderLinksRequest, RenderMessageRequest,
    RenderQrCodeRequest, attendee_reference::Reference,
    link_rendering_service_client::LinkRenderingServiceClient, render_qr_code_request::Target,
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::*;

mod fake;
mod keeping;

use fake::{FRIEND, Fake, STRANGER, SUSPENDED};

const NOW: i64 = 1_800_000_000;

fn ring() -> KeyRing {
    KeyRing::new(7, [(7, [7; 32])]).unwrap()
}

fn service(fake: &Fake) -> Service {
    let clock = Clock::new(|| Timestamp::from_second(NOW).unwrap());
    let public_url = "https://go.test/x/".parse().unwrap();
    Service::new(public_url, fake.transport(), ring(), clock)
}

fn client(fake: &Fake) -> LinkRenderingServiceClient<Transport> {
    LinkRenderingServiceClient::new(local(service(fake).routes()))
}

fn whom(reference: Reference) -> Option<AttendeeReference> {
    Some(AttendeeReference { reference: Some(reference) })
}

fn id(attendee: Uuid) -> Option<AttendeeReference> {
    whom(Reference::AttendeeId(attendee.to_string()))
}

fn link(attendee: Option<AttendeeReference>) -> RenderLinkRequest {
    RenderLinkRequest { attendee, product_id: "kurs".to_owned(), ..RenderLinkRequest::default() }
}

fn message(attendee: Option<AttendeeReference>, body: &str) -> RenderMessageRequest {
    let format = MessageFormat::Text.into();
    RenderMessageRequest { attendee, body: body.to_owned(), format, at: None }
}

fn moment(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// The one field a refusal names.
fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let fields = field_violations(status);
    assert_eq!(fields.len(), 1, "{status:?}");
    fields[0].0.clone()
}

#[tokio::test]
async fn the_decision_beats_the_fallback() {
    let fake = Fake::default();
    let token = ring().sign(FRIEND);
    let request = RenderLinkRequest { fallback_affiliate_id: "eva".to_owned(), ..link(id(FRIEND)) };
    let answer = client(&fake).render_link(request).await.unwrap().into_inner();
    assert_eq!(answer.url, format!("https://go.test/x/kurs/p/max/buy/{token}"));
    assert_eq!((answer.affiliate_id.as_str(), answer.basis()), ("max", LinkBasis::Decision));
    assert_eq!(answer.reason, "max brought the buyer");
    assert_eq!((answer.attendee_id, answer.token), (FRIEND.to_string(), token));
    assert_eq!(fake.methods(), ["PreviewDecision"]);
    assert_eq!(fake.asked.lock().unwrap()[0].at, moment(NOW), "absent: now");
}

#[tokio::test]
async fn attendees_are_named_in_four_ways() {
    let key = RegistrationKey {
        source: "zoom".to_owned(),
        external_webinar_id: String::new(),
        external_id: "42".to_owned(),
    };
    let email = AttendeeEmail { webinar_id: "live".to_owned(), email: "a@b.test".to_owned() };
    for reference in [
        Reference::AttendeeId(FRIEND.to_string()),
        Reference::Token(ring().sign(FRIEND)),
        Reference::Registration(key),
        Reference::Email(email),
        Reference::Registrant(Registrant { source: "zoom".into(), external_id: "42".into() }),
    ] {
        let answer = client(&Fake::default()).render_link(link(whom(reference))).await.unwrap();
        assert_eq!(answer.into_inner().attendee_id, FRIEND.to_string());
    }
}

#[tokio::test]
async fn where_nobody_is_credited_the_fallback_stands_unless_suspended() {
    use LinkBasis::{Fallback, Nobody};
    for (fallback, at, expected, why) in [
        ("", NOW, (Nobody, ""), "nobody is credited"),
        ("eva", NOW, (Fallback, "eva"), "nobody is credited, so the fallback eva stands"),
        (" eva ", NOW, (Fallback, "eva"), "nobody is credited, so the fallback eva stands"),
        ("{{contact.AFF}}", NOW, (Nobody, ""), "nobody is credited"),
        ("../eva", NOW, (Nobody, ""), "nobody is credited"),
        (
            "gone",
            SUSPENDED - 1,
            (Fallback, "gone"),
            "nobody is credited, so the fallback gone stands",
        ),
        ("gone", SUSPENDED, (Nobody, ""), "nobody is credited; the fallback gone is suspended"),
        (
            "gone",
            SUSPENDED + 99,
            (Nobody, ""),
            "nobody is credited; the fallback gone is suspended",
        ),
        (
            "gone",
            SUSPENDED + 100,
            (Fallback, "gone"),
            "nobody is credited, so the fallback gone stands",
        ),
    ] {
        let fake = Fake::default();
        let fallback_affiliate_id = fallback.to_owned();
        let request =
            RenderLinkRequest { fallback_affiliate_id, at: moment(at), ..link(id(STRANGER)) };
        let answer = client(&fake).render_link(request).await.unwrap().into_inner();
        let (basis, affiliate) = expected;
        assert_eq!(
            (answer.basis(), answer.affiliate_id.as_str()),
            (basis, affiliate),
            "{fallback}"
        );
        assert_eq!(answer.reason, why);
        let token = ring().sign(STRANGER);
        let path = match affiliate {
            "" => format!("kurs/buy/{token}"),
            affiliate => format!("kurs/p/{affiliate}/buy/{token}"),
        };
        assert_eq!(answer.url, format!("https://go.test/x/{path}"));
        assert_eq!(fake.asked.lock().unwrap()[0].at, moment(at));
    }
}

#[tokio::test]
async fn who_and_what_is_unknown_is_not_found() {
    let forged = KeyRing::new(7, [(7, [8; 32])]).unwrap().sign(FRIEND);
    for reference in [
        Reference::AttendeeId(Uuid::from_u128(9).to_string()),
        Reference::Token(forged),
        Reference::Token("*|TOKEN|*".to_owned()),
        Reference::Token(ring().sign(Uuid::from_u128(9))),
    ] {
        let status = client(&Fake::default()).render_link(link(whom(reference))).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(reason(&status).as_deref(), Some("ATTENDEE_NOT_FOUND"));
    }
    let request = RenderLinkRequest { product_id: "nothing".to_owned(), ..link(id(FRIEND)) };
    let status = client(&Fake::default()).render_link(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(reason(&status).as_deref(), Some("PRODUCT_NOT_FOUND"));
}

#[tokio::test]
async fn malformed_fields_are_named_and_nobody_is_asked() {
    let key = |source: &str, external_id: &str| {
        let external_webinar_id = String::new();
        let (source, external_id) = (source.to_owned(), external_id.to_owned());
        whom(Reference::Registration(RegistrationKey { source, external_webinar_id, external_id }))
    };
    let email = |webinar: &str, email: &str| {
        let (webinar_id, email) = (webinar.to_owned(), email.to_owned());
        whom(Reference::Email(AttendeeEmail { webinar_id, email }))
    };
    let registrant = |source: &str, external_id: &str| {
        let (source, external_id) = (source.to_owned(), external_id.to_owned());
        whom(Reference::Registrant(Registrant { source, external_id }))
    };
    let fake = Fake::default();
    for (request, expected) in [
        (RenderLinkRequest { product_id: String::new(), ..link(id(FRIEND)) }, "product_id"),
        (RenderLinkRequest { product_id: "../x".to_owned(), ..link(id(FRIEND)) }, "product_id"),
        (RenderLinkRequest { at: moment(i64::MAX), ..link(id(FRIEND)) }, "at"),
        (link(None), "attendee"),
        (link(Some(AttendeeReference { reference: None })), "attendee"),
        (link(whom(Reference::AttendeeId("max".to_owned()))), "attendee.attendee_id"),
        (link(whom(Reference::Token(String::new()))), "attendee.token"),
        (link(key("", "1")), "attendee.registration.source"),
        (link(key("zoom", "")), "attendee.registration.external_id"),
        (link(key("zoom", &"x".repeat(129))), "attendee.registration.external_id"),
        (link(email("", "a@b.test")), "attendee.email.webinar_id"),
        (link(email("live", "")), "attendee.email.email"),
        (link(registrant("-", "1")), "attendee.registrant.source"),
        (link(registrant("zoom", "")), "attendee.registrant.external_id"),
        (link(registrant("zoom", &"x".repeat(129))), "attendee.registrant.external_id"),
    ] {
        let status = client(&fake).render_link(request.clone()).await.unwrap_err();
        assert_eq!(field(&status), expected);
        let format = ImageFormat::Svg.into();
        let target = Some(Target::PurchaseLink(request));
        let request = RenderQrCodeRequest { target, format, size: 0 };
        let status = client(&fake).render_qr_code(request).await.unwrap_err();
        assert_eq!(field(&status), format!("purchase_link.{expected}"));
    }
    assert!(fake.methods().is_empty());

    // What only the registry can tell has the same name here.
    let status = client(&fake).render_link(link(email("live", "nobody"))).await.unwrap_err();
    assert_eq!(field(&status), "attendee.email.email");
}

#[tokio::test]
async fn a_webinar_is_streamed_as_fast_as_it_is_taken() {
    let fake = Fake::default();
    let request = RenderLinksRequest {
        webinar_id: "live".to_owned(),
        product_id: "kurs".to_owned(),
        at: moment(SUSPENDED),
    };
    let mut links = client(&fake).render_links(request).await.unwrap().into_inner();
    for number in 1_u128..=2000 {
        let link = links.message().await.unwrap().unwrap();
        let attendee = Uuid::from_u128(number);
        assert_eq!(link.attendee_id, attendee.to_string());
        assert_eq!(link.registration.unwrap().external_id, number.to_string());
        let path = match number {
            3 => "buy".to_owned(),
            _ => format!("p/partner{number}/buy"),
        };
        assert_eq!(link.url, format!("https://go.test/x/kurs/{path}/{}", ring().sign(attendee)));
        assert_eq!(link.affiliate_id.is_empty(), number == 3);
    }
    // The registry would go on for ever: what it was asked for beyond that fits the buffers on the way.
    assert!(fake.streamed.load(Ordering::Relaxed) < 10_000);
    assert_eq!(fake.asked.lock().unwrap()[0].at, moment(SUSPENDED));
}

#[tokio::test]
async fn a_stream_refuses_at_its_beginning_and_says_when_it_breaks() {
    let ask = async |webinar: &str, product: &str| {
        let (webinar_id, product_id) = (webinar.to_owned(), product.to_owned());
        let request = RenderLinksRequest { webinar_id, product_id, at: None };
        client(&Fake::default()).render_links(request).await
    };
    assert_eq!(field(&ask("-", "kurs").await.unwrap_err()), "webinar_id");
    assert_eq!(field(&ask("live", "k u r s").await.unwrap_err()), "product_id");
    let status = ask("other", "kurs").await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("WEBINAR_NOT_FOUND"));

    let mut links = ask("live", "broken").await.unwrap().into_inner();
    assert!(links.message().await.unwrap().is_some());
    let status = links.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
}

#[tokio::test]
async fn each_product_of_a_message_is_asked_for_once() {
    let fake = Fake::default();
    let body = "{{affiliate:kurs}} {{purchase_link:kurs}} {{purchase_link:buch}} {{token}}";
    let answer = client(&fake).render_message(message(id(FRIEND), body)).await.unwrap();
    let token = ring().sign(FRIEND);
    let base = "https://go.test/x";
    let expected =
        format!("max {base}/kurs/p/max/buy/{token} {base}/buch/p/max/buy/{token} {token}");
    assert_eq!(answer.into_inner().body, expected);
    assert_eq!(fake.methods(), ["PreviewDecision", "PreviewDecision"]);
}

#[tokio::test]
async fn a_message_without_products_still_needs_its_attendee() {
    let fake = Fake::default();
    let answer = client(&fake).render_message(message(id(STRANGER), "{{token}}")).await.unwrap();
    assert_eq!(answer.into_inner().body, ring().sign(STRANGER));
    assert_eq!(fake.methods(), ["GetAttendee"]);
    let unknown = message(id(Uuid::from_u128(9)), "no placeholder");
    let status = client(&fake).render_message(unknown).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("ATTENDEE_NOT_FOUND"));
}

#[tokio::test]
async fn an_affiliate_is_never_empty() {
    let fake = Fake::default();
    let body = "{{purchase_link:kurs}}";
    let answer = client(&fake).render_message(message(id(STRANGER), body)).await.unwrap();
    let expected = format!("https://go.test/x/kurs/buy/{}", ring().sign(STRANGER));
    assert_eq!(answer.into_inner().body, expected);

    let shown = message(id(STRANGER), "{{purchase_link:kurs}} {{affiliate:kurs}}");
    let status = client(&fake).render_message(shown).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status).as_deref(), Some("NOBODY_CREDITED"));
    assert!(status.message().contains("{{affiliate:kurs}}"), "{status:?}");
}

#[tokio::test]
async fn messages_that_cannot_be_filled_are_refused() {
    let html = |body: &str| {
        let format = MessageFormat::Html.into();
        RenderMessageRequest { format, ..message(id(FRIEND), body) }
    };
    for (request, expected, why) in [
        (html("<style>{{token}}</style>"), "body", "stands in <style>"),
        (html("<p>{{purchase_link}}</p>"), "body", "must name a product"),
        (html("<p>{{affiliate:nothing}}</p>"), "body", "names the product nothing"),
        (message(id(FRIEND), &"x".repeat(1024 * 1024 + 1)), "body", "at most 1048576 bytes"),
        (RenderMessageRequest { format: 0, ..html("") }, "format", "TEXT or HTML"),
        (RenderMessageRequest { format: 9, ..html("") }, "format", "TEXT or HTML"),
        (RenderMessageRequest { at: moment(i64::MIN), ..html("") }, "at", "is no moment"),
        (message(None, ""), "attendee", "must name an attendee"),
    ] {
        let status = client(&Fake::default()).render_message(request).await.unwrap_err();
        assert_eq!(field(&status), expected);
        assert!(status.message().contains(why), "{status:?}");
    }
}

#[tokio::test]
async fn qr_codes_show_either_kind_of_link() {
    let fake = Fake::default();
    let request = |target, format: ImageFormat, size| RenderQrCodeRequest {
        target: Some(target),
        format: format.into(),
        size,
    };
    let flyer = |product: &str, affiliate: &str| {
        let (product_id, affiliate_id) = (product.to_owned(), affiliate.to_owned());
        Target::AffiliateLink(AffiliateLink { product_id, affiliate_id })
    };

    let personal = request(Target::PurchaseLink(link(id(FRIEND))), ImageFormat::Png, 300);
    let answer = client(&fake).render_qr_code(personal).await.unwrap().into_inner();
    assert_eq!(answer.media_type, "image/png");
    assert!(answer.image.starts_with(b"\x89PNG"));
    assert_eq!(answer.url, format!("https://go.test/x/kurs/p/max/buy/{}", ring().sign(FRIEND)));

    let public = request(flyer("kurs", "eva"), ImageFormat::Svg, 0);
    let answer = client(&fake).render_qr_code(public).await.unwrap().into_inner();
    assert_eq!(answer.media_type, "image/svg+xml");
    assert!(String::from_utf8(answer.image).unwrap().contains("width=\"512\""));
    assert_eq!(answer.url, "https://go.test/x/kurs/p/eva/");

    for (request, expected) in [
        (request(flyer("kurs", ""), ImageFormat::Svg, 0), "affiliate_link.affiliate_id"),
        (request(flyer("k/s", "eva"), ImageFormat::Svg, 0), "affiliate_link.product_id"),
        (request(flyer("kurs", "eva"), ImageFormat::Svg, 63), "size"),
        (request(flyer("kurs", "eva"), ImageFormat::Unspecified, 0), "format"),
        (RenderQrCodeRequest { target: None, format: 1, size: 0 }, "target"),
    ] {
        let status = client(&fake).render_qr_code(request).await.unwrap_err();
        assert_eq!(field(&status), expected);
    }
    let unknown = request(flyer("nothing", "eva"), ImageFormat::Svg, 0);
    let status = client(&fake).render_qr_code(unknown).await.unwrap_err();
    assert_eq!(reason(&status).as_deref(), Some("PRODUCT_NOT_FOUND"));
}

#[tokio::test]
async fn deadlines_are_passed_on() {
    let second = 1_000_000;
    for (timeout, expected) in [
        (Some(Duration::from_secs(5)), 5 * second),
        (None, 10 * second),
        (Some(Duration::from_hours(1)), 60 * second),
    ] {
        let fake = Fake::default();
        let fallback_affiliate_id = "eva".to_owned();
        let mut one =
            Request::new(RenderLinkRequest { fallback_affiliate_id, ..link(id(STRANGER)) });
        let (webinar_id, product_id) = ("live".to_owned(), "kurs".to_owned());
        let mut all = Request::new(RenderLinksRequest { webinar_id, product_id, at: None });
        if let Some(timeout) = timeout {
            one.set_timeout(timeout);
            all.set_timeout(timeout);
        }
        client(&fake).render_link(one).await.unwrap();
        client(&fake).render_links(all).await.unwrap();
        assert_eq!(fake.methods(), ["PreviewDecision", "GetAffiliate", "PreviewDecisions"]);
        let asked = fake.asked.lock().unwrap();
        assert!(asked.iter().all(|asked| asked.micros() <= expected), "{asked:?}");
        // The second question has no more time than the first one left.
        assert!(asked[1].micros() <= asked[0].micros(), "{asked:?}");
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_costs_no_more_than_the_deadline() {
    let fake = Fake { hangs: true, ..Fake::default() };
    let mut request = Request::new(link(id(FRIEND)));
    request.set_timeout(Duration::from_millis(5));
    let status = client(&fake).render_link(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn what_goes_wrong_behind_is_told_apart() {
    use tagalong_chassis::status::refusal;
    let secret = "password=hunter2";
    for (answer, expected) in [
        (refusal(Code::Unavailable, "UNAVAILABLE", "try again", &[]), Code::Unavailable),
        (Status::unavailable(secret), Code::Unavailable),
        (Status::unknown(secret), Code::Unavailable),
        (Status::deadline_exceeded("late"), Code::DeadlineExceeded),
        (Status::cancelled("Timeout expired"), Code::DeadlineExceeded),
        (Status::permission_denied(secret), Code::Internal),
        (Status::invalid_argument(secret), Code::Internal),
        (Status::internal(secret), Code::Internal),
    ] {
        let fake = Fake { fails: Some(answer), ..Fake::default() };
        let status = client(&fake).render_link(link(id(FRIEND))).await.unwrap_err();
        assert_eq!(status.code(), expected);
        assert!(!format!("{status:?}").contains(secret), "{status:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let registry = tagalong_chassis::transport::remote(&uri).unwrap();
    let service = Service::new(PublicUrl::local(8080), registry, ring(), Clock::system());
    let mut client = LinkRenderingServiceClient::new(local(service.routes()));
    let status = client.render_link(link(id(FRIEND))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!format!("{status:?}").contains("127.0.0.1"), "{status:?}");
}
