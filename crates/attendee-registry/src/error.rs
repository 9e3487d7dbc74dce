//! What can go wrong, in the caller's words.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// A result of the registry.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was not done. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields that cannot be accepted, and why.
    #[error("invalid request")]
    Invalid(Vec<Violation>),
    /// Something the call names does not exist.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// Which kind of thing.
        what: What,
        /// How the call named it, where that is no personal data.
        name: String,
    },
    /// The ID is taken.
    #[error("{what} {name} exists already")]
    Exists {
        /// Which kind of thing.
        what: What,
        /// The ID.
        name: String,
    },
    /// The request ID was used before, with other content.
    #[error("request_id {0} was used before with other content")]
    RequestIdReused(String),
    /// The record was changed since the caller read it.
    #[error("{what} {name} was changed meanwhile: its revision is {revision}")]
    Changed {
        /// Which kind of thing.
        what: What,
        /// The ID.
        name: String,
        /// The stored revision.
        revision: i64,
    },
    /// The state of things forbids it; the text says which.
    #[error("{message}")]
    Precondition {
        /// Stable, for programs.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// A run of clicks starts after the position that comes next.
    #[error("the click log goes on at position {next_position}")]
    ClickLogGap {
        /// Where it goes on.
        next_position: i64,
    },
    /// The database cannot be reached now.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// The transaction this was part of failed.
    #[error("unavailable, try again")]
    NotCommitted,
    /// More is to be written than can be.
    #[error("too many writes are waiting, try again")]
    Overloaded,
    /// Anything else, and our fault.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path, as in the proto: `product.checkout.with_affiliate`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Kinds of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A programme.
    Programme,
    /// An affiliate.
    Affiliate,
    /// A product.
    Product,
    /// A webinar.
    Webinar,
    /// An attendee.
    Attendee,
    /// An order's item.
    Sale,
    /// A payment of an item.
    Payment,
    /// A reversal of an item.
    Reversal,
    /// A source.
    Source,
    /// A delivery to a source.
    Delivery,
}

impl What {
    /// The `reason` of a refusal because it is missing.
    #[must_use]
    pub fn not_found(self) -> &'static str {
        match self {
            Self::Programme => "PROGRAMME_NOT_FOUND",
            Self::Affiliate => "AFFILIATE_NOT_FOUND",
            Self::Product => "PRODUCT_NOT_FOUND",
            Self::Webinar => "WEBINAR_NOT_FOUND",
            Self::Attendee => "ATTENDEE_NOT_FOUND",
            Self::Sale => "SALE_NOT_FOUND",
            Self::Payment => "PAYMENT_NOT_FOUND",
            Self::Reversal => "REVERSAL_NOT_FOUND",
            Self::Source => "SOURCE_NOT_FOUND",
            Self::Delivery => "DELIVERY_NOT_FOUND",
        }
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Programme => "programme",
            Self::Affiliate => "affiliate",
            Self::Product => "product",
            Self::Webinar => "webinar",
            Self::Attendee => "attendee",
            Self::Sale => "sale",
            Self::Payment => "payment",
            Self::Reversal => "reversal",
            Self::Source => "source",
            Self::Delivery => "delivery",
        })
    }
}

impl Error {
    /// One field that cannot be accepted.
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation { field: field.into(), problem: problem.into() }])
    }

    /// The same of a message that is a field of another one.
    pub(crate) fn within(self, field: &str) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(
                violations
                    .into_iter()
                    .map(|violation| Violation {
                        field: format!("{field}.{}", violation.field),
                        ..violation
                    })
                    .collect(),
            ),
            other => other,
        }
    }

    pub(crate) fn not_found(what: What, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }

    pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

/// The one place where the database's errors are classified.
impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_transient(&error) { Self::Unavailable(error) } else { Self::internal(error) }
    }
}

/// Whether the same call may well succeed later.
fn is_transient(error: &DbErr) -> bool {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return matches!(error, DbErr::ConnectionAcquire(_) | DbErr::Conn(_));
    };
    match &**error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    // SQLite: the primary code is in the low byte. BUSY, LOCKED, IOERR, FULL, CANTOPEN.
    if code.len() != 5 {
        return code.parse().is_ok_and(|code: u32| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14));
    }
    // PostgreSQL: connection lost, out of resources, shutting down; serialization failure, deadlock, lock not available.
    ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
        || matches!(code, "40001" | "40P01" | "55P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_later() {
        for (code, transient) in [
            ("5", true),
            ("517", true),
            ("13", true),
            ("2067", false),
            ("19", false),
            ("40001", true),
            ("57P01", true),
            ("23505", false),
            ("22021", false),
        ] {
            assert_eq!(is_transient_code(code), transient, "{code}");
        }
    }
}
