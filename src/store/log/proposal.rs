//! What the writer is asked to commit.

use std::sync::Arc;

use hearth_core::id::{EventNid, NodeId, Position, RoomNid, Root, StateKeyNid, UserNid};

use hearth_core::pdu::Pdu;

use super::Change;
use crate::unread::Weight;

/// One thing to commit whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// The transaction id it uses up; where that was used before, nothing happens and the earlier reply
    /// comes back.
    pub claim: Option<Claim>,
    /// The room it appends to, if it does.
    pub append: Option<Append>,
    /// What it does, in order; entry after entry gets a position of its own.
    pub entries: Vec<Entry>,
    /// State tree nodes that its entries refer to.
    pub nodes: Vec<NewNode>,
}

impl Proposal {
    /// A proposal of one rare change.
    #[must_use]
    pub fn change(change: Change) -> Self {
        Self { entries: vec![Entry::Change(change)], ..Self::default() }
    }
}

/// A client's transaction id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Who sends.
    pub user: UserNid,
    /// From which device.
    pub device_id: String,
    /// The endpoint and its path parameters.
    pub scope: String,
    /// As the client chose it.
    pub txn_id: String,
    /// The event it makes, given to repeats as their reply.
    pub reply: Option<EventNid>,
    /// Milliseconds since the epoch.
    pub ts: i64,
}

/// What an append to a room was built on.
#[derive(Clone, Copy, Debug)]
pub struct Append {
    /// The room.
    pub room: RoomNid,
    /// The position its view of the room is as of; a newer entry of the room is a conflict.
    pub base: Position,
}

/// One log row and what goes with it.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A room event with a place at the end of the timeline.
    Event(Arc<NewEvent>),
    /// A membership change that no event of a room we are in made: a forgotten room, an invite over
    /// federation.
    Membership {
        /// The room.
        room: RoomNid,
        /// The change.
        change: MemberChange,
    },
    /// Anything rarer.
    Change(Change),
}

/// A room event at the end of its room's timeline.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its integer.
    pub nid: EventNid,
    /// Its room.
    pub room: RoomNid,
    /// Its sender.
    pub sender: UserNid,
    /// For a state event its interned `(type, state_key)`.
    pub state_key: Option<StateKeyNid>,
    /// The event itself.
    pub pdu: Arc<Pdu>,
    /// The state before it.
    pub root_before: Root,
    /// Its auth events.
    pub auth_events: Vec<EventNid>,
    /// One more than the greatest of its auth events'; orders auth chains.
    pub auth_order: i32,
    /// What sent it, where a local client did with a transaction id.
    pub sent_by: Option<SentBy>,
    /// The room's forward extremities after it; none where it is the only one.
    pub heads: Option<Vec<EventNid>>,
    /// The current state after it, where it changed.
    pub state: Option<StateChange>,
    /// Memberships that the change of state changed.
    pub members: Vec<MemberChange>,
    /// For a redaction: what it redacts.
    pub redacts: Option<Redacts>,
    /// What it adds to the unread counts of the room's members.
    pub weight: Weight,
}

/// The device and transaction id that sent an event; `unsigned.transaction_id` shows it to that device alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBy {
    /// The device of the event's sender.
    pub device_id: String,
    /// As the client chose it.
    pub txn_id: String,
}

/// What a redaction asks for, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacts {
    /// The event id it names, known here or not.
    pub target: String,
    /// The event that it redacts in effect: known here, in the same room, and the rules let it.
    pub applies_to: Option<EventNid>,
}

/// A room's current state from an entry on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The tree.
    pub root: Root,
    /// How many users are joined.
    pub joined: i64,
    /// How many users are invited.
    pub invited: i64,
}

/// A user's membership in the entry's room from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    /// The user.
    pub user: UserNid,
    /// What they are now.
    pub membership: hearth_core::membership::Membership,
    /// They forgot the room.
    pub forgotten: bool,
    /// Their member event.
    pub event: Option<EventNid>,
    /// What another server told of the room with an invite or knock: a JSON array.
    pub stripped_state: Option<String>,
}

/// A state tree node to be stored.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its id.
    pub id: NodeId,
    /// Its encoding.
    pub data: Arc<[u8]>,
}
