//! Bare tonic: `LinkRenderingService` with the same answer for everybody, and nothing around it.

use std::net::SocketAddr;

use futures::{StreamExt as _, stream, stream::BoxStream};
use tagalong_proto::v1::{
    self,
    link_rendering_service_server::{LinkRenderingService, LinkRenderingServiceServer},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use uuid::Uuid;

use crate::sample;

/// A token is as long as any other.
const TOKEN: &str = "AQEBogUui2l0JrOkQ29uqVoEU_-7m944yQnY0Q5hCxLTuw";

struct Echo;

/// Serves until it is killed.
pub(crate) async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let incoming = TcpIncoming::bind(address)?.with_nodelay(Some(true));
    let service = LinkRenderingServiceServer::new(Echo);
    Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
}

fn url(affiliate: &str) -> String {
    format!("https://go.example.com/{}/p/{affiliate}/buy/{TOKEN}", sample::COURSE)
}

#[tonic::async_trait]
impl LinkRenderingService for Echo {
    async fn render_link(
        &self,
        request: Request<v1::RenderLinkRequest>,
    ) -> Result<Response<v1::RenderLinkResponse>, Status> {
        let named = request.into_inner().attendee.and_then(|attendee| attendee.reference);
        let Some(v1::attendee_reference::Reference::AttendeeId(attendee_id)) = named else {
            return Err(Status::invalid_argument("attendee"));
        };
        let affiliate_id = sample::affiliate(7);
        Ok(Response::new(v1::RenderLinkResponse {
            url: url(&affiliate_id),
            basis: v1::LinkBasis::Decision.into(),
            reason: format!(
                "{affiliate_id} brought the buyer by the registration of 2026-12-01T12:00:00Z"
            ),
            affiliate_id,
            attendee_id,
            token: TOKEN.to_owned(),
        }))
    }

    type RenderLinksStream = BoxStream<'static, Result<v1::RenderLinksResponse, Status>>;

    /// As many as the request's product says.
    async fn render_links(
        &self,
        request: Request<v1::RenderLinksRequest>,
    ) -> Result<Response<Self::RenderLinksStream>, Status> {
        let count: u64 = request
            .into_inner()
            .product_id
            .parse()
            .map_err(|_| Status::invalid_argument("product_id"))?;
        let links = (0..count).map(|number| {
            let affiliate_id = sample::affiliate(number);
            Ok(v1::RenderLinksResponse {
                attendee_id: Uuid::from_u128(number.into()).to_string(),
                registration: sample::registration(number).key,
                url: url(&affiliate_id),
                affiliate_id,
            })
        });
        Ok(Response::new(stream::iter(links).boxed()))
    }

    async fn render_message(
        &self,
        _: Request<v1::RenderMessageRequest>,
    ) -> Result<Response<v1::RenderMessageResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn render_qr_code(
        &self,
        _: Request<v1::RenderQrCodeRequest>,
    ) -> Result<Response<v1::RenderQrCodeResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
