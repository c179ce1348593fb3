//! The state of a room as a persistent tree from [`StateKeyNid`] to [`EventNid`].
//!
//! A room's state before an event is a [`Root`]. Nodes never change once written: a change copies the
//! nodes between the root and the place of the change and shares all others, so that every old root
//! stays readable and a change to a room of a hundred thousand members writes a handful of nodes.
//!
//! # Shape
//!
//! A node is a *leaf*, a flat list of at most [`LEAF_MAX`] entries, or a *branch* of 16 slots, each of
//! which is empty, holds one entry (a subtree of one entry is never a node of its own) or names a child.
//! The way to a key is read off its *path*, highest four bits first. The path is the key sent through a
//! one-to-one mixing function: keys are integers of a sequence that all rooms share, so what one room
//! holds of them may follow any stride, and unmixed nibbles of such keys would pile up in one branch.
//! Mixed, a tree of n entries is about log16(n) deep whatever keys it holds, and because the function is
//! one-to-one, two keys always part within 16 steps.
//!
//! The root node also carries the number of entries and a [`StateHash`] of them, so that equal states are
//! found in O(1) even when different changes led to them.
//!
//! # Reading without I/O
//!
//! Nodes are looked up through [`Nodes`], usually a cache. An operation that meets nodes which are not
//! there goes on as far as it can and then answers [`Incomplete::Need`] with all of them; the caller loads
//! them in one statement, puts them into an [`Overlay`] (a cache alone may evict them again before the
//! next try) and repeats. That takes at most as many rounds as the tree is deep.
//!
//! ```
//! use std::collections::HashMap;
//! use hearth_core::{id::{EventNid, NodeId, Root, StateKeyNid}, state_tree::{self, Nodes, Overlay}};
//!
//! let nothing = HashMap::new();
//! let mut nodes = Overlay::new(&nothing);
//! let mut last = 0;
//! let mut ids = || { last += 1; NodeId::new(last) };
//!
//! let change = [(StateKeyNid::new(7), Some(EventNid::new(70)))];
//! let made = state_tree::update(&nodes, Root::EMPTY, &change, &mut ids).unwrap();
//! for new in &made.nodes {
//!     nodes.insert(new.id, new.node.clone());
//! }
//! assert_eq!(state_tree::get(&nodes, made.root, StateKeyNid::new(7)).unwrap(), Some(EventNid::new(70)));
//! ```

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use crate::id::{EventNid, NodeId, Root, StateKeyNid};

mod diff;
mod encoding;
mod hash;
mod node;
mod read;
#[cfg(test)]
mod tests;
mod update;

pub use self::{
    diff::{Change, diff, disagreement},
    hash::StateHash,
    node::{LEAF_MAX, Node},
    read::{entries, get, get_many, hash, len, same},
    update::{NewNode, Updated, update},
};

/// One entry of a state: what a state key stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The interned `(type, state_key)`.
    pub key: StateKeyNid,
    /// The state event.
    pub event: EventNid,
}

/// Where nodes are looked up; absence means *not at hand*, never *empty*.
///
/// `Sync`, so that an [`Overlay`] can be held while nodes are being loaded.
pub trait Nodes: Sync {
    /// The node, if it is at hand.
    fn node(&self, id: NodeId) -> Option<Arc<Node>>;
}

impl<S: BuildHasher + Sync> Nodes for HashMap<NodeId, Arc<Node>, S> {
    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.get(&id).cloned()
    }
}

/// Nodes held on to, in front of other [`Nodes`]: those loaded for one operation, or those of changes
/// that are not committed yet.
pub struct Overlay<'a> {
    own: HashMap<NodeId, Arc<Node>, RandomState>,
    behind: &'a dyn Nodes,
}

impl<'a> Overlay<'a> {
    /// Nothing yet in front of `behind`.
    #[must_use]
    pub fn new(behind: &'a dyn Nodes) -> Self {
        Self { own: HashMap::new(), behind }
    }

    /// Holds on to a node.
    pub fn insert(&mut self, id: NodeId, node: Arc<Node>) {
        self.own.insert(id, node);
    }
}

impl Nodes for Overlay<'_> {
    fn node(&self, id: NodeId) -> Option<Arc<Node>> {
        self.own.get(&id).cloned().or_else(|| self.behind.node(id))
    }
}

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// These nodes (ascending, none twice) are needed to go on. One that the store does not have means
    /// that the store is corrupt.
    #[error("{} nodes of the state tree have to be loaded", .0.len())]
    Need(Vec<NodeId>),
    /// The nodes at hand contradict each other.
    #[error("node {0} of a state tree: {1}")]
    Corrupt(NodeId, Corrupt),
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt(pub(crate) &'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Corrupt {}

/// The ids of the nodes that an encoded node names: what a garbage collector must keep with it.
pub fn node_refs(data: &[u8]) -> Result<Vec<NodeId>, Corrupt> {
    Ok(Node::decode(data)?.children().collect())
}

/// One pass over the nodes at hand, which remembers what was missing.
struct Pass<'a> {
    nodes: &'a dyn Nodes,
    missing: Vec<NodeId>,
}

impl<'a> Pass<'a> {
    fn new(nodes: &'a dyn Nodes) -> Self {
        Self { nodes, missing: Vec::new() }
    }

    /// The node, or `None` after having noted that it has to be loaded.
    fn node(&mut self, id: NodeId, depth: u8) -> Result<Option<Arc<Node>>, Incomplete> {
        let Some(node) = self.nodes.node(id) else {
            self.missing.push(id);
            return Ok(None);
        };
        // Also what ends a walk through nodes that name each other in a circle.
        if node.depth() != depth {
            return Err(Incomplete::Corrupt(id, Corrupt("stands at another depth than its parent says")));
        }
        Ok(Some(node))
    }

    /// The result, unless something was missing.
    fn finish<T>(mut self, result: T) -> Result<T, Incomplete> {
        if self.missing.is_empty() {
            return Ok(result);
        }
        self.missing.sort_unstable();
        self.missing.dedup();
        Err(Incomplete::Need(self.missing))
    }
}

/// The node that a root names; the empty state has none.
fn root_node(root: Root) -> Option<NodeId> {
    (root != Root::EMPTY).then(|| NodeId::new(root.get()))
}
