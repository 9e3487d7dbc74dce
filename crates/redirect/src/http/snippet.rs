//! The script for pages of the operator's own.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;

/// As it is served.
pub(super) const SNIPPET: &str = include_str!("../snippet/tagalong.js");

static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{:08x}\"", crc32fast::hash(SNIPPET.as_bytes())));

pub(super) fn answer(headers: &HeaderMap) -> Response<Full<Bytes>> {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let mut known = known.flat_map(|tags| tags.split(','));
    let known = known.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == *TAG
    });
    let mut response = Response::new(Full::default());
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Full::from(SNIPPET);
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        // Its address never changes, and a new one may be needed on the day of a webinar.
        (CACHE_CONTROL, "public, max-age=3600, stale-while-revalidate=86400"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&TAG) {
        headers.insert(ETAG, tag);
    }
    response
}
