//! Rules about people: 8 and 9.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use tagalong_proto::v1;
use tonic::{Code, Status};

use crate::{
    hooks,
    support::{
        Browser, Clients, Composition, Options, System, campaign,
        leaks::{files_with, holds},
        until,
    },
};

/// Parts of one address, so that no spelling of it is missed.
const MARKS: [&str; 2] = ["zqxmarker", "zqxdomain"];
const ADDRESS: &str = "ZqxMarker.Jane@ZqxDomain.example";
/// Close to an address, so that it is refused.
const NO_ADDRESS: &str = "ZqxMarker.Jane@Zqx Domain.example";

const TALKATIVE: &str = "info,tagalong=trace,tagalong_attendee_registry=trace,tagalong_attribution=trace,\
    tagalong_chassis=trace,tagalong_link_rendering=trace,tagalong_redirect=trace,tower_http=trace,\
    sqlx=debug,sea_orm=debug,hyper=debug";

/// Asserts that a refusal does not repeat an address.
fn refused<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>, code: Code) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    let shown = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
    for mark in MARKS {
        assert!(!holds(shown.as_bytes(), mark), "{shown}");
    }
}

/// Sends the address wherever an RPC takes one, where it is wrong too. Returns an attendee's token.
async fn mention_everywhere(clients: &Clients) -> String {
    let mut attendees = clients.attendees.clone();
    let registration = |id: &str, email: &str| v1::RegisterAttendeeRequest {
        email: email.to_owned(),
        keep_email: true,
        ..campaign::registration(id, "max")
    };
    campaign::register(clients, registration("jane", ADDRESS)).await.unwrap();
    let with_request_id = v1::RegisterAttendeeRequest {
        request_id: "with-request-id".to_owned(),
        ..registration("jane-2", ADDRESS)
    };
    campaign::register(clients, with_request_id.clone()).await.unwrap();
    let other = v1::RegisterAttendeeRequest { session_id: "other".to_owned(), ..with_request_id };
    refused(attendees.register_attendee(other).await, Code::AlreadyExists);
    refused(
        attendees.register_attendee(registration("john", NO_ADDRESS)).await,
        Code::InvalidArgument,
    );
    let nowhere = v1::RegisterAttendeeRequest {
        webinar_id: "nowhere".to_owned(),
        ..registration("jane", ADDRESS)
    };
    refused(attendees.register_attendee(nowhere).await, Code::NotFound);

    let who = |email: &str| campaign::by_email(email);
    let elsewhere = format!("other.{ADDRESS}");
    let get = |email: &str| v1::GetAttendeeRequest { attendee: who(email) };
    attendees.get_attendee(get(ADDRESS)).await.unwrap();
    refused(attendees.get_attendee(get(&elsewhere)).await, Code::NotFound);
    refused(attendees.get_attendee(get(NO_ADDRESS)).await, Code::InvalidArgument);
    let export = |email: &str| v1::ExportAttendeeRequest { attendee: who(email) };
    let exported = attendees.export_attendee(export(ADDRESS)).await.unwrap().into_inner();
    assert_eq!(exported.email, ADDRESS.to_lowercase(), "by the one RPC that gives it");
    refused(attendees.export_attendee(export(&elsewhere)).await, Code::NotFound);
    refused(attendees.export_attendee(export(NO_ADDRESS)).await, Code::InvalidArgument);
    let erase = |email: &str| v1::EraseAttendeeRequest { attendee: who(email) };
    refused(attendees.erase_attendee(erase(&elsewhere)).await, Code::NotFound);
    refused(attendees.erase_attendee(erase(NO_ADDRESS)).await, Code::InvalidArgument);

    let mut catalogue = clients.catalogue.clone();
    let affiliate = |id: &str, email: &str| v1::CreateAffiliateRequest {
        affiliate: Some(campaign::affiliate(id)),
        emails: vec![email.to_owned()],
        ..Default::default()
    };
    catalogue.create_affiliate(affiliate("jane", ADDRESS)).await.unwrap();
    refused(catalogue.create_affiliate(affiliate("jane", ADDRESS)).await, Code::AlreadyExists);
    refused(catalogue.create_affiliate(affiliate("john", NO_ADDRESS)).await, Code::InvalidArgument);
    let update = v1::UpdateAffiliateRequest {
        affiliate: Some(campaign::affiliate("jane")),
        emails: vec![elsewhere.clone()],
        ..Default::default()
    };
    catalogue.update_affiliate(update).await.unwrap();

    campaign::report(clients, campaign::order("order-1", campaign::email(ADDRESS))).await;
    // An order is never refused for its buyer.
    campaign::report(clients, campaign::order("order-2", campaign::email(NO_ADDRESS))).await;
    let mut bad = campaign::order("order-3", campaign::email(ADDRESS));
    bad.items.clear();
    refused(clients.sales.clone().report_order(bad).await, Code::InvalidArgument);
    let preview = |email: &str| v1::PreviewDecisionRequest {
        attendee: who(email),
        product_id: "course".to_owned(),
        at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
    };
    let mut sales = clients.sales.clone();
    sales.preview_decision(preview(ADDRESS)).await.unwrap();
    refused(sales.preview_decision(preview(&elsewhere)).await, Code::NotFound);
    refused(sales.preview_decision(preview(NO_ADDRESS)).await, Code::InvalidArgument);

    let mut rendering = clients.rendering.clone();
    let link = |email: &str| v1::RenderLinkRequest {
        attendee: who(email),
        product_id: "course".to_owned(),
        ..Default::default()
    };
    let rendered = rendering.render_link(link(ADDRESS)).await.unwrap().into_inner();
    refused(rendering.render_link(link(&elsewhere)).await, Code::NotFound);
    refused(rendering.render_link(link(NO_ADDRESS)).await, Code::InvalidArgument);
    let message = |email: &str, body: &str| v1::RenderMessageRequest {
        attendee: who(email),
        body: body.to_owned(),
        format: v1::MessageFormat::Text.into(),
        at: None,
    };
    let body = "Hello {{purchase_link:course}} {{token}}";
    rendering.render_message(message(ADDRESS, body)).await.unwrap();
    refused(rendering.render_message(message(&elsewhere, body)).await, Code::NotFound);
    let unknown = format!("{ADDRESS} {{{{purchase_link:nothing}}}}");
    refused(rendering.render_message(message(ADDRESS, &unknown)).await, Code::InvalidArgument);
    let picture = |email: &str| v1::RenderQrCodeRequest {
        target: Some(v1::render_qr_code_request::Target::PurchaseLink(link(email))),
        format: v1::ImageFormat::Png.into(),
        size: 0,
    };
    rendering.render_qr_code(picture(ADDRESS)).await.unwrap();
    refused(rendering.render_qr_code(picture(&elsewhere)).await, Code::NotFound);
    rendered.token
}

