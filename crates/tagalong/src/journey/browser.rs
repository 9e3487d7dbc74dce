//! A browser: a cookie jar and a user agent of its own, no redirects followed unseen.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, header, redirect::Policy};

use super::pages::Arrival;

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
const PC: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// One device's browser.
pub(crate) struct Browser(Client);

/// What a link answered.
pub(crate) struct Answer {
    /// The status code.
    pub status: u16,
    /// Where it leads; empty where it leads nowhere.
    pub location: String,
    /// It set a cookie.
    pub cookie: bool,
}

impl Browser {
    pub(crate) fn phone() -> anyhow::Result<Self> {
        Self::new(PHONE)
    }

    pub(crate) fn pc() -> anyhow::Result<Self> {
        Self::new(PC)
    }

    fn new(user_agent: &str) -> anyhow::Result<Self> {
        Ok(Self(
            Client::builder()
                .user_agent(user_agent)
                .cookie_store(true)
                .redirect(Policy::none())
                .timeout(Duration::from_secs(10))
                .build()?,
        ))
    }

    /// Opens a link.
    pub(crate) async fn open(&self, url: &str) -> anyhow::Result<Answer> {
        let answer =
            self.0.get(url).send().await.with_context(|| format!("{url} does not answer"))?;
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|location| location.to_str().ok()).unwrap_or_default();
        Ok(Answer {
            status: answer.status().as_u16(),
            location: location.to_owned(),
            cookie: answer.headers().contains_key(header::SET_COOKIE),
        })
    }

    /// Opens a page of the campaign, which says what it saw in its address.
    pub(crate) async fn arrive(&self, url: &str) -> anyhow::Result<Arrival> {
        let answer = self.0.get(url).send().await.context("the page does not answer")?;
        Ok(serde_json::from_str(&answer.error_for_status()?.text().await?)?)
    }
}
