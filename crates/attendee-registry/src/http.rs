//! What comes in from outside: hooks, which tools and checkouts post to, and registration forms.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use tagalong_chassis::{status, telemetry::traced};
use tagalong_integrations::{Delivery, Reply};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    form::Forms,
    inbox::{Inbox, NotTaken},
};

mod register;

use register::REGISTER;

/// The path of all hooks.
pub(crate) const HOOKS: &str = "/-/hooks/";

/// Whether a path is answered here, and not by the redirect.
#[must_use]
pub fn answers(path: &str) -> bool {
    // Visitors' links are told by one byte.
    path.as_bytes().get(1) == Some(&b'-') && (path.starts_with(HOOKS) || path.starts_with(REGISTER))
}

/// Largest body, in bytes: many times what any platform sends.
const MAX_BODY: usize = 1024 * 1024;

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The public HTTP service. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) forms: Arc<Forms>,
}

impl<B> hyper::service::Service<Request<B>> for Http
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let http = self.clone();
        // Path and query stay out of it: they hold secrets.
        let span = if traced() {
            tracing::info_span!(
                "hook",
                otel.kind = "server",
                http.response.status_code = Empty,
                source = Empty,
            )
        } else {
            Span::none()
        };
        let answer = async move {
            let response = http.answer(request).await;
            Span::current().record("http.response.status_code", response.status().as_u16());
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body cannot be used.
enum BadBody {
    TooLarge,
    Broken,
    Late,
}

impl BadBody {
    fn label(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
            Self::Late => "late",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

impl Http {
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        if let Some(webinar) = request.uri().path().strip_prefix(REGISTER) {
            let webinar = webinar.strip_suffix('/').unwrap_or(webinar).to_owned();
            return register::answer(&self.forms, &webinar, request).await;
        }
        let (parts, body) = request.into_parts();
        let Some((source, path_secret)) = hook(parts.uri.path()) else {
            return unknown();
        };
        let source = match self.inbox.open(&source).await {
            Ok(source) => source,
            Err(not_taken) => return self.refuse("", not_taken),
        };
        Span::current().record("source", source.id());
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return reply(source.probed());
        }
        if parts.method != Method::POST {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            return response;
        }
        let body = match read(body, MAX_BODY).await {
            Ok(body) => body,
            Err(bad) => {
                self.inbox.metrics.posted(source.id(), bad.label());
                return plain(bad.status());
            }
        };
        let posted = Delivery {
            headers: &parts.headers,
            query: parts.uri.query().unwrap_or_default(),
            path_secret: path_secret.as_deref(),
            body: &body,
        };
        match self.inbox.receive(&source, &posted).await {
            Ok(taken) => reply(taken),
            Err(not_taken) => self.refuse(source.id(), not_taken),
        }
    }

    /// Answers what is not taken, always the same to whoever is not known.
    fn refuse(&self, source: &str, not_taken: NotTaken) -> Response<Full<Bytes>> {
        match not_taken {
            NotTaken::Unknown => {
                self.inbox.metrics.posted("", "unknown");
                unknown()
            }
            NotTaken::Refused(refusal) => {
                self.inbox.metrics.posted(source, refusal.label());
                tracing::info!(source, reason = refusal.label(), "a delivery was refused");
                plain(StatusCode::UNAUTHORIZED)
            }
            NotTaken::Failed(error) => {
                self.inbox.metrics.posted(source, "failed");
                let error = status::chain(&error);
                tracing::error!(source, error, "a delivery could not be stored");
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}

/// The source that a path names, and the secret behind it.
fn hook(path: &str) -> Option<(String, Option<String>)> {
    let rest = path.strip_prefix(HOOKS)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let decoded =
        |part: &str| percent_decode_str(part).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    match rest.split_once('/') {
        None => Some((decoded(rest)?, None)),
        Some((source, secret)) if !secret.contains('/') => {
            Some((decoded(source)?, Some(decoded(secret)?)))
        }
        Some(_) => None,
    }
}

async fn read<B>(body: B, limit: usize) -> Result<Bytes, BadBody>
where
    B: Body<Error: Into<BoxError>>,
{
    match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadBody::TooLarge),
        Ok(Err(_)) => Err(BadBody::Broken),
        Err(_) => Err(BadBody::Late),
    }
}

fn unknown() -> Response<Full<Bytes>> {
    plain(StatusCode::NOT_FOUND)
}

fn reply(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(content_type) = reply.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    reply(Reply { status, content_type: None, body: Bytes::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_source_and_perhaps_a_secret() {
        let parts = |source: &str, secret: Option<&str>| {
            Some((source.to_owned(), secret.map(ToOwned::to_owned)))
        };
        for (path, expected) in [
            ("/-/hooks/zoom", parts("zoom", None)),
            ("/-/hooks/zoom/", parts("zoom", None)),
            ("/-/hooks/zoom/s3cret", parts("zoom", Some("s3cret"))),
            ("/-/hooks/zoom/s3cret/", parts("zoom", Some("s3cret"))),
            ("/-/hooks/zo%6Fm/a%2Fb", parts("zoom", Some("a/b"))),
            ("/-/hooks/zoom/a/b", None),
            ("/-/hooks/zoom/%ff", None),
            ("/-/hooks/", parts("", None)),
            ("/-/hooks", None),
            ("/-/other/zoom", None),
        ] {
            assert_eq!(hook(path), expected, "{path}");
        }
    }
}
