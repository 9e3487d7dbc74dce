//! What a delivery says, told the registry as a caller of its gRPC services would.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sea_orm::{DatabaseTransaction, TransactionTrait as _};
use tagalong_attribution::{link::read_click_id, token::KeyRing};
use tagalong_chassis::status;
use tagalong_integrations::{
    Reading, Unmapped,
    money::Money,
    reading::{
        Buyer, Item, ItemKind, Notice, Order, PlatformAffiliate, Registration, Reversal,
        ReversalKind,
    },
};
use tagalong_proto::v1;

use super::{internal, problem};
use crate::{
    email::Email,
    error::{Error, Result},
    keys::DataKeys,
    sale,
    store::{
        attendees::{self, Report},
        deliveries::{Outcome, Problem, Taken, waits_for_product},
        entity::source,
        sales, sources,
    },
    time::to_proto,
};

/// Takes what one delivery of a source says.
pub(super) struct Taker {
    pub(super) keys: DataKeys,
    pub(super) tokens: KeyRing,
    pub(super) source: source::Model,
    /// Stands for times that the platform does not say.
    pub(super) received_at: i64,
}

/// What keeps a delivery from being taken.
enum Stop {
    /// It stays so until something is mended.
    Park(Problem),
    /// Not now.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) | Error::NotCommitted | Error::Overloaded => Self::Fail(error),
            Error::Internal(source) => {
                tracing::error!(error = status::chain(source.as_ref()), "a delivery is parked");
                Self::Park(internal())
            }
            Error::Invalid(violations) => {
                let first = violations.into_iter().next();
                let (path, message) =
                    first.map(|first| (first.field, first.problem)).unwrap_or_default();
                Self::Park(problem("REFUSED", path, message))
            }
            refused => Self::Park(problem("REFUSED", String::new(), refused.to_string())),
        }
    }
}

type Step<T> = Result<T, Stop>;

impl Taker {
    /// Takes everything a delivery says, or nothing and says why. Done again, it changes nothing.
    pub(super) async fn take(
        &self,
        db: &DatabaseTransaction,
        reading: &Reading,
        now: i64,
    ) -> Result<Outcome> {
        let savepoint = db.begin().await?;
        let result = match self.report(&savepoint, reading, now).await {
            Ok(taken) => {
                savepoint.commit().await?;
                taken
            }
            Err(Stop::Fail(error)) => {
                savepoint.rollback().await?;
                return Err(error);
            }
            Err(Stop::Park(problem)) => {
                savepoint.rollback().await?;
                Err(problem)
            }
        };
        let emails = email(reading.notice.as_ref()).map(|email| self.keys.email_hashes(&email));
        Ok(Outcome { kind: reading.kind.name(), emails: emails.unwrap_or_default(), result })
    }

    async fn report(
        &self,
        db: &DatabaseTransaction,
        reading: &Reading,
        now: i64,
    ) -> Step<Result<Taken, Problem>> {
        match &reading.notice {
            // Who attended had registered: the report of it may have been lost, or be still to come.
            Some(Notice::Registration(new) | Notice::Attendance(new)) => {
                let request = self.registration(db, new, reading.test).await?;
                let report = Report::read(request, &self.keys)?;
                attendees::register(db, &self.keys, &[report], now).await?.remove(0)?;
                Ok(Ok(Taken::Everything))
            }
            Some(Notice::Order(new)) => {
                let request = self.order(new, reading.test)?;
                let order = sale::Order::read(request, &self.tokens)?;
                sales::report(db, &self.keys, &order, now).await?;
                Ok(self.find_unknown(db, &order).await?.map_or(Ok(Taken::Everything), Err))
            }
            Some(Notice::Reversal(new)) => {
                for (key, reversal) in self.reversals(new)? {
                    let item = sales::item_by_key(db, &key).await?;
                    sales::add_reversal(db, &key, &reversal, item.as_ref(), now).await?;
                }
                Ok(Ok(Taken::Everything))
            }
            // No money moved, and a registration that was cancelled still shows who brought the person.
            Some(Notice::RegistrationCancelled(_) | Notice::OrderCancelled(_)) | None => {
                Ok(Ok(Taken::Nothing))
            }
        }
    }

