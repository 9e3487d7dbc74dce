//! What a preset may say of its platform's payloads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Mapping,
    field::{Condition, Each, Field},
};
use crate::{
    money::Unit,
    reading::{EventKind, Unmapped},
};

/// `[events]`: what happened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventFields {
    pub(super) name: Option<Field>,
    #[serde(default)]
    kinds: BTreeMap<String, Kinds>,
    /// Where the payload names no event.
    unnamed: Option<Kinds>,
    /// What every other event is; none where one is to be parked.
    unknown: Option<Kinds>,
    #[serde(default)]
    pub(super) test: Option<Condition>,
    pub(super) id: Option<Field>,
}

/// What an event is, perhaps under conditions.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a kind of event, or a list of tables with kind and when")]
enum Kinds {
    Always(EventKind),
    Cases(Vec<Case>),
}

/// The first case whose condition holds counts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    when: Option<Condition>,
    kind: EventKind,
}

/// `[registration]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationFields {
    pub(super) webinar: Option<Field>,
    pub(super) id: Option<Field>,
    pub(super) session: Option<Field>,
    pub(super) email: Option<Field>,
    pub(super) affiliate: Option<Field>,
    pub(super) click: Option<Field>,
    pub(super) at: Option<Field>,
}

/// `[order]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderFields {
    pub(super) id: Field,
    pub(super) parent: Option<Field>,
    pub(super) at: Option<Field>,
    pub(super) reference: Option<Field>,
    pub(super) click: Option<Field>,
    pub(super) email: Option<Field>,
    pub(super) coupon: Option<Field>,
    pub(super) affiliate: Option<Field>,
    #[serde(default)]
    pub(super) affiliate_absent: Absent,
}

/// What it means that a payload has no field for the affiliate.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Absent {
    #[default]
    Unsaid,
    Nobody,
}

/// `[item]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemFields {
    pub(super) each: Option<Each>,
    pub(super) id: Option<Field>,
    pub(super) product: Field,
    pub(super) price: Option<Field>,
    /// Where prices and payments are those of one piece.
    pub(super) quantity: Option<Field>,
    pub(super) affiliate: Option<Field>,
    pub(super) upsell: Option<Condition>,
    pub(super) bump: Option<Condition>,
}

/// `[payment]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentFields {
    pub(super) id: Field,
    pub(super) amount: Field,
    /// Whether an order that tells of no amount is taken without a payment.
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) at: Option<Field>,
    pub(super) sequence: Option<Field>,
}

/// `[reversal]`: whatever is left out is as in `[order]`, `[item]` and `[payment]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReversalFields {
    pub(super) order: Option<Field>,
    pub(super) each: Option<Each>,
    pub(super) item: Option<Field>,
    pub(super) id: Option<Field>,
    pub(super) amount: Option<Field>,
    /// What had gone back before, where `amount` is what went back altogether.
    pub(super) before: Option<Field>,
    pub(super) at: Option<Field>,
}

/// `[money]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoneyFields {
    pub(super) currency: Field,
    #[serde(default)]
    pub(super) unit: Unit,
}

