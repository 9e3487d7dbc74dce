//! What the snippet reports: a page of the operator saw an affiliate in its address.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
        CACHE_CONTROL, CONTENT_TYPE, ORIGIN, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::Full;
use tagalong_proto::v1::ClickClass;

use super::{Http, State, VisitorsBody, method_not_allowed, not_yet, promise, read_body};
use crate::{
    click_log::Recorded,
    cookie::{self, Visitor},
    query::Query,
    visit::{self, Visit},
};

/// Largest body, in bytes.
const MAX_BODY: usize = 4096;

pub(super) fn answer<B: VisitorsBody>(http: &Http, request: &Parts, body: B) -> State {
    let ready = |response| State::Ready(Some(share(response, &request.headers)));
    match request.method {
        Method::OPTIONS => ready(preflight()),
        Method::POST => {
            let (http, headers) = (http.clone(), request.headers.clone());
            let class = http.edge.classes.of(&request.method, &headers);
            State::Deciding(Box::pin(async move {
                let response = match read_body(body, MAX_BODY).await {
                    Ok(body) => http.land(&headers, class, &body).await,
                    Err(status) => json(status, String::new()),
                };
                share(response, &headers)
            }))
        }
        _ => ready(method_not_allowed("OPTIONS, POST")),
    }
}

impl Http {
    async fn land(
        &self,
        headers: &HeaderMap,
        class: ClickClass,
        body: &[u8],
    ) -> Response<Full<Bytes>> {
        let edge = &self.edge;
        let Some(catalogue) = edge.live.catalogue() else { return not_yet() };
        let body = String::from_utf8_lossy(body);
        let now = edge.clock.now();
        let Some(visit) = Visit::landing(&catalogue, now, Query::parse(&body)) else {
            // Nobody is credited, so nothing is counted. Not an error on somebody's page.
            return json(StatusCode::OK, "{}".to_owned());
        };
        let id = visit::click_id(now);
        edge.metrics.count(class);
        let visitor = Visitor {
            class,
            touch: visit.is_touch(),
            consents: visit.query.consents(),
            opted_out: cookie::opted_out(headers),
        };
        let set = is_of_our_site(headers) && cookie::is_set(visit.product.cookies, visitor);
        let click = visit.click(&id, class, cookie::read(headers), now);
        let recorded = self.log.record(&click).await;
        let known = matches!(recorded, Recorded::Durably | Recorded::Soon);
        let told = if known { format!("{{\"click\":\"{id}\"}}") } else { "{}".to_owned() };
        let mut response = json(StatusCode::OK, told);
        if set && let Ok(cookie) = HeaderValue::from_str(&edge.cookie.of(&id)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        promise(response, recorded)
    }
}

/// Pages of other sites get no cookie set in passing. Browsers would not keep it; this asks no browser to be one of those.
fn is_of_our_site(headers: &HeaderMap) -> bool {
    let site = headers.get(HeaderName::from_static("sec-fetch-site"));
    site.is_some_and(|site| matches!(site.as_bytes(), b"same-site" | b"same-origin"))
}

fn preflight() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Every page may read the answer: it tells nothing but the ID of the click that was made by asking.
fn share(mut response: Response<Full<Bytes>>, asked: &HeaderMap) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = asked.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}
