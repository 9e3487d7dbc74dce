//! Our own paths, which begin with `/-/`: the snippet and what it reports, join links, links by a tool's registrant ID.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, header::SET_COOKIE, request::Parts,
};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use tagalong_attribution::id::{ProductId, WebinarId};
use tagalong_proto::v1::Registrant;

use super::{
    Http, NOT_FOUND, State, VisitorsBody, method_not_allowed, not_yet, page, promise, redirect,
    snippet, touch,
};
use crate::{
    catalogue::Room,
    cookie::{self, Visitor},
    query::Query,
    visit::{self, Visit},
};

/// For how many products a join link remembers a person at most: browsers take only so many cookies of one answer.
const REMEMBERED: usize = 10;

pub(super) fn answer<B: VisitorsBody>(http: &Http, request: &Parts, body: B) -> State {
    let get = matches!(request.method, Method::GET | Method::HEAD);
    let path = request.uri.path();
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/').skip(2);
    let named = [segments.next(), segments.next(), segments.next(), segments.next()];
    let ready = |response| State::Ready(Some(response));
    match named {
        _ if segments.next().is_some() => ready(page(StatusCode::NOT_FOUND, NOT_FOUND)),
        [Some("tagalong.js"), None, ..] if get => ready(snippet::answer(&request.headers)),
        [Some("touch"), None, ..] => touch::answer(http, request, body),
        [Some("join"), Some(webinar), token, None] if get => {
            ready(join(http, request, webinar, token.unwrap_or_default()))
        }
        [Some("r"), Some(source), Some(registrant), Some(product)] if get => {
            by_registrant(http, request, [source, registrant, product])
        }
        [Some("tagalong.js" | "join" | "r"), ..] if !get => ready(method_not_allowed("GET, HEAD")),
        _ => ready(page(StatusCode::NOT_FOUND, NOT_FOUND)),
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Remembers a person on this device where that may be, and leads to the room in any case.
fn join(http: &Http, request: &Parts, webinar: &str, token: &str) -> Response<Full<Bytes>> {
    let edge = &http.edge;
    let Some(catalogue) = edge.live.catalogue() else { return not_yet() };
    let room = decode(webinar).parse::<WebinarId>().ok();
    let Some(room) = room.and_then(|webinar| catalogue.room(&webinar).cloned()) else {
        return page(StatusCode::NOT_FOUND, NOT_FOUND);
    };
    let mut response = redirect(StatusCode::FOUND, room.url.clone(), true, None);
    let token = decode(token);
    if edge.tokens.verify(&token).is_some() {
        let visitor = Visitor {
            class: edge.classes.of(&request.method, &request.headers),
            touch: false,
            consents: Query::parse(request.uri.query().unwrap_or_default()).consents(),
            opted_out: cookie::opted_out(&request.headers),
        };
        let Room { offers, .. } = &*room;
        let products = offers.iter().filter_map(|id| catalogue.product(id));
        let products = products.filter(|product| cookie::is_allowed(product.cookies, visitor));
        for product in products.take(REMEMBERED) {
            remember(response.headers_mut(), edge.cookie.of_person(&token, &product.id));
        }
    }
    response
}

fn remember(headers: &mut HeaderMap, cookie: String) {
    if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(cookie)) {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The purchase link of whom a tool's own registrant ID names, else the plain checkout.
fn by_registrant(http: &Http, request: &Parts, [source, registrant, product]: [&str; 3]) -> State {
    let ready = |response| State::Ready(Some(response));
    let Some(catalogue) = http.edge.live.catalogue() else { return ready(not_yet()) };
    let edge = &http.edge;
    let now = edge.clock.now();
    let query = request.uri.query().unwrap_or_default();
    let visit = decode(product).parse::<ProductId>().ok().and_then(|product| {
        Visit::read(&catalogue, &edge.tokens, now, &format!("/{product}/buy"), query)
    });
    let Some(visit) = visit.map(Visit::into_owned) else {
        return ready(page(StatusCode::NOT_FOUND, NOT_FOUND));
    };
    let registrant = Registrant { source: decode(source), external_id: decode(registrant) };
    let class = edge.classes.of(&request.method, &request.headers);
    edge.metrics.count(class);
    let http = http.clone();
    State::Deciding(Box::pin(async move {
        let edge = &http.edge;
        let (visit, credit) = visit
            .of_registrant(
                registrant,
                &edge.tokens,
                &edge.link_rendering,
                now,
                edge.decision_deadline,
            )
            .await;
        let id = visit::click_id(now);
        // Such an ID proves less than a token does: what this browser clicked is not thereby the person's.
        let recorded = http.log.record(&visit.click(&id, class, None, now)).await;
        promise(redirect(StatusCode::FOUND, visit.location(&credit, &id), true, None), recorded)
    }))
}

#[cfg(test)]
mod tests;
