//! What the server does, without HTTP.

pub mod interned;
pub mod log;
pub mod rooms;
