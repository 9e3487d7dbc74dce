//! `tagalong product`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use tagalong_proto::v1;

use super::{Listing, list_all};
use crate::{
    client::{Connect, Explain as _},
    output,
};

/// What is sold
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a product
    #[command(
        after_help = "Example:\n  tagalong product create course --programme copecart \\\n    --checkout 'https://www.copecart.com/products/7a66056a/checkout?metadata={reference}&affiliate={affiliate}' \\\n    --external-id 7a66056a"
    )]
    Create {
        /// ID, the first segment of its links
        id: String,
        /// The programme whose affiliates are credited
        #[arg(long)]
        programme: String,
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change what is given, and nothing else
    #[command(after_help = "Example:\n  tagalong product update course --window-days 180")]
    Update {
        /// ID
        id: String,
        #[command(flatten)]
        settings: Box<Settings>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List products
    #[command(after_help = "Example:\n  tagalong product list --programme copecart")]
    List {
        /// Only this programme's
        #[arg(long)]
        programme: Option<String>,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one product, as JSON
    #[command(after_help = "Example:\n  tagalong product show course")]
    Show {
        /// ID
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What can be set of a product.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// A name for people
    #[arg(long)]
    title: Option<String>,
    /// Where affiliate links lead, holding {affiliate}; may hold {click}, {product}, {sub1} to {sub5}
    #[arg(long, value_name = "URL")]
    sales_page: Option<String>,
    /// Where they lead without an affiliate [default: the same without the parameters that hold it]
    #[arg(long, value_name = "URL")]
    sales_page_plain: Option<String>,
    /// Where purchase links lead, holding {affiliate}; may hold {token}, {click}, {reference}
    #[arg(long, value_name = "URL")]
    checkout: Option<String>,
    /// Where they lead without an affiliate [default: the same without the parameters that hold it]
    #[arg(long, value_name = "URL")]
    checkout_plain: Option<String>,
    /// One of the platform's own product IDs; replaces all of them; may be repeated
    #[arg(long = "external-id", value_name = "ID")]
    external_ids: Vec<String>,
    /// Which touch wins
    #[arg(long)]
    model: Option<Model>,
    /// From the touch to the sale, in days
    #[arg(long, value_name = "DAYS")]
    window_days: Option<u16>,
    /// How long new evidence still changes a decision, in days
    #[arg(long, value_name = "DAYS")]
    settle_days: Option<u16>,
    /// What an affiliate's coupon counts for
    #[arg(long)]
    coupon_rank: Option<CouponRank>,
    /// When affiliate links set a cookie
    #[arg(long)]
    cookie: Option<Cookie>,
    /// Pass on only this query parameter; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "pass_except")]
    pass_only: Vec<String>,
    /// Pass on all query parameters but this one; may be repeated
    #[arg(long, value_name = "NAME")]
    pass_except: Vec<String>,
}

/// Which touch of the highest rank wins.
#[derive(Clone, Copy, ValueEnum)]
enum Model {
    Last,
    First,
}

/// What a coupon counts for.
#[derive(Clone, Copy, ValueEnum)]
enum CouponRank {
    Ignored,
    Click,
    Registration,
    AboveAll,
}

/// When a cookie is set.
#[derive(Clone, Copy, ValueEnum)]
enum Cookie {
    OnConsent,
    Always,
    Never,
}

impl Settings {
    fn apply(self, product: &mut v1::Product) {
        product.title = self.title.unwrap_or(std::mem::take(&mut product.title));
        product.sales_page =
            destination(product.sales_page.take(), self.sales_page, self.sales_page_plain);
        product.checkout = destination(product.checkout.take(), self.checkout, self.checkout_plain);
        if !self.external_ids.is_empty() {
            product.external_ids = self.external_ids;
        }
        if let Some(cookie) = self.cookie {
            product.set_cookie_policy(match cookie {
                Cookie::OnConsent => v1::CookiePolicy::OnConsent,
                Cookie::Always => v1::CookiePolicy::Always,
                Cookie::Never => v1::CookiePolicy::Never,
            });
        }
        let policy = product.policy.get_or_insert_default();
        if let Some(model) = self.model {
            policy.set_model(match model {
                Model::Last => v1::TouchModel::Last,
                Model::First => v1::TouchModel::First,
            });
        }
        if let Some(rank) = self.coupon_rank {
            policy.set_coupon_rank(match rank {
                CouponRank::Ignored => v1::CouponRank::Ignored,
                CouponRank::Click => v1::CouponRank::Click,
                CouponRank::Registration => v1::CouponRank::Registration,
                CouponRank::AboveAll => v1::CouponRank::AboveAll,
            });
        }
        policy.window = self.window_days.map(days).or(policy.window);
        policy.settle_after = self.settle_days.map(days).or(policy.settle_after);
        let rule = |mode: v1::QueryRuleMode, names| v1::QueryRule { mode: mode.into(), names };
        if !self.pass_only.is_empty() {
            product.query_rule = Some(rule(v1::QueryRuleMode::Only, self.pass_only));
        } else if !self.pass_except.is_empty() {
            product.query_rule = Some(rule(v1::QueryRuleMode::AllExcept, self.pass_except));
        }
    }
}

fn days(days: u16) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(days) * 24 * 3600, nanos: 0 }
}

/// A destination with what is given changed. A new template with affiliate brings its own one without.
fn destination(
    stored: Option<v1::Destination>,
    with: Option<String>,
    without: Option<String>,
) -> Option<v1::Destination> {
    let (with_affiliate, without_affiliate) = match (stored, with, without) {
        (stored, None, None) => return stored,
        (_, Some(with), without) => (with, without.unwrap_or_default()),
        (stored, None, Some(without)) => (stored.unwrap_or_default().with_affiliate, without),
    };
    Some(v1::Destination { with_affiliate, without_affiliate })
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let product = match self {
            Self::Create { id, programme, settings, connect } => {
                let mut product =
                    v1::Product { id, programme_id: programme, ..v1::Product::default() };
                settings.apply(&mut product);
                let request =
                    v1::CreateProductRequest { product: Some(product), ..Default::default() };
                let mut client = connect.clients()?.catalogue;
                client.create_product(request).await.explained()?.product
            }
            Self::Update { id, settings, connect } => {
                let mut client = connect.clients()?.catalogue;
                let answer = client.get_product(v1::GetProductRequest { id }).await.explained()?;
                let mut product = answer.product.context("no product came back")?;
                settings.apply(&mut product);
                let request =
                    v1::UpdateProductRequest { product: Some(product), ..Default::default() };
                client.update_product(request).await.explained()?.product
            }
            Self::Show { id, connect } => {
                let mut client = connect.clients()?.catalogue;
                client.get_product(v1::GetProductRequest { id }).await.explained()?.product
            }
            Self::List { programme, listing, connect } => {
                let mut client = connect.clients()?.catalogue;
                let request = v1::ListProductsRequest {
                    programme_id: programme.unwrap_or_default(),
                    ..Default::default()
                };
                list_all!(
                    listing,
                    client,
                    list_products,
                    request,
                    products,
                    &["ID", "PROGRAMME", "TITLE", "AFFILIATE LINKS LEAD TO"],
                    |row| vec![
                        row.id.clone(),
                        row.programme_id.clone(),
                        row.title.clone(),
                        leads_to(row)
                    ]
                )?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        output::show(&product.unwrap_or_default())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn leads_to(product: &v1::Product) -> String {
    let page = product.sales_page.as_ref().or(product.checkout.as_ref());
    page.map_or_else(String::new, |page| {
        let with = &page.with_affiliate;
        if with.is_empty() { page.without_affiliate.clone() } else { with.clone() }
    })
}
