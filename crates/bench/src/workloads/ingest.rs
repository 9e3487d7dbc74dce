//! Clicks into the registry's database, in runs as a redirect ships them, one after the other. Everything has
//! both cores. The references write the same rows into the same tables, by a function call and not over gRPC.

use std::time::Instant;

use anyhow::{bail, ensure};
use tagalong_proto::v1::{RecordClicksRequest, click_service_client::ClickServiceClient};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    harness::{Check, Goal, Outcome, Plan, Round},
    load::connection,
    process::Process,
    references::{postgres::Clicks, sqlite::Sqlite},
    sample::{Run, runs},
    systems,
};

/// As many as a redirect ships at once.
const RUN: usize = 4000;

/// Takes runs of one click log.
struct Log {
    store: Store,
    id: Uuid,
    next: i64,
}

enum Store {
    Tagalong(ClickServiceClient<Channel>),
    Sqlite(Sqlite),
    Postgres(Clicks),
}

impl Log {
    fn of(store: Store) -> Self {
        Self { store, id: Uuid::now_v7(), next: 1 }
    }

    fn of_registry(registry: &Process) -> anyhow::Result<Self> {
        let client = ClickServiceClient::new(connection(&registry.url("grpc")?)?);
        Ok(Self::of(Store::Tagalong(client)))
    }

    async fn record(&mut self, run: Run) -> anyhow::Result<()> {
        let first = self.next;
        self.next += i64::try_from(run.rows.len())?;
        match &mut self.store {
            Store::Tagalong(client) => {
                let request = RecordClicksRequest {
                    log_id: self.id.to_string(),
                    first_position: first,
                    clicks: run.messages,
                    oldest_position: 1,
                };
                let stored = client.record_clicks(request).await?.into_inner().next_position;
                ensure!(stored == self.next, "the registry wants {stored} and not {}", self.next);
                Ok(())
            }
            Store::Sqlite(sqlite) => {
                tokio::task::block_in_place(|| sqlite.record(self.id, self.next, &run.rows))
            }
            Store::Postgres(clicks) => clicks.record(self.id, self.next, &run.rows).await,
        }
    }

    /// As many runs as it takes in the time of a turn.
    async fn turn(&mut self, plan: &Plan) -> anyhow::Result<Round> {
        let runs = runs(plan.size(75, 4), RUN);
        let begin = Instant::now();
        let mut clicks = 0;
        for run in runs {
            if begin.elapsed() > plan.turn() {
                break;
            }
            clicks += run.rows.len() as u64;
            self.record(run).await?;
        }
        Ok(Round::rate(clicks, begin.elapsed()))
    }
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let note = format!(
        "runs of {RUN} clicks, 5 % of them duplicates; tagalong gets them over gRPC, the \
         references by a function call"
    );
    let mut outcome = Outcome { notes: vec![note], ..Outcome::default() };

    let (path, url) = systems::sqlite(plan, "ingest-raw-sqlite")?;
    systems::campaign(plan, "ingest-raw-sqlite", &url).await?.end().await?;
    let raw = Log::of(Store::Sqlite(Sqlite::open(&path)?));
    let (_, url) = systems::sqlite(plan, "ingest-sqlite")?;
    let registry = systems::campaign(plan, "ingest-sqlite", &url).await?;
    let names = ["rusqlite, multi-VALUES", "tagalong, SQLite"];
    let logs = [raw, Log::of_registry(&registry)?];
    compare(plan, name, names, logs, Goal::AtLeast(0.4), &mut outcome).await?;
    drop(registry);

    let Some(server) = &plan.postgres else { return Ok(outcome) };
    let raw = server.database("ingest-raw").await?;
    let ours = server.database("ingest-ours").await?;
    systems::campaign(plan, "ingest-raw-postgres", &raw.url()?).await?.end().await?;
    let log = Log::of(Store::Postgres(Clicks::connect(&raw).await?));
    let registry = systems::campaign(plan, "ingest-postgres", &ours.url()?).await?;
    let names = ["tokio-postgres, UNNEST", "tagalong, PostgreSQL"];
    let logs = [log, Log::of_registry(&registry)?];
    compare(plan, name, names, logs, Goal::AtLeast(0.8), &mut outcome).await?;
    drop(registry);
    raw.remove().await?;
    ours.remove().await?;
    Ok(outcome)
}

async fn compare(
    plan: &Plan,
    name: &str,
    names: [&str; 2],
    mut logs: [Log; 2],
    goal: Goal,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let contenders = [(names[0], 0), (names[1], 1)];
    let measurements = plan
        .interleave(name, "clicks/s", &contenders, async |which: usize| {
            logs[which].turn(plan).await
        })
        .await?;
    let [raw, ours] = &measurements[..] else { bail!("two were measured") };
    outcome.checks.push(Check::ratio(ours, raw, Some(goal)));
    outcome.measurements.extend(measurements);
    Ok(())
}
