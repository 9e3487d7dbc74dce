use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
    CONTENT_TYPE, ETAG, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http_body_util::BodyExt as _;
use tagalong_proto::v1::{
    ClickClass, LinkBasis, LinkKind, NoAffiliate, attendee_reference::Reference,
};

use super::*;
use crate::{
    Config,
    http::snippet::SNIPPET,
    testing::{CHROME, ROOM, Rendering, ask, attendee, down, keys, open, recorded, send, service},
};

const HUMAN: (&str, &str) = ("user-agent", CHROME);
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn cookies(response: &Response<Full<Bytes>>) -> Vec<&str> {
    let set = response.headers().get_all(SET_COOKIE);
    set.iter().map(|cookie| cookie.to_str().unwrap()).collect()
}

async fn text(response: Response<Full<Bytes>>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_snippet_is_small_shared_and_cached() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let first = ask(&service, Method::GET, "/-/tagalong.js", &[]).await;
    assert_eq!(first.status(), 200);
    let headers = first.headers().clone();
    assert_eq!(headers[CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(headers[CACHE_CONTROL].to_str().unwrap().contains("max-age=3600"));
    let body = text(first).await;
    assert_eq!(body, SNIPPET);
    assert!(body.len() < 3000, "{} bytes", body.len());
    assert!(!body.contains("eval") && !body.contains("innerHTML") && !body.contains("cookie"));

    let tag = headers[ETAG].to_str().unwrap();
    let weak = format!("\"other\", W/{tag}");
    for (known, status) in [(tag, 304), (weak.as_str(), 304), ("\"other\"", 200), ("*", 304)] {
        let again = ask(&service, Method::GET, "/-/tagalong.js", &[("if-none-match", known)]).await;
        assert_eq!(again.status(), status, "{known}");
        assert_eq!(again.headers()[ETAG], tag);
        assert_eq!(text(again).await.is_empty(), status == 304);
    }
    assert!(recorded(&service).await.is_empty());
}

#[tokio::test]
async fn own_paths_take_what_they_are_for() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    for (method, path, status, allow) in [
        (Method::HEAD, "/-/tagalong.js", 200, None),
        (Method::POST, "/-/tagalong.js", 405, Some("GET, HEAD")),
        (Method::GET, "/-/touch", 405, Some("OPTIONS, POST")),
        (Method::OPTIONS, "/-/touch", 204, None),
        (Method::POST, "/-/join/launch/x", 405, Some("GET, HEAD")),
        (Method::POST, "/-/r/zoom/1/course", 405, Some("GET, HEAD")),
        (Method::GET, "/-/r/zoom/1", 404, None),
        (Method::GET, "/-/r/zoom/1/nothing", 404, None),
        (Method::GET, "/-/r/zoom/1/course/more", 404, None),
        (Method::GET, "/-/join/nothing/x", 404, None),
        (Method::GET, "/-/join/roomless/x", 404, None),
        (Method::GET, "/-/hooks/zoom", 404, None),
        (Method::POST, "/-/register/launch", 404, None),
        (Method::GET, "/-x/p/max", 404, None),
        (Method::GET, "/-/", 404, None),
    ] {
        let response = ask(&service, method.clone(), path, &[]).await;
        assert_eq!(response.status(), status, "{method} {path}");
        let allowed = response.headers().get(ALLOW).map(|allow| allow.to_str().unwrap());
        assert_eq!(allowed, allow, "{method} {path}");
    }
    assert!(recorded(&service).await.is_empty());
}

#[tokio::test]
async fn a_landing_is_recorded_once_as_what_it_is() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let touch = async |body: &str, headers: &[(&'static str, &str)]| {
        let headers = [&[FORM], headers].concat();
        let response = send(&service, Method::POST, "/-/touch", &headers, body).await;
        assert_eq!(response.status(), 200, "{body}");
        text(response).await
    };
    let told = touch("product=course&affiliate=max&sub2=mail&consent=1", &[HUMAN]).await;
    let [landing] = recorded(&service).await.try_into().unwrap();
    assert_eq!(told, format!("{{\"click\":\"{}\"}}", landing.id));
    assert_eq!((landing.product_id.as_str(), landing.affiliate_id.as_str()), ("course", "max"));
    assert_eq!((landing.link(), landing.class()), (LinkKind::Landing, ClickClass::Human));
    assert_eq!(landing.sub_ids, ["", "mail"]);

    touch("product=course&affiliate=sus", &[("user-agent", "curl/8.9.1")]).await;
    let bot = recorded(&service).await.pop().unwrap();
    assert_eq!((bot.class(), bot.no_affiliate()), (ClickClass::Bot, NoAffiliate::Suspended));

    for nobody in [
        "",
        "product=course",
        "affiliate=max",
        "product=nothing&affiliate=max",
        "product=course&affiliate=%25AFF%25",
        "product=course&affiliate=a%2Fb",
        "\u{fffd}=&&=",
    ] {
        assert_eq!(touch(nobody, &[HUMAN]).await, "{}", "{nobody}");
    }
    assert_eq!(recorded(&service).await.len(), 2);
    let long = format!("product=course&affiliate=max&x={}", "x".repeat(5000));
    let refused = send(&service, Method::POST, "/-/touch", &[FORM], &long).await;
    assert_eq!(refused.status(), 413);
}

#[tokio::test]
async fn a_landing_sets_the_cookie_where_the_person_and_the_page_allow_it() {
    let data = tempfile::tempdir().unwrap();
    let service = service(data.path(), down());
    let ours = ("sec-fetch-site", "same-site");
    let origin = ("origin", "https://www.test");
    // `course` sets it always, `book` where there is consent.
    for (product, consent, headers, set) in [
        ("book", "&consent=1", vec![HUMAN, origin, ours], true),
        ("book", "", vec![HUMAN, origin, ours], false),
        ("course", "", vec![HUMAN, origin, ours], true),
        ("course", "&consent=1", vec![HUMAN, origin, ours, ("sec-gpc", "1")], false),
        ("course", "&consent=1", vec![HUMAN, origin, ("sec-fetch-site", "cross-site")], false),
        ("course", "&consent=1", vec![HUMAN, origin], false),
        ("course", "&consent=1", vec![origin, ours], false),
    ] {
        let body = format!("product={product}&affiliate=max{consent}");
        let response = send(&service, Method::POST, "/-/touch", &headers, &body).await;
        let headers_back = response.headers();
        assert_eq!(headers_back[ACCESS_CONTROL_ALLOW_ORIGIN], "https://www.test");
        assert_eq!(headers_back[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers_back["vary"], "Origin");
        let click = recorded(&service).await.pop().unwrap().id;
        let named = cookies(&response).iter().any(|c| c.starts_with(&format!("tagalong={click};")));
        assert_eq!(named, set, "{product} {consent} {headers:?}");
    }
}

#[tokio::test]
async fn a_join_link_leads_to_the_room_and_remembers_whom_it_may() {
    let data = tempfile::tempdir().unwrap();
    // The registry is down, and nothing here needs it.
    let service = service(data.path(), down());
    let token = keys().sign(attendee());
    let of = |product: &str| {
        format!(
            "tagalong_me={token}; Max-Age=7776000; Path=/{product}/go; HttpOnly; Secure; SameSite=Lax"
        )
    };
    let (course, book) = (of("course"), of("book"));
    let (plain, consenting) =
        (format!("/-/join/launch/{token}"), format!("/-/join/launch/{token}/?consent=1"));
    for (method, path, headers, expected) in [
        (Method::GET, plain.as_str(), vec![HUMAN], vec![course.as_str()]),
        (Method::GET, &consenting, vec![HUMAN], vec![course.as_str(), book.as_str()]),
        (Method::GET, &consenting, vec![HUMAN, ("sec-gpc", "1")], vec![]),
        (Method::GET, &consenting, vec![HUMAN, ("sec-purpose", "prefetch")], vec![]),
        (Method::GET, &consenting, vec![], vec![]),
        (Method::HEAD, &consenting, vec![HUMAN], vec![]),
        (Method::GET, "/-/join/launch/forged?consent=1", vec![HUMAN], vec![]),
        (Method::GET, "/-/join/launch/?consent=1", vec![HUMAN], vec![]),
        (Method::GET, "/-/join/launch?consent=1", vec![HUMAN], vec![]),
        (Method::GET, "/-/join/launch/*|TOKEN|*?consent=1", vec![HUMAN], vec![]),
    ] {
        let response = ask(&service, method, path, &headers).await;
        assert_eq!(response.status(), 302, "{path}");
        assert_eq!(response.headers()[LOCATION], ROOM, "{path}");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        assert_eq!(cookies(&response), expected, "{path} {headers:?}");
    }
    assert!(recorded(&service).await.is_empty());
}

#[tokio::test]
async fn a_registrants_link_gets_the_persons_purchase_link_or_the_plain_checkout() {
    let token = keys().sign(attendee());
    let eva = format!("https://pay.test/c/42?partner=eva&ref={token}");
    let nobody = format!("https://pay.test/c/42?ref={token}&utm=1");
    let plain = "https://pay.test/c/42?ref={click}";
    for (does, path, expected) in [
        (Rendering::Says("eva", LinkBasis::Decision), "/-/r/zoom/r%2F1/course", eva.as_str()),
        (Rendering::Says("", LinkBasis::Nobody), "/-/r/zoom/r%2F1/course/?utm=1", &nobody),
        (Rendering::Fails, "/-/r/zoom/r%2F1/course", plain),
        (Rendering::NeverAnswers, "/-/r/zoom/r%2F1/course", plain),
    ] {
        let data = tempfile::tempdir().unwrap();
        let never = matches!(does, Rendering::NeverAnswers);
        let (rendering, asked) = does.start();
        crate::testing::catalogue().save(&data.path().join("catalogue.bin")).unwrap();
        let config = Config {
            data: data.path().to_owned(),
            decision_deadline_ms: if never { 20 } else { 5000 },
            ..Config::default()
        };
        let service = open(&config, rendering);
        let cookie = ("cookie", "tagalong=01935a2b-7c8d-7e9f-8a1b-2c3d4e5f6071");
        let response = ask(&service, Method::GET, path, &[HUMAN, cookie]).await;
        let [click] = recorded(&service).await.try_into().unwrap();
        assert_eq!(response.headers()[LOCATION], expected.replace("{click}", &click.id), "{path}");
        assert!(cookies(&response).is_empty());
        assert_eq!(click.cookie_click_id, "", "an ID that can be guessed proves no click");
        assert_eq!(click.attendee_id.is_empty(), expected == plain);
        let asked = asked.lock().unwrap().pop().and_then(|asked| asked.attendee?.reference);
        // One that is given no time may never be asked.
        match asked {
            Some(Reference::Registrant(registrant)) => assert_eq!(
                (registrant.source.as_str(), registrant.external_id.as_str()),
                ("zoom", "r/1")
            ),
            other => assert!(never && other.is_none(), "{other:?}"),
        }
    }
}
