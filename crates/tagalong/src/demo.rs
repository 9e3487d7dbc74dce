//! The demo campaign.

use jiff::Timestamp;
use tagalong_proto::v1;
use tonic::{Code, Status};

use crate::{
    client::{Clients, Explain as _},
    output,
};

/// Loads the demo campaign where it is not there yet, and prints what to click.
///
/// # Errors
/// If the registry refuses it.
pub(crate) async fn load(clients: &Clients, http: &str, grpc: &str) -> anyhow::Result<()> {
    let mut catalogue = clients.catalogue.clone();
    let programme = v1::Programme {
        id: "demo".to_owned(),
        platform: "copecart".to_owned(),
        title: "Demo programme".to_owned(),
        ..v1::Programme::default()
    };
    let request = v1::CreateProgrammeRequest { programme: Some(programme), ..Default::default() };
    let fresh = created(catalogue.create_programme(request).await)?;
    if fresh {
        for (id, title, house) in
            [("max", "Max", false), ("anna", "Anna", false), ("ads", "Our own ads", true)]
        {
            let affiliate = v1::Affiliate {
                programme_id: "demo".to_owned(),
                id: id.to_owned(),
                title: title.to_owned(),
                house,
                confirmed: id == "max",
                ..v1::Affiliate::default()
            };
            let request =
                v1::CreateAffiliateRequest { affiliate: Some(affiliate), ..Default::default() };
            created(catalogue.create_affiliate(request).await)?;
        }
    }
    for product in products() {
        let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
        created(catalogue.create_product(request).await)?;
    }
    let webinar = v1::Webinar {
        id: "launch".to_owned(),
        title: "Demo webinar".to_owned(),
        promotes_product_ids: vec!["webinar".to_owned()],
        offers_product_ids: vec!["course".to_owned()],
        ..v1::Webinar::default()
    };
    let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
    created(catalogue.create_webinar(request).await)?;

    let key = v1::RegistrationKey {
        source: "demo".to_owned(),
        external_webinar_id: "launch".to_owned(),
        external_id: "jane".to_owned(),
    };
    let registration = v1::RegisterAttendeeRequest {
        webinar_id: "launch".to_owned(),
        email: "jane@example.com".to_owned(),
        affiliate_id: "max".to_owned(),
        key: Some(key),
        ..v1::RegisterAttendeeRequest::default()
    };
    let jane = clients.attendees.clone().register_attendee(registration).await.explained()?;
    let jane = jane.attendee.map(|jane| jane.id).unwrap_or_default();
    let link = v1::RenderLinkRequest {
        attendee: Some(v1::AttendeeReference {
            reference: Some(v1::attendee_reference::Reference::AttendeeId(jane)),
        }),
        product_id: "course".to_owned(),
        at: Some(now()),
        ..v1::RenderLinkRequest::default()
    };
    let link = clients.rendering.clone().render_link(link).await.explained()?;

    output::line(format!(
        "
The demo campaign: webinar `launch` promotes `webinar` and sells `course`; affiliates max, anna, ads.

  Max's affiliate link          curl -i {http}/webinar/p/max/
  Anna's, for the course        curl -i {http}/course/p/anna/
  Jane's purchase link          curl -i {url}
    (she registered through Max)
  The checkout, nobody credited curl -i {http}/course/buy

  The whole journey, hop by hop tagalong journey --url {http} --grpc {grpc}
  Who was credited              tagalong sale list --grpc {grpc}
",
        url = link.url,
    ))
}

fn products() -> [v1::Product; 2] {
    let destination = |url: &str| v1::Destination {
        with_affiliate: url.to_owned(),
        without_affiliate: String::new(),
    };
    let checkout = destination(
        "https://www.example.com/products/7a66056a/checkout?affiliate={affiliate}&metadata={reference}",
    );
    [
        v1::Product {
            id: "webinar".to_owned(),
            programme_id: "demo".to_owned(),
            title: "The webinar's invitation".to_owned(),
            sales_page: Some(destination(
                "https://webinar.example.com/invitation?aff={affiliate}&click={click}",
            )),
            checkout: Some(checkout.clone()),
            ..v1::Product::default()
        },
        v1::Product {
            id: "course".to_owned(),
            programme_id: "demo".to_owned(),
            title: "The course".to_owned(),
            checkout: Some(checkout),
            external_ids: vec!["7a66056a".to_owned()],
            ..v1::Product::default()
        },
    ]
}

/// Whether it was made now, rather than at an earlier start.
fn created<T>(answer: Result<tonic::Response<T>, Status>) -> anyhow::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::AlreadyExists => Ok(false),
        Err(status) => Err(crate::client::explain(&status)),
    }
}

/// Now, as messages have it.
pub(crate) fn now() -> prost_types::Timestamp {
    let now = Timestamp::now();
    prost_types::Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() }
}
