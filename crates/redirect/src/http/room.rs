//! `/{product}/go`: one link for a whole room, which finds out who is asking. An address goes to the registry and nowhere else.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY},
    request::Parts,
};
use http_body_util::Full;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tagalong_proto::v1::{
    RecogniseAttendeeRequest, attendee_service_client::AttendeeServiceClient,
};
use tonic::Request;
use uuid::Uuid;

use super::{Http, State, VisitorsBody, page, promise, read_body, redirect};
use crate::visit::{self, Visit};

/// Largest body, in bytes.
const MAX_BODY: usize = 4096;

/// Longest e-mail address, in bytes.
const MAX_EMAIL: usize = 320;

const STYLE: &str = "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:26rem;margin:0 auto;padding:1.5rem;\
    color:#1a1a1a;background:#fff}label,input,button{display:block;width:100%;box-sizing:border-box;font:inherit}\
    input,button{padding:.75rem;margin:.5rem 0 1rem;border:1px solid #767676;border-radius:.5rem}\
    button{background:#14532d;border-color:#14532d;color:#fff}\
    button[name]{background:#fff;color:#1a1a1a;border-color:#767676}";

macro_rules! asking {
    ($language:literal, $title:literal, $why:literal, $label:literal, $go:literal, $skip:literal) => {
        concat!(
            "<!doctype html><html lang=\"",
            $language,
            "\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\"><title>",
            $title,
            "</title><style>{style}</style>\
             <h1>",
            $title,
            "</h1><p>",
            $why,
            "</p><form method=\"post\">\
             <label for=\"email\">",
            $label,
            "</label>\
             <input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"email\" required>\
             <button>",
            $go,
            "</button>\
             <button name=\"skip\" value=\"1\" formnovalidate>",
            $skip,
            "</button></form>\n"
        )
    };
}

const GERMAN: &str = asking!(
    "de",
    "Zur Bestellung",
    "Mit welcher E-Mail-Adresse sind Sie zum Webinar angemeldet? So weiß die Bestellseite, wer Sie eingeladen hat.",
    "E-Mail-Adresse",
    "Weiter zur Bestellung",
    "Ohne Angabe weiter"
);

const ENGLISH: &str = asking!(
    "en",
    "To your order",
    "Which e-mail address did you register for the webinar with? It tells the order page who invited you.",
    "E-mail address",
    "Continue to your order",
    "Continue without it"
);

/// The pages with their style in them, German and English.
static PAGES: LazyLock<[Bytes; 2]> =
    LazyLock::new(|| [GERMAN, ENGLISH].map(|page| Bytes::from(page.replace("{style}", STYLE))));

/// Nothing but our own style, and a form that may lead to any checkout: browsers hold redirects against `form-action` too.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self' https: http:; \
         base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Asks somebody who is not known here.
pub(super) fn ask(headers: &HeaderMap) -> Response<Full<Bytes>> {
    let german = prefers_german(headers);
    let mut response = page(StatusCode::OK, "");
    *response.body_mut() = Full::from(PAGES[usize::from(!german)].clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(if german { "de" } else { "en" }));
    headers.insert(VARY, HeaderValue::from_static("Accept-Language, Cookie"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether German is wanted, and not less than English.
fn prefers_german(headers: &HeaderMap) -> bool {
    let headers = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    let (mut german, mut english) = (0.0, 0.0);
    for range in headers.flat_map(|value| value.split(',')) {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |weight| {
            weight.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
        });
        // What is named first wins where both weigh the same.
        let wanted = match tag.trim().split('-').next().map(str::to_ascii_lowercase).as_deref() {
            Some("de") if weight > english => &mut german,
            Some("en") if weight > german => &mut english,
            _ => continue,
        };
        *wanted = weight.max(*wanted);
    }
    german > english
}

/// Takes an address, or that somebody gives none. Known or not, the checkout comes next, and after the same time.
pub(super) fn told<B: VisitorsBody>(
    http: &Http,
    request: &Parts,
    visit: Visit<'static>,
    now: Timestamp,
    body: B,
) -> State {
    let class = http.edge.classes.of(&request.method, &request.headers);
    http.edge.metrics.count(class);
    let http = http.clone();
    State::Deciding(Box::pin(async move {
        let body = match read_body(body, MAX_BODY).await {
            Ok(body) => body,
            Err(status) => return page(status, ""),
        };
        let edge = &http.edge;
        let (visit, credit) = if let Some(email) = email(&body) {
            let deadline = edge.decision_deadline;
            let find = async {
                let visit = match http.recognise(&visit, email).await {
                    Some(attendee) => visit.recognised(edge.tokens.sign(attendee), attendee),
                    None => visit,
                };
                let credit = visit.credit(&edge.link_rendering, now, deadline).await;
                (visit, credit)
            };
            tokio::join!(find, tokio::time::sleep(2 * deadline)).0
        } else {
            let credit = visit.undecided();
            (visit, credit)
        };
        let id = visit::click_id(now);
        // Anybody can type any address: what this browser clicked is not thereby the person's.
        let recorded = http.log.record(&visit.click(&id, class, None, now)).await;
        let location = visit.location(&credit, &id);
        promise(redirect(StatusCode::SEE_OTHER, location, true, None), recorded)
    }))
}

/// The address in a form; none where somebody skips.
fn email(body: &[u8]) -> Option<String> {
    let mut fields = form_urlencoded::parse(body);
    let email = fields.find_map(|(name, value)| (name == "email").then(|| value.into_owned()));
    let skips = form_urlencoded::parse(body).any(|(name, _)| name == "skip");
    email.filter(|email| !skips && !email.trim().is_empty() && email.len() <= MAX_EMAIL)
}

impl Http {
    /// Whose address it is, if the registry says so in time.
    async fn recognise(&self, visit: &Visit<'_>, email: String) -> Option<Uuid> {
        let deadline = self.edge.decision_deadline;
        let product_id = visit.product.id.to_string();
        let mut request = Request::new(RecogniseAttendeeRequest { product_id, email });
        request.set_timeout(deadline);
        let mut client = AttendeeServiceClient::new(self.edge.registry.clone());
        match tokio::time::timeout(deadline, client.recognise_attendee(request)).await {
            Ok(Ok(answer)) => Uuid::try_parse(&answer.into_inner().attendee_id).ok(),
            Ok(Err(status)) => {
                tracing::debug!(code = ?status.code(), "nobody is recognised");
                None
            }
            Err(_) => {
                tracing::debug!("nobody is recognised in time");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
