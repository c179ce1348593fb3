//! Sync filters: kept once for each user and never changed, so that a client can name one by its id.

use hearth_core::canonical_json::{self, Allow};
use hearth_core::id::UserNid;
use hearth_store::{Store, StoreError};
use ruma::api::client::filter::FilterDefinition;
use sha2::{Digest, Sha256};

/// Filters of one user. Clients use a handful; without a bound a broken one could fill the disk.
const MAX_FILTERS: i64 = 1000;

/// How often a filter is tried under the next id when others of the same user come at the same moment.
const ATTEMPTS: usize = 5;

/// Why a filter was not kept or found.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not a filter.
    #[error("it is not a filter: {0}")]
    Invalid(String),
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

/// The filters of local users. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Filters {
    store: Store,
}

impl Filters {
    /// The filters in `store`.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// Keeps a filter, and returns its id: the same for an equal one.
    pub async fn keep(&self, user: UserNid, definition: &str) -> Result<i64, FilterError> {
        serde_json::from_str::<FilterDefinition>(definition)
            .map_err(|error| FilterError::Invalid(error.to_string()))?;
        let canonical = canonical_json::canonicalise(definition, Allow::NOTHING)
            .map_err(|error| FilterError::Invalid(error.to_string()))?;
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
        let id = id.parse().map_err(|_| FilterError::Absent)?;
        self.store.filter(user, id).await?.ok_or(FilterError::Absent)
    }
}
