//! The order of rooms: where their newest events stand.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_store::{Store, StoreError};

use crate::log::{Apply, Cache, Logged, What};

/// What brings a room forward in a client that sorts by `bump_stamp`.
const BUMPS: [&str; 9] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "m.beacon_info",
    "org.matrix.msc3381.poll.start",
    "org.matrix.msc3672.beacon_info",
];

/// Rooms whose order is in memory.
const ROOMS: usize = 200_000;

/// The order of rooms. Must be registered with the log.
pub(super) struct Order {
    store: Store,
    newest: Cache<RoomNid, Position>,
    bumped: Cache<RoomNid, Position>,
}

impl Order {
    pub(super) fn new(store: Store) -> Self {
        Self { store, newest: Cache::new(ROOMS), bumped: Cache::new(ROOMS) }
    }

    /// Where the newest event of each room stands: from memory, and in one statement for all others.
    pub(super) async fn newest(&self, rooms: &[RoomNid]) -> Result<HashMap<RoomNid, Position>, StoreError> {
        let (mut found, missing) = in_memory(&self.newest, rooms);
        if !missing.is_empty() {
            let reading = self.newest.read_many(&missing);
            for (room, pos) in self.store.newest_events(&missing).await? {
                found.insert(room, *reading.keep(&room, Arc::new(pos)));
            }
        }
        Ok(found)
    }

    /// The `bump_stamp` of each room.
    pub(super) async fn bumped(&self, rooms: &[RoomNid]) -> Result<HashMap<RoomNid, Position>, StoreError> {
        let (mut found, missing) = in_memory(&self.bumped, rooms);
        if !missing.is_empty() {
            let reading = self.bumped.read_many(&missing);
            for (room, pos) in self.store.newest_events_of(&missing, &BUMPS).await? {
                found.insert(room, *reading.keep(&room, Arc::new(pos)));
            }
        }
        Ok(found)
    }
}

fn in_memory(
    cache: &Cache<RoomNid, Position>,
    rooms: &[RoomNid],
) -> (HashMap<RoomNid, Position>, Vec<RoomNid>) {
    let (mut found, mut missing) = (HashMap::with_capacity(rooms.len()), Vec::new());
    for room in rooms {
        match cache.peek(room) {
            Some(pos) => drop(found.insert(*room, *pos)),
            None => missing.push(*room),
        }
    }
    (found, missing)
}

impl Apply for Order {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Event(event) => {
                let pos = Arc::new(entry.pos);
                if BUMPS.contains(&event.pdu.event_type().to_string().as_str()) {
                    self.bumped.put(event.room, Arc::clone(&pos));
                }
                self.newest.put(event.room, pos);
            }
            What::Unknown => {
                if let Some(room) = entry.room {
                    self.newest.invalidate(&room);
                    self.bumped.invalidate(&room);
                }
            }
            What::Membership(_) | What::Change(_) => {}
        }
    }

    fn reset(&self) {
        self.newest.clear();
        self.bumped.clear();
    }
}
