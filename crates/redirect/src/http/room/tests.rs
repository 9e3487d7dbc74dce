use http::{
    Method,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE},
};
use http_body_util::BodyExt as _;
use tagalong_chassis::transport::Transport;
use tagalong_proto::v1::{LinkBasis, LinkKind};

use super::*;
use crate::{
    Config, Peers, Service,
    testing::{
        CHROME, Rendering, ask as get, attendee, catalogue, down, keys, open_with, recognising,
        recorded, send,
    },
};

const HUMAN: (&str, &str) = ("user-agent", CHROME);
const CLICK: &str = "tagalong=01935a2b-7c8d-7e9f-8a1b-2c3d4e5f6071";

fn service(data: &std::path::Path, registry: Transport, link_rendering: Transport) -> Service {
    catalogue().save(&data.join("catalogue.bin")).unwrap();
    let config = Config { data: data.to_owned(), decision_deadline_ms: 250, ..Config::default() };
    open_with(&config, Peers { registry, link_rendering })
}

#[tokio::test]
async fn a_stranger_is_asked_and_nothing_is_recorded() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down(), down());
    for (language, expected) in [
        ("de-DE,de;q=0.9,en;q=0.8", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("fr, de;q=0.5", "de"),
        ("fr", "en"),
        ("", "en"),
        ("DE", "de"),
        ("en;q=0.2, de;q=0.3", "de"),
        ("de;q=x", "en"),
    ] {
        for path in ["/course/go", "/course/go/?sub1=x", "/course/GO"] {
            let headers = [HUMAN, ("accept-language", language), ("cookie", "tagalong_me=forged")];
            let response = get(&service, Method::GET, path, &headers).await;
            assert_eq!(response.status(), 200);
            let said = response.headers().clone();
            assert_eq!(said["content-language"], expected, "{language}");
            assert_eq!(said[CACHE_CONTROL], "no-store");
            assert_eq!(said[CONTENT_TYPE], "text/html; charset=utf-8");
            assert!(said.get(SET_COOKIE).is_none());
            let policy = said["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            let page = response.into_body().collect().await.unwrap().to_bytes();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains(&format!("<html lang=\"{expected}\">")), "{page}");
            assert!(page.contains(STYLE) && !page.contains("<script") && !page.contains("{style}"));
        }
    }
    assert!(recorded(&service).await.is_empty());
}

#[tokio::test]
async fn who_joined_on_this_browser_gets_their_own_purchase_link() {
    let data = tempfile::tempdir().unwrap();
    let (rendering, asked) = Rendering::Says("eva", LinkBasis::Decision).start();
    let service = service(data.path(), down(), rendering);
    let token = keys().sign(attendee());
    let cookie = format!("tagalong_me=forged; {CLICK}; tagalong_me={token}");
    let headers = [HUMAN, ("cookie", cookie.as_str())];
    let response = get(&service, Method::GET, "/course/go?utm=1", &headers).await;
    assert_eq!(response.status(), 302);
    assert_eq!(
        response.headers()[LOCATION],
        format!("https://pay.test/c/42?partner=eva&ref={token}&utm=1")
    );
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let [click] = recorded(&service).await.try_into().unwrap();
    assert_eq!((click.link(), click.attendee_id), (LinkKind::Purchase, attendee().to_string()));
    assert_eq!(format!("tagalong={}", click.cookie_click_id), CLICK);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn known_or_not_the_checkout_comes_next() {
    let token = keys().sign(attendee());
    let eva = format!("https://pay.test/c/42?partner=eva&ref={token}&utm=1");
    let plain = "https://pay.test/c/42?ref={click}&utm=1";
    for (body, asks, expected) in [
        ("email=jane%40example.com", true, eva.as_str()),
        ("email=john%40example.com", true, plain),
        ("email=", false, plain),
        ("email=+&", false, plain),
        ("email=jane%40example.com&skip=1", false, plain),
        ("", false, plain),
        ("\u{1}%ff&email", false, plain),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (registry, asked) = recognising("jane@example.com");
        let (rendering, _) = Rendering::Says("eva", LinkBasis::Decision).start();
        let service = service(data.path(), registry, rendering);
        let headers = [HUMAN, ("cookie", CLICK)];
        let response = send(&service, Method::POST, "/course/go?utm=1", &headers, body).await;
        assert_eq!(response.status(), 303, "{body}");
        let [click] = recorded(&service).await.try_into().unwrap();
        let location = response.headers()[LOCATION].to_str().unwrap();
        assert_eq!(location, expected.replace("{click}", &click.id), "{body}");
        assert!(response.headers().get(SET_COOKIE).is_none());
        assert_eq!(click.cookie_click_id, "", "an address that is typed proves no click");
        assert_eq!(click.attendee_id.is_empty(), expected == plain);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), usize::from(asks), "{body}");
        assert!(asked.iter().all(|asked| asked.product_id == "course"));
    }
}

#[tokio::test]
async fn a_registry_that_is_down_costs_nobody_the_checkout() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down(), down());
    let body = "email=jane%40example.com";
    let response = send(&service, Method::POST, "/book/go", &[HUMAN], body).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()[LOCATION], "https://shop.test/book");
    let long = format!("email={}", "x".repeat(5000));
    let refused = send(&service, Method::POST, "/book/go", &[HUMAN], &long).await;
    assert_eq!(refused.status(), 413);
    let elsewhere = send(&service, Method::POST, "/book/buy", &[HUMAN], body).await;
    assert_eq!(elsewhere.status(), 405);
}
