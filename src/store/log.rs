//! The log: proposals in, one commit order out.

mod change;
mod proposal;

pub use self::change::Change;
pub use self::proposal::{Append, Claim, Entry, MemberChange, NewEvent, NewNode, Proposal, StateChange};
