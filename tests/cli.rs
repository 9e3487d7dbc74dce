//! The command line, against running instances.

mod help;
mod presets;
mod records;
mod sales;
mod sources;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::{Composition, System, campaign, tagalong, until};

/// The command line, told where to find a running instance.
struct Cli {
    grpc: String,
    registry: String,
    rendering: String,
}

impl Cli {
    fn of(system: &mut System) -> Self {
        let grpc = system.grpc();
        let (registry, rendering) = match system.composition {
            Composition::AllInOne => (grpc.clone(), grpc.clone()),
            Composition::Separate => {
                (system.registry().url("grpc"), system.rendering().url("grpc"))
            }
        };
        Self { grpc, registry, rendering }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        command
            .env("TAGALONG_GRPC", &self.grpc)
            .env("TAGALONG_REGISTRY", &self.registry)
            .env("TAGALONG_LINK_RENDERING", &self.rendering)
            .args(arguments);
        command
    }

    /// Runs it with this on standard input.
    fn feed(&self, input: &str, arguments: &[&str]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What it prints; it must succeed.
    fn text(&self, arguments: &[&str]) -> String {
        succeeded(&self.feed("", arguments), arguments)
    }

    /// The JSON it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(arguments)).unwrap()
    }

    /// The JSON Lines it prints.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.text(arguments);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What it complains about; it must fail, with 1.
    fn refused(&self, arguments: &[&str]) -> String {
        failed(&self.feed("", arguments), 1, arguments)
    }
}

