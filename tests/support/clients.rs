//! Ordinary gRPC clients.

use tagalong_proto::v1::{
    attendee_service_client::AttendeeServiceClient,
    catalogue_service_client::CatalogueServiceClient, click_service_client::ClickServiceClient,
    delivery_service_client::DeliveryServiceClient, event_service_client::EventServiceClient,
    link_rendering_service_client::LinkRenderingServiceClient,
    redirect_service_client::RedirectServiceClient, sale_service_client::SaleServiceClient,
    source_service_client::SourceServiceClient,
};
use tonic::transport::{Channel, Endpoint};

#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) catalogue: CatalogueServiceClient<Channel>,
    pub(crate) attendees: AttendeeServiceClient<Channel>,
    pub(crate) clicks: ClickServiceClient<Channel>,
    pub(crate) sales: SaleServiceClient<Channel>,
    pub(crate) events: EventServiceClient<Channel>,
    pub(crate) sources: SourceServiceClient<Channel>,
    pub(crate) deliveries: DeliveryServiceClient<Channel>,
    pub(crate) rendering: LinkRenderingServiceClient<Channel>,
    pub(crate) redirect: RedirectServiceClient<Channel>,
}

impl Clients {
    /// Clients of services that may not answer yet.
    pub(crate) fn new(registry: &str, link_rendering: &str, redirect: &str) -> Self {
        /// A page of a thousand records.
        const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
        let channel = |url: &str| Endpoint::from_shared(url.to_owned()).unwrap().connect_lazy();
        let registry = channel(registry);
        Self {
            catalogue: CatalogueServiceClient::new(registry.clone()),
            attendees: AttendeeServiceClient::new(registry.clone())
                .max_decoding_message_size(LARGEST_ANSWER),
            clicks: ClickServiceClient::new(registry.clone())
                .max_decoding_message_size(LARGEST_ANSWER),
            sales: SaleServiceClient::new(registry.clone())
                .max_decoding_message_size(LARGEST_ANSWER),
            events: EventServiceClient::new(registry.clone()),
            sources: SourceServiceClient::new(registry.clone()),
            deliveries: DeliveryServiceClient::new(registry)
                .max_decoding_message_size(LARGEST_ANSWER),
            rendering: LinkRenderingServiceClient::new(channel(link_rendering)),
            redirect: RedirectServiceClient::new(channel(redirect)),
        }
    }
}

/// All records of a list, page by page, in pages small enough that there are several.
macro_rules! all {
    ($client:expr, $method:ident, $request:expr, $field:ident) => {{
        let mut request = $request;
        let mut all = Vec::new();
        loop {
            let answer = $client.clone().$method(request.clone()).await.unwrap().into_inner();
            all.extend(answer.$field);
            request.page_token = answer.next_page_token;
            if request.page_token.is_empty() {
                break all;
            }
        }
    }};
}
pub(crate) use all;
