//! Walks along `auth_events` or `prev_events`, over integers.
//!
//! A graph is looked up event by event through [`Graph`], usually from what a room has in memory. A walk
//! that meets events which are not there goes on as far as it can and then answers [`Missing`] with all of
//! them, to be loaded in one statement before it is repeated. Loading more than was asked for, such as the
//! whole chain of an event by one recursive statement, is always right and saves rounds. Nothing is
//! remembered between tries, so that a chain cut short is never taken for a whole one.
//!
//! # Order
//!
//! A walk down to where chains meet has to know which of two events can be an ancestor of the other.
//! [`Links::order`] says so: it must be greater than that of every event linked to. The `depth` that an
//! event claims does **not** promise this, for its sender may claim anything, and a server that believed it
//! could be led to another result than everybody else. One more than the greatest order of the events
//! linked to, worked out when an event is stored, does. Where it is
//! unknown, walks go on to the beginning of the room: dearer, with the same result.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    hash::BuildHasher,
};

use crate::id::EventNid;

mod difference;
#[cfg(test)]
mod tests;

pub use self::difference::{SIDES_MAX, difference};

/// The events that one event links to: its `auth_events`, or its `prev_events`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Greater than the order of every event linked to, if that is certain.
    pub order: Option<i64>,
    /// The events linked to.
    pub to: Box<[EventNid]>,
}

/// Where links are looked up; absence means *not at hand*, never *none*.
pub trait Graph {
    /// What the event links to, if that is at hand.
    fn links(&self, event: EventNid) -> Option<&Links>;
}

impl<S: BuildHasher> Graph for HashMap<EventNid, Links, S> {
    fn links(&self, event: EventNid) -> Option<&Links> {
        self.get(&event)
    }
}

/// The links of these events (ascending, none twice) are needed to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the links of {} events have to be loaded", .0.len())]
pub struct Missing(pub Vec<EventNid>);

/// The given events and all that they lead to, ascending.
pub fn chain(graph: &dyn Graph, from: &[EventNid]) -> Result<Vec<EventNid>, Missing> {
    let mut seen = BTreeSet::new();
    let mut missing = BTreeSet::new();
    let mut open = from.to_vec();
    while let Some(event) = open.pop() {
        if !seen.insert(event) {
            continue;
        }
        match graph.links(event) {
            Some(links) => open.extend(&links.to),
            None => {
                missing.insert(event);
            }
        }
    }
    all_there(missing, || seen.into_iter().collect())
}

/// Which of the targets are among the given events or lie on a way down from them.
///
/// This asks for every event that could lead to a target: without orders, for everything below.
pub fn reached(
    graph: &dyn Graph,
    from: &[EventNid],
    targets: &[EventNid],
) -> Result<BTreeSet<EventNid>, Missing> {
    let mut down = Down::new(graph, targets);
    down.walk(from);
    let targets: HashSet<EventNid> = targets.iter().copied().collect();
    let seen = down.seen.into_iter().filter(|event| targets.contains(event)).collect::<BTreeSet<_>>();
    all_there(down.missing, || seen)
}

/// Every event on a way from one of the given events down to another, the given ones included; ascending.
pub fn between(graph: &dyn Graph, events: &[EventNid]) -> Result<Vec<EventNid>, Missing> {
    let mut down = Down::new(graph, events);
    down.walk(events);
    let Down { above, missing, .. } = down;
    let mut seen = BTreeSet::new();
    let mut open = events.to_vec();
    while let Some(event) = open.pop() {
        if seen.insert(event) {
            open.extend(above.get(&event).into_iter().flatten());
        }
    }
    all_there(missing, || seen.into_iter().collect())
}

/// The events in an order in which each comes after those of them that it links to; of several that could
/// come next, the least does. Events that link to each other in a circle, which no hash allows, are left out.
pub fn parents_first(graph: &dyn Graph, events: &[EventNid]) -> Result<Vec<EventNid>, Missing> {
    let all: BTreeSet<EventNid> = events.iter().copied().collect();
    let mut missing = BTreeSet::new();
    let mut waits: HashMap<EventNid, usize> = HashMap::new();
    let mut children: HashMap<EventNid, Vec<EventNid>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for &event in &all {
        let Some(links) = graph.links(event) else {
            missing.insert(event);
            continue;
        };
        let parents: BTreeSet<EventNid> = links.to.iter().copied().filter(|to| all.contains(to)).collect();
        for &parent in &parents {
            children.entry(parent).or_default().push(event);
        }
        if parents.is_empty() {
            ready.push(Reverse(event));
        }
        waits.insert(event, parents.len());
    }
    let mut sorted = Vec::with_capacity(all.len());
    while let Some(Reverse(event)) = ready.pop() {
        sorted.push(event);
        for child in children.get(&event).into_iter().flatten() {
            if let Some(left) = waits.get_mut(child) {
                *left -= 1;
                if *left == 0 {
                    ready.push(Reverse(*child));
                }
            }
        }
    }
    all_there(missing, || sorted)
}

fn all_there<T>(missing: BTreeSet<EventNid>, result: impl FnOnce() -> T) -> Result<T, Missing> {
    if missing.is_empty() { Ok(result()) } else { Err(Missing(missing.into_iter().collect())) }
}

/// A walk down to the lowest of some targets.
struct Down<'a> {
    graph: &'a dyn Graph,
    /// Nothing at or below this order leads to a target; `None` if that is not known.
    floor: Option<i64>,
    seen: HashSet<EventNid>,
    missing: BTreeSet<EventNid>,
    /// For each event met, those that link to it.
    above: HashMap<EventNid, Vec<EventNid>>,
}

impl<'a> Down<'a> {
    fn new(graph: &'a dyn Graph, targets: &[EventNid]) -> Self {
        let missing = targets.iter().copied().filter(|target| graph.links(*target).is_none()).collect();
        let orders = targets.iter().map(|target| graph.links(*target)?.order);
        let floor = orders.collect::<Option<Vec<_>>>().and_then(|orders| orders.into_iter().min());
        Self { graph, floor, seen: HashSet::new(), missing, above: HashMap::new() }
    }

    fn walk(&mut self, from: &[EventNid]) {
        let mut open = from.to_vec();
        while let Some(event) = open.pop() {
            if !self.seen.insert(event) {
                continue;
            }
            let Some(links) = self.graph.links(event) else {
                self.missing.insert(event);
                continue;
            };
            if let (Some(floor), Some(order)) = (self.floor, links.order)
                && order <= floor
            {
                continue;
            }
            for &to in &links.to {
                self.above.entry(to).or_default().push(event);
                open.push(to);
            }
        }
    }
}
