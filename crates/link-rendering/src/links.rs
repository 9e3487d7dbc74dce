//! Whose affiliate a purchase link carries, and why.

use std::sync::Arc;

use jiff::Timestamp;
use tagalong_attribution::{
    id::{AffiliateId, ProductId, WebinarId},
    link::{affiliate_path, purchase_path},
    token::KeyRing,
};
use tagalong_chassis::public_url::PublicUrl;
use tagalong_proto::v1::{
    AttendeeEmail, AttendeeReference, Registrant, RegistrationKey, attendee_reference::Reference,
};
use tokio_stream::{Stream, StreamExt as _};
use uuid::Uuid;

use crate::{
    deadline::Deadline,
    decisions::Decisions,
    error::{Error, Result},
    registry::Registry,
};

/// What links are made of.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) public_url: PublicUrl,
    pub(crate) registry: Registry,
    pub(crate) decisions: Arc<Decisions>,
    pub(crate) tokens: KeyRing,
}

/// How a caller names an attendee. Without `Debug`: it may hold an e-mail address.
pub(crate) enum Buyer {
    Attendee(Uuid),
    Token(String),
    Registration(RegistrationKey),
    Email(AttendeeEmail),
    Registrant(Registrant),
}

/// Whom the registry is asked about. Without `Debug`: it may hold an e-mail address.
#[derive(Clone)]
pub(crate) enum Attendee {
    Id(Uuid),
    /// Somebody whose ID only the registry knows.
    Named(Reference),
}

impl From<Attendee> for AttendeeReference {
    fn from(attendee: Attendee) -> Self {
        let reference = match attendee {
            Attendee::Id(id) => Reference::AttendeeId(id.to_string()),
            Attendee::Named(reference) => reference,
        };
        Self { reference: Some(reference) }
    }
}

/// A purchase link.
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) basis: Basis,
    pub(crate) reason: String,
    pub(crate) attendee: Uuid,
    pub(crate) token: String,
}

/// Where the affiliate of a link comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    Decision,
    Fallback,
    Nobody,
}

/// A purchase link among those of a whole webinar.
pub(crate) struct AttendeeLink {
    pub(crate) attendee: Uuid,
    pub(crate) registration: Option<RegistrationKey>,
    pub(crate) url: String,
    pub(crate) affiliate: Option<AffiliateId>,
}

impl Links {
    /// The buyer as the registry is asked.
    ///
    /// # Errors
    /// A token that no key of ours signed: it names nobody, and the registry need not be asked.
    pub(crate) fn attendee(&self, buyer: Buyer) -> Result<Attendee> {
        Ok(match buyer {
            Buyer::Attendee(id) => Attendee::Id(id),
            Buyer::Token(token) => {
                Attendee::Id(self.tokens.verify(&token).ok_or(Error::UnknownToken)?)
            }
            Buyer::Registration(key) => Attendee::Named(Reference::Registration(key)),
            Buyer::Email(email) => Attendee::Named(Reference::Email(email)),
            Buyer::Registrant(registrant) => Attendee::Named(Reference::Registrant(registrant)),
        })
    }

    /// One purchase link, decided as if bought at `at`. Where the decision names nobody, the fallback stands unless
    /// it is suspended then.
    pub(crate) async fn link(
        &self,
        attendee: Attendee,
        product: &ProductId,
        at: Timestamp,
        fallback: Option<AffiliateId>,
        deadline: Deadline,
    ) -> Result<Link> {
        let preview = self.decisions.preview(attendee, product, at, deadline).await?;
        let reason = &preview.reason;
        let (affiliate, basis, reason) = match (preview.affiliate.clone(), fallback) {
            (Some(affiliate), _) => (Some(affiliate), Basis::Decision, reason.clone()),
            (None, None) => (None, Basis::Nobody, reason.clone()),
            (None, Some(fallback)) => {
                let programme = &preview.programme;
                if self.decisions.is_suspended(programme, &fallback, at, deadline).await? {
                    let reason = format!("{reason}; the fallback {fallback} is suspended");
                    (None, Basis::Nobody, reason)
                } else {
                    let reason = format!("{reason}, so the fallback {fallback} stands");
                    (Some(fallback), Basis::Fallback, reason)
                }
            }
        };
        let attendee = preview.attendee;
        let token = self.tokens.sign(attendee);
        let url = self.public_url.join(&purchase_path(product, affiliate.as_ref(), Some(&token)));
        Ok(Link { url, affiliate, basis, reason, attendee, token })
    }

    /// The purchase links of a webinar's attendees. Each is asked for when the one before was taken.
    pub(crate) async fn webinar(
        &self,
        webinar: &WebinarId,
        product: ProductId,
        at: Timestamp,
        deadline: Deadline,
    ) -> Result<impl Stream<Item = Result<AttendeeLink>> + Send + use<>> {
        let previews = self.registry.previews(webinar, &product, at, deadline).await?;
        let Self { public_url, tokens, .. } = self.clone();
        Ok(previews.map(move |preview| {
            let preview = preview?;
            let token = tokens.sign(preview.attendee);
            let path = purchase_path(&product, preview.affiliate.as_ref(), Some(&token));
            Ok(AttendeeLink {
                attendee: preview.attendee,
                registration: preview.registration,
                url: public_url.join(&path),
                affiliate: preview.affiliate,
            })
        }))
    }

    /// A product's affiliate link.
    pub(crate) async fn affiliate_link(
        &self,
        product: &ProductId,
        affiliate: &AffiliateId,
        deadline: Deadline,
    ) -> Result<String> {
        self.registry.product(product, deadline).await?;
        Ok(self.public_url.join(&affiliate_path(product, affiliate)))
    }
}
