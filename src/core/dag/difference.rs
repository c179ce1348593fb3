//! The events that only some of several sets lead to.

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::{Graph, Missing, all_there};
use crate::id::EventNid;

/// The most sets that can be told apart: an event may name 20 `prev_events`, and a room has hardly more
/// heads, each with a state of its own.
pub const SIDES_MAX: usize = 64;

/// The events that are in, or below, some of the sides but not all of them; ascending. Events in or below
/// `common` count as below all.
///
/// Events are visited from the highest order down, and the walk stops where everything left to visit is
/// below all sides and too low to lead back to what is not. Sides beyond [`SIDES_MAX`] are an error of the
/// caller and count as the last.
pub fn difference(
    graph: &dyn Graph,
    sides: &[Vec<EventNid>],
    common: &[EventNid],
) -> Result<Vec<EventNid>, Missing> {
    let sides_count = sides.len().clamp(1, SIDES_MAX);
    let mut walk = Walk {
        graph,
        all: u64::MAX >> (SIDES_MAX - sides_count),
        marks: HashMap::new(),
        open: BinaryHeap::new(),
        partly: 0,
        missing: BTreeSet::new(),
        lowest_partly: i64::MAX,
    };
    for event in common {
        walk.mark(*event, walk.all);
    }
    for (side, events) in sides.iter().enumerate() {
        for event in events {
            walk.mark(*event, 1 << side.min(sides_count - 1));
        }
    }
    walk.run();
    let Walk { all, marks, missing, .. } = walk;
    all_there(missing, || {
        let mut found: Vec<_> =
            marks.into_iter().filter(|(_, mark)| mark.sides != all).map(|(event, _)| event).collect();
        found.sort_unstable();
        found
    })
}

/// Which sides an event is known to be in or below.
#[derive(Default)]
struct Mark {
    sides: u64,
    /// It has yet to pass its sides on.
    open: bool,
}

struct Walk<'a> {
    graph: &'a dyn Graph,
    /// The mark of an event below all sides.
    all: u64,
    marks: HashMap<EventNid, Mark>,
    /// Events to visit, the highest order first; those of unknown order before all.
    open: BinaryHeap<(i64, EventNid)>,
    /// How many open events are not below all sides.
    partly: usize,
    missing: BTreeSet<EventNid>,
    /// The lowest order of visited events that were not below all sides.
    lowest_partly: i64,
}

impl Walk<'_> {
    fn mark(&mut self, event: EventNid, sides: u64) {
        let mark = self.marks.entry(event).or_default();
        let before = mark.sides;
        mark.sides |= sides;
        if mark.sides == before {
            return;
        }
        let Some(links) = self.graph.links(event) else {
            self.missing.insert(event);
            return;
        };
        let counted = mark.open && before != self.all;
        let counts = mark.sides != self.all;
        self.partly = self.partly + usize::from(counts) - usize::from(counted);
        if !mark.open {
            mark.open = true;
            self.open.push((links.order.unwrap_or(i64::MAX), event));
        }
    }

    fn run(&mut self) {
        while let Some((order, event)) = self.open.pop() {
            // What is left is below all sides, and lower than anything it could take out of the difference.
            if self.partly == 0 && order <= self.lowest_partly && order != i64::MAX {
                return;
            }
            self.visit(event);
        }
    }

    fn visit(&mut self, event: EventNid) {
        let Some(mark) = self.marks.get_mut(&event) else { return };
        mark.open = false;
        let sides = mark.sides;
        let Some(links) = self.graph.links(event) else { return };
        if sides != self.all {
            self.partly -= 1;
            self.lowest_partly = self.lowest_partly.min(links.order.unwrap_or(i64::MIN));
        }
        for to in &links.to {
            self.mark(*to, sides);
        }
    }
}
