//! What syncs need, in memory, kept true by the log: the newest entries of every room, and the connected users.

mod counts;
mod moves;
mod recent;
mod room_set;
mod users;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_store::event::StoredEvent;
use hearth_store::log::{Change, MemberChange, NewEvent, StateChange};
use hearth_store::membership::MembershipAt;
use hearth_store::receipt::ReceiptKind;
use hearth_store::unread::Unread;
use tokio::sync::watch;

pub(super) use self::counts::Reader;
pub(super) use self::recent::Remembered;
pub(super) use self::room_set::RoomSet;
pub(super) use self::users::Member;

use self::moves::Moves;
use self::recent::Recent;
use self::users::{Known, Users};
use crate::account_data::IgnoredUsers;
use crate::log::{Apply, Logged, What};

/// The memory of one process.
pub(super) struct Memory(Mutex<Inner>);

struct Inner {
    /// The newest entry heard of; none after entries were missed.
    told: Option<Position>,
    recent: Recent,
    users: Users,
    /// Whose presence changed lately.
    moves: Moves,
    /// Whose presence changed since this was taken last.
    moved: Vec<UserNid>,
    /// Who waits, and could be told who is online, but nothing else.
    asking: HashSet<UserNid>,
}

/// Which of some users are in some rooms.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Those who are.
    pub(super) inside: HashSet<UserNid>,
    /// Those of whom memory does not know.
    pub(super) unknown: Vec<UserNid>,
}

/// Users whose past must be read before memory can tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotLoaded(pub(super) Vec<UserNid>);

/// What concerns a user, as of one position.
#[derive(Debug)]
pub(super) struct Sample {
    /// That position.
    pub(super) upto: Position,
    /// What concerns them.
    pub(super) rooms: Concerned,
    /// Their account data changed.
    pub(super) account_data: bool,
    /// When a session of theirs was last closed.
    pub(super) sessions_closed: Position,
}

/// Everything that a user has to do with, and what concerns them since a position, as of one position.
#[derive(Debug)]
pub(super) struct Survey {
    /// Every room they ever had to do with.
    pub(super) rooms: Vec<(RoomNid, Member)>,
    /// What concerns them since.
    pub(super) sample: Sample,
    /// When their account data last changed.
    pub(super) account_data: Position,
    /// When a membership of theirs last changed.
    pub(super) moved: Position,
}

/// The rooms that concern a user.
#[derive(Debug)]
pub(super) enum Concerned {
    /// At a first sync: all they ever had to do with.
    All(Vec<(RoomNid, Member)>),
    /// Since a position.
    Since {
        /// Rooms in which their membership changed.
        moved: Vec<RoomNid>,
        /// Other rooms they are joined to.
        joined: Joined,
    },
}

/// Rooms that a user was joined to all the while.
#[derive(Debug)]
pub(super) enum Joined {
    /// Those in which something happened.
    Changed(Vec<RoomNid>),
    /// All of them: memory does not reach back far enough to tell in which something happened.
    All(Vec<RoomNid>),
}

