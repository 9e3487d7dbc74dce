//! Clicks: exactly once in effect, and whose they turn out to be.

use tagalong_proto::v1;
use tonic::Code;
use uuid::Uuid;

use crate::{
    messages::{click, click_id, order, product, programme, registration, with_click},
    world::{World, refusal},
};

async fn stored(world: &World) -> Vec<String> {
    let request = v1::ListClicksRequest { include_test: true, ..Default::default() };
    let clicks = world.clicks().list_clicks(request).await.unwrap().into_inner().clicks;
    clicks.into_iter().map(|click| click.id).collect()
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(click_id).collect()
}

fn run(numbers: std::ops::RangeInclusive<u64>) -> Vec<v1::Click> {
    numbers.map(|n| click(n, "ticket", "max", 0)).collect()
}

#[tokio::test]
async fn runs_may_repeat_and_overlap_but_leave_no_gap() {
    let world = World::new().await;
    assert_eq!(world.record(1, run(1..=3)).await.unwrap(), 4);
    assert_eq!(world.record(1, run(1..=3)).await.unwrap(), 4);
    assert_eq!(world.record(2, run(2..=5)).await.unwrap(), 6);
    assert_eq!(world.record(2, run(2..=3)).await.unwrap(), 6);
    assert_eq!(world.record(6, Vec::new()).await.unwrap(), 6);
    let gap = world.record(8, run(8..=9)).await.unwrap_err();
    assert_eq!(refusal(&gap), (Code::FailedPrecondition, "CLICK_LOG_GAP".to_owned()));
    let details = tonic_types::StatusExt::get_details_error_info(&gap).unwrap();
    assert_eq!(details.metadata["next_position"], "6");
    assert_eq!(stored(&world).await, ids(1..=5));

    // The log lost what is between: it can never come.
    let lost = v1::RecordClicksRequest {
        log_id: Uuid::from_u128(1).to_string(),
        first_position: 8,
        oldest_position: 8,
        clicks: run(8..=9),
    };
    let recorded = world.clicks().record_clicks(lost).await.unwrap().into_inner();
    assert_eq!(recorded.next_position, 10);
    let log = |id| v1::GetClickLogRequest { log_id: Uuid::from_u128(id).to_string() };
    let known = world.clicks().get_click_log(log(1)).await.unwrap().into_inner();
    let unknown = world.clicks().get_click_log(log(2)).await.unwrap().into_inner();
    assert_eq!((known.next_position, unknown.next_position), (10, 1));
}

#[tokio::test]
async fn a_refused_run_moves_nothing() {
    let world = World::new().await;
    let mut clicks = run(1..=3);
    clicks[2].product_id = "..".to_owned();
    let dump = world.dump().await;
    world.record(1, clicks).await.unwrap_err();
    assert_eq!(world.dump().await, dump);
}

#[tokio::test]
async fn the_first_of_two_clicks_with_one_id_is_kept() {
    let world = World::new().await;
    let twice = vec![click(1, "ticket", "max", 0), click(1, "ticket", "eva", 0)];
    assert_eq!(world.record(1, twice).await.unwrap(), 3);
    world.record(3, vec![click(1, "ticket", "eva", 0), click(2, "ticket", "", 0)]).await.unwrap();
    assert_eq!(stored(&world).await, ids(1..=2));
    world.order(order("o1", with_click(1))).await.unwrap();
    assert_eq!(world.credited("o1").await, "max");
}

