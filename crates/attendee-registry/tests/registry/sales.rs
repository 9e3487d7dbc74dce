//! Sales: who the buyer is, what is paid and reversed, what is reported twice.

use tagalong_proto::v1::{self, CarriedBy, ConflictReason, Credit, Verdict};

use crate::{
    messages::{
        affiliate, click, euros, item, order, payment, product, programme, refund, registration,
        registration_key, report, time, webinar, with_click, with_email, with_token,
    },
    world::{MINUTE, World, field},
};

#[tokio::test]
async fn each_reference_leads_to_the_buyer() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.record(1, vec![click(1, "ticket", "eva", -60)]).await.unwrap();
    let by_key =
        v1::BuyerReferences { registration: Some(registration_key("1")), ..Default::default() };
    let reference = v1::BuyerReferences { reference: world.token(&jane), ..Default::default() };
    for (n, (buyer, expected, by)) in [
        (with_token(world.token(&jane)), "max", CarriedBy::Token),
        (reference, "max", CarriedBy::Token),
        (by_key, "max", CarriedBy::Registration),
        (with_click(1), "eva", CarriedBy::Click),
        (with_email("JANE@example.com "), "max", CarriedBy::Email),
        (v1::BuyerReferences::default(), "", CarriedBy::Unspecified),
    ]
    .into_iter()
    .enumerate()
    {
        let decision = world.sold(order(&format!("o{n}"), buyer)).await.decision.unwrap();
        assert_eq!((decision.affiliate_id.as_str(), decision.carried_by()), (expected, by));
        assert_eq!(decision.policy_version, 1);
        assert!(!decision.affiliate_confirmed && !decision.reason.is_empty());
    }
}

#[tokio::test]
async fn the_stronger_reference_wins_and_the_others_are_on_record() {
    let world = World::new().await;
    world
        .webinar(v1::Webinar {
            offers_product_ids: vec!["ticket".to_owned()],
            promotes_product_ids: Vec::new(),
            ..webinar("elsewhere")
        })
        .await
        .unwrap();
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let bob = world.registered(registration("2", "bob@example.com", "eva")).await;
    let mut other = registration("3", "ida@example.com", "ida");
    other.webinar_id = "elsewhere".to_owned();
    let ida = world.registered(other).await;
    let mut buyer = with_token(world.token(&jane));
    buyer.email = "bob@example.com".to_owned();
    buyer.click_id = crate::messages::click_id(7);
    let decision = world.sold(order("o1", buyer)).await.decision.unwrap();
    assert_eq!(decision.affiliate_id, "max");
    let conflicts: Vec<_> = decision
        .conflicts
        .iter()
        .map(|conflict| (conflict.reference(), conflict.attendee_id.clone(), conflict.reason()))
        .collect();
    assert_eq!(
        conflicts,
        [
            (CarriedBy::Click, String::new(), ConflictReason::Unknown),
            (CarriedBy::Email, bob.id.clone(), ConflictReason::Outranked),
        ]
    );
    // A token of a webinar that does not offer the product, and one that we did not sign.
    let mut buyer = with_token(world.token(&ida));
    buyer.email = "bob@example.com".to_owned();
    let decision = world.sold(order("o2", buyer)).await.decision.unwrap();
    assert_eq!((decision.affiliate_id.as_str(), decision.carried_by()), ("eva", CarriedBy::Email));
    assert_eq!(decision.conflicts[0].reason(), ConflictReason::OtherWebinar);
    let mut buyer = with_token("x".repeat(46));
    buyer.email = "bob@example.com".to_owned();
    let decision = world.sold(order("o3", buyer)).await.decision.unwrap();
    assert_eq!(decision.conflicts[0].reason(), ConflictReason::Invalid);
}

