//! `tagalong funnel`.

use std::process::ExitCode;

use tagalong_proto::v1;

use crate::{
    client::{Connect, Explain as _},
    output::{self, or_dash, word},
};

/// Count clicks, registrations, opened purchase links and sales
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagalong funnel --webinar launch --from 2026-11-01 --by day --by affiliate --json"
)]
pub(crate) struct Args {
    /// Only what belongs to this webinar, also clicks and sales of its products
    #[arg(long, conflicts_with = "product")]
    webinar: Option<String>,
    /// Only what belongs to this product
    #[arg(long)]
    product: Option<String>,
    /// Only what belongs to this programme
    #[arg(long)]
    programme: Option<String>,
    /// Only this affiliate's, with --programme
    #[arg(long, requires = "programme")]
    affiliate: Option<String>,
    /// Only what is nobody's
    #[arg(long, conflicts_with = "affiliate")]
    nobody: bool,
    /// The first UTC day [default: the beginning]
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last UTC day [default: today]
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Count separately; can be given several times
    #[arg(long, value_name = "WHAT")]
    by: Vec<Dimension>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// What to count separately.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Dimension {
    Day,
    Product,
    Webinar,
    Affiliate,
}

impl From<Dimension> for v1::FunnelDimension {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Day => Self::Day,
            Dimension::Product => Self::Product,
            Dimension::Webinar => Self::Webinar,
            Dimension::Affiliate => Self::Affiliate,
        }
    }
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let request = v1::GetFunnelRequest {
            webinar_id: self.webinar.unwrap_or_default(),
            product_id: self.product.unwrap_or_default(),
            programme_id: self.programme.unwrap_or_default(),
            affiliate_id: self.affiliate.or(self.nobody.then(String::new)),
            from_day: self.from.unwrap_or_default(),
            to_day: self.to.unwrap_or_default(),
            group_by: self.by.into_iter().map(|by| v1::FunnelDimension::from(by).into()).collect(),
        };
        let mut events = self.connect.clients()?.events;
        let rows = events.get_funnel(request).await.explained()?.rows;
        let header = [
            "DAY",
            "PRODUCT",
            "WEBINAR",
            "AFFILIATE",
            "CLICKS",
            "BOTS",
            "REGISTRATIONS",
            "OPENED",
            "SALES",
        ];
        output::list(self.json, &header, &rows, |row| {
            let affiliate = match (row.programme_id.as_str(), row.affiliate_id.as_str()) {
                (_, "") => String::new(),
                (programme, affiliate) => format!("{programme}/{affiliate}"),
            };
            vec![
                or_dash(&row.day),
                or_dash(&row.product_id),
                or_dash(&row.webinar_id),
                or_dash(&affiliate),
                row.human_clicks.to_string(),
                row.other_clicks.to_string(),
                row.registrations.to_string(),
                row.purchase_links_opened.to_string(),
                or_dash(&row.sales.iter().map(sold).collect::<Vec<_>>().join("; ")),
            ]
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `3 agreed by token, 1491.00 EUR`.
fn sold(sales: &v1::FunnelSales) -> String {
    let credit = word(sales.credit().as_str_name(), "CREDIT_");
    let mut text = format!("{} {credit}", sales.items);
    if sales.carried_by() != v1::CarriedBy::Unspecified {
        text += " by ";
        text += &word(sales.carried_by().as_str_name(), "CARRIED_BY_");
    }
    if sales.value.is_some() {
        text += ", ";
        text += &output::money(sales.value.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sales_say_how_they_were_credited() {
        let mut sales = v1::FunnelSales {
            credit: v1::Credit::Agreed.into(),
            carried_by: v1::CarriedBy::Token.into(),
            items: 3,
            value: Some(v1::Money { minor_units: 149_100, currency: "EUR".to_owned() }),
        };
        assert_eq!(sold(&sales), "3 agreed by token, 1491.00 EUR");
        sales.carried_by = v1::CarriedBy::Unspecified.into();
        sales.value = None;
        assert_eq!(sold(&sales), "3 agreed");
    }
}