/// Posts the address to hooks, where it is refused, taken and parked. Returns the secret in their URLs.
async fn mention_in_webhooks(system: &System, clients: &Clients) -> String {
    hooks::add_source(clients, "tool", "generic-webinar").await;
    hooks::add_source(clients, "shop", "generic-checkout").await;
    let client = hooks::client();
    let registration = hooks::registration("p1", ADDRESS, "max");
    let nameless = serde_json::json!({ "email": ADDRESS, "aff": ADDRESS });
    let id = hooks::registration(ADDRESS, ADDRESS, "max");
    let payment = hooks::payment("hooked", ADDRESS);
    let mut unknown = payment.clone();
    unknown["product_id"] = "nobody's".into();
    let mut unreadable = payment.clone();
    unreadable["order_id"] = serde_json::Value::Null;
    for (source, body) in [
        ("tool", registration),
        ("tool", nameless),
        ("tool", id),
        ("shop", payment),
        ("shop", unknown),
        ("shop", unreadable),
    ] {
        for (path, status) in [
            (format!("{source}/{ADDRESS}"), 401),
            (format!("{ADDRESS}/{ADDRESS}"), 404),
            (format!("{source}/{}", hooks::SECRET), 200),
        ] {
            let answer = hooks::post(&client, &system.hooks(), &path, &body).await.unwrap();
            assert_eq!(answer, status, "{body}");
        }
    }
    until("the deliveries are taken", async || {
        let request = v1::ListDeliveriesRequest::default();
        let listed = clients.deliveries.clone().list_deliveries(request).await.unwrap();
        let listed = listed.into_inner().deliveries;
        let shown = format!("{listed:?}");
        assert!(MARKS.iter().all(|mark| !holds(shown.as_bytes(), mark)), "{shown}");
        let waits = |delivery: &v1::Delivery| delivery.state() == v1::DeliveryState::Received;
        (listed.len() == 6 && !listed.iter().any(waits)).then_some(())
    })
    .await;
    hooks::SECRET.to_owned()
}

