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
        after_help = "Example:\n  tagalong webinar update launch --ends 2026-12-31T23:59:59+01:00 --room https://zoom.example/j/81234567890\n  tagalong webinar update launch --form-key launch-2026 --form-origin https://www.example.com"
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
    /// The room at the webinar's tool, where `/-/join/WEBINAR/TOKEN` leads
    #[arg(long, value_name = "URL")]
    room: Option<String>,
    /// Take registrations from forms that post this key to `/-/register/WEBINAR`; empty: no longer
    #[arg(long, value_name = "KEY")]
    form_key: Option<String>,
    /// Where the pages with the form are; replaces all of them; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    form_origin: Vec<String>,
    /// Where somebody who registered is sent [default: a small page]
    #[arg(long, value_name = "URL")]
    form_thank_you: Option<String>,
    /// The programme that issued the affiliates in the form; required where the products belong to several
    #[arg(long, value_name = "PROGRAMME")]
    form_programme: Option<String>,
    /// Keep the addresses of those who register by the form too, sealed
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    form_keep_emails: Option<bool>,
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
        webinar.room_url = self.room.unwrap_or(std::mem::take(&mut webinar.room_url));
        if self.form_key.as_deref() == Some("") {
            webinar.form = None;
            return;
        }
        let given = self.form_key.is_some()
            || !self.form_origin.is_empty()
            || self.form_thank_you.is_some()
            || self.form_programme.is_some()
            || self.form_keep_emails.is_some();
        if webinar.form.is_none() && !given {
            return;
        }
        let form = webinar.form.get_or_insert_default();
        form.key = self.form_key.unwrap_or(std::mem::take(&mut form.key));
        if !self.form_origin.is_empty() {
            form.allowed_origins = self.form_origin;
        }
        form.thank_you_url = self.form_thank_you.unwrap_or(std::mem::take(&mut form.thank_you_url));
        form.programme_id = self.form_programme.unwrap_or(std::mem::take(&mut form.programme_id));
        form.keep_emails = self.form_keep_emails.unwrap_or(form.keep_emails);
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
