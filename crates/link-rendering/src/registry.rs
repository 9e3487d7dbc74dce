//! Every question to the attendee registry.

use jiff::Timestamp;
use tagalong_attribution::{
    decide::Stretch,
    id::{AffiliateId, ProductId, ProgrammeId, WebinarId},
};
use tagalong_chassis::{status, transport::Transport};
use tagalong_proto::v1::{
    AttendeeReference, GetAffiliateRequest, GetAttendeeRequest, GetProductRequest,
    PreviewDecisionRequest, PreviewDecisionsRequest, PreviewDecisionsResponse, RegistrationKey,
    WatchRequest, WatchResponse, attendee_service_client::AttendeeServiceClient,
    catalogue_service_client::CatalogueServiceClient, event_service_client::EventServiceClient,
    sale_service_client::SaleServiceClient,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    time,
};

/// The registry, asked over gRPC wherever it is.
#[derive(Clone)]
pub(crate) struct Registry {
    transport: Transport,
}

/// Whose a sale would be.
pub(crate) struct Preview {
    pub(crate) attendee: Uuid,
    pub(crate) programme: ProgrammeId,
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) reason: String,
    /// When the answer would be the same, as long as nothing changes.
    pub(crate) stands: Stretch,
}

/// Whose one attendee's purchase would be.
pub(crate) struct AttendeePreview {
    pub(crate) attendee: Uuid,
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) registration: Option<RegistrationKey>,
}

impl Registry {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// Whose the sale would be if the attendee bought the product at a moment.
    pub(crate) async fn preview(
        &self,
        attendee: AttendeeReference,
        product: &ProductId,
        at: Timestamp,
        deadline: Deadline,
    ) -> Result<Preview> {
        let request = deadline.request(PreviewDecisionRequest {
            attendee: Some(attendee),
            product_id: product.to_string(),
            at: Some(time::to_proto(at)),
        })?;
        let mut client = SaleServiceClient::new(self.transport.clone());
        let answer = client.preview_decision(request).await?.into_inner();
        let decision = answer.decision.ok_or(Error::Answer("no decision"))?;
        let programme = decision.programme_id;
        Ok(Preview {
            attendee: attendee_id(&answer.attendee_id)?,
            programme: programme.try_into().map_err(|_| Error::Answer("no programme ID"))?,
            affiliate: affiliate_id(&decision.affiliate_id)?,
            reason: decision.reason,
            stands: stretch(answer.valid_from, answer.valid_until)?,
        })
    }

    /// The same for every attendee of a webinar, as fast as the answers are taken.
    pub(crate) async fn previews(
        &self,
        webinar: &WebinarId,
        product: &ProductId,
        at: Timestamp,
        deadline: Deadline,
    ) -> Result<impl Stream<Item = Result<AttendeePreview>> + Send + use<>> {
        let request = deadline.request(PreviewDecisionsRequest {
            webinar_id: webinar.to_string(),
            product_id: product.to_string(),
            at: Some(time::to_proto(at)),
        })?;
        let mut client = SaleServiceClient::new(self.transport.clone());
        let answers = client.preview_decisions(request).await?.into_inner();
        Ok(answers.map(|answer| {
            let PreviewDecisionsResponse {
                attendee_id: attendee,
                affiliate_id: affiliate,
                registration,
            } = answer?;
            Ok(AttendeePreview {
                attendee: attendee_id(&attendee)?,
                affiliate: affiliate_id(&affiliate)?,
                registration,
            })
        }))
    }

    /// The attendee's ID.
    pub(crate) async fn attendee(
        &self,
        attendee: AttendeeReference,
        deadline: Deadline,
    ) -> Result<Uuid> {
        let request = deadline.request(GetAttendeeRequest { attendee: Some(attendee) })?;
        let mut client = AttendeeServiceClient::new(self.transport.clone());
        let answer = client.get_attendee(request).await?.into_inner();
        attendee_id(&answer.attendee.ok_or(Error::Answer("no attendee"))?.id)
    }

    /// That the product exists.
    pub(crate) async fn product(&self, product: &ProductId, deadline: Deadline) -> Result<()> {
        let request = deadline.request(GetProductRequest { id: product.to_string() })?;
        CatalogueServiceClient::new(self.transport.clone()).get_product(request).await?;
        Ok(())
    }

    /// When an affiliate is suspended; never, where nobody has heard of it.
    pub(crate) async fn suspensions(
        &self,
        programme: &ProgrammeId,
        affiliate: &AffiliateId,
        deadline: Deadline,
    ) -> Result<Vec<Stretch>> {
        let request = deadline.request(GetAffiliateRequest {
            programme_id: programme.to_string(),
            id: affiliate.to_string(),
        })?;
        let mut client = CatalogueServiceClient::new(self.transport.clone());
        let answer = match client.get_affiliate(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(Vec::new()),
            Err(status) => return Err(status.into()),
        };
        let suspensions = answer.affiliate.ok_or(Error::Answer("no affiliate"))?.suspensions;
        suspensions.into_iter().map(|one| stretch(one.starts_at, one.ends_at)).collect()
    }

    /// What changes from now on, with a step at least every second.
    pub(crate) async fn events(&self) -> Result<Streaming<WatchResponse>, Status> {
        let request = WatchRequest {
            only_new: true,
            include_test: true,
            heartbeat: true,
            ..WatchRequest::default()
        };
        let mut client = EventServiceClient::new(self.transport.clone());
        Ok(client.watch(request).await?.into_inner())
    }
}

/// Whether the registry knows the attendee, but not the product.
pub(crate) fn is_unknown_product(error: &Error) -> bool {
    matches!(error, Error::Registry(status)
        if status.code() == Code::NotFound
            && status::reason(status).as_deref() == Some("PRODUCT_NOT_FOUND"))
}

fn stretch(
    from: Option<prost_types::Timestamp>,
    until: Option<prost_types::Timestamp>,
) -> Result<Stretch> {
    let moment = |moment| time::from_proto(moment).ok_or(Error::Answer("no valid time"));
    Ok(Stretch { from: from.map(moment).transpose()?, until: until.map(moment).transpose()? })
}

fn attendee_id(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| Error::Answer("an attendee ID that is no UUID"))
}

fn affiliate_id(text: &str) -> Result<Option<AffiliateId>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::Answer("an affiliate ID that is none"))
}
