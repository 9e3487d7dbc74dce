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
    #[command(flatten)]
    Client(Client),
}

/// What talks to a running Tagalong, or to none.
#[derive(Subcommand)]
enum Client {
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
    Source(commands::source::Command),
    #[command(subcommand)]
    Delivery(commands::delivery::Command),
    #[command(subcommand)]
    Links(commands::links::Command),
    #[command(subcommand)]
    Event(commands::event::Command),
    Funnel(commands::funnel::Args),
    #[command(subcommand)]
    Preset(commands::preset::Command),
    Snippet(commands::snippet::Args),
    #[command(subcommand)]
    Key(commands::key::Command),
    Migrate(commands::migrate::Args),
    Healthcheck(commands::healthcheck::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        None => up::run(&up::Args::demo()),
        Some(Command::Up(args)) => up::run(&args),
        Some(Command::Client(command)) => run(command),
    }
}

fn run(command: Client) -> ExitCode {
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
            Client::Journey(args) => journey::run(args).await,
            Client::Programme(command) => command.run().await,
            Client::Affiliate(command) => command.run().await,
            Client::Product(command) => command.run().await,
            Client::Webinar(command) => command.run().await,
            Client::Attendee(command) => command.run().await,
            Client::Sale(command) => command.run().await,
            Client::Click(command) => command.run().await,
            Client::Source(command) => command.run().await,
            Client::Delivery(command) => command.run().await,
            Client::Links(command) => command.run().await,
            Client::Event(command) => command.run().await,
            Client::Funnel(args) => args.run().await,
            Client::Preset(command) => command.run(),
            Client::Snippet(args) => args.run(),
            Client::Key(command) => command.run(),
            Client::Migrate(args) => args.run().await,
            Client::Healthcheck(args) => args.run().await,
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
