//! The newest entries of every room, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid};
use hearth_store::event::StoredEvent;
use hearth_store::log::StateChange;
use hearth_store::unread::Weight;

use crate::sync::shown::Shown;

/// What recent entries may take of memory. The oldest go first, whatever their room.
const MAX_BYTES: usize = 128 << 20;

/// How many recent entries are remembered at the most, those without an event too.
const MAX_ENTRIES: usize = 200_000;

/// Entries of one room that are kept: more than any timeline asks for, so that one busy room does not push the
/// quiet ones out.
const MAX_OF_ROOM: usize = 256;

/// Nothing is known to be complete.
const UNKNOWN: Position = Position::new(i64::MAX);

/// What happened lately, in all rooms. Everything above `floor` is here.
pub(super) struct Recent {
    floor: Position,
    /// Every entry above the floor, of whatever room.
    order: VecDeque<(Position, RoomNid)>,
    rooms: HashMap<RoomNid, Ring>,
    bytes: usize,
}

/// The newest entries of a room.
struct Ring {
    /// Its newest entry.
    last: Position,
    /// Every entry above it is here.
    floor: Position,
    /// The state that was current at the floor, where somebody asked for it.
    base: Option<StateChange>,
    entries: VecDeque<Entry>,
}

/// An entry of a room.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) shown: Arc<Shown>,
    /// The current state after it, where it changed it.
    state: Option<StateChange>,
    /// What it adds to unread counts.
    pub(super) weight: Weight,
    /// It took something away from them.
    pub(super) withdraws: bool,
}

