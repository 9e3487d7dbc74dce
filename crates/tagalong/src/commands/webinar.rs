//! `tagalong webinar`.

use std::process::ExitCode;

use anyhow::Context as _;
use tagalong_proto::v1;

use super::{Listing, list_all, moment};
use crate::{
    client::{Connect, Explain as _},
    output,
};

/// What attendees register for
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a webinar
    #[command(
        after_help = "Example:\n  tagalong webinar create launch --promotes webinar --offers course"
    )]
    Create {
        /// ID
        id: String,
        #[command(flatten)]
        settings: Settings,
        /// Mark everything below it as a test, removable as a whole
        #[arg(long)]
        test: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change what is given, and nothing else
    #[command(
        after_help = "Example:\n  tagalong webinar update launch --ends 2026-12-31T23:59:59+01:00"
    )]
    Update {
        /// ID
        id: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        connect: Connect,
    },
    /// List webinars
    #[command(after_help = "Example:\n  tagalong webinar list --json")]
    List {
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one webinar, as JSON
    #[command(after_help = "Example:\n  tagalong webinar show launch")]
    Show {
        /// ID
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What can be set of a webinar.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// A name for people
    #[arg(long)]
    title: Option<String>,
    /// A product whose sales page is the invitation page; replaces all of them; may be repeated
    #[arg(long, value_name = "PRODUCT")]
    promotes: Vec<String>,
    /// A product that is sold in it; replaces all of them; may be repeated
    #[arg(long, value_name = "PRODUCT")]
    offers: Vec<String>,
    /// When the campaign ends: later sales are not credited through it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    ends: Option<prost_types::Timestamp>,
}

impl Settings {
    fn apply(self, webinar: &mut v1::Webinar) {
        webinar.title = self.title.unwrap_or(std::mem::take(&mut webinar.title));
        if !self.promotes.is_empty() {
            webinar.promotes_product_ids = self.promotes;
        }
        if !self.offers.is_empty() {
            webinar.offers_product_ids = self.offers;
        }
        webinar.campaign_ends_at = self.ends.or(webinar.campaign_ends_at);
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let webinar = match self {
            Self::Create { id, settings, test, connect } => {
                let mut webinar = v1::Webinar { id, test, ..v1::Webinar::default() };
                settings.apply(&mut webinar);
                let request =
                    v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
                let mut client = connect.clients()?.catalogue;
                client.create_webinar(request).await.explained()?.webinar
            }
            Self::Update { id, settings, connect } => {
                let mut client = connect.clients()?.catalogue;
                let answer = client.get_webinar(v1::GetWebinarRequest { id }).await.explained()?;
                let mut webinar = answer.webinar.context("no webinar came back")?;
                settings.apply(&mut webinar);
                let request =
                    v1::UpdateWebinarRequest { webinar: Some(webinar), ..Default::default() };
                client.update_webinar(request).await.explained()?.webinar
            }
            Self::Show { id, connect } => {
                let mut client = connect.clients()?.catalogue;
                client.get_webinar(v1::GetWebinarRequest { id }).await.explained()?.webinar
            }
            Self::List { listing, connect } => {
                let mut client = connect.clients()?.catalogue;
                list_all!(
                    listing,
                    client,
                    list_webinars,
                    v1::ListWebinarsRequest::default(),
                    webinars,
                    &["ID", "TITLE", "PROMOTES", "OFFERS", "ENDS"],
                    |row| vec![
                        row.id.clone(),
                        row.title.clone(),
                        row.promotes_product_ids.join(" "),
                        row.offers_product_ids.join(" "),
                        output::time(row.campaign_ends_at.as_ref()),
                    ]
                )?;
                return Ok(ExitCode::SUCCESS);
            }
        };
        output::show(&webinar.unwrap_or_default())?;
        Ok(ExitCode::SUCCESS)
    }
}
