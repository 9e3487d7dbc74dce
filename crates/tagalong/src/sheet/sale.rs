//! One row of a checkout's list.

use jiff::Timestamp;

use super::{Edge, Field, Problem, Row};

/// What became of the money of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Money {
    /// It arrived.
    Paid,
    /// It arrived, and went back: the row is the order, not the reversal.
    PaidBack,
    /// The seller paid back.
    Refund,
    /// The buyer's bank took it back.
    Chargeback,
    /// A disputed payment came back to the seller.
    WonBack,
    /// None arrived: pending, failed, cancelled, in trial.
    Unpaid,
    /// None was meant to arrive.
    Test,
}

/// How a line came into its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// What the buyer came for.
    Main,
    /// Bought on a page after it.
    Upsell,
    /// Ticked beside it.
    Bump,
}

/// What was sold, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sale {
    /// The platform's ID of the order, or where it has none, of the transaction.
    pub(crate) order: String,
    /// The order this one follows; empty for none.
    pub(crate) parent: String,
    /// The platform's ID of the line; where it has none, the product.
    pub(crate) item: String,
    /// The platform's ID of the product, or its name; empty where the file has neither.
    pub(crate) product: String,
    pub(crate) kind: Kind,
    /// The platform's ID of the transaction; where it has none, one of its time and amount.
    pub(crate) transaction: String,
    pub(crate) sold_at: Option<Timestamp>,
    /// As it is written; empty where it is missing.
    pub(crate) email: String,
    /// Whom the platform credited: empty for nobody, none where the file has no such column.
    pub(crate) affiliate: Option<String>,
    /// Minor units, never negative, and the currency, which is empty where nothing says it.
    pub(crate) amount: Option<(i64, String)>,
    pub(crate) money: Money,
    pub(crate) reference: String,
    pub(crate) coupon: String,
    /// The webinar tool's ID of the buyer's registration.
    pub(crate) registration: String,
}

impl Sale {
    /// Reads a row.
    ///
    /// # Errors
    /// Names the field that cannot be used.
    pub(crate) fn read(row: Row<'_>) -> Result<Self, Problem> {
        let transaction = row.text(Field::Transaction);
        let order = row.text(Field::Order).or(transaction);
        let order = order.ok_or(Problem { field: Field::Order, problem: "is empty" })?;
        let amount = row.amount()?;
        let negative = amount.as_ref().is_some_and(|(units, _)| *units < 0);
        let money = match money(row)? {
            Money::Paid if negative => Money::Refund,
            money => money,
        };
        let amount = amount.map(|(units, currency)| (units.abs(), currency));
        let sold_at = row.moment(Field::SoldAt, Edge::End)?;
        let flag = |field| row.text(field).is_some_and(is_true);
        let product = row.owned(Field::Product);
        let mut sale = Self {
            order: order.to_owned(),
            parent: row.owned(Field::Parent),
            item: row.text(Field::Item).unwrap_or(&product).to_owned(),
            kind: match (flag(Field::Upsell), flag(Field::Bump)) {
                (true, _) => Kind::Upsell,
                (false, true) => Kind::Bump,
                (false, false) => Kind::Main,
            },
            transaction: transaction.unwrap_or_default().to_owned(),
            sold_at,
            email: row.owned(Field::Email),
            affiliate: row
                .sheet
                .columns
                .get(Field::Affiliate)
                .map(|_| row.text(Field::Affiliate).filter(|text| !is_nobody(text)))
                .map(|text| text.unwrap_or_default().to_owned()),
            amount,
            money,
            reference: row.owned(Field::Reference),
            coupon: row.owned(Field::Coupon),
            registration: row.owned(Field::Registration),
            product,
        };
        if sale.parent == sale.order {
            sale.parent.clear();
        }
        if sale.transaction.is_empty() {
            let units = sale.amount.as_ref().map_or(0, |(units, _)| *units);
            let at = sale.sold_at.map_or_else(|| "undated".to_owned(), |at| at.to_string());
            sale.transaction = format!("{at}/{units}");
        }
        Ok(sale)
    }
}

/// What became of the money. A transaction's type says more than its order's status.
fn money(row: Row<'_>) -> Result<Money, Problem> {
    let test = row.text(Field::Test).is_some_and(|text| is_true(text) || plain(text) == "test");
    let read = |field| row.text(field).map(|text| (field, word(text)));
    let (kind, status) = (read(Field::Type), read(Field::Status));
    let unknown = |field| Problem { field, problem: "is a word this does not know: see --map" };
    if test || [&kind, &status].into_iter().flatten().any(|(_, word)| *word == Some(Money::Test)) {
        return Ok(Money::Test);
    }
    let of_order = match status {
        None => Money::Paid,
        Some((field, word)) => match word.ok_or(unknown(field))? {
            Money::Refund | Money::Chargeback => Money::PaidBack,
            money => money,
        },
    };
    match kind {
        None => Ok(of_order),
        Some((field, word)) => match (word.ok_or(unknown(field))?, of_order) {
            (_, Money::Unpaid) => Ok(Money::Unpaid),
            (Money::Paid, Money::PaidBack) => Ok(Money::PaidBack),
            (money, _) => Ok(money),
        },
    }
}

