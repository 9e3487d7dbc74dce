//! `tagalong preset`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use jiff::Timestamp;
use tagalong_integrations::{
    Delivery, Preset, Presets,
    links::{Links, Templates},
};

use super::text_file;
use crate::output;

/// What is known of checkouts, webinar tools and e-mail tools
///
/// A preset is a file; `docs/presets.md` says how to write one. None of these commands needs a server.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List the presets
    #[command(after_help = "Example:\n  tagalong preset list --json")]
    List {
        #[command(flatten)]
        own: Own,
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
    },
    /// Show how a platform learns the affiliate, and what to know before using it
    #[command(
        after_help = "Example:\n  tagalong preset show digistore24\n  tagalong preset show ablefy --toml > presets/ablefy.toml"
    )]
    Show {
        /// The preset
        name: String,
        /// Print the file itself, to begin an own preset with
        #[arg(long)]
        toml: bool,
        #[command(flatten)]
        own: Own,
    },
    /// Read a payload with a preset, and say what it means or which path failed
    #[command(
        after_help = "Example:\n  tagalong preset test presets/shop.toml --payload order.json\n  tagalong preset test shopify --payload order.json --header 'X-Shopify-Topic: orders/paid'"
    )]
    Test(Test),
}

/// Which presets there are.
#[derive(clap::Args)]
pub(crate) struct Own {
    /// A directory of your own presets, which stand over the built-in ones
    #[arg(long, value_name = "DIRECTORY")]
    presets: Option<PathBuf>,
}

impl Own {
    pub(crate) fn load(&self) -> anyhow::Result<Presets> {
        Ok(Presets::load(self.presets.as_deref())?)
    }
}

/// What to read, and with which preset.
#[derive(clap::Args)]
pub(crate) struct Test {
    /// The preset's file; or the name of a built-in one
    #[arg(value_name = "FILE")]
    preset: PathBuf,
    /// The body of a delivery, as it came; - for standard input
    #[arg(long, value_name = "FILE")]
    payload: PathBuf,
    /// A header of the delivery; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The type of the body, where it is not to be guessed
    #[arg(long, value_name = "TYPE")]
    content_type: Option<HeaderValue>,
    /// Verify the signature too, with the secret that this file holds
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The query of the hook's URL
    #[arg(long, value_name = "QUERY", default_value = "")]
    query: String,
    /// When the delivery came in, where signatures age [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected NAME: VALUE")?;
    let name = name.trim().parse().map_err(|_| "is not the name of a header".to_owned())?;
    let value = value.trim().parse().map_err(|_| "is not the value of a header".to_owned())?;
    Ok((name, value))
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { own, json } => list(&own.load()?, json)?,
            Self::Show { name, toml, own } => {
                let presets = own.load()?;
                let preset = named(&presets, &name)?;
                if toml {
                    output::line(preset.toml().trim_end())?;
                } else {
                    show(preset)?;
                }
            }
            Self::Test(test) => test.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The preset of a name.
pub(crate) fn named<'a>(presets: &'a Presets, name: &str) -> anyhow::Result<&'a Preset> {
    presets.get(name).with_context(|| format!("no preset {name}; see tagalong preset list"))
}

fn state(preset: &Preset) -> &'static str {
    match preset.draft() {
        Some(_) => "draft",
        None if preset.verified() => "verified",
        None => "unverified",
    }
}

fn list(presets: &Presets, json: bool) -> anyhow::Result<()> {
    if json {
        return presets.iter().try_for_each(|preset| {
            let line = serde_json::json!({
                "name": preset.name(),
                "title": preset.title(),
                "kind": preset.kind().name(),
                "state": state(preset),
                "draft": preset.draft(),
                "unverified": preset.unverified(),
            });
            output::line(line.to_string())
        });
    }
    let rows = presets.iter().map(|preset| {
        [preset.name(), preset.kind().name(), state(preset), preset.title()].map(str::to_owned)
    });
    output::table(&["NAME", "KIND", "STATE", "TITLE"], rows.map(Vec::from))
}

