//! Messages in, messages out: reading, one transaction, one `Status` mapping. Nothing else.

use std::sync::Arc;

use futures::future::BoxFuture;
use prost::Message;
use sea_orm::DatabaseTransaction;
use tagalong_attribution::token::KeyRing;
use tagalong_chassis::{clock::Clock, drain::Drain, public_url::PublicUrl, status};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::{
    error::{Error, Result, What},
    field,
    form::Forms,
    inbox::Inbox,
    keys::DataKeys,
    store::{Store, page, requests},
    writing::Writer,
};

mod attendees;
mod catalogue;
mod clicks;
mod deliveries;
mod events;
mod funnel;
mod sales;
mod sources;

/// What every handler needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) writer: Arc<Writer>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) forms: Arc<Forms>,
    pub(crate) keys: DataKeys,
    pub(crate) tokens: KeyRing,
    pub(crate) public_url: PublicUrl,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
}

impl std::ops::Deref for Registry {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Registry {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Now, in microseconds since 1970.
    fn now(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    /// Does a write, once for each request ID: a repeated request gets the same answer.
    async fn once<Q, A, W>(
        &self,
        method: &'static str,
        request_id: &str,
        request: &Q,
        work: W,
    ) -> Result<Response<A>, Status>
    where
        Q: Message,
        A: Message + Default + 'static,
        W: for<'a> FnOnce(&'a DatabaseTransaction, i64) -> BoxFuture<'a, Result<A>>
            + Send
            + 'static,
    {
        let id = field::text("request_id", request_id, field::FOREIGN_ID).map_err(refuse)?;
        let fingerprint = self.keys.fingerprint(method, &request.encode_to_vec());
        let done = self.writer.write(move |db, now| {
            Box::pin(async move {
                if !id.is_empty()
                    && let Some(answer) = requests::answer(db, &id, &fingerprint).await?
                {
                    return A::decode(answer.as_slice()).map_err(Error::internal);
                }
                let answer = work(db, now).await?;
                if !id.is_empty() {
                    let bytes = answer.encode_to_vec();
                    requests::remember(db, &id, method, fingerprint, bytes, now).await?;
                }
                Ok(answer)
            })
        });
        done.await.map(Response::new).map_err(refuse)
    }
}

/// The one place where errors become answers, and where those that are our fault are logged.
pub(crate) fn refuse(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::Invalid(violations) => status::bad_request(
            violations.into_iter().map(|violation| (violation.field, violation.problem)),
        ),
        Error::NotFound { what, .. } => {
            status::refusal(Code::NotFound, what.not_found(), message, &[])
        }
        Error::Exists { what, .. } => {
            status::refusal(Code::AlreadyExists, exists(what), message, &[])
        }
        Error::RequestIdReused(id) => status::refusal(
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            message,
            &[("request_id", id)],
        ),
        Error::Changed { revision, .. } => status::refusal(
            Code::Aborted,
            "REVISION_CHANGED",
            message,
            &[("revision", revision.to_string())],
        ),
        Error::Precondition { reason, .. } => {
            status::refusal(Code::FailedPrecondition, reason, message, &[])
        }
        Error::ClickLogGap { next_position } => status::refusal(
            Code::FailedPrecondition,
            "CLICK_LOG_GAP",
            message,
            &[("next_position", next_position.to_string())],
        ),
        Error::Unavailable(source) => status::unavailable(&source),
        // Logged once, by who committed.
        Error::NotCommitted => status::refusal(Code::Unavailable, "UNAVAILABLE", message, &[]),
        Error::Overloaded => status::refusal(Code::Unavailable, "OVERLOADED", message, &[]),
        Error::Internal(source) => status::internal(source.as_ref()),
    }
}

fn exists(what: What) -> &'static str {
    match what {
        What::Programme => "PROGRAMME_EXISTS",
        What::Affiliate => "AFFILIATE_EXISTS",
        What::Product => "PRODUCT_EXISTS",
        What::Webinar => "WEBINAR_EXISTS",
        What::Attendee => "ATTENDEE_EXISTS",
        What::Sale => "SALE_EXISTS",
        What::Payment => "PAYMENT_EXISTS",
        What::Reversal => "REVERSAL_EXISTS",
        What::Source => "SOURCE_EXISTS",
        What::Delivery => "DELIVERY_EXISTS",
    }
}

/// Reads the key of a page token that is a UUID.
fn after_uuid(list: &str, token: &str) -> Result<Option<Uuid>> {
    let key = page::after(list, token, |key| Uuid::try_parse(key).is_ok())?;
    Ok(key.and_then(|key| Uuid::try_parse(&key).ok()))
}
