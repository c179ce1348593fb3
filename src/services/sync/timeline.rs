//! Timelines: the newest events of a window that their reader may see and wants.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_core::membership::Membership;
use hearth_core::sync_filter::EventFilter;
use hearth_core::token::Point;
use hearth_store::StoreError;
use hearth_store::event::{Piece, StoredEvent};

use super::engine::{Engine, Reader, RoomChanges, View, candidate};
use super::plan::{Plan, Section};
use super::shown::Shown;

/// How many events are looked at for one timeline. A filter or a history that lets nothing through ends as a
/// limited timeline, and the client pages on from there.
const MAX_LOOKED_AT: usize = 500;

/// A room's timeline.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Oldest first.
    pub(super) events: Vec<Seen>,
    /// Something between its beginning and its first event was left out.
    pub(super) limited: bool,
    /// The point just before its first event.
    pub(super) start: Point,
    /// Not all of the window was looked at, although nothing was found.
    cut_short: bool,
}

/// An event as one reader sees it.
#[derive(Debug)]
pub(super) struct Seen {
    /// The event.
    pub(super) shown: Arc<Shown>,
    /// What the reader was to the room at the event, itself included; none where that was not asked.
    pub(super) membership: Option<Membership>,
    /// For a state event, what it replaced.
    pub(super) previous: Option<Previous>,
    /// The redaction in effect.
    pub(super) redaction: Option<Arc<StoredEvent>>,
}

/// The state event that another replaced.
#[derive(Debug)]
pub(super) struct Previous {
    /// It.
    pub(super) event: Arc<StoredEvent>,
    /// Whether the reader may see it.
    pub(super) visible: bool,
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

impl Seen {
    pub(super) const fn new(shown: Arc<Shown>, membership: Option<Membership>) -> Self {
        Self { shown, membership, previous: None, redaction: None }
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
    found: Vec<Seen>,
    limited: bool,
}

impl Engine {
    /// Reads the timelines of rooms: from memory where it reaches, and in one statement for all others.
    pub(super) async fn fill_timelines(
        &self,
        reader: &Reader,
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
        while !readings.is_empty() {
            self.read_pages(rooms, &mut readings, view.limit + 1).await?;
            let mut unfinished = Vec::new();
            for mut reading in readings {
                let Some(room) = rooms.get_mut(reading.index) else { continue };
                if self.look(reader, &room.plan, &mut reading, view).await? {
                    room.timeline = reading.finish(room.plan.upto);
                } else {
                    unfinished.push(reading);
                }
            }
            readings = unfinished;
        }
        for room in rooms {
            for seen in &mut room.timeline.events {
                self.complete(reader, &room.plan, seen).await?;
            }
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
        for event in self.store.histories(&pieces, limit).await? {
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

    /// Looks at what was read. Says whether the timeline is finished.
    async fn look(
        &self,
        reader: &Reader,
        plan: &Plan,
        reading: &mut Reading,
        view: View<'_>,
    ) -> Result<bool, StoreError> {
        while let Some(shown) = reading.page.pop_front() {
            reading.looked_at += 1;
            if wants(&view.rooms.timeline, &shown)
                && let Some(membership) = self.judge(reader, plan, &shown).await?
            {
                if reading.found.len() == view.limit {
                    reading.limited = true;
                    return Ok(true);
                }
                reading.found.push(Seen::new(shown, Some(membership)));
            } else if reading.looked_at >= MAX_LOOKED_AT && !(reading.page.is_empty() && reading.is_whole()) {
                reading.limited = true;
                reading.before = shown.event.place.map(Point::before);
                return Ok(true);
            }
        }
        Ok(reading.is_whole())
    }

    /// Adds what stands beside the event.
    pub(super) async fn complete(
        &self,
        reader: &Reader,
        plan: &Plan,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let event = Arc::clone(&seen.shown.event);
        if let (Some(key), Some(root)) = (event.state_key, event.root_before)
            && let Some(nid) = self.states.get(root, key).await?
        {
            let previous = self.events.get(nid).await?;
            let visible = seen.membership == Some(Membership::Join)
                || self.judge(reader, plan, &Shown::new(Arc::clone(&previous))).await?.is_some();
            seen.previous = Some(Previous { event: previous, visible });
        }
        self.explain_redaction(seen).await
    }

    /// Adds the redaction that left of the event what is left.
    pub(super) async fn explain_redaction(&self, seen: &mut Seen) -> Result<(), StoreError> {
        if let Some(nid) = seen.shown.event.redacted_by {
            seen.redaction = Some(self.events.get(nid).await?);
        }
        Ok(())
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

    /// Whether there is nothing more to read.
    const fn is_whole(&self) -> bool {
        self.before.is_none()
    }

    fn finish(mut self, upto: Position) -> Timeline {
        self.found.reverse();
        let first = self.found.first().and_then(|seen| seen.shown.event.place);
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

/// Whether a timeline's filter lets an event through.
fn wants(filter: &EventFilter, shown: &Shown) -> bool {
    let pdu = &shown.event.pdu;
    *filter == EventFilter::default() || filter.matches(candidate(&pdu.event_type().to_string(), pdu))
}
