//! What the server does, without HTTP.

pub mod log;
