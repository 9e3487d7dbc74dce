//! Messages as campaigns have them.
#![allow(clippy::unnecessary_wraps, reason = "fields of messages are optional")]

use prost_types::Timestamp;
use tagalong_proto::v1;
use uuid::Uuid;

use crate::world::NOON;

/// Some seconds after noon.
pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds: NOON + seconds, nanos: 0 }
}

pub(crate) fn programme(id: &str) -> v1::Programme {
    v1::Programme { id: id.to_owned(), platform: "copecart".to_owned(), ..Default::default() }
}

pub(crate) fn affiliate(id: &str) -> v1::Affiliate {
    v1::Affiliate { programme_id: "copecart".to_owned(), id: id.to_owned(), ..Default::default() }
}

fn destination(with: String) -> Option<v1::Destination> {
    Some(v1::Destination { with_affiliate: with, without_affiliate: String::new() })
}

/// A product with a page of its own; the platform calls it `X-{id}`.
pub(crate) fn product(programme: &str, id: &str) -> v1::Product {
    v1::Product {
        id: id.to_owned(),
        programme_id: programme.to_owned(),
        title: id.to_owned(),
        sales_page: destination(format!("https://{id}.example/?aff={{affiliate}}")),
        checkout: destination(format!("https://pay.example/{id}?aff={{affiliate}}")),
        external_ids: vec![format!("X-{id}")],
        ..Default::default()
    }
}

pub(crate) fn webinar(id: &str) -> v1::Webinar {
    v1::Webinar {
        id: id.to_owned(),
        promotes_product_ids: vec!["ticket".to_owned()],
        offers_product_ids: vec!["course".to_owned(), "extra".to_owned()],
        ..Default::default()
    }
}

pub(crate) fn registration_key(id: &str) -> v1::RegistrationKey {
    v1::RegistrationKey {
        source: "zoom".to_owned(),
        external_webinar_id: "z1".to_owned(),
        external_id: id.to_owned(),
    }
}

/// A registration for `launch`.
pub(crate) fn registration(id: &str, email: &str, affiliate: &str) -> v1::RegisterAttendeeRequest {
    v1::RegisterAttendeeRequest {
        webinar_id: "launch".to_owned(),
        email: email.to_owned(),
        affiliate_id: affiliate.to_owned(),
        key: Some(registration_key(id)),
        ..Default::default()
    }
}

pub(crate) fn by_id(id: &str) -> v1::AttendeeReference {
    reference(v1::attendee_reference::Reference::AttendeeId(id.to_owned()))
}

pub(crate) fn by_email(webinar: &str, email: &str) -> v1::AttendeeReference {
    reference(v1::attendee_reference::Reference::Email(v1::AttendeeEmail {
        webinar_id: webinar.to_owned(),
        email: email.to_owned(),
    }))
}

pub(crate) fn reference(reference: v1::attendee_reference::Reference) -> v1::AttendeeReference {
    v1::AttendeeReference { reference: Some(reference) }
}

/// The ID of the n-th click.
pub(crate) fn click_id(n: u64) -> String {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)).to_string()
}

/// A human's visit at some seconds after noon.
pub(crate) fn click(n: u64, product: &str, affiliate: &str, at: i64) -> v1::Click {
    v1::Click {
        id: click_id(n),
        product_id: product.to_owned(),
        affiliate_id: affiliate.to_owned(),
        occurred_at: Some(time(at)),
        class: v1::ClickClass::Human.into(),
        link: v1::LinkKind::Affiliate.into(),
        ..Default::default()
    }
}

pub(crate) fn euros(cents: i64) -> Option<v1::Money> {
    Some(v1::Money { minor_units: cents, currency: "EUR".to_owned() })
}

/// An item of a product, as the platform names it.
pub(crate) fn item(id: &str, product: &str) -> v1::Item {
    v1::Item {
        id: String::new(),
        external_id: id.to_owned(),
        external_product_id: format!("X-{product}"),
        price: euros(49_700),
        ..Default::default()
    }
}

/// An order of one `course`.
pub(crate) fn order(id: &str, buyer: v1::BuyerReferences) -> v1::ReportOrderRequest {
    v1::ReportOrderRequest {
        order: Some(v1::Order {
            source: "cope".to_owned(),
            external_id: id.to_owned(),
            programme_id: "copecart".to_owned(),
            ..Default::default()
        }),
        buyer: Some(buyer),
        items: vec![report(item("1", "course"))],
        ..Default::default()
    }
}

pub(crate) fn report(item: v1::Item) -> v1::ItemReport {
    v1::ItemReport { item: Some(item), payments: Vec::new() }
}

/// An order that follows another.
pub(crate) fn child(id: &str, parent: &str) -> v1::ReportOrderRequest {
    let mut request = order(id, v1::BuyerReferences::default());
    parent.clone_into(&mut request.order.as_mut().unwrap().parent_external_id);
    request
}

pub(crate) fn with_token(token: String) -> v1::BuyerReferences {
    v1::BuyerReferences { token, ..Default::default() }
}

pub(crate) fn with_email(email: &str) -> v1::BuyerReferences {
    v1::BuyerReferences { email: email.to_owned(), ..Default::default() }
}

pub(crate) fn with_click(n: u64) -> v1::BuyerReferences {
    v1::BuyerReferences { reference: click_id(n), ..Default::default() }
}

pub(crate) fn item_key(order: &str, item: &str) -> v1::ItemKey {
    v1::ItemKey {
        source: "cope".to_owned(),
        order_external_id: order.to_owned(),
        item_external_id: item.to_owned(),
    }
}

pub(crate) fn payment(order: &str, id: &str, cents: i64) -> v1::ReportPaymentRequest {
    v1::ReportPaymentRequest {
        item: Some(item_key(order, "1")),
        payment: Some(v1::Payment {
            external_id: id.to_owned(),
            amount: euros(cents),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(crate) fn refund(order: &str, id: &str, cents: i64) -> v1::ReportReversalRequest {
    v1::ReportReversalRequest {
        item: Some(item_key(order, "1")),
        reversal: Some(v1::Reversal {
            external_id: id.to_owned(),
            kind: v1::ReversalKind::Refund.into(),
            amount: euros(cents),
            ..Default::default()
        }),
        ..Default::default()
    }
}
