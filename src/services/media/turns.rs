//! Work that several may ask for at once, and that one does for all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// One turn at a time for each key. Whoever gets it looks first whether the work is done.
pub(super) struct Turns<K>(Mutex<HashMap<K, Arc<Turn<()>>>>);

impl<K: Hash + Eq> Turns<K> {
    /// Nobody has a turn.
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Waits for the turn at a key, and has it until what is returned is dropped.
    pub(super) async fn at(&self, key: K) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key).or_default())
        };
        turn.lock_owned().await
    }
}
