//! `tagalong event`.

use std::process::ExitCode;

use tagalong_proto::v1;

use crate::{
    client::{Connect, Explain as _, explain},
    output,
};

/// The change feed
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Print what happens as JSON Lines, with the cursor to go on from, until interrupted
    #[command(after_help = "Example:\n  tagalong event watch --only-new")]
    Watch {
        /// Go on after this cursor [default: the beginning]
        #[arg(long, conflicts_with = "only_new")]
        cursor: Option<String>,
        /// Only what happens from now on
        #[arg(long)]
        only_new: bool,
        /// Events of tests too
        #[arg(long)]
        include_test: bool,
        #[command(flatten)]
        connect: Connect,
    },
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self::Watch { cursor, only_new, include_test, connect } = self;
        let cursor = cursor.unwrap_or_default();
        let request =
            v1::WatchRequest { cursor, only_new, include_test, ..v1::WatchRequest::default() };
        let mut events = connect.clients()?.events.watch(request).await.explained()?;
        while let Some(step) = events.message().await.map_err(|status| explain(&status))? {
            output::line(output::json(&step)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
