//! Whether a delivery comes from whom it claims to come from.
