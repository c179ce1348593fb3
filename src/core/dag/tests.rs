//! The walks against the plainest way to say the same.

use proptest::prelude::*;

use super::*;

type Dag = HashMap<EventNid, Links>;

fn nid(number: usize) -> EventNid {
    EventNid::new(i64::try_from(number).unwrap())
}

/// Random events, each of which links to some before it; their numbers say nothing about their order.
fn dags() -> impl Strategy<Value = Dag> {
    let links =
        proptest::collection::vec(proptest::collection::vec(any::<prop::sample::Index>(), 0..4), 1..40);
    (links, any::<u64>()).prop_map(|(links, seed)| {
        let names: Vec<EventNid> = (0..links.len())
            .map(|n| nid(((n as u64 + 1).wrapping_mul(seed | 1) % 1_000_003) as usize * 64 + n))
            .collect();
        let mut dag = Dag::new();
        for (n, links) in links.iter().enumerate() {
            let to: BTreeSet<_> = links.iter().filter(|_| n > 0).map(|link| names[link.index(n)]).collect();
            let order = to.iter().map(|to| dag[to].order.unwrap()).max().unwrap_or(0) + 1;
            dag.insert(names[n], Links { order: Some(order), to: to.into_iter().collect() });
        }
        dag
    })
}

fn some(dag: &Dag, which: &[prop::sample::Index]) -> Vec<EventNid> {
    let mut all: Vec<_> = dag.keys().copied().collect();
    all.sort_unstable();
    which.iter().map(|index| *index.get(&all)).collect()
}

fn picks(count: usize) -> impl Strategy<Value = Vec<prop::sample::Index>> {
    proptest::collection::vec(any::<prop::sample::Index>(), 0..count)
}

/// The same where no order is certain.
fn unordered(dag: &Dag) -> Dag {
    dag.iter().map(|(event, links)| (*event, Links { order: None, ..links.clone() })).collect()
}

/// The same where some orders are certain.
fn half_ordered(dag: &Dag) -> Dag {
    let order = |event: &EventNid, links: &Links| links.order.filter(|_| event.get() % 3 > 0);
    dag.iter().map(|(event, links)| (*event, Links { order: order(event, links), ..links.clone() })).collect()
}

/// Runs a walk that begins with nothing at hand, and counts the events it asked for.
fn cold<T>(dag: &Dag, walk: impl Fn(&dyn Graph) -> Result<T, Missing>) -> (T, usize) {
    let mut loaded = Dag::new();
    loop {
        match walk(&loaded) {
            Ok(result) => return (result, loaded.len()),
            Err(Missing(events)) => {
                assert!(!events.is_empty() && events.is_sorted_by(|a, b| a < b));
                for event in events {
                    assert!(loaded.insert(event, dag[&event].clone()).is_none());
                }
            }
        }
    }
}

fn naive_chain(dag: &Dag, from: &[EventNid]) -> BTreeSet<EventNid> {
    let mut seen: BTreeSet<_> = from.iter().copied().collect();
    loop {
        let more: BTreeSet<_> = seen.iter().flat_map(|event| dag[event].to.iter().copied()).collect();
        let before = seen.len();
        seen.extend(more);
        if seen.len() == before {
            return seen;
        }
    }
}

fn naive_difference(dag: &Dag, sides: &[Vec<EventNid>], common: &[EventNid]) -> Vec<EventNid> {
    let common = naive_chain(dag, common);
    let chains: Vec<_> = sides.iter().map(|side| naive_chain(dag, side)).collect();
    let any: BTreeSet<_> = chains.iter().flatten().copied().collect();
    any.into_iter()
        .filter(|event| !common.contains(event) && !chains.iter().all(|chain| chain.contains(event)))
        .collect()
}

fn naive_between(dag: &Dag, events: &[EventNid]) -> Vec<EventNid> {
    naive_chain(dag, events)
        .into_iter()
        .filter(|event| events.iter().any(|target| naive_chain(dag, &[*event]).contains(target)))
        .collect()
}

