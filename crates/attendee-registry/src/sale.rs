//! Orders, payments, reversals and assignments, as they are reported.

use tagalong_attribution::{
    id::{AffiliateId, ProductId, ProgrammeId},
    link::read_click_id,
    token::KeyRing,
};
use tagalong_proto::v1;
use uuid::Uuid;

use crate::{
    catalogue::coupon_code,
    email::Email,
    error::{Error, Result},
    field, time,
};

const MAX_ITEMS: usize = 100;
const MAX_PAYMENTS: usize = 100;
const MAX_PLATFORM_AFFILIATE: usize = 256;

/// An order with everything reported together with it.
pub(crate) struct Order {
    pub(crate) source: String,
    pub(crate) external_id: String,
    pub(crate) programme: ProgrammeId,
    pub(crate) parent: Option<String>,
    pub(crate) ordered_at: Option<i64>,
    pub(crate) test: bool,
    pub(crate) buyer: Buyer,
    pub(crate) items: Vec<Item>,
}

/// What a checkout knows of its buyer.
#[derive(Default)]
pub(crate) struct Buyer {
    pub(crate) token_attendee: Option<Uuid>,
    /// A token was given, and it was not signed by us.
    pub(crate) token_invalid: bool,
    pub(crate) click: Option<Uuid>,
    pub(crate) registration: Option<v1::RegistrationKey>,
    pub(crate) email: Option<Email>,
    pub(crate) coupon: Option<String>,
}

/// One line of an order.
pub(crate) struct Item {
    pub(crate) external_id: String,
    pub(crate) product: Option<ProductId>,
    pub(crate) external_product: String,
    pub(crate) kind: v1::ItemKind,
    pub(crate) price: Option<(i64, String)>,
    pub(crate) platform_affiliate: Option<String>,
    pub(crate) payments: Vec<Payment>,
}

/// An item as the platform names it.
pub(crate) struct ItemKey {
    pub(crate) source: String,
    pub(crate) order: String,
    pub(crate) item: String,
}

/// A payment.
pub(crate) struct Payment {
    pub(crate) external_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) paid_at: Option<i64>,
    pub(crate) sequence: i32,
}

/// A reversal.
pub(crate) struct Reversal {
    pub(crate) external_id: String,
    pub(crate) kind: v1::ReversalKind,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) reversed_at: Option<i64>,
}

impl Order {
    pub(crate) fn read(message: v1::ReportOrderRequest, tokens: &KeyRing) -> Result<Self> {
        let order = field::required("order", message.order)?;
        let external_id =
            field::required_text("order.external_id", &order.external_id, field::FOREIGN_ID)?;
        let parent = field::optional_text(
            "order.parent_external_id",
            &order.parent_external_id,
            field::FOREIGN_ID,
        )?;
        if parent.as_ref() == Some(&external_id) {
            return Err(Error::invalid("order.parent_external_id", "is the order itself"));
        }
        if message.items.is_empty() || message.items.len() > MAX_ITEMS {
            return Err(Error::invalid("items", format!("must be from 1 to {MAX_ITEMS}")));
        }
        let mut items: Vec<Item> = Vec::new();
        for (n, report) in message.items.into_iter().enumerate() {
            let item = Item::read(n, report)?;
            if items.iter().any(|other| other.external_id == item.external_id) {
                let field = format!("items[{n}].item.external_id");
                return Err(Error::invalid(field, "stands twice in the order"));
            }
            items.push(item);
        }
        Ok(Self {
            source: field::required_text("order.source", &order.source, field::FOREIGN_ID)?,
            external_id,
            programme: field::id("order.programme_id", &order.programme_id)?,
            parent,
            ordered_at: time::read("order.ordered_at", order.ordered_at.as_ref())?,
            test: order.test,
            buyer: Buyer::read(message.buyer.unwrap_or_default(), tokens),
            items,
        })
    }
}

impl Buyer {
    /// What is malformed is ignored: an order is never refused for what its buyer's browser carried.
    fn read(message: v1::BuyerReferences, tokens: &KeyRing) -> Self {
        let token = message.token.trim();
        let reference = message.reference.trim();
        let token_attendee = tokens.verify(token).or_else(|| tokens.verify(reference));
        Self {
            token_attendee,
            token_invalid: token_attendee.is_none() && !token.is_empty(),
            click: read_click_id(&message.click_id).or_else(|| read_click_id(reference)),
            registration: message
                .registration
                .and_then(|key| field::registration_key("buyer.registration", &key).ok()),
            email: Email::parse(&message.email).ok(),
            coupon: coupon_code("buyer.coupon_code", &message.coupon_code).ok(),
        }
    }
}

