//! What becomes of a proposal.

use hearth_core::id::{EventNid, Position};
use hearth_store::StoreError;

/// A proposal that took effect: it is committed, and every cache of this process has applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The position of its first entry; the others follow without a gap.
    pub pos: Position,
}

/// A proposal that had no effect.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The room moved on since the view it was built on, or the proposal it was built on failed.
    #[error("the room moved on")]
    RoomMoved,
    /// Its transaction id was used before; this was the reply.
    #[error("the transaction id was used before")]
    Repeated(Option<EventNid>),
    /// The name it asks for belongs to somebody.
    #[error("the name is taken")]
    Taken,
    /// What it changes does not exist.
    #[error("there is nothing to change")]
    Absent,
    /// Too many proposals wait already.
    #[error("too many writes wait already")]
    Busy,
    /// The database's disk is full.
    #[error("the disk is full")]
    Full,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The database could not be reached or gave up, and nothing was committed.
    #[error("the database is unavailable")]
    Unavailable,
    /// The database failed or refuses it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
