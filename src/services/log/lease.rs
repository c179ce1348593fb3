//! Work that one process does for all.

use std::time::{Duration, Instant};

use hearth_store::lease::Epoch;
use hearth_store::{Store, StoreError};

/// A lease, held or not. Times are the database's; the owner itself counts on half of the duration by its own
/// monotonic clock, so that it has stopped before another may begin.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    name: &'static str,
    owner: i64,
    duration: Duration,
    held: Option<(Epoch, Instant)>,
}

impl Lease {
    pub(super) fn new(store: Store, name: &'static str, owner: i64, duration: Duration) -> Self {
        Self { store, name, owner, duration, held: None }
    }

    /// Claims or renews it. None where another process holds it.
    pub async fn claim(&mut self) -> Result<Option<Epoch>, StoreError> {
        // Before the question: the answer may be long on its way.
        let asked = Instant::now();
        let epoch = self.store.claim_lease(self.name, self.owner, self.duration.as_secs_f64()).await?;
        self.held = epoch.map(|epoch| (epoch, asked));
        Ok(epoch)
    }

    /// The epoch to write with, while the work may still be done.
    #[must_use]
    pub fn held(&self) -> Option<Epoch> {
        self.held.filter(|(_, since)| since.elapsed() < self.duration / 2).map(|(epoch, _)| epoch)
    }

    /// Gives it up.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        if self.held.take().is_some() {
            self.store.release_lease(self.name, self.owner).await?;
        }
        Ok(())
    }
}
