//! The command line as an ordinary gRPC client.

use tagalong_chassis::{
    status,
    transport::{self, Transport},
};
use tagalong_proto::v1::{
    attendee_service_client::AttendeeServiceClient,
    catalogue_service_client::CatalogueServiceClient, click_service_client::ClickServiceClient,
    delivery_service_client::DeliveryServiceClient, event_service_client::EventServiceClient,
    link_rendering_service_client::LinkRenderingServiceClient,
    redirect_service_client::RedirectServiceClient, sale_service_client::SaleServiceClient,
    source_service_client::SourceServiceClient,
};
use tonic::{Code, Status};

/// Where the services answer.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Connect {
    /// gRPC of a running Tagalong
    #[arg(
        long,
        value_name = "URL",
        env = "TAGALONG_GRPC",
        default_value = "http://127.0.0.1:50051"
    )]
    pub grpc: String,
    /// gRPC of the attendee registry, where it is a process of its own
    #[arg(long, value_name = "URL", env = "TAGALONG_REGISTRY")]
    pub registry: Option<String>,
    /// gRPC of link rendering, where it is a process of its own
    #[arg(long, value_name = "URL", env = "TAGALONG_LINK_RENDERING")]
    pub link_rendering: Option<String>,
}

pub(crate) type Sources = SourceServiceClient<Transport>;
pub(crate) type Deliveries = DeliveryServiceClient<Transport>;

/// A client of each service.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub catalogue: CatalogueServiceClient<Transport>,
    pub attendees: AttendeeServiceClient<Transport>,
    pub clicks: ClickServiceClient<Transport>,
    pub sales: SaleServiceClient<Transport>,
    pub events: EventServiceClient<Transport>,
    pub sources: Sources,
    pub deliveries: Deliveries,
    pub rendering: LinkRenderingServiceClient<Transport>,
    pub redirect: RedirectServiceClient<Transport>,
}

impl Connect {
    /// Clients of the services; they connect when first used.
    ///
    /// # Errors
    /// If an address is none.
    pub(crate) fn clients(&self) -> anyhow::Result<Clients> {
        let or_all = |url: &Option<String>| url.clone().unwrap_or_else(|| self.grpc.clone());
        Ok(Clients::new(
            &transport::remote(&or_all(&self.registry))?,
            transport::remote(&or_all(&self.link_rendering))?,
            transport::remote(&self.grpc)?,
        ))
    }
}

impl Clients {
    /// Clients over these transports.
    pub(crate) fn new(
        registry: &Transport,
        link_rendering: Transport,
        redirect: Transport,
    ) -> Self {
        /// A page of a thousand records.
        const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
        let registry = || registry.clone();
        Self {
            catalogue: CatalogueServiceClient::new(registry())
                .max_decoding_message_size(LARGEST_ANSWER),
            attendees: AttendeeServiceClient::new(registry())
                .max_decoding_message_size(LARGEST_ANSWER),
            clicks: ClickServiceClient::new(registry()).max_decoding_message_size(LARGEST_ANSWER),
            sales: SaleServiceClient::new(registry()).max_decoding_message_size(LARGEST_ANSWER),
            events: EventServiceClient::new(registry()),
            sources: SourceServiceClient::new(registry()).max_decoding_message_size(LARGEST_ANSWER),
            deliveries: DeliveryServiceClient::new(registry())
                .max_decoding_message_size(LARGEST_ANSWER),
            rendering: LinkRenderingServiceClient::new(link_rendering),
            redirect: RedirectServiceClient::new(redirect),
        }
    }
}

/// A refusal in words for the person at the command line.
pub(crate) fn explain(status: &Status) -> anyhow::Error {
    match status.code() {
        // The peer's own refusals carry a reason; this one is the connection's.
        Code::Unavailable if status::reason(status).is_none() => {
            anyhow::anyhow!("Tagalong does not answer; is `tagalong up` running, and --grpc right?")
        }
        Code::Unimplemented => anyhow::anyhow!(
            "this address serves another service: see --grpc, --registry and --link-rendering"
        ),
        _ => anyhow::anyhow!("{}", status.message()),
    }
}

/// Turns a refusal into words.
pub(crate) trait Explain<T> {
    /// The answer, or the refusal in words.
    ///
    /// # Errors
    /// The refusal.
    fn explained(self) -> anyhow::Result<T>;
}

impl<T> Explain<T> for Result<tonic::Response<T>, Status> {
    fn explained(self) -> anyhow::Result<T> {
        self.map(tonic::Response::into_inner).map_err(|status| explain(&status))
    }
}
