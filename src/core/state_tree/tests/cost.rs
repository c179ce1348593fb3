//! What changes and reads cost, in nodes and bytes.

use super::*;

/// What a tree of that many entries may cost.
struct Bound {
    entries: i64,
    /// Nodes of the whole tree.
    nodes: usize,
    /// Bytes of the whole tree, for each entry.
    bytes_per_entry: usize,
    /// Nodes that one change writes: the length of the longest way down.
    nodes_per_change: usize,
    /// Bytes that one change writes.
    bytes_per_change: usize,
}

const BOUNDS: [Bound; 5] = [
    Bound { entries: 10, nodes: 1, bytes_per_entry: 6, nodes_per_change: 1, bytes_per_change: 60 },
    Bound { entries: 100, nodes: 17, bytes_per_entry: 6, nodes_per_change: 2, bytes_per_change: 200 },
    Bound { entries: 1_000, nodes: 260, bytes_per_entry: 7, nodes_per_change: 3, bytes_per_change: 300 },
    Bound { entries: 10_000, nodes: 3_000, bytes_per_entry: 9, nodes_per_change: 4, bytes_per_change: 350 },
    Bound { entries: 100_000, nodes: 7_500, bytes_per_entry: 9, nodes_per_change: 5, bytes_per_change: 500 },
];

/// The keys of a room that grew by itself, and of one that shares a server with fifteen like it.
fn rooms(entries: i64) -> [Map; 2] {
    [1, 16].map(|stride| {
        (0..entries).map(|n| (StateKeyNid::new(n * stride + 1), EventNid::new(n * stride + 1))).collect()
    })
}

#[test]
fn a_change_costs_the_logarithm_of_the_state() {
    for bound in BOUNDS {
        for map in rooms(bound.entries) {
            let mut shelf = Shelf::default();
            let root = shelf.of(&map);
            let nodes = shelf.data.len();
            assert!(nodes <= bound.nodes, "{nodes} nodes for {} entries", bound.entries);
            let bytes: usize = shelf.data.values().map(|data| data.len()).sum();
            let per_entry = bytes.div_ceil(map.len());
            assert!(per_entry <= bound.bytes_per_entry, "{per_entry} bytes for each of {}", bound.entries);
            let depth = shelf.depth(root);
            assert!(depth <= bound.nodes_per_change, "{} entries make depth {depth}", bound.entries);
            for key in map.keys().step_by(map.len().div_ceil(100)) {
                let updated = shelf.update(root, &[(*key, Some(EventNid::new(2_000_000)))]);
                let made = updated.nodes.len();
                assert!(made <= depth, "{made} nodes for a change at depth {depth}");
                let bytes: usize = updated.nodes.iter().map(|new| new.data.len()).sum();
                assert!(bytes <= bound.bytes_per_change, "{bytes} bytes for a change in {}", bound.entries);
            }
        }
    }
}

#[test]
fn a_room_that_grows_member_by_member_writes_few_nodes_each_time() {
    let mut shelf = Shelf::default();
    let mut root = Root::EMPTY;
    let mut nodes = 0;
    for n in 1..=2_000 {
        let updated = shelf.update(root, &[(StateKeyNid::new(n), Some(EventNid::new(n)))]);
        root = updated.root;
        nodes += updated.nodes.len();
        // A leaf that is full becomes a branch with at most one leaf for each two of its entries.
        assert!(updated.nodes.len() <= 2 + LEAF_MAX.div_ceil(2), "{} nodes at once", updated.nodes.len());
    }
    assert!(nodes <= 2_000 * 3, "{nodes} nodes for 2000 joins");
}

#[test]
fn changes_made_together_share_the_nodes_on_their_way() {
    let mut shelf = Shelf::default();
    let [map, _] = rooms(100_000);
    let root = shelf.of(&map);
    let changes: Batch = (1..=1_000).map(|n| (StateKeyNid::new(n), Some(EventNid::new(7)))).collect();
    let together = shelf.update(root, &changes).nodes.len();
    let depth = shelf.depth(root);
    assert!(together < 1_000 * (depth - 2), "{together} nodes for 1000 changes at depth {depth}");
}

#[test]
fn a_difference_costs_what_differs_and_not_the_state() {
    let mut shelf = Shelf::default();
    let [map, _] = rooms(100_000);
    let root = shelf.of(&map);
    let depth = shelf.depth(root);
    for changed in [1_i64, 10] {
        let changes: Batch =
            (1..=changed).map(|n| (StateKeyNid::new(n * 97), Some(EventNid::new(7)))).collect();
        let after = shelf.update(root, &changes).root;
        let (found, loads) = shelf.run(|nodes| diff(nodes, root, after));
        assert_eq!(found.len(), changes.len());
        assert!(loads.rounds <= depth, "{loads:?} at depth {depth}");
        assert!(loads.nodes <= 2 * depth * changes.len(), "{loads:?} at depth {depth}");
    }
}
