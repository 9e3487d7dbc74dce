//! A CSV export of registrations, imported by the command line into a registry on `SQLite`. Everything has both cores. The
//! reference writes the attendee, address, registration and touch of each row, all in transactions of 500 rows.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::{
    harness::{Check, Goal, Outcome, Plan, Round},
    process::{self, Process, binary},
    references::sqlite::Sqlite,
    sample, systems,
};

/// The memory of a process may be this much higher for ten times the rows.
const FLAT: f64 = 1.2;

#[derive(Clone, Copy)]
enum Contender {
    Insert,
    Import,
    Again,
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let rows = plan.size(50_000, 500) as u64;
    let directory = plan.directory(name)?;
    let (raw, url) = systems::sqlite(plan, "import-raw")?;
    systems::campaign(plan, "import-raw", &url).await?.end().await?;
    let (_, url) = systems::sqlite(plan, "import-ours")?;
    let registry = systems::campaign(plan, "import-ours", &url).await?;
    let (mut stored, mut exported) = (0, 0);
    let mut file = |rows| {
        let file = export(&directory, exported, rows);
        exported += rows;
        file
    };

    // So much more memory than for a tenth of the rows.
    let tenth = import(&registry, &file(rows / 10)?).await?;
    let (mut newest, mut most) = (file(rows)?, Memory::default());
    import(&registry, &newest).await?;
    let contenders = [
        ("rusqlite, 500 rows a transaction", Contender::Insert),
        ("tagalong import", Contender::Import),
        ("tagalong import, the same file again", Contender::Again),
    ];
    let measurements = plan
        .interleave(name, "rows/s", &contenders, async |contender| {
            let mut begin = Instant::now();
            match contender {
                Contender::Insert => {
                    let (raw, numbers) = (raw.clone(), stored..stored + rows);
                    stored += rows;
                    let insert = move || Sqlite::open(&raw)?.fill(numbers, 500);
                    tokio::task::spawn_blocking(insert).await??;
                }
                Contender::Import => {
                    newest = file(rows)?;
                    begin = Instant::now();
                    most = most.most(import(&registry, &newest).await?);
                }
                Contender::Again => most = most.most(import(&registry, &newest).await?),
            }
            Ok(Round::rate(rows, begin.elapsed()))
        })
        .await?;
    let [insert, new, again] = &measurements[..] else { bail!("three were measured") };
    let checks = vec![
        Check::ratio(new, insert, None),
        Check::ratio(again, insert, None),
        Check::value(
            "memory of the import / of a tenth of the rows, worst round",
            most.import / tenth.import,
            "x",
            Some(Goal::AtMost(FLAT)),
        ),
        Check::value(
            "memory of the registry / after a tenth of the rows, worst round",
            most.registry / tenth.registry,
            "x",
            Some(Goal::AtMost(FLAT)),
        ),
    ];
    let note =
        format!("{rows} rows in a file; the import has a process of its own beside the registry's");
    Ok(Outcome { measurements, checks, notes: vec![note], ..Outcome::default() })
}

/// A webinar tool's export of registrations nobody has heard of.
fn export(directory: &Path, first: u64, rows: u64) -> anyhow::Result<PathBuf> {
    let path = directory.join(format!("registrations-{first}.csv"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    writeln!(file, "registration_id,email,registered_at,affiliate")?;
    for number in first..first + rows {
        let affiliate = sample::affiliate(number);
        writeln!(file, "i-{number},import{number}@example.com,2026-11-01T10:00:00Z,{affiliate}")?;
    }
    file.flush()?;
    Ok(path)
}

/// What two processes occupied at their highest, in MB.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    import: f64,
    registry: f64,
}

impl Memory {
    fn most(self, other: Self) -> Self {
        Self { import: self.import.max(other.import), registry: self.registry.max(other.registry) }
    }
}

/// Imports a file as an operator would.
async fn import(registry: &Process, file: &Path) -> anyhow::Result<Memory> {
    let output = tempfile::NamedTempFile::new()?;
    let mut import = Command::new(binary("tagalong")?)
        .args(["import", "registrations"])
        .arg(file)
        .args(["--webinar", sample::WEBINAR, "--source", "landing-page"])
        .env("TAGALONG_GRPC", registry.url("grpc")?)
        .stdout(output.reopen()?)
        .stderr(output.reopen()?)
        .kill_on_drop(true)
        .spawn()?;
    let mut memory = Memory::default();
    let ended = loop {
        let pid = import.id().context("the import has ended")?;
        tokio::select! {
            ended = import.wait() => break ended?,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                let now = Memory {
                    // It may have ended between two looks.
                    import: process::memory(pid).unwrap_or_default(),
                    registry: registry.memory()?,
                };
                memory = memory.most(now);
            }
        }
    };
    let said = std::fs::read_to_string(output.path())?;
    ensure!(ended.success(), "tagalong import: {said}");
    Ok(memory)
}
