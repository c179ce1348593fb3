//! Events in memory.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_core::id::EventNid;
use hearth_store::event::StoredEvent;
use hearth_store::{Store, StoreError};
use ruma::EventId;

use crate::log::{Apply, Cache, Logged, What};

/// Events kept in memory; with some two kilobytes each, some tens of megabytes.
const CACHED_EVENTS: usize = 20_000;

/// Reads events, and keeps those read lately. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    store: Store,
    cache: Arc<Cache<EventNid, StoredEvent>>,
}

impl Events {
    /// Over a store, with nothing in memory. Must be registered with the log.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, cache: Arc::new(Cache::new(CACHED_EVENTS)) }
    }

    /// An event that must exist, because something refers to it.
    pub async fn get(&self, nid: EventNid) -> Result<Arc<StoredEvent>, StoreError> {
        self.cache
            .get(&nid, || async move { self.store.events(&[nid]).await.map(|mut found| found.pop()) })
            .await?
            .ok_or_else(|| StoreError::corrupt("event", nid))
    }

    /// Events that must exist, in the order of `nids`, the missing ones read in one statement.
    pub async fn get_many(&self, nids: &[EventNid]) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let mut found: HashMap<EventNid, Arc<StoredEvent>> = HashMap::with_capacity(nids.len());
        let mut missing: Vec<EventNid> = Vec::new();
        for nid in nids {
            match self.cache.peek(nid) {
                Some(event) => drop(found.insert(*nid, event)),
                None => missing.push(*nid),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let reading = self.cache.read_many(&missing);
            for event in self.store.events(&missing).await? {
                let nid = event.nid;
                found.insert(nid, reading.keep(&nid, Arc::new(event)));
            }
        }
        nids.iter()
            .map(|nid| found.get(nid).cloned().ok_or_else(|| StoreError::corrupt("event", nid)))
            .collect()
    }

    /// The event of this id, if the server has it.
    pub async fn by_id(&self, id: &EventId) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        Ok(self.store.events_by_id(&[id]).await?.pop().map(Arc::new))
    }
}

impl Apply for Events {
    fn apply(&self, entry: &Logged) {
        let What::Event(event) = &entry.what else { return };
        self.cache.put(event.nid, Arc::new(StoredEvent::appended(event, entry.pos)));
        if let Some(target) = event.redacts.as_ref().and_then(|redacts| redacts.applies_to) {
            self.cache.invalidate(&target);
        }
    }

    fn reset(&self) {
        self.cache.clear();
    }
}
