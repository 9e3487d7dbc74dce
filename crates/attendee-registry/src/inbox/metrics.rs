//! What can be seen of the inbox from outside. Sources are few, and the operator's own.

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge},
};
use tagalong_proto::v1::DeliveryState;

use crate::store::entity::delivery;

pub(crate) struct Metrics {
    posted: Counter<u64>,
    taken: Counter<u64>,
    parked: Gauge<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = global::meter("tagalong");
        Self {
            posted: meter
                .u64_counter("tagalong.hooks")
                .with_description("Requests to hooks, by source and what became of them")
                .build(),
            taken: meter
                .u64_counter("tagalong.deliveries")
                .with_description("Stored deliveries that were tried, by source and state")
                .build(),
            parked: meter
                .u64_gauge("tagalong.deliveries.parked")
                .with_description("Deliveries that could not be taken as a whole")
                .build(),
        }
    }

    /// Somebody posted to a source; empty for one that does not exist.
    pub(crate) fn posted(&self, source: &str, outcome: &'static str) {
        let source = KeyValue::new("source", source.to_owned());
        self.posted.add(1, &[source, KeyValue::new("outcome", outcome)]);
    }

    /// A delivery was tried.
    pub(crate) fn taken(&self, row: &delivery::Model) {
        let state = match DeliveryState::try_from(row.state) {
            Ok(DeliveryState::Mapped) => "mapped",
            Ok(DeliveryState::Ignored) => "ignored",
            _ => "parked",
        };
        let source = KeyValue::new("source", row.source.clone());
        self.taken.add(1, &[source, KeyValue::new("state", state)]);
    }

    /// How many are parked now.
    pub(crate) fn parked(&self, parked: u64) {
        self.parked.record(parked, &[]);
    }
}
