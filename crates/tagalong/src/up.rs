//! All services in one process: the same code, no sockets between them.

use std::{
    fs::{DirBuilder, File},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tagalong_attendee_registry::{Hooks, keys, store::Store};
use tagalong_chassis::{
    config::{self, LogConfig},
    process::{self, Flags, Process, announce},
    public_url::PublicUrl,
    serve, transport,
};
use tagalong_redirect::Peers;
use tokio::{net::TcpListener, runtime::Handle};

use crate::{client::Clients, demo, output};

mod front;

use front::Front;

/// Run everything in one process, with a database of its own
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  tagalong up --data ./tagalong-data --http 0.0.0.0:8080 --set link_rendering.public_url=https://go.example.com"
)]
pub(crate) struct Args {
    /// Directory of all data and keys; made where there is none
    #[arg(long, value_name = "DIR", default_value = "tagalong-data")]
    data: PathBuf,
    /// Where visitors come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where gRPC is served [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// Where health and metrics are served [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Load a demo campaign, and print what to click
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// What `tagalong` does without a command.
    pub(crate) fn demo() -> Self {
        Self {
            data: "tagalong-data".into(),
            http: None,
            grpc: None,
            admin: None,
            demo: true,
            flags: Flags::default(),
        }
    }
}

/// Settings of all services. Where they listen and meet is said by `redirect` alone.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The redirect.
    pub redirect: tagalong_redirect::Config,
    /// The attendee registry.
    pub attendee_registry: tagalong_attendee_registry::Config,
    /// Link rendering.
    pub link_rendering: tagalong_link_rendering::Config,
    /// Logging.
    pub log: LogConfig,
}

impl config::Settings for Settings {
    fn log(&self) -> &LogConfig {
        &self.log
    }
}

impl Settings {
    /// Settings that keep everything below one directory, and listen where they are told.
    fn read(args: &Args) -> Result<Self, config::Error> {
        let mut flags = args.flags.clone();
        let addresses = [
            ("redirect.http", &args.http),
            ("redirect.grpc", &args.grpc),
            ("redirect.admin", &args.admin),
        ];
        for (key, address) in addresses {
            if let Some(address) = address {
                flags.set.push((key.to_owned(), address.clone()));
            }
        }
        let mut settings: Self = flags.load()?;
        settings.keep_below(&args.data);
        Ok(settings)
    }

    /// Moves what was left at its default below `data`.
    pub(crate) fn keep_below(&mut self, data: &Path) {
        let defaults = Self::default();
        let registry = &mut self.attendee_registry;
        if registry.database == defaults.attendee_registry.database {
            let database = data.join("registry.sqlite");
            registry.database = format!("sqlite://{}", database.display()).into();
        }
        if registry.data_keys == defaults.attendee_registry.data_keys {
            registry.data_keys = data.join("data-keys.toml");
        }
        if registry.token_keys == defaults.attendee_registry.token_keys {
            registry.token_keys = data.join("token-keys.toml");
        }
        if self.redirect.data == defaults.redirect.data {
            self.redirect.data = data.join("redirect");
        }
    }
}

