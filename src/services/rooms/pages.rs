//! A room's history, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;

use hearth_core::id::Position;
use hearth_core::sync_filter::{Candidate, EventFilter};
use hearth_core::token::{PageToken, Place, Point};
use hearth_store::StoreError;
use hearth_store::event::{Direction, Page, StoredEvent};
use hearth_store::interned::StateKeyName;
use ruma::{RoomId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client_view::Form;
use super::sight::Sight;
use super::viewer::Viewer;
use super::visible::Seen;
use super::{RoomError, RoomReader, Rooms};
use crate::clock;

/// Events of one page. Larger ones help nobody: a client shows a few dozen at a time.
pub const MAX_PAGE: usize = 500;

/// Bytes of events after which a page ends early; some eighty of the largest events there may be.
const MAX_PAGE_BYTES: usize = 5 << 20;

/// Events looked at for one page. Where a filter or the room hides more than this, the page ends early, and the
/// client goes on from there.
const MAX_SCANNED: usize = 2_000;

/// Events read at a time where a filter will drop many.
const FILTERED_BATCH: usize = 200;

/// Which part of a room's history a client wants.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Which way.
    pub direction: Direction,
    /// Where to begin; none for the end of the history that is farther from where it goes.
    pub from: Option<String>,
    /// Where to stop.
    pub to: Option<String>,
    /// How many events at most.
    pub limit: usize,
    /// Which of them.
    pub filter: EventFilter,
}

/// A page as the client reads it.
#[derive(Debug, Serialize)]
pub struct Messages {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Vec<Box<RawValue>>>,
}

/// A walk along a room's history.
pub(super) struct Walk<'a> {
    pub(super) direction: Direction,
    pub(super) from: Point,
    pub(super) to: Option<Point>,
    pub(super) limit: usize,
    pub(super) filter: &'a EventFilter,
}

/// What a walk came to.
pub(super) struct Walked {
    pub(super) events: Vec<Seen>,
    /// Where the next walk goes on.
    pub(super) reached: Point,
    /// There may be something beyond.
    pub(super) more: bool,
}

impl Rooms {
    /// A page of a room's history.
    pub async fn messages(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        request: PageRequest,
    ) -> Result<Messages, RoomError> {
        check_filter(&request.filter)?;
        let sight = self.reader.sight(viewer, room).await?;
        let given = match &request.from {
            Some(token) => Some(self.point(token).await?),
            None => None,
        };
        let to = match &request.to {
            Some(token) => Some(self.point(token).await?),
            None => None,
        };
        let start = given.unwrap_or_else(|| self.far_end(&sight, request.direction));
        let (from, to) = within(&sight, request.direction, start, to);
        let (direction, filter) = (request.direction, &request.filter);
        let walk = Walk { direction, from, to, limit: request.limit.min(MAX_PAGE), filter };
        let walked = self.reader.walk(viewer, &sight, walk).await?;
        let shape = (Form::Full, clock::now_ms());
        let state = match walked.events.first().filter(|_| filter.lazy_load_members) {
            Some(first) => {
                let members = self.reader.senders_members(first, &walked.events).await?;
                Some(self.reader.encode_state(viewer, &members, shape).await?)
            }
            None => None,
        };
        Ok(Messages {
            start: request.from.unwrap_or_else(|| PageToken(start).to_string()),
            end: walked.more.then(|| PageToken(walked.reached).to_string()),
            chunk: self.reader.encode(viewer, &walked.events, shape).await?,
            state,
        })
    }

    /// The point that a token stands for.
    pub(super) async fn point(&self, token: &str) -> Result<Point, RoomError> {
        let not_ours = RoomError::InvalidParameter("This is not a token that this server gave out.");
        let Ok(PageToken(point)) = token.parse() else { return Err(not_ours) };
        if self.log.is_known(point.place().anchor).await? { Ok(point) } else { Err(not_ours) }
    }

    /// Where one begins who does not say where.
    fn far_end(&self, sight: &Sight, direction: Direction) -> Point {
        match direction {
            Direction::Forward => BEGINNING,
            Direction::Backward => sight.end().unwrap_or_else(|| Point::as_of(self.log.applied())),
        }
    }
}