#[tokio::test]
async fn our_decision_stands_beside_the_platforms() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    let token = || with_token(world.token(&jane));
    for (n, (buyer, platform, credit, by)) in [
        (token(), Some("max"), Credit::Agreed, CarriedBy::Token),
        (token(), Some("eva"), Credit::Mismatch, CarriedBy::Token),
        (token(), Some(""), Credit::Owed, CarriedBy::Token),
        (token(), None, Credit::Unreported, CarriedBy::Token),
        (with_token(String::new()), Some("eva"), Credit::PlatformOnly, CarriedBy::Platform),
        (with_token(String::new()), Some(""), Credit::None, CarriedBy::Unspecified),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = order(&format!("o{n}"), buyer);
        request.items[0].item.as_mut().unwrap().platform_affiliate_id =
            platform.map(ToOwned::to_owned);
        let decision = world.sold(request).await.decision.unwrap();
        assert_eq!((decision.credit(), decision.carried_by()), (credit, by));
    }
    let list = v1::ListSalesRequest { credit: Credit::Owed.into(), ..Default::default() };
    let owed = world.sales().list_sales(list).await.unwrap().into_inner().sales;
    assert_eq!(owed.len(), 1);
    let list = v1::ListSalesRequest {
        carried_by: CarriedBy::Token.into(),
        programme_id: "copecart".to_owned(),
        affiliate_id: "max".to_owned(),
        product_id: "course".to_owned(),
        page_size: 3,
        ..Default::default()
    };
    let page = world.sales().list_sales(list.clone()).await.unwrap().into_inner();
    let names = |sales: &[v1::Sale]| -> Vec<String> {
        sales.iter().map(|sale| sale.order.clone().unwrap().external_id).collect()
    };
    assert_eq!(names(&page.sales), ["o3", "o2", "o1"]);
    let next = v1::ListSalesRequest { page_token: page.next_page_token, ..list };
    let page = world.sales().list_sales(next).await.unwrap().into_inner();
    assert_eq!((names(&page.sales), page.next_page_token), (vec!["o0".to_owned()], String::new()));
}

#[tokio::test]
async fn names_are_compared_as_the_platform_compares_them() {
    for (ignore_affiliate_case, credit) in [(false, Credit::Mismatch), (true, Credit::Agreed)] {
        let world = World::empty().await;
        let programme =
            v1::Programme { ignore_affiliate_case, ..crate::messages::programme("copecart") };
        world.programme(programme).await.unwrap();
        world.product(crate::messages::product("copecart", "course")).await.unwrap();
        let mut launch = crate::messages::webinar("launch");
        launch.promotes_product_ids.clear();
        launch.offers_product_ids = vec!["course".to_owned()];
        world.webinar(launch).await.unwrap();
        // The order comes before anybody has heard of the affiliate.
        let mut request = order("o1", with_email("jane@example.com"));
        request.items[0].item.as_mut().unwrap().platform_affiliate_id = Some("Max".to_owned());
        let sale = world.sold(request).await;
        assert_eq!(sale.decision.unwrap().credit(), Credit::PlatformOnly);
        world.registered(registration("1", "jane@example.com", "max")).await;
        let decision = world.explain("o1", "1").await.sale.unwrap().decision.unwrap();
        assert_eq!((decision.affiliate_id.as_str(), decision.credit()), ("max", credit));
    }
}

#[tokio::test]
async fn a_registration_after_the_report_decides_again_and_both_decisions_can_be_read() {
    let world = World::new().await;
    let first = world.sold(order("o1", with_email("jane@example.com"))).await;
    assert_eq!(first.decision.unwrap().affiliate_id, "");
    world.at(5 * MINUTE);
    let mut late = registration("1", "jane@example.com", "max");
    late.registered_at = Some(time(-60));
    world.register(late).await.unwrap();
    let explained = world.explain("o1", "1").await;
    let affiliates: Vec<_> =
        explained.decisions.iter().map(|d| (d.version, d.affiliate_id.as_str())).collect();
    assert_eq!(affiliates, [(2, "max"), (1, "")]);
    assert_eq!(explained.decisions[0].decided_at, Some(time(5 * MINUTE)));
    assert_eq!(explained.decisions[0].touches[0].verdict(), Verdict::Won);
    assert_eq!(explained.sale.unwrap().decision.unwrap(), explained.decisions[0]);
    // Touches after the sale never count.
    world.register(registration("2", "jane@example.com", "eva")).await.unwrap();
    assert_eq!(world.credited("o1").await, "max");
}