/// Whether a text stands for nobody.
fn is_nobody(text: &str) -> bool {
    matches!(
        plain(text).as_str(),
        "" | "none" | "null" | "nil" | "na" | "nobody" | "keiner" | "niemand"
    )
}

fn is_true(text: &str) -> bool {
    matches!(plain(text).as_str(), "1" | "true" | "yes" | "y" | "ja" | "j" | "wahr" | "x")
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What platforms call what happened.
fn word(text: &str) -> Option<Money> {
    let plain = plain(text);
    if plain.starts_with("test") {
        return Some(Money::Test);
    }
    let plain = ["onpayment", "on", "payment", "order", "transaction", "charge", "sale"]
        .iter()
        .find_map(|prefix| plain.strip_prefix(prefix).filter(|rest| is_event(rest)))
        .unwrap_or(&plain);
    Some(match plain {
        "paid" | "payment" | "sale" | "made" | "bill" | "rebill" | "complete" | "completed"
        | "success" | "successful" | "successed" | "succeeded" | "captured" | "approved"
        | "settled" | "charge" | "charged" | "purchase" | "order" | "renewal" | "active"
        | "recurring" | "partiallyrefunded" | "bezahlt" | "zahlung" | "verkauf" | "kauf"
        | "abgeschlossen" | "erfolgreich" | "eingegangen" | "ratenzahlung" | "aktiv"
        | "singlepayment" | "installment" | "subscription" | "fulfilled" => Money::Paid,
        "refund" | "refunded" | "rfnd" | "successedrefunded" | "rückerstattung" | "erstattung"
        | "erstattet" | "rückerstattet" | "zurückerstattet" | "gutschrift" | "reversed"
        | "reversal" => Money::Refund,
        "chargeback"
        | "chargedback"
        | "cgbk"
        | "chargebacksucceeded"
        | "rücklastschrift"
        | "rückbuchung"
        | "disputed"
        | "dispute"
        | "disputelost" => Money::Chargeback,
        "wonback" | "chargebackfailed" | "chargebackreversed" | "disputewon" => Money::WonBack,
        "pending" | "open" | "failed" | "missed" | "unpaid" | "cancelled" | "canceled"
        | "abandoned" | "trial" | "expired" | "declined" | "draft" | "void" | "voided"
        | "authorized" | "upcoming" | "processing" | "offen" | "ausstehend" | "fehlgeschlagen"
        | "abgebrochen" | "abgelehnt" | "storniert" | "storno" | "gekündigt" | "unbezahlt"
        | "cancelrebill" | "uncancelrebill" => Money::Unpaid,
        _ => return None,
    })
}

/// Whether a prefix such as `payment.` may be left out.
fn is_event(rest: &str) -> bool {
    matches!(
        rest,
        "made"
            | "paid"
            | "payment"
            | "succeeded"
            | "success"
            | "completed"
            | "refund"
            | "refunded"
            | "chargeback"
            | "chargedback"
            | "failed"
            | "missed"
            | "pending"
            | "trial"
            | "charged"
            | "disputed"
            | "reversed"
            | "captured"
            | "cancelled"
            | "canceled"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_platforms() {
        for (words, expected) in [
            (
                &[
                    "paid",
                    "Sale",
                    "BILL",
                    "on_payment",
                    "payment.made",
                    "order.success",
                    "Bezahlt",
                    "completed",
                ][..],
                Some(Money::Paid),
            ),
            (
                &[
                    "RFND",
                    "refund",
                    "on_refund",
                    "payment.refunded",
                    "charge.refunded",
                    "Rückerstattung",
                ],
                Some(Money::Refund),
            ),
            (
                &["CGBK", "on_chargeback", "payment.charged_back", "Rücklastschrift"],
                Some(Money::Chargeback),
            ),
            (&["won back", "chargeback_failed"], Some(Money::WonBack)),
            (
                &[
                    "pending",
                    "payment.failed",
                    "Ausstehend",
                    "canceled",
                    "trial",
                    "on_payment_missed",
                ],
                Some(Money::Unpaid),
            ),
            (&["TEST_SALE", "test_paid", "Test"], Some(Money::Test)),
            (&["", "jane@example.com", "whatever"], None),
        ] {
            for text in words {
                assert_eq!(word(text), expected, "{text}");
            }
        }
    }
}
