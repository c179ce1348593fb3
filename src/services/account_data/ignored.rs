//! Whom a user does not want to hear of: `m.ignored_user_list`.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{RoomNid, UserNid};
use hearth_store::account_data::GLOBAL;
use hearth_store::log::Change;
use hearth_store::{Store, StoreError};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

use crate::log::{Apply, Cache, Log, Logged, What};

/// Users whose list is kept in memory. Nearly all of them are empty.
const USERS: usize = 65_536;

/// The type of the list.
pub(super) const TYPE: &str = "m.ignored_user_list";

/// The lists of all users. Cheap to clone.
#[derive(Clone)]
pub struct IgnoredUsers {
    store: Store,
    lists: Arc<Lists>,
}

struct Lists(Cache<UserNid, HashSet<OwnedUserId>>);

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    ignored_users: BTreeMap<String, Value>,
}

impl IgnoredUsers {
    /// The lists in `store`, kept true by `log`.
    #[must_use]
    pub fn new(store: Store, log: &Log) -> Self {
        let lists = Arc::new(Lists(Cache::new(USERS)));
        log.register(Arc::clone(&lists) as Arc<dyn Apply>);
        Self { store, lists }
    }

    /// Whether a piece of account data, of a room or of the whole account, is the list.
    #[must_use]
    pub fn is_list(room: RoomNid, data_type: &str) -> bool {
        room == GLOBAL && data_type == TYPE
    }

    /// Whom a user ignores; no statement where that is in memory.
    pub async fn of(&self, user: UserNid) -> Result<Arc<HashSet<OwnedUserId>>, StoreError> {
        let load = || async move {
            let content = self.store.account_data(user, GLOBAL, TYPE).await?;
            Ok::<_, StoreError>(Some(content.map(|content| parse(&content)).unwrap_or_default()))
        };
        Ok(self.lists.0.get(&user, load).await?.unwrap_or_default())
    }
}

/// The users that a list names. One that is malformed names nobody, as clients take it.
fn parse(content: &str) -> HashSet<OwnedUserId> {
    let users = serde_json::from_str::<Content>(content).map(|content| content.ignored_users);
    users.unwrap_or_default().into_keys().filter_map(|id| UserId::parse(id).ok()).collect()
}

/// Whether a list names a user.
pub(super) fn names(content: &str, user_id: &UserId) -> bool {
    parse(content).contains(user_id)
}

impl Apply for Lists {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(Change::SetAccountData { user, room, r#type, .. })
                if IgnoredUsers::is_list(*room, r#type) =>
            {
                self.0.invalidate(user);
            }
            What::Unknown => {
                if let Some(user) = entry.subject {
                    self.0.invalidate(&user);
                }
            }
            _ => {}
        }
    }

    fn reset(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_list_names_users_and_a_malformed_one_nobody() {
        let list = r#"{"ignored_users": {"@a:d": {}, "@b:d": {"x": 1}, "no user": {}}}"#;
        assert!(names(list, user_id!("@a:d")) && names(list, user_id!("@b:d")));
        assert_eq!(parse(list).len(), 2);
        for malformed in [r#"{"ignored_users": ["@a:d"]}"#, "{}", "[]"] {
            assert!(parse(malformed).is_empty(), "{malformed}");
        }
    }
}
