//! What operators configure, and the stream of it.

use tagalong_proto::v1::{self, catalogue_change::Change};
use tonic::Code;

use crate::{
    messages::{affiliate, product, programme, time, webinar},
    world::{NOON, World, field, refusal},
};

#[tokio::test]
async fn what_is_created_can_be_read_changed_and_listed() {
    let world = World::new().await;
    let mut api = world.catalogue();
    let id = |id: &str| id.to_owned();

    let mut stored = api
        .get_programme(v1::GetProgrammeRequest { id: id("copecart") })
        .await
        .unwrap()
        .into_inner()
        .programme
        .unwrap();
    assert_eq!(stored.created_at, Some(time(0)));
    world.at(1);
    stored.title = id("CopeCart");
    let request = v1::UpdateProgrammeRequest { programme: Some(stored), ..Default::default() };
    let changed = api.update_programme(request.clone()).await.unwrap().into_inner();
    let changed = changed.programme.unwrap();
    assert_eq!((changed.title.as_str(), changed.created_at), ("CopeCart", Some(time(0))));
    assert_eq!(changed.revision, (NOON + 1) * 1_000_000);
    let stale = api.update_programme(request).await.unwrap_err();
    assert_eq!(refusal(&stale), (Code::Aborted, id("REVISION_CHANGED")));

    let mut max = affiliate("max");
    max.coupon_codes = vec![id("max10"), id("MAX10 ")];
    let request = v1::CreateAffiliateRequest {
        affiliate: Some(max),
        emails: vec![id("Max@Example.com")],
        ..Default::default()
    };
    let mut max = api.create_affiliate(request).await.unwrap().into_inner().affiliate.unwrap();
    assert_eq!((max.coupon_codes.as_slice(), max.has_email), (&[id("MAX10")][..], true));
    max.title = id("Max");
    let request = v1::UpdateAffiliateRequest { affiliate: Some(max), ..Default::default() };
    api.update_affiliate(request).await.unwrap();
    let request = v1::GetAffiliateRequest { programme_id: id("copecart"), id: id("max") };
    let max = api.get_affiliate(request).await.unwrap().into_inner().affiliate.unwrap();
    assert_eq!((max.title.as_str(), max.has_email), ("Max", true));

    let course = v1::GetProductRequest { id: id("course") };
    let mut course = api.get_product(course).await.unwrap().into_inner().product.unwrap();
    let policy = course.policy.unwrap();
    assert_eq!((policy.version, policy.window.unwrap().seconds), (1, 90 * 24 * 3600));
    assert_eq!(course.cookie_policy(), v1::CookiePolicy::OnConsent);
    course.policy.as_mut().unwrap().set_model(v1::TouchModel::First);
    course.sales_page = None;
    course.query_rule = Some(v1::QueryRule {
        mode: v1::QueryRuleMode::Only.into(),
        names: vec![id("utm_source"), id("b")],
    });
    let changed = world.change_product(course.clone()).await.unwrap();
    assert_eq!(changed.policy.as_ref().unwrap().version, 2);
    course.policy = changed.policy;
    course.revision = changed.revision;
    assert_eq!(changed, course);
    assert_eq!(world.change_product(course).await.unwrap().policy.unwrap().version, 2);

    let mut launch = webinar("launch");
    launch.campaign_ends_at = Some(time(60));
    launch.promotes_product_ids = vec![id("course"), id("ticket"), id("course")];
    world.change_webinar(launch).await.unwrap();
    let request = v1::GetWebinarRequest { id: id("launch") };
    let launch = api.get_webinar(request).await.unwrap().into_inner().webinar.unwrap();
    assert_eq!(launch.promotes_product_ids, ["course", "ticket"]);
    assert_eq!(launch.offers_product_ids, ["course", "extra"]);
    assert_eq!(launch.campaign_ends_at, Some(time(60)));

    let again = world.product(product("copecart", "course")).await.unwrap_err();
    assert_eq!(refusal(&again), (Code::AlreadyExists, id("PRODUCT_EXISTS")));
    let none = world.change_webinar(webinar("none")).await.unwrap_err();
    assert_eq!(refusal(&none), (Code::NotFound, id("WEBINAR_NOT_FOUND")));
    let none = world.product(product("none", "p")).await.unwrap_err();
    assert_eq!(refusal(&none), (Code::NotFound, id("PROGRAMME_NOT_FOUND")));
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended_in_the_order_of_bytes() {
    let world = World::empty().await;
    let ids = ["0", "A", "Z", "_", "a", "b", "b.c", "b~c", "~"];
    for id in ids.iter().rev() {
        world.programme(programme(id)).await.unwrap();
        world.product(product(id, id)).await.unwrap();
        for (affiliate_id, programme) in [("x", *id), ("a", *id)] {
            let mut affiliate = affiliate(affiliate_id);
            affiliate.programme_id = programme.to_owned();
            world.affiliate(affiliate).await.unwrap();
        }
    }
    let mut api = world.catalogue();
    let (mut programmes, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListProgrammesRequest { page_size: 2, page_token };
        let page = api.list_programmes(request).await.unwrap().into_inner();
        programmes.extend(page.programmes.into_iter().map(|programme| programme.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(programmes, ids);

    let (mut affiliates, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListAffiliatesRequest { page_size: 3, page_token, ..Default::default() };
        let page = api.list_affiliates(request).await.unwrap().into_inner();
        affiliates.extend(page.affiliates.into_iter().map(|row| (row.programme_id, row.id)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = ids
        .iter()
        .flat_map(|id| [((*id).to_owned(), "a".to_owned()), ((*id).to_owned(), "x".to_owned())])
        .collect();
    assert_eq!(affiliates, expected);

    let all = v1::ListProductsRequest { programme_id: "b".to_owned(), ..Default::default() };
    let products = api.list_products(all).await.unwrap().into_inner().products;
    assert_eq!(products.into_iter().map(|product| product.id).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_request_id_gets_the_same_answer_and_nothing_else() {
    let world = World::new().await;
    let request = v1::CreateAffiliateRequest {
        request_id: "r1".to_owned(),
        affiliate: Some(affiliate("max")),
        ..Default::default()
    };
    let mut api = world.catalogue();
    let first = api.create_affiliate(request.clone()).await.unwrap().into_inner();
    world.at(60);
    let dump = world.dump().await;
    let again = api.create_affiliate(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let mut other = request;
    other.affiliate.as_mut().unwrap().title = "other".to_owned();
    let refused = api.create_affiliate(other).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    assert!(refused.message().contains("r1"), "{refused:?}");
    let elsewhere =
        v1::CreateProgrammeRequest { request_id: "r1".to_owned(), programme: Some(programme("p")) };
    let refused = api.create_programme(elsewhere).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    assert_eq!(world.dump().await, dump);
}

#[tokio::test]
async fn a_checkout_that_leads_to_an_invitation_page_is_refused() {
    let world = World::new().await;
    let dump = world.dump().await;
    let mut circle = product("copecart", "circle");
    circle.checkout = circle.sales_page.clone();
    assert_eq!(field(&world.product(circle).await.unwrap_err()), "product.checkout");
    // The webinar's own invitation page is the ticket's sales page.
    let ticket = product("copecart", "ticket");
    let mut course = product("copecart", "course");
    course.checkout = ticket.sales_page;
    assert_eq!(field(&world.change_product(course).await.unwrap_err()), "product.checkout");
    assert_eq!(world.dump().await, dump);

    let mut circle = product("copecart", "circle");
    circle.checkout = product("copecart", "ticket").sales_page;
    world.product(circle).await.unwrap();
    let mut launch = webinar("launch");
    launch.offers_product_ids.push("circle".to_owned());
    let refused = world.change_webinar(launch).await.unwrap_err();
    assert_eq!(field(&refused), "webinar.offers_product_ids");
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_refused() {
    let world = World::new().await;
    let mut max = affiliate("max");
    max.coupon_codes = vec!["SAVE".to_owned()];
    world.affiliate(max).await.unwrap();
    let mut eva = affiliate("eva");
    eva.coupon_codes = vec!["save".to_owned()];
    assert_eq!(field(&world.affiliate(eva).await.unwrap_err()), "affiliate.coupon_codes");
    let mut other = product("copecart", "other");
    other.external_ids = vec!["X-course".to_owned()];
    assert_eq!(field(&world.product(other).await.unwrap_err()), "product.external_ids");
    // Another programme's platform may use the same names.
    world.programme(programme("digistore")).await.unwrap();
    let mut other = product("digistore", "other");
    other.external_ids = vec!["X-course".to_owned()];
    world.product(other.clone()).await.unwrap();
    other.programme_id = "copecart".to_owned();
    assert_eq!(field(&world.change_product(other).await.unwrap_err()), "product.programme_id");
}

#[tokio::test]
async fn tests_and_real_records_do_not_mix() {
    let world = World::new().await;
    let mut test = programme("test");
    test.test = true;
    world.programme(test.clone()).await.unwrap();
    assert!(world.product(product("test", "t")).await.unwrap().test);
    let mut launch = webinar("launch");
    launch.offers_product_ids.push("t".to_owned());
    assert_eq!(field(&world.change_webinar(launch).await.unwrap_err()), "webinar.test");
    let mut launch = webinar("launch");
    launch.test = true;
    assert_eq!(field(&world.change_webinar(launch).await.unwrap_err()), "webinar.test");
    test.test = false;
    let request = v1::UpdateProgrammeRequest { programme: Some(test), ..Default::default() };
    let refused = world.catalogue().update_programme(request).await.unwrap_err();
    assert_eq!(field(&refused), "programme.test");
}

#[tokio::test]
async fn a_suspension_is_on_record_with_both_ends() {
    let world = World::new().await;
    let unknown = world.suspend("max", 0).await.unwrap_err();
    assert_eq!(refusal(&unknown), (Code::NotFound, "AFFILIATE_NOT_FOUND".to_owned()));
    world.affiliate(affiliate("max")).await.unwrap();
    let reinstate = |at| v1::ReinstateAffiliateRequest {
        programme_id: "copecart".to_owned(),
        id: "max".to_owned(),
        at: Some(time(at)),
        ..Default::default()
    };
    let mut api = world.catalogue();
    let refused = api.reinstate_affiliate(reinstate(5)).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "AFFILIATE_NOT_SUSPENDED".to_owned()));
    world.suspend("max", -60).await.unwrap();
    let refused = world.suspend("max", 0).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "AFFILIATE_SUSPENDED".to_owned()));
    assert_eq!(field(&api.reinstate_affiliate(reinstate(-61)).await.unwrap_err()), "at");
    let max = api.reinstate_affiliate(reinstate(5)).await.unwrap().into_inner();
    let [suspension] = &max.affiliate.unwrap().suspensions[..] else { panic!() };
    assert_eq!((suspension.starts_at, suspension.ends_at), (Some(time(-60)), Some(time(5))));
    assert_eq!(suspension.reason, "fraud");
}

struct Follower(tonic::Streaming<v1::WatchCatalogueResponse>);

impl Follower {
    async fn new(world: &World, after_revision: i64) -> Self {
        let request = v1::WatchCatalogueRequest { after_revision };
        Self(world.catalogue().watch_catalogue(request).await.unwrap().into_inner())
    }

    /// Steps up to one with no more to come at once: changes, revision, whether a step reset.
    async fn next(&mut self) -> (Vec<Change>, i64, bool) {
        let (mut changes, mut reset) = (Vec::new(), false);
        loop {
            let wait = std::time::Duration::from_secs(10);
            let step = tokio::time::timeout(wait, self.0.message()).await.unwrap();
            let step = step.unwrap().unwrap();
            assert!(step.changes.len() <= 500);
            changes.extend(step.changes.into_iter().map(|change| change.change.unwrap()));
            reset |= step.reset;
            if !step.more {
                return (changes, step.revision, reset);
            }
        }
    }
}

fn names(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Programme(row) => row.id.clone(),
            Change::Affiliate(row) => row.id.clone(),
            Change::Product(row) => row.id.clone(),
            Change::Webinar(row) => row.id.clone(),
            Change::Removed(row) => {
                format!("-{}{}{}", row.programme_id, row.product_id, row.webinar_id)
            }
        })
        .collect()
}

#[tokio::test]
async fn the_catalogue_is_followed_from_any_revision() {
    let world = World::new().await;
    let mut follower = Follower::new(&world, 0).await;
    let (changes, revision, reset) = follower.next().await;
    assert_eq!(names(&changes), ["copecart", "ticket", "course", "extra", "launch"]);
    assert!(!reset);

    world.affiliate(affiliate("max")).await.unwrap();
    let (changes, newer, _) = follower.next().await;
    assert_eq!(names(&changes), ["max"]);
    assert!(newer > revision);
    world.suspend("max", 0).await.unwrap();
    let (changes, newest, _) = follower.next().await;
    let [Change::Affiliate(max)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(max.suspensions.len(), 1);

    let (changes, ..) = Follower::new(&world, revision).await.next().await;
    assert_eq!(names(&changes), ["max"]);
    let (changes, same, reset) = Follower::new(&world, newest).await.next().await;
    assert_eq!((names(&changes).len(), same, reset), (0, newest, false));
    // A revision of another database, or of this one before a backup was restored.
    let (changes, same, reset) = Follower::new(&world, newest + 1).await.next().await;
    assert_eq!((names(&changes).len(), same, reset), (6, newest, true));
    let refused = world
        .catalogue()
        .watch_catalogue(v1::WatchCatalogueRequest { after_revision: -1 })
        .await
        .unwrap_err();
    assert_eq!(field(&refused), "after_revision");
}

#[tokio::test]
async fn a_big_catalogue_comes_in_steps() {
    let world = World::new().await;
    for n in 0..600 {
        world.affiliate(affiliate(&format!("a{n}"))).await.unwrap();
    }
    let request = v1::WatchCatalogueRequest::default();
    let mut stream = world.catalogue().watch_catalogue(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.changes.len(), first.more, first.revision), (500, true, 0));
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!((second.changes.len(), second.more), (105, false));
    assert!(second.revision > 0);
}
