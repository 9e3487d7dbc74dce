//! A registration form's post. The answer never says whether somebody is known.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, ORIGIN, RETRY_AFTER, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body::Body;
use http_body_util::Full;
use tagalong_chassis::status;

use super::{BadBody, BoxError, plain, read, unknown};
use crate::form::{Fields, Form, Forms, NotTaken};

/// The path of all forms.
pub(super) const REGISTER: &str = "/-/register/";

/// Largest body, in bytes.
const MAX_BODY: usize = 16 * 1024;

const THANKS: &str = "<!doctype html><html lang=\"de\"><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>Danke · Thank you</title>\
    <p>Danke, die Anmeldung ist angekommen.<p lang=\"en\">Thank you, you are registered.\n";

pub(super) async fn answer<B>(
    forms: &Forms,
    webinar: &str,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let form = match forms.open(webinar).await {
        Ok(Some(form)) => form,
        Ok(None) => {
            forms.count("unknown");
            return unknown();
        }
        Err(error) => return failed(forms, &NotTaken::Failed(error)),
    };
    let (parts, body) = request.into_parts();
    let origin = parts.headers.get(ORIGIN);
    let allowed = origin.filter(|origin| origin.to_str().is_ok_and(|origin| form.allows(origin)));
    let mut response = match parts.method {
        Method::OPTIONS => preflight(allowed.is_some()),
        // A client that is no browser names no origin, and could name any.
        Method::POST if origin.is_some() && allowed.is_none() => {
            forms.count("foreign_origin");
            plain(StatusCode::FORBIDDEN)
        }
        Method::POST => post(forms, &form, &parts.headers, body).await,
        _ => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("OPTIONS, POST"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin, Accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(origin) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}

fn preflight(allowed: bool) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::NO_CONTENT);
    if allowed {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

async fn post<B>(forms: &Forms, form: &Form, headers: &HeaderMap, body: B) -> Response<Full<Bytes>>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let says = |header, what: &str| {
        let value = headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.to_ascii_lowercase().contains(what)
    };
    let body = match read(body, MAX_BODY).await {
        Ok(body) => body,
        Err(bad) => {
            forms.count(bad.label());
            return plain(bad.status());
        }
    };
    let json = says(CONTENT_TYPE, "application/json");
    let fields = if json {
        Fields::from_json(&body)
    } else if says(CONTENT_TYPE, "application/x-www-form-urlencoded") {
        Some(Fields::from_form(&body))
    } else {
        forms.count("unreadable");
        return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    };
    let Some(fields) = fields else {
        forms.count("unreadable");
        return plain(BadBody::Broken.status());
    };
    match forms.post(form, &fields).await {
        Ok(()) => {
            forms.count("accepted");
            thank(form, json || says(ACCEPT, "application/json"))
        }
        Err(not_taken) => failed(forms, &not_taken),
    }
}

/// The same for everybody.
fn thank(form: &Form, json: bool) -> Response<Full<Bytes>> {
    let location = form.thank_you_url().filter(|_| !json);
    let location = location.and_then(|url| HeaderValue::from_str(url).ok());
    let (status, content_type, body) = match (&location, json) {
        (Some(_), _) => (StatusCode::SEE_OTHER, None, ""),
        (None, true) => (StatusCode::OK, Some("application/json"), "{\"accepted\":true}\n"),
        (None, false) => (StatusCode::OK, Some("text/html; charset=utf-8"), THANKS),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    response
}

fn failed(forms: &Forms, not_taken: &NotTaken) -> Response<Full<Bytes>> {
    match not_taken {
        NotTaken::WrongKey => {
            forms.count("wrong_key");
            unknown()
        }
        NotTaken::NoEmail => {
            forms.count("no_email");
            plain(StatusCode::UNPROCESSABLE_ENTITY)
        }
        NotTaken::Failed(error) => {
            forms.count("failed");
            let error = status::chain(error);
            tracing::error!(error, "a registration could not be taken");
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
    }
}