impl Mapping<'_> {
    /// What a preset says too little for: the key, and why it is needed.
    pub(crate) fn gap(&self) -> Option<(&'static str, &'static str)> {
        let Some(events) = self.events else { return Some(("events", "is required")) };
        if events.name.is_none() && events.unnamed.is_none() {
            return Some(("events.name", "is required where there is no events.unnamed"));
        }
        let any = |wanted: &[EventKind]| events.all_kinds().any(|kind| wanted.contains(&kind));
        let registers = any(&[EventKind::Registration, EventKind::Attendance]);
        if registers && self.registration.is_none() {
            return Some(("registration", "is required by a kind of events.kinds"));
        }
        if self.registration.is_some_and(|fields| fields.id.is_none() && fields.email.is_none()) {
            return Some(("registration.id", "is required where there is no registration.email"));
        }
        let reverses = any(&[EventKind::Refund, EventKind::Chargeback, EventKind::WonBack]);
        if any(&[EventKind::Payment, EventKind::Rebill, EventKind::Pending, EventKind::Trial])
            || reverses
        {
            if self.order.is_none() {
                return Some(("order", "is required by a kind of events.kinds"));
            }
            if self.item.is_none() {
                return Some(("item", "is required by a kind of events.kinds"));
            }
        }
        if reverses && self.payment.is_none() {
            if self.reversal.id.is_none() {
                return Some(("reversal.id", "is required where there is no payment.id"));
            }
            if self.reversal.amount.is_none() {
                return Some(("reversal.amount", "is required where there is no payment.amount"));
            }
        }
        let priced = self.item.is_some_and(|item| item.price.is_some());
        if (priced || reverses || self.payment.is_some()) && self.money.is_none() {
            return Some(("money.currency", "is required where there are amounts"));
        }
        None
    }

    /// Lower-case names of the headers that are read.
    pub(crate) fn headers(&self) -> Vec<String> {
        let names = self.fields().into_iter().flat_map(Field::headers).map(str::to_owned);
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names
    }

    fn fields(&self) -> Vec<&Field> {
        let mut fields = Vec::new();
        if let Some(EventFields { name, id, .. }) = self.events {
            fields.extend([name, id].into_iter().flatten());
        }
        if let Some(registration) = self.registration {
            let RegistrationFields { webinar, id, session, email, affiliate, click, at } =
                registration;
            fields
                .extend([webinar, id, session, email, affiliate, click, at].into_iter().flatten());
        }
        if let Some(order) = self.order {
            let OrderFields { id, parent, at, reference, click, email, coupon, affiliate, .. } =
                order;
            fields.push(id);
            let optional = [parent, at, reference, click, email, coupon, affiliate];
            fields.extend(optional.into_iter().flatten());
        }
        if let Some(ItemFields { id, product, price, quantity, affiliate, .. }) = self.item {
            fields.push(product);
            fields.extend([id, price, quantity, affiliate].into_iter().flatten());
        }
        if let Some(PaymentFields { id, amount, at, sequence, .. }) = self.payment {
            fields.extend([id, amount]);
            fields.extend([at, sequence].into_iter().flatten());
        }
        let ReversalFields { order, item, id, amount, before, at, .. } = self.reversal;
        fields.extend([order, item, id, amount, before, at].into_iter().flatten());
        fields.extend(self.money.map(|money| &money.currency));
        fields
    }
}

impl EventFields {
    fn all_kinds(&self) -> impl Iterator<Item = EventKind> + '_ {
        self.kinds.values().chain(&self.unnamed).chain(&self.unknown).flat_map(
            |kinds| match kinds {
                Kinds::Always(kind) => vec![*kind],
                Kinds::Cases(cases) => cases.iter().map(|case| case.kind).collect(),
            },
        )
    }

    /// What an event is.
    pub(super) fn kind(&self, event: &str, root: &Value) -> Result<EventKind, Unmapped> {
        let kinds = if event.is_empty() {
            self.unnamed.as_ref()
        } else {
            let mut named = self.kinds.iter();
            named.find(|(name, _)| name.eq_ignore_ascii_case(event)).map(|(_, kinds)| kinds)
        };
        let kind = kinds.and_then(|kinds| kinds.of(root));
        kind.or_else(|| self.unknown.as_ref()?.of(root)).ok_or_else(|| Unmapped::Event {
            path: self.name.as_ref().map_or_else(String::new, Field::path),
        })
    }
}

impl Kinds {
    fn of(&self, root: &Value) -> Option<EventKind> {
        match self {
            Self::Always(kind) => Some(*kind),
            Self::Cases(cases) => cases
                .iter()
                .find(|case| case.when.as_ref().is_none_or(|condition| condition.holds(root)))
                .map(|case| case.kind),
        }
    }
}