/// Runs until told to stop.
pub(crate) fn run(args: &Args) -> ExitCode {
    let settings = match Settings::read(args) {
        Ok(settings) => settings,
        Err(error) => {
            output::complain(&error.into());
            return ExitCode::from(2);
        }
    };
    if args.flags.print_config {
        let printed = config::to_toml(&settings).map_err(Into::into).and_then(output::line);
        return printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let (data, demo) = (args.data.clone(), args.demo);
    process::run("tagalong", settings, move |process| async move {
        let all = All::open(process, &data).await?;
        all.announce()?;
        if demo {
            demo::load(&all.clients(), &all.http_url()?, &all.grpc_url()?).await?;
        }
        Box::pin(all.serve()).await
    })
}

/// All services, opened and bound.
pub(crate) struct All {
    process: Process<Settings>,
    registry: tagalong_attendee_registry::Service,
    rendering: tagalong_link_rendering::Service,
    redirect: tagalong_redirect::Service,
    http: TcpListener,
    grpc: TcpListener,
    admin: TcpListener,
    _lock: File,
}

impl All {
    /// Opens data and keys, making them at the first start, and binds all addresses.
    pub(crate) async fn open(process: Process<Settings>, data: &Path) -> anyhow::Result<Self> {
        let Process { config, drain, ready, clock, .. } = &process;
        let lock = lock(data)?;
        let http = serve::listen(&config.redirect.http).await?;
        let grpc = serve::listen(&config.redirect.grpc).await?;
        let admin = serve::listen(&config.redirect.admin).await?;

        let registry = &config.attendee_registry;
        let store = Store::connect(registry.database.expose())
            .await
            .context("the registry's database cannot be opened")?;
        let (keys, tokens) = keys::open(&store, &registry.data_keys, &registry.token_keys).await?;
        let tokens = tokens.ring()?;
        let public_url = public_url(&config.link_rendering.public_url, &http)?;
        // Hooks are answered where visitors come in.
        let hooks = Hooks { public_url: public_url.clone(), ..config.attendee_registry.hooks()? };
        let registry = tagalong_attendee_registry::Service::new(
            store,
            keys,
            tokens.clone(),
            hooks,
            clock.clone(),
            drain.clone(),
        );
        let to_registry = transport::local_at_home(registry.routes());

        let rendering = tagalong_link_rendering::Service::new(
            public_url,
            to_registry.clone(),
            tokens.clone(),
            clock.clone(),
        );
        let peers =
            Peers { registry: to_registry, link_rendering: transport::local(rendering.routes()) };
        let redirect = tagalong_redirect::Service::open(
            &config.redirect,
            peers,
            tokens,
            clock.clone(),
            ready,
        )?;
        Ok(Self { registry, rendering, redirect, http, grpc, admin, _lock: lock, process })
    }

    fn announce(&self) -> anyhow::Result<()> {
        announce("redirect", "http", self.http.local_addr()?);
        announce("tagalong", "grpc", self.grpc.local_addr()?);
        announce("tagalong", "admin", self.admin.local_addr()?);
        Ok(())
    }

    /// Where visitors come in.
    pub(crate) fn http_url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.http.local_addr()?))
    }

    /// Where gRPC is served.
    pub(crate) fn grpc_url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.grpc.local_addr()?))
    }

    /// Clients inside the process.
    pub(crate) fn clients(&self) -> Clients {
        Clients::new(
            &transport::local(self.registry.routes()),
            transport::local(self.rendering.routes()),
            transport::local(self.redirect.routes()),
        )
    }

    /// Serves until drained.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        let Self { registry, rendering, redirect, http, grpc, admin, process, .. } = self;
        let Process { drain, ready, metrics, .. } = process;
        let routes = redirect.add_to(rendering.add_to(registry.routes()));
        let visitors = {
            let (redirect, hooks) = (redirect.clone(), registry.http());
            let runtime = Handle::current();
            move || Front::new(redirect.http(), hooks.clone(), runtime.clone())
        };
        let limits = serve::HttpLimits::default();
        let services = async {
            tokio::join!(
                drain.start_after(serve::http_on_threads(http, visitors, limits, drain.clone())),
                drain.start_after(serve::grpc(grpc, routes, ready.clone(), drain.clone())),
                serve::admin(admin, ready.clone(), metrics, drain.clone()),
                redirect.run(&drain),
                registry.run(),
            )
        };
        let (visited, served, (), (), ()) = tokio::select! {
            ended = services => ended,
            never = rendering.follow() => match never {},
        };
        redirect.close().await;
        registry.close().await?;
        visited?;
        served
    }
}

/// Where links point: as configured, else to where visitors come in.
fn public_url(configured: &PublicUrl, http: &TcpListener) -> anyhow::Result<PublicUrl> {
    if *configured != PublicUrl::local(8080) {
        return Ok(configured.clone());
    }
    let mut address = http.local_addr()?;
    if address.ip().is_unspecified() {
        tracing::warn!("links lead to this machine only: set link_rendering.public_url");
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    Ok(format!("http://{address}").parse()?)
}

/// Two processes on one data directory would each believe to be the only one.
fn lock(data: &Path) -> anyhow::Result<File> {
    // Keys and hashed addresses are nobody else's business.
    let mut directory = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    let made = directory.recursive(true).create(data);
    made.with_context(|| format!("cannot make {}", data.display()))?;
    let path = data.join("lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.try_lock().with_context(|| format!("{} is used by another process", data.display()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_settings_file_serves_every_process_and_a_misspelt_section_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tagalong.toml");
        let sections = "[redirect]\nhttp = \"127.0.0.1:1\"\n\
            [attendee_registry]\ngrpc = \"127.0.0.1:2\"\n\
            [link_rendering]\ngrpc = \"127.0.0.1:3\"\n";
        for (text, readable) in [(sections, true), ("[redirct]\nhttp = \"127.0.0.1:1\"\n", false)] {
            std::fs::write(&path, text).unwrap();
            let file = Some(path.as_path());
            for read in [
                config::load::<Settings>(file, &[]).is_ok(),
                config::load::<tagalong_redirect::Settings>(file, &[]).is_ok(),
                config::load::<tagalong_attendee_registry::Settings>(file, &[]).is_ok(),
                config::load::<tagalong_link_rendering::Settings>(file, &[]).is_ok(),
            ] {
                assert_eq!(read, readable, "{text}");
            }
        }
    }
}
