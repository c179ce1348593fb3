//! What the server does, without HTTP.

pub mod account_data;
pub mod accounts;
pub mod clock;
pub mod ephemeral;
pub mod filters;
pub mod interned;
pub mod log;
pub mod media;
pub mod outgoing;
pub mod profiles;
pub mod rate;
pub mod rooms;
pub mod seldom;
pub mod sync;

pub use hearth_store::{StoreError, statements};
