//! One visit: where a link leads, and what is recorded of it. The same for HTTP and gRPC.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tagalong_attribution::{
    id::{self, AffiliateId},
    template::Values,
    token::KeyRing,
};
use tagalong_chassis::transport::Transport;
use tagalong_proto::v1::{
    AttendeeReference, Click, ClickClass, LinkBasis, LinkKind, NoAffiliate, Registrant,
    RenderLinkRequest, RenderLinkResponse, attendee_reference::Reference,
    link_rendering_service_client::LinkRenderingServiceClient,
};
use tonic::Request;
use uuid::Uuid;

use crate::{
    catalogue::{Catalogue, Product, to_proto},
    link,
    query::{self, Query},
};

/// A link, as it counts now.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) product: Arc<Product>,
    pub(crate) kind: LinkKind,
    /// Whom the path names, suspended or not.
    named: Option<AffiliateId>,
    /// Why that is nobody who counts; unspecified where it is somebody.
    pub(crate) no_affiliate: NoAffiliate,
    /// A valid token, and the attendee it names.
    pub(crate) token: Option<(String, Uuid)>,
    /// The link is one for a whole room, and nobody is recognised yet.
    pub(crate) room: bool,
    pub(crate) query: Query<'a>,
}

/// Who is passed on to the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) affiliate: Option<AffiliateId>,
    /// A fresh decision said so.
    pub(crate) decided: bool,
}

impl<'a> Visit<'a> {
    /// Reads a link; none where no product is known for it.
    pub(crate) fn read(
        catalogue: &Catalogue,
        keys: &KeyRing,
        now: Timestamp,
        path: &str,
        query: &'a str,
    ) -> Option<Self> {
        let link = link::parse(path)?;
        let product = catalogue.product(&link.product)?.clone();
        let no_affiliate = no_affiliate(catalogue, &product, &link.affiliate, now);
        let verified = |token: String| keys.verify(&token).map(|attendee| (token, attendee));
        let short = path.len() + query.len() < query::MAX_LEN;
        Some(Self {
            product,
            kind: link.kind,
            named: link.affiliate.ok(),
            no_affiliate,
            token: link.token.and_then(verified),
            room: link.room,
            query: if short { Query::parse(query) } else { Query::default() },
        })
    }

    /// A page of the product that saw an affiliate in its address; none where it can be none, or the product is unknown.
    pub(crate) fn landing(
        catalogue: &Catalogue,
        now: Timestamp,
        fields: Query<'a>,
    ) -> Option<Self> {
        let product = fields.first("product")?.parse().ok()?;
        let product = catalogue.product(&product)?.clone();
        let named = AffiliateId::read(fields.first("affiliate")?);
        let no_affiliate = no_affiliate(catalogue, &product, &named, now);
        Some(Self {
            product,
            kind: LinkKind::Landing,
            named: Some(named.ok()?),
            no_affiliate,
            token: None,
            room: false,
            query: fields,
        })
    }

    /// The same visit by somebody who was recognised by other means than a token in the path.
    pub(crate) fn recognised(self, token: String, attendee: Uuid) -> Self {
        Self { kind: LinkKind::Purchase, token: Some((token, attendee)), room: false, ..self }
    }

