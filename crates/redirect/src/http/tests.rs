use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE};
use http_body_util::BodyExt as _;
use tagalong_chassis::drain::{Drain, Ready};
use tagalong_proto::v1::{ClickClass, LinkKind, NoAffiliate};

use super::*;
use crate::{
    Config, Error, Peers, Service,
    testing::{
        CHROME, Ingest, Rendering, ask, attendee, clock, down, keys, location, open, recorded,
        service, soon,
    },
};

fn token() -> String {
    keys().sign(attendee())
}

#[tokio::test]
async fn where_links_lead() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let token = token();
    for (target, expected) in [
        ("/course/p/max/", "https://sales.test/webinar?lang=de&aff=max#top"),
        ("/course/p/max", "https://sales.test/webinar?lang=de&aff=max#top"),
        (
            "/course/p/max/?sub1=a%26b",
            "https://sales.test/webinar?lang=de&aff=max&s=a%26b&sub1=a%26b#top",
        ),
        (
            "/course/p/max/?utm=%C3%A4%20b+c",
            "https://sales.test/webinar?lang=de&aff=max&utm=%C3%A4%20b%20c#top",
        ),
        (
            "/course/p/max/?utm=1&utm=2&flag",
            "https://sales.test/webinar?lang=de&aff=max&utm=1&utm=2&flag=#top",
        ),
        (
            "/course/p/max/?aff=evil&AFF=evil&aff[]=evil&lang=en&partner=x&consent=1&s=1",
            "https://sales.test/webinar?lang=de&aff=max#top",
        ),
        (
            "/course/p/max/?x=%23y&z=%0d%0aSet-Cookie:a",
            "https://sales.test/webinar?lang=de&aff=max&x=%23y&z=%0D%0ASet-Cookie%3Aa#top",
        ),
        ("/course/p/sus/", "https://sales.test/webinar?lang=de#top"),
        ("/course/p/%AFF%/", "https://sales.test/webinar?lang=de#top"),
        ("/course/p/*|AFF|*/", "https://sales.test/webinar?lang=de#top"),
        ("/course/p/", "https://sales.test/webinar?lang=de#top"),
        ("/course/p/a%2Fb/", "https://sales.test/webinar?lang=de#top"),
        ("/course", "https://sales.test/webinar?lang=de#top"),
        ("/course/what/ever", "https://sales.test/webinar?lang=de#top"),
        ("/course/p/max/buy", "https://pay.test/c/42?partner=max&ref={click}"),
        ("/course/p/max/buy/", "https://pay.test/c/42?partner=max&ref={click}"),
        (
            "/course/p/max/buy?sub1=x&partner=evil",
            "https://pay.test/c/42?partner=max&ref={click}&sub1=x",
        ),
        ("/course/p/max/buy/forged", "https://pay.test/c/42?partner=max&ref={click}"),
        (
            &format!("/course/p/max/buy/{token}"),
            &format!("https://pay.test/c/42?partner=max&ref={token}"),
        ),
        (
            &format!("/course/p/max/buy/{token}/"),
            &format!("https://pay.test/c/42?partner=max&ref={token}"),
        ),
        (&format!("/course/buy/{token}"), &format!("https://pay.test/c/42?ref={token}")),
        (&format!("/course/p/sus/buy/{token}"), &format!("https://pay.test/c/42?ref={token}")),
        ("/course/p/%AFF%/buy", "https://pay.test/c/42?ref={click}"),
        ("/course/p//buy", "https://pay.test/c/42?ref={click}"),
        ("/course/p/sus/buy", "https://pay.test/c/42?ref={click}"),
        ("/course/buy", "https://pay.test/c/42?ref={click}"),
        ("/course/buy/", "https://pay.test/c/42?ref={click}"),
        ("/book/p/max/", "https://shop.test/max/book"),
        ("/book/p/sus/", "https://shop.test/book"),
        ("/book/p/max/buy", "https://shop.test/max/book"),
        ("/book/buy?x=1", "https://shop.test/book?x=1"),
    ] {
        let location = location(&service, target).await;
        let click = recorded(&service).await.pop().unwrap();
        assert_eq!(location, expected.replace("{click}", &click.id), "{target}");
    }
    assert_eq!(service.dropped_clicks(), 0);
}

#[tokio::test]
async fn over_long_links_still_land() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let plain = "https://sales.test/webinar?lang=de&aff=max#top";
    let long = "x".repeat(9000);
    assert_eq!(location(&service, &format!("/course/p/max/?sub1={long}")).await, plain);
    let nobody = "https://sales.test/webinar?lang=de#top";
    assert_eq!(location(&service, &format!("/course/p/{long}/")).await, nobody);
    let some = "x".repeat(3000);
    let passed = location(&service, &format!("/course/p/max/?a={some}&b=1")).await;
    assert_eq!(passed, "https://sales.test/webinar?lang=de&aff=max&b=1#top");
}