/// A piece of a room's history, as far as memory has it.
#[derive(Debug, Default)]
pub(in crate::sync) struct Remembered {
    /// Newest first.
    pub(in crate::sync) events: Vec<Arc<Shown>>,
    /// Where memory ends, if it ends before the piece does: everything above is in `events`.
    pub(in crate::sync) ends_at: Option<Position>,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { floor: UNKNOWN, order: VecDeque::new(), rooms: HashMap::new(), bytes: 0 }
    }

    /// Begins at `applied`: whatever comes after it will be heard of.
    pub(super) fn begin(&mut self, applied: Position) {
        self.floor = applied;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether every entry after `since` is here.
    pub(super) fn covers(&self, since: Position) -> bool {
        since >= self.floor
    }

    /// The rooms of the entries after `since`, which must be covered, newest first; a room may come repeatedly.
    pub(super) fn rooms_after(&self, since: Position) -> impl Iterator<Item = RoomNid> + '_ {
        let first = self.order.partition_point(|(pos, _)| *pos <= since);
        self.order.range(first..).rev().map(|(_, room)| *room)
    }

    /// How many entries there are after `since`.
    pub(super) fn count_after(&self, since: Position) -> usize {
        self.order.len() - self.order.partition_point(|(pos, _)| *pos <= since)
    }

    /// Whether something happened in a room after `since`, which must be covered.
    pub(super) fn changed(&self, room: RoomNid, since: Position) -> bool {
        self.rooms.get(&room).is_some_and(|ring| ring.last > since)
    }

    /// Adds an event.
    pub(super) fn push(
        &mut self,
        room: RoomNid,
        event: StoredEvent,
        state: Option<StateChange>,
        weight: Weight,
    ) {
        let shown = Arc::new(Shown::new(Arc::new(event)));
        let pos = shown.pos();
        self.note(room, pos);
        let bytes = shown.bytes();
        let Some(ring) = self.rooms.get_mut(&room) else { return };
        ring.entries.push_back(Entry { shown, state, weight, withdraws: false });
        self.bytes += bytes;
        if ring.entries.len() > MAX_OF_ROOM {
            self.bytes -= ring.forget_oldest();
        }
        while self.bytes > MAX_BYTES || self.order.len() > MAX_ENTRIES {
            self.forget_oldest();
        }
    }

    /// Something happened in a room that is not understood: what is remembered of it is no longer complete.
    pub(super) fn forget(&mut self, room: RoomNid, pos: Position) {
        self.note(room, pos);
        let Some(ring) = self.rooms.get_mut(&room) else { return };
        self.bytes -= ring.entries.iter().map(|entry| entry.shown.bytes()).sum::<usize>();
        ring.entries.clear();
        ring.floor = pos;
        ring.base = None;
    }

    /// A redaction, which is the room's newest event, took effect: from now on everyone is shown what is left.
    pub(super) fn redact(&mut self, room: RoomNid, target: EventNid, redaction: EventNid) {
        let Some(ring) = self.rooms.get_mut(&room) else { return };
        let found = ring.entries.iter_mut().rev().find(|entry| entry.shown.event.nid == target);
        // What is not remembered may have counted.
        let counted = found.as_ref().is_none_or(|entry| !entry.weight.is_nothing());
        // The first redaction of an event is the one in effect.
        if let Some(entry) = found.filter(|entry| entry.shown.event.redacted_by.is_none()) {
            let mut event = StoredEvent::clone(&entry.shown.event);
            event.redacted_by = Some(redaction);
            entry.shown = Arc::new(Shown::new(Arc::new(event)));
        }
        if let Some(newest) = ring.entries.back_mut() {
            newest.withdraws = counted;
        }
    }

    /// The events of a room in `(after, upto]`, oldest first; none where memory does not reach back so far.
    pub(super) fn entries(
        &self,
        room: RoomNid,
        after: Position,
        upto: Position,
    ) -> Option<impl Iterator<Item = &Entry>> {
        let ring = self.rooms.get(&room);
        let known = ring.map_or_else(|| self.covers(after), |ring| ring.floor <= after);
        let entries = ring.map(|ring| {
            let begin = ring.entries.partition_point(|entry| entry.shown.pos() <= after);
            let end = ring.entries.partition_point(|entry| entry.shown.pos() <= upto);
            ring.entries.range(begin..end.max(begin))
        });
        known.then(|| entries.into_iter().flatten())
    }

    /// At most `limit` events of a room in `(after, upto]`.
    pub(super) fn history(&self, room: RoomNid, after: Position, upto: Position, limit: usize) -> Remembered {
        let Some(ring) = self.rooms.get(&room) else {
            // Nothing of the room above the floor.
            let ends_at = (after < self.floor).then_some(self.floor.min(upto));
            return Remembered { events: Vec::new(), ends_at };
        };
        let mut events = Vec::new();
        for entry in ring.entries.iter().rev().skip_while(|entry| entry.shown.pos() > upto) {
            if entry.shown.pos() <= after {
                return Remembered { events, ends_at: None };
            }
            if events.len() == limit {
                let ends_at = events.last().map(|shown: &Arc<Shown>| Position::new(shown.pos().get() - 1));
                return Remembered { events, ends_at };
            }
            events.push(Arc::clone(&entry.shown));
        }
        let ends_at = (after < ring.floor).then_some(ring.floor.min(upto));
        Remembered { events, ends_at }
    }

    /// The state that was current in a room at `pos`, if that is known.
    pub(super) fn state_at(&self, room: RoomNid, pos: Position) -> Option<StateChange> {
        let ring = self.rooms.get(&room)?;
        let mut changes = ring.entries.iter().rev().skip_while(|entry| entry.shown.pos() > pos);
        changes.find_map(|entry| entry.state).or(ring.base.filter(|_| pos >= ring.floor))
    }

    /// Whether it is known that a room's state did not change in `(after, upto]`.
    pub(super) fn is_state_unchanged(&self, room: RoomNid, after: Position, upto: Position) -> bool {
        let Some(ring) = self.rooms.get(&room) else { return self.covers(after) };
        let inside = |entry: &&Entry| entry.shown.pos() > after && entry.shown.pos() <= upto;
        ring.floor <= after && ring.entries.iter().filter(inside).all(|entry| entry.state.is_none())
    }

    /// Takes note of what state was current in a room at `pos`.
    pub(super) fn learn_state(&mut self, room: RoomNid, pos: Position, state: StateChange) {
        let Some(ring) = self.rooms.get_mut(&room) else { return };
        let changed_before =
            ring.entries.iter().any(|entry| entry.shown.pos() <= pos && entry.state.is_some());
        if pos >= ring.floor && !changed_before {
            ring.base = Some(state);
        }
    }

    /// Takes note of the newest entry of a room.
    pub(super) fn note(&mut self, room: RoomNid, pos: Position) {
        if self.floor == UNKNOWN {
            self.floor = Position::new(pos.get() - 1);
        }
        self.order.push_back((pos, room));
        let floor = self.floor;
        let ring = self.rooms.entry(room).or_insert_with(|| Ring {
            last: pos,
            floor,
            base: None,
            entries: VecDeque::new(),
        });
        ring.last = pos;
    }

    fn forget_oldest(&mut self) {
        let Some((pos, room)) = self.order.pop_front() else { return };
        self.floor = pos;
        let Some(ring) = self.rooms.get_mut(&room) else { return };
        if ring.entries.front().is_some_and(|entry| entry.shown.pos() == pos) {
            self.bytes -= ring.forget_oldest();
        }
        if ring.last == pos {
            self.rooms.remove(&room);
        }
    }
}

impl Ring {
    /// Forgets the oldest entry; returns what it took of memory.
    fn forget_oldest(&mut self) -> usize {
        let Some(entry) = self.entries.pop_front() else { return 0 };
        self.floor = entry.shown.pos();
        self.base = entry.state.or(self.base);
        entry.shown.bytes()
    }
}

#[cfg(test)]
mod tests;
