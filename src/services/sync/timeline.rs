//! Timelines: the newest events of a window that their reader may see and wants.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hearth_core::id::{EventNid, Position, RoomNid};
use hearth_core::sync_filter::EventFilter;
use hearth_core::token::Point;
use hearth_store::StoreError;
use hearth_store::event::{Piece, StoredEvent};

use super::engine::{Engine, RoomChanges, View};
use super::judge::doubtful;
use super::plan::{Plan, Section};
use super::shown::Shown;
use crate::rooms;
use crate::rooms::viewer::Viewer;
use crate::rooms::visible::Seen;

/// How many events are looked at for one timeline. A filter or a history that lets nothing through ends as a
/// limited timeline, and the client pages on from there.
const MAX_LOOKED_AT: usize = 500;

/// Events read at a time where the first page did not suffice: something hides most of them.
const LATER_PAGE: usize = 100;

/// A room's timeline.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Oldest first.
    pub(super) events: Vec<Told>,
    /// Something between its beginning and its first event was left out.
    pub(super) limited: bool,
    /// The point just before its first event.
    pub(super) start: Point,
    /// Not all of the window was looked at, although nothing was found.
    cut_short: bool,
}

/// An event as one reader sees it.
#[derive(Debug)]
pub(super) struct Told {
    /// Its JSON, shared by all readers.
    pub(super) shown: Arc<Shown>,
    /// What is the reader's alone.
    pub(super) seen: Seen,
}

impl Told {
    /// What most readers see they share; one from whom something was left out sees their own.
    fn new(shown: Arc<Shown>, seen: Seen) -> Self {
        if Arc::ptr_eq(&shown.event, &seen.event) {
            return Self { shown, seen };
        }
        Self { shown: Arc::new(Shown::new(Arc::clone(&seen.event))), seen }
    }
}

impl Timeline {
    pub(super) fn empty(upto: Position) -> Self {
        Self { events: Vec::new(), limited: false, start: Point::as_of(upto), cut_short: false }
    }

    /// Whether it tells nothing that its reader could miss.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.cut_short
    }
}

/// A timeline being read, newest event first.
struct Reading {
    /// Which of the rooms.
    index: usize,
    /// What was read and not looked at.
    page: VecDeque<Arc<Shown>>,
    /// Where the next page ends; nothing, when all was read.
    before: Option<Point>,
    /// Whether memory may have more.
    remembered: bool,
    looked_at: usize,
    /// Newest first.
    found: Vec<Told>,
    limited: bool,
}

impl Engine {
    /// Reads the timelines of rooms: from memory where it reaches, and in one statement for all others.
    pub(super) async fn fill_timelines(
        &self,
        viewer: &Viewer,
        rooms: &mut [RoomChanges],
        view: View<'_>,
    ) -> Result<(), StoreError> {
        let in_or_out = |room: &RoomChanges| matches!(room.plan.section, Section::Join | Section::Leave);
        let mut readings: Vec<Reading> = rooms
            .iter()
            .enumerate()
            .filter(|(_, room)| in_or_out(room))
            .map(|(index, room)| Reading::new(index, &room.plan))
            .collect();
        let mut size = view.limit + 1;
        while !readings.is_empty() {
            self.read_pages(rooms, &mut readings, size).await?;
            self.prepare_judging(viewer, all_doubtful(rooms, &readings)).await?;
            let mut unfinished = Vec::new();
            for mut reading in readings {
                let Some(room) = rooms.get_mut(reading.index) else { continue };
                let mut seen = self.judge(viewer, &room.plan, &reading.events()).await?;
                if reading.look(&mut seen, view) {
                    room.timeline = reading.finish(room.plan.upto);
                } else {
                    unfinished.push(reading);
                }
            }
            readings = unfinished;
            size = size.max(LATER_PAGE);
        }
        Ok(())
    }

