use std::{ffi::OsString, io::Write as _};

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Everything {
    redirect: Redirect,
    log: LogConfig,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Redirect {
    http: String,
    workers: u16,
    strict: bool,
    origins: Vec<String>,
    secret: Secret,
    database: DatabaseUrl,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            http: "127.0.0.1:8080".into(),
            workers: 2,
            strict: true,
            origins: Vec::new(),
            secret: "hunter2".into(),
            database: "postgres://me:hunter2@db/t".into(),
        }
    }
}

fn read(
    file: Option<&str>,
    environment: &[(&str, &str)],
    overrides: &[(&str, &str)],
) -> Result<Everything, Error> {
    let file = file.map(|text| {
        let mut file =
            tempfile::Builder::new().prefix("tagalong").suffix(".toml").tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    });
    let pair = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    let overrides: Vec<_> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    load_from(
        file.as_ref().map(tempfile::NamedTempFile::path),
        environment.iter().map(pair),
        &overrides,
    )
}

fn error(result: Result<Everything, Error>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn later_layers_win() {
    let file = "[redirect]\nhttp = \"file\"\nworkers = 3\nstrict = false";
    let environment = [("TAGALONG__REDIRECT__HTTP", "env"), ("TAGALONG__REDIRECT__WORKERS", "4")];
    let set = [("redirect.http", "flag")];

    assert_eq!(read(None, &[], &[]).unwrap().redirect.http, "127.0.0.1:8080");
    let got = read(Some(file), &[], &[]).unwrap().redirect;
    assert_eq!((got.http.as_str(), got.workers, got.strict), ("file", 3, false));
    let got = read(Some(file), &environment, &[]).unwrap().redirect;
    assert_eq!((got.http.as_str(), got.workers, got.strict), ("env", 4, false));
    let got = read(Some(file), &environment, &set).unwrap().redirect;
    assert_eq!((got.http.as_str(), got.workers, got.strict), ("flag", 4, false));
}

#[test]
fn text_becomes_what_the_field_needs() {
    let environment = [
        ("TAGALONG__REDIRECT__SECRET", "007"),
        ("TAGALONG__REDIRECT__STRICT", "false"),
        ("TAGALONG__REDIRECT__ORIGINS", "['https://a', 'https://b']"),
        ("TAGALONG__LOG__FORMAT", "json"),
        ("TAGALONG__REDIRECT__HTTP", ""),
        ("TAGALONG_CONFIG", "not a setting"),
    ];
    let got = read(None, &environment, &[]).unwrap();
    assert_eq!(got.redirect.secret.expose(), "007");
    assert!(!got.redirect.strict);
    assert_eq!(got.redirect.origins, ["https://a", "https://b"]);
    assert_eq!(got.log.format, LogFormat::Json);
    assert_eq!(got.redirect.http, "127.0.0.1:8080", "an empty variable is not set");
}

#[test]
fn errors_name_the_key_and_where_it_is() {
    let got = error(read(Some("[redirect]\nhtpp = \"x\""), &[], &[]));
    assert!(got.contains("redirect.htpp") && got.contains(".toml"), "{got}");
    assert!(got.contains("`http`"), "{got}");

    let got = error(read(None, &[("TAGALONG__REDIRCT__HTTP", "x")], &[]));
    assert!(got.contains("redirct") && got.contains("TAGALONG__REDIRCT__HTTP"), "{got}");

    let got = error(read(Some("[redirect]\nworkers = \"many\""), &[], &[]));
    assert!(got.contains("redirect.workers") && got.contains(".toml"), "{got}");

    let got = error(read(None, &[("TAGALONG__REDIRECT__HTPP", "x")], &[]));
    assert!(got.contains("redirect.htpp") && got.contains("TAGALONG__REDIRECT__HTPP"), "{got}");

    let got = error(read(None, &[], &[("redirect.workers", "many")]));
    assert!(got.contains("redirect.workers") && got.contains("--set"), "{got}");

    let got = error(read(None, &[], &[("log.filter", "info=debug=x")]));
    assert!(got.contains("log.filter"), "{got}");

    let got = error(read(None, &[], &[("redirect..http", "x")]));
    assert!(got.contains("--set redirect..http"), "{got}");

    let got = error(read(Some("[redirect]\nsecret = \"hunter2\n"), &[], &[]));
    assert!(got.contains(".toml") && got.contains("line 2"), "{got}");
    assert!(!got.contains("hunter2"), "{got}");

    let missing = load_from::<Everything>(Some(Path::new("/no/such.toml")), [], &[]);
    assert!(error(missing).contains("/no/such.toml"));
}

#[test]
fn printed_settings_show_no_secret_and_cannot_be_taken_for_real_ones() {
    let settings = Everything::default();
    let toml = to_toml(&settings).unwrap();
    assert!(!format!("{settings:?}{toml}").contains("hunter2"));
    assert!(toml.contains("postgres://me:[redacted]@db/t"));
    assert!(toml.contains("http = \"127.0.0.1:8080\""));
    let got = error(read(Some(&toml), &[], &[]));
    assert!(got.contains("--print-config"), "{got}");
}

#[test]
fn secrets_can_be_in_files_of_their_own() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"s3cret\n").unwrap();
    let value = format!("file:{}", file.path().display());
    let got = read(None, &[("TAGALONG__REDIRECT__SECRET", &value)], &[]).unwrap();
    assert_eq!(got.redirect.secret.expose(), "s3cret");
    let got = error(read(None, &[("TAGALONG__REDIRECT__SECRET", "file:/no/such")], &[]));
    assert!(got.contains("/no/such"), "{got}");
}
