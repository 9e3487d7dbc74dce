//! One row of a webinar tool's list.

use jiff::Timestamp;

use super::{Edge, Field, Problem, Row};

/// Who registered, as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registration {
    /// As it is written; empty where it is missing.
    pub(crate) email: String,
    /// Whatever stood in the affiliate's column.
    pub(crate) affiliate: String,
    pub(crate) registered_at: Option<Timestamp>,
    /// The tool's ID; empty where it has none.
    pub(crate) id: String,
    pub(crate) session: String,
    /// The tool's name or ID of the webinar; empty where the file has none.
    pub(crate) webinar: String,
    pub(crate) click: String,
}

impl Registration {
    /// Reads a row.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub(crate) fn read(row: Row<'_>) -> Result<Self, Problem> {
        let registration = Self {
            email: row.owned(Field::Email),
            affiliate: row.owned(Field::Affiliate),
            registered_at: row.moment(Field::RegisteredAt, Edge::Start)?,
            id: row.owned(Field::Id),
            session: row.owned(Field::Session),
            webinar: row.owned(Field::Webinar),
            click: row.owned(Field::Click),
        };
        if registration.email.is_empty() && registration.id.is_empty() {
            let problem = "is empty, and there is no ID that would tell who it is";
            return Err(Problem { field: Field::Email, problem });
        }
        Ok(registration)
    }
}
