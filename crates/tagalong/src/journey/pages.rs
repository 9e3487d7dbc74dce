//! The pages of others: the webinar tool's invitation page, and a CopeCart-like checkout.

use axum::{Router, extract::RawQuery, routing::get};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// What a page saw in its own address.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Arrival {
    /// Which page.
    pub page: String,
    /// The affiliate that the platform will credit, or that the webinar tool stores.
    pub affiliate: String,
    /// The click's ID, which the invitation page hands to the registration.
    pub click: String,
    /// The checkout's free field, which comes back in its notification.
    pub metadata: String,
}

/// The pages, on a loopback address.
pub(crate) struct Pages {
    base: String,
}

impl Pages {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/invitation", get(async |RawQuery(query)| arrival("invitation", query)))
            .route("/checkout", get(async |RawQuery(query)| arrival("checkout", query)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { base })
    }

    /// The invitation page, as the operator configures it.
    pub(crate) fn invitation(&self) -> String {
        format!("{}/invitation?aff={{affiliate}}&click={{click}}", self.base)
    }

    /// The checkout, as the operator configures it.
    pub(crate) fn checkout(&self) -> String {
        format!("{}/checkout?affiliate={{affiliate}}&metadata={{reference}}", self.base)
    }

    /// The checkout as somebody types it in.
    pub(crate) fn bare_checkout(&self) -> String {
        format!("{}/checkout", self.base)
    }
}

fn arrival(page: &str, query: Option<String>) -> String {
    let mut arrival = Arrival { page: page.to_owned(), ..Arrival::default() };
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "aff" | "affiliate" => arrival.affiliate = value.into_owned(),
            "click" => arrival.click = value.into_owned(),
            "metadata" => arrival.metadata = value.into_owned(),
            _ => {}
        }
    }
    // A struct of texts can always be written.
    serde_json::to_string(&arrival).unwrap_or_default()
}
