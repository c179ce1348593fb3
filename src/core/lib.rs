//! What the Matrix specification says, as pure functions: no runtime, no SQL, no HTTP, no clock,
//! no randomness.

pub mod auth;
pub mod canonical_json;
pub mod client_event;
pub mod dag;
pub mod grammar;
pub mod id;
pub mod membership;
pub mod pdu;
pub mod power;
pub mod push_rules;
pub mod relation;
pub mod room_version;
pub mod sliding_sync;
pub mod state_res;
pub mod state_tree;
pub mod sync_filter;
pub mod token;
pub mod unread;
pub mod visibility;

#[cfg(test)]
mod spec_vectors;
