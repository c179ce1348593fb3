//! Simplified sliding sync ([MSC4186]): what a client asks for, in both forms that clients speak.
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, UserId};
use serde::{Deserialize, Serialize};

mod filters;
mod required_state;
mod wire;

pub use filters::{Filters, RoomTraits};
pub use required_state::Wanted;

/// The most lists of a request, and the most subscriptions.
///
/// > If more than 100 … the server responds with `M_INVALID_PARAM`.
pub const MAX_LISTS: usize = 100;

/// The most events of a timeline, whatever is asked for.
pub const MAX_TIMELINE: usize = 100;

/// The most ranges of a list, and the longest name of a list, connection or event type, in bytes.
const MAX_RANGES: usize = 100;
const MAX_NAME: usize = 255;

/// The most elements of one `required_state`; each costs a comparison for each state event.
const MAX_ELEMENTS: usize = 256;

/// Why a text is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is JSON of another shape.
    #[error("the request is malformed: {0}")]
    Shape(String),
    /// There are too many of something.
    #[error("there are more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A name is too long.
    #[error("{0} is longer than {MAX_NAME} bytes")]
    TooLong(&'static str),
    /// A range ends before it begins.
    #[error("a range ends before it begins")]
    Backwards,
}

/// In which form a client asks, and is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the proposal was merged: everything is in the body.
    Stable,
    /// `org.matrix.simplified_msc3575`, as clients shipped it: the position is in the query.
    Unstable,
}

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Which of the device's connections it is.
    pub conn_id: String,
    /// Lists of rooms, by the client's names for them.
    pub lists: BTreeMap<String, List>,
    /// Rooms that are wanted wherever they stand.
    pub subscriptions: BTreeMap<OwnedRoomId, RoomView>,
    /// What is wanted beside rooms.
    pub extensions: Extensions,
    /// In the stable form: the position, the longest wait in milliseconds, and what to be seen as.
    pub stable: Stable,
}

/// What the stable form has in its body and the other in its query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stable {
    /// The position that the last response gave out.
    pub pos: Option<String>,
    /// The longest wait for news, in milliseconds.
    pub timeout: Option<u64>,
    /// What the device is to be seen as.
    pub set_presence: Option<String>,
}

/// A list of rooms, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The places in it that are looked at: from and to, both included.
    pub ranges: Vec<(usize, usize)>,
    /// What is wanted of the rooms there.
    pub view: RoomView,
    /// Which rooms are in it.
    pub filters: Filters,
}

/// What is wanted of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomView {
    /// The most events of its timeline.
    pub timeline_limit: usize,
    /// Which of its state.
    pub wanted: Wanted,
}

/// What is wanted beside rooms; nothing where an extension is not enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Account data.
    pub account_data: Option<Extension>,
    /// Receipts.
    pub receipts: Option<Extension>,
    /// Who types.
    pub typing: Option<Extension>,
}

/// For which rooms an extension is wanted: for all, or for those of some lists, and for some of those subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The lists; all, if absent.
    pub lists: Option<Vec<String>>,
    /// The subscriptions; all, if absent.
    pub rooms: Option<Vec<String>>,
}

impl Request {
    /// Reads a request's body. `$ME` in it is `user`.
    ///
    /// # Errors
    ///
    /// Where it is JSON of another shape, or asks for more than is allowed.
    pub fn parse(body: &str, form: Form, user: &UserId) -> Result<Self, RequestError> {
        wire::parse(body, form, user)
    }
}

impl RoomView {
    /// Wants what another wants too.
    pub fn join(&mut self, other: &Self) {
        self.timeline_limit = self.timeline_limit.max(other.timeline_limit);
        self.wanted.join(&other.wanted);
    }
}

impl Extension {
    /// Whether it covers a list.
    #[must_use]
    pub fn covers_list(&self, list: &str) -> bool {
        covers(self.lists.as_deref(), list)
    }

    /// Whether it covers a room that is subscribed to.
    #[must_use]
    pub fn covers_room(&self, room: &str) -> bool {
        covers(self.rooms.as_deref(), room)
    }
}

fn covers(named: Option<&[String]>, name: &str) -> bool {
    named.is_none_or(|named| named.iter().any(|one| one == "*" || one == name))
}
