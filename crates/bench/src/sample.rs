//! The products, clicks and registrations that everything is measured with.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use prost::Message as _;
use tagalong_proto::v1::{
    self, catalogue_change::Change, catalogue_service_client::CatalogueServiceClient,
};
use tonic::transport::Channel;
use uuid::Uuid;

pub(crate) const PROGRAMME: &str = "copecart";
/// Has a sales page.
pub(crate) const INVITATION: &str = "webinar";
/// Has a checkout only.
pub(crate) const COURSE: &str = "course";
pub(crate) const WEBINAR: &str = "launch";

/// Now, in microseconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn timestamp(microseconds: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(microseconds.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    prost_types::Timestamp { seconds: microseconds.div_euclid(1_000_000), nanos }
}

/// One of fifty affiliates.
pub(crate) fn affiliate(number: u64) -> String {
    format!("affiliate{:02}", number % 50)
}

/// A product as an operator configures it, with the cookie that nginx sets too.
fn product(id: &str, sales_page: bool) -> v1::Product {
    let page = |url: String| v1::Destination { with_affiliate: url, ..Default::default() };
    v1::Product {
        id: id.to_owned(),
        programme_id: PROGRAMME.to_owned(),
        title: format!("The product {id}"),
        sales_page: sales_page.then(|| {
            page("https://webinar.example.com/invitation?aff={affiliate}&click={click}".to_owned())
        }),
        checkout: Some(page(format!(
            "https://www.example.com/products/{id}/checkout?affiliate={{affiliate}}&metadata={{reference}}"
        ))),
        cookie_policy: v1::CookiePolicy::Always.into(),
        ..Default::default()
    }
}

/// The ID of one of many products; the first is the invitation.
pub(crate) fn product_id(number: usize) -> String {
    if number == 0 { INVITATION.to_owned() } else { format!("product{number:06}") }
}

/// What a redirect that has seen so many products has saved as its `catalogue.bin`.
pub(crate) fn saved_catalogue(products: usize) -> Vec<u8> {
    let changes = (0..products).map(|number| v1::CatalogueChange {
        change: Some(Change::Product(product(&product_id(number), true))),
    });
    let catalogue = v1::WatchCatalogueResponse {
        changes: changes.collect(),
        revision: i64::try_from(products).unwrap_or(i64::MAX),
        reset: true,
        more: false,
    };
    catalogue.encode_to_vec()
}

/// A webinar that promotes the invitation and offers the course.
pub(crate) async fn create_campaign(registry: Channel) -> anyhow::Result<()> {
    let mut catalogue = CatalogueServiceClient::new(registry);
    let programme = v1::Programme {
        id: PROGRAMME.to_owned(),
        platform: "copecart".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateProgrammeRequest { programme: Some(programme), ..Default::default() };
    catalogue.create_programme(request).await?;
    for product in [product(INVITATION, true), product(COURSE, false)] {
        let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
        catalogue.create_product(request).await?;
    }
    for number in 0..50 {
        let affiliate = v1::Affiliate {
            programme_id: PROGRAMME.to_owned(),
            id: affiliate(number),
            ..Default::default()
        };
        let request =
            v1::CreateAffiliateRequest { affiliate: Some(affiliate), ..Default::default() };
        catalogue.create_affiliate(request).await?;
    }
    let webinar = v1::Webinar {
        id: WEBINAR.to_owned(),
        title: "Launch".to_owned(),
        promotes_product_ids: vec![INVITATION.to_owned()],
        offers_product_ids: vec![COURSE.to_owned()],
        ..Default::default()
    };
    let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
    catalogue.create_webinar(request).await.context("the webinar is refused")?;
    Ok(())
}

/// A click as the registry keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Click {
    pub(crate) id: Uuid,
    pub(crate) affiliate: String,
    pub(crate) occurred_at: i64,
}

impl Click {
    fn new(number: u64) -> Self {
        Self { id: Uuid::now_v7(), affiliate: affiliate(number), occurred_at: now() }
    }

    /// As a redirect ships it.
    fn message(&self) -> v1::Click {
        v1::Click {
            id: self.id.to_string(),
            product_id: INVITATION.to_owned(),
            affiliate_id: self.affiliate.clone(),
            occurred_at: Some(timestamp(self.occurred_at)),
            class: v1::ClickClass::Human.into(),
            link: v1::LinkKind::Affiliate.into(),
            ..Default::default()
        }
    }
}

/// A run of clicks, as rows and as messages.
pub(crate) struct Run {
    pub(crate) rows: Vec<Click>,
    pub(crate) messages: Vec<v1::Click>,
}

