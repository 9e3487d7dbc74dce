//! `tagalong source`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tagalong_chassis::keys;
use tagalong_proto::v1;

use super::{Listing, list_all};
use crate::{
    client::{Connect, Explain as _},
    output::{self, or_dash},
};

/// Connections to webinar tools and checkouts
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a source, and say what to enter at the platform
    #[command(
        after_help = "Example:\n  tagalong source create copecart --preset copecart --programme copecart --new-secret\n  tagalong source create zoom --preset zoom --webinar 81234567890=launch --secret zoom-secret.txt"
    )]
    Create {
        /// ID, which stands in the URL that the platform posts to
        id: String,
        /// The preset that describes the platform
        #[arg(long)]
        preset: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        secret: Secret,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change what is given, and nothing else; what was parked is tried again
    #[command(
        after_help = "Example:\n  tagalong source update zoom --webinar 81234567890=launch --webinar 82345678901=autumn"
    )]
    Update {
        /// ID
        id: String,
        /// The preset that describes the platform
        #[arg(long)]
        preset: Option<String>,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        connect: Connect,
    },
    /// List sources
    #[command(after_help = "Example:\n  tagalong source list --json")]
    List {
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one source, as JSON
    #[command(after_help = "Example:\n  tagalong source show zoom")]
    Show {
        /// ID
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Add a secret, and let those before it expire
    #[command(
        after_help = "Example:\n  tagalong source rotate-secret zoom --secret zoom-secret.txt --keep-old-hours 1"
    )]
    RotateSecret {
        /// ID
        id: String,
        #[command(flatten)]
        secret: Secret,
        /// How long the secrets before it stay valid, in hours
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        keep_old_hours: u16,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What can be set of a source.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// A name for people
    #[arg(long)]
    title: Option<String>,
    /// The programme that its orders belong to, and that issued the affiliates of its registrations
    #[arg(long)]
    programme: Option<String>,
    /// Which webinar a registration is for: the tool's own ID and ours, or ours alone for all others; replaces all of them; may
    /// be repeated
    #[arg(long = "webinar", value_name = "[THEIRS=]OURS", value_parser = webinar)]
    webinars: Vec<v1::SourceWebinar>,
    /// Keep the addresses of those who register too, sealed
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    keep_emails: Option<bool>,
    /// Answer like an unknown source, and take nothing
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
}

impl Settings {
    fn apply(self, source: &mut v1::Source) {
        source.title = self.title.unwrap_or(std::mem::take(&mut source.title));
        source.programme_id = self.programme.unwrap_or(std::mem::take(&mut source.programme_id));
        if !self.webinars.is_empty() {
            source.webinars = self.webinars;
        }
        source.keep_emails = self.keep_emails.unwrap_or(source.keep_emails);
        source.disabled = self.disabled.unwrap_or(source.disabled);
    }
}

/// Reads `81234567890=launch`, or `launch` for all others. The tool's ID may hold `=`, ours cannot.
#[expect(clippy::unnecessary_wraps, reason = "what a parser of values has to be")]
fn webinar(text: &str) -> Result<v1::SourceWebinar, String> {
    let (external_id, webinar_id) = text.rsplit_once('=').unwrap_or(("", text));
    Ok(v1::SourceWebinar { external_id: external_id.to_owned(), webinar_id: webinar_id.to_owned() })
}

/// Where a secret comes from. Never from the command line itself, which process lists show.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(crate) struct Secret {
    /// The file that holds the secret the platform signs with; `-` for standard input
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Make a secret, and print it this once
    #[arg(long)]
    new_secret: bool,
}

/// A secret, and whether its owner has yet to hear of it.
struct Given {
    text: String,
    new: bool,
}

impl Given {
    fn new() -> anyhow::Result<Self> {
        let bytes = keys::secret().context("no random source")?;
        Ok(Self { text: hex::encode(bytes), new: true })
    }
}