    async fn registration(
        &self,
        db: &DatabaseTransaction,
        new: &Registration,
        test: bool,
    ) -> Step<v1::RegisterAttendeeRequest> {
        let external_webinar = new.webinar.clone().unwrap_or_default();
        let webinar = sources::webinar(db, &self.source.id, &external_webinar).await?;
        let webinar = webinar.ok_or_else(|| {
            let message = if external_webinar.is_empty() {
                format!("source {} names no webinar for all of its registrations", self.source.id)
            } else {
                format!("source {} names no webinar {external_webinar}", self.source.id)
            };
            Stop::Park(problem("WEBINAR_UNKNOWN", String::new(), message))
        })?;
        let email = address(new.email.as_ref());
        // An address must not become an ID, which is kept as it is.
        let external_id = match (&new.id, &email) {
            (Some(id), _) if !id.contains('@') => id.clone(),
            (Some(id), _) => self.pseudonym(&[&webinar, id]),
            (None, Some(email)) => self.pseudonym(&[&webinar, email.expose()]),
            (None, None) => {
                let message = "neither a registration's ID nor an e-mail address".to_owned();
                return Err(Stop::Park(problem("UNREADABLE", String::new(), message)));
            }
        };
        Ok(v1::RegisterAttendeeRequest {
            request_id: String::new(),
            webinar_id: webinar,
            keep_email: self.source.keep_emails && email.is_some(),
            email: email.map(|email| email.expose().to_owned()).unwrap_or_default(),
            affiliate_id: new.affiliate.clone().unwrap_or_default(),
            programme_id: self.source.programme.clone().unwrap_or_default(),
            key: Some(v1::RegistrationKey {
                source: self.source.id.clone(),
                external_webinar_id: external_webinar,
                external_id,
            }),
            session_id: new.session.clone().unwrap_or_default(),
            registered_at: Some(self.time(new.at)),
            click_id: click(new.click.as_deref()),
            unverified: false,
            test,
        })
    }

