//! `tagalong healthcheck`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;

use crate::output;

/// Ask a running process whether it is ready; exits with 1 where it is not
#[derive(clap::Args)]
#[command(after_help = "Example:\n  tagalong healthcheck --admin http://127.0.0.1:9090")]
pub(crate) struct Args {
    /// Its admin address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
        let answer = client
            .get(format!("{}/readyz", self.admin.trim_end_matches('/')))
            .send()
            .await
            .with_context(|| format!("nothing answers at {}", self.admin))?;
        let ready = answer.status().is_success();
        output::line(answer.text().await?.trim())?;
        Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
