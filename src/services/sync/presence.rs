//! Who is online, of those that a reader is in a room with.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_core::id::{RoomNid, UserNid};
use hearth_core::sync_filter::{Candidate, EventFilter};
use hearth_store::StoreError;
use ruma::events::TimelineEventType;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, RoomChanges, View};
use super::memory::RoomSet;
use super::plan::{Section, Span};
use super::{Sync, SyncError};
use crate::ephemeral::presence::{Presence, Shown};
use crate::rooms::viewer::Viewer;

/// How often those who wait have their turn at hearing of others' presence, and the most of them at a time. In a
/// crowd everybody's moves concern everybody, all the time: this bounds what telling them costs, and what it costs
/// is delay.
const WAKE_EVERY: Duration = Duration::from_secs(1);
const WAKES_AT_ONCE: usize = 1_000;

/// How long whom changes concern may be left to be looked up for more of them together.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);

/// Users looked for in memory at a time: others want it too.
const USERS_AT_ONCE: usize = 256;

impl Engine {
    /// The presence that a reader is to hear of, each user's once: what changed of those they are in a room with,
    /// and, of those they came to be in a room with, whoever is not offline.
    pub(super) async fn presence(
        &self,
        viewer: &Viewer,
        span: Span,
        rooms: &[RoomChanges],
        view: View<'_>,
    ) -> Result<Vec<Arc<Shown>>, SyncError> {
        let presences = &self.passing.presences;
        if !presences.is_enabled() || view.presence.wants_nothing() {
            return Ok(Vec::new());
        }
        let mut told = self.changed_presences(viewer, span).await?;
        let entered = span.since.map(|_| entered(rooms)).unwrap_or_default();
        if !entered.is_empty() {
            let present = presences.since(None).await?;
            told.extend(self.sharing(viewer, present, &RoomSet::new(entered)).await?);
        }
        told.extend(newcomers(rooms).filter_map(|user| presences.of(user)));
        if told.is_empty() {
            return Ok(told);
        }
        let ignored = self.reader.ignored.of(viewer.user).await?;
        let mut seen = HashSet::with_capacity(told.len());
        told.retain(|presence| {
            !ignored.contains(&presence.user_id)
                && is_wanted(view.presence, presence)
                && seen.insert(presence.user)
        });
        Ok(told)
    }

    /// The presence of the reader and of those they are in a room with, where it changed since a position; of
    /// whoever is not offline, if there is none.
    async fn changed_presences(&self, viewer: &Viewer, span: Span) -> Result<Vec<Arc<Shown>>, SyncError> {
        let presences = &self.passing.presences;
        if let Some(since) = span.since {
            let span = (since, span.upto);
            let users = self.of_others(|memory| memory.presences_changed(viewer.user, span)).await?;
            if let Some(changed) = users.and_then(|users| presences.changed(&users, since)) {
                return Ok(changed);
            }
        }
        let changed = presences.since(span.since).await?;
        let joined = self.of_others(|memory| memory.joined_rooms(viewer.user)).await?;
        Ok(self.sharing(viewer, changed, &joined).await?)
    }

    /// Of some users, the reader and those who are in one of `rooms`.
    async fn sharing(
        &self,
        viewer: &Viewer,
        of: Vec<Arc<Shown>>,
        rooms: &RoomSet,
    ) -> Result<Vec<Arc<Shown>>, StoreError> {
        let mut sharing = Vec::new();
        for some in of.chunks(USERS_AT_ONCE) {
            let users: Vec<UserNid> = some.iter().map(|presence| presence.user).collect();
            let mut found = self.memory.are_in(&users, rooms);
            if !found.unknown.is_empty() {
                found.inside.extend(self.reader.store.members_of_any(&found.unknown, rooms.rooms()).await?);
            }
            found.inside.insert(viewer.user);
            sharing.extend(some.iter().filter(|presence| found.inside.contains(&presence.user)).cloned());
        }
        Ok(sharing)
    }
}

impl Sync {
    /// Gives those who wait their turns at hearing of others' presence, until `stop` is cancelled.
    pub async fn tell_presence(self, stop: CancellationToken) {
        let engine = &self.inner.engine;
        let mut moved = HashSet::new();
        let mut queue = Queue::default();
        let mut looked_up = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WAKE_EVERY) => {}
            }
            moved.extend(engine.memory.take_moved());
            // In a crowd, whom the next ones concern is looked up for many of them together.
            if queue.len() < WAKES_AT_ONCE || looked_up.elapsed() >= LOOK_UP_WITHIN {
                looked_up = Instant::now();
                match engine.add_audience(&moved, &mut queue).await {
                    Ok(()) => moved.clear(),
                    Err(error) => tracing::debug!(%error, "who shares rooms was not read; trying again"),
                }
            }
            for user in engine.memory.take_asking() {
                queue.add(user);
            }
            engine.memory.give_turns(&queue.take(WAKES_AT_ONCE));
        }
    }
}

/// Those who are to have a turn, each once, first who waits longest.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<UserNid>,
    named: HashSet<UserNid>,
}

impl Queue {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn add(&mut self, user: UserNid) {
        if self.named.insert(user) {
            self.order.push_back(user);
        }
    }

    fn take(&mut self, most: usize) -> Vec<UserNid> {
        let taken: Vec<UserNid> = self.order.drain(..most.min(self.order.len())).collect();
        for user in &taken {
            self.named.remove(user);
        }
        taken
    }
}

impl Engine {
    /// Adds those who wait and are in a room with one of some users, and these themselves.
    async fn add_audience(&self, users: &HashSet<UserNid>, queue: &mut Queue) -> Result<(), SyncError> {
        let users: Vec<UserNid> = users.iter().copied().collect();
        let mut rooms = HashSet::new();
        for some in users.chunks(USERS_AT_ONCE) {
            rooms.extend(self.of_others(|memory| memory.rooms_of(some)).await?);
        }
        for room in rooms {
            self.memory.for_each_connected(room, |user| queue.add(user));
        }
        for user in users {
            queue.add(user);
        }
        Ok(())
    }
}

/// The rooms that the reader just came into.
fn entered(rooms: &[RoomChanges]) -> Vec<RoomNid> {
    let entered = |room: &&RoomChanges| room.plan.section == Section::Join && room.plan.since.is_none();
    rooms.iter().filter(entered).map(|room| room.plan.room).collect()
}

/// Those who, as the timelines tell, may have come into rooms that the reader is in.
fn newcomers(rooms: &[RoomChanges]) -> impl Iterator<Item = UserNid> {
    let joined = rooms.iter().filter(|room| room.plan.section == Section::Join);
    let events = joined.flat_map(|room| &room.timeline.events).map(|told| &told.shown.event);
    events.filter(|event| *event.pdu.event_type() == TimelineEventType::RoomMember).map(|event| event.sender)
}

fn is_wanted(filter: &EventFilter, presence: &Presence) -> bool {
    filter.matches(Candidate {
        event_type: "m.presence",
        sender: Some(&presence.user_id),
        room_id: None,
        content: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_is_woken_first_whoever_else_is_named_again() {
        let mut queue = Queue::default();
        let mut woken = Vec::new();
        for _ in 0..3 {
            for user in 0..6 {
                queue.add(UserNid::new(user));
            }
            woken.extend(queue.take(2).into_iter().map(UserNid::get));
        }
        assert_eq!((woken, queue.len()), (vec![0, 1, 2, 3, 4, 5], 4));
    }
}