    /// A name for a registration whose tool gives it none.
    fn pseudonym(&self, of: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.keys.fingerprint("registration", of.join("\n").as_bytes()))
    }

    fn order(&self, new: &Order, test: bool) -> Step<v1::ReportOrderRequest> {
        let programme = self.source.programme.clone().ok_or_else(|| {
            let message = format!("source {} names no programme for its orders", self.source.id);
            Stop::Park(problem("PROGRAMME_MISSING", String::new(), message))
        })?;
        Ok(v1::ReportOrderRequest {
            request_id: String::new(),
            order: Some(v1::Order {
                source: self.source.id.clone(),
                external_id: new.id.clone(),
                programme_id: programme,
                parent_external_id: new.parent.clone().unwrap_or_default(),
                ordered_at: Some(self.time(new.ordered_at)),
                test,
                ..v1::Order::default()
            }),
            buyer: Some(buyer(&new.buyer)),
            items: new.items.iter().map(|item| self.item(item)).collect(),
        })
    }

    fn item(&self, new: &Item) -> v1::ItemReport {
        let kind = match new.kind {
            ItemKind::Main => v1::ItemKind::Main,
            ItemKind::Upsell => v1::ItemKind::Upsell,
            ItemKind::Bump => v1::ItemKind::Bump,
        };
        let payment = new.payment.as_ref().map(|payment| v1::Payment {
            external_id: payment.id.clone(),
            amount: Some(money(&payment.amount)),
            paid_at: Some(self.time(payment.at)),
            sequence: payment.sequence.and_then(|n| i32::try_from(n).ok()).unwrap_or_default(),
        });
        v1::ItemReport {
            item: Some(v1::Item {
                id: String::new(),
                external_id: new.id.clone(),
                product_id: String::new(),
                external_product_id: new.product.clone(),
                kind: kind.into(),
                price: new.price.as_ref().map(money),
                platform_affiliate_id: match &new.affiliate {
                    PlatformAffiliate::Unsaid => None,
                    PlatformAffiliate::Nobody => Some(String::new()),
                    PlatformAffiliate::Named(name) => Some(name.clone()),
                },
            }),
            payments: payment.into_iter().collect(),
        }
    }

    /// Why an order that was taken waits all the same.
    async fn find_unknown(
        &self,
        db: &DatabaseTransaction,
        order: &sale::Order,
    ) -> Step<Option<Problem>> {
        let Some(row) = sales::order_by_key(db, &order.source, &order.external_id).await? else {
            return Ok(None);
        };
        let items = sales::items_of_order(db, row.id).await?;
        let reported = |id: &str| order.items.iter().any(|item| item.external_id == id);
        let unknown =
            items.into_iter().find(|item| item.product.is_none() && reported(&item.external_id));
        Ok(unknown.map(|item| {
            let (programme, product) = (item.programme, item.external_product);
            Problem {
                waits_for: Some(waits_for_product(&programme, &product)),
                ..problem(
                    "PRODUCT_UNKNOWN",
                    String::new(),
                    format!("no product of programme {programme} has the external ID {product}"),
                )
            }
        }))
    }

    fn reversals(&self, new: &Reversal) -> Step<Vec<(sale::ItemKey, sale::Reversal)>> {
        let kind = match new.kind {
            ReversalKind::Refund => v1::ReversalKind::Refund,
            ReversalKind::Chargeback => v1::ReversalKind::Chargeback,
            ReversalKind::WonBack => v1::ReversalKind::WonBack,
        };
        let mut reversals = Vec::new();
        for reversed in &new.items {
            let key = v1::ItemKey {
                source: self.source.id.clone(),
                order_external_id: new.order.clone(),
                item_external_id: reversed.item.clone(),
            };
            let reversal = v1::Reversal {
                external_id: reversed.id.clone(),
                kind: kind.into(),
                amount: Some(money(&reversed.amount)),
                reversed_at: Some(self.time(new.at)),
                exceeds_payments: false,
            };
            let key = sale::ItemKey::read("item", Some(key))?;
            reversals.push((key, sale::Reversal::read(Some(reversal))?));
        }
        Ok(reversals)
    }

    fn time(&self, said: Option<Timestamp>) -> prost_types::Timestamp {
        to_proto(said.map_or(self.received_at, |at| at.as_microsecond().min(self.received_at)))
    }
}

/// Why a delivery cannot be read.
pub(super) fn unreadable(unmapped: &Unmapped) -> Problem {
    let (reason, path) = match unmapped {
        Unmapped::Draft => ("PRESET_DRAFT", ""),
        Unmapped::Body => ("UNREADABLE", ""),
        Unmapped::Event { path }
        | Unmapped::Missing { path, .. }
        | Unmapped::Malformed { path, .. } => ("UNREADABLE", path.as_str()),
    };
    problem(reason, path.to_owned(), unmapped.to_string())
}

/// The address a notice holds, where it is one.
fn email(notice: Option<&Notice>) -> Option<Email> {
    match notice? {
        Notice::Registration(registration)
        | Notice::Attendance(registration)
        | Notice::RegistrationCancelled(registration) => address(registration.email.as_ref()),
        Notice::Order(order) => address(order.buyer.email.as_ref()),
        Notice::Reversal(_) | Notice::OrderCancelled(_) => None,
    }
}

fn address(email: Option<&tagalong_integrations::Email>) -> Option<Email> {
    Email::parse(email?.expose()).ok()
}

fn buyer(new: &Buyer) -> v1::BuyerReferences {
    v1::BuyerReferences {
        token: String::new(),
        reference: new.reference.clone().unwrap_or_default(),
        click_id: click(new.click.as_deref()),
        registration: None,
        email: new.email.as_ref().map(|email| email.expose().to_owned()).unwrap_or_default(),
        coupon_code: new.coupon.clone().unwrap_or_default(),
    }
}

/// A click's ID; what stood in its field and is none is none.
fn click(text: Option<&str>) -> String {
    text.and_then(read_click_id).map(|id| id.to_string()).unwrap_or_default()
}

fn money(money: &Money) -> v1::Money {
    v1::Money { minor_units: money.minor_units, currency: money.currency.clone() }
}
