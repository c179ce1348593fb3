//! Who types in which room.
//!
//! Nothing but the log holds it: every process derives the lists from what it hears. What begins ends by an entry
//! of its own, written by the process that took the beginning, or by any other where that one is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_store::StoreError;
use hearth_store::log::{Change, NewEvent, Proposal};
use ruma::{OwnedUserId, RoomId, UserId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::log::{Apply, CommitError, Log, Logged, What};
use crate::rooms::viewer::Viewer;
use crate::rooms::{RoomError, RoomReader};

/// Rooms whose last change is remembered though nobody types there: what happened in the last minutes.
const MAX_QUIET_ROOMS: usize = 10_000;

/// How long after its end somebody else's typing is ended by this process: theirs has the time to do it.
const GRACE_MS: i64 = 2_000;

/// The newest entries of the log that a process looks at when it starts, to learn who types.
const LOOKED_BACK: i64 = 10_000;

/// Why it was not taken note of that somebody types.
#[derive(Debug, thiserror::Error)]
pub enum TypingError {
    /// The room is not one that the user is in.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Who types. Cheap to clone.
#[derive(Clone)]
pub struct Typing(Arc<Inner>);

struct Inner {
    reader: RoomReader,
    log: Log,
    longest: Duration,
    state: Mutex<State>,
    /// Somebody's end came nearer than the one that is waited for.
    changed: Notify,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomNid, Typists>,
    /// Rooms that are not here may have changed up to this position.
    floor: Position,
}

/// Those who type in a room.
#[derive(Default)]
struct Typists {
    /// When one of them began or ceased.
    changed: Position,
    users: BTreeMap<UserNid, Typist>,
}

struct Typist {
    id: OwnedUserId,
    /// Milliseconds since the epoch.
    until: i64,
    /// The process that ends it in time.
    owner: i64,
}

impl Typing {
    /// Who types, as the log tells; nobody types on for longer than `longest` without saying so again.
    pub async fn new(reader: RoomReader, log: Log, longest: Duration) -> Result<Self, StoreError> {
        let inner = Inner { reader, log, longest, state: Mutex::default(), changed: Notify::new() };
        let inner = Arc::new(inner);
        let applied = inner.log.register_from_here(Arc::clone(&inner) as Arc<dyn Apply>).await;
        let from = Position::new(applied.get().saturating_sub(LOOKED_BACK).max(0));
        let earlier = inner.reader.store.typing_entries(from, applied).await?;
        let mut state = inner.lock();
        state.floor = from;
        for (pos, change) in earlier {
            state.change(pos, &change);
        }
        drop(state);
        Ok(Self(inner))
    }

    /// Takes note that a user types in a room for so long, or that they ceased to. Saying again what is known
    /// writes nothing before half of the time is over.
    pub async fn set(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        timeout: Option<Duration>,
    ) -> Result<(), TypingError> {
        let sight = self.0.reader.member_sight(viewer, room).await?;
        let now = clock::now_ms();
        let until = timeout.map(|timeout| now.saturating_add(milliseconds(timeout.min(self.0.longest))));
        let known = self.0.lock().until(sight.room.nid, viewer.user);
        let is_known = match (known, until) {
            (None, None) => true,
            (Some(known), Some(until)) => known - now >= (until - now) / 2,
            _ => false,
        };
        if is_known {
            return Ok(());
        }
        let owner = self.0.log.incarnation();
        let user_id = viewer.id.to_string();
        let change = Change::SetTyping { user: viewer.user, user_id, room: sight.room.nid, until, owner };
        self.0.log.commit(Proposal::change(change)).await?;
        Ok(())
    }

    /// Who types in a room, where that changed after `since`, or where anybody does at all.
    #[must_use]
    pub fn since(&self, room: RoomNid, since: Option<Position>) -> Option<Vec<(UserNid, OwnedUserId)>> {
        let state = self.0.lock();
        let Some(typists) = state.rooms.get(&room) else {
            return since.is_some_and(|since| since < state.floor).then(Vec::new);
        };
        let wanted = since.map_or(!typists.users.is_empty(), |since| typists.changed > since);
        wanted.then(|| typists.users.iter().map(|(user, typist)| (*user, typist.id.clone())).collect())
    }

    /// The rooms in which somebody began or ceased to type after `since`.
    #[must_use]
    pub fn changed_rooms(&self, since: Position) -> Vec<RoomNid> {
        let state = self.0.lock();
        state.rooms.iter().filter(|(_, typists)| typists.changed > since).map(|(room, _)| *room).collect()
    }

    /// Ends what has had its time, until `stop` is cancelled.
    pub async fn expire(self, stop: CancellationToken) {
        loop {
            let next = self.0.lock().next_end(self.0.log.incarnation());
            let wait = next.map(|at| u64::try_from(at - clock::now_ms()).unwrap_or_default());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => continue,
                () = sleep(wait) => {}
            }
            let ended = self.0.lock().ended(self.0.log.incarnation(), clock::now_ms());
            for change in ended {
                // Tried again in the next round: the end stays due.
                if let Err(error) = self.0.log.commit(Proposal::change(change)).await {
                    tracing::warn!(%error, "somebody's end of typing was not written; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Between attempts to write an end.
const RETRY: Duration = Duration::from_secs(1);

async fn sleep(ms: Option<u64>) {
    match ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn until(&self, room: RoomNid, user: UserNid) -> Option<i64> {
        Some(self.rooms.get(&room)?.users.get(&user)?.until)
    }

    /// When this process has to end something next.
    fn next_end(&self, incarnation: i64) -> Option<i64> {
        let typists = self.rooms.values().flat_map(|typists| typists.users.values());
        typists.map(|typist| typist.end(incarnation)).min()
    }

    /// What has had its time.
    fn ended(&self, incarnation: i64, now: i64) -> Vec<Change> {
        let mut ended = Vec::new();
        for (room, typists) in &self.rooms {
            for (user, typist) in typists.users.iter().filter(|(_, typist)| typist.end(incarnation) <= now) {
                let user_id = typist.id.to_string();
                ended.push(Change::SetTyping {
                    user: *user,
                    user_id,
                    room: *room,
                    until: None,
                    owner: incarnation,
                });
            }
        }
        ended
    }

    fn change(&mut self, pos: Position, change: &Change) {
        let Change::SetTyping { user, user_id, room, until, owner } = change else { return };
        let Some(until) = *until else { return self.cease(pos, *room, *user) };
        let Ok(id) = UserId::parse(&**user_id) else { return };
        let typists = self.rooms.entry(*room).or_default();
        if typists.users.insert(*user, Typist { id, until, owner: *owner }).is_none() {
            typists.changed = pos;
        }
    }

    fn cease(&mut self, pos: Position, room: RoomNid, user: UserNid) {
        let Some(typists) = self.rooms.get_mut(&room) else { return };
        if typists.users.remove(&user).is_some() {
            typists.changed = pos;
            self.make_room();
        }
    }

    /// Forgets the rooms that are quiet for longest.
    fn make_room(&mut self) {
        let quiet = |typists: &Typists| typists.users.is_empty();
        if self.rooms.len() <= MAX_QUIET_ROOMS {
            return;
        }
        let mut changed: Vec<Position> =
            self.rooms.values().filter(|typists| quiet(typists)).map(|typists| typists.changed).collect();
        changed.sort_unstable();
        let Some(middle) = changed.get(changed.len() / 2).copied() else { return };
        self.rooms.retain(|_, typists| !quiet(typists) || typists.changed > middle);
        self.floor = self.floor.max(middle);
    }

    /// Whoever is no longer in a room does not type there.
    fn event(&mut self, pos: Position, event: &NewEvent) {
        for member in &event.members {
            if member.membership != Membership::Join {
                self.cease(pos, event.room, member.user);
            }
        }
    }
}

impl Typist {
    fn end(&self, incarnation: i64) -> i64 {
        if self.owner == incarnation { self.until } else { self.until.saturating_add(GRACE_MS) }
    }
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        match &entry.what {
            What::Change(change @ Change::SetTyping { until, .. }) => {
                self.lock().change(entry.pos, change);
                if until.is_some() {
                    self.changed.notify_one();
                }
            }
            What::Event(event) if !event.members.is_empty() => self.lock().event(entry.pos, event),
            _ => {}
        }
    }

    /// Who was known to type ends when their time is over; who began meanwhile says so again.
    fn reset(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomNid = RoomNid::new(1);

    fn typing(user: i64, until: Option<i64>) -> Change {
        let user_id = format!("@u{user}:d");
        Change::SetTyping { user: UserNid::new(user), user_id, room: ROOM, until, owner: 7 }
    }

    fn position(pos: i64) -> Position {
        Position::new(pos)
    }

    #[test]
    fn saying_again_that_one_types_changes_nothing_for_the_others() {
        let mut state = State::default();
        state.change(position(1), &typing(1, Some(1000)));
        state.change(position(2), &typing(1, Some(2000)));
        assert_eq!(state.rooms[&ROOM].changed, position(1));
        assert_eq!(state.until(ROOM, UserNid::new(1)), Some(2000));
        state.change(position(3), &typing(1, None));
        state.change(position(4), &typing(1, None));
        assert_eq!(state.rooms[&ROOM].changed, position(3));
    }

    #[test]
    fn the_process_that_took_it_ends_it_in_time_and_the_others_a_little_later() {
        let mut state = State::default();
        state.change(position(1), &typing(1, Some(1000)));
        assert_eq!((state.next_end(7), state.next_end(8)), (Some(1000), Some(1000 + GRACE_MS)));
        assert_eq!(state.ended(7, 1000).len(), 1);
        assert_eq!(state.ended(8, 1000).len(), 0);
    }

    #[test]
    fn rooms_that_are_quiet_for_long_are_forgotten_and_the_floor_says_so() {
        let mut state = State::default();
        for room in 1..=i64::try_from(MAX_QUIET_ROOMS + 10).unwrap() {
            let change = |until| Change::SetTyping {
                user: UserNid::new(1),
                user_id: "@u:d".to_owned(),
                room: RoomNid::new(room),
                until,
                owner: 7,
            };
            state.change(position(room * 2), &change(Some(1000)));
            state.change(position(room * 2 + 1), &change(None));
        }
        assert!(state.rooms.len() <= MAX_QUIET_ROOMS);
        assert!(state.floor > Position::ZERO);
        assert!(state.rooms.values().all(|typists| typists.changed > state.floor));
    }
}
