//! What Tagalong is measured against.

pub(crate) mod hyper;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod scan;
pub(crate) mod sqlite;
pub(crate) mod tonic;
