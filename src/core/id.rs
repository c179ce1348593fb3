//! The integers that stand for things inside the server.
//!
//! Events, rooms, users and state keys have long names on the wire. Inside they are *nids*: integers
//! interned once by the store, so that state trees, caches and indexes stay small. Every one has a type
//! of its own, so that a room cannot be passed where a user is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Wraps the integer that the store knows this thing by.
            #[must_use]
            pub const fn new(value: i64) -> Self {
                Self(value)
            }

            /// The integer itself, as PostgreSQL's `bigint`.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id! {
    /// A place in the log. Positions grow in commit order; gaps are legal; zero is before everything.
    Position
}
integer_id! {
    /// An event, known or an outlier. Unlike a [`Position`] it says nothing about order.
    EventNid
}
integer_id! {
    /// A room.
    RoomNid
}
integer_id! {
    /// A user, local or remote.
    UserNid
}
integer_id! {
    /// A `(type, state_key)` pair.
    StateKeyNid
}
integer_id! {
    /// A node of a state tree.
    NodeId
}
integer_id! {
    /// The root of a state tree: a whole room state. Zero is the empty state.
    Root
}

impl Position {
    /// Before every entry.
    pub const ZERO: Self = Self(0);

    /// The first position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The last position before this one.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0 - 1)
    }

    /// The position `count` further on.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Root {
    /// The state of a room before its create event.
    pub const EMPTY: Self = Self(0);
}
