//! What can go wrong.

use std::{fs::TryLockError, io, path::PathBuf};

use tagalong_attribution::{id::IdError, template::DestinationError};

/// Why the redirect does not start. What goes wrong later never ends it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be.
    #[error("redirect.{field}: {problem}")]
    Config {
        /// The setting.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A data directory that cannot be used.
    #[error("cannot use the data directory {}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process works in the data directory.
    #[error("another process uses the data directory {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The click log's thread cannot be started.
    #[error("cannot start the click log's thread")]
    Thread(#[source] io::Error),
}

impl Error {
    pub(crate) fn data(path: &std::path::Path, error: TryLockError) -> Self {
        let path = path.to_owned();
        match error {
            TryLockError::WouldBlock => Self::Locked { path },
            TryLockError::Error(source) => Self::Data { path, source },
        }
    }
}

/// Why a product of the catalogue is left out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadProduct {
    #[error("{field}")]
    Id { field: &'static str, source: IdError },
    #[error("{field}")]
    Page { field: &'static str, source: DestinationError },
    #[error("no checkout")]
    NoCheckout,
}
