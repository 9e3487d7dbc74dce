//! Rule 7: the same evidence gives the same decisions, in whatever order it arrives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tagalong_proto::v1;

use crate::{
    messages::{
        affiliate, child, click, click_id, item, order, payment, refund, registration, report,
        time, with_click, with_email,
    },
    world::World,
};

/// Something a campaign's tools report; numbers pick from small sets, so that they meet.
#[derive(Debug, Clone)]
enum Report {
    Registration { id: u8, email: u8, affiliate: u8, session: u8, click: u8, at: i64 },
    Click { id: u8, affiliate: u8, at: i64 },
    Order { id: u8, parent: u8, email: u8, click: u8, key: u8, upsell: bool, at: i64 },
    Money { order: u8 },
    Suspension { affiliate: u8, at: i64 },
}

const AFFILIATES: [&str; 3] = ["max", "eva", "ida"];

fn any_report() -> impl Strategy<Value = Report> {
    prop_oneof![
        3 => (0..3u8, 0..3u8, 0..4u8, 0..2u8, 0..4u8, -500..0i64).prop_map(
            |(id, email, affiliate, session, click, at)| Report::Registration {
                id, email, affiliate, session, click, at
            }
        ),
        2 => (1..4u8, 0..4u8, -500..0i64)
            .prop_map(|(id, affiliate, at)| Report::Click { id, affiliate, at }),
        3 => (0..3u8, 0..4u8, 0..3u8, 0..4u8, 0..4u8, any::<bool>(), -300..0i64).prop_map(
            |(id, parent, email, click, key, upsell, at)| Report::Order {
                id, parent, email, click, key, upsell, at
            }
        ),
        1 => (0..3u8).prop_map(|order| Report::Money { order }),
        1 => (0..3u8, -500..0i64)
            .prop_map(|(affiliate, at)| Report::Suspension { affiliate, at }),
    ]
}

/// What names the same thing with other content is another story: its first report stands.
fn once_each(reports: Vec<Report>) -> Vec<Report> {
    let mut seen = std::collections::BTreeSet::new();
    let name = |report: &Report| match report {
        Report::Registration { id, .. } => ("registration", *id),
        Report::Click { id, .. } => ("click", *id),
        Report::Order { id, .. } => ("order", *id),
        Report::Money { order } => ("money", *order),
        Report::Suspension { affiliate, .. } => ("suspension", *affiliate),
    };
    reports.into_iter().filter(|report| seen.insert(name(report))).collect()
}

/// Addresses 1 and 2 are people's; an attendee without one is told by the registration.
fn email(n: u8) -> String {
    if n == 0 { String::new() } else { format!("p{n}@example.com") }
}

async fn tell(world: &World, position: &mut i64, told: &Report) {
    let affiliate_id = |n: u8| AFFILIATES.get(usize::from(n)).copied().unwrap_or_default();
    match *told {
        Report::Registration { id, email: address, affiliate, session, click, at } => {
            let mut request =
                registration(&id.to_string(), &email(address), affiliate_id(affiliate));
            request.session_id = if session == 0 { String::new() } else { "monday".into() };
            request.registered_at = Some(time(at));
            if click > 0 {
                request.click_id = click_id(click.into());
            }
            world.register(request).await.unwrap();
        }
        Report::Click { id, affiliate, at } => {
            let clicks = vec![click(id.into(), "ticket", affiliate_id(affiliate), at)];
            *position = world.record(*position, clicks).await.unwrap();
        }
        Report::Order { id, parent, email: address, click, key, upsell, at } => {
            let mut request = child(&format!("o{id}"), &format!("o{parent}"));
            if parent == id || parent == 3 {
                request = order(&format!("o{id}"), with_email(""));
            }
            let buyer = request.buyer.as_mut().unwrap();
            if click > 0 {
                *buyer = with_click(click.into());
            }
            buyer.email = email(address);
            if key < 3 {
                buyer.registration = Some(crate::messages::registration_key(&key.to_string()));
            }
            request.order.as_mut().unwrap().ordered_at = Some(time(at));
            if upsell {
                let kind = v1::ItemKind::Upsell.into();
                request.items.push(report(v1::Item { kind, ..item("0", "extra") }));
            }
            world.order(request).await.unwrap();
        }
        Report::Money { order } => {
            let (paid, back) =
                (payment(&format!("o{order}"), "p", 100), refund(&format!("o{order}"), "r", 50));
            world.sales().report_reversal(back).await.unwrap();
            world.sales().report_payment(paid).await.unwrap();
        }
        Report::Suspension { affiliate, at } => {
            world.suspend(affiliate_id(affiliate), at).await.unwrap();
        }
    }
}

/// Every item's decision, in words that are the same in every database.
async fn outcome(reports: &[Report]) -> BTreeMap<String, String> {
    let world = World::new().await;
    for id in AFFILIATES {
        world.affiliate(affiliate(id)).await.unwrap();
    }
    let mut position = 1;
    for told in reports {
        tell(&world, &mut position, told).await;
    }
    let list = v1::ListSalesRequest::default();
    let mut outcome = BTreeMap::new();
    for sale in world.sales().list_sales(list).await.unwrap().into_inner().sales {
        let (name, line) = (sale.order.unwrap().external_id, sale.item.unwrap().external_id);
        let explained = world.explain(&name, &line).await.sale.unwrap();
        let decision = explained.decision.unwrap();
        let mut touches: Vec<_> = decision
            .touches
            .iter()
            .map(|considered| {
                let touch = considered.touch.clone().unwrap();
                let at = touch.occurred_at.unwrap().seconds;
                format!(
                    "{at} {:?} {} {} {:?}",
                    touch.kind(),
                    touch.affiliate_id,
                    touch.session_id,
                    considered.verdict()
                )
            })
            .collect();
        touches.sort();
        outcome.insert(
            format!("{name}/{line}"),
            format!(
                "{:?} {:?} {:?} {:?} {} {} {:?} {:?} {touches:#?}",
                decision.affiliate_id,
                decision.carried_by(),
                decision.credit(),
                decision.basis(),
                decision.attendee_id.is_empty(),
                decision.reason,
                explained.payments.len(),
                explained.reversals.iter().map(|r| r.exceeds_payments).collect::<Vec<_>>(),
            ),
        );
    }
    outcome
}

/// How many cases: those given by the environment, to look longer than every run does.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(24), max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_arrival_gives_the_same_decisions(
        (reports, shuffled) in prop::collection::vec(any_report(), 2..10)
            .prop_map(once_each)
            .prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (first, second) = runtime.block_on(async {
            (outcome(&reports).await, outcome(&shuffled).await)
        });
        prop_assert_eq!(first, second, "\n{:#?}\nand\n{:#?}", reports, shuffled);
    }
}
