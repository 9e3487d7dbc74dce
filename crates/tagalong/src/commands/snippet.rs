//! `tagalong snippet`.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tagalong_attribution::id::ProductId;

use super::preset::{Own, named};
use crate::output;

/// Print a product's purchase link for the mails or the room of a tool, and what to set up there
///
/// The tool fills in what it keeps of each attendee. Needs no server.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagalong snippet course --tool mailchimp --url https://go.example.com"
)]
pub(crate) struct Args {
    /// The product
    product: ProductId,
    /// The tool: a preset with merge tags
    #[arg(long, value_name = "PRESET")]
    tool: String,
    /// Where visitors reach the redirect
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The tool's field with the affiliate's ID
    #[arg(long, value_name = "FIELD", default_value = "aff")]
    affiliate_field: String,
    /// The tool's field with the attendee's token
    #[arg(long, value_name = "FIELD", default_value = "tagtoken")]
    token_field: String,
    #[command(flatten)]
    own: Own,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let presets = self.own.load()?;
        let preset = named(&presets, &self.tool)?;
        let tags = preset.merge_tags().with_context(|| {
            format!(
                "{} puts nothing of an attendee into a link, as far as is known",
                preset.title()
            )
        })?;
        let known = self.url.starts_with("http://") || self.url.starts_with("https://");
        ensure!(known, "--url must start with https:// or http://");
        let long = |field: &String| format!("the field {field} has too long a name for this tool");
        let of = |field: &String| tags.key(field).zip(tags.tag(field)).with_context(|| long(field));
        let (affiliate_key, affiliate) = of(&self.affiliate_field)?;
        let (token_key, token) = of(&self.token_field)?;

        let base = self.url.trim_end_matches('/');
        output::line(format!("{base}/{}/p/{affiliate}/buy/{token}", self.product))?;
        output::line("")?;
        output::line(format!("Create in {} two fields:", preset.title()))?;
        output::line(format!("  {affiliate_key:12} the affiliate's ID, as registered"))?;
        output::line(format!("  {token_key:12} the attendee's token"))?;
        output::line(format!("How: {}.", tags.create))?;
        let own = [
            "An attendee without either still reaches the checkout, and nobody is credited by the link.",
        ];
        let caveats = own.into_iter().chain(tags.caveats.iter().map(String::as_str));
        let unverified = preset.unverified().iter().map(|what| format!("Not verified: {what}."));
        output::line("")?;
        for text in caveats.map(str::to_owned).chain(unverified) {
            output::line(format!("- {text}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
