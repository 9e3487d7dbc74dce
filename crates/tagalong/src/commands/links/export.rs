//! `tagalong links export`.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tagalong_proto::v1;
use tempfile::NamedTempFile;

use super::super::moment;
use crate::{
    client::{Connect, Explain as _, explain},
    output,
};

/// What a shell answers for a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

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
    while let Some(link) = links.message().await.map_err(|status| explain(&status))? {
        let key = link.registration.unwrap_or_default();
        csv.write_record([
            link.attendee_id.as_str(),
            &foreign(&key.source, raw),
            &foreign(&key.external_webinar_id, raw),
            &foreign(&key.external_id, raw),
            &link.affiliate_id,
            &link.url,
        ])
        .map_err(written)?;
        progress.inc(1);
    }
    let target = csv.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(target.finish()?)
}

/// What went wrong below the CSV: whether the reader has gone is asked elsewhere.
fn written(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A text from outside, unless `raw` made harmless where a spreadsheet would take it for a formula.
fn foreign(text: &str, raw: bool) -> Cow<'_, str> {
    let formula = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if text.starts_with(formula) && !raw {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Where links are written to.
enum Target {
    /// What cannot be replaced, only written to: standard output, a pipe, a device.
    Open(Box<dyn Write>),
    /// A file beside the one that is wanted. It takes its place when it is whole, and is gone where that never comes.
    Beside(NamedTempFile, PathBuf),
}

fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        if is_standard_output(path) {
            return Ok(Self::Open(Box::new(io::stdout())));
        }
        // What a link points to is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Open(Box::new(File::options().write(true).open(path)?)));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut beside = tempfile::Builder::new();
        beside.prefix(".tagalong-links-");
        // As the file whose place it takes, or as any other new one, less what the user's mask takes away.
        #[cfg(unix)]
        beside.permissions(path.metadata().map_or_else(
            |_| std::os::unix::fs::PermissionsExt::from_mode(0o666),
            |there| there.permissions(),
        ));
        Ok(Self::Beside(beside.tempfile_in(directory)?, path))
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Open(mut open) => open.flush(),
            Self::Beside(file, path) => {
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(open) => open.write(bytes),
            Self::Beside(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(open) => open.flush(),
            Self::Beside(file, _) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"] {
            assert_eq!(foreign(formula, false), format!("'{formula}"));
            assert_eq!(foreign(formula, true), formula);
        }
        for text in ["", "r-1", "81234", "zoom", "a=b", "'=1"] {
            assert_eq!(foreign(text, false), text);
        }
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("links.csv");
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        let begun = |text: &str| {
            let mut target = Target::open(&path).unwrap();
            target.write_all(text.as_bytes()).unwrap();
            target
        };
        drop(begun("half"));
        assert_eq!(files(), 0);
        begun("whole").finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        drop(begun("half of another"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(files(), 1);
    }
}