proptest! {
    #[test]
    fn the_difference_is_what_not_all_sides_lead_to(
        dag in dags(), sides in proptest::collection::vec(picks(4), 1..5), common in picks(3),
    ) {
        let sides: Vec<_> = sides.iter().map(|side| some(&dag, side)).collect();
        let common = some(&dag, &common);
        let expected = naive_difference(&dag, &sides, &common);
        prop_assert_eq!(&cold(&dag, |graph| difference(graph, &sides, &common)).0, &expected);
        for dag in [unordered(&dag), half_ordered(&dag)] {
            prop_assert_eq!(&cold(&dag, |graph| difference(graph, &sides, &common)).0, &expected);
        }
    }

    #[test]
    fn what_lies_between_is_on_a_way_from_one_to_another(dag in dags(), events in picks(6)) {
        let events = some(&dag, &events);
        let expected = naive_between(&dag, &events);
        prop_assert_eq!(&cold(&dag, |graph| between(graph, &events)).0, &expected);
        for dag in [unordered(&dag), half_ordered(&dag)] {
            prop_assert_eq!(&between(&dag, &events).unwrap(), &expected);
        }
    }

    #[test]
    fn chains_and_what_they_reach_are_whole(dag in dags(), from in picks(4), targets in picks(4)) {
        let (from, targets) = (some(&dag, &from), some(&dag, &targets));
        let expected = naive_chain(&dag, &from);
        prop_assert_eq!(cold(&dag, |graph| chain(graph, &from)).0, expected.iter().copied().collect::<Vec<_>>());
        let expected: BTreeSet<_> = targets.iter().copied().filter(|target| expected.contains(target)).collect();
        prop_assert_eq!(&cold(&dag, |graph| reached(graph, &from, &targets)).0, &expected);
        for dag in [unordered(&dag), half_ordered(&dag)] {
            prop_assert_eq!(&reached(&dag, &from, &targets).unwrap(), &expected);
        }
    }

    #[test]
    fn parents_come_first(dag in dags(), events in picks(30)) {
        let events = some(&dag, &events);
        let sorted = cold(&dag, |graph| parents_first(graph, &events)).0;
        prop_assert_eq!(sorted.iter().collect::<BTreeSet<_>>(), events.iter().collect::<BTreeSet<_>>());
        for (place, event) in sorted.iter().enumerate() {
            prop_assert!(dag[event].to.iter().all(|to| !sorted[place..].contains(to)));
        }
    }
}

/// A chain of a thousand events with two branches of three on top.
fn fork() -> (Dag, Vec<EventNid>, Vec<EventNid>) {
    let mut dag = Dag::new();
    let mut add = |number: usize, to: usize, order: usize| {
        let to = if to == 0 { vec![] } else { vec![nid(to)] };
        dag.insert(nid(number), Links { order: i64::try_from(order).ok(), to: to.into() });
    };
    for n in 1..=1000 {
        add(n, n - 1, n);
    }
    for (first, branch) in [2001, 3001].into_iter().enumerate() {
        add(branch, 1000 - first, 1001);
        add(branch + 1, branch, 1002);
        add(branch + 2, branch + 1, 1003);
    }
    (dag, vec![nid(2003)], vec![nid(3003)])
}

#[test]
fn the_walk_stops_where_the_chains_meet() {
    let (dag, left, right) = fork();
    let (found, loaded) = cold(&dag, |graph| difference(graph, &[left.clone(), right.clone()], &[]));
    assert_eq!(found, [1000, 2001, 2002, 2003, 3001, 3002, 3003].map(nid));
    assert!(loaded <= 9, "{loaded} events loaded");
    let ends = [nid(2003), nid(2001), nid(3002)];
    let (found, loaded) = cold(&dag, |graph| between(graph, &ends));
    assert_eq!(found, [2001, 2002, 2003, 3002].map(nid));
    assert!(loaded <= 7, "{loaded} events loaded");
}

#[test]
fn without_certain_orders_the_walk_goes_to_the_beginning() {
    let (dag, left, right) = fork();
    let without = unordered(&dag);
    let (found, loaded) = cold(&without, |graph| difference(graph, &[left.clone(), right.clone()], &[]));
    assert_eq!((found.len(), loaded), (7, 1006));
}
