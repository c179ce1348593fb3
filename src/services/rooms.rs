//! Rooms: their events, state and order, and everything that can be done to them.

pub mod events;
pub mod states;
