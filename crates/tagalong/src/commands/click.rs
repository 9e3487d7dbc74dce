//! `tagalong click`.

use std::process::ExitCode;

use tagalong_proto::v1;

use super::{Listing, list_all};
use crate::{
    client::{Connect, Explain as _},
    output::{self, or_dash, word},
};

/// Visits through links
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List clicks, oldest first
    #[command(after_help = "Example:\n  tagalong click list --product webinar --limit 0 --json")]
    List {
        /// Only this product's
        #[arg(long)]
        product: Option<String>,
        /// Clicks of tests too
        #[arg(long)]
        include_test: bool,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::List { product, include_test, listing, connect } = self;
        let request = v1::ListClicksRequest {
            product_id: product.unwrap_or_default(),
            include_test,
            ..Default::default()
        };
        let mut client = connect.clients()?.clicks;
        list_all!(
            listing,
            client,
            list_clicks,
            request,
            clicks,
            &["ID", "AT", "PRODUCT", "AFFILIATE", "LINK", "CLASS"],
            |row| vec![
                row.id.clone(),
                output::time(row.occurred_at.as_ref()),
                row.product_id.clone(),
                or_dash(&row.affiliate_id),
                word(row.link().as_str_name(), "LINK_KIND_"),
                word(row.class().as_str_name(), "CLICK_CLASS_"),
            ]
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
