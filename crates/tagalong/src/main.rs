//! Tagalong in one process, and the operator's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod client;
mod commands;
mod demo;
mod journey;
mod output;
mod up;

/// Keeps an affiliate's credit attached to a person, not to a browser.
#[derive(Parser)]
#[command(
    version,
    after_help = "Without a command: up --demo.\n\nExample:\n  tagalong up --demo\n  tagalong sale list --credit owed --json"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Args),
    Journey(journey::Args),
    #[command(subcommand)]
    Programme(commands::programme::Command),
    #[command(subcommand)]
    Affiliate(commands::affiliate::Command),
    #[command(subcommand)]
    Product(commands::product::Command),
    #[command(subcommand)]
    Webinar(commands::webinar::Command),
    #[command(subcommand)]
    Attendee(commands::attendee::Command),
    #[command(subcommand)]
    Sale(commands::sale::Command),
    #[command(subcommand)]
    Click(commands::click::Command),
    #[command(subcommand)]
    Links(commands::links::Command),
    #[command(subcommand)]
    Event(commands::event::Command),
    #[command(subcommand)]
    Key(commands::key::Command),
    Migrate(commands::migrate::Args),
    Healthcheck(commands::healthcheck::Args),
}

fn main() -> ExitCode {
    let command = match Cli::parse().command {
        None => return up::run(&up::Args::demo()),
        Some(Command::Up(args)) => return up::run(&args),
        Some(command) => command,
    };
    // Two TLS implementations could be asked for; this one is linked.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&error.into());
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match command {
            Command::Up(args) => Ok(up::run(&args)),
            Command::Journey(args) => journey::run(args).await,
            Command::Programme(command) => command.run().await,
            Command::Affiliate(command) => command.run().await,
            Command::Product(command) => command.run().await,
            Command::Webinar(command) => command.run().await,
            Command::Attendee(command) => command.run().await,
            Command::Sale(command) => command.run().await,
            Command::Click(command) => command.run().await,
            Command::Links(command) => command.run().await,
            Command::Event(command) => command.run().await,
            Command::Key(command) => command.run(),
            Command::Migrate(args) => args.run().await,
            Command::Healthcheck(args) => args.run().await,
        }
    });
    // A stream nobody reads any more must not hold up the exit.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| {
        if output::is_closed(&error) {
            return ExitCode::SUCCESS;
        }
        output::complain(&error);
        ExitCode::FAILURE
    })
}
