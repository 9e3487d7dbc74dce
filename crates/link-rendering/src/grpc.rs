//! `LinkRenderingService`: messages to domain and back, nothing else.

use std::pin::Pin;

use jiff::Timestamp;
use tagalong_attribution::id::AffiliateId;
use tagalong_chassis::{clock::Clock, status};
use tagalong_proto::v1::{
    ImageFormat, LinkBasis, MessageFormat, RenderLinkRequest, RenderLinkResponse,
    RenderLinksRequest, RenderLinksResponse, RenderMessageRequest, RenderMessageResponse,
    RenderQrCodeRequest, RenderQrCodeResponse, link_rendering_service_server::LinkRenderingService,
    render_qr_code_request::Target,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status};

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    links::{Basis, Link, Links},
    message::{self, Format},
    qr::{self, Image, Size},
    request,
};

/// The service as gRPC sees it.
pub(crate) struct Grpc {
    pub(crate) links: Links,
    pub(crate) clock: Clock,
}

impl Grpc {
    fn at(&self, at: Option<prost_types::Timestamp>) -> Result<Timestamp> {
        request::at(at).map(|at| at.unwrap_or_else(|| self.clock.now()))
    }

    async fn link(&self, request: RenderLinkRequest, deadline: Deadline) -> Result<Link> {
        let product = request::id("product_id", &request.product_id)?;
        let at = self.at(request.at)?;
        let attendee = self.links.attendee(request::buyer(request.attendee)?)?;
        let fallback = AffiliateId::read(&request.fallback_affiliate_id).ok();
        self.links.link(attendee, &product, at, fallback, deadline).await
    }

    async fn message(&self, request: RenderMessageRequest, deadline: Deadline) -> Result<String> {
        let format = match MessageFormat::try_from(request.format) {
            Ok(MessageFormat::Text) => Format::Text,
            Ok(MessageFormat::Html) => Format::Html,
            Ok(MessageFormat::Unspecified) | Err(_) => {
                return Err(Error::invalid("format", "must be TEXT or HTML"));
            }
        };
        let at = self.at(request.at)?;
        let attendee = self.links.attendee(request::buyer(request.attendee)?)?;
        message::render(&self.links, attendee, &request.body, format, at, deadline).await
    }

    async fn qr_code(
        &self,
        request: RenderQrCodeRequest,
        deadline: Deadline,
    ) -> Result<RenderQrCodeResponse> {
        let image = match ImageFormat::try_from(request.format) {
            Ok(ImageFormat::Svg) => Image::Svg,
            Ok(ImageFormat::Png) => Image::Png,
            Ok(ImageFormat::Unspecified) | Err(_) => {
                return Err(Error::invalid("format", "must be SVG or PNG"));
            }
        };
        let size = Size::read(request.size)?;
        let url = match request.target {
            None => return Err(Error::invalid("target", "must be one of its fields")),
            Some(Target::PurchaseLink(link)) => {
                let link = self.link(link, deadline).await;
                link.map_err(|error| error.within("purchase_link"))?.url
            }
            Some(Target::AffiliateLink(link)) => {
                let product = request::id("affiliate_link.product_id", &link.product_id)?;
                let affiliate = request::id("affiliate_link.affiliate_id", &link.affiliate_id)?;
                self.links.affiliate_link(&product, &affiliate, deadline).await?
            }
        };
        let media_type = image.media_type().to_owned();
        Ok(RenderQrCodeResponse { image: qr::draw(&url, image, size)?, media_type, url })
    }
}

#[tonic::async_trait]
impl LinkRenderingService for Grpc {
    type RenderLinksStream =
        Pin<Box<dyn Stream<Item = Result<RenderLinksResponse, Status>> + Send>>;

    async fn render_link(
        &self,
        request: Request<RenderLinkRequest>,
    ) -> Result<Response<RenderLinkResponse>, Status> {
        let deadline = Deadline::of(request.metadata());
        let link = self.link(request.into_inner(), deadline).await.map_err(refuse)?;
        Ok(Response::new(RenderLinkResponse {
            url: link.url,
            affiliate_id: link.affiliate.map(String::from).unwrap_or_default(),
            basis: match link.basis {
                Basis::Decision => LinkBasis::Decision,
                Basis::Fallback => LinkBasis::Fallback,
                Basis::Nobody => LinkBasis::Nobody,
            }
            .into(),
            reason: link.reason,
            attendee_id: link.attendee.to_string(),
            token: link.token,
        }))
    }

    async fn render_links(
        &self,
        request: Request<RenderLinksRequest>,
    ) -> Result<Response<Self::RenderLinksStream>, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let webinar = request::id("webinar_id", &request.webinar_id).map_err(refuse)?;
        let product = request::id("product_id", &request.product_id).map_err(refuse)?;
        let at = self.at(request.at).map_err(refuse)?;
        let links = self.links.webinar(&webinar, product, at, deadline).await.map_err(refuse)?;
        let answers = links.map(|link| {
            let link = link.map_err(refuse)?;
            Ok(RenderLinksResponse {
                attendee_id: link.attendee.to_string(),
                registration: link.registration,
                url: link.url,
                affiliate_id: link.affiliate.map(String::from).unwrap_or_default(),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn render_message(
        &self,
        request: Request<RenderMessageRequest>,
    ) -> Result<Response<RenderMessageResponse>, Status> {
        let deadline = Deadline::of(request.metadata());
        let body = self.message(request.into_inner(), deadline).await.map_err(refuse)?;
        Ok(Response::new(RenderMessageResponse { body }))
    }

    async fn render_qr_code(
        &self,
        request: Request<RenderQrCodeRequest>,
    ) -> Result<Response<RenderQrCodeResponse>, Status> {
        let deadline = Deadline::of(request.metadata());
        self.qr_code(request.into_inner(), deadline).await.map(Response::new).map_err(refuse)
    }
}

/// What a caller is told of an error; what is our own fault is logged here.
fn refuse(error: Error) -> Status {
    match error {
        Error::Invalid(violations) => status::bad_request(violations),
        Error::UnknownToken => {
            status::refusal(Code::NotFound, "ATTENDEE_NOT_FOUND", error.to_string(), &[])
        }
        Error::NobodyCredited(ref product) => {
            let product = [("product", product.to_string())];
            let message = error.to_string();
            status::refusal(Code::FailedPrecondition, "NOBODY_CREDITED", message, &product)
        }
        Error::TooLate => Status::deadline_exceeded(error.to_string()),
        Error::Registry(ref answer) => match answer.code() {
            Code::NotFound | Code::DeadlineExceeded => passed_on(answer, answer.code()),
            // A server that keeps a deadline by itself says CANCELLED.
            Code::Cancelled => passed_on(answer, Code::DeadlineExceeded),
            // It has logged why.
            Code::Unavailable if status::reason(answer).is_some() => {
                passed_on(answer, Code::Unavailable)
            }
            // It never says UNKNOWN itself: the connection broke.
            Code::Unavailable | Code::Unknown => status::unavailable(&error),
            _ => status::internal(&error),
        },
        Error::Answer(_) | Error::Picture(_) => status::internal(&error),
    }
}

/// The same answer without the headers it came with.
fn passed_on(answer: &Status, code: Code) -> Status {
    Status::with_details(code, answer.message(), answer.details().to_vec().into())
}
