use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    routing::{get, post},
};
use http_body_util::Empty;
use hyper::body::Bytes;
use tagalong_proto::v1::{ResolveRequest, redirect_service_client::RedirectServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Handle, Id},
    sync::Notify,
};
use tonic::{Code, Request, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::*;
use crate::{
    drain::{Drain, Ready},
    transport,
};

async fn port() -> (TcpListener, SocketAddr) {
    let listener = listen("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn say(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn fetch(addr: SocketAddr, path: &str) -> String {
    rest(say(addr, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await)
        .await
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_named() {
    let (_held, addr) = port().await;
    let error = listen(&addr.to_string()).await.unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()));
}

#[tokio::test]
async fn a_connection_that_sends_its_head_too_slowly_is_closed() {
    let (listener, addr) = port().await;
    let limits =
        HttpLimits { header_read_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    let served = tokio::spawn(router(listener, Router::new(), limits, Drain::default()));
    // Never ends by itself: only the server can end the reading.
    let answer = rest(say(addr, "GET / HTTP/1.1\r\nhost:").await).await;
    assert!(!answer.contains("200"), "{answer}");
    served.abort();
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let (listener, addr) = port().await;
    let routes = Router::new().route("/", get(async || "ok"));
    tokio::spawn(router(listener, routes, HttpLimits::default(), Drain::default()));
    let header = |count: usize, size: usize| {
        let lines: Vec<_> =
            (0..count).map(|number| format!("x-{number}: {}\r\n", "x".repeat(size))).collect();
        format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", lines.concat())
    };
    assert!(rest(say(addr, &header(50, 10)).await).await.starts_with("HTTP/1.1 200"));
    assert!(rest(say(addr, &header(101, 1)).await).await.starts_with("HTTP/1.1 431"));
    assert!(rest(say(addr, &header(2, 8190)).await).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_closes_the_listener() {
    let (listener, addr) = port().await;
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, wait) = (arrived.clone(), release.clone());
    let service = hyper::service::service_fn(move |_| {
        let (signal, wait) = (signal.clone(), wait.clone());
        async move {
            signal.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let drain = Drain::default();
    let served = tokio::spawn(http(listener, service, HttpLimits::default(), drain.clone()));
    let stream = say(addr, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    arrived.notified().await;
    drain.start();
    // The listener closes although a request is in flight: sooner or later nobody answers.
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!served.is_finished());
    release.notify_one();
    assert!(rest(stream).await.starts_with("HTTP/1.1 200"));
    served.await.unwrap();
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_their_turn() {
    let (listener, addr) = port().await;
    let routes = Router::new().route("/", get(async || "ok"));
    let limits = HttpLimits { connections: 1, ..HttpLimits::default() };
    tokio::spawn(router(listener, routes, limits, Drain::default()));
    let held = TcpStream::connect(addr).await.unwrap();
    let second = tokio::spawn(fetch(addr, "/"));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    drop(held);
    assert!(second.await.unwrap().ends_with("ok"));
}

#[tokio::test]
async fn admin_says_whether_and_why_not() {
    let (listener, addr) = port().await;
    let (ready, drain, metrics) = (Ready::default(), Drain::default(), prometheus::Registry::new());
    let counter = prometheus::IntCounter::new("visits_total", "Visits").unwrap();
    metrics.register(Box::new(counter.clone())).unwrap();
    counter.inc();
    let gate = ready.gate("catalogue");
    let served = tokio::spawn(admin(listener, ready, metrics, drain.clone()));

    assert!(fetch(addr, "/livez").await.starts_with("HTTP/1.1 200"));
    let answer = fetch(addr, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("catalogue"), "{answer}");
    gate.open();
    assert!(fetch(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(fetch(addr, "/metrics").await.contains("\nvisits_total 1\n"));
    drain.announce();
    let answer = fetch(addr, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("draining"), "{answer}");
    assert!(fetch(addr, "/livez").await.starts_with("HTTP/1.1 200"));
    drain.start();
    served.await.unwrap();
}

#[tokio::test]
async fn health_follows_readiness_and_drain() {
    let (listener, addr) = port().await;
    let (ready, drain) = (Ready::default(), Drain::default());
    let gate = ready.gate("catalogue");
    let served = tokio::spawn(grpc(listener, Routes::default(), ready, drain.clone()));
    let remote = transport::remote(&format!("http://{addr}")).unwrap();
    let mut health = HealthClient::new(remote);
    let request = HealthCheckRequest::default();
    let mut states = health.watch(request).await.unwrap().into_inner();

    let next = states.message().await.unwrap().unwrap().status();
    assert_eq!(next, ServingStatus::NotServing);
    gate.open();
    let next = states.message().await.unwrap().unwrap().status();
    assert_eq!(next, ServingStatus::Serving);
    drain.announce();
    let next = states.message().await.unwrap().unwrap().status();
    assert_eq!(next, ServingStatus::NotServing);
    drop(states);
    drain.start();
    served.await.unwrap().unwrap();
}

/// Routes that answer `/test/{what}` like a gRPC service with bad manners.
fn manners() -> Routes {
    let late = async || std::future::pending::<&'static str>().await;
    let wrong = async || -> &'static str { panic!("on purpose") };
    Router::new()
        .route("/test/late", get(late).post(late))
        .route("/test/wrong", get(wrong).post(wrong))
        .into()
}

async fn call(transport: transport::Transport, path: &'static str, wait: Duration) -> Code {
    use tonic::codegen::http::uri::PathAndQuery;

    let mut client = tonic::client::Grpc::new(transport);
    client.ready().await.unwrap();
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(wait);
    let codec = tonic_prost::ProstCodec::<_, HealthCheckRequest>::default();
    client.unary(request, PathAndQuery::from_static(path), codec).await.unwrap_err().code()
}

#[tokio::test]
async fn panics_and_deadlines_answer_alike_near_and_far() {
    let (listener, addr) = port().await;
    let drain = Drain::default();
    tokio::spawn(grpc(listener, manners(), Ready::default(), drain.clone()));
    let remote = transport::remote(&format!("http://{addr}")).unwrap();
    for transport in [transport::local(manners()), transport::local_at_home(manners()), remote] {
        let wrong = call(transport.clone(), "/test/wrong", Duration::from_mins(1)).await;
        assert_eq!(wrong, Code::Internal);
        let late = call(transport, "/test/late", Duration::from_millis(20)).await;
        assert_eq!(late, Code::DeadlineExceeded);
    }
    drain.start();
}

#[tokio::test]
async fn a_service_at_home_is_run_by_its_own_runtime_whoever_calls() {
    let runtimes = Arc::<Mutex<Vec<Id>>>::default();
    let here = Handle::current();
    let service = {
        let runtimes = runtimes.clone();
        async move || runtimes.lock().unwrap().push(Handle::current().id())
    };
    let routes: Routes = Router::new().route("/test/where", post(service)).into();
    let transport = transport::local_at_home(routes);
    // No gRPC answer: that it was run is enough.
    call(transport.clone(), "/test/where", Duration::from_mins(1)).await;
    let stranger = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(call(transport, "/test/where", Duration::from_mins(1)));
    });
    tokio::task::spawn_blocking(|| stranger.join().unwrap()).await.unwrap();
    assert_eq!(*runtimes.lock().unwrap(), [here.id(), here.id()]);
}

#[tokio::test]
async fn clients_can_be_used_in_spawned_tasks() {
    let mut client = RedirectServiceClient::new(transport::local(Routes::default()));
    let call = tokio::spawn(async move { client.resolve(ResolveRequest::default()).await });
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unavailable() {
    let (listener, addr) = port().await;
    drop(listener);
    let remote = transport::remote(&format!("http://{addr}")).unwrap();
    assert_eq!(call(remote, "/test/late", Duration::from_mins(1)).await, Code::Unavailable);
}

#[test]
fn only_plain_http_peers_are_accepted() {
    for uri in ["https://a:1", "a:1", "", "/a", "unix:/a"] {
        assert!(transport::remote(uri).is_err(), "{uri}");
    }
}
