//! Who is online, of those that a reader is in a room with.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::sync_filter::{Candidate, EventFilter};
use hearth_store::StoreError;
use ruma::events::TimelineEventType;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, RoomChanges, View};
use super::memory::Connection;
use super::plan::Section;
use super::{Sync, SyncError};
use crate::ephemeral::presence::Presence;
use crate::rooms::viewer::Viewer;

/// How often those who wait are woken to hear of others' presence, and the most of them at a time. In a crowd
/// everybody's moves concern everybody: this bounds what telling them costs, and what it costs is delay.
const WAKE_EVERY: Duration = Duration::from_secs(1);
const WAKES_AT_ONCE: usize = 1_000;

/// Users looked for in memory at a time, and in the database: others want the memory too.
const USERS_AT_ONCE: usize = 256;

impl Engine {
    /// The presence that a reader is to hear of, each user's once: what changed of those they are in a room with,
    /// and, of those they came to be in a room with, whoever is not offline.
    pub(super) async fn presence(
        &self,
        viewer: &Viewer,
        since: Option<Position>,
        rooms: &[RoomChanges],
        view: View<'_>,
    ) -> Result<Vec<Arc<Presence>>, StoreError> {
        let presences = &self.passing.presences;
        if !presences.is_enabled() || view.presence.wants_nothing() {
            return Ok(Vec::new());
        }
        let changed = presences.since(since).await?;
        let mut told = self.sharing(viewer, changed, &self.memory.joined_rooms(viewer.user)).await?;
        let entered = since.map(|_| entered(rooms)).unwrap_or_default();
        if !entered.is_empty() {
            told.extend(self.sharing(viewer, presences.since(None).await?, &entered).await?);
        }
        told.extend(newcomers(rooms).filter_map(|user| presences.of(user)));
        if told.is_empty() {
            return Ok(told);
        }
        let ignored = self.reader.ignored.of(viewer.user).await?;
        let mut seen = HashSet::new();
        told.retain(|presence| {
            !ignored.contains(&presence.user_id)
                && is_wanted(view.presence, presence)
                && seen.insert(presence.user)
        });
        Ok(told)
    }

    /// Of some users, the reader and those who are in one of `rooms`.
    async fn sharing(
        &self,
        viewer: &Viewer,
        of: Vec<Arc<Presence>>,
        rooms: &HashSet<RoomNid>,
    ) -> Result<Vec<Arc<Presence>>, StoreError> {
        let mut sharing = Vec::new();
        for some in of.chunks(USERS_AT_ONCE) {
            let users: Vec<UserNid> = some.iter().map(|presence| presence.user).collect();
            let mut found = self.memory.are_in(&users, rooms);
            if !found.unknown.is_empty() {
                found.inside.extend(self.reader.store.members_of_any(&found.unknown, rooms).await?);
            }
            found.inside.insert(viewer.user);
            sharing.extend(some.iter().filter(|presence| found.inside.contains(&presence.user)).cloned());
        }
        Ok(sharing)
    }
}

impl Sync {
    /// Wakes those who wait to hear of others' presence, until `stop` is cancelled.
    pub async fn tell_presence(self, stop: CancellationToken) {
        let engine = &self.inner.engine;
        let mut moved = Vec::new();
        let mut concerned = HashSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(WAKE_EVERY) => {}
            }
            moved.extend(engine.memory.take_moved());
            match engine.audience(&moved).await {
                Ok(users) => {
                    moved.clear();
                    concerned.extend(users);
                }
                Err(error) => tracing::debug!(%error, "who shares rooms was not read; trying again"),
            }
            let woken: Vec<UserNid> = concerned.iter().copied().take(WAKES_AT_ONCE).collect();
            engine.memory.wake_all(&woken);
            for user in woken {
                concerned.remove(&user);
            }
        }
    }
}

impl Engine {
    /// Those who wait and are in a room with one of some users, and these themselves.
    async fn audience(&self, users: &[UserNid]) -> Result<HashSet<UserNid>, SyncError> {
        let mut audience = HashSet::new();
        for user in users.iter().collect::<HashSet<_>>() {
            // Memory holds the rooms of whoever is connected, and of others for as long as they are asked for.
            let _connection = Connection::open(&self.memory, *user);
            self.load(*user).await?;
            self.memory.add_audience(*user, &mut audience);
        }
        Ok(audience)
    }
}

/// The rooms that the reader just came into.
fn entered(rooms: &[RoomChanges]) -> HashSet<RoomNid> {
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
