//! Many rows on their way at once, so that the registry can commit them together, and never more than fit in memory.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Code, Status};

use super::{Common, rejected::Rejected};
use crate::{
    client::{Clients, explain},
    output::{self, INTERRUPTED},
    sheet::{Problem, Row, Sheet},
};

/// How many calls are under way at once: twice what the registry commits together.
const LANES: usize = 256;
/// How many rows wait in each lane.
const WAITING: usize = 4;
/// One connection carries at most 200 calls.
const CONNECTIONS: usize = 4;
/// How many rejected rows are named.
const NAMED: u64 = 10;

/// What the rows of a file mean.
pub(super) trait Rows: Clone + Send + Sync + 'static {
    /// What is sent for a row.
    type Call: Clone + Send + 'static;

    /// Reads a row.
    fn read(&self, row: Row<'_>) -> Result<Read<Self::Call>, Problem>;

    /// Sends it. Sent again, it is the same.
    fn send(
        clients: &mut Clients,
        call: Self::Call,
    ) -> impl Future<Output = Result<Sent, Status>> + Send;
}

/// What a row turns out to be.
pub(super) enum Read<C> {
    /// Something to send. Rows of the same `about` are sent in the order of the file.
    Call { call: C, about: String },
    /// Nothing, and why.
    LeftOut(&'static str),
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Something of it was new.
    New,
    /// All of it was known.
    Known,
}

/// How far it came.
pub(super) struct Imported {
    pub(super) summary: Summary,
    /// It did not come to the end of the file.
    pub(super) stopped: Option<anyhow::Result<ExitCode>>,
}

/// What became of the rows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) rows: u64,
    /// In a dry run: would be sent.
    pub(super) new: u64,
    pub(super) known: u64,
    pub(super) left_out: u64,
    pub(super) rejected: u64,
}

impl Summary {
    /// In words.
    pub(super) fn text(&self, dry_run: bool, rejected: Option<&Path>) -> String {
        let Self { rows, new, known, left_out, rejected: refused } = self;
        let done = if dry_run {
            format!("{new} can be imported")
        } else {
            format!("{new} new, {known} known already")
        };
        let left_out = if *left_out > 0 { format!(", {left_out} left out") } else { String::new() };
        let place = rejected.filter(|_| *refused > 0);
        let place = place.map_or_else(String::new, |path| format!(" (in {})", path.display()));
        format!("{rows} rows: {done}{left_out}, {refused} rejected{place}")
    }
}

/// A row on its way.
struct Job<C> {
    origin: Origin,
    call: C,
}

/// Where a row comes from.
struct Origin {
    line: u64,
    /// Its columns, where rejected rows are written somewhere.
    texts: Vec<String>,
}

enum Outcome {
    Sent(Sent),
    LeftOut(&'static str),
    Rejected(Origin, String),
    /// Nothing more can be done.
    Lost(Status),
    /// The file cannot be read any more.
    Unreadable(anyhow::Error),
}

/// Imports a file.
pub(super) async fn import<R: Rows>(
    rows: R,
    sheet: Sheet,
    common: &Common,
) -> anyhow::Result<Imported> {
    let style = ProgressStyle::with_template(
        "{bar:32} {human_pos}/{human_len} rows, {per_sec}, {eta} left",
    )?;
    let progress = ProgressBar::new(sheet.shown.rows).with_style(style);
    let mut rejected = Rejected::open(common.rejected.as_deref(), &sheet.header)?;
    let mut summary = Summary::default();
    let mut left_out: Vec<(&'static str, u64)> = Vec::new();

    let (outcomes, mut outcome) = mpsc::channel(LANES);
    let mut tasks = JoinSet::new();
    let lanes =
        if common.dry_run { Vec::new() } else { lanes::<R>(common, &outcomes, &mut tasks)? };
    let keep = common.rejected.is_some();
    tasks.spawn_blocking(move || read(&rows, &sheet, keep, &lanes, &outcomes));

    let mut stopped = None;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let outcome = tokio::select! {
            outcome = outcome.recv() => outcome,
            signal = &mut interrupted => {
                signal?;
                output::note("interrupted: import the file again, and the rest is added");
                stopped = Some(Ok(ExitCode::from(INTERRUPTED)));
                break;
            }
        };
        match outcome {
            None => break,
            Some(Outcome::Sent(Sent::New)) => summary.new += 1,
            Some(Outcome::Sent(Sent::Known)) => summary.known += 1,
            Some(Outcome::LeftOut(why)) => {
                summary.left_out += 1;
                match left_out.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, count)) => *count += 1,
                    None => left_out.push((why, 1)),
                }
            }
            Some(Outcome::Rejected(origin, why)) => {
                summary.rejected += 1;
                if summary.rejected <= NAMED {
                    progress.suspend(|| output::note(format!("line {}: {why}", origin.line)));
                }
                rejected.add(&origin.texts, origin.line, &why)?;
            }
            Some(Outcome::Lost(status)) => {
                let lost = explain(&status)
                    .context("stopped: import the file again, and the rest is added");
                stopped = Some(Err(lost));
                break;
            }
            Some(Outcome::Unreadable(error)) => {
                stopped = Some(Err(error));
                break;
            }
        }
        summary.rows += 1;
        progress.inc(1);
    }
    // Whoever still sends finds nobody to tell.
    drop(outcome);
    tasks.abort_all();
    progress.finish_and_clear();
    rejected.finish()?;
    if summary.rejected > NAMED {
        output::note(format!("… and {} more", summary.rejected - NAMED));
    }
    for (why, count) in left_out {
        output::note(format!("left out: {count} rows, {why}"));
    }
    Ok(Imported { summary, stopped })
}

