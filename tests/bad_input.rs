//! Whatever visitors send: never an error of ours, never a closed process, and a known product always lands them.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::runtime::Runtime;

use crate::support::{Composition, System, campaign};

/// Sends bytes as they are; what came back until the other side closed.
fn send(address: SocketAddr, bytes: &[u8], ends: bool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The other side may have answered and closed before it has read all.
    let _ = stream.write_all(bytes);
    if ends {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(target: &[u8], headers: &[u8]) -> Vec<u8> {
    let head = b" HTTP/1.1\r\nhost: go.example\r\nconnection: close\r\n";
    [b"GET ", target, head, headers, b"\r\n\r\n"].concat()
}

fn get(address: SocketAddr, target: &[u8], headers: &[u8]) -> String {
    send(address, &request(target, headers), false)
}

/// The status of the first answer; none where the connection was just closed.
fn status(answer: &str) -> Option<u16> {
    let rest = answer.strip_prefix("HTTP/1.")?;
    rest.get(2..5)?.parse().ok()
}

fn location(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("location: "))
}

fn lands(answer: &str) -> bool {
    let hosts = ["https://pages.example/", "https://checkout.example/"];
    status(answer) == Some(302)
        && location(answer).is_some_and(|to| hosts.iter().any(|host| to.starts_with(host)))
}

/// A running system with a campaign, for tests that are not asynchronous themselves.
fn start() -> (Runtime, System, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let system = runtime.block_on(async {
        let system = System::start(Composition::AllInOne).await;
        campaign::load(&system).await;
        system
    });
    let address = system.http().strip_prefix("http://").unwrap().parse().unwrap();
    (runtime, system, address)
}

fn run<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap();
}

#[test]
fn a_table_of_bad_requests() {
    let (runtime, mut system, address) = start();
    for (what, target, headers) in [
        ("broken percent-escapes", "/ticket/p/%AFF%/?a=%&b=%zz", String::new()),
        ("duplicate parameters", "/ticket/p/max/?sub1=a&sub1=b&aff=c&aff=d", String::new()),
        ("nothing behind the product", "/ticket", String::new()),
        ("something else behind the product", "/ticket/wp-login.php", String::new()),
        ("dots", "/ticket/p/../../..", String::new()),
        ("encoded dots", "/ticket/p/%2e%2e/buy", String::new()),
        ("half a token", "/ticket/p/max/buy/AQ", String::new()),
        (
            "a token of another system",
            "/course/p/max/buy/AQGTWIs7MHqJvI1UwI7H1QEBAQEBAQEBAQEBAQEBAQE",
            String::new(),
        ),
        ("a long affiliate", &format!("/ticket/p/{}/", "x".repeat(8000)), String::new()),
        ("a long query", &format!("/ticket/p/max/?a={}", "x".repeat(15_000)), String::new()),
        ("many parameters", &format!("/ticket/p/max/?{}", "a=b&".repeat(2000)), String::new()),
        ("a long cookie", "/ticket/p/max/", format!("cookie: tagalong={}\r\n", "x".repeat(8000))),
        ("a cookie that is no click", "/ticket/p/max/", "cookie: tagalong=1; tagalong=\r\n".into()),
        ("bytes in a header", "/ticket/p/max/", "user-agent: \u{fc}\u{7f}\u{20ac}\r\n".into()),
        ("an absolute target", "http://evil.example/ticket/p/max/", String::new()),
    ] {
        let answer = get(address, target.as_bytes(), headers.trim_end().as_bytes());
        if headers.contains('\u{7f}') {
            assert!(status(&answer).is_some_and(|status| status < 500), "{what}: {answer}");
        } else {
            assert!(lands(&answer), "{what}: {answer}");
        }
    }
    for target in
        ["/", "/nothing/p/max/", "/nothing", "//ticket/p/max/", "/-/x", "/.env", "/%2e%2e/ticket"]
    {
        let answer = get(address, target.as_bytes(), b"");
        assert_eq!(status(&answer), Some(404), "{target}: {answer}");
        assert!(answer.len() < 1000, "{target}: {answer}");
        assert!(!answer.contains("set-cookie"), "{target}: {answer}");
    }
    let many = "x: y\r\n".repeat(200);
    for (what, request) in [
        (
            "a target over the limit",
            format!("GET /ticket/p/{}/ HTTP/1.1\r\n\r\n", "x".repeat(100_000)),
        ),
        (
            "a header over the limit",
            format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        ),
        ("headers over the limit", format!("GET /ticket HTTP/1.1\r\n{many}\r\n")),
        ("no HTTP", "\u{16}\u{3}\u{1}\u{2}".to_owned()),
        ("HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        (
            "two lengths",
            "GET /ticket HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx".to_owned(),
        ),
        ("no end", "GET /ticket HTTP/1.1\r\nhost".to_owned()),
        (
            "another method",
            "DELETE /ticket/p/max/ HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
        ),
        ("asterisk", "OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()),
        ("authority", "CONNECT evil.example:443 HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()),
    ] {
        let answer = send(address, request.as_bytes(), true);
        // Closing the connection is an answer too.
        assert!(
            status(&answer).is_none_or(|status| (400..500).contains(&status)),
            "{what}: {answer}"
        );
        assert!(location(&answer).is_none(), "{what}: {answer}");
    }
    assert!(system.redirect().lives());
    assert!(lands(&get(address, b"/ticket/p/max/", b"")));
    drop(system);
    drop(runtime);
}

#[test]
fn any_bytes_are_survived() {
    let (_runtime, mut system, address) = start();
    let anything = || prop::collection::vec(any::<u8>(), 0..300);
    run(400, &(anything(), anything(), any::<bool>()), |(target, header, known)| {
        let target = if known { [b"/ticket/".to_vec(), target].concat() } else { target };
        let header = [b"x-any: ".to_vec(), header].concat();
        let answer = send(address, &request(&target, &header), true);
        prop_assert!(status(&answer).is_none_or(|status| status < 500), "{answer}");
        Ok(())
    });
    run(200, &anything(), |bytes| {
        let answer = send(address, &bytes, true);
        prop_assert!(status(&answer).is_none_or(|status| status < 500), "{answer}");
        Ok(())
    });
    assert!(system.redirect().lives());
    assert!(lands(&get(address, b"/ticket/p/max/", b"")));
}

#[test]
fn a_known_product_always_lands() {
    let (_runtime, mut system, address) = start();
    // What HTTP allows in a target, percent-escapes whole and broken, and what tools leave in it all the same.
    let allowed = (b'!'..=b'~').filter(|byte| !b"\"#<>?\\^`".contains(byte));
    let allowed = prop::sample::select(allowed.collect::<Vec<u8>>());
    let text = prop::collection::vec(allowed, 0..200);
    let target = (text.clone(), prop::option::of(text));
    let agent = prop::collection::vec(b' '..=b'~', 0..60);
    let product = prop::sample::select(vec!["ticket", "course", "path"]);
    run(400, &(product, target, agent), |(product, (path, query), agent)| {
        let query = query.map(|query| [b"?".to_vec(), query].concat()).unwrap_or_default();
        let target = [b"/", product.as_bytes(), b"/", &path, &query].concat();
        let answer = get(address, &target, &[b"user-agent: ".to_vec(), agent].concat());
        prop_assert!(lands(&answer), "{}: {answer}", String::from_utf8_lossy(&target));
        Ok(())
    });
    assert!(system.redirect().lives());
}
