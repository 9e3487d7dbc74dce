//! Whose affiliate a purchase link carries, and why.

use jiff::Timestamp;
use tagalong_attribution::{
    id::{AffiliateId, ProductId, WebinarId},
    token::KeyRing,
};
use tagalong_proto::v1::{
    AttendeeEmail, AttendeeReference, RegistrationKey, attendee_reference::Reference,
};
use tokio_stream::{Stream, StreamExt as _};
use uuid::Uuid;

use crate::{
    deadline::Deadline,
    error::{Error, Result},
    public_url::PublicUrl,
    registry::{Preview, Registry},
};

/// What links are made of.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) public_url: PublicUrl,
    pub(crate) registry: Registry,
    pub(crate) tokens: KeyRing,
}

/// How a caller names an attendee. Without `Debug`: it may hold an e-mail address.
pub(crate) enum Buyer {
    Attendee(Uuid),
    Token(String),
    Registration(RegistrationKey),
    Email(AttendeeEmail),
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
    pub(crate) fn reference(&self, buyer: Buyer) -> Result<AttendeeReference> {
        let reference = match buyer {
            Buyer::Attendee(id) => Reference::AttendeeId(id.to_string()),
            Buyer::Token(token) => {
                let id = self.tokens.verify(&token).ok_or(Error::UnknownToken)?;
                Reference::AttendeeId(id.to_string())
            }
            Buyer::Registration(key) => Reference::Registration(key),
            Buyer::Email(email) => Reference::Email(email),
        };
        Ok(AttendeeReference { reference: Some(reference) })
    }

    /// One purchase link, decided as if bought at `at`. Where the decision names nobody, the fallback stands unless
    /// it is suspended then.
    pub(crate) async fn link(
        &self,
        attendee: AttendeeReference,
        product: &ProductId,
        at: Timestamp,
        fallback: Option<AffiliateId>,
        deadline: Deadline,
    ) -> Result<Link> {
        let preview = self.registry.preview(attendee, product, at, deadline).await?;
        let Preview { attendee, programme, affiliate, reason } = preview;
        let (affiliate, basis, reason) = match (affiliate, fallback) {
            (Some(affiliate), _) => (Some(affiliate), Basis::Decision, reason),
            (None, None) => (None, Basis::Nobody, reason),
            (None, Some(fallback)) => {
                let suspended =
                    self.registry.is_suspended(&programme, &fallback, at, deadline).await?;
                if suspended {
                    let reason = format!("{reason}; the fallback {fallback} is suspended");
                    (None, Basis::Nobody, reason)
                } else {
                    let reason = format!("{reason}, so the fallback {fallback} stands");
                    (Some(fallback), Basis::Fallback, reason)
                }
            }
        };
        let token = self.tokens.sign(attendee);
        let url = self.public_url.purchase_link(product, affiliate.as_ref(), &token);
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
            let url = public_url.purchase_link(&product, preview.affiliate.as_ref(), &token);
            Ok(AttendeeLink {
                attendee: preview.attendee,
                registration: preview.registration,
                url,
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
        Ok(self.public_url.affiliate_link(product, affiliate))
    }
}