#[tokio::test]
async fn a_redirect_says_no_more_than_it_must() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let tokened = format!("/course/p/max/buy/{}", token());
    for (method, target, referrer) in [
        (Method::GET, "/course/p/max/", "strict-origin-when-cross-origin"),
        (Method::HEAD, "/course/p/max/", "strict-origin-when-cross-origin"),
        (Method::GET, "/course/p/max/buy", "strict-origin-when-cross-origin"),
        (Method::GET, &tokened, "no-referrer"),
    ] {
        let response = ask(&service, method, target, &[]).await;
        assert_eq!(response.status(), 302);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[REFERRER_POLICY], referrer);
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn no_product_is_a_small_plain_page() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    for target in
        ["/", "/nothing/p/max/", "/-/unknown", "/-", "/favicon.ico", "//course/p/max", "/%00"]
    {
        let response = ask(&service, Method::GET, target, &[]).await;
        assert_eq!(response.status(), 404, "{target}");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(response.headers().get(SET_COOKIE).is_none());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), NOT_FOUND);
        let head = ask(&service, Method::HEAD, target, &[]).await;
        assert_eq!(head.status(), 404);
    }
    for method in [Method::POST, Method::OPTIONS, Method::DELETE] {
        let response = ask(&service, method, "/course/p/max/", &[]).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
    assert!(recorded(&service).await.is_empty());
}

#[tokio::test]
async fn what_is_recorded() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let cookie = "01935a2b-7c8d-7e9f-8a1b-2c3d4e5f6071";
    let header = format!("a=b; tagalong={cookie}");
    let headers = [("user-agent", CHROME), ("cookie", &header)];
    let token = token();
    for target in
        ["/course/p/max/?sub2=x", &format!("/course/p/%AFF%/buy/{token}"), "/course/p/sus/"]
    {
        ask(&service, Method::GET, target, &headers).await;
    }
    ask(&service, Method::HEAD, "/book/buy", &[]).await;
    ask(&service, Method::GET, "/book/buy", &[("user-agent", "curl/8.9.1")]).await;

    let clicks = recorded(&service).await;
    let [affiliate, purchase, suspended, head, bot] = &clicks[..] else { panic!("{clicks:?}") };
    assert_eq!((affiliate.product_id.as_str(), affiliate.affiliate_id.as_str()), ("course", "max"));
    assert_eq!((affiliate.link(), affiliate.class()), (LinkKind::Affiliate, ClickClass::Human));
    assert_eq!(affiliate.no_affiliate(), NoAffiliate::Unspecified);
    assert_eq!(affiliate.sub_ids, ["", "x"]);
    assert_eq!(affiliate.cookie_click_id, cookie);
    assert_eq!(purchase.link(), LinkKind::Purchase);
    assert_eq!(purchase.no_affiliate(), NoAffiliate::Unresolved);
    assert_eq!(purchase.attendee_id, attendee().to_string());
    assert_eq!(suspended.no_affiliate(), NoAffiliate::Suspended);
    assert_eq!(suspended.affiliate_id, "sus");
    assert_eq!((head.link(), head.class()), (LinkKind::Checkout, ClickClass::Head));
    assert_eq!((bot.class(), bot.cookie_click_id.as_str()), (ClickClass::Bot, ""));
    for click in &clicks {
        assert!(tagalong_attribution::link::read_click_id(&click.id).is_some());
    }
}

#[tokio::test]
async fn the_cookie_names_the_click() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let cookie = async |method, target, headers: &[_]| {
        let response = ask(&service, method, target, headers).await;
        response.headers().get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned())
    };
    let human = ("user-agent", CHROME);
    let set = cookie(Method::GET, "/course/p/max/", &[human]).await.unwrap();
    let click = recorded(&service).await.pop().unwrap();
    assert_eq!(
        set,
        format!("tagalong={}; Max-Age=7776000; Path=/; HttpOnly; Secure; SameSite=Lax", click.id)
    );
    // `book` asks for consent.
    assert!(cookie(Method::GET, "/book/p/max/?consent=1", &[human]).await.is_some());
    assert!(cookie(Method::GET, "/course/p/max/buy", &[human]).await.is_some());
    for (method, target, headers) in [
        (Method::GET, "/book/p/max/", vec![human]),
        (Method::GET, "/course/p/sus/", vec![human]),
        (Method::GET, "/course/buy", vec![human]),
        (Method::GET, &format!("/course/p/max/buy/{}", token()), vec![human]),
        (Method::GET, "/course/p/max/", vec![human, ("sec-gpc", "1")]),
        (Method::GET, "/course/p/max/", vec![human, ("sec-purpose", "prefetch")]),
        (Method::GET, "/course/p/max/", vec![("user-agent", "WhatsApp/2.24.20.89 A")]),
        (Method::GET, "/course/p/max/", vec![]),
        (Method::HEAD, "/course/p/max/", vec![human]),
    ] {
        assert_eq!(cookie(method, target, &headers).await, None, "{target} {headers:?}");
    }
}

