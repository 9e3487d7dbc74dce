//! From a payload to a reading, as a preset says.

use serde_json::Value;

use crate::{
    delivery::Payload,
    email::Email,
    money::{self, Money},
    preset::Kind,
    reading::{
        Buyer, Cancellation, EventKind, Item, ItemKind, Notice, Order, Payment, PlatformAffiliate,
        Reading, Registration, Reversal, ReversalKind, ReversedItem, Unmapped,
    },
};

pub(crate) mod document;
pub(crate) mod field;
pub(crate) mod section;
mod time;

use field::{Condition, Each, Field, Scope};
use section::{
    Absent, EventFields, ItemFields, MoneyFields, OrderFields, PaymentFields, RegistrationFields,
    ReversalFields,
};

/// More lines than any order has.
const MAX_ITEMS: usize = 100;
/// Longest name of an affiliate, in characters.
const MAX_AFFILIATE: usize = 256;

/// Where in its payloads a platform says what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mapping<'a> {
    pub(crate) events: Option<&'a EventFields>,
    pub(crate) registration: Option<&'a RegistrationFields>,
    pub(crate) order: Option<&'a OrderFields>,
    pub(crate) item: Option<&'a ItemFields>,
    pub(crate) payment: Option<&'a PaymentFields>,
    pub(crate) reversal: &'a ReversalFields,
    pub(crate) money: Option<&'a MoneyFields>,
}

/// Where an amount went.
#[derive(Clone, Copy)]
enum Flow<'a> {
    /// To the seller.
    In,
    /// To the buyer, less what had gone before. It may stand there as negative or not.
    Back { before: Option<&'a Field> },
}

