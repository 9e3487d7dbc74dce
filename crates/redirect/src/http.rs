//! What visitors get.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::Full;
use tracing::{Instrument as _, field::Empty};

use crate::{
    Edge,
    click_log::Recorded,
    cookie::{self, Visitor},
    visit::{self, Visit},
};

const NOT_FOUND: &str = "<!doctype html><title>Not found</title><p>There is no such page.\n";
const NOT_YET: &str = "<!doctype html><title>One moment</title><p>Please try again in a moment.\n";

/// The public HTTP service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http(pub(crate) Arc<Edge>);

impl<B> hyper::service::Service<Request<B>> for Http {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let edge = self.0.clone();
        let (parts, _) = request.into_parts();
        // Path and query stay out of spans: they hold tokens.
        let span = tracing::info_span!(
            "visit",
            otel.kind = "server",
            http.request.method = method_name(&parts.method),
            http.response.status_code = Empty,
            product = Empty,
            link = Empty,
            class = Empty,
        );
        let answer = async move {
            let response = answer(&edge, &parts).await;
            tracing::Span::current()
                .record("http.response.status_code", response.status().as_u16());
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

/// Methods are whatever a client sends; a span shall not hold just anything.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        _ => "_OTHER",
    }
}

async fn answer(edge: &Edge, request: &Parts) -> Response<Full<Bytes>> {
    if request.method != Method::GET && request.method != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(catalogue) = edge.live.catalogue() else {
        let mut response = page(StatusCode::SERVICE_UNAVAILABLE, NOT_YET);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    };
    let now = edge.clock.now();
    let query = request.uri.query().unwrap_or_default();
    let visit = Visit::read(&catalogue, &edge.tokens, now, request.uri.path(), query);
    let Some(visit) = visit else { return page(StatusCode::NOT_FOUND, NOT_FOUND) };

    let class = edge.classes.of(&request.method, &request.headers);
    let id = visit::click_id(now);
    let span = tracing::Span::current();
    span.record("product", visit.product.id.as_str());
    span.record("link", visit.kind.as_str_name());
    span.record("class", class.as_str_name());
    edge.metrics.count(class);

    let click = visit.click(&id, class, cookie::read(&request.headers), now);
    let (recorded, credit) = tokio::join!(
        edge.log.record(&click),
        visit.credit(&edge.link_rendering, now, edge.decision_deadline),
    );
    let visitor = Visitor {
        class,
        touch: visit.is_touch(),
        consents: visit.query.consents(),
        opted_out: cookie::opted_out(&request.headers),
    };
    // A cookie that names a click nobody knows would displace one that counts.
    let cookie = recorded == Recorded::Durably && cookie::is_set(visit.product.cookies, visitor);
    let cookie = cookie.then(|| cookie::format(&id, edge.cookie_max_age, edge.cookie_secure));
    redirect(visit.location(&credit, &id), visit.token.is_some(), cookie)
}

fn redirect(location: String, tokened: bool, cookie: Option<String>) -> Response<Full<Bytes>> {
    let Ok(location) = HeaderValue::from_maybe_shared(Bytes::from(location)) else {
        // Cannot be: templates are ASCII and everything put into them is encoded.
        tracing::error!("a location that is no header value");
        return page(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let referrer = if tokened { "no-referrer" } else { "strict-origin-when-cross-origin" };
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
    if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// For HEAD too: hyper leaves the body out, and knows its length.
fn page(status: StatusCode, html: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
