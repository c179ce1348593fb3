//! Damaged nodes are found out, and never read as an empty or another state.

use super::*;

fn encodings() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::btree_map(key(), (1..9_000_000_i64).prop_map(EventNid::new), 1..300).prop_map(
        |map| {
            let mut shelf = Shelf::default();
            shelf.of(&map);
            let mut all: Vec<_> = shelf.data.into_iter().collect();
            all.sort();
            all.into_iter().map(|(_, data)| data.to_vec()).collect()
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_the_one_encoding_of_a_node(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(node) = Node::decode(&data) {
            prop_assert_eq!(node.encode(), data);
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_the_one_encoding_of_another_node(
        all in encodings(), which: prop::sample::Index, at: prop::sample::Index, to: u8,
    ) {
        let mut data = which.get(&all).clone();
        let at = at.index(data.len());
        data[at] = to;
        if let Ok(node) = Node::decode(&data) {
            prop_assert_eq!(node.encode(), data);
        }
    }

    #[test]
    fn a_node_cut_short_is_an_error(all in encodings(), which: prop::sample::Index, at: prop::sample::Index) {
        let data = which.get(&all);
        prop_assert!(Node::decode(&data[..at.index(data.len())]).is_err());
    }

    #[test]
    fn the_children_of_a_node_are_read_off_its_encoding(all in encodings()) {
        // Every node but the root, which is made last, is the child of exactly one.
        let mut named: Vec<_> = all.iter().flat_map(|data| node_refs(data).unwrap()).collect();
        named.sort_unstable();
        let expected: Vec<_> = (1..all.len()).map(|id| NodeId::new(i64::try_from(id).unwrap())).collect();
        prop_assert_eq!(named, expected);
    }
}

#[test]
fn a_node_in_another_place_of_the_tree_is_found_out() {
    let mut shelf = Shelf::default();
    let map: Map = (1..100).map(|nid| (StateKeyNid::new(nid), EventNid::new(nid))).collect();
    let root = shelf.of(&map);
    let root_id = NodeId::new(root.get());
    let node = Arc::new(Node::decode(&shelf.data[&root_id]).unwrap());
    let child = node.children().next().unwrap();
    // The root names itself as its child.
    let nodes: HashMap<_, _> = (1..=root.get()).map(|id| (NodeId::new(id), node.clone())).collect();
    let wrong = Incomplete::Corrupt(child, Corrupt("stands at another depth than its parent says"));
    assert_eq!(entries(&nodes, root), Err(wrong.clone()));
    assert_eq!(diff(&nodes, Root::EMPTY, root), Err(wrong));
}

#[test]
fn a_missing_node_is_asked_for_and_never_taken_for_an_empty_one() {
    let nothing: HashMap<NodeId, Arc<Node>> = HashMap::new();
    let root = Root::new(5);
    let needed = Incomplete::Need(vec![NodeId::new(5)]);
    let key = StateKeyNid::new(1);
    assert_eq!(get(&nothing, root, key), Err(needed.clone()));
    assert_eq!(entries(&nothing, root), Err(needed.clone()));
    assert_eq!(len(&nothing, root), Err(needed.clone()));
    let mut ids = || unreachable!("no id is taken before the result is certain");
    assert_eq!(update(&nothing, root, &[(key, None)], &mut ids), Err(needed));
    let both = Incomplete::Need(vec![NodeId::new(5), NodeId::new(6)]);
    assert_eq!(diff(&nothing, Root::new(6), root), Err(both.clone()));
    assert_eq!(same(&nothing, Root::new(6), root), Err(both));
}