impl Mapping<'_> {
    /// Reads a payload of a platform of this kind.
    pub(crate) fn read(&self, platform: Kind, payload: &Payload) -> Result<Reading, Unmapped> {
        let root = &document::fold(payload)?;
        let scope = Scope { payload, root, item: root };
        let events = self.events.ok_or(Unmapped::Draft)?;
        let event = text(events.name.as_ref(), scope).unwrap_or_default();
        let kind = events.kind(&event, root)?;
        let test = events.test.as_ref().is_some_and(|condition| condition.holds(root));
        let notice = match kind {
            EventKind::Test | EventKind::Ignored => None,
            EventKind::Registration => Some(Notice::Registration(self.registration(scope)?)),
            EventKind::Attendance => Some(Notice::Attendance(self.registration(scope)?)),
            EventKind::Cancelled if platform == Kind::Checkout => {
                Some(Notice::OrderCancelled(self.cancellation(scope)?))
            }
            EventKind::Cancelled => Some(Notice::RegistrationCancelled(self.registration(scope)?)),
            EventKind::Payment | EventKind::Rebill => Some(Notice::Order(self.order(scope, true)?)),
            EventKind::Pending | EventKind::Trial => Some(Notice::Order(self.order(scope, false)?)),
            EventKind::Refund => {
                Some(Notice::Reversal(self.reversal(scope, ReversalKind::Refund)?))
            }
            EventKind::Chargeback => {
                Some(Notice::Reversal(self.reversal(scope, ReversalKind::Chargeback)?))
            }
            EventKind::WonBack => {
                Some(Notice::Reversal(self.reversal(scope, ReversalKind::WonBack)?))
            }
        };
        let delivery_id = events.id.as_ref().and_then(|id| id.text(scope));
        Ok(Reading { event, kind, delivery_id, test: test || kind == EventKind::Test, notice })
    }

    fn registration(&self, scope: Scope<'_>) -> Result<Registration, Unmapped> {
        let fields = self.registration.ok_or(Unmapped::Draft)?;
        let id = fields.id.as_ref().and_then(|id| id.optional_id(scope));
        let email = text(fields.email.as_ref(), scope).and_then(|text| Email::read(&text));
        if id.is_none() && email.is_none() {
            let paths: Vec<_> =
                [&fields.id, &fields.email].into_iter().flatten().map(Field::path).collect();
            return Err(Unmapped::Missing { key: "registration.id", path: paths.join(" or ") });
        }
        Ok(Registration {
            webinar: optional_id(fields.webinar.as_ref(), scope),
            id,
            session: optional_id(fields.session.as_ref(), scope),
            email,
            affiliate: text(fields.affiliate.as_ref(), scope),
            click: text(fields.click.as_ref(), scope),
            at: moment(fields.at.as_ref(), scope),
        })
    }

    fn order(&self, scope: Scope<'_>, paid: bool) -> Result<Order, Unmapped> {
        let (Some(order), Some(item)) = (self.order, self.item) else {
            return Err(Unmapped::Draft);
        };
        let id = order.id.id("order.id", scope)?;
        let of_order = item_kind(item, scope.root);
        let mut items: Vec<Item> = Vec::new();
        for line in lines(item.each.as_ref(), scope.root)? {
            let scope = Scope { item: line, ..scope };
            let item = self.item(&id, of_order, scope, paid)?;
            items.push(Item {
                id: distinct(&item.id, |id| items.iter().any(|i| i.id == id)),
                ..item
            });
        }
        Ok(Order {
            parent: optional_id(order.parent.as_ref(), scope).filter(|parent| *parent != id),
            ordered_at: moment(order.at.as_ref(), scope),
            buyer: Buyer {
                reference: text(order.reference.as_ref(), scope),
                click: text(order.click.as_ref(), scope),
                email: text(order.email.as_ref(), scope).and_then(|text| Email::read(&text)),
                coupon: text(order.coupon.as_ref(), scope),
            },
            items,
            id,
        })
    }

    fn item(
        &self,
        order_id: &str,
        of_order: ItemKind,
        scope: Scope<'_>,
        paid: bool,
    ) -> Result<Item, Unmapped> {
        let (Some(order), Some(item)) = (self.order, self.item) else {
            return Err(Unmapped::Draft);
        };
        let affiliate = item.affiliate.as_ref().or(order.affiliate.as_ref());
        let priced = self.money.is_some_and(|money| money.currency.text(scope).is_some());
        let price = item.price.as_ref().filter(|price| priced && price.text(scope).is_some());
        Ok(Item {
            id: item_id(item.id.as_ref(), order_id, scope)?,
            product: item.product.id("item.product", scope)?,
            kind: match item_kind(item, scope.item) {
                ItemKind::Main => of_order,
                kind => kind,
            },
            price: price
                .map(|price| self.amount("item.price", price, Flow::In, scope))
                .transpose()?,
            affiliate: platform_affiliate(affiliate, order.affiliate_absent, scope)?,
            payment: self
                .payment
                .filter(|_| paid)
                .map_or(Ok(None), |it| self.payment(it, scope))?,
        })
    }

    fn payment(
        &self,
        fields: &PaymentFields,
        scope: Scope<'_>,
    ) -> Result<Option<Payment>, Unmapped> {
        if fields.optional && fields.amount.text(scope).is_none() {
            return Ok(None);
        }
        let sequence = text(fields.sequence.as_ref(), scope).and_then(|text| text.parse().ok());
        Ok(Some(Payment {
            id: fields.id.id("payment.id", scope)?,
            amount: self.amount("payment.amount", &fields.amount, Flow::In, scope)?,
            at: moment(fields.at.as_ref(), scope),
            sequence: sequence.filter(|n| *n > 0),
        }))
    }

    fn reversal(&self, scope: Scope<'_>, kind: ReversalKind) -> Result<Reversal, Unmapped> {
        let (Some(order), Some(item)) = (self.order, self.item) else {
            return Err(Unmapped::Draft);
        };
        let (fields, payment) = (self.reversal, self.payment);
        let id =
            fields.id.as_ref().or(payment.map(|payment| &payment.id)).ok_or(Unmapped::Draft)?;
        let amount = fields
            .amount
            .as_ref()
            .or(payment.map(|payment| &payment.amount))
            .ok_or(Unmapped::Draft)?;
        let at = fields.at.as_ref().or(payment.and_then(|payment| payment.at.as_ref()));
        let order = fields.order.as_ref().unwrap_or(&order.id).id("order.id", scope)?;
        let mut items: Vec<ReversedItem> = Vec::new();
        for line in lines(fields.each.as_ref().or(item.each.as_ref()), scope.root)? {
            let scope = Scope { item: line, ..scope };
            let item = item_id(fields.item.as_ref().or(item.id.as_ref()), &order, scope)?;
            items.push(ReversedItem {
                item: distinct(&item, |id| items.iter().any(|i| i.item == id)),
                id: id.id("reversal.id", scope)?,
                amount: self.amount(
                    "reversal.amount",
                    amount,
                    Flow::Back { before: fields.before.as_ref() },
                    scope,
                )?,
            });
        }
        Ok(Reversal { order, kind, items, at: moment(at, scope) })
    }

    fn cancellation(&self, scope: Scope<'_>) -> Result<Cancellation, Unmapped> {
        let (Some(order), Some(item)) = (self.order, self.item) else {
            return Err(Unmapped::Draft);
        };
        let order = order.id.id("order.id", scope)?;
        let items = lines(item.each.as_ref(), scope.root)?
            .into_iter()
            .map(|line| item_id(item.id.as_ref(), &order, Scope { item: line, ..scope }))
            .collect::<Result<_, _>>()?;
        Ok(Cancellation { order, items })
    }

    /// An amount that must be there.
    fn amount(
        &self,
        key: &'static str,
        field: &Field,
        flow: Flow<'_>,
        scope: Scope<'_>,
    ) -> Result<Money, Unmapped> {
        let money = self.money.ok_or(Unmapped::Draft)?;
        let amount = field.required(key, scope)?;
        let currency = money.currency.required("money.currency", scope)?;
        let currency = money::currency(&currency)
            .ok_or_else(|| money.currency.malformed("money.currency", "an ISO 4217 currency"))?;
        let quantity = match flow {
            Flow::In => text(self.item.and_then(|item| item.quantity.as_ref()), scope),
            Flow::Back { .. } => None,
        };
        let quantity = quantity.and_then(|text| whole_number(&text)).unwrap_or(1);
        let read = |text: &str| money::minor_units(text, money.unit, currency, quantity);
        let minor_units =
            read(&amount).map_err(|money::NotAnAmount| field.malformed(key, "an amount"))?;
        let minor_units = match flow {
            Flow::In if minor_units < 0 => {
                return Err(field.malformed(key, "an amount of 0 or more"));
            }
            Flow::In => minor_units,
            Flow::Back { before } => {
                let before = text(before, scope).and_then(|text| read(&text).ok()).unwrap_or(0);
                (minor_units.abs() - before.abs()).max(0)
            }
        };
        Ok(Money { minor_units, currency: currency.code().to_owned() })
    }
}