#[tokio::test]
async fn money_comes_in_any_order_and_once() {
    let world = World::new().await;
    let mut api = world.sales();
    let early = api.report_reversal(refund("o1", "r1", 50_000)).await.unwrap().into_inner();
    assert!(early.sale.is_none());
    api.report_payment(payment("o1", "p1", 10_000)).await.unwrap();
    let mut request = order("o1", v1::BuyerReferences::default());
    request.items[0].payments = vec![
        payment("", "p1", 10_000).payment.unwrap(),
        payment("", "p2", 20_000).payment.unwrap(),
    ];
    let sale = world.sold(request.clone()).await;
    assert_eq!((sale.payments.len(), sale.reversals.len()), (2, 1));
    assert!(sale.reversals[0].exceeds_payments);
    assert!(world.order(request.clone()).await.unwrap().repeated);
    world.at(MINUTE);
    for _ in 0..2 {
        let sale = api.report_payment(payment("o1", "p3", 20_000)).await.unwrap().into_inner();
        let sale = sale.sale.unwrap();
        assert_eq!(sale.payments.len(), 3);
        assert!(!sale.reversals[0].exceeds_payments);
    }
    let mut won = refund("o1", "w1", 50_000);
    won.reversal.as_mut().unwrap().set_kind(v1::ReversalKind::WonBack);
    api.report_reversal(won).await.unwrap();
    world.at(2 * MINUTE);
    let sale = api.report_reversal(refund("o1", "r2", 50_000)).await.unwrap().into_inner();
    assert!(sale.sale.unwrap().reversals.iter().all(|reversal| !reversal.exceeds_payments));
    let (events, _) = world.feed("", false).await;
    let paid = events.iter().filter(|e| matches!(e.kind, Some(v1::event::Kind::SalePaid(_))));
    let reversed =
        events.iter().filter(|e| matches!(e.kind, Some(v1::event::Kind::SaleReversed(_))));
    assert_eq!((paid.count(), reversed.count()), (3, 3));
}

#[tokio::test]
async fn a_later_report_completes_the_first() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    world.at(MINUTE);
    let bare = order("o1", v1::BuyerReferences::default());
    assert!(!world.order(bare.clone()).await.unwrap().repeated);
    let dump = world.dump().await;
    assert!(world.order(bare.clone()).await.unwrap().repeated);
    assert_eq!(world.dump().await, dump);
    let mut more = order("o1", with_token(world.token(&jane)));
    more.order.as_mut().unwrap().ordered_at = Some(time(30));
    let item = more.items[0].item.as_mut().unwrap();
    item.price = euros(1);
    item.platform_affiliate_id = Some("max".to_owned());
    let completed = world.order(more.clone()).await.unwrap();
    assert!(!completed.repeated);
    let sale = &completed.sales[0];
    assert_eq!(sale.item.as_ref().unwrap().price, euros(49_700));
    // A time that is reported counts before the time of receipt, whichever came first.
    assert_eq!(sale.order.as_ref().unwrap().ordered_at, Some(time(30)));
    assert!(world.order(bare).await.unwrap().repeated);
    assert_eq!(sale.decision.as_ref().unwrap().credit(), Credit::Agreed);
    // The platform corrects itself; a retry from before does not undo that.
    for (answer, expected) in
        [("eva", Credit::Mismatch), ("max", Credit::Agreed), ("", Credit::Agreed)]
    {
        more.items[0].item.as_mut().unwrap().platform_affiliate_id = Some(answer.to_owned());
        let corrected = world.order(more.clone()).await.unwrap();
        assert_eq!(corrected.sales[0].decision.as_ref().unwrap().credit(), expected, "{answer}");
    }
    more.items.push(report(crate::messages::item("2", "extra")));
    assert_eq!(world.order(more.clone()).await.unwrap().sales.len(), 2);
    world.programme(programme("other")).await.unwrap();
    more.order.as_mut().unwrap().programme_id = "other".to_owned();
    assert_eq!(field(&world.order(more).await.unwrap_err()), "order.programme_id");
}

#[tokio::test]
async fn an_item_waits_for_the_product_that_names_it() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    let mut request = order("o1", with_token(world.token(&jane)));
    request.items[0].item.as_mut().unwrap().external_product_id = "X-new".to_owned();
    let sale = world.sold(request).await;
    assert!(sale.decision.is_none());
    let refused = world.assign(&sale.item.unwrap().id, "max").await.unwrap_err();
    assert_eq!(crate::world::refusal(&refused).1, "PRODUCT_UNKNOWN");
    let mut course = product("copecart", "course");
    course.external_ids.push("X-new".to_owned());
    world.change_product(course).await.unwrap();
    assert_eq!(world.credited("o1").await, "max");
    let mut wrong = order("o2", v1::BuyerReferences::default());
    wrong.items[0].item.as_mut().unwrap().product_id = "none".to_owned();
    assert_eq!(field(&world.order(wrong).await.unwrap_err()), "items[0].item.product_id");
    world.programme(programme("other")).await.unwrap();
    world.product(product("other", "foreign")).await.unwrap();
    let mut wrong = order("o2", v1::BuyerReferences::default());
    wrong.items[0].item.as_mut().unwrap().product_id = "foreign".to_owned();
    assert_eq!(field(&world.order(wrong).await.unwrap_err()), "items[0].item.product_id");
}

