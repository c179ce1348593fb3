//! What passes: who read how far, who types.

pub mod receipts;
pub mod typing;
