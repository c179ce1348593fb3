//! Telling every cache of this process what was committed, in position order.

use std::sync::{Arc, PoisonError, RwLock};

use hearth_core::id::Position;
use hearth_store::{Store, StoreError};
use tokio::sync::{Mutex, watch};

pub use hearth_store::log::{Logged, What};

/// A cache that the log keeps true.
pub trait Apply: Send + Sync {
    /// Hears one committed entry. Called in position order, before anyone who waits for the entry is woken;
    /// must be quick, and must not block.
    fn apply(&self, entry: &Logged);

    /// Entries were missed: everything cached must go.
    fn reset(&self);
}

/// Entries read from the database at a time.
const GAP: i64 = 1000;

pub(super) struct Applier {
    store: Store,
    caches: RwLock<Vec<Arc<dyn Apply>>>,
    applied: watch::Sender<Position>,
    /// Held while entries are applied, so that they are applied in order.
    turn: Mutex<()>,
}

impl Applier {
    pub(super) fn new(store: Store, head: Position) -> Self {
        Self { store, caches: RwLock::default(), applied: watch::Sender::new(head), turn: Mutex::new(()) }
    }

    pub(super) fn register(&self, cache: Arc<dyn Apply>) {
        // The list is whole even where a holder of the lock panicked: pushing is all that is ever done.
        self.caches.write().unwrap_or_else(PoisonError::into_inner).push(cache);
    }

    /// Adds a cache between two entries: it hears everything after the position that comes back, and nothing
    /// before.
    pub(super) async fn register_from_here(&self, cache: Arc<dyn Apply>) -> Position {
        let _turn = self.turn.lock().await;
        self.register(cache);
        self.applied()
    }

    pub(super) fn applied(&self) -> Position {
        *self.applied.borrow()
    }

    pub(super) async fn wait_applied(&self, pos: Position) {
        // The sender lives as long as `self`.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= pos).await;
    }

    /// Applies a batch that this process committed: `entries` are all between `before` and `head`.
    pub(super) async fn apply_own(
        &self,
        before: Position,
        head: Position,
        entries: &[Logged],
    ) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.close_gap(before).await?;
        if self.applied() == before {
            self.tell(entries);
            self.applied.send_replace(head);
        } else {
            // Read back already, with what others wrote after it.
            self.close_gap(head).await?;
        }
        Ok(())
    }

    /// Applies what other processes committed, up to `head`.
    pub(super) async fn catch_up_to(&self, head: Position) -> Result<(), StoreError> {
        if self.applied() >= head {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        self.close_gap(head).await
    }

    async fn close_gap(&self, head: Position) -> Result<(), StoreError> {
        while self.applied() < head {
            let from = self.applied();
            let entries = self.store.log_entries(from, head, GAP).await?;
            if self.store.trimmed().await? > from {
                self.reset(head);
                return Ok(());
            }
            let full = i64::try_from(entries.len()).is_ok_and(|read| read == GAP);
            let reached = entries.last().filter(|_| full).map_or(head, |entry| entry.pos);
            self.tell(&entries);
            self.applied.send_replace(reached);
        }
        Ok(())
    }

    fn reset(&self, head: Position) {
        tracing::warn!(position = %head, "the log was trimmed beyond this process's position: caches are dropped");
        for cache in self.caches.read().unwrap_or_else(PoisonError::into_inner).iter() {
            cache.reset();
        }
        self.applied.send_replace(head);
    }

    fn tell(&self, entries: &[Logged]) {
        let caches = self.caches.read().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            for cache in caches.iter() {
                cache.apply(entry);
            }
        }
    }
}