/// Types the address into every page that takes one, and puts it where it does not belong.
async fn mention_on_pages(system: &System, token: &str) {
    for (email, status) in [(ADDRESS, "200 "), (NO_ADDRESS, "422 ")] {
        let told = campaign::post_form(system, email, "max").await;
        assert!(told.starts_with(status), "{told}");
        let form = |pairs: &[(&str, &str)]| {
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        };
        let url = format!("{}/course/go", system.http());
        let told = campaign::post(&url, form(&[("email", email)])).await;
        assert!(told.starts_with("303 "), "{told}");
        let url = format!("{}/-/touch", system.http());
        let landing = [("product", "ticket"), ("affiliate", email), ("sub1", email)];
        assert!(campaign::post(&url, form(&landing)).await.starts_with("200 "));
        let landing = [("product", "ticket"), ("affiliate", "max"), ("sub1", email)];
        assert!(campaign::post(&url, form(&landing)).await.starts_with("200 "));
    }
    let phone = system.phone();
    for link in [
        format!("/-/join/launch/{token}?consent=1"),
        "/course/go".to_owned(),
        format!("/-/join/launch/{ADDRESS}"),
        format!("/-/r/tool/{ADDRESS}/course"),
        format!("/course/go?email={ADDRESS}"),
    ] {
        phone.open(&link).await;
    }
}

