//! The campaign that tests work with: a webinar that promotes `ticket` and sells `course`; affiliates max, anna and, our
//! own, ads.

use tagalong_proto::v1;
use tonic::Status;

use super::{Clients, System, until};

/// Where affiliate links to the ticket lead.
pub(crate) const INVITATION: &str = "https://pages.example/invitation";
/// Where purchase links of the course lead.
pub(crate) const CHECKOUT: &str = "https://checkout.example/course";

/// Where the webinar takes place.
pub(crate) const ROOM: &str = "https://room.example/j/1?pwd=x";
/// What the webinar's form posts.
const FORM_KEY: &str = "launch-form";

pub(crate) fn programme(id: &str) -> v1::Programme {
    v1::Programme { id: id.to_owned(), platform: "copecart".to_owned(), ..Default::default() }
}

pub(crate) fn affiliate(id: &str) -> v1::Affiliate {
    v1::Affiliate { programme_id: "copecart".to_owned(), id: id.to_owned(), ..Default::default() }
}

pub(crate) fn page(with_affiliate: &str, without_affiliate: &str) -> v1::Destination {
    v1::Destination {
        with_affiliate: with_affiliate.to_owned(),
        without_affiliate: without_affiliate.to_owned(),
    }
}

/// A product without a sales page, whose checkout is told everything.
pub(crate) fn product(id: &str) -> v1::Product {
    v1::Product {
        id: id.to_owned(),
        programme_id: "copecart".to_owned(),
        checkout: Some(page(
            &format!(
                "https://checkout.example/{id}?affiliate={{affiliate}}&reference={{reference}}&click={{click}}"
            ),
            "",
        )),
        external_ids: vec![format!("ext-{id}")],
        ..Default::default()
    }
}

