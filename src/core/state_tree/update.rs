//! Deriving a state from another.
//!
//! First the new tree is drafted in memory from the nodes at hand; only when nothing was missing are the
//! new nodes given ids, so that a try that has to be repeated uses none up.

use std::sync::Arc;

use super::{
    Entry, Incomplete, LEAF_MAX, Node, Nodes, Pass,
    node::{Body, Branch, FAN_OUT, Slot, Summary, path, split},
    read::summary,
    root_node,
};
use crate::id::{EventNid, NodeId, Root, StateKeyNid};

/// A derived state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The new state; the old one if nothing changed.
    pub root: Root,
    /// The nodes that were made for it, children before parents.
    pub nodes: Vec<NewNode>,
}

/// A node that did not exist before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// The id taken for it.
    pub id: NodeId,
    /// For a cache.
    pub node: Arc<Node>,
    /// For the store.
    pub data: Arc<[u8]>,
}

/// Derives the state in which the changed keys stand at the given events, or at none.
///
/// All changes are made in one go: a node on the way to several of them is copied once. Of several changes
/// to one key the last one counts. `ids` gives an unused id at every call and is called only when the
/// result is certain.
pub fn update(
    nodes: &dyn Nodes,
    root: Root,
    changes: &[(StateKeyNid, Option<EventNid>)],
    ids: &mut dyn FnMut() -> NodeId,
) -> Result<Updated, Incomplete> {
    let planned = plan(changes);
    let summary = summary(nodes, root)?;
    let mut drafting = Drafting { pass: Pass::new(nodes), summary };
    let draft = match root_node(root) {
        None => drafting.change_entries(&[], 0, &planned),
        Some(id) => drafting.change_node(id, 0, &planned)?,
    };
    let Drafting { pass, summary } = drafting;
    let Some(draft) = pass.finish(draft)? else { return Ok(Updated { root, nodes: Vec::new() }) };
    let mut writing = Writing { ids, made: Vec::new() };
    let root = writing.root(draft, summary);
    Ok(Updated { root, nodes: writing.made })
}

/// A change and the path to it.
#[derive(Clone, Copy)]
struct Planned {
    path: u64,
    key: StateKeyNid,
    event: Option<EventNid>,
}

/// The changes in the order of their paths, one for each key.
fn plan(changes: &[(StateKeyNid, Option<EventNid>)]) -> Vec<Planned> {
    let mut planned: Vec<Planned> =
        changes.iter().rev().map(|&(key, event)| Planned { path: path(key), key, event }).collect();
    planned.sort_by_key(|change| change.path);
    planned.dedup_by_key(|change| change.path);
    planned
}

/// A subtree as it shall become.
enum Draft {
    Empty,
    One(Entry),
    /// As it is.
    Kept(NodeId),
    /// A new leaf; in the order of paths.
    Leaf(Vec<Entry>),
    /// A new branch.
    Branch(Box<[Draft; FAN_OUT]>),
}

impl Draft {
    /// The smallest subtree that holds these entries, which are in the order of paths.
    fn holding(entries: Vec<Entry>, depth: u8) -> Self {
        match entries.as_slice() {
            [] => Self::Empty,
            [entry] => Self::One(*entry),
            more if more.len() <= LEAF_MAX => Self::Leaf(entries),
            more => {
                let pieces = split(more, depth, |entry| path(entry.key));
                Self::Branch(Box::new(pieces.map(|piece| Self::holding(piece.to_vec(), depth + 1))))
            }
        }
    }

    /// A changed branch, or a leaf if it has become small. A branch that keeps old nodes stays a branch
    /// though they may be small: to find out, they would have to be loaded, and state hardly ever shrinks.
    fn settled(slots: [Self; FAN_OUT], depth: u8) -> Self {
        let mut entries = Vec::new();
        for slot in &slots {
            match slot {
                Self::Empty => {}
                Self::One(entry) => entries.push(*entry),
                Self::Leaf(more) => entries.extend_from_slice(more),
                Self::Kept(_) | Self::Branch(_) => return Self::Branch(Box::new(slots)),
            }
        }
        if entries.len() > LEAF_MAX {
            return Self::Branch(Box::new(slots));
        }
        Self::holding(entries, depth)
    }
}

/// Drafts the new tree and carries its summary along. Where nothing changes the draft is `None`.
struct Drafting<'a> {
    pass: Pass<'a>,
    summary: Summary,
}

