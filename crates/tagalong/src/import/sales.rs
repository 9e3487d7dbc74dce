//! What was sold.

use tagalong_proto::v1;
use tonic::Status;

use super::sending::{Read, Rows, Sent};
use crate::{
    client::Clients,
    output::timestamp,
    sheet::{Field, Kind, Money, Problem, Row, Sale},
};

/// Sales of one programme.
#[derive(Clone)]
pub(super) struct Sales {
    pub(super) programme: String,
    pub(super) source: String,
    pub(super) product: Option<String>,
}

/// One row: the order, the reversal, or both.
#[derive(Clone)]
pub(super) struct Call {
    order: Option<Box<v1::ReportOrderRequest>>,
    reversal: Option<Box<v1::ReportReversalRequest>>,
}

impl Rows for Sales {
    type Call = Call;

    fn read(&self, row: Row<'_>) -> Result<Read<Call>, Problem> {
        let sale = Sale::read(row)?;
        let reversal = match sale.money {
            Money::Test => return Ok(Read::LeftOut("tests")),
            Money::Unpaid => {
                return Ok(Read::LeftOut(
                    "nothing was paid: pending, failed, cancelled or in trial",
                ));
            }
            Money::Paid => None,
            Money::Refund | Money::PaidBack => Some(v1::ReversalKind::Refund),
            Money::Chargeback => Some(v1::ReversalKind::Chargeback),
            Money::WonBack => Some(v1::ReversalKind::WonBack),
        };
        let is_order = matches!(sale.money, Money::Paid | Money::PaidBack);
        let amount = match &sale.amount {
            Some((_, currency)) if currency.is_empty() => {
                let problem = "is missing: see --currency";
                return Err(Problem { field: Field::Currency, problem });
            }
            Some((minor_units, currency)) => {
                Some(v1::Money { minor_units: *minor_units, currency: currency.clone() })
            }
            None if reversal.is_some() => {
                return Err(Problem { field: Field::Amount, problem: "is empty" });
            }
            None => None,
        };
        let item = self.item(&sale);
        let reversal = reversal.map(|kind| {
            // The row of an order that was paid back names the payment, not what went back.
            let back = if is_order { "/back" } else { "" };
            Box::new(v1::ReportReversalRequest {
                item: Some(v1::ItemKey {
                    source: self.source.clone(),
                    order_external_id: sale.order.clone(),
                    item_external_id: item.external_id.clone(),
                }),
                reversal: Some(v1::Reversal {
                    external_id: format!("{}{back}", sale.transaction),
                    kind: kind.into(),
                    amount: amount.clone(),
                    reversed_at: sale.sold_at.filter(|_| !is_order).map(timestamp),
                    ..Default::default()
                }),
                ..Default::default()
            })
        });
        let about = sale.order.clone();
        let order = is_order.then(|| Box::new(self.order(sale, item, amount)));
        Ok(Read::Call { call: Call { order, reversal }, about })
    }

    async fn send(clients: &mut Clients, call: Call) -> Result<Sent, Status> {
        let mut known = true;
        if let Some(order) = call.order {
            known &= clients.sales.report_order(*order).await?.into_inner().repeated;
        }
        if let Some(reversal) = call.reversal {
            known &= clients.sales.report_reversal(*reversal).await?.into_inner().repeated;
        }
        Ok(if known { Sent::Known } else { Sent::New })
    }
}

impl Sales {
    fn item(&self, sale: &Sale) -> v1::Item {
        let given = [sale.item.as_str(), self.product.as_deref().unwrap_or_default(), "1"];
        let external_id = given.into_iter().find(|id| !id.is_empty()).unwrap_or_default();
        let kind = match sale.kind {
            Kind::Main => v1::ItemKind::Main,
            Kind::Upsell => v1::ItemKind::Upsell,
            Kind::Bump => v1::ItemKind::Bump,
        };
        v1::Item {
            external_id: external_id.to_owned(),
            product_id: self.product.clone().unwrap_or_default(),
            external_product_id: sale.product.clone(),
            kind: kind.into(),
            platform_affiliate_id: sale.affiliate.clone(),
            ..Default::default()
        }
    }

    fn order(
        &self,
        sale: Sale,
        item: v1::Item,
        amount: Option<v1::Money>,
    ) -> v1::ReportOrderRequest {
        let at = sale.sold_at.map(timestamp);
        let payment = amount.map(|amount| v1::Payment {
            external_id: sale.transaction,
            amount: Some(amount),
            paid_at: at,
            ..Default::default()
        });
        v1::ReportOrderRequest {
            order: Some(v1::Order {
                source: self.source.clone(),
                external_id: sale.order,
                programme_id: self.programme.clone(),
                parent_external_id: sale.parent,
                ordered_at: at,
                ..Default::default()
            }),
            buyer: Some(v1::BuyerReferences {
                reference: sale.reference,
                email: sale.email,
                coupon_code: sale.coupon,
                ..Default::default()
            }),
            items: vec![v1::ItemReport {
                item: Some(item),
                payments: payment.into_iter().collect(),
            }],
            ..Default::default()
        }
    }
}
