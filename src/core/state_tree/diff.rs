//! What differs between two states.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    Entry, Incomplete, Nodes, Pass,
    node::{Body, FAN_OUT, Slot, path, split},
    root_node,
};
use crate::id::{EventNid, NodeId, Root, StateKeyNid};

/// A key at which two states differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The key.
    pub key: StateKeyNid,
    /// What it stands at in the first state.
    pub before: Option<EventNid>,
    /// What it stands at in the second.
    pub after: Option<EventNid>,
}

/// The keys at which two states differ, ascending.
///
/// Subtrees that both share are not looked into, so that between a state and one derived from it the cost
/// follows what changed.
pub fn diff(nodes: &dyn Nodes, before: Root, after: Root) -> Result<Vec<Change>, Incomplete> {
    let mut pass = Pass::new(nodes);
    let mut found = Vec::new();
    let mut level = vec![(Part::of_root(before), Part::of_root(after))];
    let mut depth = 0;
    while !level.is_empty() {
        let mut below = Vec::new();
        for (a, b) in level {
            if a == b {
                continue;
            }
            // Both are asked for before either is given up on, so that one pass finds both missing.
            let (Some(a), Some(b)) = (open(&mut pass, a, depth)?, open(&mut pass, b, depth)?) else {
                continue;
            };
            match (a, b) {
                (Opened::Entries(a), Opened::Entries(b)) => merge(&a, &b, &mut found),
                (a, b) => below.extend(a.slots(depth).into_iter().zip(b.slots(depth))),
            }
        }
        level = below;
        depth += 1;
    }
    found.sort_unstable();
    pass.finish(found)
}

/// For each state, in order, its entries at the keys at which not all of them agree: what state resolution
/// resolves. Cost follows what differs from the first.
pub fn disagreement(nodes: &dyn Nodes, roots: &[Root]) -> Result<Vec<Vec<Entry>>, Incomplete> {
    let Some((first, others)) = roots.split_first() else { return Ok(Vec::new()) };
    let mut needed = Vec::new();
    let mut differences = Vec::with_capacity(others.len());
    for other in others {
        match diff(nodes, *first, *other) {
            Ok(changes) => differences.push(changes),
            Err(Incomplete::Need(ids)) => needed.extend(ids),
            Err(corrupt) => return Err(corrupt),
        }
    }
    if !needed.is_empty() {
        needed.sort_unstable();
        needed.dedup();
        return Err(Incomplete::Need(needed));
    }
    let shared: BTreeMap<StateKeyNid, Option<EventNid>> =
        differences.iter().flatten().map(|change| (change.key, change.before)).collect();
    let mut sides = vec![shared.clone()];
    for changes in differences {
        let mut side = shared.clone();
        side.extend(changes.into_iter().map(|change| (change.key, change.after)));
        sides.push(side);
    }
    let present = |(key, event): (StateKeyNid, Option<EventNid>)| event.map(|event| Entry { key, event });
    Ok(sides.into_iter().map(|side| side.into_iter().filter_map(present).collect()).collect())
}

/// A subtree, not looked into yet.
#[derive(PartialEq, Eq)]
enum Part {
    /// In the order of their paths.
    Entries(Vec<Entry>),
    Node(NodeId),
}

impl Part {
    fn of_root(root: Root) -> Self {
        root_node(root).map_or(Self::Entries(Vec::new()), Self::Node)
    }

    fn of_slot(slot: Option<Slot>) -> Self {
        match slot {
            None => Self::Entries(Vec::new()),
            Some(Slot::Entry(entry)) => Self::Entries(vec![entry]),
            Some(Slot::Child(id)) => Self::Node(id),
        }
    }
}

/// A subtree, looked into one level deep.
enum Opened {
    Entries(Vec<Entry>),
    Slots(Box<[Part; FAN_OUT]>),
}

impl Opened {
    fn slots(self, depth: u8) -> [Part; FAN_OUT] {
        match self {
            Self::Slots(slots) => *slots,
            Self::Entries(entries) => {
                split(&entries, depth, |entry| path(entry.key)).map(|piece| Part::Entries(piece.to_vec()))
            }
        }
    }
}

fn open(pass: &mut Pass<'_>, part: Part, depth: u8) -> Result<Option<Opened>, Incomplete> {
    let id = match part {
        Part::Entries(entries) => return Ok(Some(Opened::Entries(entries))),
        Part::Node(id) => id,
    };
    let Some(node) = pass.node(id, depth)? else { return Ok(None) };
    Ok(Some(match &node.body {
        Body::Leaf(entries) => Opened::Entries(entries.to_vec()),
        Body::Branch(branch) => Opened::Slots(Box::new(branch.all().map(Part::of_slot))),
    }))
}

/// Walks two lists in the order of paths side by side.
fn merge(mut a: &[Entry], mut b: &[Entry], found: &mut Vec<Change>) {
    loop {
        let (before, after) = match (a.first(), b.first()) {
            (None, None) => return,
            (Some(x), None) => (Some(x), None),
            (None, Some(y)) => (None, Some(y)),
            (Some(x), Some(y)) => match path(x.key).cmp(&path(y.key)) {
                Ordering::Less => (Some(x), None),
                Ordering::Equal => (Some(x), Some(y)),
                Ordering::Greater => (None, Some(y)),
            },
        };
        a = a.get(usize::from(before.is_some())..).unwrap_or_default();
        b = b.get(usize::from(after.is_some())..).unwrap_or_default();
        let Some(Entry { key, .. }) = before.or(after) else { return };
        let change = Change { key: *key, before: before.map(|x| x.event), after: after.map(|y| y.event) };
        if change.before != change.after {
            found.push(change);
        }
    }
}
