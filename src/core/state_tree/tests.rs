//! The tree against a plain map.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

mod corruption;
mod cost;

type Map = BTreeMap<StateKeyNid, EventNid>;
type Batch = Vec<(StateKeyNid, Option<EventNid>)>;

/// A store of encoded nodes, and the ids it gives out.
#[derive(Default)]
struct Shelf {
    data: HashMap<NodeId, Arc<[u8]>>,
    last: i64,
}

/// What an operation cost that began with nothing in memory.
#[derive(Debug, Default, PartialEq)]
struct Loads {
    rounds: usize,
    nodes: usize,
}

impl Shelf {
    /// Runs an operation as the rooms service does: with an empty cache, loading what it asks for.
    fn run<T>(&self, mut operation: impl FnMut(&dyn Nodes) -> Result<T, Incomplete>) -> (T, Loads) {
        let cold = HashMap::new();
        let mut overlay = Overlay::new(&cold);
        let mut loads = Loads::default();
        loop {
            match operation(&overlay) {
                Ok(result) => return (result, loads),
                Err(Incomplete::Need(ids)) => {
                    assert!(ids.is_sorted_by(|a, b| a < b), "asked for twice: {ids:?}");
                    loads.rounds += 1;
                    loads.nodes += ids.len();
                    for id in ids {
                        assert!(overlay.node(id).is_none(), "{id:?} is there already");
                        overlay.insert(id, Arc::new(Node::decode(&self.data[&id]).unwrap()));
                    }
                }
                Err(corrupt) => panic!("{corrupt}"),
            }
        }
    }

    fn update(&mut self, root: Root, changes: &[(StateKeyNid, Option<EventNid>)]) -> Updated {
        let mut last = self.last;
        let (updated, _) = self.run(|nodes| {
            update(nodes, root, changes, &mut || {
                last += 1;
                NodeId::new(last)
            })
        });
        assert_eq!(last - self.last, i64::try_from(updated.nodes.len()).unwrap(), "ids were wasted");
        self.last = last;
        for new in &updated.nodes {
            assert_eq!(Node::decode(&new.data).as_ref(), Ok(&*new.node));
            self.data.insert(new.id, new.data.clone());
        }
        updated
    }

    fn of(&mut self, map: &Map) -> Root {
        let all: Batch = map.iter().map(|(key, event)| (*key, Some(*event))).collect();
        self.update(Root::EMPTY, &all).root
    }

    fn map(&self, root: Root) -> Map {
        self.run(|nodes| entries(nodes, root)).0.into_iter().map(|entry| (entry.key, entry.event)).collect()
    }

    fn depth(&self, root: Root) -> usize {
        self.run(|nodes| entries(nodes, root)).1.rounds
    }
}

fn apply(map: &mut Map, batch: &[(StateKeyNid, Option<EventNid>)]) {
    for (key, event) in batch {
        match event {
            Some(event) => map.insert(*key, *event),
            None => map.remove(key),
        };
    }
}

fn map_diff(a: &Map, b: &Map) -> Vec<Change> {
    let mut keys: Vec<_> = a.keys().chain(b.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|key| Change { key, before: a.get(&key).copied(), after: b.get(&key).copied() })
        .filter(|change| change.before != change.after)
        .collect()
}

fn map_disagreement(maps: &[&Map]) -> Vec<Vec<Entry>> {
    let differs = |key: &StateKeyNid| maps.iter().any(|map| map.get(key) != maps[0].get(key));
    let side = |map: &&Map| {
        map.iter()
            .filter(|(key, _)| differs(key))
            .map(|(key, event)| Entry { key: *key, event: *event })
            .collect()
    };
    maps.iter().map(side).collect()
}

