//! The numbers of a campaign: always what a recount would say.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sea_orm::ConnectionTrait as _;
use tagalong_proto::v1;

use crate::{
    database::connect,
    messages::{
        affiliate, by_id, click, click_id, euros, order, programme, registration, registration_key,
        time,
    },
    world::{DAY, World, field},
};

/// Something that may move a number; numbers pick from small sets, so that the same thing is told again and otherwise.
#[derive(Debug, Clone)]
enum Step {
    Click { id: u64, product: usize, affiliate: usize, class: i32, link: i32, test: bool, day: i64 },
    Register { id: u8, email: u8, affiliate: usize, click: u64, unverified: bool, day: i64 },
    Order { id: u8, mapped: bool, priced: bool, said: usize, click: u64, key: u8, day: i64 },
    Assign { order: u8, affiliate: usize },
    Suspend { affiliate: usize, day: i64 },
    Erase { registration: u8 },
    Map,
    Fold,
}

const AFFILIATES: [&str; 4] = ["max", "eva", "ida", ""];
const PRODUCTS: [&str; 3] = ["ticket", "course", "unknown"];

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..6u64, 0..3usize, 0..4usize, 1..6i32, 1..4i32, prop::bool::weighted(0.2), -2..1i64)
            .prop_map(|(id, product, affiliate, class, link, test, day)| Step::Click {
                id, product, affiliate, class: class.min(2), link, test, day
            }),
        3 => (0..3u8, 0..3u8, 0..4usize, 0..6u64, any::<bool>(), -2..1i64).prop_map(
            |(id, email, affiliate, click, unverified, day)| Step::Register {
                id, email, affiliate, click, unverified, day
            }
        ),
        3 => (0..3u8, any::<bool>(), any::<bool>(), 0..4usize, 0..6u64, 0..4u8, -2..1i64).prop_map(
            |(id, mapped, priced, said, click, key, day)| Step::Order {
                id, mapped, priced, said, click, key, day
            }
        ),
        1 => (0..3u8, 0..4usize).prop_map(|(order, affiliate)| Step::Assign { order, affiliate }),
        1 => (0..3usize, -2..1i64).prop_map(|(affiliate, day)| Step::Suspend { affiliate, day }),
        1 => (0..3u8).prop_map(|registration| Step::Erase { registration }),
        1 => Just(Step::Map),
        2 => Just(Step::Fold),
    ]
}

async fn take(world: &World, position: &mut i64, step: &Step) {
    match *step {
        Step::Click { id, product, affiliate, class, link, test, day } => {
            let click = v1::Click {
                class,
                link,
                test,
                ..click(id, PRODUCTS[product], AFFILIATES[affiliate], day * DAY)
            };
            *position = world.record(*position, vec![click]).await.unwrap();
        }
        Step::Register { id, email, affiliate, click, unverified, day } => {
            let email = if email == 0 { String::new() } else { format!("p{email}@example.com") };
            let mut request = registration(&id.to_string(), &email, AFFILIATES[affiliate]);
            request.registered_at = Some(time(day * DAY));
            request.unverified = unverified;
            if click > 0 {
                request.click_id = click_id(click);
            }
            world.registered(request).await;
        }
        Step::Order { id, mapped, priced, said, click, key, day } => {
            let mut request = order(&format!("o{id}"), v1::BuyerReferences::default());
            request.order.as_mut().unwrap().ordered_at = Some(time(day * DAY));
            let buyer = request.buyer.as_mut().unwrap();
            if click > 0 {
                buyer.reference = click_id(click);
            }
            if key < 3 {
                buyer.registration = Some(registration_key(&key.to_string()));
            }
            let item = request.items[0].item.as_mut().unwrap();
            if !mapped {
                "X-mystery".clone_into(&mut item.external_product_id);
            }
            item.price = if priced { euros(100) } else { None };
            item.platform_affiliate_id = AFFILIATES.get(said).map(|id| (*id).to_owned());
            world.order(request).await.unwrap();
        }
        Step::Assign { order, affiliate } => {
            for sale in sales(world).await {
                if sale.order.unwrap().external_id == format!("o{order}") && sale.decision.is_some()
                {
                    world.assign(&sale.item.unwrap().id, AFFILIATES[affiliate]).await.unwrap();
                }
            }
        }
        Step::Suspend { affiliate, day } => {
            // Refused, where it is suspended already.
            drop(world.suspend(AFFILIATES[affiliate], day * DAY).await);
        }
        Step::Erase { registration } => {
            let reference = v1::attendee_reference::Reference::Registration(registration_key(
                &registration.to_string(),
            ));
            let request = v1::GetAttendeeRequest {
                attendee: Some(v1::AttendeeReference { reference: Some(reference) }),
            };
            if let Ok(found) = world.attendees().get_attendee(request).await {
                let id = found.into_inner().attendee.unwrap().id;
                let request = v1::EraseAttendeeRequest { attendee: Some(by_id(&id)) };
                world.attendees().erase_attendee(request).await.unwrap();
            }
        }
        Step::Map => {
            // Known already, where it is mapped for the second time.
            drop(world.product(crate::messages::product("copecart", "mystery")).await);
        }
        Step::Fold => world.service.fold_counts().await.unwrap(),
    }
}

