//! Registrations, from 64 callers over gRPC. Everything has both cores. The references write the rows of each
//! registration in a transaction of its own: `SQLite` takes one at a time, `PostgreSQL` on 16 connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::bail;
use tagalong_proto::v1::attendee_service_client::AttendeeServiceClient;
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::{
    harness::{Check, Goal, Outcome, Plan, Round},
    load::{callers, connection},
    process::Process,
    references::{postgres::Registrations, sqlite::Sqlite},
    sample::{self, Registered},
    systems,
};

const CALLERS: usize = 64;
const CONNECTIONS: usize = 16;

enum Store {
    Tagalong(AttendeeServiceClient<Channel>),
    Sqlite(Sqlite),
    /// A connection for each caller.
    Postgres(Arc<Vec<Mutex<Registrations>>>),
}

impl Store {
    fn of_registry(registry: &Process) -> anyhow::Result<Self> {
        Ok(Self::Tagalong(AttendeeServiceClient::new(connection(&registry.url("grpc")?)?)))
    }

    /// As many registrations as it takes in the time of a turn. `numbers` counts them: each is somebody new.
    async fn turn(&mut self, plan: &Plan, numbers: &Arc<AtomicU64>) -> anyhow::Result<Round> {
        let next = {
            let numbers = numbers.clone();
            move || numbers.fetch_add(1, Ordering::Relaxed)
        };
        match self {
            Self::Tagalong(client) => {
                let client = client.clone();
                callers(CALLERS, plan.turn(), move |_| {
                    let (mut client, number) = (client.clone(), next());
                    async move {
                        client.register_attendee(sample::registration(number)).await?;
                        Ok(())
                    }
                })
                .await
            }
            Self::Sqlite(sqlite) => tokio::task::block_in_place(|| {
                let begin = Instant::now();
                let mut count = 0;
                while begin.elapsed() < plan.turn() {
                    sqlite.register(&Registered::new(next()))?;
                    count += 1;
                }
                Ok(Round::rate(count, begin.elapsed()))
            }),
            Self::Postgres(connections) => {
                let connections = connections.clone();
                callers(connections.len(), plan.turn(), move |caller| {
                    let (connections, new) = (connections.clone(), Registered::new(next()));
                    async move { connections[caller].lock().await.register(&new).await }
                })
                .await
            }
        }
    }
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let note = format!(
        "{CALLERS} callers on one gRPC connection; PostgreSQL's reference has {CONNECTIONS} \
         connections and pipelines the statements of a transaction"
    );
    let mut outcome = Outcome { notes: vec![note], ..Outcome::default() };

    let (path, url) = systems::sqlite(plan, "registration-raw-sqlite")?;
    systems::campaign(plan, "registration-raw-sqlite", &url).await?.end().await?;
    let raw = Store::Sqlite(Sqlite::open(&path)?);
    let (_, url) = systems::sqlite(plan, "registration-sqlite")?;
    let registry = systems::campaign(plan, "registration-sqlite", &url).await?;
    let names = ["rusqlite, a transaction each", "tagalong, SQLite"];
    let stores = [raw, Store::of_registry(&registry)?];
    compare(plan, name, names, stores, Goal::AtLeast(1.0), &mut outcome).await?;
    drop(registry);

    let Some(server) = &plan.postgres else { return Ok(outcome) };
    let raw = server.database("registration-raw").await?;
    let ours = server.database("registration-ours").await?;
    systems::campaign(plan, "registration-raw-postgres", &raw.url()?).await?.end().await?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Mutex::new(Registrations::connect(&raw).await?));
    }
    let connections = Store::Postgres(Arc::new(connections));
    let registry = systems::campaign(plan, "registration-postgres", &ours.url()?).await?;
    let names = ["tokio-postgres, a transaction each", "tagalong, PostgreSQL"];
    let stores = [connections, Store::of_registry(&registry)?];
    compare(plan, name, names, stores, Goal::AtLeast(0.5), &mut outcome).await?;
    drop(registry);
    raw.remove().await?;
    ours.remove().await?;
    Ok(outcome)
}

async fn compare(
    plan: &Plan,
    name: &str,
    names: [&str; 2],
    mut stores: [Store; 2],
    goal: Goal,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let contenders = [(names[0], 0), (names[1], 1)];
    let numbers = Arc::new(AtomicU64::new(0));
    let measurements = plan
        .interleave(name, "/s", &contenders, async |which: usize| {
            stores[which].turn(plan, &numbers).await
        })
        .await?;
    let [raw, ours] = &measurements[..] else { bail!("two were measured") };
    outcome.checks.push(Check::ratio(ours, raw, Some(goal)));
    outcome.measurements.extend(measurements);
    Ok(())
}
