//! The log as the rest of the server sees it: commit a proposal, hear what was committed.

mod outcome;

pub use self::outcome::{CommitError, Committed};
