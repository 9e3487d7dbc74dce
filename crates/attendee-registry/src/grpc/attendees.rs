//! `AttendeeService`.

use tagalong_attribution::id::{ProductId, WebinarId};
use tagalong_proto::v1::{self, attendee_service_server::AttendeeService};
use tonic::{Request, Response, Status};

use super::{Registry, after_uuid, refuse};
use crate::{
    attendee::Reference,
    email::Email,
    error::Result,
    field,
    store::{
        attendees::{self, Report},
        page,
    },
};

#[tonic::async_trait]
impl AttendeeService for Registry {
    async fn register_attendee(
        &self,
        request: Request<v1::RegisterAttendeeRequest>,
    ) -> Result<Response<v1::RegisterAttendeeResponse>, Status> {
        let report = Report::read(request.into_inner(), &self.keys).map_err(refuse)?;
        self.writer.register(report).await.map(Response::new).map_err(refuse)
    }

    async fn get_attendee(
        &self,
        request: Request<v1::GetAttendeeRequest>,
    ) -> Result<Response<v1::GetAttendeeResponse>, Status> {
        let found = async {
            let db = self.store.read();
            let reference =
                Reference::read("attendee", request.into_inner().attendee, &self.tokens)?;
            let row = attendees::get(db, &self.keys, &reference).await?;
            attendees::message(db, row).await
        };
        let attendee = found.await.map_err(refuse)?;
        Ok(Response::new(v1::GetAttendeeResponse { attendee: Some(attendee) }))
    }

    async fn recognise_attendee(
        &self,
        request: Request<v1::RecogniseAttendeeRequest>,
    ) -> Result<Response<v1::RecogniseAttendeeResponse>, Status> {
        let message = request.into_inner();
        let recognised = async {
            let product: ProductId = field::id("product_id", &message.product_id)?;
            // What is no address is nobody's.
            let Ok(email) = Email::parse(&message.email) else { return Ok(None) };
            attendees::recognise(self.store.read(), &self.keys, &product, &email, self.now()).await
        };
        let attendee = recognised.await.map_err(refuse)?;
        let attendee_id = attendee.map(|id| id.to_string()).unwrap_or_default();
        Ok(Response::new(v1::RecogniseAttendeeResponse { attendee_id }))
    }

    async fn list_attendees(
        &self,
        request: Request<v1::ListAttendeesRequest>,
    ) -> Result<Response<v1::ListAttendeesResponse>, Status> {
        let message = request.into_inner();
        let listed = async {
            let db = self.store.read();
            let size = page::size(message.page_size)?;
            let after = after_uuid("attendees", &message.page_token)?;
            let webinar: Option<WebinarId> = field::optional_id("webinar_id", &message.webinar_id)?;
            let webinar = webinar.as_ref().map(WebinarId::as_str);
            let rows = attendees::list(db, webinar, after, size + 1).await?;
            let (rows, next) = page::cut("attendees", rows, size, |row| row.id.to_string());
            Ok((attendees::messages(db, rows).await?, next))
        };
        let (attendees, next_page_token) = listed.await.map_err(refuse)?;
        Ok(Response::new(v1::ListAttendeesResponse { attendees, next_page_token }))
    }

    async fn export_attendee(
        &self,
        request: Request<v1::ExportAttendeeRequest>,
    ) -> Result<Response<v1::ExportAttendeeResponse>, Status> {
        let exported = async {
            let db = self.store.read();
            let reference =
                Reference::read("attendee", request.into_inner().attendee, &self.tokens)?;
            let row = attendees::get(db, &self.keys, &reference).await?;
            let email = match &row.email_sealed {
                Some(sealed) => self.keys.open(row.id, sealed)?,
                None => String::new(),
            };
            Ok(v1::ExportAttendeeResponse {
                attendee: Some(attendees::message(db, row).await?),
                email,
            })
        };
        exported.await.map(Response::new).map_err(refuse)
    }

    async fn erase_attendee(
        &self,
        request: Request<v1::EraseAttendeeRequest>,
    ) -> Result<Response<v1::EraseAttendeeResponse>, Status> {
        let erased = async {
            let reference =
                Reference::read("attendee", request.into_inner().attendee, &self.tokens)?;
            let transaction = self.store.begin().await?;
            let row = attendees::get(&transaction, &self.keys, &reference).await?;
            let row = attendees::erase(&transaction, &self.keys, row, self.now()).await?;
            let attendee = attendees::message(&transaction, row).await?;
            self.store.commit(transaction).await?;
            Ok(v1::EraseAttendeeResponse { attendee: Some(attendee) })
        };
        erased.await.map(Response::new).map_err(refuse)
    }
}
