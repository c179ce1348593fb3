//! What can go wrong in a room.

use hearth_core::canonical_json::JsonError;
use hearth_core::grammar::GrammarError;
use hearth_core::pdu::BuildError;
use hearth_store::StoreError;
use hearth_store::interned::StateKeyName;

use crate::log::CommitError;

/// Why something could not be done to a room.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// This server has no such room.
    #[error("this server knows no such room")]
    UnknownRoom,
    /// No room has that alias.
    #[error("no room has this alias")]
    UnknownAlias,
    /// This server has no such event in the room.
    #[error("this server knows no such event in the room")]
    UnknownEvent,
    /// The alias names a room already.
    #[error("the alias names a room already")]
    AliasTaken,
    /// A part of the request is not what it must be. Says what.
    #[error("{0}")]
    InvalidParameter(&'static str),
    /// A name is not what names are.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
    /// A canonical alias that does not point to the room.
    #[error("the alias {0} does not point to this room")]
    BadAlias(String),
    /// The room's rules do not allow it. Says why.
    #[error("{0}")]
    Denied(String),
    /// What is asked for contradicts itself. Says how.
    #[error("{0}")]
    InvalidState(String),
    /// There is no preset of that name.
    #[error("there is no such preset")]
    UnknownPreset,
    /// More than the server takes at a time.
    #[error("at most {most} {what} are taken at a time")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it takes.
        most: usize,
    },
    /// It needs another server, and this one does not federate.
    #[error("{0} belongs to another server, and this server does not federate")]
    Remote(String),
    /// A room is forgotten only after it was left.
    #[error("Leave the room before you forget it.")]
    StillIn,
    /// The user's membership does not fit the action. Says how.
    #[error("{0}")]
    Membership(&'static str),
    /// The content cannot be part of an event.
    #[error("the content cannot be part of an event: {0}")]
    Content(#[from] JsonError),
    /// The event cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Others write to the room faster than this could be added to it.
    #[error("the room is too busy at the moment")]
    Contended,
    /// A state key has no integer yet. Nobody outside hears of this.
    #[error("the state key has no integer yet")]
    NewStateKey(StateKeyName),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