fn key() -> impl Strategy<Value = StateKeyNid> {
    prop_oneof![8 => 1..120_i64, 1 => 1..100_000_i64, 1 => any::<i64>()].prop_map(StateKeyNid::new)
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let event = prop_oneof![
        3 => (1..50_i64).prop_map(|nid| Some(EventNid::new(nid))),
        1 => any::<i64>().prop_map(|nid| Some(EventNid::new(nid))),
        2 => Just(None),
    ];
    let batch = prop_oneof![
        2 => proptest::collection::vec((key(), event.clone()), 0..4),
        1 => proptest::collection::vec((key(), event), 0..120),
    ];
    proptest::collection::vec(batch, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_is_a_map_whose_old_versions_stay_readable(batches in batches()) {
        let mut shelf = Shelf::default();
        let mut versions = vec![(Root::EMPTY, Map::new())];
        for batch in &batches {
            let (root, mut map) = versions.last().unwrap().clone();
            let updated = shelf.update(root, batch);
            let unchanged = { let before = map.clone(); apply(&mut map, batch); map == before };
            prop_assert_eq!(updated.root == root, unchanged);
            prop_assert_eq!(updated.nodes.is_empty(), unchanged || map.is_empty());
            versions.push((updated.root, map));
        }
        for (root, map) in &versions {
            prop_assert_eq!(&shelf.map(*root), map);
            prop_assert_eq!(shelf.run(|nodes| len(nodes, *root)).0, map.len() as u64);
            let keys: Vec<_> = batches.iter().flatten().map(|(key, _)| *key).collect();
            let expected: Vec<_> = keys.iter().map(|key| map.get(key).copied()).collect();
            prop_assert_eq!(shelf.run(|nodes| get_many(nodes, *root, &keys)).0, expected);
        }
        let hashes: Vec<_> = versions.iter().map(|(root, _)| shelf.run(|nodes| hash(nodes, *root)).0).collect();
        for ((a, map_a), hash_a) in versions.iter().zip(&hashes) {
            for ((b, map_b), hash_b) in versions.iter().zip(&hashes) {
                prop_assert_eq!(hash_a == hash_b, map_a == map_b);
                prop_assert_eq!(shelf.run(|nodes| same(nodes, *a, *b)).0, map_a == map_b);
            }
        }
        let (first, last) = (versions.first().unwrap(), versions.last().unwrap());
        for ((a, map_a), (b, map_b)) in versions.iter().zip(versions.iter().skip(1)).chain([(last, first)]) {
            prop_assert_eq!(shelf.run(|nodes| diff(nodes, *a, *b)).0, map_diff(map_a, map_b));
        }
        let roots: Vec<_> = versions.iter().map(|(root, _)| *root).collect();
        let maps: Vec<_> = versions.iter().map(|(_, map)| map).collect();
        prop_assert_eq!(shelf.run(|nodes| disagreement(nodes, &roots)).0, map_disagreement(&maps));
    }

    #[test]
    fn a_state_built_in_steps_equals_one_built_at_once(batches in batches()) {
        let mut shelf = Shelf::default();
        let mut map = Map::new();
        let mut root = Root::EMPTY;
        for batch in &batches {
            root = shelf.update(root, batch).root;
            apply(&mut map, batch);
        }
        let at_once = shelf.of(&map);
        prop_assert!(shelf.run(|nodes| same(nodes, root, at_once)).0);
        prop_assert_eq!(shelf.run(|nodes| diff(nodes, root, at_once)).0, vec![]);
    }

    #[test]
    fn a_lookup_asks_for_one_node_a_round(map in proptest::collection::btree_map(key(), Just(EventNid::new(1)), 1..400)) {
        let mut shelf = Shelf::default();
        let root = shelf.of(&map);
        let depth = shelf.depth(root);
        for (key, event) in &map {
            let (found, loads) = shelf.run(|nodes| get(nodes, root, *key));
            prop_assert_eq!(found, Some(*event));
            prop_assert!(loads.rounds <= depth && loads.nodes == loads.rounds);
        }
    }
}

#[test]
fn the_last_of_several_changes_to_a_key_counts() {
    let mut shelf = Shelf::default();
    let key = StateKeyNid::new(1);
    let changes = [(key, Some(EventNid::new(1))), (key, None), (key, Some(EventNid::new(2)))];
    let root = shelf.update(Root::EMPTY, &changes).root;
    assert_eq!(shelf.map(root), Map::from([(key, EventNid::new(2))]));
}

#[test]
fn taking_everything_away_leaves_the_empty_state() {
    let mut shelf = Shelf::default();
    let map: Map = (1..500).map(|nid| (StateKeyNid::new(nid), EventNid::new(nid))).collect();
    let root = shelf.of(&map);
    let away: Batch = map.keys().map(|key| (*key, None)).collect();
    assert_eq!(shelf.update(root, &away), Updated { root: Root::EMPTY, nodes: vec![] });
}

#[test]
fn all_nodes_of_a_level_are_asked_for_at_once() {
    let mut shelf = Shelf::default();
    let map: Map = (1..5000).map(|nid| (StateKeyNid::new(nid), EventNid::new(nid))).collect();
    let root = shelf.of(&map);
    let all = Loads { rounds: 4, nodes: shelf.data.len() };
    assert_eq!(shelf.run(|nodes| entries(nodes, root)).1, all);
    let keys: Vec<_> = map.keys().copied().collect();
    assert_eq!(shelf.run(|nodes| get_many(nodes, root, &keys)).1, all);
    assert_eq!(shelf.run(|nodes| diff(nodes, Root::EMPTY, root)).1, all);
}
