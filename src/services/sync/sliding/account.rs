//! What lists need to know of a reader's account.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_store::account_data::GLOBAL;
use hearth_store::{Store, StoreError};
use quick_cache::sync::Cache;
use serde::Deserialize;

use crate::interned::Interned;

/// Accounts that are in memory.
const ACCOUNTS: usize = 20_000;

const DIRECT: &str = "m.direct";
const TAGS: &str = "m.tag";

/// A reader's direct chats and tags.
#[derive(Debug, Default)]
pub(super) struct Marks {
    direct: HashSet<RoomNid>,
    tags: HashMap<RoomNid, Vec<String>>,
}

impl Marks {
    /// Whether a room is a direct chat.
    pub(super) fn is_direct(&self, room: RoomNid) -> bool {
        self.direct.contains(&room)
    }

    /// A room's tags.
    pub(super) fn tags(&self, room: RoomNid) -> &[String] {
        self.tags.get(&room).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The accounts of readers. Each is read once for each position at which it changed.
pub(super) struct Accounts {
    store: Store,
    interned: Interned,
    marks: Cache<(UserNid, Position), Arc<Marks>>,
    removed: Cache<(UserNid, Position), Arc<HashSet<RoomNid>>>,
}

impl Accounts {
    pub(super) fn new(store: Store, interned: Interned) -> Self {
        Self { store, interned, marks: Cache::new(ACCOUNTS), removed: Cache::new(ACCOUNTS) }
    }

    /// What a reader marked, where their account data last changed at a position.
    pub(super) async fn marks(&self, user: UserNid, changed: Position) -> Result<Arc<Marks>, StoreError> {
        if let Some(marks) = self.marks.get(&(user, changed)) {
            return Ok(marks);
        }
        let mut marks = Marks::default();
        for piece in self.store.account_data_of(user, &[DIRECT, TAGS]).await? {
            let content = piece.content.as_deref().unwrap_or("{}");
            if piece.room == GLOBAL {
                let ids = direct(content);
                let rooms = self.interned.known_rooms(ids.iter().map(String::as_str)).await?;
                marks.direct.extend(rooms.into_values());
            } else {
                marks.tags.insert(piece.room, tags(content));
            }
        }
        let marks = Arc::new(marks);
        self.marks.insert((user, changed), Arc::clone(&marks));
        Ok(marks)
    }

    /// The rooms that another put a reader out of, where their memberships last changed at a position.
    pub(super) async fn removed(
        &self,
        user: UserNid,
        changed: Position,
    ) -> Result<Arc<HashSet<RoomNid>>, StoreError> {
        if let Some(removed) = self.removed.get(&(user, changed)) {
            return Ok(removed);
        }
        let removed: Arc<HashSet<RoomNid>> =
            Arc::new(self.store.removed_from(user).await?.into_iter().collect());
        self.removed.insert((user, changed), Arc::clone(&removed));
        Ok(removed)
    }
}

/// The rooms of `m.direct`. Clients write it, and what is malformed marks nothing.
fn direct(content: &str) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rooms {
        Some(Vec<String>),
        Other(serde::de::IgnoredAny),
    }
    let content: HashMap<String, Rooms> = serde_json::from_str(content).unwrap_or_default();
    let rooms = content.into_values().filter_map(|rooms| match rooms {
        Rooms::Some(rooms) => Some(rooms),
        Rooms::Other(_) => None,
    });
    rooms.flatten().collect()
}

fn tags(content: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Tags {
        #[serde(default)]
        tags: serde_json::Map<String, serde_json::Value>,
    }
    // Tags are checked when they are set; account data written past that marks nothing if it is malformed.
    serde_json::from_str::<Tags>(content)
        .map(|read| read.tags.into_iter().map(|(tag, _)| tag).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_marks_nothing() {
        assert_eq!(direct(r#"{"@a:d":["!r:d"],"@b:d":7}"#), ["!r:d"]);
        assert_eq!(direct("[]"), Vec::<String>::new());
        assert_eq!(tags(r#"{"tags":{"m.favourite":{}}}"#), ["m.favourite"]);
        assert_eq!(tags(r#"{"tags":[]}"#), Vec::<String>::new());
    }
}
