//! Bare hyper: answers as an affiliate link does, looks nothing up and keeps nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Serves until it is killed.
pub(crate) async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that goes away is no matter.
        tokio::spawn(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(link)),
        );
    }
}

async fn link(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::http::Error> {
    let affiliate = request.uri().path().split('/').nth(3).unwrap_or_default();
    let click = Uuid::now_v7();
    let page = format!("https://webinar.example.com/invitation?aff={affiliate}&click={click}");
    let cookie =
        format!("tagalong={click}; Max-Age=7776000; Path=/; HttpOnly; Secure; SameSite=Lax");
    Response::builder()
        .status(StatusCode::FOUND)
        .header(LOCATION, page)
        .header(CACHE_CONTROL, "no-store")
        .header(SET_COOKIE, cookie)
        .body(Empty::new())
}
