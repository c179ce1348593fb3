//! The log: proposals in, one commit order out.

mod change;
mod commit;
mod proposal;
mod read;
mod replica;

pub use self::change::Change;
pub use self::commit::{Dropped, LogConnection, Outcome, Reason, Recovered};
pub use self::proposal::{
    Append, Claim, Entry, MemberChange, NewEvent, NewNode, Proposal, Redacts, SentBy, StateChange,
};
pub use self::read::{Logged, What};
pub use self::replica::Live;
