//! The shape of every binary: flags, settings, telemetry, the service, and a calm end.
use std::{
    fmt::Display,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Command, FromArgMatches as _};
use tokio::task::JoinHandle;

use crate::{
    clock::Clock,
    config::{self, Settings},
    drain::{Drain, Ready},
    telemetry,
};

mod signals;

use signals::{Signal, Signals};

/// What a service is started with.
#[derive(Clone, Debug)]
pub struct Process<C> {
    /// Its settings.
    pub config: C,
    /// Tells it to stop, and lets it stop the process.
    pub drain: Drain,
    /// Where it says what it still waits for.
    pub ready: Ready,
    /// Where it takes the time from.
    pub clock: Clock,
    /// What `/metrics` shows.
    pub metrics: prometheus::Registry,
}

/// The flags that decide on settings; part of every binary's command line.
#[derive(Args, Clone, Debug, Default)]
#[command(about = None, long_about = None)]
pub struct Flags {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE", env = "TAGALONG_CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one setting, over file and environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Print the settings in force, secrets redacted, and exit
    #[arg(long)]
    pub print_config: bool,
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as redirect.http=127.0.0.1:8080"),
    }
}

impl Flags {
    /// Reads settings with these flags.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load<C: Settings>(&self) -> Result<C, config::Error> {
        config::load(self.config.as_deref(), &self.set)
    }
}

/// How long clients and load balancers get to notice that the process will stop, before its
/// listeners close. Not when interrupted from a terminal: nobody balances load there.
const NOTICE: Duration = Duration::from_secs(2);

/// How long requests in flight get once listeners are closed.
const DEADLINE: Duration = Duration::from_secs(10);

/// A whole `main`: parses flags, loads settings, and does what [`run`] does. Exits with 0, with 1
/// after an error, or with 2 when flags or settings are wrong.
pub fn main<C, F, Fut>(name: &'static str, start: F) -> ExitCode
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let command = Flags::augment_args(Command::new(name))
        .about("Part of Tagalong")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(format!(
            "Settings: defaults < file < environment (TAGALONG__LOG__FORMAT sets log.format) < flags.\n\
             \n\
             Example:\n  {name} --config /etc/tagalong.toml --set log.format=json"
        ));
    let flags = match Flags::from_arg_matches(&command.get_matches()) {
        Ok(flags) => flags,
        Err(error) => error.exit(),
    };
    let shown =
        |config: &C| if flags.print_config { config::to_toml(config).map(Some) } else { Ok(None) };
    match flags.load::<C>().and_then(|config| Ok((shown(&config)?, config))) {
        Err(error) => {
            complain(name, &anyhow::Error::new(error));
            ExitCode::from(2)
        }
        Ok((Some(toml), _)) => {
            say(&toml);
            ExitCode::SUCCESS
        }
        Ok((None, config)) => run(name, config, start),
    }
}

/// Runs a service in a runtime of its own until it ends or the system asks it to: SIGTERM
/// announces for two seconds, then drains; SIGINT drains at once; either way requests in flight
/// have ten seconds, and a second signal ends the process at once. The future `start` returns
/// is the service's whole life. An error is printed once, with its causes.
pub fn run<C, F, Fut>(name: &'static str, config: C, start: F) -> ExitCode
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| {
            let ended = runtime.block_on(live(name, config, start));
            // Whatever did not end in time must not hold up the exit.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(name, &error);
            ExitCode::FAILURE
        }
    }
}

async fn live<C, F, Fut>(name: &'static str, config: C, start: F) -> anyhow::Result<()>
where
    C: Settings,
    F: FnOnce(Process<C>) -> Fut,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let signals = Signals::listen().context("cannot listen for signals")?;
    let telemetry = telemetry::init(name, config.log())?;
    let process = Process {
        config,
        drain: Drain::default(),
        ready: Ready::default(),
        clock: Clock::system(),
        metrics: telemetry.registry(),
    };
    let drain = process.drain.clone();
    let ended = supervise(tokio::spawn(start(process)), &drain, signals, NOTICE, DEADLINE).await;
    telemetry.shutdown().await;
    ended
}

async fn supervise(
    mut service: JoinHandle<anyhow::Result<()>>,
    drain: &Drain,
    mut signals: Signals,
    notice: Duration,
    deadline: Duration,
) -> anyhow::Result<()> {
    let signal = tokio::select! {
        ended = &mut service => return ended.context("the service panicked")?,
        () = drain.started() => None,
        signal = signals.next() => Some(signal),
    };
    tracing::info!(signal = signal.map(tracing::field::debug), "stopping");
    drain.announce();
    let stop = async {
        if signal == Some(Signal::Terminate) {
            tokio::time::sleep(notice).await;
        }
        drain.start();
        tokio::time::timeout(deadline, &mut service).await
    };
    let ended = tokio::select! {
        ended = stop => ended,
        _ = signals.next() => anyhow::bail!("stopped at once by a second signal"),
    };
    if let Ok(ended) = ended {
        return ended.context("the service panicked")?;
    }
    service.abort();
    tracing::warn!(?deadline, "stopped with requests in flight");
    Ok(())
}

/// Prints `{service} {kind} {addr}` (`redirect http 127.0.0.1:8080`) on stdout, where tests and
/// operators read which address was bound.
pub fn announce(service: &str, kind: &str, addr: impl Display) {
    say(&format!("{service} {kind} {addr}\n"));
}

fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    // Whoever closed stdout does not want to know.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn complain(name: &str, error: &anyhow::Error) {
    // There is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{name}: {error:#}");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn running(drain: &Drain) -> JoinHandle<anyhow::Result<()>> {
        let drain = drain.clone();
        tokio::spawn(async move {
            drain.started().await;
            anyhow::bail!("drained")
        })
    }

    #[test]
    fn settings_on_the_command_line_have_a_key_and_a_value() {
        let line =
            Line::try_parse_from(["x", "--set", "redirect.http=a=b", "--set", "log.filter="]);
        let expected = [("redirect.http", "a=b"), ("log.filter", "")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(line.unwrap().flags.set, expected);
        assert!(Line::try_parse_from(["x", "--set", "redirect.http"]).is_err());
    }

    #[tokio::test]
    async fn a_drain_from_inside_ends_the_service_and_its_error_is_the_process_s() {
        let drain = Drain::default();
        let service = running(&drain);
        drain.start();
        let signals = Signals::listen().unwrap();
        let ended = supervise(service, &drain, signals, NOTICE, DEADLINE).await;
        assert_eq!(ended.unwrap_err().to_string(), "drained");
    }

    #[tokio::test]
    async fn what_is_in_flight_has_a_deadline() {
        let drain = Drain::default();
        let service = tokio::spawn(std::future::pending());
        drain.start();
        let signals = Signals::listen().unwrap();
        supervise(service, &drain, signals, NOTICE, Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let service = tokio::spawn(async { panic!("on purpose") });
        let signals = Signals::listen().unwrap();
        let ended = supervise(service, &Drain::default(), signals, NOTICE, DEADLINE).await;
        assert!(ended.unwrap_err().to_string().contains("panicked"));
    }
}
