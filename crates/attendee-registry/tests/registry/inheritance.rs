//! Upsells, bumps and renewals are whose their order is.

use tagalong_proto::v1::{self, DecisionBasis};

use crate::{
    messages::{child, item, order, registration, report, time, with_email, with_token},
    world::{DAY, MINUTE, World},
};

async fn decision(world: &World, order: &str, item: &str) -> v1::Decision {
    world.explain(order, item).await.sale.unwrap().decision.unwrap()
}

fn upsell(id: &str) -> v1::ItemReport {
    report(v1::Item { kind: v1::ItemKind::Upsell.into(), ..item(id, "extra") })
}

#[tokio::test]
async fn an_upsell_follows_the_main_item_also_when_that_changes() {
    let world = World::new().await;
    let mut request = order("o1", with_email("jane@example.com"));
    request.items.insert(0, upsell("0"));
    world.order(request).await.unwrap();
    let main = world.explain("o1", "1").await.sale.unwrap().item.unwrap();
    let inherited = decision(&world, "o1", "0").await;
    assert_eq!(inherited.basis(), DecisionBasis::Inherited);
    assert_eq!(inherited.inherited_from_item_id, main.id);
    let mut late = registration("1", "jane@example.com", "max");
    late.registered_at = Some(time(-60));
    world.register(late).await.unwrap();
    assert_eq!(decision(&world, "o1", "0").await.affiliate_id, "max");
    world.assign(&main.id, "eva").await.unwrap();
    assert_eq!(decision(&world, "o1", "0").await.affiliate_id, "eva");
    assert_eq!(world.explain("o1", "0").await.decisions.len(), 3);
}

#[tokio::test]
async fn an_instalment_after_the_window_follows_its_order_whichever_is_reported_first() {
    for parent_first in [true, false] {
        let world = World::new().await;
        let jane = world.registered(registration("1", "", "max")).await;
        let parent = order("o1", with_token(world.token(&jane)));
        let renewal = child("o2", "o1");
        if parent_first {
            world.order(parent).await.unwrap();
            world.at(120 * DAY);
            world.order(renewal).await.unwrap();
        } else {
            world.order(renewal).await.unwrap();
            assert_eq!(world.credited("o2").await, "");
            world.at(MINUTE);
            world.order(parent).await.unwrap();
        }
        let decision = decision(&world, "o2", "1").await;
        assert_eq!(decision.carried_by(), v1::CarriedBy::Order);
        assert_eq!((decision.affiliate_id.as_str(), decision.attendee_id), ("max", jane.id));
    }
}

#[tokio::test]
async fn a_long_chain_of_renewals_follows_the_first_order() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    world.order(order("o0", with_token(world.token(&jane)))).await.unwrap();
    for n in 1..=70 {
        world.at(n * DAY);
        world.order(child(&format!("o{n}"), &format!("o{}", n - 1))).await.unwrap();
    }
    assert_eq!(world.credited("o70").await, "max");
    // Assigned by hand long after all of them settled, the renewals follow.
    let first = world.at(365 * DAY).explain("o0", "1").await.sale.unwrap().item.unwrap();
    world.assign(&first.id, "eva").await.unwrap();
    for order in ["o0", "o1", "o2", "o70"] {
        assert_eq!(world.credited(order).await, "eva", "{order}");
    }
}

#[tokio::test]
async fn orders_that_name_each_other_as_parents_are_decided_all_the_same() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let mut first = child("a", "b");
    first.buyer = Some(with_token(world.token(&jane)));
    world.order(first).await.unwrap();
    let mut second = child("b", "c");
    second.buyer = Some(with_email("jane@example.com"));
    second.items.push(upsell("2"));
    world.order(second).await.unwrap();
    world.order(child("c", "a")).await.unwrap();
    world.order(child("leaf", "b")).await.unwrap();
    for (order, affiliate) in [("a", "max"), ("b", "max"), ("c", ""), ("leaf", "max")] {
        assert_eq!(world.credited(order).await, affiliate, "{order}");
    }
    let a = world.explain("a", "1").await.sale.unwrap().item.unwrap();
    world.assign(&a.id, "eva").await.unwrap();
    assert_eq!(world.credited("a").await, "eva");
}

#[tokio::test]
async fn whichever_order_closes_a_circle_none_in_it_inherits() {
    for closing in ["a", "b", "c"] {
        let world = World::new().await;
        let jane = world.registered(registration("1", "", "max")).await;
        for (name, parent) in [("a", "b"), ("b", "c"), ("c", "a")]
            .into_iter()
            .cycle()
            .skip_while(|(name, _)| *name != closing)
            .skip(1)
            .take(3)
        {
            let mut request = child(name, parent);
            if name == "a" {
                request.buyer = Some(with_token(world.token(&jane)));
            }
            world.order(request).await.unwrap();
        }
        for (name, affiliate) in [("a", "max"), ("b", ""), ("c", "")] {
            let decision = decision(&world, name, "1").await;
            assert_eq!(decision.affiliate_id, affiliate, "{name}, {closing} came last");
            assert_ne!(decision.basis(), DecisionBasis::Inherited, "{name}, {closing} came last");
        }
    }
}

#[tokio::test]
async fn an_order_with_many_main_items_hands_on_the_final_decision() {
    let world = World::new().await;
    let mut parent = order("o1", with_email("jane@example.com"));
    parent.items = (1..=9).map(|n| report(item(&n.to_string(), "course"))).collect();
    world.order(parent).await.unwrap();
    world.order(child("o2", "o1")).await.unwrap();
    world.order(child("o3", "o2")).await.unwrap();
    let mut late = registration("1", "jane@example.com", "max");
    late.registered_at = Some(time(-60));
    world.register(late).await.unwrap();
    for order in ["o1", "o2", "o3"] {
        assert_eq!(world.credited(order).await, "max", "{order}");
    }
}
