//! What changed for a reader since a position: the part that every kind of sync shares.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_core::push_rules;
use hearth_core::sync_filter::{Candidate, EventFilter, RoomFilter};
use hearth_store::StoreError;
use hearth_store::account_data::{AccountData, GLOBAL};
use hearth_store::event::StoredEvent;
use hearth_store::membership::MembershipAt;
use hearth_store::room::Room;
use hearth_store::unread::Unread;
use quick_cache::sync::Cache;
use ruma::RoomId;
use tokio::sync::Mutex;

use super::SyncError;
use super::ephemeral::{Ephemeral, Passing};
use super::heroes::Heroes;
use super::memory::{Concerned, Connection, Joined, Member, Memory, NotLoaded, Sample, Survey};
use super::plan::{Plan, Section, Span, is_wanted_first, plan};
use super::sliding::Sliding;
use super::state::Summary;
use super::timeline::Timeline;
use super::turns::Turns;
use crate::ephemeral::presence::Shown as ShownPresence;
use crate::log::Log;
use crate::rooms::RoomReader;
use crate::rooms::client_view::Beside;
use crate::rooms::viewer::Viewer;
use crate::rooms::visible::Seen;

/// Rooms whose id and version are kept; they never change.
const ROOMS: usize = 100_000;

/// Users whose rooms are read by one statement.
const USERS_AT_ONCE: usize = 256;

/// How often a user is read before a sync gives up: once, unless the log was missed or misunderstood meanwhile.
const LOADS: usize = 3;

/// How long this process may take to apply what is committed already. It takes milliseconds unless the process
/// or the database is in trouble.
const APPLY_PATIENCE: Duration = Duration::from_secs(10);

/// What the engine stands on.
pub(super) struct Engine {
    pub(super) reader: RoomReader,
    pub(super) log: Log,
    pub(super) passing: Passing,
    pub(super) memory: Arc<Memory>,
    pub(super) heroes: Arc<Heroes>,
    /// At reading the states of rooms.
    pub(super) turns: Turns,
    /// At reading what users are to their rooms who need not be connected.
    reading_others: Mutex<()>,
    pub(super) rooms: Cache<RoomNid, Arc<Room>>,
    pub(super) sliding: Sliding,
}

/// What of a room's changes is wanted, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// Which rooms, and which events of them.
    pub(super) rooms: &'a RoomFilter,
    /// Which account data of the whole account.
    pub(super) account_data: &'a EventFilter,
    /// Whose presence.
    pub(super) presence: &'a EventFilter,
    /// The most events of a timeline.
    pub(super) limit: usize,
    /// All state of all joined rooms, whatever is known already.
    pub(super) full_state: bool,
    /// State as of the end of the timeline, not of its start.
    pub(super) state_at_end: bool,
}

/// What changed.
#[derive(Debug)]
pub(super) struct Changes {
    /// As of here.
    pub(super) upto: Position,
    pub(super) rooms: Vec<RoomChanges>,
    /// Of the whole account.
    pub(super) account_data: Vec<AccountData>,
    /// Who is online.
    pub(super) presence: Vec<Arc<ShownPresence>>,
    /// What is told beside the events of timelines.
    pub(super) beside: Beside,
    /// What is told beside the events of states.
    pub(super) beside_state: Beside,
    /// When a session of the user was last closed.
    pub(super) sessions_closed: Position,
}

/// What changed in a room.
#[derive(Debug)]
pub(super) struct RoomChanges {
    pub(super) plan: Plan,
    pub(super) room: Arc<Room>,
    pub(super) timeline: Timeline,
    pub(super) state: Vec<Arc<StoredEvent>>,
    pub(super) summary: Option<Summary>,
    pub(super) account_data: Vec<AccountData>,
    /// What passed.
    pub(super) ephemeral: Ephemeral,
    /// For those who are in: what they have not read.
    pub(super) unread: Option<Unread>,
    /// For those who are not in: what they are told of the room, each a JSON object.
    pub(super) stripped: Vec<String>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty_but_for_presence() && self.presence.is_empty()
    }

    pub(super) fn is_empty_but_for_presence(&self) -> bool {
        self.rooms.is_empty() && self.account_data.is_empty()
    }
}

impl RoomChanges {
    fn new(plan: Plan, room: Arc<Room>) -> Self {
        Self {
            timeline: Timeline::empty(plan.upto),
            plan,
            room,
            state: Vec::new(),
            summary: None,
            account_data: Vec::new(),
            ephemeral: Ephemeral::default(),
            unread: None,
            stripped: Vec::new(),
        }
    }