impl Secret {
    fn read(self) -> anyhow::Result<Option<Given>> {
        let text = match self.secret {
            None if self.new_secret => return Given::new().map(Some),
            None => return Ok(None),
            Some(path) if path.as_os_str() == "-" => {
                std::io::read_to_string(std::io::stdin()).context("no secret on standard input")?
            }
            Some(path) => std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?,
        };
        let text = text.trim().to_owned();
        anyhow::ensure!(!text.is_empty(), "there is no secret in it");
        Ok(Some(Given { text, new: false }))
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Create { id, preset, settings, secret, connect } => {
                let mut source = v1::Source { id, preset, ..v1::Source::default() };
                settings.apply(&mut source);
                create(source, secret.read()?, &connect).await?;
            }
            Self::Update { id, preset, settings, connect } => {
                let mut client = connect.clients()?.sources;
                let answer = client.get_source(v1::GetSourceRequest { id }).await.explained()?;
                let mut source = answer.source.context("no source came back")?;
                source.preset = preset.unwrap_or(std::mem::take(&mut source.preset));
                settings.apply(&mut source);
                let request =
                    v1::UpdateSourceRequest { source: Some(source), ..Default::default() };
                let answer = client.update_source(request).await.explained()?;
                output::show(&answer.source.unwrap_or_default())?;
            }
            Self::List { listing, connect } => {
                let mut client = connect.clients()?.sources;
                list_all!(
                    listing,
                    client,
                    list_sources,
                    v1::ListSourcesRequest::default(),
                    sources,
                    &["ID", "PRESET", "PROGRAMME", "WEBINARS", "SECRETS", "STATUS"],
                    |row| vec![
                        row.id.clone(),
                        row.preset.clone(),
                        or_dash(&row.programme_id),
                        or_dash(&webinars(row)),
                        row.secrets.len().to_string(),
                        if row.disabled { "disabled" } else { "enabled" }.to_owned(),
                    ]
                )?;
            }
            Self::Show { id, connect } => {
                let mut client = connect.clients()?.sources;
                let answer = client.get_source(v1::GetSourceRequest { id }).await.explained()?;
                output::show(&answer.source.unwrap_or_default())?;
            }
            Self::RotateSecret { id, secret, keep_old_hours, connect } => {
                let secret = secret.read()?.context("give --secret or --new-secret")?;
                let mut client = connect.clients()?.sources;
                let seconds = i64::from(keep_old_hours) * 3600;
                let source = rotate(&mut client, &id, &secret, seconds).await?;
                let answer = client.get_source(v1::GetSourceRequest { id }).await.explained()?;
                tell(&source, &answer.setup.unwrap_or_default(), Some(&secret));
                output::show(&source)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

type Client = crate::client::Sources;

async fn create(
    source: v1::Source,
    mut secret: Option<Given>,
    connect: &Connect,
) -> anyhow::Result<()> {
    let mut client = connect.clients()?.sources;
    let request = v1::CreateSourceRequest {
        source: Some(source),
        secret: secret.as_ref().map(|secret| secret.text.clone()).unwrap_or_default(),
        ..Default::default()
    };
    let answer = client.create_source(request).await.explained()?;
    let mut source = answer.source.context("no source came back")?;
    let setup = answer.setup.unwrap_or_default();
    // Only the registry knows its presets.
    if setup.own_secret && secret.is_none() {
        let new = Given::new()?;
        source = rotate(&mut client, &source.id, &new, 0).await?;
        secret = Some(new);
    }
    tell(&source, &setup, secret.as_ref());
    if setup.ignores_affiliate_case && !source.programme_id.is_empty() {
        let request = v1::GetProgrammeRequest { id: source.programme_id.clone() };
        let answer = connect.clients()?.catalogue.get_programme(request).await.explained()?;
        if !answer.programme.unwrap_or_default().ignore_affiliate_case {
            output::note(format!(
                "This platform does not tell names of affiliates apart by case; say so:\n  tagalong programme update {} --ignore-affiliate-case",
                source.programme_id
            ));
        }
    }
    output::show(&source)
}

async fn rotate(
    client: &mut Client,
    id: &str,
    secret: &Given,
    keep_old_seconds: i64,
) -> anyhow::Result<v1::Source> {
    let request = v1::RotateSourceSecretRequest {
        source_id: id.to_owned(),
        secret: secret.text.clone(),
        keep_old_for: Some(prost_types::Duration { seconds: keep_old_seconds, nanos: 0 }),
        ..Default::default()
    };
    let answer = client.rotate_source_secret(request).await.explained()?;
    answer.source.context("no source came back")
}

/// Says what to enter at the platform.
fn tell(source: &v1::Source, setup: &v1::SourceSetup, secret: Option<&Given>) {
    let platform = if setup.platform.is_empty() { &source.preset } else { &setup.platform };
    let shown = secret.filter(|secret| secret.new).map(|secret| secret.text.as_str());
    match (setup.own_secret, shown) {
        (true, Some(secret)) => output::note(format!(
            "Have {platform} post to\n  {}/{secret}\nWhoever knows this URL can post; it is shown this once.",
            source.hook_url
        )),
        (true, None) => output::note(format!(
            "Have {platform} post to\n  {}/ and your secret behind it",
            source.hook_url
        )),
        (false, shown) => {
            output::note(format!("Have {platform} post to\n  {}", source.hook_url));
            if let Some(secret) = shown {
                output::note(format!(
                    "and enter this secret there; it is shown this once:\n  {secret}"
                ));
            } else if secret.is_none() {
                output::note(format!(
                    "and bring the secret it signs with, without which nothing is taken:\n  tagalong source rotate-secret {} --secret FILE",
                    source.id
                ));
            }
        }
    }
    if !setup.draft.is_empty() {
        output::note(format!(
            "The preset {} is a draft: what is posted is kept and parked until it is complete. Missing: {}",
            source.preset, setup.draft
        ));
    } else if !setup.unverified.is_empty() {
        output::note(format!(
            "Of what the preset {} says, this is not from its vendor; try it before the campaign:\n  {}",
            source.preset,
            setup.unverified.join("\n  ")
        ));
    }
}

fn webinars(source: &v1::Source) -> String {
    let entry = |entry: &v1::SourceWebinar| match entry.external_id.as_str() {
        "" => entry.webinar_id.clone(),
        theirs => format!("{theirs}={}", entry.webinar_id),
    };
    source.webinars.iter().map(entry).collect::<Vec<_>>().join(" ")
}
