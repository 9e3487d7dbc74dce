//! Building and reading `tonic::Status` in one way, with the details of `google.rpc`.
use std::{collections::HashMap, error::Error, fmt::Write as _};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `google.rpc.ErrorInfo` Tagalong sends.
pub const DOMAIN: &str = "tagalong";

/// `INVALID_ARGUMENT` for fields (as they are named in the proto, `product.name`) and what is
/// wrong with each, with `BadRequest` and `ErrorInfo` (reason `INVALID_ARGUMENT`).
pub fn bad_request<F: Into<String>, D: Into<String>>(
    violations: impl IntoIterator<Item = (F, D)>,
) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_ARGUMENT", DOMAIN, HashMap::new());
    let mut message = String::new();
    for (field, description) in violations {
        let (field, description) = (field.into(), description.into());
        let separator = if message.is_empty() { "" } else { "; " };
        // Writing to a String cannot fail.
        let _ = write!(message, "{separator}{field}: {description}");
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A refusal the caller may branch on: `reason` is stable and `SCREAMING_SNAKE_CASE`, `message` is
/// for people, `metadata` what they need to act (never personal data).
pub fn refusal(
    code: Code,
    reason: &'static str,
    message: impl Into<String>,
    metadata: &[(&str, String)],
) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    Status::with_error_details(code, message, details)
}

/// `INTERNAL`, telling the caller nothing. Logs the error and its causes, so call it only where
/// the error is handled.
pub fn internal(error: &dyn Error) -> Status {
    tracing::error!(error = chain(error), "internal error");
    refusal(Code::Internal, "INTERNAL", "internal error", &[])
}

/// `UNAVAILABLE`, telling the caller only to try again. Logs like [`internal`].
pub fn unavailable(error: &dyn Error) -> Status {
    tracing::error!(error = chain(error), "unavailable");
    refusal(Code::Unavailable, "UNAVAILABLE", "unavailable, try again", &[])
}

/// The fields a [`bad_request`] names and what is wrong with each; empty for any other status.
#[must_use]
pub fn field_violations(status: &Status) -> Vec<(String, String)> {
    let Some(bad_request) = status.get_details_bad_request() else { return Vec::new() };
    bad_request.field_violations.into_iter().map(|v| (v.field, v.description)).collect()
}

/// The reason a [`refusal`] carries, if it comes from Tagalong.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason)
}

/// An error and its causes on one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_the_wire(status: Status) -> Status {
        let response = status.into_http::<String>();
        Status::from_header_map(response.headers()).unwrap()
    }

    #[test]
    fn violations_survive_the_wire_and_are_named_in_the_message() {
        let sent = bad_request([("product.name", "must not be empty"), ("page_size", "too large")]);
        let got = over_the_wire(sent);
        assert_eq!(got.code(), Code::InvalidArgument);
        assert_eq!(got.message(), "product.name: must not be empty; page_size: too large");
        let expected = [("product.name", "must not be empty"), ("page_size", "too large")];
        assert_eq!(field_violations(&got), expected.map(|(f, d)| (f.to_owned(), d.to_owned())));
        assert_eq!(reason(&got).as_deref(), Some("INVALID_ARGUMENT"));
    }

    #[test]
    fn refusals_carry_reason_and_metadata() {
        let id = [("product", "launch".to_owned())];
        let got = over_the_wire(refusal(Code::NotFound, "PRODUCT_UNKNOWN", "no such product", &id));
        assert_eq!(reason(&got).as_deref(), Some("PRODUCT_UNKNOWN"));
        let info = got.get_details_error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.metadata["product"].as_str()), (DOMAIN, "launch"));
        assert!(field_violations(&got).is_empty());
    }

    #[test]
    fn internal_errors_tell_callers_nothing() {
        let error = std::io::Error::other("password=hunter2");
        for status in [internal(&error), unavailable(&error)] {
            assert!(!format!("{status:?}").contains("hunter2"));
        }
    }
}