impl Memory {
    /// Remembers nothing.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner {
            told: None,
            recent: Recent::new(),
            users: Users::default(),
            moves: Moves::default(),
            moved: Vec::new(),
            asking: HashSet::new(),
        }))
    }

    /// Everything after `applied` will be heard.
    pub(super) fn begin(&self, applied: Position) {
        let mut inner = self.lock();
        if inner.told.is_none() {
            inner.told = Some(applied);
            inner.recent.begin(applied);
            inner.moves.begin(applied);
        }
    }

    /// Registers a poll of a user.
    pub(super) fn enter(&self, user: UserNid) -> watch::Receiver<u64> {
        self.lock().users.enter(user)
    }

    /// Ends a poll of a user.
    pub(super) fn leave(&self, user: UserNid) {
        self.lock().users.leave(user);
    }

    /// Of some registered users, those whose past must be read.
    pub(super) fn not_loaded(&self, users: &[UserNid]) -> Vec<UserNid> {
        self.lock().users.not_loaded(users)
    }

    /// Adds a registered user's past.
    pub(super) fn fill(&self, user: UserNid, rows: &[MembershipAt], account_data: Position) {
        let mut inner = self.lock();
        let Inner { users, moves, .. } = &mut *inner;
        users.fill(user, rows, account_data);
        if let Some(known) = users.loaded(user) {
            moves.place(user, known.joined());
        }
    }

    /// What concerns a registered user since a position, or at all; none where their past must be read first.
    ///
    /// `least` is a position that the log has reached. With `all_joined`, rooms without changes are named too.
    pub(super) fn sample(
        &self,
        user: UserNid,
        since: Option<Position>,
        least: Position,
        all_joined: bool,
    ) -> Option<Sample> {
        let inner = self.lock();
        Some(inner.sample(inner.users.loaded(user)?, since, least, all_joined))
    }

    /// Everything that a registered user has to do with, and what concerns them since a position; none where
    /// their past must be read first. `least` is a position that the log has reached.
    pub(super) fn survey(&self, user: UserNid, since: Position, least: Position) -> Option<Survey> {
        let inner = self.lock();
        let known = inner.users.loaded(user)?;
        Some(Survey {
            rooms: known.rooms().iter().map(|(room, member)| (*room, *member)).collect(),
            sample: inner.sample(known, Some(since), least, false),
            account_data: known.account_data(),
            moved: known.last_moved(),
        })
    }

    /// At most `limit` events of a room in `(after, upto]`, as far as they are remembered.
    pub(super) fn history(
        &self,
        room: RoomNid,
        (after, upto): (Position, Position),
        limit: usize,
    ) -> Remembered {
        self.lock().recent.history(room, after, upto, limit)
    }

    /// The state that was current in a room at a position, where it is remembered.
    pub(super) fn state_at(&self, room: RoomNid, pos: Position) -> Option<StateChange> {
        self.lock().recent.state_at(room, pos)
    }

    /// Whether it is known that a room's state did not change in `(after, upto]`.
    pub(super) fn is_state_unchanged(&self, room: RoomNid, (after, upto): (Position, Position)) -> bool {
        self.lock().recent.is_state_unchanged(room, after, upto)
    }

    /// Takes note of a state that was read.
    pub(super) fn learn_state(&self, room: RoomNid, pos: Position, state: StateChange) {
        self.lock().recent.learn_state(room, pos, state);
    }

    /// The rooms that a registered user is joined to.
    pub(super) fn joined_rooms(&self, user: UserNid) -> Result<RoomSet, NotLoaded> {
        let inner = self.lock();
        let known = inner.users.loaded(user).ok_or_else(|| NotLoaded(vec![user]))?;
        Ok(RoomSet::new(known.joined().to_vec()))
    }

    /// Which of some users are joined to one of some rooms.
    pub(super) fn are_in(&self, users: &[UserNid], rooms: &RoomSet) -> Inside {
        let inner = self.lock();
        let mut found = Inside::default();
        for user in users {
            match inner.users.loaded(*user) {
                Some(known) if rooms.meets(known.joined()) => _ = found.inside.insert(*user),
                Some(_) => {}
                None => found.unknown.push(*user),
            }
        }
        found
    }

    /// The rooms that some users are joined to.
    pub(super) fn rooms_of(&self, users: &[UserNid]) -> Result<HashSet<RoomNid>, NotLoaded> {
        let inner = self.lock();
        let not_loaded = inner.users.not_loaded(users);
        if !not_loaded.is_empty() {
            return Err(NotLoaded(not_loaded));
        }
        let known = users.iter().filter_map(|user| inner.users.loaded(*user));
        Ok(known.flat_map(Known::joined).copied().collect())
    }

    /// Whose presence last changed after one position and up to another, of a registered user and of those in a room
    /// with them; none where memory does not reach back so far.
    pub(super) fn presences_changed(
        &self,
        reader: UserNid,
        span: (Position, Position),
    ) -> Result<Option<Vec<UserNid>>, NotLoaded> {
        let inner = self.lock();
        let Some(known) = inner.users.loaded(reader) else { return Err(NotLoaded(vec![reader])) };
        inner.moves.since(reader, known.joined(), span)
    }

    /// Whose presence changed since this was asked last.
    pub(super) fn take_moved(&self) -> Vec<UserNid> {
        std::mem::take(&mut self.lock().moved)
    }

    /// Hands over the connected users who are joined to a room.
    pub(super) fn for_each_connected(&self, room: RoomNid, take: impl FnMut(UserNid)) {
        self.lock().users.connected(room).for_each(take);
    }

    /// A user who waits asks for a turn at hearing who is online.
    pub(super) fn ask_turn(&self, user: UserNid) {
        self.lock().asking.insert(user);
    }

    /// Who asked for a turn since this was asked last.
    pub(super) fn take_asking(&self) -> HashSet<UserNid> {
        std::mem::take(&mut self.lock().asking)
    }

    /// Wakes the polls of users, whose turn it is to hear who is online.
    pub(super) fn give_turns(&self, users: &[UserNid]) {
        let inner = self.lock();
        for user in users {
            inner.users.give_turn(*user);
        }
    }

    /// What of rooms is unread, as far as memory can tell.
    pub(super) fn unread(&self, reader: Reader<'_>, rooms: &[RoomNid]) -> HashMap<RoomNid, Unread> {
        let mut inner = self.lock();
        let Inner { recent, users, .. } = &mut *inner;
        let Some(counts) = users.counts(reader.user) else { return HashMap::new() };
        let carried = |room: &RoomNid| Some((*room, counts.carry_on(*room, recent, reader)?));
        rooms.iter().filter_map(carried).collect()
    }

    /// Takes note of what was counted as of a position.
    pub(super) fn keep_unread(&self, user: UserNid, counted: &HashMap<RoomNid, Unread>, as_of: Position) {
        let mut inner = self.lock();
        let Some(counts) = inner.users.counts(user) else { return };
        for (room, unread) in counted {
            counts.keep(*room, unread.clone(), as_of);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What concerns a user since a position, or at all.
    fn sample(&self, known: &Known, since: Option<Position>, least: Position, all_joined: bool) -> Sample {
        let rooms = match since {
            None => Concerned::All(known.rooms().iter().map(|(room, member)| (*room, *member)).collect()),
            Some(since) => {
                let moved = known.moved_after(since).collect();
                Concerned::Since { moved, joined: self.joined_since(known, since, all_joined) }
            }
        };
        Sample {
            upto: self.told.unwrap_or(least).max(least),
            rooms,
            account_data: since.is_none_or(|since| known.account_data() > since),
            sessions_closed: known.sessions_closed(),
        }
    }

    /// The rooms that a user was joined to since before `since`.
    fn joined_since(&self, known: &Known, since: Position, all: bool) -> Joined {
        let stays = |room: &RoomNid| {
            known
                .rooms()
                .get(room)
                .is_some_and(|member| member.membership == Membership::Join && member.pos <= since)
        };
        if all || !self.recent.covers(since) {
            return Joined::All(known.rooms().keys().copied().filter(stays).collect());
        }
        if self.recent.count_after(since) > known.rooms().len() {
            let changed = known.rooms().keys().copied().filter(|room| self.recent.changed(*room, since));
            return Joined::Changed(changed.filter(stays).collect());
        }
        let mut changed: Vec<RoomNid> = self.recent.rooms_after(since).filter(stays).collect();
        changed.sort_unstable();
        changed.dedup();
        Joined::Changed(changed)
    }

    fn event(&mut self, pos: Position, event: &NewEvent) {
        let stored = StoredEvent::appended(event, pos);
        self.recent.push(event.room, stored, event.state, event.weight.clone());
        if let Some(target) = event.redacts.as_ref().and_then(|redacts| redacts.applies_to) {
            self.recent.redact(event.room, target, event.nid);
        }
        self.users.wake_room(event.room);
        for change in &event.members {
            self.member(pos, event.room, change);
        }
    }

    fn member(&mut self, pos: Position, room: RoomNid, change: &MemberChange) {
        let member = Member { pos, membership: change.membership, forgotten: change.forgotten };
        self.users.set(change.user, room, member);
        self.moves.set(change.user, room, change.membership == Membership::Join);
        self.users.wake(change.user);
    }

    fn change(&mut self, pos: Position, change: &Change) {
        match change {
            Change::SetAccountData { user, room, r#type, .. } => {
                if IgnoredUsers::is_list(*room, r#type) {
                    self.users.renew_all(*user, pos);
                }
                self.users.account_data_changed(*user, pos);
            }
            Change::SetTag { user, .. } => {
                self.users.account_data_changed(*user, pos);
            }
            Change::CloseSession { user, .. }
            | Change::DeactivateAccount { user, .. }
            | Change::RestrictAccount { user, locked: Some(true), .. } => {
                self.users.session_closed(*user, pos);
            }
            Change::SetTyping { room, .. } => {
                self.recent.note(*room, pos);
                self.users.wake_room(*room);
            }
            Change::SetReceipt { user, room, kind, .. } => {
                self.recent.note(*room, pos);
                self.users.renew(*user, *room, pos);
                match kind {
                    ReceiptKind::Public => self.users.wake_room(*room),
                    ReceiptKind::Private => self.users.wake(*user),
                }
            }
            // Whoever is there is shown with the name that they gave themselves.
            Change::SetPresence { user, .. } | Change::SetProfileField { user, spread: true, .. } => {
                let joined = self.users.loaded(*user).map(Known::joined);
                self.moves.hear(pos, *user, joined);
                self.moved.push(*user);
            }
            _ => {}
        }
    }
}

impl Apply for Memory {
    fn apply(&self, entry: &Logged) {
        let mut inner = self.lock();
        inner.told = Some(entry.pos);
        inner.moves.begin(entry.pos.previous());
        match &entry.what {
            What::Event(event) => inner.event(entry.pos, event),
            What::Membership(change) => {
                if let Some(room) = entry.room {
                    inner.member(entry.pos, room, change);
                }
            }
            What::Change(change) => inner.change(entry.pos, change),
            What::Unknown => {
                if let Some(room) = entry.room {
                    inner.recent.forget(room, entry.pos);
                    inner.users.wake_room(room);
                }
                if let Some(user) = entry.subject {
                    inner.users.forget(user, entry.pos);
                    inner.moves.unplace(user);
                }
            }
        }
    }

    fn reset(&self) {
        let mut inner = self.lock();
        inner.told = None;
        inner.recent.clear();
        inner.moves = Moves::default();
        inner.users.forget_all();
    }
}

/// A poll's place among the connected: as long as it lives, its user is kept true and woken.
pub(super) struct Connection {
    memory: Arc<Memory>,
    user: UserNid,
    woken: watch::Receiver<u64>,
    /// The turns at hearing who is online when it began, and at the last look.
    turns: (u64, u64),
}

impl Connection {
    /// Registers a poll of `user`.
    pub(super) fn open(memory: &Arc<Memory>, user: UserNid) -> Self {
        let woken = memory.enter(user);
        let turns = *woken.borrow();
        Self { woken, memory: Arc::clone(memory), user, turns: (turns, turns) }
    }

    /// What woke it so far is about to be looked at.
    pub(super) fn look(&mut self) {
        self.turns.1 = *self.woken.borrow_and_update();
    }

    /// Whether, at the last look, its user had a turn at hearing who is online since it began; else they ask for it.
    pub(super) fn has_turn(&self) -> bool {
        let has_turn = self.turns.1 > self.turns.0;
        if !has_turn {
            self.memory.ask_turn(self.user);
        }
        has_turn
    }

    /// Waits until something concerns the user that was not looked at.
    pub(super) async fn woken(&mut self) {
        if self.woken.changed().await.is_err() {
            // The memory dropped the user, which it does only after the last connection's end.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.memory.leave(self.user);
    }
}