    /// Whether the reader's other devices have to hear that they read.
    pub(super) fn was_read(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| Some(unread.read) > self.plan.since)
    }

    /// Whether there is nothing to tell.
    fn is_empty(&self) -> bool {
        self.plan.section == Section::Join
            && self.plan.since.is_some()
            && self.timeline.is_empty()
            && self.state.is_empty()
            && self.summary.is_none()
            && self.account_data.is_empty()
            && self.ephemeral.is_empty()
            && !self.was_read()
    }
}

impl Engine {
    pub(super) fn new(reader: RoomReader, log: Log, passing: Passing, sliding: Sliding) -> Self {
        let memory = Arc::new(Memory::new());
        let heroes = Arc::new(Heroes::new(reader.store.clone()));
        let (turns, reading_others, rooms) = (Turns::new(), Mutex::default(), Cache::new(ROOMS));
        Self { reader, log, passing, memory, heroes, turns, reading_others, rooms, sliding }
    }

    /// Reads what registered users are to their rooms, where it is not in memory.
    pub(super) async fn load(&self, users: &[UserNid]) -> Result<(), SyncError> {
        let missing = self.memory.not_loaded(users);
        if missing.is_empty() {
            return Ok(());
        }
        let rows = self.reader.store.memberships_of_all(&missing).await?;
        let account_data = self.reader.store.account_data_changed(&missing).await?;
        // What was read may be ahead of what this process has applied; memory must be of one position.
        let newest = rows.iter().map(|row| row.pos).max().unwrap_or(Position::ZERO);
        self.wait_applied(newest).await?;
        let mut of_users: HashMap<UserNid, Vec<MembershipAt>> = HashMap::new();
        for row in rows {
            of_users.entry(row.user).or_default().push(row);
        }
        for user in missing {
            let rows = of_users.remove(&user).unwrap_or_default();
            let account_data = account_data.get(&user).copied().unwrap_or(Position::ZERO);
            self.memory.fill(user, &rows, account_data);
        }
        Ok(())
    }

    /// What memory tells of users who need not be connected, and are read where they are not in memory.
    pub(super) async fn of_others<T>(
        &self,
        take: impl Fn(&Memory) -> Result<T, NotLoaded> + Send,
    ) -> Result<T, SyncError> {
        // Memory holds the rooms of whoever is connected, and of others for as long as they are asked for.
        let mut asked_for = Vec::new();
        for _ in 0..LOADS {
            let NotLoaded(users) = match take(&self.memory) {
                Ok(taken) => return Ok(taken),
                Err(not_loaded) => not_loaded,
            };
            // Many come to ask for the same; whoever had to wait finds most of it read.
            let _turn = self.reading_others.lock().await;
            asked_for.extend(users.iter().map(|user| Connection::open(&self.memory, *user)));
            for some in users.chunks(USERS_AT_ONCE) {
                self.load(some).await?;
            }
        }
        take(&self.memory).map_err(|NotLoaded(_)| SyncError::Behind)
    }

    /// Refuses a position that nobody was ever given, and waits for one that this process has not come to.
    pub(super) async fn check(&self, since: Option<Position>) -> Result<(), SyncError> {
        let Some(since) = since else { return Ok(()) };
        if !self.log.is_known(since).await? {
            return Err(SyncError::UnknownToken);
        }
        self.wait_applied(since).await
    }

    /// Waits until this process has applied what others may have seen already.
    pub(super) async fn wait_applied(&self, pos: Position) -> Result<(), SyncError> {
        let applied = self.log.wait_applied(pos);
        tokio::time::timeout(APPLY_PATIENCE, applied).await.map_err(|_| SyncError::Behind)
    }