async fn sales(world: &World) -> Vec<v1::Sale> {
    let request = v1::ListSalesRequest { page_size: 1000, ..Default::default() };
    world.sales().list_sales(request).await.unwrap().into_inner().sales
}

/// How many of each, and what they are worth.
type Numbers = BTreeMap<String, (i64, i64)>;

fn add(numbers: &mut Numbers, key: &[&str], number: i64, value: i64) {
    let sum = numbers.entry(key.join("|")).or_default();
    *sum = (sum.0 + number, sum.1 + value);
}

fn day(at: Option<&prost_types::Timestamp>) -> String {
    let at = jiff::Timestamp::from_second(at.unwrap().seconds).unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// Counts what the lists show.
async fn recount(world: &World) -> Numbers {
    let mut numbers = Numbers::new();
    let list = v1::ListClicksRequest { page_size: 1000, ..Default::default() };
    for click in world.clicks().list_clicks(list).await.unwrap().into_inner().clicks {
        let what = match (click.link(), click.class()) {
            (v1::LinkKind::Affiliate, v1::ClickClass::Human) => "human",
            (v1::LinkKind::Affiliate, _) => "other",
            (v1::LinkKind::Purchase, v1::ClickClass::Human) => "opened",
            _ => continue,
        };
        let programme = if click.product_id == "unknown" { "" } else { "copecart" };
        let day = day(click.occurred_at.as_ref());
        let key = [what, &day, &click.product_id, "", programme, &click.affiliate_id];
        add(&mut numbers, &key, 1, 0);
    }
    let list = v1::ListAttendeesRequest { page_size: 1000, ..Default::default() };
    for attendee in world.attendees().list_attendees(list).await.unwrap().into_inner().attendees {
        let request = v1::GetAttendeeRequest { attendee: Some(by_id(&attendee.id)) };
        let whole = world.attendees().get_attendee(request).await.unwrap().into_inner();
        for registration in whole.attendee.unwrap().registrations {
            let affiliate = registration.affiliate_id.as_str();
            let programme = if affiliate.is_empty() { "" } else { "copecart" };
            let day = day(registration.registered_at.as_ref());
            let key = ["registered", &day, "", &attendee.webinar_id, programme, affiliate];
            add(&mut numbers, &key, 1, 0);
        }
    }
    for sale in sales(world).await {
        let Some(decision) = sale.decision else { continue };
        let (order, item) = (sale.order.unwrap(), sale.item.unwrap());
        let what = format!("{:?} {:?}", decision.credit(), decision.carried_by());
        let price = item.price.unwrap_or_default();
        let what = format!("{what} {}", price.currency);
        let day = day(order.ordered_at.as_ref());
        let key = [&what, &day, &item.product_id, "", "copecart", &decision.affiliate_id];
        add(&mut numbers, &key, 1, price.minor_units);
    }
    numbers
}

async fn funnel(world: &World, request: v1::GetFunnelRequest) -> Vec<v1::FunnelRow> {
    world.events().get_funnel(request).await.unwrap().into_inner().rows
}

fn by(dimensions: &[v1::FunnelDimension]) -> v1::GetFunnelRequest {
    let group_by = dimensions.iter().map(|dimension| (*dimension).into()).collect();
    v1::GetFunnelRequest { group_by, ..Default::default() }
}

const ALL: [v1::FunnelDimension; 4] = [
    v1::FunnelDimension::Day,
    v1::FunnelDimension::Product,
    v1::FunnelDimension::Webinar,
    v1::FunnelDimension::Affiliate,
];

/// What the funnel says.
async fn counted(world: &World) -> Numbers {
    let mut numbers = Numbers::new();
    for row in funnel(world, by(&ALL)).await {
        let names = [
            row.day.as_str(),
            &row.product_id,
            &row.webinar_id,
            &row.programme_id,
            &row.affiliate_id,
        ];
        let mut count = |what: &str, number, value| {
            if number != 0 {
                let key: Vec<&str> = std::iter::once(what).chain(names).collect();
                add(&mut numbers, &key, number, value);
            }
        };
        count("human", row.human_clicks, 0);
        count("other", row.other_clicks, 0);
        count("opened", row.purchase_links_opened, 0);
        count("registered", row.registrations, 0);
        for sales in row.sales {
            let value = sales.value.clone().unwrap_or_default();
            let (credit, carried_by) = (sales.credit(), sales.carried_by());
            let what = format!("{credit:?} {carried_by:?} {}", value.currency);
            count(&what, sales.items, value.minor_units);
        }
    }
    numbers
}

/// As it was before anything was counted.
async fn uncount(world: &World) {
    let db = connect(&world.database.url, false).await;
    for statement in [
        "DROP TABLE count_delta",
        "DROP TABLE count_total",
        "ALTER TABLE registration DROP COLUMN programme",
        "DELETE FROM schema_migration WHERE version LIKE 'm0002%'",
    ] {
        db.execute_unprepared(statement).await.unwrap();
    }
    db.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_numbers_are_what_a_recount_says(steps in prop::collection::vec(any_step(), 1..24)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            for id in AFFILIATES.into_iter().filter(|id| !id.is_empty()) {
                world.affiliate(affiliate(id)).await.unwrap();
            }
            let mut position = 1;
            for step in &steps {
                take(&world, &mut position, step).await;
            }
            let expected = recount(&world).await;
            prop_assert_eq!(&counted(&world).await, &expected, "{:#?}", &steps);
            world.service.fold_counts().await.unwrap();
            prop_assert_eq!(&counted(&world).await, &expected, "folded: {:#?}", &steps);
            // A database from before counts what it has.
            uncount(&world).await;
            let world = world.reopened(None).await;
            prop_assert_eq!(&counted(&world).await, &expected, "upgraded: {:#?}", &steps);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_numbers_can_be_asked_for_as_the_owner_needs_them() {
    let world = World::new().await;
    world.product(crate::messages::product("copecart", "other")).await.unwrap();
    let mut opened = click(3, "course", "max", 0);
    opened.link = v1::LinkKind::Purchase.into();
    let clicks = vec![
        click(1, "ticket", "max", -DAY),
        click(2, "ticket", "", 0),
        opened,
        click(4, "other", "max", 0),
    ];
    world.record(1, clicks).await.unwrap();
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let mut bought = order("o1", crate::messages::with_token(world.token(&jane)));
    bought.items[0].item.as_mut().unwrap().platform_affiliate_id = Some("max".to_owned());
    world.order(bought).await.unwrap();

    let rows = funnel(&world, by(&[])).await;
    let [all] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((all.human_clicks, all.registrations, all.purchase_links_opened), (3, 1, 1));
    assert_eq!(
        all.sales,
        [v1::FunnelSales {
            credit: v1::Credit::Agreed.into(),
            carried_by: v1::CarriedBy::Token.into(),
            items: 1,
            value: euros(49_700),
        }]
    );

    let days = by(&[v1::FunnelDimension::Day]);
    let rows = funnel(&world, days.clone()).await;
    let found: Vec<_> = rows.iter().map(|row| (row.day.as_str(), row.human_clicks)).collect();
    assert_eq!(found, [("2026-11-21", 1), ("2026-11-22", 2)]);
    let today = v1::GetFunnelRequest { from_day: "2026-11-22".to_owned(), ..days.clone() };
    assert_eq!(funnel(&world, today).await, rows[1..]);
    let until = v1::GetFunnelRequest { to_day: "2026-11-21".to_owned(), ..days };
    assert_eq!(funnel(&world, until).await, rows[..1]);

    let launch = v1::GetFunnelRequest { webinar_id: "launch".to_owned(), ..by(&[]) };
    let row = funnel(&world, launch).await.remove(0);
    assert_eq!((row.human_clicks, row.registrations, row.sales.len()), (2, 1, 1));
    let product = v1::GetFunnelRequest { product_id: "other".to_owned(), ..by(&[]) };
    let row = funnel(&world, product).await.remove(0);
    assert_eq!((row.human_clicks, row.registrations, row.sales.len()), (1, 0, 0));
    let nobodys = v1::GetFunnelRequest { affiliate_id: Some(String::new()), ..by(&[]) };
    assert_eq!(funnel(&world, nobodys).await[0].human_clicks, 1);
    let maxs = v1::GetFunnelRequest {
        programme_id: "copecart".to_owned(),
        affiliate_id: Some("max".to_owned()),
        ..by(&[])
    };
    assert_eq!(funnel(&world, maxs).await[0].human_clicks, 2);
    let none = v1::GetFunnelRequest { programme_id: "none".to_owned(), ..by(&ALL) };
    assert!(funnel(&world, none).await.is_empty());

    for (request, expected) in [
        (v1::GetFunnelRequest { from_day: "yesterday".to_owned(), ..by(&[]) }, "from_day"),
        (v1::GetFunnelRequest { to_day: "2026-13-01".to_owned(), ..by(&[]) }, "to_day"),
        (v1::GetFunnelRequest { affiliate_id: Some("max".to_owned()), ..by(&[]) }, "affiliate_id"),
        (
            v1::GetFunnelRequest {
                webinar_id: "launch".to_owned(),
                product_id: "course".to_owned(),
                ..by(&[])
            },
            "product_id",
        ),
        (by(&[v1::FunnelDimension::Unspecified]), "group_by[0]"),
    ] {
        let refused = world.events().get_funnel(request).await.unwrap_err();
        assert_eq!(field(&refused), expected);
    }
}

#[tokio::test]
async fn tests_are_not_counted() {
    let world = World::empty().await;
    world.programme(v1::Programme { test: true, ..programme("copecart") }).await.unwrap();
    world.product(crate::messages::product("copecart", "ticket")).await.unwrap();
    world.product(crate::messages::product("copecart", "course")).await.unwrap();
    let mut launch = crate::messages::webinar("launch");
    launch.test = true;
    launch.offers_product_ids = vec!["course".to_owned()];
    world.webinar(launch).await.unwrap();
    world.record(1, vec![v1::Click { test: true, ..click(1, "ticket", "max", 0) }]).await.unwrap();
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.order(order("o1", crate::messages::with_token(world.token(&jane)))).await.unwrap();
    assert!(funnel(&world, by(&[])).await.is_empty());
}