    /// The same, outliving the request.
    pub(crate) fn into_owned(self) -> Visit<'static> {
        Visit { query: self.query.into_owned(), ..self }
    }

    /// The affiliate in the path, if it counts.
    pub(crate) fn affiliate(&self) -> Option<&AffiliateId> {
        self.named.as_ref().filter(|_| self.no_affiliate == NoAffiliate::Unspecified)
    }

    /// Whether the visit counts for an affiliate. Opening a tokened purchase link does not: it says nothing
    /// about who brought the attendee.
    pub(crate) fn is_touch(&self) -> bool {
        self.affiliate().is_some() && self.token.is_none()
    }

    /// Who is passed on: whom a fresh decision names where a valid token allows one and it comes in time, else the
    /// affiliate in the path.
    pub(crate) async fn credit(
        &self,
        rendering: &Transport,
        now: Timestamp,
        deadline: Duration,
    ) -> Credit {
        let Some((token, _)) = &self.token else { return self.credited_by(None) };
        let buyer = Reference::Token(token.clone());
        self.credited_by(self.render(buyer, rendering, now, deadline).await.as_ref())
    }

    /// The same where a tool's registrant ID says who buys; and the visit, in which the person is recognised if that names
    /// somebody in time.
    pub(crate) async fn of_registrant(
        self,
        registrant: Registrant,
        keys: &KeyRing,
        rendering: &Transport,
        now: Timestamp,
        deadline: Duration,
    ) -> (Self, Credit) {
        let buyer = Reference::Registrant(registrant);
        let answer = self.render(buyer, rendering, now, deadline).await;
        let known = answer.and_then(|answer| Some((keys.verify(&answer.token)?, answer)));
        let Some((attendee, answer)) = known else {
            let credit = self.undecided();
            return (self, credit);
        };
        let visit = self.recognised(answer.token.clone(), attendee);
        let credit = visit.credited_by(Some(&answer));
        (visit, credit)
    }

    /// Asks for a purchase link; none where the answer does not come in time.
    async fn render(
        &self,
        buyer: Reference,
        rendering: &Transport,
        now: Timestamp,
        deadline: Duration,
    ) -> Option<RenderLinkResponse> {
        let mut request = Request::new(RenderLinkRequest {
            attendee: Some(AttendeeReference { reference: Some(buyer) }),
            product_id: self.product.id.to_string(),
            at: Some(to_proto(now)),
            fallback_affiliate_id: self.named.as_ref().map(ToString::to_string).unwrap_or_default(),
        });
        request.set_timeout(deadline);
        let mut client = LinkRenderingServiceClient::new(rendering.clone());
        // Kept here too: the visitor must not wait for a peer that ignores the deadline.
        match tokio::time::timeout(deadline, client.render_link(request)).await {
            Ok(Ok(answer)) => Some(answer.into_inner()),
            Ok(Err(status)) => {
                tracing::debug!(code = ?status.code(), "no decision, the path's affiliate stands");
                None
            }
            Err(_) => {
                tracing::debug!("no decision in time, the path's affiliate stands");
                None
            }
        }
    }

    /// Who is passed on where nobody is asked.
    pub(crate) fn undecided(&self) -> Credit {
        self.credited_by(None)
    }

    fn credited_by(&self, answer: Option<&RenderLinkResponse>) -> Credit {
        let stands = self.affiliate().cloned();
        let Some(answer) = answer else { return Credit { affiliate: stands, decided: false } };
        match answer.affiliate_id.parse() {
            Ok(affiliate) => {
                let decided = answer.basis() != LinkBasis::Fallback;
                Credit { affiliate: Some(affiliate), decided }
            }
            // It was offered the path's affiliate, and knows of a suspension that has not reached us.
            Err(_) if answer.basis() == LinkBasis::Nobody => {
                Credit { affiliate: None, decided: true }
            }
            Err(_) => Credit { decided: stands.is_none(), affiliate: stands },
        }
    }

    /// Where the link leads. Purchase links lead to the checkout only; affiliate links too, where there is no sales
    /// page.
    pub(crate) fn location(&self, credit: &Credit, click: &str) -> String {
        let page = match (&self.product.sales_page, self.kind) {
            (Some(sales_page), LinkKind::Affiliate) => sales_page,
            _ => &self.product.checkout,
        };
        let subs = self.query.sub_ids();
        let subs: Vec<&str> = subs.iter().map(String::as_str).collect();
        let values = Values {
            product: self.product.id.as_str(),
            affiliate: credit.affiliate.as_ref().map(AffiliateId::as_str),
            token: self.token.as_ref().map(|(token, _)| token.as_str()),
            click,
            subs: &subs,
        };
        page.url(&values, &self.query.passed(&self.product.rule))
    }

    /// The visit as it is recorded: the link's affiliate, not the decision's, is the evidence.
    pub(crate) fn click(
        &self,
        id: &str,
        class: ClickClass,
        cookie: Option<Uuid>,
        now: Timestamp,
    ) -> Click {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        Click {
            id: id.to_owned(),
            product_id: self.product.id.to_string(),
            // A suspended one too: that is a dated fact, which may be corrected.
            affiliate_id: self.named.as_ref().map(ToString::to_string).unwrap_or_default(),
            no_affiliate: self.no_affiliate.into(),
            occurred_at: Some(to_proto(now)),
            class: class.into(),
            link: self.kind.into(),
            sub_ids: self.query.sub_ids(),
            attendee_id: text(self.token.as_ref().map(|(_, attendee)| *attendee)),
            cookie_click_id: text(cookie),
            test: self.product.test,
        }
    }
}

