//! What passes: who is online, who read how far, who types.

pub mod presence;
pub mod receipts;
pub mod typing;