/// Runs of new clicks, each 20th of which is one of the run before, as after a redirect's disk was restored.
pub(crate) fn runs(runs: usize, clicks: usize) -> Vec<Run> {
    const DUPLICATE: usize = 20;
    let mut all: Vec<Run> = Vec::with_capacity(runs);
    for _ in 0..runs {
        let before = all.last();
        let rows: Vec<Click> = (0..clicks)
            .map(|number| match before {
                Some(before) if number % DUPLICATE == 0 => before.rows[number + 1].clone(),
                _ => Click::new(number as u64),
            })
            .collect();
        all.push(Run { messages: rows.iter().map(Click::message).collect(), rows });
    }
    all
}

/// The registration of this number, as a landing page reports it.
pub(crate) fn registration(number: u64) -> v1::RegisterAttendeeRequest {
    v1::RegisterAttendeeRequest {
        request_id: format!("landing-page-{number}"),
        webinar_id: WEBINAR.to_owned(),
        email: format!("attendee{number}@example.com"),
        affiliate_id: affiliate(number),
        key: Some(v1::RegistrationKey {
            source: "landing-page".to_owned(),
            external_webinar_id: "w-4711".to_owned(),
            external_id: format!("r-{number}"),
        }),
        session_id: "2026-12-01".to_owned(),
        ..Default::default()
    }
}

/// The rows of a registration, as the registry would write them.
pub(crate) struct Registered {
    pub(crate) attendee: Uuid,
    pub(crate) registration: Uuid,
    pub(crate) touch: Uuid,
    pub(crate) at: i64,
    pub(crate) email_hash: [u8; 32],
    pub(crate) fingerprint: [u8; 32],
    pub(crate) external_id: String,
    pub(crate) request: String,
    pub(crate) affiliate: String,
    pub(crate) origin: String,
    pub(crate) session: String,
    /// Two events, encoded.
    pub(crate) events: [Vec<u8>; 2],
    /// The answer kept for the request's ID, encoded.
    pub(crate) answer: Vec<u8>,
}

impl Registered {
    pub(crate) fn new(number: u64) -> Self {
        let (attendee, registration, touch) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let v1::RegisterAttendeeRequest { request_id, affiliate_id, session_id, key, .. } =
            self::registration(number);
        let at = now();
        let key = key.unwrap_or_default();
        // As unlike each other as hashes are.
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        let touch_message = v1::Touch {
            id: touch.to_string(),
            kind: v1::TouchKind::Registration.into(),
            programme_id: PROGRAMME.to_owned(),
            affiliate_id: affiliate_id.clone(),
            webinar_id: WEBINAR.to_owned(),
            session_id: session_id.clone(),
            occurred_at: Some(timestamp(at)),
            received_at: Some(timestamp(at)),
            verified: true,
            ..Default::default()
        };
        let event = |kind| {
            v1::Event {
                id: Uuid::now_v7().to_string(),
                recorded_at: Some(timestamp(at)),
                test: false,
                kind: Some(kind),
            }
            .encode_to_vec()
        };
        let created = v1::RegistrationCreated {
            attendee_id: attendee.to_string(),
            webinar_id: WEBINAR.to_owned(),
            registration_id: registration.to_string(),
            affiliate_id: affiliate_id.clone(),
        };
        let added = v1::TouchAdded {
            attendee_id: attendee.to_string(),
            touch: Some(touch_message.clone()),
        };
        let answer = v1::RegisterAttendeeResponse {
            attendee: Some(v1::Attendee {
                id: attendee.to_string(),
                webinar_id: WEBINAR.to_owned(),
                has_email: true,
                created_at: Some(timestamp(at)),
                registrations: vec![v1::Registration {
                    id: registration.to_string(),
                    key: Some(key.clone()),
                    session_id: session_id.clone(),
                    affiliate_id: affiliate_id.clone(),
                    registered_at: Some(timestamp(at)),
                    received_at: Some(timestamp(at)),
                    verified: true,
                }],
                touches: vec![touch_message],
                ..Default::default()
            }),
            repeated: false,
        };
        Self {
            attendee,
            registration,
            touch,
            at,
            email_hash: hash,
            fingerprint: hash,
            external_id: key.external_id,
            request: request_id,
            origin: format!("registration:{registration}:{PROGRAMME}:{affiliate_id}:{session_id}"),
            affiliate: affiliate_id,
            session: session_id,
            events: [
                event(v1::event::Kind::RegistrationCreated(created)),
                event(v1::event::Kind::TouchAdded(added)),
            ],
            answer: answer.encode_to_vec(),
        }
    }
}