/// Reads all rows and hands each to the lane of what it is about.
fn read<R: Rows>(
    rows: &R,
    sheet: &Sheet,
    keep: bool,
    lanes: &[mpsc::Sender<Job<R::Call>>],
    outcomes: &mpsc::Sender<Outcome>,
) {
    let each = || -> anyhow::Result<()> {
        let mut all = sheet.rows()?;
        while let Some(row) = all.next()? {
            let origin =
                || Origin { line: row.line, texts: if keep { row.texts() } else { Vec::new() } };
            let outcome = match rows.read(row) {
                Ok(Read::Call { call, about }) => match lanes.get(lane(&about)) {
                    Some(lane) => {
                        if lane.blocking_send(Job { origin: origin(), call }).is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                    None => Outcome::Sent(Sent::New),
                },
                Ok(Read::LeftOut(why)) => Outcome::LeftOut(why),
                Err(problem) => Outcome::Rejected(origin(), problem.to_string()),
            };
            if outcomes.blocking_send(outcome).is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    if let Err(error) = each() {
        // Where nobody listens, it was stopped for another reason.
        let _ = outcomes.blocking_send(Outcome::Unreadable(error));
    }
}

fn lane(about: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    about.hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0)
}

fn lanes<R: Rows>(
    common: &Common,
    outcomes: &mpsc::Sender<Outcome>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Vec<mpsc::Sender<Job<R::Call>>>> {
    let connections =
        (0..CONNECTIONS).map(|_| common.connect.clients()).collect::<Result<Vec<_>, _>>()?;
    let lane = |n: usize| {
        let (sender, mut jobs) = mpsc::channel::<Job<R::Call>>(WAITING);
        let mut clients = connections[n % CONNECTIONS].clone();
        let outcomes = outcomes.clone();
        tasks.spawn(async move {
            while let Some(Job { origin, call }) = jobs.recv().await {
                let outcome = match send::<R>(&mut clients, call).await {
                    Ok(sent) => Outcome::Sent(sent),
                    Err(status) if is_the_rows(status.code()) => {
                        Outcome::Rejected(origin, status.message().to_owned())
                    }
                    Err(status) => Outcome::Lost(status),
                };
                if outcomes.send(outcome).await.is_err() {
                    return;
                }
            }
        });
        sender
    };
    Ok((0..LANES).map(lane).collect())
}

/// Whether a refusal is one row's and says nothing of the next.
fn is_the_rows(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition
    )
}

/// Sends, and again where the registry has no time: what is sent again is the same.
async fn send<R: Rows>(clients: &mut Clients, call: R::Call) -> Result<Sent, Status> {
    const TRIES: u32 = 9;
    let mut tries = 0;
    loop {
        let status = match R::send(clients, call.clone()).await {
            Ok(sent) => return Ok(sent),
            Err(status) => status,
        };
        tries += 1;
        let again = matches!(
            status.code(),
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted
        );
        if !again || tries == TRIES {
            return Err(status);
        }
        // Up to half a minute in all: a registry that starts again is back by then.
        tokio::time::sleep(Duration::from_millis(50) * 2_u32.pow(tries)).await;
    }
}
