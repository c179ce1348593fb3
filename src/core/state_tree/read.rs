//! Looking into a state.

use super::{
    Corrupt, Entry, Incomplete, Nodes, Pass, StateHash,
    node::{Body, Slot, Summary, nibble, path},
    root_node,
};
use crate::id::{EventNid, NodeId, Root, StateKeyNid};

/// What a key stands at.
pub fn get(nodes: &dyn Nodes, root: Root, key: StateKeyNid) -> Result<Option<EventNid>, Incomplete> {
    let mut pass = Pass::new(nodes);
    let found = find(&mut pass, root, key)?;
    pass.finish(found)
}

/// What several keys stand at, in their order.
pub fn get_many(
    nodes: &dyn Nodes,
    root: Root,
    keys: &[StateKeyNid],
) -> Result<Vec<Option<EventNid>>, Incomplete> {
    let mut pass = Pass::new(nodes);
    let found = keys.iter().map(|key| find(&mut pass, root, *key)).collect::<Result<_, _>>()?;
    pass.finish(found)
}

/// The whole state, ascending by key.
pub fn entries(nodes: &dyn Nodes, root: Root) -> Result<Vec<Entry>, Incomplete> {
    let mut pass = Pass::new(nodes);
    let mut found = Vec::new();
    let mut level: Vec<NodeId> = root_node(root).into_iter().collect();
    let mut depth = 0;
    while !level.is_empty() {
        let mut below = Vec::new();
        for id in level {
            let Some(node) = pass.node(id, depth)? else { continue };
            match &node.body {
                Body::Leaf(entries) => found.extend_from_slice(entries),
                Body::Branch(branch) => {
                    for slot in &branch.slots {
                        match slot {
                            Slot::Entry(entry) => found.push(*entry),
                            Slot::Child(child) => below.push(*child),
                        }
                    }
                }
            }
        }
        level = below;
        depth += 1;
    }
    found.sort_unstable();
    pass.finish(found)
}

/// The hash of the whole state.
pub fn hash(nodes: &dyn Nodes, root: Root) -> Result<StateHash, Incomplete> {
    Ok(summary(nodes, root)?.hash)
}

/// How many entries the state has.
pub fn len(nodes: &dyn Nodes, root: Root) -> Result<u64, Incomplete> {
    Ok(summary(nodes, root)?.len)
}

/// Whether two roots are the same state, though perhaps made by different changes.
pub fn same(nodes: &dyn Nodes, a: Root, b: Root) -> Result<bool, Incomplete> {
    if a == b {
        return Ok(true);
    }
    match (summary(nodes, a), summary(nodes, b)) {
        (Ok(a), Ok(b)) => Ok(a == b),
        (Err(Incomplete::Need(mut a)), Err(Incomplete::Need(b))) => {
            a.extend(b);
            a.sort_unstable();
            Err(Incomplete::Need(a))
        }
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
    }
}

pub(super) fn summary(nodes: &dyn Nodes, root: Root) -> Result<Summary, Incomplete> {
    let Some(id) = root_node(root) else { return Ok(Summary::default()) };
    let mut pass = Pass::new(nodes);
    let Some(node) = pass.node(id, 0)? else { return pass.finish(Summary::default()) };
    node.summary.ok_or(Incomplete::Corrupt(id, Corrupt("a root without a header")))
}

/// Descends to a key; `None` also where a node is missing, which the pass then knows.
fn find(pass: &mut Pass<'_>, root: Root, key: StateKeyNid) -> Result<Option<EventNid>, Incomplete> {
    let way = path(key);
    let mut next = root_node(root);
    let mut depth = 0;
    while let Some(id) = next {
        let Some(node) = pass.node(id, depth)? else { return Ok(None) };
        next = match &node.body {
            Body::Leaf(entries) => {
                return Ok(entries.iter().find(|entry| entry.key == key).map(|entry| entry.event));
            }
            Body::Branch(branch) => match branch.slot(nibble(way, depth)) {
                None => None,
                Some(Slot::Child(child)) => Some(child),
                Some(Slot::Entry(entry)) => return Ok((entry.key == key).then_some(entry.event)),
            },
        };
        depth += 1;
    }
    Ok(None)
}