/// Sets the campaign up, and waits until the redirect knows it.
pub(crate) async fn load(system: &System) -> Clients {
    let clients = system.clients();
    let mut catalogue = clients.catalogue.clone();
    let request =
        v1::CreateProgrammeRequest { programme: Some(programme("copecart")), ..Default::default() };
    catalogue.create_programme(request).await.unwrap();
    for (id, house) in [("max", false), ("anna", false), ("ads", true)] {
        let affiliate = v1::Affiliate { house, confirmed: id == "max", ..affiliate(id) };
        let request =
            v1::CreateAffiliateRequest { affiliate: Some(affiliate), ..Default::default() };
        catalogue.create_affiliate(request).await.unwrap();
    }
    let ticket = v1::Product {
        sales_page: Some(page(&format!("{INVITATION}?aff={{affiliate}}&click={{click}}"), "")),
        ..product("ticket")
    };
    // Sales page and affiliate in the path, for the links that have no parameter to hide in.
    let path = v1::Product {
        sales_page: Some(page(
            "https://pages.example/by/{affiliate}/start?click={click}#top",
            "https://pages.example/start?click={click}#top",
        )),
        ..product("path")
    };
    for product in [ticket, path, product("course")] {
        add_product(&clients, product).await;
    }
    let webinar = v1::Webinar {
        id: "launch".to_owned(),
        promotes_product_ids: vec!["ticket".to_owned()],
        offers_product_ids: vec!["course".to_owned()],
        room_url: ROOM.to_owned(),
        form: Some(v1::RegistrationForm {
            key: FORM_KEY.to_owned(),
            allowed_origins: vec!["https://pages.example".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
    catalogue.create_webinar(request).await.unwrap();
    known(&clients, "course").await;
    clients
}

pub(crate) async fn add_product(clients: &Clients, product: v1::Product) {
    let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
    clients.catalogue.clone().create_product(request).await.unwrap();
}

/// Waits until the redirect knows a product.
pub(crate) async fn known(clients: &Clients, product: &str) {
    resolves(clients, &format!("/{product}/buy"), |answer| answer.status == 302).await;
}

/// Waits until a link resolves as expected.
pub(crate) async fn resolves(
    clients: &Clients,
    link: &str,
    expected: impl Fn(&v1::ResolveResponse) -> bool,
) {
    until(&format!("{link} resolves as expected"), async || {
        let request = v1::ResolveRequest { path_and_query: link.to_owned() };
        let answer = clients.redirect.clone().resolve(request).await.ok()?.into_inner();
        expected(&answer).then_some(())
    })
    .await;
}

/// Waits until the redirect has saved a catalogue with this product, so that it outlives a kill.
pub(crate) async fn saved(system: &System, product: &str) {
    let path = system.data().join("redirect/catalogue.bin");
    until(&format!("the catalogue with {product} is saved"), async || {
        let saved = std::fs::read(&path).ok()?;
        saved.windows(product.len()).any(|part| part == product.as_bytes()).then_some(())
    })
    .await;
}

/// A registration for the webinar, as its tool reports it.
pub(crate) fn registration(id: &str, affiliate: &str) -> v1::RegisterAttendeeRequest {
    v1::RegisterAttendeeRequest {
        webinar_id: "launch".to_owned(),
        affiliate_id: affiliate.to_owned(),
        email: format!("{id}@people.example"),
        key: Some(key(id)),
        ..Default::default()
    }
}

pub(crate) fn key(id: &str) -> v1::RegistrationKey {
    v1::RegistrationKey {
        source: "tool".to_owned(),
        external_webinar_id: "launch-1".to_owned(),
        external_id: id.to_owned(),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "that is what messages have")]
pub(crate) fn by_key(id: &str) -> Option<v1::AttendeeReference> {
    let reference = v1::attendee_reference::Reference::Registration(key(id));
    Some(v1::AttendeeReference { reference: Some(reference) })
}

#[allow(clippy::unnecessary_wraps, reason = "that is what messages have")]
pub(crate) fn by_email(email: &str) -> Option<v1::AttendeeReference> {
    let reference = v1::attendee_reference::Reference::Email(v1::AttendeeEmail {
        webinar_id: "launch".to_owned(),
        email: email.to_owned(),
    });
    Some(v1::AttendeeReference { reference: Some(reference) })
}

pub(crate) async fn register(
    clients: &Clients,
    registration: v1::RegisterAttendeeRequest,
) -> Result<v1::RegisterAttendeeResponse, Status> {
    clients.attendees.clone().register_attendee(registration).await.map(tonic::Response::into_inner)
}

/// Somebody posts the webinar's form; what they are answered.
pub(crate) async fn post_form(system: &System, email: &str, affiliate: &str) -> String {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("key", FORM_KEY), ("email", email), ("affiliate", affiliate)])
        .finish();
    post(&format!("{}/-/register/launch", system.hooks()), form).await
}

/// Posts a form; status, headers and body of the answer.
pub(crate) async fn post(url: &str, form: String) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    let request = client.build().unwrap().post(url).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.send().await.unwrap();
    let mut headers = answer.headers().clone();
    headers.remove("date");
    format!("{} {headers:?} {}", answer.status(), answer.text().await.unwrap())
}

/// An attendee's link to buy the course.
pub(crate) async fn purchase_link(clients: &Clients, id: &str) -> v1::RenderLinkResponse {
    let request = v1::RenderLinkRequest {
        attendee: by_key(id),
        product_id: "course".to_owned(),
        ..Default::default()
    };
    clients.rendering.clone().render_link(request).await.unwrap().into_inner()
}

/// A link without scheme and host: three services think they are somewhere else than the tests find them.
pub(crate) fn path_of(url: &str) -> String {
    url::Url::parse(url).unwrap().path().to_owned()
}

/// An order of the course, paid for at once, as its checkout reports it.
pub(crate) fn order(id: &str, buyer: v1::BuyerReferences) -> v1::ReportOrderRequest {
    v1::ReportOrderRequest {
        request_id: String::new(),
        order: Some(v1::Order {
            source: "checkout".to_owned(),
            external_id: id.to_owned(),
            programme_id: "copecart".to_owned(),
            ..Default::default()
        }),
        buyer: Some(buyer),
        items: vec![v1::ItemReport {
            item: Some(v1::Item {
                external_id: "1".to_owned(),
                product_id: "course".to_owned(),
                price: Some(eur(49_700)),
                platform_affiliate_id: Some(String::new()),
                ..Default::default()
            }),
            payments: vec![payment(&format!("{id}-paid"))],
        }],
    }
}

pub(crate) fn payment(id: &str) -> v1::Payment {
    v1::Payment {
        external_id: id.to_owned(),
        amount: Some(eur(49_700)),
        sequence: 1,
        ..Default::default()
    }
}

pub(crate) fn eur(minor_units: i64) -> v1::Money {
    v1::Money { minor_units, currency: "EUR".to_owned() }
}

pub(crate) fn item_key(order: &str) -> v1::ItemKey {
    v1::ItemKey {
        source: "checkout".to_owned(),
        order_external_id: order.to_owned(),
        item_external_id: "1".to_owned(),
    }
}

/// Reports an order of one item; the sale as it stands then.
pub(crate) async fn report(clients: &Clients, order: v1::ReportOrderRequest) -> v1::Sale {
    let answer = clients.sales.clone().report_order(order).await.unwrap().into_inner();
    let [sale] = answer.sales.try_into().unwrap();
    sale
}

/// A sale, and all decisions it had.
pub(crate) async fn explain(clients: &Clients, order: &str) -> v1::ExplainSaleResponse {
    let request =
        v1::ExplainSaleRequest { sale: Some(v1::explain_sale_request::Sale::Key(item_key(order))) };
    clients.sales.clone().explain_sale(request).await.unwrap().into_inner()
}

pub(crate) fn token(token: &str) -> v1::BuyerReferences {
    v1::BuyerReferences { reference: token.to_owned(), ..Default::default() }
}

pub(crate) fn email(email: &str) -> v1::BuyerReferences {
    v1::BuyerReferences { email: email.to_owned(), ..Default::default() }
}
