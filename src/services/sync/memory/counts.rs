//! What a user has not read of their rooms, as far as it was counted: kept, and carried on by what happens.

use std::collections::{HashMap, HashSet};

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_store::unread::Unread;
use ruma::OwnedUserId;

use super::recent::Recent;

/// The counts of one user.
#[derive(Default)]
pub(super) struct Counts {
    rooms: HashMap<RoomNid, Kept>,
    /// When something last happened in a room after which it must be counted anew.
    renewed: HashMap<RoomNid, Position>,
    /// The same for all rooms.
    all_renewed: Position,
}

struct Kept {
    unread: Unread,
    as_of: Position,
}

/// For whom counts are carried on, and how far.
#[derive(Clone, Copy)]
pub(in crate::sync) struct Reader<'a> {
    pub(in crate::sync) user: UserNid,
    pub(in crate::sync) upto: Position,
    /// What these send does not count.
    pub(in crate::sync) ignored: &'a HashSet<OwnedUserId>,
}

impl Counts {
    /// A room is to be counted anew.
    pub(super) fn renew(&mut self, room: RoomNid, pos: Position) {
        self.rooms.remove(&room);
        self.renewed.insert(room, pos);
    }

    /// All rooms are.
    pub(super) fn renew_all(&mut self, pos: Position) {
        self.rooms.clear();
        self.renewed.clear();
        self.all_renewed = pos;
    }

    /// Keeps what was counted as of a position, unless it is out of date already.
    pub(super) fn keep(&mut self, room: RoomNid, unread: Unread, as_of: Position) {
        let newest = self.rooms.get(&room).map(|kept| kept.as_of);
        let needed = newest.max(self.renewed.get(&room).copied()).unwrap_or_default().max(self.all_renewed);
        if as_of >= needed {
            self.rooms.insert(room, Kept { unread, as_of });
        }
    }

    /// What is unread in a room, carried on to the reader's position; none where it must be counted.
    pub(super) fn carry_on(&mut self, room: RoomNid, recent: &Recent, reader: Reader<'_>) -> Option<Unread> {
        let kept = self.rooms.get_mut(&room)?;
        if kept.as_of < reader.upto {
            for entry in recent.entries(room, kept.as_of, reader.upto)? {
                let event = &entry.shown.event;
                if entry.withdraws {
                    self.rooms.remove(&room);
                    return None;
                }
                if event.sender == reader.user {
                    kept.unread.sent(entry.weight.thread.as_deref());
                } else if !reader.ignored.contains(event.pdu.sender()) {
                    kept.unread.add(&entry.weight, reader.user);
                }
            }
            kept.as_of = reader.upto;
        }
        Some(kept.unread.clone())
    }
}
