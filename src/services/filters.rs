//! Sync filters: kept once for each user and never changed, so that a client can name one by its id.

use std::sync::Arc;

use hearth_core::canonical_json::{self, Allow, JsonError};
use hearth_core::id::UserNid;
use hearth_core::sync_filter::{self, FilterDefinition};
use hearth_store::{Store, StoreError};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

/// Filters of one user. Clients use a handful; without a bound a broken one could fill the disk.
const MAX_FILTERS: i64 = 1000;

/// How often a filter is tried under the next id when others of the same user come at the same moment.
const ATTEMPTS: usize = 5;

/// Filters kept ready for syncs: one or two for each active device, about a kilobyte each.
const READY: usize = 16_384;

/// Why a filter was not kept or found.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not a filter.
    #[error(transparent)]
    Invalid(#[from] sync_filter::FilterError),
    /// It has numbers that no filter has.
    #[error(transparent)]
    BadJson(#[from] JsonError),
    /// The user has too many.
    #[error("the user has too many filters")]
    TooMany,
    /// There is none of that id.
    #[error("there is no such filter")]
    Absent,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The filters of local users. Cheap to clone. A filter never changes, so nothing invalidates what is kept.
#[derive(Clone, Debug)]
pub struct Filters {
    store: Store,
    ready: Arc<Cache<(UserNid, i64), Arc<FilterDefinition>>>,
}

impl Filters {
    /// The filters in `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, ready: Arc::new(Cache::new(READY)) }
    }

    /// Keeps a filter, and returns its id: the same for an equal one.
    pub async fn keep(&self, user: UserNid, definition: &str) -> Result<i64, FilterError> {
        FilterDefinition::parse(definition)?;
        let canonical = canonical_json::canonicalise(definition, Allow::NOTHING)?;
        let hash: [u8; 32] = Sha256::digest(&canonical).into();
        for _ in 0..ATTEMPTS {
            if let Some(id) = self.store.find_filter(user, &hash).await? {
                return Ok(id);
            }
            match self.store.add_filter(user, &hash, &canonical, MAX_FILTERS).await {
                Ok(Some(id)) => return Ok(id),
                // Too many, or an equal one was kept at this moment: the next round finds it.
                Ok(None) | Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(FilterError::TooMany)
    }

    /// The canonical JSON of a filter.
    pub async fn get(&self, user: UserNid, id: &str) -> Result<String, FilterError> {
        self.load(user, parse_id(id)?).await
    }

    /// A filter ready for use.
    pub async fn definition(&self, user: UserNid, id: &str) -> Result<Arc<FilterDefinition>, FilterError> {
        let id = parse_id(id)?;
        if let Some(ready) = self.ready.get(&(user, id)) {
            return Ok(ready);
        }
        let definition = Arc::new(FilterDefinition::parse(self.load(user, id).await?)?);
        self.ready.insert((user, id), Arc::clone(&definition));
        Ok(definition)
    }

    async fn load(&self, user: UserNid, id: i64) -> Result<String, FilterError> {
        self.store.filter(user, id).await?.ok_or(FilterError::Absent)
    }
}

/// What is no number is no id of ours.
fn parse_id(id: &str) -> Result<i64, FilterError> {
    id.parse().map_err(|_| FilterError::Absent)
}
