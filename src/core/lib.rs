//! What the Matrix specification says, as pure functions: no runtime, no SQL, no HTTP, no clock,
//! no randomness.

pub mod auth;
pub mod canonical_json;
pub mod client_event;
pub mod dag;
pub mod id;
pub mod membership;
pub mod pdu;
pub mod power;
pub mod room_version;
pub mod state_tree;
pub mod token;

#[cfg(test)]
mod spec_vectors;