#[tokio::test]
async fn a_coupon_counts_as_the_policy_says_whenever_it_gets_its_owner() {
    let world = World::new().await;
    let mut course = product("copecart", "course");
    course.policy =
        Some(v1::Policy { coupon_rank: v1::CouponRank::AboveAll.into(), ..Default::default() });
    world.change_product(course).await.unwrap();
    let jane = world.registered(registration("1", "", "max")).await;
    let mut request = order("o1", with_token(world.token(&jane)));
    request.buyer.as_mut().unwrap().coupon_code = " save10 ".to_owned();
    assert_eq!(world.sold(request).await.decision.unwrap().affiliate_id, "max");
    let mut eva = affiliate("eva");
    eva.coupon_codes = vec!["Save10".to_owned()];
    world.affiliate(eva).await.unwrap();
    assert_eq!(world.credited("o1").await, "eva");
}

#[tokio::test]
async fn suspending_and_reinstating_decide_again() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "max")).await;
    world.order(order("o1", with_token(world.token(&jane)))).await.unwrap();
    world.at(MINUTE).suspend("max", -60).await.unwrap();
    let decision = world.explain("o1", "1").await.sale.unwrap().decision.unwrap();
    assert_eq!(decision.touches[0].verdict(), Verdict::Suspended);
    let request = v1::ReinstateAffiliateRequest {
        programme_id: "copecart".to_owned(),
        id: "max".to_owned(),
        at: Some(time(-30)),
        ..Default::default()
    };
    world.catalogue().reinstate_affiliate(request).await.unwrap();
    assert_eq!(world.credited("o1").await, "max");
    assert_eq!(world.explain("o1", "1").await.decisions.len(), 3);
}

#[tokio::test]
async fn buying_through_ones_own_link_credits_nobody() {
    let world = World::new().await;
    let request = v1::CreateAffiliateRequest {
        affiliate: Some(affiliate("max")),
        emails: vec!["max@example.com".to_owned()],
        ..Default::default()
    };
    world.catalogue().create_affiliate(request).await.unwrap();
    world.register(registration("1", "MAX@example.com", "max")).await.unwrap();
    let decision = world.sold(order("o1", with_email("max@example.com"))).await.decision.unwrap();
    assert_eq!(decision.affiliate_id, "");
    assert_eq!(decision.touches[0].verdict(), Verdict::SelfReferral);
}

#[tokio::test]
async fn a_preview_says_whose_a_sale_would_be_and_records_nothing() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "jane@example.com", "max")).await;
    let bob = world.registered(registration("2", "", "")).await;
    let dump = world.dump().await;
    let request = v1::PreviewDecisionRequest {
        attendee: Some(crate::messages::by_id(&jane.id)),
        product_id: "course".to_owned(),
        at: Some(time(60)),
    };
    let preview = world.sales().preview_decision(request).await.unwrap().into_inner();
    assert_eq!(preview.decision.unwrap().affiliate_id, "max");
    let request = v1::PreviewDecisionsRequest {
        webinar_id: "launch".to_owned(),
        product_id: "course".to_owned(),
        at: Some(time(60)),
    };
    let mut stream = world.sales().preview_decisions(request).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(one) = stream.message().await.unwrap() {
        all.push((one.attendee_id, one.affiliate_id, one.registration.unwrap().external_id));
    }
    let expected =
        [(jane.id, "max", "1"), (bob.id, "", "2")].map(|(a, b, c)| (a, b.to_owned(), c.to_owned()));
    assert_eq!(all, expected);
    assert_eq!(world.dump().await, dump);
    assert_eq!(item("1", "x").price, euros(49_700));
}

#[tokio::test]
async fn two_codes_of_one_order_count_the_same_in_either_order() {
    for codes in [["ZED", "ABC"], ["ABC", "ZED"]] {
        let world = World::new().await;
        let mut course = product("copecart", "course");
        course.policy.get_or_insert_default().set_coupon_rank(v1::CouponRank::AboveAll);
        world.change_product(course).await.unwrap();
        for (id, code) in [("zoe", "ZED"), ("ben", "ABC")] {
            let mut affiliate = affiliate(id);
            affiliate.coupon_codes = vec![code.to_owned()];
            world.affiliate(affiliate).await.unwrap();
        }
        for code in codes {
            let buyer = v1::BuyerReferences { coupon_code: code.to_owned(), ..Default::default() };
            world.order(order("o1", buyer)).await.unwrap();
        }
        assert_eq!(world.credited("o1").await, "ben", "{codes:?}");
    }
}
