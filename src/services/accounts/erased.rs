//! Users who asked for what they said to be erased when they left the server.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_core::id::UserNid;
use hearth_store::log::Change;
use hearth_store::{Store, StoreError};

use crate::log::{Apply, Cache, Log, Logged, What};

/// The erased users: few, and all of them in memory. Cheap to clone.
#[derive(Clone)]
pub struct ErasedUsers {
    store: Store,
    users: Arc<Users>,
}

/// One value, under the one key there is.
struct Users(Cache<(), HashSet<UserNid>>);

impl ErasedUsers {
    /// The erased users in `store`, kept true by `log`.
    #[must_use]
    pub fn new(store: Store, log: &Log) -> Self {
        let users = Arc::new(Users(Cache::new(1)));
        log.register(Arc::clone(&users) as Arc<dyn Apply>);
        Self { store, users }
    }

    /// All of them; no statement where that is in memory.
    pub async fn all(&self) -> Result<Arc<HashSet<UserNid>>, StoreError> {
        let load = || async move { Ok::<_, StoreError>(Some(self.store.erased_users().await?)) };
        Ok(self.users.0.get(&(), load).await?.unwrap_or_default())
    }
}

impl Apply for Users {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(Change::DeactivateAccount { erase: true, .. }) | What::Unknown => {
                self.0.invalidate(&());
            }
            _ => {}
        }
    }

    fn reset(&self) {
        self.0.clear();
    }
}
