//! `tagalong sale`.

use std::process::ExitCode;

use tagalong_proto::v1;

use super::{Listing, amount, author, email, list_all, moment};
use crate::{
    client::{Connect, Explain as _},
    output::{self, line, or_dash, word},
};

/// What was sold, and whose it is
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Report an order of one item, as a checkout would
    #[command(
        after_help = "Example:\n  tagalong sale report copecart M6B5zL7i --source copecart --product course \\\n    --reference AQGT… --platform-affiliate max --paid 49700EUR --transaction tr_1"
    )]
    Report(Box<Report>),
    /// Report that money went back, or came again after going back
    #[command(
        after_help = "Example:\n  tagalong sale reverse copecart M6B5zL7i 7a66056a --kind refund --amount 49700EUR --transaction tr_2"
    )]
    Reverse {
        #[command(flatten)]
        key: Key,
        /// What happened
        #[arg(long)]
        kind: ReversalKind,
        /// How much, in minor units
        #[arg(long, value_name = "AMOUNT", value_parser = amount, allow_hyphen_values = true)]
        amount: v1::Money,
        /// The platform's transaction ID
        #[arg(long, value_name = "ID")]
        transaction: String,
        /// When [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<prost_types::Timestamp>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List sales, newest first
    #[command(after_help = "Example:\n  tagalong sale list --credit owed --json")]
    List {
        /// Only with this credit
        #[arg(long)]
        credit: Option<Credit>,
        /// Only carried by this
        #[arg(long)]
        carried_by: Option<CarriedBy>,
        /// Only of this product
        #[arg(long)]
        product: Option<String>,
        /// Only of this programme
        #[arg(long)]
        programme: Option<String>,
        /// Only of this affiliate, with --programme
        #[arg(long, requires = "programme")]
        affiliate: Option<String>,
        /// Test sales too
        #[arg(long)]
        include_test: bool,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show a sale with its newest decision, as JSON
    #[command(after_help = "Example:\n  tagalong sale show 0193…")]
    Show {
        /// The item's UUID, as in the list
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Say whose a sale is, why, and why it is nobody else's
    #[command(after_help = "Example:\n  tagalong sale explain 0193…")]
    Explain {
        /// The item's UUID, as in the list
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Set the affiliate by hand
    #[command(
        after_help = "Example:\n  tagalong sale assign 0193… --affiliate anna --author kim --reason 'recommended on the phone'"
    )]
    Assign {
        /// The item's UUID, as in the list
        id: String,
        /// The affiliate
        #[arg(long, required_unless_present = "nobody")]
        affiliate: Option<String>,
        /// Credit nobody
        #[arg(long, conflicts_with = "affiliate")]
        nobody: bool,
        /// Who says so [default: the system's user]
        #[arg(long)]
        author: Option<String>,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Names an item as the platform does.
#[derive(clap::Args)]
pub(crate) struct Key {
    /// The connection that reports it
    source: String,
    /// The platform's order ID
    order: String,
    /// The platform's ID of the line
    item: String,
}

/// One order.
#[derive(clap::Args)]
pub(crate) struct Report {
    /// The programme
    programme: String,
    /// The platform's order ID
    order: String,
    /// The connection that reports it
    #[arg(long, default_value = "command-line")]
    source: String,
    /// The order this one follows
    #[arg(long, value_name = "ORDER")]
    parent: Option<String>,
    /// Our product
    #[arg(long, required_unless_present = "external_product")]
    product: Option<String>,
    /// The platform's product ID
    #[arg(long, value_name = "ID")]
    external_product: Option<String>,
    /// The platform's ID of the line [default: the product's]
    #[arg(long, value_name = "ID")]
    item: Option<String>,
    /// When it was ordered [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<prost_types::Timestamp>,
    /// What the checkout hands back: the token or the click's ID
    #[arg(long)]
    reference: Option<String>,
    /// The buyer's e-mail address; - reads it from standard input
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The coupon code entered
    #[arg(long, value_name = "CODE")]
    coupon: Option<String>,
    /// Whom the platform says it credited; '' for nobody; left out where it does not say
    #[arg(long, value_name = "AFFILIATE")]
    platform_affiliate: Option<String>,
    /// A payment that came with it, in minor units
    #[arg(
        long,
        value_name = "AMOUNT",
        value_parser = amount,
        requires = "transaction",
        allow_hyphen_values = true
    )]
    paid: Option<v1::Money>,
    /// The platform's transaction ID of the payment
    #[arg(long, value_name = "ID")]
    transaction: Option<String>,
    #[command(flatten)]
    connect: Connect,
}

/// What happened to money.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum ReversalKind {
    Refund,
    Chargeback,
    WonBack,
}

/// Our decision beside the platform's.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Credit {
    Agreed,
    Owed,
    Mismatch,
    PlatformOnly,
    Unreported,
    None,
}

