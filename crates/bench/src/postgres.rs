//! A `PostgreSQL` server: somebody's, or one of our own that goes away again.

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Signal, geteuid};
use tokio::{process::Command, time::sleep};
use tokio_postgres::{Client, Config, NoTls, config::Host};

use crate::{
    harness::Plan,
    note,
    process::{Cores, Process, free_address, program},
};

/// A server on which databases can be made.
pub(crate) struct Postgres {
    config: Config,
    /// Ours to stop.
    _cluster: Option<Process>,
}

impl Postgres {
    /// The server of a URL, whose user may make databases.
    pub(crate) fn at(url: &str) -> anyhow::Result<Self> {
        let config = Config::from_str(url).context("the PostgreSQL URL cannot be read")?;
        Ok(Self { config, _cluster: None })
    }

    /// Starts one from the system's packages, as they configure it: `fsync` and `synchronous_commit` are on.
    ///
    /// # Errors
    /// There are no such packages.
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        const MISSING: &str = "PostgreSQL is missing: apt-get install postgresql, \
             name a server in TAGALONG_BENCH_POSTGRES, or leave it out with --skip-postgres";
        let programs = programs().context(MISSING)?;
        let directory = plan.directory("postgres")?;
        let data = directory.join("data");
        // PostgreSQL refuses to run as root.
        let user: &[&str] = if geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory)).await.context(MISSING)?;
            &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        } else {
            &["env"]
        };
        let initdb = programs.join("initdb");
        run(Command::new(user[0])
            .args(&user[1..])
            .arg(initdb)
            .args(["--auth=trust", "--username=tagalong", "--encoding=UTF8", "--locale=C"])
            .arg("--pgdata")
            .arg(&data)
            .current_dir(&directory))
        .await?;

        let address = free_address()?;
        let mut arguments: Vec<String> = user[1..].iter().map(ToString::to_string).collect();
        arguments.push(programs.join("postgres").display().to_string());
        arguments.extend(["-D".to_owned(), data.display().to_string()]);
        arguments.extend(["-p".to_owned(), address.port().to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        // An immediate shutdown: its children end with it, and the data is thrown away.
        let cluster = Process::start("postgres", Cores::Both, user[0], arguments, &directory)?
            .stopped_by(Signal::QUIT);
        let mut config = Config::new();
        config.host("127.0.0.1").port(address.port()).user("tagalong").dbname("postgres");
        let begin = Instant::now();
        while let Err(error) = connect(&config).await {
            if begin.elapsed() > Duration::from_secs(30) {
                bail!("PostgreSQL does not start: {error:#}\n{}", cluster.complaints());
            }
            sleep(Duration::from_millis(50)).await;
        }
        note("started a PostgreSQL of our own");
        Ok(Self { config, _cluster: Some(cluster) })
    }

    /// A new and empty database.
    pub(crate) async fn database(&self, name: &str) -> anyhow::Result<Database> {
        let name = format!("tagalong_bench_{}", name.replace('-', "_"));
        let client = connect(&self.config).await?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let mut config = self.config.clone();
        config.dbname(&name);
        Ok(Database { server: self.config.clone(), name, config })
    }
}

/// One database.
pub(crate) struct Database {
    server: Config,
    name: String,
    config: Config,
}

impl Database {
    /// As the registry is told of it.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let Some(Host::Tcp(host)) = self.config.get_hosts().first() else {
            bail!("the PostgreSQL URL must name a host");
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let user = self.config.get_user().unwrap_or("postgres");
        let password = self.config.get_password().map(String::from_utf8_lossy);
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        Ok(format!("postgres://{user}{password}@{host}:{port}/{}", self.name))
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.config).await
    }

    /// Drops it, whoever is still connected.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let client = connect(&self.server).await?;
        client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        Ok(())
    }
}

async fn connect(config: &Config) -> anyhow::Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    // It ends with its client; an error is the client's to tell.
    tokio::spawn(connection);
    Ok(client)
}

/// The directory of the newest `PostgreSQL`'s programs.
fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = debian
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path())))
        .max_by_key(|(version, _): &(u32, PathBuf)| *version)
        .map(|(_, path)| path.join("bin"));
    newest.or_else(|| program("initdb")?.parent().map(Path::to_owned))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.kill_on_drop(true).output().await?;
    if !output.status.success() {
        bail!("{:?}: {}", command.as_std(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