#[tokio::test]
async fn a_click_belongs_to_whoever_names_it_before_or_after() {
    let world = World::new().await;
    let claim = |key: &str, n| v1::RegisterAttendeeRequest {
        click_id: click_id(n),
        ..registration(key, "", "")
    };
    world.record(1, vec![click(1, "ticket", "max", -60)]).await.unwrap();
    let before = world.registered(claim("1", 1)).await;
    assert_eq!(before.touches[0].click_id, click_id(1));
    let after = world.registered(claim("2", 2)).await;
    assert!(after.touches.is_empty());
    world.order(order("o2", with_click(2))).await.unwrap();
    assert_eq!(world.credited("o2").await, "");
    world.record(2, vec![click(2, "ticket", "eva", -60)]).await.unwrap();
    let after = world.attendee(&after.id).await.unwrap();
    assert_eq!(after.touches[0].affiliate_id, "eva");
    assert_eq!(world.credited("o2").await, "eva");
    let decision = world.explain("o2", "1").await.sale.unwrap().decision.unwrap();
    assert_eq!(decision.attendee_id, after.id);

    // A later report of a registration can name its click, even one that carries no affiliate.
    world.record(3, vec![click(3, "ticket", "", -60)]).await.unwrap();
    world.order(order("o3", with_click(3))).await.unwrap();
    world.register(registration("3", "", "ida")).await.unwrap();
    assert_eq!(world.credited("o3").await, "");
    world.register(claim("3", 3)).await.unwrap();
    assert_eq!(world.credited("o3").await, "ida");
}

#[tokio::test]
async fn a_valid_token_opened_beside_a_cookie_claims_the_cookies_click() {
    let world = World::new().await;
    let jane = world.registered(registration("1", "", "")).await;
    world.record(1, vec![click(1, "ticket", "max", -60)]).await.unwrap();
    let mut opened = click(2, "course", "eva", 0);
    opened.link = v1::LinkKind::Purchase.into();
    opened.attendee_id = jane.id.clone();
    opened.cookie_click_id = click_id(1);
    world.record(2, vec![opened]).await.unwrap();
    let jane = world.attendee(&jane.id).await.unwrap();
    // The opening itself is no touch: it would credit whoever the link named.
    let touches: Vec<_> = jane.touches.iter().map(|touch| touch.affiliate_id.as_str()).collect();
    assert_eq!(touches, ["max"]);
    // A checkout that hands back only the opening's ID still names the attendee.
    let sale = world.sold(order("o1", with_click(2))).await.decision.unwrap();
    assert_eq!((sale.affiliate_id.as_str(), sale.attendee_id), ("max", jane.id));
}

#[tokio::test]
async fn a_click_on_a_product_that_was_not_known_yet_counts_later() {
    let world = World::new().await;
    world.record(1, vec![click(1, "late", "max", -60)]).await.unwrap();
    world.product(product("copecart", "late")).await.unwrap();
    let mut request = order("o1", with_click(1));
    request.items[0].item.as_mut().unwrap().external_product_id = "X-late".to_owned();
    assert_eq!(world.sold(request).await.decision.unwrap().affiliate_id, "max");
}

#[tokio::test]
async fn lists_show_a_products_clicks_and_tests_only_when_asked() {
    let world = World::new().await;
    let mut test = programme("test");
    test.test = true;
    world.programme(test).await.unwrap();
    world.product(product("test", "t")).await.unwrap();
    let mut tested = click(1, "t", "max", 0);
    tested.test = true;
    let mut gone = click(9, "gone", "max", 0);
    gone.test = true;
    let mut subs = click(3, "course", "", 0);
    subs.sub_ids = vec![String::new(), "b".to_owned()];
    subs.no_affiliate = v1::NoAffiliate::Unresolved.into();
    let clicks = vec![click(2, "ticket", "max", 0), tested, subs.clone(), gone];
    assert_eq!(world.record(1, clicks).await.unwrap(), 5);
    let list = |product: &str, include_test, page_size, page_token| v1::ListClicksRequest {
        product_id: product.to_owned(),
        include_test,
        page_size,
        page_token,
    };
    let mut api = world.clicks();
    let page = api.list_clicks(list("course", false, 0, String::new())).await.unwrap();
    assert_eq!(page.into_inner().clicks, [subs]);
    let page = api.list_clicks(list("", false, 1, String::new())).await.unwrap().into_inner();
    assert_eq!(page.clicks[0].id, click_id(2));
    let page = api.list_clicks(list("", false, 1, page.next_page_token)).await.unwrap();
    assert_eq!(page.into_inner().clicks[0].id, click_id(3));
    let page = api.list_clicks(list("", true, 0, String::new())).await.unwrap().into_inner();
    assert_eq!(page.clicks.len(), 3);
}