#[tokio::test]
async fn a_fresh_decision_beats_the_path_and_a_missing_one_costs_nothing() {
    use tagalong_proto::v1::LinkBasis::{Decision, Fallback, Nobody};

    let token = token();
    for (does, path, expected) in [
        (Rendering::Says("eva", Decision), "max", Some("eva")),
        (Rendering::Says("eva", Decision), "sus", Some("eva")),
        (Rendering::Says("eva", Decision), "%AFF%", Some("eva")),
        (Rendering::Says("max", Fallback), "max", Some("max")),
        (Rendering::Says("", Nobody), "max", None),
        (Rendering::Says("", Nobody), "sus", None),
        (Rendering::Says("", Nobody), "", None),
        (Rendering::Says("no ID", Decision), "max", Some("max")),
        (Rendering::Fails, "max", Some("max")),
        (Rendering::Fails, "sus", None),
        (Rendering::NeverAnswers, "max", Some("max")),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (rendering, asked) = does.clone().start();
        let never = matches!(does, Rendering::NeverAnswers);
        crate::testing::catalogue().save(&data.path().join("catalogue.bin")).unwrap();
        let config = Config {
            data: data.path().to_owned(),
            decision_deadline_ms: if never { 20 } else { 5000 },
            ..Config::default()
        };
        let service = open(&config, rendering);
        let location = location(&service, &format!("/course/p/{path}/buy/{token}")).await;
        let partner = expected.map(|id| format!("partner={id}&")).unwrap_or_default();
        assert_eq!(
            location,
            format!("https://pay.test/c/42?{partner}ref={token}"),
            "{does:?} {path}"
        );
        let asked = asked.lock().unwrap().pop();
        // One that is given no time may never be asked.
        if let Some(asked) = asked {
            let named = if path == "%AFF%" { "" } else { path };
            assert_eq!(asked.fallback_affiliate_id, named);
            assert_eq!(asked.product_id, "course");
            assert_eq!(asked.at, Some(crate::catalogue::to_proto(crate::testing::now())));
        } else {
            assert!(never);
        }
    }
}

#[tokio::test]
async fn nobody_is_asked_without_a_valid_token() {
    let data = tempfile::tempdir().unwrap();
    let (rendering, asked) = Rendering::NeverAnswers.start();
    let service = service(data.path(), rendering);
    for target in ["/course/p/max/", "/course/p/max/buy", "/course/p/max/buy/forged", "/course/buy"]
    {
        location(&service, target).await;
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_sick_click_log_costs_no_visitor_the_page() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("clicks.sqlite")).unwrap();
    let service = service(data.path(), down());
    for _ in 0..3 {
        let response =
            ask(&service, Method::GET, "/course/p/max/", &[("user-agent", CHROME)]).await;
        assert_eq!(response.status(), 302);
        assert!(response.headers().get(SET_COOKIE).is_none(), "it would name no click");
    }
    assert_eq!(service.dropped_clicks(), 3);
}

#[tokio::test]
async fn without_a_catalogue_a_visitor_is_asked_to_come_back() {
    let data = tempfile::tempdir().unwrap();
    let config = Config { data: data.path().to_owned(), ..Config::default() };
    let peers = || Peers { registry: down(), link_rendering: down() };
    let ready = Ready::default();
    let service = Service::open(&config, peers(), keys(), clock(), &ready).unwrap();
    assert_eq!(ready.missing(), ["catalogue"]);
    assert_eq!(ask(&service, Method::GET, "/course/p/max/", &[]).await.status(), 503);

    let second = Service::open(&config, peers(), keys(), clock(), &ready).unwrap_err();
    assert!(matches!(second, Error::Locked { .. }));
    assert!(second.to_string().contains("another process"));
    drop(service);

    crate::testing::catalogue().save(&data.path().join("catalogue.bin")).unwrap();
    let ready = Ready::default();
    let service = Service::open(&config, peers(), keys(), clock(), &ready).unwrap();
    assert!(ready.missing().is_empty());
    assert_eq!(ask(&service, Method::GET, "/course/p/max/", &[]).await.status(), 302);
}

#[tokio::test]
async fn a_running_service_ships_what_visitors_did_and_ends_when_drained() {
    let data = tempfile::tempdir().unwrap();
    crate::testing::catalogue().save(&data.path().join("catalogue.bin")).unwrap();
    let config = Config { data: data.path().to_owned(), ..Config::default() };
    let ingest = Ingest::default();
    let peers = Peers { registry: ingest.transport(), link_rendering: down() };
    let service = Service::open(&config, peers, keys(), clock(), &Ready::default()).unwrap();
    let drain = Drain::default();
    let running = tokio::spawn({
        let (service, drain) = (service.clone(), drain.clone());
        async move { service.run(&drain).await }
    });
    for _ in 0..3 {
        location(&service, "/course/p/max/").await;
    }
    ingest.until(|stored| stored.clicks.len() == 3).await;
    drain.start();
    soon(running).await.unwrap();
    assert_eq!(ask(&service, Method::GET, "/course/p/max/", &[]).await.status(), 302);
    assert_eq!(recorded(&service).await.len(), 4, "visitors of the last moment count as well");
}
