//! The campaign that the stories are played in: test records, and what webinar tool and checkout report.

use std::time::Duration;

use anyhow::Context as _;
use tagalong_proto::v1;
use uuid::Uuid;

use super::pages::{Arrival, Pages};
use crate::{
    client::{Clients, Explain as _},
    demo::now,
};

/// Name of the connection that the stories report by.
const SOURCE: &str = "journey";

/// How long the catalogue may take to the redirect, and a click to the registry.
const PATIENCE: Duration = Duration::from_secs(15);

/// A test campaign.
pub(crate) struct Campaign<'a> {
    clients: &'a Clients,
    /// Where visitors come in.
    pub url: &'a str,
    /// The checkout as somebody types it in.
    pub bare_checkout: String,
    /// Unique, so that stories can be played at the same time.
    name: String,
}

/// The products of the campaign.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Product {
    /// Leads to the invitation page; sets cookies.
    Webinar,
    /// Leads to the invitation page; never sets a cookie.
    CookielessWebinar,
    /// Sold in the webinar; has no sales page.
    Course,
}

impl<'a> Campaign<'a> {
    /// Creates the campaign, and waits until the redirect knows it.
    pub(crate) async fn create(
        clients: &'a Clients,
        pages: &Pages,
        url: &'a str,
    ) -> anyhow::Result<Self> {
        let name = format!("journey-{}", &Uuid::new_v4().simple().to_string()[..12]);
        let campaign = Self { clients, url, bare_checkout: pages.bare_checkout(), name };
        if let Err(error) = campaign.fill(pages).await {
            // Whatever was made goes again; what was not cannot.
            let _ = campaign.remove().await;
            return Err(error);
        }
        Ok(campaign)
    }

    async fn fill(&self, pages: &Pages) -> anyhow::Result<()> {
        let mut catalogue = self.clients.catalogue.clone();
        let programme = v1::Programme {
            id: self.name.clone(),
            platform: "copecart".to_owned(),
            title: "Journey".to_owned(),
            test: true,
            ..v1::Programme::default()
        };
        let request =
            v1::CreateProgrammeRequest { programme: Some(programme), ..Default::default() };
        catalogue.create_programme(request).await.explained()?;
        for product in [Product::Webinar, Product::CookielessWebinar, Product::Course] {
            let destination = |url: String| v1::Destination {
                with_affiliate: url,
                without_affiliate: String::new(),
            };
            let sales_page = match product {
                Product::Webinar | Product::CookielessWebinar => {
                    Some(destination(pages.invitation()))
                }
                Product::Course => None,
            };
            let cookie_policy = match product {
                Product::CookielessWebinar => v1::CookiePolicy::Never,
                Product::Webinar | Product::Course => v1::CookiePolicy::Always,
            };
            let product = v1::Product {
                id: self.product(product),
                programme_id: self.name.clone(),
                title: "Journey".to_owned(),
                sales_page,
                checkout: Some(destination(pages.checkout())),
                cookie_policy: cookie_policy.into(),
                ..v1::Product::default()
            };
            let request = v1::CreateProductRequest { product: Some(product), ..Default::default() };
            catalogue.create_product(request).await.explained()?;
        }
        let webinar = v1::Webinar {
            id: self.name.clone(),
            title: "Journey".to_owned(),
            promotes_product_ids: vec![
                self.product(Product::Webinar),
                self.product(Product::CookielessWebinar),
            ],
            offers_product_ids: vec![self.product(Product::Course)],
            test: true,
            ..v1::Webinar::default()
        };
        let request = v1::CreateWebinarRequest { webinar: Some(webinar), ..Default::default() };
        catalogue.create_webinar(request).await.explained()?;
        self.wait_for_redirect().await
    }

    /// A product's ID.
    pub(crate) fn product(&self, product: Product) -> String {
        let suffix = match product {
            Product::Webinar => "webinar",
            Product::CookielessWebinar => "cookieless",
            Product::Course => "course",
        };
        format!("{}-{suffix}", self.name)
    }

    async fn wait_for_redirect(&self) -> anyhow::Result<()> {
        let path_and_query = format!("/{}/p/max/", self.product(Product::Course));
        until("the redirect does not know the campaign", async || {
            let request = v1::ResolveRequest { path_and_query: path_and_query.clone() };
            match self.clients.redirect.clone().resolve(request).await {
                Ok(answer) => Ok((answer.into_inner().status == 302).then_some(())),
                // It has no catalogue at all yet.
                Err(status) if status.code() == tonic::Code::Unavailable => Ok(None),
                Err(status) => Err(crate::client::explain(&status)),
            }
        })
        .await
    }

    /// The webinar tool stores what the invitation page saw, and reports the registration.
    pub(crate) async fn register(
        &self,
        id: &str,
        email: &str,
        page: &Arrival,
    ) -> anyhow::Result<()> {
        let request = v1::RegisterAttendeeRequest {
            webinar_id: self.name.clone(),
            email: email.to_owned(),
            affiliate_id: page.affiliate.clone(),
            click_id: page.click.clone(),
            key: Some(self.registration(id)),
            session_id: "tuesday".to_owned(),
            ..v1::RegisterAttendeeRequest::default()
        };
        self.clients.attendees.clone().register_attendee(request).await.explained()?;
        Ok(())
    }