impl From<Credit> for v1::Credit {
    fn from(credit: Credit) -> Self {
        match credit {
            Credit::Agreed => Self::Agreed,
            Credit::Owed => Self::Owed,
            Credit::Mismatch => Self::Mismatch,
            Credit::PlatformOnly => Self::PlatformOnly,
            Credit::Unreported => Self::Unreported,
            Credit::None => Self::None,
        }
    }
}

/// What connected buyer and affiliate.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum CarriedBy {
    Token,
    Order,
    Registration,
    Click,
    Email,
    Platform,
}

impl From<CarriedBy> for v1::CarriedBy {
    fn from(carried_by: CarriedBy) -> Self {
        match carried_by {
            CarriedBy::Token => Self::Token,
            CarriedBy::Order => Self::Order,
            CarriedBy::Registration => Self::Registration,
            CarriedBy::Click => Self::Click,
            CarriedBy::Email => Self::Email,
            CarriedBy::Platform => Self::Platform,
        }
    }
}

impl Report {
    async fn run(self) -> anyhow::Result<()> {
        let product_id = self.product.unwrap_or_default();
        let external_product_id = self.external_product.unwrap_or_default();
        let or_product =
            if external_product_id.is_empty() { &product_id } else { &external_product_id };
        let item = v1::Item {
            external_id: self.item.unwrap_or_else(|| or_product.clone()),
            product_id,
            external_product_id,
            platform_affiliate_id: self.platform_affiliate,
            ..Default::default()
        };
        let payments = self.paid.map(|amount| v1::Payment {
            external_id: self.transaction.unwrap_or_default(),
            amount: Some(amount),
            paid_at: self.at,
            sequence: 1,
        });
        let request = v1::ReportOrderRequest {
            order: Some(v1::Order {
                source: self.source,
                external_id: self.order,
                programme_id: self.programme,
                parent_external_id: self.parent.unwrap_or_default(),
                ordered_at: self.at,
                ..Default::default()
            }),
            buyer: Some(v1::BuyerReferences {
                reference: self.reference.unwrap_or_default(),
                email: email(self.email.as_deref())?,
                coupon_code: self.coupon.unwrap_or_default(),
                ..Default::default()
            }),
            items: vec![v1::ItemReport {
                item: Some(item),
                payments: payments.into_iter().collect(),
            }],
            ..Default::default()
        };
        let mut client = self.connect.clients()?.sales;
        let answer = client.report_order(request).await.explained()?;
        answer.sales.iter().try_for_each(output::show)
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Report(report) => report.run().await?,
            Self::Reverse { key, kind, amount, transaction, at, connect } => {
                let kind = match kind {
                    ReversalKind::Refund => v1::ReversalKind::Refund,
                    ReversalKind::Chargeback => v1::ReversalKind::Chargeback,
                    ReversalKind::WonBack => v1::ReversalKind::WonBack,
                };
                let request = v1::ReportReversalRequest {
                    item: Some(v1::ItemKey {
                        source: key.source,
                        order_external_id: key.order,
                        item_external_id: key.item,
                    }),
                    reversal: Some(v1::Reversal {
                        external_id: transaction,
                        kind: kind.into(),
                        amount: Some(amount),
                        reversed_at: at,
                        exceeds_payments: false,
                    }),
                    ..Default::default()
                };
                let mut client = connect.clients()?.sales;
                match client.report_reversal(request).await.explained()?.sale {
                    Some(sale) => output::show(&sale)?,
                    None => line("Kept: the sale itself has not been reported yet.")?,
                }
            }
            Self::List {
                credit,
                carried_by,
                product,
                programme,
                affiliate,
                include_test,
                listing,
                connect,
            } => {
                let request = v1::ListSalesRequest {
                    credit: credit.map(v1::Credit::from).unwrap_or_default().into(),
                    carried_by: carried_by.map(v1::CarriedBy::from).unwrap_or_default().into(),
                    product_id: product.unwrap_or_default(),
                    programme_id: programme.unwrap_or_default(),
                    affiliate_id: affiliate.unwrap_or_default(),
                    include_test,
                    ..Default::default()
                };
                let mut client = connect.clients()?.sales;
                list_all!(listing, client, list_sales, request, sales, HEADER, row)?;
            }
            Self::Show { id, connect } => {
                let request =
                    v1::GetSaleRequest { sale: Some(v1::get_sale_request::Sale::ItemId(id)) };
                let mut client = connect.clients()?.sales;
                output::show(
                    &client.get_sale(request).await.explained()?.sale.unwrap_or_default(),
                )?;
            }
            Self::Explain { id, json, connect } => {
                let request = v1::ExplainSaleRequest {
                    sale: Some(v1::explain_sale_request::Sale::ItemId(id)),
                };
                let mut client = connect.clients()?.sales;
                let answer = client.explain_sale(request).await.explained()?;
                if json { output::show(&answer)? } else { explain(&answer)? }
            }
            Self::Assign { id, affiliate, nobody: _, author: given, reason, connect } => {
                let request = v1::AssignSaleRequest {
                    item_id: id,
                    assignment: Some(v1::Assignment {
                        affiliate_id: affiliate.unwrap_or_default(),
                        author: author(given)?,
                        reason,
                        ..Default::default()
                    }),
                    ..Default::default()
                };
                let mut client = connect.clients()?.sales;
                let answer = client.assign_sale(request).await.explained()?;
                output::show(&answer.sale.unwrap_or_default())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

const HEADER: &[&str] =
    &["ID", "SOLD", "PRODUCT", "AMOUNT", "AFFILIATE", "CREDIT", "CARRIED BY", "ORDER"];

fn row(sale: &v1::Sale) -> Vec<String> {
    let item = sale.item.clone().unwrap_or_default();
    let order = sale.order.clone().unwrap_or_default();
    let decision = sale.decision.clone().unwrap_or_default();
    let amount = paid(&sale.payments).or_else(|| item.price.clone());
    let product =
        if item.product_id.is_empty() { item.external_product_id } else { item.product_id };
    vec![
        item.id,
        output::time(order.ordered_at.as_ref()),
        product,
        output::money(amount.as_ref()),
        or_dash(&decision.affiliate_id),
        credit_word(decision.credit()),
        carried_word(decision.carried_by()),
        order.external_id,
    ]
}

/// What was paid in all, where it was in one currency.
fn paid(payments: &[v1::Payment]) -> Option<v1::Money> {
    let mut amounts = payments.iter().filter_map(|payment| payment.amount.clone());
    let mut sum = amounts.next()?;
    for amount in amounts {
        if amount.currency != sum.currency {
            return None;
        }
        sum.minor_units = sum.minor_units.saturating_add(amount.minor_units);
    }
    Some(sum)
}

/// `agreed`, `owed`, …
pub(crate) fn credit_word(credit: v1::Credit) -> String {
    match credit {
        v1::Credit::Unspecified => "-".to_owned(),
        credit => word(credit.as_str_name(), "CREDIT_"),
    }
}

/// `token`, `email`, …
pub(crate) fn carried_word(carried_by: v1::CarriedBy) -> String {
    match carried_by {
        v1::CarriedBy::Unspecified => "-".to_owned(),
        carried_by => word(carried_by.as_str_name(), "CARRIED_BY_"),
    }
}

/// Tells a sale's story, newest decision first.
fn explain(answer: &v1::ExplainSaleResponse) -> anyhow::Result<()> {
    let sale = answer.sale.clone().unwrap_or_default();
    let (order, item) = (sale.order.unwrap_or_default(), sale.item.unwrap_or_default());
    line(format!(
        "Order {} ({}), item {}, sold {}",
        order.external_id,
        order.source,
        item.external_id,
        output::time(order.ordered_at.as_ref())
    ))?;
    for payment in &sale.payments {
        line(format!(
            "  paid      {}  {}",
            output::time(payment.paid_at.as_ref()),
            output::money(payment.amount.as_ref())
        ))?;
    }
    for reversal in &sale.reversals {
        line(format!(
            "  {:<9} {}  {}{}",
            word(reversal.kind().as_str_name(), "REVERSAL_KIND_"),
            output::time(reversal.reversed_at.as_ref()),
            output::money(reversal.amount.as_ref()),
            if reversal.exceeds_payments { "  (more than had arrived)" } else { "" }
        ))?;
    }
    if answer.decisions.is_empty() {
        return line(format!(
            "Not decided: no product has the external ID {}.",
            item.external_product_id
        ));
    }
    for decision in &answer.decisions {
        line(format!(
            "\nDecision {} of {}, policy {}: {}",
            decision.version,
            output::time(decision.decided_at.as_ref()),
            decision.policy_version,
            decision.reason
        ))?;
        line(format!(
            "  affiliate {}, credit {}, carried by {}{}; settles {}",
            or_dash(&decision.affiliate_id),
            credit_word(decision.credit()),
            carried_word(decision.carried_by()),
            if decision.affiliate_id.is_empty() || decision.affiliate_confirmed {
                ""
            } else {
                ", not payable yet"
            },
            output::time(decision.settles_at.as_ref()),
        ))?;
        for considered in &decision.touches {
            let touch = considered.touch.clone().unwrap_or_default();
            line(format!(
                "  {:<22} {:<12} {:<12} {}{}",
                word(considered.verdict().as_str_name(), "VERDICT_"),
                touch.affiliate_id,
                word(touch.kind().as_str_name(), "TOUCH_KIND_"),
                output::time(touch.occurred_at.as_ref()),
                if touch.verified { "" } else { "  unverified" }
            ))?;
        }
        for conflict in &decision.conflicts {
            line(format!(
                "  {:<22} reference by {}",
                word(conflict.reason().as_str_name(), "CONFLICT_REASON_"),
                carried_word(conflict.reference()),
            ))?;
        }
        if let Some(assignment) = &decision.assignment {
            line(format!("  assigned by {}: {}", assignment.author, assignment.reason))?;
        }
    }
    Ok(())
}
