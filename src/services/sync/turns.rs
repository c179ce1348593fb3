//! Turns at reading, so that a thousand who are woken at once do not all ask the database the same.

use std::array;

use hearth_core::id::RoomNid;
use tokio::sync::{Mutex, MutexGuard};

/// How many rooms are read side by side; more than there are connections.
const SIDE_BY_SIDE: usize = 64;

/// Whoever has the turn of a room reads; those who come meanwhile find in memory what was read.
pub(super) struct Turns([Mutex<()>; SIDE_BY_SIDE]);

impl Turns {
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| Mutex::new(())))
    }

    /// Waits for the turn of a room. Two rooms may share one.
    pub(super) async fn of(&self, room: RoomNid) -> Option<MutexGuard<'_, ()>> {
        let which = usize::try_from(room.get()).unwrap_or_default() % SIDE_BY_SIDE;
        match self.0.get(which) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }
}
