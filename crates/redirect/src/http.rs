//! What visitors get.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use tagalong_chassis::telemetry::traced;
use tracing::{Span, field::Empty};

use crate::{
    Edge,
    click_log::{ClickLog, Recorded, Recording},
    cookie::{self, Visitor},
    visit::{self, Visit},
};

mod own;
mod room;
mod snippet;
mod touch;

const NOT_FOUND: &str = "<!doctype html><title>Not found</title><p>There is no such page.\n";
const NOT_YET: &str = "<!doctype html><title>One moment</title><p>Please try again in a moment.\n";

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What visitors may post.
trait VisitorsBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static {}

impl<B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static> VisitorsBody for B {}

/// The public HTTP service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    pub(crate) edge: Arc<Edge>,
    pub(crate) log: ClickLog,
}

impl<B> hyper::service::Service<Request<B>> for Http
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<B>) -> Answer {
        let (request, body) = request.into_parts();
        let span = if traced() { span(&request.method) } else { Span::none() };
        let state = span.in_scope(|| self.answer(&request, body));
        Answer { state, span }
    }
}

/// An answer, on its way.
#[derive(Debug)]
pub struct Answer {
    state: State,
    span: Span,
}

enum State {
    Ready(Option<Response<Full<Bytes>>>),
    /// Until the click is on disk.
    Recording(Recording, Option<Response<Full<Bytes>>>),
    /// Until there is a decision as well.
    Deciding(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready(_) => "Ready",
            Self::Recording(..) => "Recording",
            Self::Deciding(_) => "Deciding",
        })
    }
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { state, span } = self.get_mut();
        let _entered = span.enter();
        let response = match state {
            State::Ready(response) => response.take(),
            State::Recording(recording, response) => {
                let recorded = ready!(Pin::new(recording).poll(context));
                response.take().map(|response| promise(response, recorded))
            }
            State::Deciding(answer) => Some(ready!(answer.as_mut().poll(context))),
        };
        // None only where it is asked again after its answer.
        let response = response.unwrap_or_default();
        span.record("http.response.status_code", response.status().as_u16());
        Poll::Ready(Ok(response))
    }
}

/// Path and query stay out of it: they hold tokens.
fn span(method: &Method) -> Span {
    tracing::info_span!(
        "visit",
        otel.kind = "server",
        http.request.method = method_name(method),
        http.response.status_code = Empty,
        product = Empty,
        link = Empty,
        class = Empty,
    )
}

/// Methods are whatever a client sends; a span shall not hold just anything.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

impl Http {
    fn answer<B: VisitorsBody>(&self, request: &Parts, body: B) -> State {
        let Self { edge, log } = self;
        let now_with = |response| State::Ready(Some(response));
        let path = request.uri.path();
        // No product's ID begins so.
        if path.as_bytes().get(1) == Some(&b'-') {
            return own::answer(self, request, body);
        }
        let get = request.method == Method::GET || request.method == Method::HEAD;
        if !get && request.method != Method::POST {
            return now_with(method_not_allowed("GET, HEAD"));
        }
        let catalogue = edge.live.catalogue();
        let Some(catalogue) = catalogue.as_deref() else { return now_with(not_yet()) };
        let now = edge.clock.now();
        let query = request.uri.query().unwrap_or_default();
        let visit = Visit::read(catalogue, &edge.tokens, now, path, query);
        let mut visit = match visit {
            Some(visit) if get || visit.room => visit,
            None if get => return now_with(page(StatusCode::NOT_FOUND, NOT_FOUND)),
            _ => return now_with(method_not_allowed("GET, HEAD")),
        };
        if visit.room {
            if !get {
                return room::told(self, request, visit.into_owned(), now, body);
            }
            let mut tokens = cookie::read_person(&request.headers);
            let known = tokens.find_map(|token| Some((token, edge.tokens.verify(token)?)));
            let Some((token, attendee)) = known else {
                return now_with(room::ask(&request.headers));
            };
            visit = visit.recognised(token.to_owned(), attendee);
        }

        let class = edge.classes.of(&request.method, &request.headers);
        let id = visit::click_id(now);
        let span = Span::current();
        span.record("product", visit.product.id.as_str());
        span.record("link", visit.kind.as_str_name());
        span.record("class", class.as_str_name());
        edge.metrics.count(class);

        let click = visit.click(&id, class, cookie::read(&request.headers), now);
        let recording = log.record(&click);
        let visitor = Visitor {
            class,
            touch: visit.is_touch(),
            consents: visit.query.consents(),
            opted_out: cookie::opted_out(&request.headers),
        };
        let cookie = cookie::is_set(visit.product.cookies, visitor).then(|| edge.cookie.of(&id));
        if visit.token.is_none() {
            let location = visit.location(&visit.undecided(), &id);
            let response = redirect(StatusCode::FOUND, location, false, cookie);
            return State::Recording(recording, Some(response));
        }
        let (edge, visit) = (edge.clone(), visit.into_owned());
        State::Deciding(Box::pin(async move {
            let (recorded, credit) = tokio::join!(
                recording,
                visit.credit(&edge.link_rendering, now, edge.decision_deadline),
            );
            let location = visit.location(&credit, &id);
            promise(redirect(StatusCode::FOUND, location, true, cookie), recorded)
        }))
    }
}

/// A cookie that names a click nobody will know would displace one that counts.
fn promise(mut response: Response<Full<Bytes>>, recorded: Recorded) -> Response<Full<Bytes>> {
    if !matches!(recorded, Recorded::Durably | Recorded::Soon) {
        response.headers_mut().remove(SET_COOKIE);
    }
    response
}

fn redirect(
    status: StatusCode,
    location: String,
    tokened: bool,
    cookie: Option<String>,
) -> Response<Full<Bytes>> {
    let Ok(location) = HeaderValue::from_maybe_shared(Bytes::from(location)) else {
        // Cannot be: templates are ASCII and everything put into them is encoded.
        tracing::error!("a location that is no header value");
        return page(StatusCode::INTERNAL_SERVER_ERROR, "");
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(4);
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let referrer = if tokened { "no-referrer" } else { "strict-origin-when-cross-origin" };
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
    if let Some(Ok(cookie)) =
        cookie.map(|cookie| HeaderValue::from_maybe_shared(Bytes::from(cookie)))
    {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

fn method_not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut response = page(StatusCode::METHOD_NOT_ALLOWED, "");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn not_yet() -> Response<Full<Bytes>> {
    let mut response = page(StatusCode::SERVICE_UNAVAILABLE, NOT_YET);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// A body; the status of the answer where it cannot be read.
async fn read_body<B: VisitorsBody>(body: B, limit: usize) -> Result<Bytes, StatusCode> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
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
