//! `tagalong journey`: phone → invitation page → registration → PC → purchase link → sale, played for real.

use std::process::ExitCode;

use tagalong_chassis::{
    clock::Clock,
    drain::{Drain, Ready},
    process::Process,
};

use crate::{
    client::{Clients, Connect},
    output,
    up::{All, Settings},
};

mod browser;
mod campaign;
mod hop;
mod pages;
mod stories;

use campaign::Campaign;
use hop::Report;

/// Play a buyer's whole journey, and say hop by hop what was expected and seen
///
/// Starts an instance of its own, or plays against a running one with test records that it removes again. The
/// webinar tool and the checkout are played on a loopback address; that checkout credits whatever affiliate its
/// link carried. Exits with 1 where a hop fails.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  tagalong journey\n  tagalong journey --url http://127.0.0.1:8080 --grpc http://127.0.0.1:50051"
)]
pub(crate) struct Args {
    /// Where visitors of a running instance come in
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON Lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let report = Report::new(args.json);
    let passed = match args.url {
        Some(url) => {
            let clients = args.connect.clients()?;
            play(&clients, url.trim_end_matches('/'), &report).await?
        }
        None => play_own(&report).await?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays against an instance of its own, in a directory that is gone afterwards.
async fn play_own(report: &Report) -> anyhow::Result<bool> {
    let data = tempfile::tempdir()?;
    let mut config = Settings::default();
    for address in
        [&mut config.redirect.http, &mut config.redirect.grpc, &mut config.redirect.admin]
    {
        "127.0.0.1:0".clone_into(address);
    }
    // The instance speaks plain HTTP.
    config.redirect.cookie_secure = false;
    config.keep_below(data.path());
    let drain = Drain::default();
    let process = Process {
        config,
        drain: drain.clone(),
        ready: Ready::default(),
        clock: Clock::system(),
        metrics: prometheus::Registry::default(),
    };
    let all = All::open(process, data.path()).await?;
    let (url, grpc) = (all.http_url()?, all.grpc_url()?);
    let serving = tokio::spawn(all.serve());
    let connect = Connect { grpc, registry: None, link_rendering: None };
    let played = play(&connect.clients()?, &url, report).await;
    drain.start();
    serving.await??;
    played
}

/// Plays all stories, and removes what they made even when interrupted.
async fn play(clients: &Clients, url: &str, report: &Report) -> anyhow::Result<bool> {
    let pages = pages::Pages::start().await?;
    let campaign = Campaign::create(clients, &pages, url).await?;
    let played = tokio::select! {
        played = stories::all(&campaign, report) => played,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let removed = campaign.remove().await;
    let passed = played?;
    let left = removed?;
    report.line(&format!("Removed {left} test records."))?;
    if passed {
        report.line("Every hop passed.")?;
    } else {
        output::note("A hop failed: see above.");
    }
    Ok(passed)
}
