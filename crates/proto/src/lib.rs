//! The messages, clients and servers of `tagalong.v1`, generated from `proto/`.
//!
//! The comments in the `.proto` files are the API reference.

#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    unreachable_pub,
    reason = "generated code is documented and held to rules in the .proto files"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/includes.rs"));
}

pub use generated::tagalong::v1;

/// The encoded `FileDescriptorSet` of `tagalong.v1` and all it imports, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
