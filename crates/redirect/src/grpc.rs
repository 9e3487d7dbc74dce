//! `RedirectService`.

use std::sync::Arc;

use http::uri::PathAndQuery;
use tagalong_chassis::status::{bad_request, refusal};
use tagalong_proto::v1::{
    NoAffiliate, ResolveRequest, ResolveResponse, redirect_service_server::RedirectService,
};
use tonic::{Code, Request, Response, Status};

use crate::{
    Edge,
    query::MAX_LEN,
    visit::{self, Visit},
};

#[derive(Debug)]
pub(crate) struct Grpc(pub(crate) Arc<Edge>);

#[tonic::async_trait]
impl RedirectService for Grpc {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let target = parse(&request.into_inner().path_and_query)
            .map_err(|problem| bad_request([("path_and_query", problem)]))?;
        let edge = &self.0;
        let catalogue = edge.live.catalogue().ok_or_else(|| {
            refusal(Code::Unavailable, "NO_CATALOGUE", "no catalogue has been received yet", &[])
        })?;
        let now = edge.clock.now();
        let query = target.query().unwrap_or_default();
        let Some(visit) = Visit::read(&catalogue, &edge.tokens, now, target.path(), query) else {
            return Ok(Response::new(ResolveResponse { status: 404, ..Default::default() }));
        };
        if visit.room {
            return Ok(Response::new(ResolveResponse {
                status: 200,
                product_id: visit.product.id.to_string(),
                link: visit.kind.into(),
                no_affiliate: visit.no_affiliate.into(),
                ..Default::default()
            }));
        }
        let credit = visit.credit(&edge.link_rendering, now, edge.decision_deadline).await;
        let no_affiliate =
            if credit.affiliate.is_some() { NoAffiliate::Unspecified } else { visit.no_affiliate };
        Ok(Response::new(ResolveResponse {
            status: 302,
            location: visit.location(&credit, &visit::click_id(now)),
            product_id: visit.product.id.to_string(),
            link: visit.kind.into(),
            affiliate_id: credit.affiliate.map(String::from).unwrap_or_default(),
            no_affiliate: no_affiliate.into(),
            attendee_id: visit.token.map(|(_, id)| id.to_string()).unwrap_or_default(),
            decided: credit.decided,
        }))
    }
}

/// Stricter than HTTP: here a person or a program asks, and wants to hear what is wrong.
fn parse(text: &str) -> Result<PathAndQuery, &'static str> {
    if text.len() > MAX_LEN {
        return Err("must be at most 8192 bytes");
    }
    if !text.starts_with('/') {
        return Err("must start with /");
    }
    if text.contains('#') {
        return Err("must not hold a fragment");
    }
    text.parse().map_err(|_| "must be path and query of a URL; percent-encode other characters")
}

#[cfg(test)]
mod tests {
    use tagalong_chassis::{status::field_violations, transport::local};
    use tagalong_proto::v1::{LinkBasis, LinkKind, redirect_service_client::RedirectServiceClient};

    use super::*;
    use crate::testing::{Rendering, attendee, keys, recorded, service};

    #[tokio::test]
    async fn says_what_a_link_would_answer_and_records_nothing() {
        let data = tempfile::tempdir().unwrap();
        let (rendering, _) = Rendering::Says("eva", LinkBasis::Decision).start();
        let service = service(data.path(), rendering);
        let mut client = RedirectServiceClient::new(local(service.routes()));
        let mut resolve = async |path: &str| {
            let request = ResolveRequest { path_and_query: path.to_owned() };
            client.resolve(request).await.map(Response::into_inner)
        };

        let plain = resolve("/course/p/max/?utm=1").await.unwrap();
        assert_eq!(plain.status, 302);
        assert_eq!(plain.location, "https://sales.test/webinar?lang=de&aff=max&utm=1#top");
        assert_eq!((plain.product_id.as_str(), plain.affiliate_id.as_str()), ("course", "max"));
        assert_eq!((plain.link(), plain.decided), (LinkKind::Affiliate, false));

        let token = keys().sign(attendee());
        let decided = resolve(&format!("/course/p/max/buy/{token}")).await.unwrap();
        assert_eq!((decided.affiliate_id.as_str(), decided.decided), ("eva", true));
        assert_eq!(decided.attendee_id, attendee().to_string());
        assert_eq!(decided.location, format!("https://pay.test/c/42?partner=eva&ref={token}"));

        let suspended = resolve("/course/p/sus/").await.unwrap();
        assert_eq!(suspended.no_affiliate(), NoAffiliate::Suspended);
        assert_eq!(resolve("/nothing/p/max").await.unwrap().status, 404);

        for bad in ["", "course", "/a b", "/a#b", &format!("/{}", "x".repeat(8192))] {
            let status = resolve(bad).await.unwrap_err();
            assert_eq!(field_violations(&status)[0].0, "path_and_query", "{bad:.20}");
        }
        assert!(recorded(&service).await.is_empty());
    }
}
