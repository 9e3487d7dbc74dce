//! A reading in lines, for people: what `tagalong preset test` prints.

use std::fmt;

use iso_currency::Currency;

use super::{
    Buyer, ItemKind, Notice, Order, PlatformAffiliate, Reading, Registration, Reversal,
    ReversalKind,
};
use crate::money::Money;

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "event", or_none(&self.event))?;
        line(f, "kind", self.kind.name())?;
        if self.test {
            line(f, "test", "yes")?;
        }
        optional(f, "delivery", self.delivery_id.as_ref())?;
        match &self.notice {
            None => Ok(()),
            Some(
                Notice::Registration(registration)
                | Notice::Attendance(registration)
                | Notice::RegistrationCancelled(registration),
            ) => registration.outline(f),
            Some(Notice::Order(order)) => order.outline(f),
            Some(Notice::Reversal(reversal)) => reversal.outline(f),
            Some(Notice::OrderCancelled(cancellation)) => {
                line(f, "order", &cancellation.order)?;
                cancellation.items.iter().try_for_each(|item| line(f, "item", item))
            }
        }
    }
}

impl Registration {
    fn outline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        optional(f, "webinar", self.webinar.as_ref())?;
        optional(f, "registration", self.id.as_ref())?;
        optional(f, "session", self.session.as_ref())?;
        optional(f, "email", self.email.as_ref())?;
        line(f, "affiliate", self.affiliate.as_deref().unwrap_or("none"))?;
        optional(f, "click", self.click.as_ref())?;
        optional(f, "at", self.at.as_ref())
    }
}

impl Order {
    fn outline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "order", &self.id)?;
        optional(f, "follows", self.parent.as_ref())?;
        optional(f, "ordered at", self.ordered_at.as_ref())?;
        let Buyer { reference, click, email, coupon } = &self.buyer;
        optional(f, "reference", reference.as_ref())?;
        optional(f, "click", click.as_ref())?;
        optional(f, "email", email.as_ref())?;
        optional(f, "coupon", coupon.as_ref())?;
        for item in &self.items {
            line(f, "item", &item.id)?;
            line(f, "  product", &item.product)?;
            match item.kind {
                ItemKind::Main => {}
                ItemKind::Upsell => line(f, "  bought", "as an upsell")?,
                ItemKind::Bump => line(f, "  bought", "as a bump")?,
            }
            optional(f, "  price", item.price.as_ref())?;
            match &item.affiliate {
                PlatformAffiliate::Unsaid => line(f, "  affiliate", "not said")?,
                PlatformAffiliate::Nobody => line(f, "  affiliate", "nobody")?,
                PlatformAffiliate::Named(name) => line(f, "  affiliate", name)?,
            }
            if let Some(payment) = &item.payment {
                line(f, "  payment", &payment.id)?;
                line(f, "    amount", &payment.amount)?;
                optional(f, "    at", payment.at.as_ref())?;
                optional(f, "    number", payment.sequence.as_ref())?;
            }
        }
        Ok(())
    }
}

impl Reversal {
    fn outline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "order", &self.order)?;
        optional(f, "at", self.at.as_ref())?;
        for item in &self.items {
            line(f, "item", &item.item)?;
            let what = match self.kind {
                ReversalKind::Refund => "  refund",
                ReversalKind::Chargeback => "  chargeback",
                ReversalKind::WonBack => "  won back",
            };
            line(f, what, &item.id)?;
            line(f, "    amount", &item.amount)?;
        }
        Ok(())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent =
            Currency::from_code(&self.currency).and_then(Currency::exponent).map_or(2, usize::from);
        let digits = format!("{:0width$}", self.minor_units, width = exponent + 1);
        let (whole, part) = digits.split_at(digits.len() - exponent);
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "{whole}{point}{part} {}", self.currency)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:14} {value}")
}

fn optional(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    value: Option<&impl fmt::Display>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| line(f, name, value))
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