impl Item {
    fn read(n: usize, report: v1::ItemReport) -> Result<Self> {
        let name = |field: &str| format!("items[{n}].item.{field}");
        let item = field::required(&format!("items[{n}].item"), report.item)?;
        let product: Option<ProductId> = field::optional_id(&name("product_id"), &item.product_id)?;
        let external_product = field::text(
            &name("external_product_id"),
            &item.external_product_id,
            field::FOREIGN_ID,
        )?;
        if product.is_none() && external_product.is_empty() {
            return Err(Error::invalid(
                name("external_product_id"),
                "is required where there is no product_id",
            ));
        }
        if report.payments.len() > MAX_PAYMENTS {
            let field = format!("items[{n}].payments");
            return Err(Error::invalid(field, format!("must be at most {MAX_PAYMENTS}")));
        }
        let payments = report
            .payments
            .into_iter()
            .enumerate()
            .map(|(k, payment)| Payment::read(&format!("items[{n}].payments[{k}]"), payment))
            .collect::<Result<_>>()?;
        Ok(Self {
            external_id: field::required_text(
                &name("external_id"),
                &item.external_id,
                field::FOREIGN_ID,
            )?,
            product,
            external_product,
            kind: match field::enumeration(&name("kind"), item.kind)? {
                v1::ItemKind::Unspecified => v1::ItemKind::Main,
                given => given,
            },
            price: item.price.map(|price| field::money(&name("price"), &price)).transpose()?,
            platform_affiliate: item
                .platform_affiliate_id
                .map(|id| {
                    field::text(&name("platform_affiliate_id"), id.trim(), MAX_PLATFORM_AFFILIATE)
                })
                .transpose()?,
            payments,
        })
    }
}

impl ItemKey {
    pub(crate) fn read(field: &str, message: Option<v1::ItemKey>) -> Result<Self> {
        let key = field::required(field, message)?;
        let text = |name: &str, text: &str| {
            field::required_text(&format!("{field}.{name}"), text, field::FOREIGN_ID)
        };
        Ok(Self {
            source: text("source", &key.source)?,
            order: text("order_external_id", &key.order_external_id)?,
            item: text("item_external_id", &key.item_external_id)?,
        })
    }
}

impl Payment {
    pub(crate) fn read(field: &str, message: v1::Payment) -> Result<Self> {
        let name = |part: &str| format!("{field}.{part}");
        let amount = field::required(&name("amount"), message.amount)?;
        let (amount, currency) = field::money(&name("amount"), &amount)?;
        if message.sequence < 0 {
            return Err(Error::invalid(name("sequence"), "must not be negative"));
        }
        Ok(Self {
            external_id: field::required_text(
                &name("external_id"),
                &message.external_id,
                field::FOREIGN_ID,
            )?,
            amount,
            currency,
            paid_at: time::read(&name("paid_at"), message.paid_at.as_ref())?,
            sequence: message.sequence,
        })
    }
}

impl Reversal {
    pub(crate) fn read(message: Option<v1::Reversal>) -> Result<Self> {
        let message = field::required("reversal", message)?;
        let amount = field::required("reversal.amount", message.amount)?;
        let (amount, currency) = field::money("reversal.amount", &amount)?;
        let kind = field::enumeration("reversal.kind", message.kind)?;
        if kind == v1::ReversalKind::Unspecified {
            return Err(Error::invalid("reversal.kind", "is required"));
        }
        Ok(Self {
            external_id: field::required_text(
                "reversal.external_id",
                &message.external_id,
                field::FOREIGN_ID,
            )?,
            kind,
            amount,
            currency,
            reversed_at: time::read("reversal.reversed_at", message.reversed_at.as_ref())?,
        })
    }
}

/// An operator's word on whose an item is.
pub(crate) struct Assignment {
    pub(crate) affiliate: Option<AffiliateId>,
    pub(crate) author: String,
    pub(crate) reason: String,
}

impl Assignment {
    pub(crate) fn read(message: Option<v1::Assignment>) -> Result<Self> {
        let message = field::required("assignment", message)?;
        Ok(Self {
            affiliate: field::optional_id("assignment.affiliate_id", &message.affiliate_id)?,
            author: field::required_text("assignment.author", &message.author, field::FOREIGN_ID)?,
            reason: field::required_text("assignment.reason", &message.reason, field::REASON)?,
        })
    }
}
