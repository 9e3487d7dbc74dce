//! What is malformed gets a clear error that names the field, and changes nothing.

use proptest::prelude::*;
use tagalong_proto::v1;
use tonic::{Code, Status};

use crate::{
    messages::{
        affiliate, by_email, by_id, click, euros, order, payment, product, programme, refund,
        registration, time, webinar, with_email,
    },
    world::{World, field},
};

const LONG: usize = 129;

/// Calls with a changed message each, and expects the field it is refused for.
macro_rules! refused {
    ($world:expr, $client:ident.$method:ident, $good:expr, $( $field:literal: |$message:ident| $change:expr; )+) => {
        $({
            #[allow(unused_mut, reason = "some cases replace the whole message")]
            let mut $message = $good;
            $change;
            let refused = $world.$client().$method($message).await.err();
            let refused: Status = refused.unwrap_or_else(|| panic!("{} was accepted", $field));
            assert_eq!(field(&refused), $field);
        })+
    };
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
#[expect(clippy::field_reassign_with_default, reason = "each case changes one field")]
async fn every_call_names_the_field_it_refuses_and_changes_nothing() {
    let world = World::new().await;
    world.register(registration("1", "jane@example.com", "max")).await.unwrap();
    let sale = world.sold(order("o1", with_email("jane@example.com"))).await;
    let item_id = sale.item.unwrap().id;
    let dump = world.dump().await;
    let long = || "x".repeat(LONG);
    let far = || Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });

    let good =
        || v1::CreateProgrammeRequest { programme: Some(programme("p")), ..Default::default() };
    refused!(world, catalogue.create_programme, good(),
        "request_id": |m| m.request_id = long();
        "programme": |m| m.programme = None;
        "programme.id": |m| m.programme.as_mut().unwrap().id = "a b".to_owned();
        "programme.title": |m| m.programme.as_mut().unwrap().title = "x\u{0}".to_owned();
    );
    let good =
        || v1::CreateAffiliateRequest { affiliate: Some(affiliate("max")), ..Default::default() };
    refused!(world, catalogue.create_affiliate, good(),
        "affiliate.id": |m| m.affiliate.as_mut().unwrap().id = "%AFF%".to_owned();
        "affiliate.programme_id": |m| m.affiliate.as_mut().unwrap().programme_id.clear();
        "affiliate.coupon_codes[1]": |m| m.affiliate.as_mut().unwrap().coupon_codes = vec!["a".into(), String::new()];
        "emails[0]": |m| m.emails = vec!["nobody".into()];
        "emails": |m| m.emails = vec!["a@example.com".into(); 17];
    );
    let good = || v1::CreateProductRequest {
        product: Some(product("copecart", "p")),
        ..Default::default()
    };
    let template = |text: &str| {
        Some(v1::Destination { with_affiliate: text.to_owned(), ..Default::default() })
    };
    refused!(world, catalogue.create_product, good(),
        "product.id": |m| m.product.as_mut().unwrap().id = "-".to_owned();
        "product.checkout": |m| m.product.as_mut().unwrap().checkout = None;
        "product.checkout.with_affiliate": |m| m.product.as_mut().unwrap().checkout = template("javascript:alert('{affiliate}')");
        "product.checkout.with_affiliate": |m| m.product.as_mut().unwrap().checkout = template("https://{affiliate}.example/");
        "product.sales_page.with_affiliate": |m| m.product.as_mut().unwrap().sales_page = template("https://user:pw@x.example/?a={affiliate}");
        "product.sales_page.with_affiliate": |m| m.product.as_mut().unwrap().sales_page = template("https://x.example/\u{7}?a={affiliate}");
        "product.checkout.without_affiliate": |m| m.product.as_mut().unwrap().checkout = template("https://x.example/{affiliate}/");
        "product.external_ids[0]": |m| m.product.as_mut().unwrap().external_ids = vec![long()];
        "product.policy.window": |m| m.product.as_mut().unwrap().policy = Some(v1::Policy { window: Some(prost_types::Duration { seconds: -1, nanos: 0 }), ..Default::default() });
        "product.policy.model": |m| m.product.as_mut().unwrap().policy = Some(v1::Policy { model: 9, ..Default::default() });
        "product.cookie_policy": |m| m.product.as_mut().unwrap().cookie_policy = 9;
        "product.query_rule.names[0]": |m| m.product.as_mut().unwrap().query_rule = Some(v1::QueryRule { names: vec!["a\nb".into()], ..Default::default() });
    );
    let good = || v1::CreateWebinarRequest { webinar: Some(webinar("w")), ..Default::default() };
    refused!(world, catalogue.create_webinar, good(),
        "webinar.id": |m| m.webinar.as_mut().unwrap().id = ".".to_owned();
        "webinar.promotes_product_ids": |m| m.webinar.as_mut().unwrap().promotes_product_ids = vec!["/".into()];
        "webinar.offers_product_ids": |m| m.webinar.as_mut().unwrap().offers_product_ids = (0..101).map(|n| format!("p{n}")).collect();
        "webinar.campaign_ends_at": |m| m.webinar.as_mut().unwrap().campaign_ends_at = far();
    );
    refused!(world, catalogue.suspend_affiliate,
        v1::SuspendAffiliateRequest { programme_id: "copecart".into(), id: "max".into(), ..Default::default() },
        "programme_id": |m| m.programme_id.clear();
        "id": |m| m.id = "*|A|*".to_owned();
        "reason": |m| m.reason = "x".repeat(501);
        "at": |m| m.at = far();
    );
    refused!(world, catalogue.remove_test_records, v1::RemoveTestRecordsRequest::default(),
        "programme_id": |m| m.programme_id = " ".to_owned();
        "webinar_id": |m| m.webinar_id = "\u{0}".to_owned();
    );
    for list in ["programmes\nb c", "affiliates\nb", "products\n\u{0}"] {
        use base64::Engine as _;
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(list);
        refused!(world, catalogue.list_affiliates, v1::ListAffiliatesRequest::default(),
            "page_token": |m| m.page_token = token.clone();
        );
        refused!(world, catalogue.list_programmes, v1::ListProgrammesRequest::default(),
            "page_token": |m| m.page_token = token.clone();
        );
        refused!(world, catalogue.list_products, v1::ListProductsRequest::default(),
            "page_token": |m| m.page_token = token.clone();
        );
        refused!(world, catalogue.list_webinars, v1::ListWebinarsRequest::default(),
            "page_token": |m| m.page_token = token.clone();
        );
        refused!(world, sales.list_sales, v1::ListSalesRequest::default(),
            "page_token": |m| m.page_token = token.clone();
        );
    }

    refused!(world, attendees.register_attendee, registration("2", "bob@example.com", "max"),
        "webinar_id": |m| m.webinar_id.clear();
        "email": |m| m.email = "bob@@".to_owned();
        "keep_email": |m| { m.email.clear(); m.keep_email = true };
        "programme_id": |m| m.programme_id = "?".to_owned();
        "key.source": |m| m.key.as_mut().unwrap().source.clear();
        "key.external_id": |m| m.key.as_mut().unwrap().external_id = long();
        "key": |m| m.key = None;
        "session_id": |m| m.session_id = long();
        "registered_at": |m| m.registered_at = far();
        "click_id": |m| m.click_id = "00000000-0000-4000-8000-000000000000".to_owned();
    );
    refused!(world, attendees.get_attendee, v1::GetAttendeeRequest::default(),
        "attendee": |m| m.attendee = None;
        "attendee.attendee_id": |m| m.attendee = Some(by_id("x"));
        "attendee.email.email": |m| m.attendee = Some(by_email("launch", "x"));
        "attendee.email.webinar_id": |m| m.attendee = Some(by_email("", "x@example.com"));
    );
    refused!(world, attendees.erase_attendee, v1::EraseAttendeeRequest::default(), "attendee": |m| m.attendee = None;);
    refused!(world, attendees.export_attendee, v1::ExportAttendeeRequest::default(), "attendee": |m| m.attendee = None;);
    refused!(world, attendees.list_attendees, v1::ListAttendeesRequest::default(),
        "page_size": |m| m.page_size = -1;
        "page_size": |m| m.page_size = 1001;
        "page_token": |m| m.page_token = "x".to_owned();
        "webinar_id": |m| m.webinar_id = "/".to_owned();
    );

    let good = || v1::RecordClicksRequest {
        log_id: by_uuid(),
        first_position: 1,
        oldest_position: 1,
        clicks: vec![click(1, "ticket", "max", 0)],
    };
    refused!(world, clicks.record_clicks, good(),
        "log_id": |m| m.log_id.clear();
        "first_position": |m| m.first_position = 0;
        "oldest_position": |m| m.oldest_position = 2;
        "clicks": |m| m.clicks = vec![click(1, "ticket", "max", 0); 5001];
        "clicks[0].id": |m| m.clicks[0].id = by_uuid();
        "clicks[0].product_id": |m| m.clicks[0].product_id.clear();
        "clicks[0].affiliate_id": |m| m.clicks[0].affiliate_id = "{x}".to_owned();
        "clicks[0].occurred_at": |m| m.clicks[0].occurred_at = None;
        "clicks[0].class": |m| m.clicks[0].class = 99;
        "clicks[0].link": |m| m.clicks[0].link = -1;
        "clicks[0].sub_ids": |m| m.clicks[0].sub_ids = vec![String::new(); 6];
        "clicks[0].sub_ids[0]": |m| m.clicks[0].sub_ids = vec![long()];
        "clicks[0].attendee_id": |m| m.clicks[0].attendee_id = "x".to_owned();
        "clicks[0].cookie_click_id": |m| m.clicks[0].cookie_click_id = "x".to_owned();
    );
    refused!(world, clicks.get_click_log, v1::GetClickLogRequest::default(), "log_id": |m| m.log_id = "x".to_owned(););
    refused!(world, clicks.list_clicks, v1::ListClicksRequest::default(), "product_id": |m| m.product_id = "/".to_owned(););

    refused!(world, sales.report_order, order("o2", with_email("not an address")),
        "order": |m| m.order = None;
        "order.source": |m| m.order.as_mut().unwrap().source.clear();
        "order.external_id": |m| m.order.as_mut().unwrap().external_id = long();
        "order.programme_id": |m| m.order.as_mut().unwrap().programme_id.clear();
        "order.parent_external_id": |m| m.order.as_mut().unwrap().parent_external_id = "o2".to_owned();
        "order.ordered_at": |m| m.order.as_mut().unwrap().ordered_at = far();
        "items": |m| m.items.clear();
        "items[0].item": |m| m.items[0].item = None;
        "items[0].item.external_id": |m| m.items[0].item.as_mut().unwrap().external_id.clear();
        "items[0].item.external_product_id": |m| m.items[0].item.as_mut().unwrap().external_product_id.clear();
        "items[0].item.kind": |m| m.items[0].item.as_mut().unwrap().kind = 9;
        "items[0].item.price.minor_units": |m| m.items[0].item.as_mut().unwrap().price = euros(-1);
        "items[0].item.price.minor_units": |m| m.items[0].item.as_mut().unwrap().price = euros(i64::MAX);
        "items[0].item.price.currency": |m| m.items[0].item.as_mut().unwrap().price.as_mut().unwrap().currency = "eur".to_owned();
        "items[1].item.external_id": |m| { let twice = m.items[0].clone(); m.items.push(twice) };
        "items[0].payments[0].amount": |m| m.items[0].payments = vec![v1::Payment { external_id: "p".into(), ..Default::default() }];
    );
    refused!(world, sales.report_payment, payment("o1", "p", 1),
        "item": |m| m.item = None;
        "item.source": |m| m.item.as_mut().unwrap().source.clear();
        "payment": |m| m.payment = None;
        "payment.external_id": |m| m.payment.as_mut().unwrap().external_id.clear();
        "payment.amount.currency": |m| m.payment.as_mut().unwrap().amount.as_mut().unwrap().currency = "XXXX".to_owned();
        "payment.sequence": |m| m.payment.as_mut().unwrap().sequence = -1;
    );
    refused!(world, sales.report_reversal, refund("o1", "r", 1),
        "reversal": |m| m.reversal = None;
        "reversal.kind": |m| m.reversal.as_mut().unwrap().kind = 0;
        "reversal.amount": |m| m.reversal.as_mut().unwrap().amount = None;
    );
    refused!(world, sales.get_sale, v1::GetSaleRequest::default(), "sale": |m| m.sale = None;
        "item_id": |m| m.sale = Some(v1::get_sale_request::Sale::ItemId("x".into()));
    );
    refused!(world, sales.explain_sale, v1::ExplainSaleRequest::default(), "sale": |m| m.sale = None;);
    refused!(world, sales.list_sales, v1::ListSalesRequest::default(),
        "programme_id": |m| m.affiliate_id = "max".to_owned();
        "credit": |m| m.credit = 99;
        "carried_by": |m| m.carried_by = 99;
    );
    let good = || v1::AssignSaleRequest {
        item_id: item_id.clone(),
        assignment: Some(v1::Assignment {
            author: "ada".into(),
            reason: "why".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    refused!(world, sales.assign_sale, good(),
        "item_id": |m| m.item_id = "x".to_owned();
        "assignment": |m| m.assignment = None;
        "assignment.author": |m| m.assignment.as_mut().unwrap().author.clear();
        "assignment.reason": |m| m.assignment.as_mut().unwrap().reason.clear();
        "assignment.affiliate_id": |m| m.assignment.as_mut().unwrap().affiliate_id = "/".to_owned();
    );
    let good = || v1::PreviewDecisionRequest {
        attendee: Some(by_email("launch", "jane@example.com")),
        product_id: "course".into(),
        at: Some(time(0)),
    };
    refused!(world, sales.preview_decision, good(),
        "attendee": |m| m.attendee = None;
        "product_id": |m| m.product_id.clear();
        "at": |m| m.at = None;
    );
    refused!(world, sales.preview_decisions, v1::PreviewDecisionsRequest { webinar_id: "launch".into(), product_id: "course".into(), at: None },
        "at": |m| m.at = None;
        "webinar_id": |m| m.webinar_id.clear();
    );
    assert_eq!(world.dump().await, dump);
}

fn by_uuid() -> String {
    uuid::Uuid::from_u128(7).to_string()
}

/// Never our fault, whatever the caller sends.
fn not_ours<T>(call: &str, answer: Result<T, Status>) -> Result<(), TestCaseError> {
    let code = answer.err().map_or(Code::Ok, |status| status.code());
    prop_assert!(
        matches!(
            code,
            Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::Aborted
        ),
        "{}: {:?}",
        call,
        code
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_anywhere_is_our_fault(
        texts in prop::collection::vec(
            prop_oneof![any::<String>(), "[a-z\u{0}\n%{}'\"\\\\]{0,5}", Just(String::new()), "[a-z]{1,3}"],
            24,
        ),
        number in any::<i64>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let at = Some(prost_types::Timestamp { seconds: number, nanos: 1 });
            let text = |n: usize| texts[n].clone();
            // An ID that is good or any text.
            let or = |n: usize, good: &str| if number % 2 == 0 { good.to_owned() } else { text(n) };
            let reference = v1::AttendeeReference {
                reference: Some(v1::attendee_reference::Reference::Token(text(0))),
            };
            let request = v1::RegisterAttendeeRequest {
                request_id: text(0), webinar_id: or(1, "launch"), email: text(2), keep_email: true,
                affiliate_id: text(3), programme_id: or(4, ""), session_id: text(5), click_id: or(6, ""),
                key: Some(v1::RegistrationKey { source: text(7), external_webinar_id: text(8), external_id: text(9) }),
                registered_at: at, unverified: false, test: false,
            };
            not_ours("register", world.register(request).await)?;
            let mut sale = order(&text(10), v1::BuyerReferences {
                token: text(11), reference: text(12), click_id: text(13), email: text(14), coupon_code: text(15),
                registration: Some(v1::RegistrationKey { source: text(7), external_webinar_id: text(8), external_id: text(9) }),
            });
            let head = sale.order.as_mut().unwrap();
            (head.source, head.parent_external_id, head.ordered_at) = (text(16), text(17), at);
            let line = sale.items[0].item.as_mut().unwrap();
            (line.external_id, line.external_product_id) = (text(18), or(19, "X-course"));
            line.platform_affiliate_id = Some(text(20));
            line.price = Some(v1::Money { minor_units: number, currency: or(21, "EUR") });
            not_ours("order", world.order(sale).await)?;
            let mut paid = payment(&text(10), &text(22), number);
            paid.item.as_mut().unwrap().source = text(16);
            not_ours("payment", world.sales().report_payment(paid).await)?;
            let mut back = refund(&text(10), &text(22), number);
            back.item.as_mut().unwrap().item_external_id = text(18);
            not_ours("reversal", world.sales().report_reversal(back).await)?;
            let mut visit = click(1, &or(1, "ticket"), &or(3, "max"), 0);
            (visit.sub_ids, visit.occurred_at) = (vec![text(5), text(6)], at);
            not_ours("click", world.record(1, vec![visit]).await)?;
            let mut made = product("copecart", &or(1, "p"));
            (made.title, made.external_ids) = (text(2), vec![text(3), text(4)]);
            made.checkout = Some(v1::Destination { with_affiliate: text(5), without_affiliate: or(6, "https://x.example/") });
            made.query_rule = Some(v1::QueryRule { mode: 0, names: vec![text(7)] });
            not_ours("product", world.product(made).await)?;
            let mut who = affiliate(&or(3, "max"));
            (who.title, who.coupon_codes) = (text(2), vec![text(15)]);
            not_ours("affiliate", world.affiliate(who).await)?;
            let mut hall = webinar(&or(1, "w"));
            (hall.title, hall.campaign_ends_at) = (text(2), at);
            not_ours("webinar", world.webinar(hall).await)?;
            not_ours("suspend", world.suspend(&or(3, "max"), number % 1_000_000).await)?;
            let request = v1::GetAttendeeRequest { attendee: Some(reference) };
            not_ours("get", world.attendees().get_attendee(request).await)?;
            let request = v1::GetAttendeeRequest { attendee: Some(by_email(&or(1, "launch"), &text(2))) };
            not_ours("get", world.attendees().get_attendee(request).await)?;
            let request = v1::ListSalesRequest { page_token: text(0), product_id: text(1), ..Default::default() };
            not_ours("list", world.sales().list_sales(request).await)?;
            let request = v1::WatchRequest { cursor: text(0), ..Default::default() };
            not_ours("watch", world.events().watch(request).await)?;
            let request = v1::WatchCatalogueRequest { after_revision: number };
            not_ours("catalogue", world.catalogue().watch_catalogue(request).await)
        })?;
    }
}
