//! Room states: the trees of the core over the nodes of the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hearth_core::id::{EventNid, NodeId, Root, StateKeyNid};
use hearth_core::state_tree::{self, Change, Entry, Incomplete, Node, Nodes, Updated};
use hearth_store::{Store, StoreError};
use quick_cache::sync::Cache;

use crate::interned::Interned;

/// Nodes kept in memory. A node is some hundred bytes, so this is some tens of megabytes.
const CACHED_NODES: usize = 200_000;

/// Passes over a tree before it is taken for damaged: each pass reaches one level deeper.
const PASSES: usize = 64;

/// Room states, by their roots. Cheap to clone.
#[derive(Clone)]
pub struct States {
    store: Store,
    interned: Interned,
    cache: Arc<Cache<NodeId, Arc<Node>>>,
    spare: Arc<Mutex<Vec<NodeId>>>,
}

/// The cache, and before it what this operation loaded: an operation ends although the cache forgets.
struct Held<'a> {
    own: HashMap<NodeId, Arc<Node>>,
    cache: &'a Cache<NodeId, Arc<Node>>,
}

impl Nodes for Held<'_> {
    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.own.get(&id).cloned().or_else(|| self.cache.get(&id))
    }
}

impl States {
    /// Over a store, with nothing in memory.
    #[must_use]
    pub fn new(store: Store, interned: Interned) -> Self {
        Self { store, interned, cache: Arc::new(Cache::new(CACHED_NODES)), spare: Arc::default() }
    }

    /// What a state key stands at.
    pub async fn get(&self, root: Root, key: StateKeyNid) -> Result<Option<EventNid>, StoreError> {
        self.run(|nodes| state_tree::get(nodes, root, key)).await
    }

    /// What state keys stand at, in their order.
    pub async fn get_many(
        &self,
        root: Root,
        keys: &[StateKeyNid],
    ) -> Result<Vec<Option<EventNid>>, StoreError> {
        self.run(|nodes| state_tree::get_many(nodes, root, keys)).await
    }

    /// What keys stand at in states, pair by pair, in their order. Nodes that are not at hand are read for all
    /// of the states together: as many statements as the deepest of the trees has levels.
    pub async fn get_pairs(
        &self,
        pairs: &[(Root, StateKeyNid)],
    ) -> Result<Vec<Option<EventNid>>, StoreError> {
        self.run(|nodes| together(pairs.iter().map(|(root, key)| state_tree::get(nodes, *root, *key)))).await
    }

    /// The whole state, in no particular order.
    pub async fn entries(&self, root: Root) -> Result<Vec<Entry>, StoreError> {
        self.run(|nodes| state_tree::entries(nodes, root)).await
    }

    /// Whole states, in their order. Nodes that are not at hand are read for all of them together.
    pub async fn entries_of(&self, roots: &[Root]) -> Result<Vec<Vec<Entry>>, StoreError> {
        self.run(|nodes| together(roots.iter().map(|root| state_tree::entries(nodes, *root)))).await
    }

    /// In what two states differ.
    pub async fn diff(&self, before: Root, after: Root) -> Result<Vec<Change>, StoreError> {
        self.run(|nodes| state_tree::diff(nodes, before, after)).await
    }

    /// Whether two roots hold the same state.
    pub async fn same(&self, a: Root, b: Root) -> Result<bool, StoreError> {
        self.run(|nodes| state_tree::same(nodes, a, b)).await
    }

    /// Derives a state. Its nodes are in this process's cache at once, so that events that build on it can be
    /// made before it is committed; they mean nothing to others until a committed root refers to them.
    pub async fn update(
        &self,
        root: Root,
        changes: &[(StateKeyNid, Option<EventNid>)],
    ) -> Result<Updated, StoreError> {
        let mut ids = self.spare_ids(changes.len() * NODES_PER_CHANGE).await?;
        let updated = self
            .run(|nodes| {
                // Reserved above, for as many as the deepest tree could need.
                let mut next = || ids.pop().unwrap_or(NodeId::new(0));
                state_tree::update(nodes, root, changes, &mut next)
            })
            .await;
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        let updated = updated?;
        for node in &updated.nodes {
            self.cache.insert(node.id, Arc::clone(&node.node));
        }
        Ok(updated)
    }

    /// Takes `count` ids nobody uses; those left over are to be put back.
    async fn spare_ids(&self, count: usize) -> Result<Vec<NodeId>, StoreError> {
        let mut ids = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = spare.len().saturating_sub(count);
            spare.split_off(keep)
        };
        if ids.len() < count {
            ids.extend(self.interned.next_node_ids(count - ids.len()).await?);
        }
        Ok(ids)
    }

    /// Tries an operation until the nodes it needs are at hand.
    async fn run<T>(
        &self,
        mut operation: impl FnMut(&dyn Nodes) -> Result<T, Incomplete>,
    ) -> Result<T, StoreError> {
        let mut held = Held { own: HashMap::new(), cache: &self.cache };
        for _ in 0..PASSES {
            match operation(&held) {
                Ok(value) => return Ok(value),
                Err(Incomplete::Need(ids)) => self.load(&ids, &mut held.own).await?,
                Err(Incomplete::Corrupt(id, _)) => return Err(StoreError::corrupt("state_node", id)),
            }
        }
        Err(StoreError::corrupt("state_node", "a tree without an end"))
    }

    async fn load(&self, ids: &[NodeId], held: &mut HashMap<NodeId, Arc<Node>>) -> Result<(), StoreError> {
        for (id, data) in self.store.state_nodes(ids).await? {
            let node = Node::decode(&data).map_err(|_| StoreError::corrupt("state_node", id))?;
            let node = Arc::new(node);
            self.cache.insert(id, Arc::clone(&node));
            held.insert(id, node);
        }
        ids.iter()
            .find(|id| !held.contains_key(id))
            .map_or(Ok(()), |missing| Err(StoreError::corrupt("state_node", missing)))
    }
}

/// All results, or all that any of them lacks.
fn together<T>(results: impl Iterator<Item = Result<T, Incomplete>>) -> Result<Vec<T>, Incomplete> {
    let mut found = Vec::with_capacity(results.size_hint().0);
    let mut missing = Vec::new();
    for result in results {
        match result {
            Ok(value) => found.push(value),
            Err(Incomplete::Need(ids)) => missing.extend(ids),
            Err(corrupt @ Incomplete::Corrupt(..)) => return Err(corrupt),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    missing.sort_unstable();
    missing.dedup();
    Err(Incomplete::Need(missing))
}

/// The deepest path of a tree of some billion keys, and as many nodes again for a split.
const NODES_PER_CHANGE: usize = 18;
