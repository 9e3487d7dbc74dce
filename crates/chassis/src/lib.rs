//! What every Tagalong process needs and no domain does: settings, telemetry, listeners, a calm
//! way to stop, key files, public addresses, and one way to say no over gRPC.

pub mod clock;
pub mod config;
pub mod drain;
pub mod egress;
pub mod keys;
pub mod private;
pub mod process;
pub mod public_url;
mod rpc;
pub mod serve;
pub mod status;
pub mod telemetry;
pub mod transport;
