//! What is measured.

mod affiliate_link;
mod import;
mod ingest;
mod purchase_link;
mod registration;
mod render_link;
mod render_links;
mod shipping;
mod start;

use anyhow::bail;

use crate::{
    harness::{Outcome, Plan},
    note,
    process::program,
};

/// One of them, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Workload {
    /// Affiliate links on 64 connections, beside nginx and bare hyper
    AffiliateLink,
    /// The same on one connection
    AffiliateLinkAlone,
    /// Affiliate links while their clicks are shipped to a registry
    Shipping,
    /// Purchase links with token and fresh decision
    PurchaseLink,
    /// Clicks into the registry's database, beside raw SQL
    Ingest,
    /// Registrations into the registry's database, beside raw SQL
    Registration,
    /// A CSV file of registrations, beside raw SQL
    Import,
    /// Single purchase links over gRPC, beside bare tonic
    RenderLink,
    /// The purchase links of a million attendees, beside a scan of their rows
    RenderLinks,
    /// From start to first answer, and memory when idle
    Start,
}

impl Workload {
    pub(crate) fn all() -> &'static [Self] {
        clap::ValueEnum::value_variants()
    }

    pub(crate) fn needs_postgres(self) -> bool {
        matches!(self, Self::Ingest | Self::Registration)
    }

    fn needs_wrk(self) -> bool {
        matches!(
            self,
            Self::AffiliateLink | Self::AffiliateLinkAlone | Self::Shipping | Self::PurchaseLink
        )
    }

    fn needs_nginx(self) -> bool {
        matches!(self, Self::AffiliateLink | Self::AffiliateLinkAlone)
    }

    pub(crate) async fn run(self, plan: &Plan) -> anyhow::Result<Outcome> {
        let name = clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_owned());
        note(&format!("{name}: preparing"));
        let outcome = match self {
            Self::AffiliateLink => affiliate_link::run(plan, &name, 64).await?,
            Self::AffiliateLinkAlone => affiliate_link::run(plan, &name, 1).await?,
            Self::Shipping => shipping::run(plan, &name).await?,
            Self::PurchaseLink => purchase_link::run(plan, &name).await?,
            Self::Ingest => ingest::run(plan, &name).await?,
            Self::Registration => registration::run(plan, &name).await?,
            Self::Import => import::run(plan, &name).await?,
            Self::RenderLink => render_link::run(plan, &name).await?,
            Self::RenderLinks => render_links::run(plan, &name).await?,
            Self::Start => start::run(plan, &name).await?,
        };
        Ok(Outcome { workload: name, ..outcome })
    }
}

/// Says before anything is measured what is missing.
pub(crate) fn check_tools(workloads: &[Workload]) -> anyhow::Result<()> {
    let wanted = [
        ("taskset", "util-linux", true),
        ("wrk", "wrk", workloads.iter().any(|workload| workload.needs_wrk())),
        ("nginx", "nginx-light", workloads.iter().any(|workload| workload.needs_nginx())),
    ];
    for (name, package, wanted) in wanted {
        if wanted && program(name).is_none() {
            bail!("{name} is missing: apt-get install {package}");
        }
    }
    Ok(())
}
