//! Tagalong beside its references, measured in the same run.
//!
//! * `workloads`: what is measured, one file each
//! * `references`: what it is measured against: nginx, bare hyper, bare tonic, raw SQL
//! * `harness`: rounds that take turns, medians, ratios and goals
//! * `process`, `systems`, `postgres`: what runs meanwhile; `load`, `wrk`: who asks
//! * `sample`: the products, clicks and registrations it is about
//! * `machine`: whether it was quiet enough; `report`, `plot`: what comes out

mod harness;
mod http;
mod load;
mod machine;
mod plot;
mod postgres;
mod process;
mod references;
mod report;
mod sample;
mod systems;
mod workloads;
mod wrk;

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{harness::Plan, workloads::Workload};

/// Measures Tagalong beside its references
///
/// Each workload runs in rounds in which the references and Tagalong take turns. Ratios are taken within a
/// round; what is shown is the median of the rounds. The binaries under test are those beside this one.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  cargo build --release --workspace && target/release/tagalong-bench
  target/release/tagalong-bench --only affiliate-link --only start --rounds 7
  target/release/tagalong-bench --quick --skip-postgres

Needs two cores, nginx and wrk (apt-get install nginx-light wrk), and PostgreSQL: its programs
(apt-get install postgresql), or a server named by TAGALONG_BENCH_POSTGRES."
)]
struct Args {
    /// Only this workload; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<Workload>,
    /// How often each reference and Tagalong take their turn [default: 5; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// A short form that only proves that everything runs: its numbers mean nothing
    #[arg(long)]
    quick: bool,
    #[arg(long, help = "Measure without PostgreSQL")]
    skip_postgres: bool,
    #[arg(
        long,
        value_name = "URL",
        env = "TAGALONG_BENCH_POSTGRES",
        hide_env_values = true,
        help = "A PostgreSQL server where databases tagalong_bench_* may be made and dropped \
                [default: one is started]"
    )]
    postgres: Option<String>,
    /// Where data is kept meanwhile; must be on a real disk
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    scratch: PathBuf,
    /// Where bench.json and bench.svg go [default: crates/bench/results for a whole run, else nowhere]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    reference: Option<Reference>,
}

/// References that are servers of our own, started by the bench.
#[derive(Debug, clap::Subcommand)]
#[command(hide = true)]
enum Reference {
    /// Bare hyper
    #[command(hide = true)]
    Http { address: SocketAddr },
    /// Bare tonic
    #[command(hide = true)]
    Grpc { address: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let ended = runtime.block_on(async {
        match args.reference {
            Some(Reference::Http { address }) => references::hyper::serve(address).await,
            Some(Reference::Grpc { address }) => references::tonic::serve(address).await,
            // What is running is dropped with the future, and stops what it has started.
            None => tokio::select! {
                biased;
                interrupted = interrupted() => interrupted,
                ended = bench(&args) => ended,
            },
        }
    });
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn bench(args: &Args) -> anyhow::Result<()> {
    let rounds = args.rounds.map_or(if args.quick { 1 } else { 5 }, |rounds| rounds as usize);
    let whole = args.only.is_empty() && !args.quick && !args.skip_postgres;
    let workloads = if args.only.is_empty() { Workload::all().to_vec() } else { args.only.clone() };
    let stores = workloads.iter().any(|workload| workload.needs_postgres());
    workloads::check_tools(&workloads)?;

    let machine = machine::Machine::look(&args.scratch)?;
    let mut plan = Plan::new(rounds, args.quick, &args.scratch)?;
    if stores && !args.skip_postgres {
        plan.postgres = Some(match &args.postgres {
            Some(url) => postgres::Postgres::at(url)?,
            None => postgres::Postgres::start(&plan).await?,
        });
    }
    let mut outcomes = Vec::new();
    for workload in workloads {
        let watch = machine::Watch::start()?;
        let mut outcome = workload.run(&plan).await?;
        outcome.steal = watch.steal()?;
        outcomes.push(outcome);
    }
    let report = report::Report { machine, rounds, quick: args.quick, outcomes };
    print(&report.to_string())?;
    let out = args.out.clone().or_else(|| whole.then(|| "crates/bench/results".into()));
    if let Some(out) = out {
        std::fs::create_dir_all(&out)?;
        std::fs::write(out.join("bench.json"), report.to_json()? + "\n")?;
        std::fs::write(out.join("bench.svg"), plot::svg(&report))?;
        note(&format!("wrote {0}/bench.json and {0}/bench.svg", out.display()));
    }
    Ok(())
}

async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    anyhow::bail!("interrupted; everything that was started is stopped")
}

/// A line of result, on standard output.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Progress, on standard error.
fn note(text: &str) {
    // Nobody reads it: the measurement goes on.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn fail(error: &anyhow::Error) -> ExitCode {
    note(&format!("tagalong-bench: {error:#}"));
    ExitCode::FAILURE
}
