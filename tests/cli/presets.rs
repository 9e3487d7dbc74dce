//! Presets and snippets: commands that need no running instance.

use std::path::Path;

use serde_json::Value;

use super::{command, failed, succeeded};

fn text(arguments: &[&str]) -> String {
    succeeded(&command().args(arguments).output().unwrap(), arguments)
}

fn refused(arguments: &[&str]) -> String {
    failed(&command().args(arguments).output().unwrap(), 1, arguments)
}

#[test]
fn presets_are_listed_and_shown() {
    let table = text(&["preset", "list"]);
    assert!(table.lines().any(|line| line.trim_start().starts_with("digistore24 ")), "{table}");
    let lines = text(&["preset", "list", "--json"]);
    let presets: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let draft = presets.iter().find(|preset| preset["name"] == "ablefy").unwrap();
    assert_eq!((&draft["state"], &draft["kind"]), (&"draft".into(), &"checkout".into()));

    let shown = text(&["preset", "show", "digistore24"]);
    for part in ["redir/<product>/{affiliate}/", "180 days", "Not verified", "URL shortener"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(refused(&["preset", "show", "nobody"]).contains("no preset nobody"));
}

#[test]
fn an_own_preset_is_written_without_a_compiler() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(Path::new(&path(name)), text).unwrap();
        path(name)
    };
    let toml = text(&["preset", "show", "generic-webinar", "--toml"]);
    let preset = write(
        "shop.toml",
        &toml.replace("'$.email'", "'$.mail'").replace("\"$.email\"", "\"$.mail\""),
    );
    let payload = write("payload", "mail=ada%40example.org&aff=max&test=1");

    let read = text(&["preset", "test", &preset, "--payload", &payload]);
    assert!(read.contains("kind           registration\ntest           yes\n"), "{read}");
    assert!(read.contains("affiliate      max") && !read.contains("ada"), "{read}");

    let nobody = write("nobody", "aff=max");
    let complaint = refused(&["preset", "test", &preset, "--payload", &nobody]);
    assert!(
        complaint.contains("$.registrant_id or") && complaint.contains("$.mail"),
        "{complaint}"
    );

    let broken = write("broken.toml", &toml.replace("kind = ", "kin = "));
    let complaint = refused(&["preset", "test", &broken, "--payload", &payload]);
    assert!(complaint.contains("kin: unknown field"), "{complaint}");

    let own = directory.path().to_str().unwrap();
    std::fs::remove_file(path("broken.toml")).unwrap();
    let listed = text(&["preset", "list", "--presets", own]);
    assert!(listed.lines().any(|line| line.trim_start().starts_with("shop ")), "{listed}");
}

#[test]
fn a_delivery_is_verified_as_the_hook_would() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let payload = directory.path().join("payload");
    std::fs::write(&secret, "signature\n").unwrap();
    std::fs::write(&payload, r#"{"uneClef":"valeur"}"#).unwrap();
    let signature = "bcee8607a976dee318a3aa34fa780a4a9ce777b4feb4a6ab218c24c45ca7953e";
    let header = format!("X-Livestorm-Signature: {signature},1752652800000");
    let (payload, secret) = (payload.to_str().unwrap(), secret.to_str().unwrap());
    let mut arguments = vec!["preset", "test", "livestorm", "--payload", payload];
    arguments.extend(["--header", &header, "--secret-file", secret, "--at"]);
    let fresh = [&arguments[..], &["2025-07-16T08:00:00Z"]].concat();
    assert!(text(&fresh).contains("kind           ignored"));
    let stale = [&arguments[..], &["2026-07-16T08:00:00Z"]].concat();
    assert!(refused(&stale).contains("signed at another time"));
}

#[test]
fn a_snippet_has_the_tools_own_tags() {
    let snippet =
        text(&["snippet", "course", "--tool", "mailchimp", "--url", "https://go.example.com/"]);
    let link = snippet.lines().next().unwrap();
    assert_eq!(link, "https://go.example.com/course/p/*|AFF|*/buy/*|TAGTOKEN|*");
    assert!(snippet.contains("AFF ") && snippet.contains("Audience"), "{snippet}");

    assert!(refused(&["snippet", "course", "--tool", "stripe"]).contains("Stripe"));
    let long = ["snippet", "course", "--tool", "mailchimp", "--token-field", "a_very_long_name"];
    assert!(refused(&long).contains("a_very_long_name"));
}