impl Drafting<'_> {
    fn change_node(
        &mut self,
        id: NodeId,
        depth: u8,
        changes: &[Planned],
    ) -> Result<Option<Draft>, Incomplete> {
        let Some(node) = self.pass.node(id, depth)? else { return Ok(None) };
        match &node.body {
            Body::Leaf(entries) => Ok(self.change_entries(entries, depth, changes)),
            Body::Branch(branch) => self.change_branch(branch, depth, changes),
        }
    }

    fn change_branch(
        &mut self,
        branch: &Branch,
        depth: u8,
        changes: &[Planned],
    ) -> Result<Option<Draft>, Incomplete> {
        let mut differs = false;
        let mut slots = branch.all().map(|slot| match slot {
            None => Draft::Empty,
            Some(Slot::Entry(entry)) => Draft::One(entry),
            Some(Slot::Child(id)) => Draft::Kept(id),
        });
        for (slot, changes) in slots.iter_mut().zip(split(changes, depth, |change| change.path)) {
            if changes.is_empty() {
                continue;
            }
            let draft = match slot {
                Draft::Kept(id) => self.change_node(*id, depth + 1, changes)?,
                Draft::One(entry) => self.change_entries(&[*entry], depth + 1, changes),
                _ => self.change_entries(&[], depth + 1, changes),
            };
            if let Some(draft) = draft {
                *slot = draft;
                differs = true;
            }
        }
        Ok(differs.then(|| Draft::settled(slots, depth)))
    }

    fn change_entries(&mut self, entries: &[Entry], depth: u8, changes: &[Planned]) -> Option<Draft> {
        let mut result = Vec::with_capacity(entries.len() + changes.len());
        let mut differs = false;
        let mut old = entries.iter().peekable();
        for change in changes {
            while let Some(entry) = old.next_if(|entry| path(entry.key) < change.path) {
                result.push(*entry);
            }
            let before = old.next_if(|entry| entry.key == change.key).copied();
            let after = change.event.map(|event| Entry { key: change.key, event });
            if before != after {
                differs = true;
                self.count(before, after);
            }
            result.extend(after);
        }
        result.extend(old);
        differs.then(|| Draft::holding(result, depth))
    }

    fn count(&mut self, before: Option<Entry>, after: Option<Entry>) {
        if let Some(entry) = before {
            self.summary.hash = self.summary.hash.without(entry);
            self.summary.len = self.summary.len.saturating_sub(1);
        }
        if let Some(entry) = after {
            self.summary.hash = self.summary.hash.with(entry);
            self.summary.len += 1;
        }
    }
}

/// Turns a draft into nodes.
struct Writing<'a> {
    ids: &'a mut dyn FnMut() -> NodeId,
    made: Vec<NewNode>,
}

impl Writing<'_> {
    fn root(&mut self, draft: Draft, summary: Summary) -> Root {
        let id = match draft {
            Draft::Empty => return Root::EMPTY,
            Draft::Kept(id) => id,
            Draft::One(entry) => self.node(0, Some(summary), Body::Leaf([entry].into())),
            Draft::Leaf(entries) => self.node(0, Some(summary), Body::Leaf(entries.into())),
            Draft::Branch(slots) => {
                let body = self.branch(*slots, 0);
                self.node(0, Some(summary), body)
            }
        };
        Root::new(id.get())
    }

    fn slot(&mut self, draft: Draft, depth: u8) -> Option<Slot> {
        let body = match draft {
            Draft::Empty => return None,
            Draft::One(entry) => return Some(Slot::Entry(entry)),
            Draft::Kept(id) => return Some(Slot::Child(id)),
            Draft::Leaf(entries) => Body::Leaf(entries.into()),
            Draft::Branch(slots) => self.branch(*slots, depth),
        };
        Some(Slot::Child(self.node(depth, None, body)))
    }

    fn branch(&mut self, slots: [Draft; FAN_OUT], depth: u8) -> Body {
        Body::Branch(Branch::new(&slots.map(|slot| self.slot(slot, depth + 1))))
    }

    fn node(&mut self, depth: u8, summary: Option<Summary>, body: Body) -> NodeId {
        let id = (self.ids)();
        let node = Arc::new(Node { depth, summary, body });
        self.made.push(NewNode { id, data: node.encode().into(), node });
        id
    }
}
