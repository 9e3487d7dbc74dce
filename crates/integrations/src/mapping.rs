//! From a payload to a reading.