/// The command line, knowing nothing of the machine's own Tagalong.
fn command() -> Command {
    let mut command = Command::new(tagalong());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TAGALONG") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn succeeded(output: &Output, arguments: &[&str]) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {complaint}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(output: &Output, code: i32, arguments: &[&str]) -> String {
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
    assert!(output.stdout.is_empty(), "{arguments:?} prints what is no result");
    assert!(!complaint.contains("panicked"), "{arguments:?}: {complaint}");
    complaint
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_says_whether_a_process_is_ready() {
    let mut system = System::start(Composition::AllInOne).await;
    let admin = system.admin();
    let arguments = ["healthcheck", "--admin", &admin];
    let check = || command().args(arguments).output().unwrap();
    assert_eq!(succeeded(&check(), &arguments).trim(), "ok");
    assert!(system.redirect().interrupt().await);
    assert!(failed(&check(), 1, &arguments).contains("nothing answers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_watch_prints_what_happens_and_goes_on_from_a_cursor() {
    let mut system = System::start(Composition::AllInOne).await;
    let clients = campaign::load(&system).await;
    campaign::register(&clients, campaign::registration("jane", "max")).await.unwrap();
    campaign::register(&clients, campaign::registration("john", "anna")).await.unwrap();
    let cli = Cli::of(&mut system);
    // Reads until both registrations have been printed.
    let watch = |arguments: &[&str], wanted: usize| {
        let mut child = cli.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut found = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let step: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let created = &step["event"]["registrationCreated"];
            if created.is_object() {
                let cursor = step["cursor"].as_str().unwrap().to_owned();
                found.push((created["affiliateId"].as_str().unwrap().to_owned(), cursor));
                if found.len() == wanted {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        found
    };
    let all = watch(&["event", "watch"], 2);
    assert_eq!((all[0].0.as_str(), all[1].0.as_str()), ("max", "anna"));
    let rest = watch(&["event", "watch", "--cursor", &all[0].1], 1);
    assert_eq!(rest, all[1..]);
    assert!(cli.refused(&["event", "watch", "--cursor", "junk"]).contains("cursor"));
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_passes_alone_and_leaves_nothing_in_a_running_instance() {
    let arguments = ["journey"];
    let alone = command().args(arguments).output().unwrap();
    let printed = succeeded(&alone, &arguments);
    for part in ["phone", "PC", "agreed", "token", "owed"] {
        assert!(printed.contains(part), "no {part} in:\n{printed}");
    }

    for composition in [Composition::AllInOne, Composition::Separate] {
        let mut system = System::start(composition).await;
        let clients = campaign::load(&system).await;
        campaign::register(&clients, campaign::registration("jane", "max")).await.unwrap();
        let cli = Cli::of(&mut system);
        let listings: [&[&str]; 7] = [
            &["programme", "list", "--json"],
            &["affiliate", "list", "--json"],
            &["product", "list", "--json"],
            &["webinar", "list", "--json"],
            &["attendee", "list", "--json"],
            &["sale", "list", "--include-test", "--json"],
            &["click", "list", "--include-test", "--json"],
        ];
        let records = || listings.map(|listing| cli.text(listing));
        let before = records();
        let url = system.http();
        let printed = cli.text(&["journey", "--url", &url]);
        assert!(printed.contains("agreed"), "{printed}");
        until("no test record is left", async || (records() == before).then_some(())).await;
    }
}

#[test]
fn journey_fails_with_the_reason_where_nothing_answers() {
    let cli = Cli {
        grpc: "http://127.0.0.1:9".to_owned(),
        registry: "http://127.0.0.1:9".to_owned(),
        rendering: "http://127.0.0.1:9".to_owned(),
    };
    let output = cli.feed("", &["journey", "--url", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not answer"), "{output:?}");
    assert!(cli.refused(&["sale", "list"]).contains("does not answer"));
}

#[test]
fn keys_are_rotated_step_by_step() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token-keys.toml");
    let path = file.to_str().unwrap();
    let key = |arguments: &[&str]| {
        let all = [&["key"], arguments, &["--file", path]].concat();
        command().args(all).output().unwrap()
    };
    let list = || {
        let printed = succeeded(&key(&["list", "--json"]), &["list"]);
        let secret = std::fs::read_to_string(&file).unwrap();
        let keys = secret.lines().filter_map(|line| line.split_once("= \"")).map(|(_, key)| key);
        for key in keys {
            assert!(!printed.contains(key.trim_end_matches('"')), "{printed} shows a key");
        }
        let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|key| (key["id"].as_u64().unwrap(), key["signs"].as_bool().unwrap())).collect()
    };
    succeeded(&key(&["generate"]), &["generate"]);
    owner_only(&file);
    assert!(failed(&key(&["generate"]), 1, &["generate"]).contains("exists"));
    let keys: Vec<(u64, bool)> = list();
    assert_eq!(keys, [(1, true)]);
    succeeded(&key(&["add"]), &["add"]);
    assert_eq!(list(), [(1, true), (2, false)]);
    assert!(failed(&key(&["remove", "1"]), 1, &["remove"]).contains("signs"));
    assert!(failed(&key(&["sign", "7"]), 1, &["sign"]).contains("no key 7"));
    succeeded(&key(&["sign", "2"]), &["sign"]);
    assert_eq!(list(), [(1, false), (2, true)]);
    succeeded(&key(&["remove", "1"]), &["remove"]);
    assert_eq!(list(), [(2, true)]);
    owner_only(&file);
}

#[cfg(unix)]
fn owner_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
}

#[cfg(not(unix))]
fn owner_only(_: &Path) {}

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_at_the_first_start_are_the_owners_alone() {
    let system = System::start(Composition::AllInOne).await;
    for name in ["token-keys.toml", "data-keys.toml"] {
        owner_only(&system.data().join(name));
    }
}

#[test]
fn migrate_makes_a_database_and_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.sqlite");
    let url = format!("sqlite://{}", path.display());
    let arguments = ["migrate", "--database", &url];
    for _ in 0..2 {
        succeeded(&command().args(arguments).output().unwrap(), &arguments);
    }
    let database = rusqlite::Connection::open(&path).unwrap();
    let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");

    let arguments = ["migrate", "--database", "postgres://user:zqxsecret@127.0.0.1:9/tagalong"];
    let complaint = failed(&command().args(arguments).output().unwrap(), 1, &arguments);
    assert!(!complaint.contains("zqxsecret"), "{complaint}");
    let arguments = ["migrate", "--database", "nonsense"];
    failed(&command().args(arguments).output().unwrap(), 1, &arguments);
}
