//! `tagalong migrate`.

use std::process::ExitCode;

use anyhow::Context as _;
use tagalong_attendee_registry::store::Store;
use tagalong_chassis::config::DatabaseUrl;

use crate::output;

/// Bring a registry's database up to date
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagalong migrate --database sqlite://tagalong-data/registry.sqlite"
)]
pub(crate) struct Args {
    /// The registry's database
    #[arg(
        help = "sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
        long,
        value_name = "URL",
        env = "TAGALONG__ATTENDEE_REGISTRY__DATABASE",
        hide_env_values = true
    )]
    database: String,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let url = DatabaseUrl::from(self.database);
        let store = Store::connect(url.expose())
            .await
            .with_context(|| format!("cannot bring {url} up to date"))?;
        store.close().await?;
        output::line("The schema is up to date.")?;
        Ok(ExitCode::SUCCESS)
    }
}
