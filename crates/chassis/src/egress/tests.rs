use std::{net::IpAddr, time::Duration};

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode};

use super::{Egress, EgressError, Limits, Permit, address::is_public};

const LIMITS: Limits = Limits { time: Duration::from_secs(10), body: 1000 };

fn to(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn permits(texts: &[&str]) -> Vec<Permit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A server on loopback; its port.
async fn server() -> u16 {
    let app = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/long", get(|| async { "x".repeat(1001) }))
        .route("/never", get(std::future::pending::<()>))
        .route("/away", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/")]) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async { axum::serve(listener, app).await });
    port
}

#[test]
fn public_is_what_anybody_can_reach() {
    let public = [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
    ];
    let private = [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "ff02::1",
    ];
    for ip in public {
        assert!(is_public(ip.parse::<IpAddr>().unwrap()), "{ip}");
    }
    for ip in private {
        assert!(!is_public(ip.parse::<IpAddr>().unwrap()), "{ip}");
    }
}

#[test]
fn a_permit_is_an_address_a_network_or_a_name() {
    for text in ["127.0.0.1", "10.0.0.0/8", "::1", "[::1]", "fd00::/8", "crm.internal", "localhost"]
    {
        assert!(text.parse::<Permit>().is_ok(), "{text}");
    }
    for text in ["", "10.0.0.0/33", "http://crm.internal", "crm.internal:80", "a/b", "*"] {
        assert!(text.parse::<Permit>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_public_is_not_called_however_it_is_written() {
    let port = server().await;
    let egress = Egress::new([]);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::]",
        "0.0.0.0",
    ] {
        let answer = egress.send(to(&format!("http://{host}:{port}/")), LIMITS).await;
        assert!(matches!(answer, Err(EgressError::NotPublic(_))), "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_permitted_by_name_is_called() {
    let port = server().await;
    for (permit, host) in
        [("127.0.0.1", "127.0.0.1"), ("127.0.0.0/8", "localhost"), ("localhost", "localhost")]
    {
        let egress = Egress::new(permits(&[permit]));
        let answer = egress.send(to(&format!("http://{host}:{port}/")), LIMITS).await.unwrap();
        assert_eq!(answer.body(), "here", "{permit}");
    }
    // The permission of a name is none for its address, and the other way round only for the address.
    let egress = Egress::new(permits(&["localhost", "10.0.0.0/8"]));
    let answer = egress.send(to(&format!("http://127.0.0.1:{port}/")), LIMITS).await;
    assert_eq!(answer.unwrap_err(), EgressError::NotPublic("127.0.0.1".into()));
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let port = server().await;
    let egress = Egress::new(permits(&["127.0.0.1"]));
    let answer = egress.send(to(&format!("http://127.0.0.1:{port}/away")), LIMITS).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()[header::LOCATION], "/");
}

#[tokio::test]
async fn an_answer_is_limited_in_size_and_time() {
    let port = server().await;
    let egress = Egress::new(permits(&["127.0.0.1"]));
    let answer = egress.send(to(&format!("http://127.0.0.1:{port}/long")), LIMITS).await;
    assert_eq!(answer.unwrap_err(), EgressError::TooLarge(1000));
    let limits = Limits { time: Duration::from_millis(50), ..LIMITS };
    let answer = egress.send(to(&format!("http://127.0.0.1:{port}/never")), limits).await;
    assert_eq!(answer.unwrap_err(), EgressError::TimedOut(limits.time));
}

#[tokio::test]
async fn only_http_without_a_password_is_called() {
    let egress = Egress::new(permits(&["127.0.0.1"]));
    for url in ["ftp://127.0.0.1/", "/relative", "http://user:secret@127.0.0.1/"] {
        let answer = egress.send(to(url), LIMITS).await;
        assert!(matches!(answer, Err(EgressError::Url(_))), "{url}: {answer:?}");
    }
}

#[tokio::test]
async fn an_error_names_the_host_and_nothing_else_of_the_url() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let egress = Egress::new(permits(&["127.0.0.1"]));
    let url = format!("http://127.0.0.1:{port}/contacts/jane@example.com");
    let error = egress.send(to(&url), LIMITS).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("jane"), "{error:?}");
}
