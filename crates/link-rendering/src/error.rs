//! Why nothing is rendered, in the caller's words.

use tagalong_attribution::id::ProductId;
use tagalong_chassis::status;
use tonic::Status;

/// A result of this service.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields that cannot be accepted, by their paths in the proto (`attendee.token`), and why.
    #[error("{}", listed(.0))]
    Invalid(Vec<(String, String)>),
    /// A token that names no attendee of ours.
    #[error("no attendee has this token")]
    UnknownToken,
    /// A message shows an affiliate where nobody is credited.
    #[error(
        "nobody is credited for {0}, and {{{{affiliate:{0}}}}} would be empty; \
         {{{{purchase_link:{0}}}}} needs no affiliate"
    )]
    NobodyCredited(ProductId),
    /// The caller's time was up before the registry was asked.
    #[error("the deadline passed before the answer")]
    TooLate,
    /// The registry refused, failed or cannot be reached.
    #[error("the registry did not answer")]
    Registry(#[source] Box<Status>),
    /// The registry said something it should not.
    #[error("the registry's answer has {0}")]
    Answer(&'static str),
    /// A picture could not be drawn.
    #[error("cannot draw the picture")]
    Picture(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn listed(violations: &[(String, String)]) -> String {
    let line = |(field, problem): &(String, String)| format!("{field}: {problem}");
    violations.iter().map(line).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// One field that cannot be accepted.
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![(field.into(), problem.into())])
    }

    /// The same error of a request that stands in `field` of another one.
    pub(crate) fn within(self, field: &str) -> Self {
        let Self::Invalid(violations) = self else { return self };
        let outer = |(inner, problem)| (format!("{field}.{inner}"), problem);
        Self::Invalid(violations.into_iter().map(outer).collect())
    }
}

impl From<Status> for Error {
    /// Fields that the registry refuses have the same names in our requests: `attendee` is passed on as it came.
    fn from(status: Status) -> Self {
        let violations = status::field_violations(&status);
        if violations.is_empty() {
            Self::Registry(Box::new(status))
        } else {
            Self::Invalid(violations)
        }
    }
}
