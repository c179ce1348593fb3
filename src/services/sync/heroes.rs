//! The users whose names stand for a room that has none.

use std::sync::Arc;

use hearth_core::id::{RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_store::{Store, StoreError};

use super::turns::Turns;
use crate::log::{Apply, Cache, Logged, What};

/// How many heroes a room has.
///
/// > This should be the first 5 members of the room, ordered by stream ordering, which are joined or
/// > invited.
pub(super) const HEROES: usize = 5;

/// One more than there are heroes, because nobody is their own.
const KEPT: i64 = 6;

/// Rooms whose heroes are read in one statement.
const TOGETHER: usize = 100;

/// Rooms whose heroes are kept in memory.
const ROOMS: usize = 20_000;

/// The heroes of rooms. Must be registered with the log.
pub(super) struct Heroes {
    store: Store,
    cache: Cache<RoomNid, Vec<UserNid>>,
    turns: Turns,
}

impl Heroes {
    pub(super) fn new(store: Store) -> Self {
        Self { store, cache: Cache::new(ROOMS), turns: Turns::new() }
    }

    /// A room's heroes for a reader.
    pub(super) async fn of(&self, room: RoomNid, reader: UserNid) -> Result<Vec<UserNid>, StoreError> {
        let mut kept = self.cache.peek(&room);
        if kept.is_none() {
            let _turn = self.turns.of(room).await;
            kept = self.cache.get(&room, || async move { self.first(room).await.map(Some) }).await?;
        }
        let others: Vec<UserNid> =
            kept.iter().flat_map(|kept| kept.iter()).copied().filter(|user| *user != reader).collect();
        if !others.is_empty() {
            return Ok(others.into_iter().take(HEROES).collect());
        }
        // > If no joined or invited members exist, use those who left or were banned.
        let gone = [Membership::Leave, Membership::Ban];
        self.store.first_members(room, reader, &gone, KEPT - 1).await
    }

    /// Reads the heroes of rooms that are not in memory, for all of them together. Returns all that were read.
    pub(super) async fn prepare(&self, rooms: &[RoomNid]) -> Result<Vec<UserNid>, StoreError> {
        let missing: Vec<RoomNid> =
            rooms.iter().copied().filter(|room| self.cache.peek(room).is_none()).collect();
        let mut read = Vec::new();
        for rooms in missing.chunks(TOGETHER) {
            let reading = self.cache.read_many(rooms);
            let heroes = self.store.heroes_of(rooms, KEPT).await?;
            for of_room in heroes.chunk_by(|a, b| a.0 == b.0) {
                let users: Vec<UserNid> = of_room.iter().map(|(_, user)| *user).collect();
                read.extend(&users);
                if let Some((room, _)) = of_room.first() {
                    reading.keep(room, Arc::new(users));
                }
            }
        }
        Ok(read)
    }

    async fn first(&self, room: RoomNid) -> Result<Vec<UserNid>, StoreError> {
        self.store.heroes(room, NOBODY, KEPT).await
    }
}

/// No user has this integer.
const NOBODY: UserNid = UserNid::new(0);

impl Apply for Heroes {
    fn apply(&self, entry: &Logged) {
        let Some(room) = entry.room else { return };
        match &entry.what {
            What::Event(event) if event.members.is_empty() => {}
            What::Event(_) | What::Membership(_) | What::Unknown => self.cache.invalidate(&room),
            What::Change(_) => {}
        }
    }

    fn reset(&self) {
        self.cache.clear();
    }
}
