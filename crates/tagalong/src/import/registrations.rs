//! Who registered.

use tagalong_attendee_registry::email::Email;
use tagalong_proto::v1;
use tonic::Status;

use super::sending::{Read, Rows, Sent};
use crate::{
    client::Clients,
    output::timestamp,
    sheet::{Field, Problem, Registration, Row},
};

/// Registrations for one webinar.
#[derive(Clone)]
pub(super) struct Registrations {
    pub(super) webinar: String,
    pub(super) source: String,
    pub(super) programme: String,
    pub(super) keep_emails: bool,
}

impl Rows for Registrations {
    type Call = Box<v1::RegisterAttendeeRequest>;

    fn read(&self, row: Row<'_>) -> Result<Read<Self::Call>, Problem> {
        let row = Registration::read(row)?;
        if !row.email.is_empty() && Email::parse(&row.email).is_err() {
            return Err(Problem { field: Field::Email, problem: "is not an e-mail address" });
        }
        // Some tools use the address as the ID: the registry then tells the registration by its content.
        let id = Some(row.id).filter(|id| !id.contains('@')).unwrap_or_default();
        if id.is_empty() && row.email.is_empty() {
            return Err(Problem { field: Field::Email, problem: "is empty" });
        }
        let about = if row.email.is_empty() { id.clone() } else { row.email.to_lowercase() };
        let call = Box::new(v1::RegisterAttendeeRequest {
            webinar_id: self.webinar.clone(),
            keep_email: self.keep_emails && !row.email.is_empty(),
            email: row.email,
            affiliate_id: row.affiliate,
            programme_id: self.programme.clone(),
            key: Some(v1::RegistrationKey {
                source: self.source.clone(),
                external_webinar_id: row.webinar,
                external_id: id,
            }),
            session_id: row.session,
            registered_at: row.registered_at.map(timestamp),
            click_id: row.click,
            ..Default::default()
        });
        Ok(Read::Call { call, about })
    }

    async fn send(clients: &mut Clients, call: Self::Call) -> Result<Sent, Status> {
        let answer = clients.attendees.register_attendee(*call).await?.into_inner();
        Ok(if answer.repeated { Sent::Known } else { Sent::New })
    }
}
