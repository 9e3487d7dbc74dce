//! What can be read without a running instance: help, settings, mistakes.

use super::{command, failed, succeeded};
use crate::support::binary;

/// All commands below these words, themselves included.
fn commands(words: &[String]) -> Vec<Vec<String>> {
    let mut all = vec![words.to_owned()];
    let help = help(words);
    let Some((_, listed)) = help.split_once("\nCommands:\n") else { return all };
    for line in listed.lines().take_while(|line| line.starts_with("  ")) {
        // What is indented further goes on explaining.
        let name = line.strip_prefix("  ").filter(|line| !line.starts_with(' '));
        let name = name.and_then(|line| line.split_whitespace().next());
        if let Some(name) = name.filter(|name| *name != "help") {
            all.extend(commands(&[words, &[name.to_owned()]].concat()));
        }
    }
    all
}

fn help(words: &[String]) -> String {
    let output = command().args(words).arg("--help").output().unwrap();
    succeeded(&output, &[words.join(" ").as_str(), "--help"])
}

#[test]
fn every_command_has_help_with_an_example() {
    let all = commands(&[]);
    assert!(all.len() > 40, "{all:?}");
    for words in &all {
        let help = help(words);
        let leaf = !help.contains("\nCommands:\n");
        if leaf || words.is_empty() {
            let example = format!("tagalong {}", words.join(" "));
            let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{help}"));
            assert!(examples.contains(example.trim_end()), "tagalong {words:?}:\n{help}");
        }
    }
}

#[test]
fn flags_that_cannot_be_are_refused_by_name() {
    let cases: [(&[&str], &str); 9] = [
        (&["product", "update", "course", "--window-days", "soon"], "--window-days"),
        (&["product", "create", "course"], "--programme"),
        (
            &[
                "sale",
                "report",
                "copecart",
                "1",
                "--product",
                "c",
                "--paid=-5EUR",
                "--transaction",
                "t",
            ],
            "--paid",
        ),
        (
            &[
                "sale",
                "report",
                "copecart",
                "1",
                "--product",
                "c",
                "--paid",
                "99999999999999999999EUR",
                "--transaction",
                "t",
            ],
            "--paid",
        ),
        (&["sale", "list", "--credit", "plenty"], "--credit"),
        (&["attendee", "show"], "--id"),
        (&["attendee", "register", "launch", "--key", "one-part"], "--key"),
        (&["webinar", "create", "launch", "--ends", "tomorrow"], "--ends"),
        (&["up", "--set", "redirect.http"], "--set"),
    ];
    for (arguments, named) in cases {
        let output = command().args(arguments).output().unwrap();
        let complaint = failed(&output, 2, arguments);
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
    }
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    for (setting, named, code) in [
        ("redirect.htpp=127.0.0.1:0", "redirect.htpp", 2),
        ("redirect.decision_deadline_ms=soon", "decision_deadline_ms", 2),
        ("redirect.decision_deadline_ms=0", "decision_deadline_ms", 1),
        ("link_rendering.public_url=javascript:alert(1)", "public_url", 2),
        ("log.filter=[", "filter", 2),
        ("redirect.http=nowhere", "nowhere", 1),
    ] {
        let arguments = ["up", "--data", data, "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut up = command();
        up.args(arguments).args(["--set", setting]);
        if !setting.starts_with("redirect.http=") {
            up.args(["--http", "127.0.0.1:0"]);
        }
        let complaint = String::from_utf8(up.output().unwrap().stderr).unwrap();
        let status = up.status().unwrap();
        assert_eq!(status.code(), Some(code), "{setting}: {complaint}");
        assert!(complaint.contains(named), "{setting}: {complaint}");
    }
    let variable = ["up", "--print-config"];
    let output = command().env("TAGALONG__REDIRECT__HTPP", "x").args(variable).output().unwrap();
    assert!(failed(&output, 2, &variable).contains("TAGALONG__REDIRECT__HTPP"));
}

#[test]
fn print_config_shows_what_is_in_force_and_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tagalong.toml");
    std::fs::write(
        &file,
        "[attendee_registry]\ndatabase = \"postgres://user:zqxsecret@db.example/tagalong\"\n\
         [redirect]\ncookie_max_age_days = 7\nclick_retention_days = 8\nhttp = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let arguments =
        ["up", "--print-config", "--config", file, "--http", "127.0.0.1:3", "--data", "zqxdata"];
    let output = command()
        .env("TAGALONG__REDIRECT__CLICK_RETENTION_DAYS", "9")
        .env("TAGALONG__REDIRECT__HTTP", "127.0.0.1:2")
        .args(arguments)
        .output()
        .unwrap();
    let printed = succeeded(&output, &arguments);
    // Defaults < file < environment < flags.
    for line in ["cookie_max_age_days = 7", "click_retention_days = 9", "http = \"127.0.0.1:3\""] {
        assert!(printed.lines().any(|other| other == line), "no {line} in:\n{printed}");
    }
    assert!(printed.contains("db.example") && printed.contains("zqxdata"), "{printed}");
    assert!(!printed.contains("zqxsecret"), "{printed}");

    let registry = binary("tagalong-attendee-registry");
    let url = "postgres://user:zqxsecret@db.example/tagalong";
    let output = std::process::Command::new(registry)
        .args(["--print-config", "--set", &format!("attendee_registry.database={url}")])
        .output()
        .unwrap();
    let printed = succeeded(&output, &["--print-config"]);
    assert!(printed.contains("db.example") && !printed.contains("zqxsecret"), "{printed}");
}
