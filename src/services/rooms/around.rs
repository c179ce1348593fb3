//! One event, and what is around it.

use std::sync::Arc;

use hearth_core::id::EventNid;
use hearth_core::sync_filter::EventFilter;
use hearth_core::token::{PageToken, Place, Point};
use hearth_store::StoreError;
use hearth_store::event::{Direction, StoredEvent};
use ruma::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::client_view::Form;
use super::pages::{MAX_PAGE, Walk, check_filter, wants};
use super::sight::Sight;
use super::viewer::Viewer;
use super::visible::Seen;
use super::{RoomError, RoomReader, Rooms};
use crate::clock;

/// Events read at a time, and in the end, to find the one nearest to a time that the viewer may see.
const NEAREST: [i64; 3] = [1, 50, 1000];

/// What of an event's surroundings a client wants.
#[derive(Clone, Debug)]
pub struct Around {
    /// How many events at most, before and after it together.
    pub limit: usize,
    /// Which of them, and of the state.
    pub filter: EventFilter,
}

/// An event and its surroundings, as the client reads them.
#[derive(Debug, Serialize)]
pub struct EventContext {
    event: Box<RawValue>,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    start: String,
    end: String,
    state: Vec<Box<RawValue>>,
}

impl Rooms {
    /// An event. One that the viewer may not see is as unknown as one that there is not.
    pub async fn event(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        id: &EventId,
    ) -> Result<Box<RawValue>, RoomError> {
        let sight = match self.reader.sight(viewer, room).await {
            Err(RoomError::Denied(_)) => return Err(RoomError::UnknownEvent),
            sight => sight?,
        };
        let seen = self.reader.seen_event(viewer, &sight, id).await?;
        let mut json = self.reader.encode(viewer, &[seen], (Form::Full, clock::now_ms())).await?;
        json.pop().ok_or(RoomError::UnknownEvent)
    }

    /// An event, at most `limit` events around it, and the state at the last of them.
    pub async fn context(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        id: &EventId,
        around: &Around,
    ) -> Result<EventContext, RoomError> {
        let filter = &around.filter;
        check_filter(filter)?;
        let sight = self.reader.sight(viewer, room).await?;
        let seen = self.reader.seen_event(viewer, &sight, id).await?;
        let place = seen.event.place.ok_or(RoomError::UnknownEvent)?;
        let limit = around.limit.min(MAX_PAGE);
        let walk = |direction, from, to, limit| Walk { direction, from, to, limit, filter };
        let back = walk(Direction::Backward, Point::before(place), None, limit / 2);
        let before = self.reader.walk(viewer, &sight, back).await?;
        let on = walk(Direction::Forward, Point::after(place), sight.end(), limit - limit / 2);
        let after = self.reader.walk(viewer, &sight, on).await?;

        let mut events: Vec<Seen> = before.events;
        let (earlier, own) = (events.len(), events.len() + 1);
        events.push(seen);
        events.extend(after.events);
        let shape = (Form::Full, clock::now_ms());
        let state = self.reader.state_after(&events, filter).await?;
        let state = self.reader.encode_state(viewer, &state, shape).await?;
        let mut events_before = self.reader.encode(viewer, &events, shape).await?;
        let events_after = events_before.split_off(own.min(events_before.len()));
        let event = events_before.split_off(earlier).pop().ok_or(RoomError::UnknownEvent)?;
        Ok(EventContext {
            event,
            events_before,
            events_after,
            start: PageToken(before.reached).to_string(),
            end: PageToken(after.reached).to_string(),
            state,
        })
    }

    /// The event nearest to a time that the viewer may see: not before it, or not after it.
    pub async fn event_at(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        ts: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<(OwnedEventId, MilliSecondsSinceUnixEpoch), RoomError> {
        let sight = self.reader.sight(viewer, room).await?;
        for limit in NEAREST {
            let near =
                self.reader.store.events_near(sight.room.nid, (ts.get().into(), direction), limit).await?;
            let all = i64::try_from(near.len()).is_ok_and(|found| found < limit);
            let in_sight = near.into_iter().filter(|event| sight.shows(event)).map(Arc::new).collect();
            let nearest = self.reader.seen(viewer, &sight.past, in_sight).await?.into_iter().next();
            if let Some(Seen { event, .. }) = nearest {
                return Ok((event.pdu.event_id().clone(), event.pdu.origin_server_ts()));
            }
            if all {
                break;
            }
        }
        Err(RoomError::UnknownEvent)
    }
}

impl Sight {
    /// Whether an event is not later than what is shown.
    fn shows(&self, event: &StoredEvent) -> bool {
        let before = |end| event.place.is_some_and(|place: Place| Point::before(place) < end);
        self.end().is_none_or(before)
    }
}

impl RoomReader {
    async fn seen_event(&self, viewer: &Viewer, sight: &Sight, id: &EventId) -> Result<Seen, RoomError> {
        let event = self.events.by_id(id).await?;
        let event = event.filter(|event| event.room == sight.room.nid && sight.shows(event));
        let event = event.ok_or(RoomError::UnknownEvent)?;
        self.seen(viewer, &sight.past, vec![event]).await?.pop().ok_or(RoomError::UnknownEvent)
    }

    /// The state after the last of `events`, as far as the filter wants it.
    async fn state_after(
        &self,
        events: &[Seen],
        filter: &EventFilter,
    ) -> Result<Vec<Arc<StoredEvent>>, StoreError> {
        let Some(last) = events.iter().max_by_key(|seen| seen.event.place) else { return Ok(Vec::new()) };
        let Some(root) = last.event.root_before else { return Ok(Vec::new()) };
        let mut entries = self.states.entries(root).await?;
        if let Some(key) = last.event.state_key {
            entries.retain(|entry| entry.key != key);
            entries.push(hearth_core::state_tree::Entry { key, event: last.event.nid });
        }
        let names =
            self.interned.state_key_names(&entries.iter().map(|entry| entry.key).collect::<Vec<_>>()).await?;
        let sent = |user: &str| events.iter().any(|seen| seen.event.pdu.sender() == user);
        let nids: Vec<EventNid> = entries
            .iter()
            .zip(names)
            .filter(|(_, name)| {
                let lazy = filter.lazy_load_members && name.event_type == "m.room.member";
                filter.wants_type(&name.event_type) && (!lazy || sent(&name.state_key))
            })
            .map(|(entry, _)| entry.event)
            .collect();
        let mut state = self.events.get_many(&nids).await?;
        state.retain(|event| wants(filter, event));
        Ok(state)
    }
}