    /// What changed for a reader since a position, as of now.
    ///
    /// The connection is looked at first: what happens from then on wakes it.
    pub(super) async fn changes(
        &self,
        connection: &mut Connection,
        viewer: &Viewer,
        since: Option<Position>,
        view: View<'_>,
    ) -> Result<Changes, SyncError> {
        let sample = self.sample(connection, viewer, since, view.full_state).await?;
        let span = Span { since, upto: sample.upto };
        let mut account_data = self.account_data(viewer, span, &sample).await?;
        let also = account_data.keys().copied().collect();
        let plans = self.plans(viewer, span, &sample, view, also).await?;
        let mut rooms = self.wanted(plans, view).await?;
        self.fill_timelines(viewer, &mut rooms, view).await?;
        self.fill_states(viewer, &mut rooms, view).await?;
        self.fill_stripped(viewer, &mut rooms).await?;
        self.fill_ephemeral(viewer, &mut rooms, view).await?;
        self.fill_unread(viewer, &mut rooms, sample.upto).await?;
        for room in &mut rooms {
            if matches!(room.plan.section, Section::Join | Section::Leave) {
                let pieces = account_data.remove(&room.plan.room).unwrap_or_default();
                room.account_data = pieces
                    .into_iter()
                    .filter(|piece| wants_piece(&view.rooms.account_data, piece, Some(&room.room.id)))
                    .collect();
            }
        }
        let presence = self.presence(viewer, span, &rooms, view).await?;
        rooms.retain(|room| !room.is_empty());
        let mut account_data = account_data.remove(&GLOBAL).unwrap_or_default();
        account_data.retain(|piece| wants_piece(view.account_data, piece, None));
        let beside = self.reader.beside(&all_told(&rooms)).await?;
        let beside_state = self.reader.beside_state(&all_state(&rooms)).await?;
        Ok(Changes {
            upto: sample.upto,
            rooms,
            account_data,
            presence,
            beside,
            beside_state,
            sessions_closed: sample.sessions_closed,
        })
    }

    async fn sample(
        &self,
        connection: &mut Connection,
        viewer: &Viewer,
        since: Option<Position>,
        all_joined: bool,
    ) -> Result<Sample, SyncError> {
        let sample = |least| self.memory.sample(viewer.user, since, least, all_joined);
        self.loaded(connection, viewer, since.unwrap_or(Position::ZERO), sample).await
    }

    /// Everything that a reader has to do with, and what concerns them since a position.
    pub(super) async fn survey(
        &self,
        connection: &mut Connection,
        viewer: &Viewer,
        since: Position,
    ) -> Result<Survey, SyncError> {
        let survey = |least| self.memory.survey(viewer.user, since, least);
        self.loaded(connection, viewer, since, survey).await
    }

    /// What memory tells of a reader, who is read first where need be.
    async fn loaded<T>(
        &self,
        connection: &mut Connection,
        viewer: &Viewer,
        since: Position,
        take: impl Fn(Position) -> Option<T> + Send,
    ) -> Result<T, SyncError> {
        for _ in 0..LOADS {
            self.load(&[viewer.user]).await?;
            connection.look();
            if let Some(taken) = take(since.max(self.log.applied())) {
                return Ok(taken);
            }
        }
        Err(SyncError::Behind)
    }

    /// The account data that changed, by room.
    async fn account_data(
        &self,
        viewer: &Viewer,
        span: Span,
        sample: &Sample,
    ) -> Result<HashMap<RoomNid, Vec<AccountData>>, StoreError> {
        let mut by_room: HashMap<RoomNid, Vec<AccountData>> = HashMap::new();
        if sample.account_data {
            let since = span.since.unwrap_or(Position::ZERO);
            for piece in self.reader.store.account_data_since(viewer.user, since).await? {
                // At a first sync there is nothing to take back.
                if piece.content.is_some() || span.since.is_some() {
                    by_room.entry(piece.room).or_default().push(piece);
                }
            }
        }
        if span.since.is_none() {
            by_room.entry(GLOBAL).or_default().push(rules(viewer));
        }
        Ok(by_room)
    }

    /// The plans of all rooms that a reader may have to hear of; `also` are rooms in which something changed
    /// that is not in the timeline.
    async fn plans(
        &self,
        viewer: &Viewer,
        span: Span,
        sample: &Sample,
        view: View<'_>,
        also: Vec<RoomNid>,
    ) -> Result<Vec<Plan>, StoreError> {
        let include_leave = view.rooms.include_leave;
        let (mut plans, mut asked) = match &sample.rooms {
            Concerned::All(all) => first_plans(all, span, include_leave),
            Concerned::Since { moved, joined } => {
                let since = span.since.unwrap_or(Position::ZERO);
                let joined = self.changed(joined, span, view.full_state).await?;
                let plans = joined.into_iter().map(|room| Plan::stayed(room, since, span.upto)).collect();
                (plans, moved.clone())
            }
        };
        let planned: HashSet<RoomNid> = plans.iter().map(|plan: &Plan| plan.room).collect();
        asked.extend(also);
        asked.retain(|room| *room != GLOBAL && !planned.contains(room));
        asked.sort_unstable();
        asked.dedup();
        if !asked.is_empty() {
            let rows = self.reader.store.memberships_in(viewer.user, &asked, span.upto).await?;
            let of_rooms = rows.chunk_by(|a: &MembershipAt, b: &MembershipAt| a.room == b.room);
            plans.extend(of_rooms.filter_map(|rows| plan(rows, span, include_leave)));
        }
        Ok(plans)
    }

