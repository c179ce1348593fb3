//! The connections of sliding sync: what their clients know, in the database and, of late, in memory.

use std::sync::Arc;
use std::time::Duration;

use hearth_core::token::SlidingToken;
use hearth_store::sliding::{ConnectionKey, KnownRow};
use hearth_store::{Store, StoreError};
use quick_cache::sync::Cache;

use super::known::Known;
use crate::clock;

/// Connections whose clients' knowledge is in memory, some kilobytes each.
const IN_MEMORY: usize = 10_000;

/// Connections of one device. Clients have two or three; the one that was not used for longest goes.
const MAX_OF_DEVICE: i64 = 16;

/// How often it is written down that a connection is in use.
const TOUCHED_EVERY_MS: i64 = 3_600_000;

/// The connections of all devices.
pub(super) struct Connections {
    store: Store,
    /// How long one is kept that nobody uses.
    lifetime: Duration,
    memory: Cache<ConnectionKey, Arc<Kept>>,
}

/// What was kept of a connection, as this process has seen it last.
struct Kept {
    known: Vec<Arc<KnownAs>>,
    used_ts: i64,
}

/// What a client knows, by its hash.
#[derive(Debug)]
pub(super) struct KnownAs {
    pub(super) hash: u64,
    pub(super) known: Known,
}

impl Connections {
    pub(super) fn new(store: Store, lifetime: Duration) -> Self {
        Self { store, lifetime, memory: Cache::new(IN_MEMORY) }
    }

    /// What the client knows that comes with a position; nothing, if the position is none of this connection's, or
    /// of long ago. Where other replicas live, memory does not tell what is the last position.
    pub(super) async fn get(
        &self,
        key: &ConnectionKey,
        token: SlidingToken,
        alone: bool,
    ) -> Result<Option<Arc<KnownAs>>, StoreError> {
        let now = clock::now_ms();
        let used_after = now.saturating_sub(i64::try_from(self.lifetime.as_millis()).unwrap_or(i64::MAX));
        if let Some(kept) = self.memory.get(key).filter(|kept| alone && kept.used_ts > used_after)
            && let Some(known) = kept.known.iter().find(|known| known.hash == token.known)
        {
            if now - kept.used_ts > TOUCHED_EVERY_MS {
                self.store.touch_sliding_connection(key, now).await?;
                self.memory.insert(key.clone(), Arc::new(Kept { known: kept.known.clone(), used_ts: now }));
            }
            return Ok(Some(Arc::clone(known)));
        }
        let row = self.store.sliding_known(key, token.known, used_after).await?;
        let Some((row, mut used_ts)) = row else { return Ok(None) };
        let known = Arc::new(KnownAs { hash: token.known, known: Known::read(&row)? });
        if now - used_ts > TOUCHED_EVERY_MS {
            self.store.touch_sliding_connection(key, now).await?;
            used_ts = now;
        }
        self.memory.insert(key.clone(), Arc::new(Kept { known: vec![Arc::clone(&known)], used_ts }));
        Ok(Some(known))
    }

    /// Keeps what a client knows that gets the next response, and what it knows if it does not.
    pub(super) async fn keep(
        &self,
        key: &ConnectionKey,
        known: Known,
        before: Option<&Arc<KnownAs>>,
    ) -> Result<Arc<KnownAs>, StoreError> {
        let row = known.row()?;
        if let Some(before) = before.filter(|before| before.hash == row.hash) {
            return Ok(Arc::clone(before));
        }
        let previous: Option<KnownRow> = before.map(|before| before.known.row()).transpose()?;
        let now = clock::now_ms();
        self.store.keep_sliding_known(key, &row, previous.as_ref(), now).await?;
        if before.is_none() {
            self.store.delete_sliding_connections_beyond(key, MAX_OF_DEVICE).await?;
        }
        let known = Arc::new(KnownAs { hash: row.hash, known });
        let kept = before.cloned().into_iter().chain([Arc::clone(&known)]).collect();
        self.memory.insert(key.clone(), Arc::new(Kept { known: kept, used_ts: now }));
        Ok(known)
    }
}
