//! `tagalong links export`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tagalong_proto::v1;

use super::super::moment;
use crate::{
    client::{Connect, Explain as _, explain},
    file::{Target, foreign, is_standard_output, written},
    output::{self, INTERRUPTED},
};

#[derive(clap::Args)]
#[command(
    after_help = "A file is there whole or not at all. In fields that come from a webinar tool, a ' is put before what a \
spreadsheet would take for a formula.\n\nExample:\n  tagalong links export launch course --output links.csv"
)]
pub(crate) struct Args {
    /// The webinar
    webinar: String,
    /// The product
    product: String,
    /// The file; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// As if bought then [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<prost_types::Timestamp>,
    /// Leave fields as they are, for a program that looks people up by them
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    /// Writes links as they come, so that a million of them take no memory.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { webinar, product, output, at, raw, connect } = self;
        let request = v1::RenderLinksRequest { webinar_id: webinar, product_id: product, at };
        let mut client = connect.clients()?.rendering;
        let links = client.render_links(request).await.explained()?;
        let target =
            Target::open(&output).with_context(|| format!("cannot write {}", output.display()))?;

        let style =
            ProgressStyle::with_template("{spinner} {human_pos} links, {per_sec}, {elapsed}")?;
        // On standard error, and only where that is a terminal.
        let progress = ProgressBar::new_spinner().with_style(style);
        let written = tokio::select! {
            written = write(links, target, raw, &progress) => written,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                progress.finish_and_clear();
                let count = progress.position();
                let kept = if is_standard_output(&output) {
                    format!("after {count} links; there are more")
                } else {
                    format!("{} is as it was", output.display())
                };
                output::note(format!("interrupted: {kept}"));
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        progress.finish_and_clear();
        let count = progress.position();
        written.with_context(|| format!("not complete, after {count} links"))?;
        output::note(format!("{count} links"));
        Ok(ExitCode::SUCCESS)
    }
}

async fn write(
    mut links: tonic::Streaming<v1::RenderLinksResponse>,
    target: Target,
    raw: bool,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(target);
    let header = ["attendee", "source", "external_webinar", "external_id", "affiliate", "url"];
    csv.write_record(header).map_err(written)?;
    let text = |text: &'_ str| if raw { text.to_owned() } else { foreign(text).into_owned() };
    while let Some(link) = links.message().await.map_err(|status| explain(&status))? {
        let key = link.registration.unwrap_or_default();
        csv.write_record([
            link.attendee_id.as_str(),
            &text(&key.source),
            &text(&key.external_webinar_id),
            &text(&key.external_id),
            &link.affiliate_id,
            &link.url,
        ])
        .map_err(written)?;
        progress.inc(1);
    }
    let target = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(target.finish()?)
}
