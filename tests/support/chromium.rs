//! A real browser, driven as the W3C's `WebDriver` says.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

use super::{browser, until};

/// The key of an element's ID in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium with a profile of its own. Dies with its owner.
pub(crate) struct Chromium {
    session: String,
    client: reqwest::Client,
    _driver: Child,
    _profile: TempDir,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        browser::choose_tls();
        let program = std::env::var_os("TAGALONG_TEST_CHROMEDRIVER")
            .map_or_else(|| PathBuf::from("chromedriver"), PathBuf::from);
        let mut driver = Command::new(program);
        driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut driver = tokio::process::Command::from(driver);
        let mut driver = driver.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // Nobody must wait for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });

        let profile = tempfile::tempdir().unwrap();
        let options = json!({ "args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage",
            format!("--user-data-dir={}", profile.path().display()),
            // What says that it is headless is taken for a machine.
            format!("--user-agent={}", browser::PC),
        ] });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
        } } });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = call(client.post(&base), &wanted).await;
        let session = format!("{base}/{}", answer["sessionId"].as_str().unwrap());
        Self { session, client, _driver: driver, _profile: profile }
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        call(self.client.post(format!("{}/{command}", self.session)), &body).await
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.post("url", json!({ "url": url })).await;
    }

    /// Where the browser is.
    pub(crate) async fn url(&self) -> url::Url {
        let answer = self.client.get(format!("{}/url", self.session));
        call(answer, &Value::Null).await.as_str().unwrap().parse().unwrap()
    }

    /// Waits until the browser is at a path.
    pub(crate) async fn at(&self, path: &str) -> url::Url {
        until(&format!("the browser is at {path}"), async || {
            let url = self.url().await;
            (url.path() == path).then_some(url)
        })
        .await
    }

    async fn element(&self, selector: &str) -> String {
        let found =
            self.post("element", json!({ "using": "css selector", "value": selector })).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("element/{element}/value"), json!({ "text": text })).await;
    }

    /// What a field holds.
    pub(crate) async fn value(&self, selector: &str) -> String {
        let element = self.element(selector).await;
        let property = format!("{}/element/{element}/property/value", self.session);
        call(self.client.get(property), &Value::Null).await.as_str().unwrap().to_owned()
    }
}

async fn call(request: reqwest::RequestBuilder, body: &Value) -> Value {
    let request = if body.is_null() {
        request
    } else {
        request.header("content-type", "application/json").body(body.to_string())
    };
    let answer = request.send().await.unwrap().text().await.unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    let value = answer["value"].take();
    assert!(value.get("error").is_none(), "{value}");
    value
}
