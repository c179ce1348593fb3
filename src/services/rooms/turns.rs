//! Taking turns with other processes that write to the same room.
//!
//! Of two processes that write to a room at the same time, one finds at its commit that the room has moved on,
//! and builds anew what it had built. Left to chance, the one with more to build loses again and again. So, for
//! as long as others write too, what a process has to add waits for its turn at the room, and is added together
//! with all that has come meanwhile. A turn is a courtesy: whoever does not get one tries its luck.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hearth_core::id::RoomNid;
use hearth_store::Store;
use hearth_store::turn::RoomTurn;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

/// How long after others wrote to a room turns are taken: so many commits that the first one, which may be
/// overtaken, does not matter.
const SHARED: Duration = Duration::from_secs(1);

/// Who comes so soon after a turn began takes part in it: some commits, and no long wait for the others.
const OPEN: Duration = Duration::from_millis(50);

/// A turn that does not come within this is one of a process that hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most turns held or waited for at a time, in all rooms.
const AT_A_TIME: usize = 8;

/// One turn for so many connections: each has one, and those who take part in it need others.
const CONNECTIONS_A_TURN: usize = 3;

/// What all rooms of a process share.
#[derive(Clone, Debug)]
pub(super) struct TurnSlots(Arc<Semaphore>);

impl TurnSlots {
    /// For a process that has so many connections to the database.
    pub(super) fn for_connections(connections: usize) -> Self {
        Self(Arc::new(Semaphore::new((connections / CONNECTIONS_A_TURN).min(AT_A_TIME))))
    }
}

/// The turns at one room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// When another process wrote to the room last.
    shared: Mutex<Option<Instant>>,
    /// The turn that is held; waited for with this lock held, so that those who come meanwhile share it.
    current: AsyncMutex<Weak<Turn>>,
}

/// A turn, for all in this process who take part in it.
#[derive(Debug)]
pub(super) struct Turn {
    begun: Instant,
    _held: RoomTurn,
    _slot: OwnedSemaphorePermit,
}

/// A turn, and whether it has only just begun: what others wrote before it may not have been heard of.
pub(super) type Taken = (Arc<Turn>, bool);

impl Turns {
    /// Notes that another process wrote to the room.
    pub(super) fn others_wrote(&self) {
        self.note(Some(Instant::now()));
    }

    /// Waits for the turn at the room; none where nobody else writes to it, or it is not to be had.
    pub(super) async fn take(&self, store: &Store, slots: &TurnSlots, room: RoomNid) -> Option<Taken> {
        if !self.are_needed() {
            return None;
        }
        let mut current = self.current.lock().await;
        if let Some(turn) = current.upgrade().filter(|turn| turn.begun.elapsed() < OPEN) {
            return Some((turn, false));
        }
        // Those who waited behind one that waited in vain shall not wait as well.
        if !self.are_needed() {
            return None;
        }
        let slot = Arc::clone(&slots.0).try_acquire_owned().ok()?;
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, store.room_turn(room)).await else {
            // Where the database is away, the addition itself will tell.
            self.note(None);
            return None;
        };
        let turn = Arc::new(Turn { begun: Instant::now(), _held: turn, _slot: slot });
        *current = Arc::downgrade(&turn);
        Some((turn, true))
    }

    /// Whether others write to the room too.
    fn are_needed(&self) -> bool {
        // A time is whole even where a holder panicked.
        let shared = *self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.is_some_and(|at| at.elapsed() < SHARED)
    }

    fn note(&self, at: Option<Instant>) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_leave_most_connections_to_those_who_take_part_in_them() {
        let slots = |connections| TurnSlots::for_connections(connections).0.available_permits();
        assert_eq!([1, 5, 20, 400].map(slots), [0, 1, 6, 8]);
    }

    #[test]
    fn turns_are_needed_only_while_others_write() {
        let turns = Turns::default();
        let mut needed = vec![turns.are_needed()];
        turns.others_wrote();
        needed.push(turns.are_needed());
        turns.note(None);
        needed.push(turns.are_needed());
        assert_eq!(needed, [false, true, false]);
    }
}