/// Addresses are in the registry only, hashed or sealed: never in a log, metric, event, error or in clear on disk.
/// Tokens are in no log either.
pub(super) async fn rule_08_addresses_stay_in_the_registry(composition: Composition) {
    // An address typed into a page is answered after twice the deadline.
    let options = Options { log: TALKATIVE, decision_deadline_ms: 500, ..Options::default() };
    let mut system = System::start_with(composition, &options).await;
    let clients = campaign::load(&system).await;
    let events = Arc::new(Mutex::new(String::new()));
    let mut feed =
        clients.events.clone().watch(v1::WatchRequest::default()).await.unwrap().into_inner();
    let seen = events.clone();
    let watching = tokio::spawn(async move {
        while let Ok(Some(step)) = feed.message().await {
            let step = format!("{step:?}");
            seen.lock().unwrap().push_str(&step);
        }
    });

    let token = mention_everywhere(&clients).await;
    let phone = system.phone();
    for link in [
        format!("/course/p/max/buy/{token}"),
        format!("/course/p/max/buy/{token}x"),
        format!("/nowhere/p/max/buy/{token}"),
        format!("/ticket/p/max/?email={ADDRESS}"),
        format!("/ticket/p/{ADDRESS}/"),
        format!("/ticket/p/max/buy/{ADDRESS}"),
        format!("/{ADDRESS}/p/max/"),
    ] {
        phone.open(&link).await;
        let request = v1::ResolveRequest { path_and_query: link };
        clients.redirect.clone().resolve(request).await.unwrap();
    }
    mention_on_pages(&system, &token).await;
    let posted = mention_in_webhooks(&system, &clients).await;
    system.shipped(5).await;
    until("both sales are in the feed", async || {
        let seen = events.lock().unwrap();
        (seen.matches("SaleDecided").count() >= 2).then_some(())
    })
    .await;
    watching.abort();
    let metrics = system.metrics().await;
    for service in system.services() {
        assert!(service.interrupt().await, "{} ends well", service.name);
    }

    assert_eq!(files_with(&system.output(), &posted), Vec::<std::path::PathBuf>::new());
    for mark in MARKS {
        assert_eq!(files_with(&system.output(), mark), Vec::<std::path::PathBuf>::new());
        assert_eq!(files_with(&system.data(), mark), Vec::<std::path::PathBuf>::new());
        assert!(!holds(metrics.as_bytes(), mark), "{metrics}");
        assert!(!holds(events.lock().unwrap().as_bytes(), mark));
    }
    assert_eq!(files_with(&system.output(), &token), Vec::<std::path::PathBuf>::new());
    assert!(!holds(metrics.as_bytes(), &token));
    // The search works: what may be there is found.
    assert_ne!(files_with(&system.output(), "migration"), Vec::<std::path::PathBuf>::new());
    assert_ne!(files_with(&system.data(), "with-request-id"), Vec::<std::path::PathBuf>::new());
}

/// Nobody is identified by IP address or user agent: neither is kept, and neither connects a buyer with a click.
pub(super) async fn rule_09_nobody_is_identified_by_address_or_user_agent(
    composition: Composition,
) {
    let options = Options { log: TALKATIVE, ..Options::default() };
    let system = System::start_with(composition, &options).await;
    let clients = campaign::load(&system).await;
    let phone = Browser::new(system.http(), "Mozilla/5.0 (zqxagent; 12.3) Gecko/20100101");
    let address = "198.51.100.173";
    let headers = [
        ("x-forwarded-for", address),
        ("x-real-ip", address),
        ("forwarded", "for=198.51.100.173"),
        ("cf-connecting-ip", address),
        ("true-client-ip", address),
        ("sec-ch-ua", "zqxagent"),
        ("referer", "https://198.51.100.173/zqxagent"),
    ];
    campaign::register(&clients, campaign::registration("jane", "max")).await.unwrap();
    let link = campaign::path_of(&campaign::purchase_link(&clients, "jane").await.url);
    for path in ["/ticket/p/max/?consent=1", "/course/p/anna/buy", "/course/buy", &link] {
        let answer = phone.open_with(path, &headers).await;
        assert_eq!(answer.status, 302, "{path}: {answer:?}");
    }
    phone.try_open(Method::HEAD, "/ticket/p/max/", &headers).await.unwrap();
    let clicks = system.shipped(5).await;
    assert!(clicks.iter().all(|click| {
        let text = format!("{click:?}");
        !text.contains("zqxagent") && !text.contains(address)
    }));

    // The same device a moment later, and nothing that names the person: nobody is credited.
    let sale =
        campaign::report(&clients, campaign::order("order", v1::BuyerReferences::default())).await;
    let decision = sale.decision.unwrap();
    assert_eq!(decision.affiliate_id, "", "{}", decision.reason);
    assert_eq!((decision.attendee_id.as_str(), decision.click_id.as_str()), ("", ""));

    let metrics = system.metrics().await;
    for mark in ["zqxagent", address] {
        assert_eq!(files_with(&system.data(), mark), Vec::<std::path::PathBuf>::new());
        assert_eq!(files_with(&system.output(), mark), Vec::<std::path::PathBuf>::new());
        assert!(!holds(metrics.as_bytes(), mark));
    }
}