    /// Of the rooms a reader stayed in, those to be looked at.
    pub(super) async fn changed(
        &self,
        joined: &Joined,
        span: Span,
        all: bool,
    ) -> Result<Vec<RoomNid>, StoreError> {
        match joined {
            Joined::Changed(rooms) => Ok(rooms.clone()),
            Joined::All(rooms) if all || rooms.is_empty() => Ok(rooms.clone()),
            Joined::All(rooms) => {
                let since = span.since.unwrap_or(Position::ZERO);
                let mut changed = self.reader.store.changed_rooms(rooms, since, span.upto).await?;
                changed.extend(self.rooms_with_typing(rooms, since));
                changed.sort_unstable();
                changed.dedup();
                Ok(changed)
            }
        }
    }

    /// What never changes about rooms.
    pub(super) async fn rooms_of(&self, nids: &[RoomNid]) -> Result<HashMap<RoomNid, Arc<Room>>, StoreError> {
        let mut rooms: HashMap<RoomNid, Arc<Room>> = HashMap::with_capacity(nids.len());
        let mut missing: Vec<RoomNid> = Vec::new();
        for nid in nids {
            match self.rooms.get(nid) {
                Some(room) => drop(rooms.insert(*nid, room)),
                None => missing.push(*nid),
            }
        }
        if !missing.is_empty() {
            for room in self.reader.store.rooms(&missing).await? {
                let room = Arc::new(room);
                self.rooms.insert(room.nid, Arc::clone(&room));
                rooms.insert(room.nid, room);
            }
        }
        Ok(rooms)
    }

    /// The rooms of plans, but for those that the filter leaves out.
    pub(super) async fn wanted(
        &self,
        plans: Vec<Plan>,
        view: View<'_>,
    ) -> Result<Vec<RoomChanges>, StoreError> {
        let nids: Vec<RoomNid> = plans.iter().map(|plan| plan.room).collect();
        let rooms = self.rooms_of(&nids).await?;
        let mut wanted = Vec::with_capacity(plans.len());
        for plan in plans {
            let room = rooms.get(&plan.room).cloned();
            let room = room.ok_or_else(|| StoreError::corrupt("room", plan.room))?;
            if view.rooms.wants_room(&room.id) {
                wanted.push(RoomChanges::new(plan, room));
            }
        }
        Ok(wanted)
    }
}

/// The events of all timelines.
fn all_told(rooms: &[RoomChanges]) -> Vec<&Seen> {
    rooms.iter().flat_map(|room| &room.timeline.events).map(|told| &told.seen).collect()
}

/// The events of all states.
fn all_state(rooms: &[RoomChanges]) -> Vec<&StoredEvent> {
    rooms.iter().flat_map(|room| &room.state).map(Arc::as_ref).collect()
}

/// The plans of a first sync that need nothing more to be read, and the rooms whose plans do.
fn first_plans(all: &[(RoomNid, Member)], span: Span, include_leave: bool) -> (Vec<Plan>, Vec<RoomNid>) {
    let (mut plans, mut asked) = (Vec::new(), Vec::new());
    for (room, member) in all.iter().filter(|(_, member)| is_wanted_first(member, include_leave)) {
        if member.membership == Membership::Join {
            plans.push(Plan::entered(*room, member.pos, span.upto));
        } else {
            asked.push(*room);
        }
    }
    (plans, asked)
}

/// The push rules of a user, as account data.
pub(super) fn rules(viewer: &Viewer) -> AccountData {
    let rules = serde_json::Value::Object(push_rules::content(&viewer.id));
    AccountData {
        room: GLOBAL,
        data_type: "m.push_rules".to_owned(),
        content: Some(rules.to_string()),
        pos: Position::ZERO,
    }
}

/// Whether a filter lets a piece of account data through.
fn wants_piece(filter: &EventFilter, piece: &AccountData, room: Option<&RoomId>) -> bool {
    let candidate = Candidate { event_type: &piece.data_type, sender: None, room_id: room, content: None };
    filter.matches(candidate)
}
