//! `tagalong programme`.

use std::process::ExitCode;

use anyhow::Context as _;
use tagalong_proto::v1;

use super::{Listing, list_all};
use crate::{
    client::{Connect, Explain as _},
    output,
};

/// Accounts at affiliate platforms
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a programme
    #[command(
        after_help = "Example:\n  tagalong programme create copecart --platform copecart --title 'CopeCart'"
    )]
    Create {
        /// ID, such as copecart
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
        after_help = "Example:\n  tagalong programme update copecart --title 'CopeCart 2026'"
    )]
    Update {
        /// ID
        id: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        connect: Connect,
    },
    /// List programmes
    #[command(after_help = "Example:\n  tagalong programme list --json")]
    List {
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one programme, as JSON
    #[command(after_help = "Example:\n  tagalong programme show copecart")]
    Show {
        /// ID
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What can be set of a programme.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// The platform: copecart, digistore24, stripe, …
    #[arg(long)]
    platform: Option<String>,
    /// A name for people
    #[arg(long)]
    title: Option<String>,
    /// Whether the platform never says whom it credited (Stripe)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    never_names_affiliates: Option<bool>,
    /// Whether the platform takes names of affiliates that differ in case only for one (CopeCart, Digistore24)
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    ignore_affiliate_case: Option<bool>,
}

impl Settings {
    fn apply(self, programme: &mut v1::Programme) {
        let Self { platform, title, never_names_affiliates, ignore_affiliate_case } = self;
        programme.platform = platform.unwrap_or(std::mem::take(&mut programme.platform));
        programme.title = title.unwrap_or(std::mem::take(&mut programme.title));
        programme.never_names_affiliates =
            never_names_affiliates.unwrap_or(programme.never_names_affiliates);
        programme.ignore_affiliate_case =
            ignore_affiliate_case.unwrap_or(programme.ignore_affiliate_case);
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create { id, settings, test, connect } => {
                let mut programme = v1::Programme { id, test, ..v1::Programme::default() };
                settings.apply(&mut programme);
                let request =
                    v1::CreateProgrammeRequest { programme: Some(programme), ..Default::default() };
                let mut client = connect.clients()?.catalogue;
                let answer = client.create_programme(request).await.explained()?;
                output::show(&answer.programme.unwrap_or_default())?;
            }
            Self::Update { id, settings, connect } => {
                let mut client = connect.clients()?.catalogue;
                let answer =
                    client.get_programme(v1::GetProgrammeRequest { id }).await.explained()?;
                let mut programme = answer.programme.context("no programme came back")?;
                settings.apply(&mut programme);
                let request =
                    v1::UpdateProgrammeRequest { programme: Some(programme), ..Default::default() };
                let answer = client.update_programme(request).await.explained()?;
                output::show(&answer.programme.unwrap_or_default())?;
            }
            Self::List { listing, connect } => {
                let mut client = connect.clients()?.catalogue;
                list_all!(
                    listing,
                    client,
                    list_programmes,
                    v1::ListProgrammesRequest::default(),
                    programmes,
                    &["ID", "PLATFORM", "TITLE"],
                    |row| vec![row.id.clone(), row.platform.clone(), row.title.clone()]
                )?;
            }
            Self::Show { id, connect } => {
                let mut client = connect.clients()?.catalogue;
                let answer =
                    client.get_programme(v1::GetProgrammeRequest { id }).await.explained()?;
                output::show(&answer.programme.unwrap_or_default())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
