//! The integers that stand for users and state keys, both ways, and fresh ones for events and tree nodes.
//!
//! What an integer stands for never changes and is never deleted, so these caches need no invalidation;
//! they hold only what is committed.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use hearth_core::id::{EventNid, NodeId, RoomNid, StateKeyNid, UserNid};
use hearth_store::interned::{BLOCK, StateKeyName};
use hearth_store::{Result, Store, StoreError};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use tokio::sync::Mutex;

/// How many users are kept, each way: about 20 MB when full, and more members than the busiest rooms of
/// a large server have together at work.
const USERS: usize = 131_072;

/// How many state keys are kept, each way; nearly all of them are members.
const STATE_KEYS: usize = 131_072;

/// How many rooms are kept, each way.
const ROOMS: usize = 65_536;

/// How many names one statement carries, so that a huge room does not hold a connection for long.
const BATCH: usize = 4096;

/// Interns users and state keys, and deals out numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Interned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    user_nids: Cache<OwnedUserId, UserNid>,
    user_ids: Cache<UserNid, OwnedUserId>,
    state_key_nids: Cache<Arc<StateKeyName>, StateKeyNid>,
    state_key_names: Cache<StateKeyNid, Arc<StateKeyName>>,
    room_nids: Cache<OwnedRoomId, RoomNid>,
    room_ids: Cache<RoomNid, OwnedRoomId>,
    event_nids: Mutex<Range<i64>>,
    node_ids: Mutex<Range<i64>>,
}

/// Looks a pair up without owning it; hashes as [`StateKeyName`] does.
#[derive(Hash)]
struct StateKeyRef<'a> {
    event_type: &'a str,
    state_key: &'a str,
}

impl Equivalent<Arc<StateKeyName>> for StateKeyRef<'_> {
    fn equivalent(&self, name: &Arc<StateKeyName>) -> bool {
        self.event_type == name.event_type && self.state_key == name.state_key
    }
}