/// Why whom a link names does not count; unspecified where it does.
fn no_affiliate(
    catalogue: &Catalogue,
    product: &Product,
    named: &Result<AffiliateId, id::NoAffiliate>,
    now: Timestamp,
) -> NoAffiliate {
    match named {
        Ok(affiliate) if catalogue.is_suspended(&product.programme, affiliate, now) => {
            NoAffiliate::Suspended
        }
        Ok(_) => NoAffiliate::Unspecified,
        Err(id::NoAffiliate::Missing) => NoAffiliate::Missing,
        Err(id::NoAffiliate::Unresolved) => NoAffiliate::Unresolved,
        Err(id::NoAffiliate::Malformed) => NoAffiliate::Malformed,
    }
}

/// A new click's ID.
pub(crate) fn click_id(now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let nanos = now.subsec_nanosecond().unsigned_abs();
    let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos);
    Uuid::new_v7(time).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::testing::{catalogue, keys, now};

    fn check(product: &str, path: &str, query: &str) -> Result<(), TestCaseError> {
        let path = format!("/{product}/{path}");
        let catalogue = catalogue();
        let visit = Visit::read(&catalogue, &keys(), now(), &path, query).unwrap();
        let credit = Credit { affiliate: visit.affiliate().cloned(), decided: false };
        let location = visit.location(&credit, "click");
        prop_assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
        let url = Url::parse(&location).unwrap();
        let sales = visit.kind == LinkKind::Affiliate && product == "course";
        let origin = match (product, sales) {
            ("course", true) => "https://sales.test",
            ("course", false) => "https://pay.test",
            _ => "https://shop.test",
        };
        prop_assert_eq!(url.origin().ascii_serialization(), origin);
        prop_assert!(location.starts_with(origin));
        let reserved = if sales { "aff" } else { "partner" };
        if product == "course" {
            let named: Vec<_> = url.query_pairs().filter(|(name, _)| name == reserved).collect();
            prop_assert_eq!(named.len(), usize::from(credit.affiliate.is_some()));
            prop_assert_eq!(url.path(), if sales { "/webinar" } else { "/c/42" });
        }
        let click = visit.click("click", ClickClass::Human, None, now());
        prop_assert!(click.sub_ids.len() <= 5);
        prop_assert!(click.sub_ids.iter().all(|sub| sub.chars().count() <= 128));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_link_leads_where_an_operator_said(path in any::<String>(), query in any::<Vec<u8>>()) {
            let query = String::from_utf8_lossy(&query);
            check("course", &path, &query)?;
            check("book", &path, &query)?;
        }

        #[test]
        fn so_do_links_that_look_like_one(
            affiliate in "[a-z%./\\\\@:{}*|0-9-]{0,12}",
            rest in "(/|/buy|/buy/|/BUY|/buy/[a-z%/]{0,6}|/x)?",
            query in "((aff|partner|AFF|aff\\[\\]|%61ff|sub1|x|ref)(=[a-z%#?&/@]{0,6})?&){0,5}",
        ) {
            check("course", &format!("p/{affiliate}{rest}"), &query)?;
            check("book", &format!("p/{affiliate}{rest}"), &query)?;
        }
    }
}