fn text(field: Option<&Field>, scope: Scope<'_>) -> Option<String> {
    field.and_then(|field| field.text(scope))
}

fn optional_id(field: Option<&Field>, scope: Scope<'_>) -> Option<String> {
    field.and_then(|field| field.optional_id(scope))
}

fn moment(field: Option<&Field>, scope: Scope<'_>) -> Option<jiff::Timestamp> {
    text(field, scope).and_then(|text| time::read(&text))
}

/// `2`, `2.0`.
fn whole_number(text: &str) -> Option<u32> {
    text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok()
}

/// The lines of an order. Without any the order is its only line.
fn lines<'a>(each: Option<&Each>, root: &'a Value) -> Result<Vec<&'a Value>, Unmapped> {
    let lines = each.map(|each| each.of(root)).unwrap_or_default();
    if lines.len() > MAX_ITEMS {
        let path = each.map_or_else(String::new, Each::path);
        return Err(Unmapped::Malformed { key: "item.each", path, expected: "at most 100 lines" });
    }
    Ok(if lines.is_empty() { vec![root] } else { lines })
}

/// How a line came into its order, or all lines of an order into it.
fn item_kind(fields: &ItemFields, value: &Value) -> ItemKind {
    let holds = |condition: &Option<Condition>| {
        condition.as_ref().is_some_and(|condition| condition.holds(value))
    };
    if holds(&fields.bump) {
        ItemKind::Bump
    } else if holds(&fields.upsell) {
        ItemKind::Upsell
    } else {
        ItemKind::Main
    }
}

/// Where lines have no ID there is one line, which is the order.
fn item_id(field: Option<&Field>, order: &str, scope: Scope<'_>) -> Result<String, Unmapped> {
    field.map_or_else(|| Ok(order.to_owned()), |field| field.id("item.id", scope))
}

/// The ID, numbered where it stands in the order already: the same product twice.
fn distinct(id: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(id) {
        return id.to_owned();
    }
    let numbered = (2..=MAX_ITEMS + 1).map(|n| format!("{id}#{n}")).find(|id| !taken(id));
    numbered.unwrap_or_else(|| id.to_owned())
}

fn platform_affiliate(
    field: Option<&Field>,
    absent: Absent,
    scope: Scope<'_>,
) -> Result<PlatformAffiliate, Unmapped> {
    let Some(field) = field else { return Ok(PlatformAffiliate::Unsaid) };
    match field.text(scope) {
        Some(name)
            if name.chars().count() > MAX_AFFILIATE || name.chars().any(char::is_control) =>
        {
            Err(field.malformed("order.affiliate", "a text of at most 256 characters"))
        }
        Some(name) => Ok(PlatformAffiliate::Named(name)),
        None if field.exists(scope) => Ok(PlatformAffiliate::Nobody),
        None => Ok(match absent {
            Absent::Unsaid => PlatformAffiliate::Unsaid,
            Absent::Nobody => PlatformAffiliate::Nobody,
        }),
    }
}