impl Interned {
    /// Over a store, knowing nothing yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            user_nids: Cache::new(USERS),
            user_ids: Cache::new(USERS),
            state_key_nids: Cache::new(STATE_KEYS),
            state_key_names: Cache::new(STATE_KEYS),
            room_nids: Cache::new(ROOMS),
            room_ids: Cache::new(ROOMS),
            event_nids: Mutex::new(0..0),
            node_ids: Mutex::new(0..0),
        }))
    }

    /// The user's integer, made if need be. To ask about somebody, use [`Interned::known_user`].
    pub async fn user(&self, id: &UserId) -> Result<UserNid> {
        if let Some(nid) = self.0.user_nids.get(id) {
            return Ok(nid);
        }
        only(self.users(&[id]).await?)
    }

    /// The user's integer if they were ever seen; makes none.
    pub async fn known_user(&self, id: &UserId) -> Result<Option<UserNid>> {
        if let Some(nid) = self.0.user_nids.get(id) {
            return Ok(Some(nid));
        }
        let found = self.0.store.find_users(&[id]).await?.pop();
        Ok(found.map(|(_, nid)| {
            self.keep_user(id.to_owned(), nid);
            nid
        }))
    }

    /// The integers of those of `ids` that were ever seen, in no particular order; makes none.
    pub async fn known_users(&self, ids: &[&UserId]) -> Result<Vec<UserNid>> {
        let (mut nids, mut missing) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match self.0.user_nids.get(*id) {
                Some(nid) => nids.push(nid),
                None => missing.push(*id),
            }
        }
        for batch in missing.chunks(BATCH) {
            for (id, nid) in self.0.store.find_users(batch).await? {
                self.keep_user(id, nid);
                nids.push(nid);
            }
        }
        Ok(nids)
    }

    /// The integers of `ids`, in their order, made where need be.
    pub async fn users(&self, ids: &[&UserId]) -> Result<Vec<UserNid>> {
        let mut nids: HashMap<&UserId, UserNid> = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            match self.0.user_nids.get(*id) {
                Some(nid) => drop(nids.insert(id, nid)),
                None => missing.push(*id),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            let mut rows = self.0.store.find_users(batch).await?;
            if rows.len() < batch.len() {
                rows.extend(self.0.store.add_users(&without(batch, &rows)).await?);
            }
            if rows.len() < batch.len() {
                rows.extend(self.0.store.find_users(&without(batch, &rows)).await?);
            }
            let found: HashMap<_, _> = rows.into_iter().collect();
            for id in batch {
                if let Some(nid) = found.get(*id) {
                    self.keep_user((*id).to_owned(), *nid);
                    nids.insert(id, *nid);
                }
            }
        }
        in_order(ids.iter().copied(), &nids, "interned_user")
    }

    /// The id of a user.
    pub async fn user_id(&self, nid: UserNid) -> Result<OwnedUserId> {
        if let Some(id) = self.0.user_ids.get(&nid) {
            return Ok(id);
        }
        only(self.user_ids(&[nid]).await?)
    }

    /// The ids of users, in the order of `nids`.
    pub async fn user_ids(&self, nids: &[UserNid]) -> Result<Vec<OwnedUserId>> {
        let mut ids: HashMap<UserNid, OwnedUserId> = HashMap::with_capacity(nids.len());
        let mut missing = Vec::new();
        for nid in nids {
            match self.0.user_ids.get(nid) {
                Some(id) => drop(ids.insert(*nid, id)),
                None => missing.push(*nid),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            for (nid, id) in self.0.store.user_ids(batch).await? {
                self.keep_user(id.clone(), nid);
                ids.insert(nid, id);
            }
        }
        in_order(nids.iter().copied(), &ids, "interned_user")
    }

    /// The integer of a `(type, state_key)`, made if need be.
    pub async fn state_key(&self, event_type: &str, state_key: &str) -> Result<StateKeyNid> {
        if let Some(nid) = self.cached_state_key(event_type, state_key) {
            return Ok(nid);
        }
        only(self.state_keys(&[&StateKeyName::new(event_type, state_key)]).await?)
    }

    /// The integer of a `(type, state_key)` if it was ever seen; makes none.
    pub async fn known_state_key(&self, event_type: &str, state_key: &str) -> Result<Option<StateKeyNid>> {
        if let Some(nid) = self.cached_state_key(event_type, state_key) {
            return Ok(Some(nid));
        }
        let name = StateKeyName::new(event_type, state_key);
        let found = self.0.store.find_state_keys(&[&name]).await?.pop();
        Ok(found.map(|(name, nid)| {
            self.keep_state_key(Arc::new(name), nid);
            nid
        }))
    }

    /// The integers of those of `names` that were ever seen; makes none.
    pub async fn known_state_keys(
        &self,
        names: &[StateKeyName],
    ) -> Result<HashMap<StateKeyName, StateKeyNid>> {
        let (mut nids, mut missing) = (HashMap::with_capacity(names.len()), Vec::new());
        for name in names {
            match self.cached_state_key(&name.event_type, &name.state_key) {
                Some(nid) => drop(nids.insert(name.clone(), nid)),
                None => missing.push(name),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            for (name, nid) in self.0.store.find_state_keys(batch).await? {
                self.keep_state_key(Arc::new(name.clone()), nid);
                nids.insert(name, nid);
            }
        }
        Ok(nids)
    }

    /// The integers of `names`, in their order, made where need be.
    pub async fn state_keys(&self, names: &[&StateKeyName]) -> Result<Vec<StateKeyNid>> {
        let mut nids: HashMap<&StateKeyName, StateKeyNid> = HashMap::with_capacity(names.len());
        let mut missing = Vec::new();
        for name in names {
            match self.cached_state_key(&name.event_type, &name.state_key) {
                Some(nid) => drop(nids.insert(name, nid)),
                None => missing.push(*name),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            let mut rows = self.0.store.find_state_keys(batch).await?;
            if rows.len() < batch.len() {
                rows.extend(self.0.store.add_state_keys(&without(batch, &rows)).await?);
            }
            if rows.len() < batch.len() {
                rows.extend(self.0.store.find_state_keys(&without(batch, &rows)).await?);
            }
            let found: HashMap<_, _> = rows.into_iter().collect();
            for name in batch {
                if let Some(nid) = found.get(*name) {
                    self.keep_state_key(Arc::new((*name).clone()), *nid);
                    nids.insert(name, *nid);
                }
            }
        }
        in_order(names.iter().copied(), &nids, "state_key")
    }

    /// The `(type, state_key)` that an integer stands for.
    pub async fn state_key_name(&self, nid: StateKeyNid) -> Result<Arc<StateKeyName>> {
        if let Some(name) = self.0.state_key_names.get(&nid) {
            return Ok(name);
        }
        only(self.state_key_names(&[nid]).await?)
    }

    /// The pairs that `nids` stand for, in their order.
    pub async fn state_key_names(&self, nids: &[StateKeyNid]) -> Result<Vec<Arc<StateKeyName>>> {
        let mut names: HashMap<StateKeyNid, Arc<StateKeyName>> = HashMap::with_capacity(nids.len());
        let mut missing = Vec::new();
        for nid in nids {
            match self.0.state_key_names.get(nid) {
                Some(name) => drop(names.insert(*nid, name)),
                None => missing.push(*nid),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        for batch in missing.chunks(BATCH) {
            for (nid, name) in self.0.store.state_key_names(batch).await? {
                let name = Arc::new(name);
                self.keep_state_key(Arc::clone(&name), nid);
                names.insert(nid, name);
            }
        }
        in_order(nids.iter().copied(), &names, "state_key")
    }

    /// The integers of those of `ids` that were ever seen, by id; what is no room's id is left out.
    pub async fn known_rooms<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<OwnedRoomId, RoomNid>> {
        let (mut nids, mut missing) = (HashMap::new(), Vec::new());
        for id in ids.filter_map(|id| <&RoomId>::try_from(id).ok()) {
            match self.0.room_nids.get(id) {
                Some(nid) => drop(nids.insert(id.to_owned(), nid)),
                None => missing.push(id),
            }
        }
        for batch in missing.chunks(BATCH) {
            for (id, nid) in self.0.store.find_rooms(batch).await? {
                self.keep_room(id.clone(), nid);
                nids.insert(id, nid);
            }
        }
        Ok(nids)
    }

    /// The room's integer if it was ever seen.
    pub async fn known_room(&self, id: &RoomId) -> Result<Option<RoomNid>> {
        if let Some(nid) = self.0.room_nids.get(id) {
            return Ok(Some(nid));
        }
        let found = self.0.store.find_room(id).await?;
        if let Some(nid) = found {
            self.keep_room(id.to_owned(), nid);
        }
        Ok(found)
    }

    /// The id of a room.
    pub async fn room_id(&self, nid: RoomNid) -> Result<OwnedRoomId> {
        if let Some(id) = self.0.room_ids.get(&nid) {
            return Ok(id);
        }
        let id = self.0.store.room_id(nid).await?.ok_or_else(|| StoreError::corrupt("room", nid))?;
        self.keep_room(id.clone(), nid);
        Ok(id)
    }

    /// A number for a new event.
    pub async fn next_event_nid(&self) -> Result<EventNid> {
        // Held during the fetch, so that those who come meanwhile share the block.
        let mut numbers = self.0.event_nids.lock().await;
        if let Some(number) = numbers.next() {
            return Ok(EventNid::new(number));
        }
        let first = self.0.store.event_nid_block().await?.get();
        *numbers = first + 1..first + i64::from(BLOCK);
        Ok(EventNid::new(first))
    }

    /// A number for a new tree node.
    pub async fn next_node_id(&self) -> Result<NodeId> {
        only(self.next_node_ids(1).await?)
    }

    /// Numbers for `count` new tree nodes.
    pub async fn next_node_ids(&self, count: usize) -> Result<Vec<NodeId>> {
        let mut numbers = self.0.node_ids.lock().await;
        let mut ids: Vec<NodeId> = numbers.by_ref().take(count).map(NodeId::new).collect();
        let lacking = count - ids.len();
        if lacking == 0 {
            return Ok(ids);
        }
        // More blocks than an i32 counts would be more nodes than fit in memory.
        let blocks = i32::try_from(lacking.div_ceil(usize::from(BLOCK))).unwrap_or(i32::MAX);
        for first in self.0.store.node_id_blocks(blocks).await? {
            *numbers = first.get()..first.get() + i64::from(BLOCK);
            let lacking = count - ids.len();
            ids.extend(numbers.by_ref().take(lacking).map(NodeId::new));
        }
        Ok(ids)
    }

    fn cached_state_key(&self, event_type: &str, state_key: &str) -> Option<StateKeyNid> {
        self.0.state_key_nids.get(&StateKeyRef { event_type, state_key })
    }

    fn keep_user(&self, id: OwnedUserId, nid: UserNid) {
        self.0.user_ids.insert(nid, id.clone());
        self.0.user_nids.insert(id, nid);
    }

    fn keep_room(&self, id: OwnedRoomId, nid: RoomNid) {
        self.0.room_ids.insert(nid, id.clone());
        self.0.room_nids.insert(id, nid);
    }

    fn keep_state_key(&self, name: Arc<StateKeyName>, nid: StateKeyNid) {
        self.0.state_key_names.insert(nid, Arc::clone(&name));
        self.0.state_key_nids.insert(name, nid);
    }
}

/// Those of `asked` that `rows` do not answer.
fn without<'a, Q, K, N>(asked: &[&'a Q], rows: &[(K, N)]) -> Vec<&'a Q>
where
    Q: Eq + Hash + ?Sized,
    K: std::borrow::Borrow<Q>,
{
    let answered: std::collections::HashSet<&Q> = rows.iter().map(|(key, _)| key.borrow()).collect();
    asked.iter().copied().filter(|key| !answered.contains(key)).collect()
}

/// The values of `keys`, in their order; each must be there.
fn in_order<K, V>(
    keys: impl Iterator<Item = K>,
    values: &HashMap<K, V>,
    table: &'static str,
) -> Result<Vec<V>>
where
    K: Eq + Hash + std::fmt::Debug,
    V: Clone,
{
    keys.map(|key| values.get(&key).cloned().ok_or_else(|| StoreError::corrupt(table, format!("{key:?}"))))
        .collect()
}

fn only<T>(values: Vec<T>) -> Result<T> {
    values.into_iter().next().ok_or_else(|| StoreError::corrupt("sequence", "no value"))
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn a_borrowed_pair_hashes_as_the_owned_one() {
        let hasher = std::hash::RandomState::new();
        let owned = Arc::new(StateKeyName::new("m.room.member", "@a:b"));
        let borrowed = StateKeyRef { event_type: "m.room.member", state_key: "@a:b" };
        assert_eq!(hasher.hash_one(&owned), hasher.hash_one(&borrowed));
        assert!(borrowed.equivalent(&owned));
    }
}