    /// Reads the next page of each.
    async fn read_pages(
        &self,
        rooms: &[RoomChanges],
        readings: &mut [Reading],
        size: usize,
    ) -> Result<(), StoreError> {
        let mut pieces = Vec::new();
        for reading in readings.iter_mut() {
            let Some(plan) = rooms.get(reading.index).map(|room| &room.plan) else { continue };
            if reading.remembered {
                self.remember(plan, reading, size);
            }
            if reading.page.is_empty()
                && let Some(before) = reading.before
            {
                pieces.push(Piece { room: plan.room, before, after: plan.after });
            }
        }
        if pieces.is_empty() {
            return Ok(());
        }
        let limit = i64::try_from(size).unwrap_or(i64::MAX);
        let mut pages: HashMap<RoomNid, VecDeque<Arc<Shown>>> = HashMap::new();
        for event in self.reader.store.histories(&pieces, limit).await? {
            pages.entry(event.room).or_default().push_back(Arc::new(Shown::new(Arc::new(event))));
        }
        for reading in readings.iter_mut().filter(|reading| reading.page.is_empty()) {
            let Some(plan) = rooms.get(reading.index).map(|room| &room.plan) else { continue };
            let page = pages.remove(&plan.room).unwrap_or_default();
            let whole = page.len() < size;
            reading.before = page.back().and_then(|shown| shown.event.place).map(Point::before);
            reading.before = reading.before.filter(|_| !whole);
            reading.page = page;
        }
        Ok(())
    }

    /// Takes the next page from memory.
    fn remember(&self, plan: &Plan, reading: &mut Reading, size: usize) {
        let upto = reading.before.map_or(plan.after, |before| before.place().anchor);
        let found = self.memory.history(plan.room, (plan.after, upto), size);
        reading.remembered = found.events.len() == size;
        reading.before = found.ends_at.map(Point::as_of);
        reading.page = found.events.into();
    }
}

impl Reading {
    fn new(index: usize, plan: &Plan) -> Self {
        Self {
            index,
            page: VecDeque::new(),
            before: Some(Point::as_of(plan.upto)),
            remembered: true,
            looked_at: 0,
            found: Vec::new(),
            limited: false,
        }
    }

    /// The page that was read.
    fn events(&self) -> Vec<Arc<StoredEvent>> {
        self.page.iter().map(|shown| Arc::clone(&shown.event)).collect()
    }

    /// Looks at what was read, of which `seen` may be seen. Says whether the timeline is finished.
    fn look(&mut self, seen: &mut HashMap<EventNid, Seen>, view: View<'_>) -> bool {
        while let Some(shown) = self.page.pop_front() {
            self.looked_at += 1;
            let seen = seen.remove(&shown.event.nid).filter(|seen| wants(&view.rooms.timeline, &seen.event));
            if let Some(seen) = seen {
                if self.found.len() == view.limit {
                    self.limited = true;
                    return true;
                }
                self.found.push(Told::new(shown, seen));
            } else if self.looked_at >= MAX_LOOKED_AT && !(self.page.is_empty() && self.is_whole()) {
                self.limited = true;
                self.before = shown.event.place.map(Point::before);
                return true;
            }
        }
        self.is_whole()
    }

    /// Whether there is nothing more to read.
    const fn is_whole(&self) -> bool {
        self.before.is_none()
    }

    fn finish(mut self, upto: Position) -> Timeline {
        self.found.reverse();
        let first = self.found.first().and_then(|told| told.seen.event.place);
        let cut_short = self.limited && self.looked_at >= MAX_LOOKED_AT;
        let stopped_at = self.before.filter(|_| cut_short).unwrap_or(Point::as_of(upto));
        Timeline {
            start: first.map_or(stopped_at, Point::before),
            events: self.found,
            limited: self.limited,
            cut_short,
        }
    }
}

/// What of all pages must be judged by the state at it.
fn all_doubtful(rooms: &[RoomChanges], readings: &[Reading]) -> Vec<Arc<StoredEvent>> {
    let of = |reading: &Reading| Some(doubtful(&rooms.get(reading.index)?.plan, &reading.events()));
    readings.iter().filter_map(of).flatten().collect()
}

/// Whether a timeline's filter lets an event through.
fn wants(filter: &EventFilter, event: &StoredEvent) -> bool {
    *filter == EventFilter::default() || rooms::wants(filter, event)
}
