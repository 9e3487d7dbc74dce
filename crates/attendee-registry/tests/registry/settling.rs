//! What is settled stays.

use tagalong_proto::v1::{self, Credit};

use crate::{
    messages::{child, order, product, registration, time, with_email, with_token},
    world::{DAY, MINUTE, World},
};

#[tokio::test]
async fn evidence_after_settling_changes_nothing_but_the_platforms_answer() {
    let world = World::new().await;
    world.register(registration("1", "jane@example.com", "max")).await.unwrap();
    world.at(MINUTE);
    let sale = world.sold(order("o1", with_email("jane@example.com"))).await;
    assert_eq!(sale.decision.unwrap().settles_at, Some(time(MINUTE + 14 * DAY)));

    world.at(MINUTE + 14 * DAY + 1);
    let mut late = registration("2", "jane@example.com", "eva");
    late.registered_at = Some(time(30));
    world.register(late).await.unwrap();
    world.suspend("max", 0).await.unwrap();
    let explained = world.explain("o1", "1").await;
    assert_eq!(explained.decisions.len(), 1);
    assert_eq!(explained.sale.unwrap().decision.unwrap().affiliate_id, "max");

    let mut answer = order("o1", with_email("jane@example.com"));
    answer.items[0].item.as_mut().unwrap().platform_affiliate_id = Some("eva".to_owned());
    let decision = world.sold(answer).await.decision.unwrap();
    assert_eq!((decision.credit(), decision.version), (Credit::Mismatch, 2));
    assert_eq!(decision.affiliate_id, "max");
    assert!(decision.reason.ends_with("; the platform credited eva"), "{}", decision.reason);
    assert!(decision.reason.starts_with("max brought the buyer by the registration"));
    assert_eq!(decision.touches.len(), 1);
}

#[tokio::test]
async fn an_assignment_decides_after_settling_too_and_for_the_heirs() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    let sale = world.sold(order("o1", with_token(world.token(&jane)))).await;
    world.order(child("o2", "o1")).await.unwrap();
    world.at(30 * DAY);
    let id = sale.item.unwrap().id;
    let assigned = world.assign(&id, "eva").await.unwrap().decision.unwrap();
    let assignment = assigned.assignment.clone().unwrap();
    assert_eq!((assignment.author.as_str(), assignment.reason.as_str()), ("ada", "phone call"));
    assert_eq!(assignment.assigned_at, Some(time(30 * DAY)));
    assert_eq!(
        (assigned.affiliate_id.as_str(), assigned.basis()),
        ("eva", v1::DecisionBasis::Assigned)
    );
    assert_eq!(world.credited("o2").await, "eva");
    let nobody = world.assign(&id, "").await.unwrap().decision.unwrap();
    assert_eq!(nobody.affiliate_id, "");
    assert_eq!(world.credited("o2").await, "");
}

#[tokio::test]
async fn an_item_keeps_the_policy_it_was_first_decided_under() {
    let world = World::new().await;
    world.register(registration("1", "jane@example.com", "max")).await.unwrap();
    world.at(DAY);
    world.register(registration("2", "jane@example.com", "eva")).await.unwrap();
    world.at(2 * DAY);
    world.order(order("old", with_email("jane@example.com"))).await.unwrap();
    let mut course = product("copecart", "course");
    course.policy = Some(v1::Policy { model: v1::TouchModel::First.into(), ..Default::default() });
    world.change_product(course).await.unwrap();
    world.order(order("new", with_email("jane@example.com"))).await.unwrap();
    world.register(registration("3", "jane@example.com", "ida")).await.unwrap();
    for (order, affiliate, version) in [("old", "ida", 1), ("new", "max", 2)] {
        let decision = world.explain(order, "1").await.sale.unwrap().decision.unwrap();
        assert_eq!((decision.affiliate_id.as_str(), decision.policy_version), (affiliate, version));
    }
}

#[tokio::test]
async fn a_reopened_database_has_everything() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.order(order("o1", with_token(world.token(&jane)))).await.unwrap();
    let (dump, explained) = (world.dump().await, world.explain("o1", "1").await);
    let (events, cursor) = world.feed("", false).await;
    let world = world.reopened(None).await;
    assert_eq!(world.dump().await, dump);
    assert_eq!(world.explain("o1", "1").await, explained);
    assert_eq!(world.feed("", false).await.0, events);
    assert!(world.feed(&cursor, false).await.0.is_empty());
}