fn show(preset: &Preset) -> anyhow::Result<()> {
    output::line(format!(
        "{}, a {} tool, {}",
        preset.title(),
        preset.kind().name(),
        state(preset)
    ))?;
    if let Some(missing) = preset.draft() {
        output::line(format!("\nMissing: {missing}"))?;
    }
    links(preset.links())?;
    if let Some(tags) = preset.merge_tags() {
        output::line(format!("\nMerge tag of a field: {}", tags.field))?;
        output::line(format!("Create the field: {}", tags.create))?;
        paragraph("Know of the tag", &tags.caveats)?;
    }
    if preset.delivers() {
        let secret = if preset.needs_own_secret() {
            "a secret of yours, in the hook's URL or as a bearer token"
        } else {
            "the platform's secret"
        };
        output::line(format!("\nDeliveries are authenticated by {secret}."))?;
    }
    paragraph("Know before use", &preset.links().caveats)?;
    paragraph("Not verified", preset.unverified())
}

fn links(links: &Links) -> anyhow::Result<()> {
    let Links { affiliate, content, purchase, invitation, .. } = links;
    let named: [(&str, &Option<Templates>); 4] = [
        ("Its affiliate link", affiliate),
        ("Its link to any page", content),
        ("Checkout", purchase),
        ("Registration page", invitation),
    ];
    for (name, templates) in named {
        let Some(templates) = templates else { continue };
        output::line(format!("\n{name}"))?;
        for (name, template) in [
            ("with affiliate", &templates.with_affiliate),
            ("without", &templates.without_affiliate),
        ] {
            if !template.is_empty() {
                output::line(format!("  {name:16}{template}"))?;
            }
        }
    }
    let settings: Vec<_> =
        links.settings.iter().map(|(name, what)| format!("<{name}> is {what}")).collect();
    paragraph("In these", &settings)?;
    if !links.landing_parameters.is_empty() {
        let names = links.landing_parameters.join(", ");
        output::line(format!("\nIts pages take or hand on the affiliate as: {names}"))?;
    }
    if let Some(field) = &links.reference {
        let max = field.max_length.map(|max| format!(", at most {max} characters"));
        let parameter = &field.parameter;
        let max = max.unwrap_or_default();
        output::line(format!("Token or click ID travel in: {parameter}{max}"))?;
    }
    if let Some(days) = links.window_days {
        output::line(format!("It credits for {days} days after a click."))?;
    }
    Ok(())
}

fn paragraph(title: &str, texts: &[String]) -> anyhow::Result<()> {
    if texts.is_empty() {
        return Ok(());
    }
    output::line(format!("\n{title}:"))?;
    texts.iter().try_for_each(|text| output::line(format!("  - {text}")))
}

impl Test {
    fn run(self) -> anyhow::Result<()> {
        let preset = self.preset()?;
        if let Some(missing) = preset.draft() {
            output::note(format!("This preset is a draft, read as if it were finished: {missing}"));
        }
        let body = bytes(&self.payload)?;
        let mut headers: HeaderMap = self.headers.into_iter().collect();
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let delivery =
            Delivery { headers: &headers, query: &self.query, path_secret: None, body: &body };
        let payload = match &self.secret_file {
            None => preset.unverified_payload(&delivery),
            Some(file) => {
                let secret = text_file(file)?;
                let at = self.at.unwrap_or_else(Timestamp::now);
                let payload = preset
                    .verify(&[secret.trim()], &delivery, at)
                    .context("the delivery would be refused")?;
                output::note("The signature is right.");
                payload
            }
        };
        match preset.finished().read(&payload) {
            Ok(reading) => output::line(reading.to_string().trim_end()),
            Err(unmapped) => bail!("the delivery would be parked: {unmapped}"),
        }
    }

    /// A file, or a built-in preset where there is no such file.
    fn preset(&self) -> anyhow::Result<Preset> {
        let name = self.preset.to_string_lossy();
        if !self.preset.exists()
            && let Some(preset) = Presets::load(None)?.get(&name)
        {
            return Ok(preset.clone());
        }
        let toml = text_file(&self.preset)?;
        let name = self.preset.file_stem().unwrap_or_default().to_string_lossy();
        ensure!(!toml.is_empty(), "{} is empty", self.preset.display());
        Ok(Preset::parse(&name, &toml)?)
    }
}

/// A file's bytes, or those of standard input for `-`.
fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