    fn registration(&self, id: &str) -> v1::RegistrationKey {
        v1::RegistrationKey {
            source: SOURCE.to_owned(),
            external_webinar_id: self.name.clone(),
            external_id: id.to_owned(),
        }
    }

    /// The purchase link for the reminder e-mail of somebody who registered; as path, because `url` may
    /// be another address of the redirect than its public one.
    pub(crate) async fn purchase_link(
        &self,
        registration: &str,
    ) -> anyhow::Result<v1::RenderLinkResponse> {
        let reference =
            v1::attendee_reference::Reference::Registration(self.registration(registration));
        let request = v1::RenderLinkRequest {
            attendee: Some(v1::AttendeeReference { reference: Some(reference) }),
            product_id: self.product(Product::Course),
            at: Some(now()),
            ..v1::RenderLinkRequest::default()
        };
        self.clients.rendering.clone().render_link(request).await.explained()
    }

    /// The checkout sells, credits the affiliate its link carried, and reports the order.
    pub(crate) async fn sell(
        &self,
        order: &str,
        email: &str,
        checkout: &Arrival,
    ) -> anyhow::Result<v1::Sale> {
        let amount = v1::Money { minor_units: 49_700, currency: "EUR".to_owned() };
        let item = v1::Item {
            external_id: "1".to_owned(),
            product_id: self.product(Product::Course),
            price: Some(amount.clone()),
            platform_affiliate_id: Some(checkout.affiliate.clone()),
            ..v1::Item::default()
        };
        let payment = v1::Payment {
            external_id: "payment".to_owned(),
            amount: Some(amount),
            sequence: 1,
            ..v1::Payment::default()
        };
        let request = v1::ReportOrderRequest {
            order: Some(v1::Order {
                source: SOURCE.to_owned(),
                external_id: format!("{}-{order}", self.name),
                programme_id: self.name.clone(),
                ..v1::Order::default()
            }),
            buyer: Some(v1::BuyerReferences {
                reference: checkout.metadata.clone(),
                email: email.to_owned(),
                ..v1::BuyerReferences::default()
            }),
            items: vec![v1::ItemReport { item: Some(item), payments: vec![payment] }],
            ..v1::ReportOrderRequest::default()
        };
        let answer = self.clients.sales.clone().report_order(request).await.explained()?;
        answer.sales.into_iter().next().context("no sale came back")
    }

    /// How often the registry has a click, once it has it.
    pub(crate) async fn recorded(&self, product: Product, click: &str) -> anyhow::Result<usize> {
        until("the click does not arrive in the registry", async || {
            let times = self.count(product, click).await?;
            Ok((times > 0).then_some(times))
        })
        .await
    }

    async fn count(&self, product: Product, click: &str) -> anyhow::Result<usize> {
        let request = v1::ListClicksRequest {
            product_id: self.product(product),
            include_test: true,
            page_size: 1000,
            ..v1::ListClicksRequest::default()
        };
        let listed = self.clients.clicks.clone().list_clicks(request).await.explained()?;
        Ok(listed.clicks.iter().filter(|listed| listed.id == click).count())
    }

    /// The newest state of a sale, once its decision is carried by what is expected, or the patience is over.
    pub(crate) async fn carried(
        &self,
        sale: &v1::Sale,
        expected: v1::CarriedBy,
    ) -> anyhow::Result<v1::Decision> {
        let id = sale.item.as_ref().map(|item| item.id.clone()).unwrap_or_default();
        let decision = async || {
            let request =
                v1::GetSaleRequest { sale: Some(v1::get_sale_request::Sale::ItemId(id.clone())) };
            let answer = self.clients.sales.clone().get_sale(request).await.explained()?;
            anyhow::Ok(answer.sale.and_then(|sale| sale.decision).unwrap_or_default())
        };
        let waited = until("", async || {
            Ok(Some(decision().await?).filter(|decision| decision.carried_by() == expected))
        })
        .await;
        match waited {
            Ok(decision) => Ok(decision),
            Err(_) => decision().await,
        }
    }

    /// Removes everything the stories made; how many records.
    pub(crate) async fn remove(&self) -> anyhow::Result<i64> {
        let mut catalogue = self.clients.catalogue.clone();
        let mut removed = 0;
        let webinar = v1::RemoveTestRecordsRequest {
            webinar_id: self.name.clone(),
            ..v1::RemoveTestRecordsRequest::default()
        };
        let programme = v1::RemoveTestRecordsRequest {
            programme_id: self.name.clone(),
            ..v1::RemoveTestRecordsRequest::default()
        };
        for request in [webinar, programme] {
            match catalogue.remove_test_records(request).await {
                Ok(answer) => removed += answer.into_inner().removed,
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(crate::client::explain(&status)),
            }
        }
        Ok(removed)
    }
}

/// Asks again until there is an answer, or the patience is over.
async fn until<T>(
    otherwise: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.with_context(|| otherwise.to_owned())?
}