impl RoomReader {
    /// Walks along a room's history until enough events were found that the viewer may see and the filter wants.
    ///
    /// Makes two statements for each batch of events that is read, and those of [`RoomReader::seen`].
    pub(super) async fn walk(
        &self,
        viewer: &Viewer,
        sight: &Sight,
        walk: Walk<'_>,
    ) -> Result<Walked, StoreError> {
        let mut walked = Walked { events: Vec::new(), reached: walk.from, more: true };
        if hides_all(walk.filter, &sight.room.id) {
            return Ok(Walked { more: false, ..walked });
        }
        let (mut scanned, mut bytes) = (0, 0);
        while walked.events.len() < walk.limit && scanned < MAX_SCANNED && bytes < MAX_PAGE_BYTES {
            let wanted = walk.limit - walked.events.len();
            let batch_size = if hides_events(walk.filter) { wanted.max(FILTERED_BATCH) } else { wanted };
            let mut batch = self.next_batch(sight, &walk, walked.reached, batch_size + 1).await?;
            let beyond = batch.len() > batch_size;
            batch.truncate(batch_size);
            scanned += batch.len();
            let places: Vec<Place> = batch.iter().filter_map(|event| event.place).collect();
            let events = batch.into_iter().map(Arc::new).collect();
            let mut end = places.last().copied();
            for seen in self.seen(viewer, &sight.past, events).await? {
                if !wants(walk.filter, &seen.event) {
                    continue;
                }
                bytes += seen.event.pdu.json().len();
                let place = seen.event.place;
                walked.events.push(seen);
                if walked.events.len() >= walk.limit || bytes >= MAX_PAGE_BYTES {
                    end = place;
                    break;
                }
            }
            let whole = end == places.last().copied();
            if let Some(end) = end {
                walked.reached = past(end, walk.direction);
            }
            walked.more = beyond || !whole;
            if !walked.more {
                break;
            }
        }
        Ok(walked)
    }

    async fn next_batch(
        &self,
        sight: &Sight,
        walk: &Walk<'_>,
        from: Point,
        size: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let limit = i64::try_from(size).unwrap_or(i64::MAX);
        let page = Page { direction: walk.direction, to: walk.to, limit };
        self.store.history(sight.room.nid, from, page).await
    }

    /// The member events, as they were at `at`, of those who sent `events`.
    pub(super) async fn senders_members(
        &self,
        at: &Seen,
        events: &[Seen],
    ) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let Some(root) = at.event.root_before else { return Ok(Vec::new()) };
        let senders: BTreeSet<&UserId> = events.iter().map(|seen| seen.event.pdu.sender()).collect();
        let names: Vec<StateKeyName> =
            senders.into_iter().map(|sender| StateKeyName::new("m.room.member", sender.as_str())).collect();
        let keys = self.interned.state_keys(&names.iter().collect::<Vec<_>>()).await?;
        let found = self.states.get_many(root, &keys).await?;
        self.events.get_many(&found.into_iter().flatten().collect::<Vec<_>>()).await
    }
}

/// The beginning of every history, as a token can hold it: no event stands at position zero.
const BEGINNING: Point = Point::before(Place::live(Position::ZERO));

/// Relations are not indexed, so a filter that asks for them cannot be answered.
pub(super) fn check_filter(filter: &EventFilter) -> Result<(), RoomError> {
    if filter.asks_for_relations() {
        return Err(RoomError::InvalidParameter("This server does not filter by relations yet."));
    }
    Ok(())
}

/// Whether a filter leaves events out.
fn hides_events(filter: &EventFilter) -> bool {
    let EventFilter { lazy_load_members, include_redundant_members, unread_thread_notifications, .. } =
        *filter;
    let aside = EventFilter {
        limit: filter.limit,
        lazy_load_members,
        include_redundant_members,
        unread_thread_notifications,
        ..EventFilter::default()
    };
    *filter != aside
}

/// Whether a filter leaves out every event of a room, so that there is no use in looking.
fn hides_all(filter: &EventFilter, room: &RoomId) -> bool {
    let empty = filter.types.as_ref().is_some_and(Vec::is_empty)
        || filter.senders.as_ref().is_some_and(Vec::is_empty);
    empty || !filter.wants_room(room)
}

/// Whether a filter wants an event, as its viewer reads it.
pub(crate) fn wants(filter: &EventFilter, event: &StoredEvent) -> bool {
    // Of a redacted event's content no `url` remains.
    let content = Some(event.pdu.content()).filter(|_| event.redacted_by.is_none());
    filter.matches(Candidate {
        event_type: &event.pdu.event_type().to_string(),
        sender: Some(event.pdu.sender()),
        room_id: Some(event.pdu.room_id()),
        content,
    })
}

/// The way from `from` to `to` as far as it is in sight.
fn within(sight: &Sight, direction: Direction, from: Point, to: Option<Point>) -> (Point, Option<Point>) {
    match (sight.end(), direction) {
        (None, _) => (from, to),
        (Some(end), Direction::Backward) => (from.min(end), to),
        (Some(end), Direction::Forward) => (from, Some(to.map_or(end, |to| to.min(end)))),
    }
}

/// The point behind an event on the way.
pub(super) fn past(place: Place, direction: Direction) -> Point {
    match direction {
        Direction::Forward => Point::after(place),
        Direction::Backward => Point::before(place),
    }
}
