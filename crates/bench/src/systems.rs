//! Tagalong's own processes, as an operator would start them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::{
    harness::Plan,
    http,
    load::connection,
    process::{Cores, Process, binary, is_status},
    sample,
};

/// When a click is durable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Durability {
    /// Before its visitor is answered.
    Strict,
    /// Soon after.
    Relaxed,
}

/// Settings that every service takes in the same way.
struct Settings(Vec<String>);

impl Settings {
    fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.0.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }
}

/// The key file of all services.
async fn token_keys(plan: &Plan) -> anyhow::Result<PathBuf> {
    let path = plan.directory("keys")?.join("token-keys.toml");
    if !path.exists() {
        let made = Command::new(binary("tagalong")?)
            .args(["key", "generate", "--file"])
            .arg(&path)
            .output()
            .await?;
        if !made.status.success() {
            bail!("tagalong key generate: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    Ok(path)
}

/// Whom a redirect asks and ships its clicks to.
pub(crate) struct Peers<'a> {
    pub(crate) registry: &'a Process,
    pub(crate) rendering: &'a Process,
}

/// Arguments of a redirect that keeps its data in `data`.
pub(crate) async fn redirect_arguments(
    plan: &Plan,
    data: &Path,
    durability: Durability,
) -> anyhow::Result<Vec<String>> {
    let durability = match durability {
        Durability::Strict => "strict",
        Durability::Relaxed => "relaxed",
    };
    let settings = Settings(Vec::new())
        .set("redirect.http", "127.0.0.1:0")
        .set("redirect.grpc", "127.0.0.1:0")
        .set("redirect.admin", "127.0.0.1:0")
        .set("redirect.data", data.display())
        .set("redirect.token_keys", token_keys(plan).await?.display())
        .set("redirect.click_durability", durability)
        // Nobody listens there: affiliate links need nobody.
        .set("redirect.registry", "http://127.0.0.1:9")
        .set("redirect.link_rendering", "http://127.0.0.1:9");
    Ok(settings.0)
}

/// A redirect alone, with a saved catalogue of so many products and nothing behind it.
pub(crate) async fn lone_redirect(
    plan: &Plan,
    name: &str,
    durability: Durability,
    products: usize,
) -> anyhow::Result<Process> {
    let data = plan.directory(name)?;
    std::fs::write(data.join("catalogue.bin"), sample::saved_catalogue(products))?;
    let arguments = redirect_arguments(plan, &data, durability).await?;
    let program = binary("tagalong-redirect")?;
    let redirect = Process::start(name, Cores::Server, program, arguments, &data)?
        .announced(&["http", "admin"])
        .await?;
    let address = redirect.address("http")?;
    check_link(address, &format!("/{}/p/max/", sample::product_id(0))).await?;
    Ok(redirect)
}

/// A redirect that asks its peers.
pub(crate) async fn redirect(
    plan: &Plan,
    name: &str,
    cores: Cores,
    peers: &Peers<'_>,
) -> anyhow::Result<Process> {
    let data = plan.directory(name)?;
    let arguments = redirect_arguments(plan, &data, Durability::Strict).await?;
    let arguments = Settings(arguments)
        .set("redirect.registry", peers.registry.url("grpc")?)
        .set("redirect.link_rendering", peers.rendering.url("grpc")?);
    Process::start(name, cores, binary("tagalong-redirect")?, arguments.0, &data)?
        .announced(&["http", "admin"])
        .await?
        .ready()
        .await
}

/// A registry on `database`, a URL.
pub(crate) async fn registry(
    plan: &Plan,
    name: &str,
    cores: Cores,
    database: &str,
) -> anyhow::Result<Process> {
    let data = plan.directory(name)?;
    let settings = Settings(Vec::new())
        .set("attendee_registry.http", "127.0.0.1:0")
        .set("attendee_registry.grpc", "127.0.0.1:0")
        .set("attendee_registry.admin", "127.0.0.1:0")
        .set("attendee_registry.database", database)
        .set("attendee_registry.data_keys", data.join("data-keys.toml").display())
        .set("attendee_registry.token_keys", token_keys(plan).await?.display());
    let program = binary("tagalong-attendee-registry")?;
    Process::start(name, cores, program, settings.0, &data)?
        .announced(&["grpc", "admin"])
        .await?
        .ready()
        .await
}

/// A registry with both cores on a new database, with the sample campaign in it.
pub(crate) async fn campaign(plan: &Plan, name: &str, database: &str) -> anyhow::Result<Process> {
    let registry = registry(plan, name, Cores::Both, database).await?;
    sample::create_campaign(connection(&registry.url("grpc")?)?).await?;
    Ok(registry)
}

/// Link rendering that asks a registry.
pub(crate) async fn rendering(
    plan: &Plan,
    name: &str,
    cores: Cores,
    registry: &Process,
) -> anyhow::Result<Process> {
    let data = plan.directory(name)?;
    let settings = Settings(Vec::new())
        .set("link_rendering.grpc", "127.0.0.1:0")
        .set("link_rendering.admin", "127.0.0.1:0")
        .set("link_rendering.registry", registry.url("grpc")?)
        .set("link_rendering.public_url", "https://go.example.com")
        .set("link_rendering.token_keys", token_keys(plan).await?.display());
    let program = binary("tagalong-link-rendering")?;
    Process::start(name, cores, program, settings.0, &data)?
        .announced(&["grpc", "admin"])
        .await?
        .ready()
        .await
}

/// Everything in one process, on `SQLite` below the directory of its name.
pub(crate) async fn all_in_one(plan: &Plan, name: &str, cores: Cores) -> anyhow::Result<Process> {
    let data = plan.directory(name)?;
    let mut arguments = vec!["up".to_owned(), "--data".to_owned(), data.display().to_string()];
    for listener in ["--http", "--grpc", "--admin"] {
        arguments.extend([listener.to_owned(), "127.0.0.1:0".to_owned()]);
    }
    let arguments = Settings(arguments)
        .set("redirect.click_durability", "strict")
        .set("link_rendering.public_url", "https://go.example.com");
    Process::start(name, cores, binary("tagalong")?, arguments.0, &data)?
        .announced(&["http", "grpc", "admin"])
        .await?
        .ready()
        .await
}

/// The URL of the `SQLite` database of this name.
pub(crate) fn sqlite(plan: &Plan, name: &str) -> anyhow::Result<(PathBuf, String)> {
    let path = plan.directory(name)?.join("registry.sqlite");
    let url = format!("sqlite://{}", path.display());
    Ok((path, url))
}

/// That a link answers as it should: what is fast and wrong is not measured.
pub(crate) async fn check_link(server: std::net::SocketAddr, path: &str) -> anyhow::Result<()> {
    let answer = http::get(server, path).await?;
    let head = answer.to_ascii_lowercase();
    let whole = is_status(&answer, 302) && head.contains("\r\nlocation: https://");
    whole.then_some(()).with_context(|| format!("{path} is answered with\n{answer}"))
}

/// That no click was lost, which would be a cheap way to be fast.
pub(crate) async fn check_clicks(redirect: &Process) -> anyhow::Result<()> {
    let dropped = http::metric(redirect.address("admin")?, "tagalong_clicks_dropped_total").await?;
    match dropped {
        Some(0.0) => Ok(()),
        Some(dropped) => bail!("{dropped} clicks were dropped"),
        None => bail!("the redirect does not say how many clicks it dropped"),
    }
}
