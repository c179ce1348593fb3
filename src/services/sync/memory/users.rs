//! The users who are connected, or were until lately: which rooms they are in.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::membership::Membership;
use hearth_store::membership::MembershipAt;
use tokio::sync::watch;

use super::counts::Counts;

/// Memberships kept of users who are not connected at the moment, some hundred bytes each: the users of a large
/// process between two of their polls, and those who are online at others.
const MAX_IDLE_MEMBERSHIPS: usize = 500_000;

/// What a user is to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) struct Member {
    /// From here on.
    pub(in crate::sync) pos: Position,
    pub(in crate::sync) membership: Membership,
    pub(in crate::sync) forgotten: bool,
}

/// A user, kept true by the log from the moment of the first registration on.
pub(super) struct Known {
    /// Wakes the polls. Counts the turns that the user had at hearing who is online.
    wake: watch::Sender<u64>,
    polls: usize,
    /// What was there before the registration was read.
    loaded: bool,
    rooms: HashMap<RoomNid, Member>,
    /// Those of them that the user is joined to, ascending.
    joined: Vec<RoomNid>,
    /// The rooms by when the membership last changed.
    moved: BTreeMap<Position, Vec<RoomNid>>,
    account_data: Position,
    sessions_closed: Position,
    counts: Counts,
    /// Counts the times that the user became idle.
    idle_since: u64,
}

#[derive(Default)]
pub(super) struct Users {
    known: HashMap<UserNid, Known>,
    /// Who of them is joined to a room.
    joined: HashMap<RoomNid, HashSet<UserNid>>,
    /// Users without a poll, the longest first; those who came back since are still named here.
    idle: VecDeque<(UserNid, u64)>,
    clock: u64,
    /// Memberships kept of users without a poll.
    idle_memberships: usize,
}

impl Users {
    /// Registers a poll. From now on the user is kept true and woken.
    pub(super) fn enter(&mut self, user: UserNid) -> watch::Receiver<u64> {
        let known = self.known.entry(user).or_insert_with(Known::new);
        if known.polls == 0 {
            self.idle_memberships -= known.rooms.len();
        }
        known.polls += 1;
        known.wake.subscribe()
    }

    /// A poll ends.
    pub(super) fn leave(&mut self, user: UserNid) {
        let Some(known) = self.known.get_mut(&user) else { return };
        known.polls = known.polls.saturating_sub(1);
        if known.polls > 0 {
            return;
        }
        if !known.loaded {
            self.remove(user);
            return;
        }
        self.clock += 1;
        known.idle_since = self.clock;
        self.idle_memberships += known.rooms.len();
        self.idle.push_back((user, self.clock));
        self.make_room();
    }

    /// Adds what was read from the database; what the log said meanwhile is newer and stays.
    pub(super) fn fill(&mut self, user: UserNid, rows: &[MembershipAt], account_data: Position) {
        for row in rows {
            let member = Member { pos: row.pos, membership: row.membership, forgotten: row.forgotten };
            self.set(user, row.room, member);
        }
        if let Some(known) = self.known.get_mut(&user) {
            known.account_data = known.account_data.max(account_data);
            known.loaded = true;
        }
    }

    /// What a user is to a room, from an entry of the log or the database.
    pub(super) fn set(&mut self, user: UserNid, room: RoomNid, member: Member) {
        let Some(known) = self.known.get_mut(&user) else { return };
        match known.rooms.get(&room) {
            Some(newer) if newer.pos >= member.pos => return,
            Some(older) => {
                let before = older.pos;
                known.forget_move(before, room);
                known.counts.renew(room, member.pos);
            }
            None if known.polls == 0 => self.idle_memberships += 1,
            None => {}
        }
        known.rooms.insert(room, member);
        known.moved.entry(member.pos).or_default().push(room);
        let place = known.joined.binary_search(&room);
        if member.membership == Membership::Join {
            if let Err(place) = place {
                known.joined.insert(place, room);
            }
            self.joined.entry(room).or_default().insert(user);
        } else {
            if let Ok(place) = place {
                known.joined.remove(place);
            }
            self.leave_room(user, room);
        }
    }

    pub(super) fn account_data_changed(&mut self, user: UserNid, pos: Position) {
        if let Some(known) = self.known.get_mut(&user) {
            known.account_data = pos;
        }
        self.wake(user);
    }

    pub(super) fn session_closed(&mut self, user: UserNid, pos: Position) {
        if let Some(known) = self.known.get_mut(&user) {
            known.sessions_closed = pos;
        }
        self.wake(user);
    }

    /// Something happened after which what a user has not read of a room must be counted anew.
    pub(super) fn renew(&mut self, user: UserNid, room: RoomNid, pos: Position) {
        if let Some(known) = self.known.get_mut(&user) {
            known.counts.renew(room, pos);
        }
    }

    /// The same for all rooms.
    pub(super) fn renew_all(&mut self, user: UserNid, pos: Position) {
        if let Some(known) = self.known.get_mut(&user) {
            known.counts.renew_all(pos);
        }
    }

    /// What a user has not read, as far as it was counted.
    pub(super) fn counts(&mut self, user: UserNid) -> Option<&mut Counts> {
        self.known.get_mut(&user).map(|known| &mut known.counts)
    }

    /// Something about a user changed that is not understood: they are to be read again.
    pub(super) fn forget(&mut self, user: UserNid, pos: Position) {
        if let Some(known) = self.known.get_mut(&user) {
            known.loaded = false;
            known.counts.renew_all(pos);
        }
        self.wake(user);
    }

    /// Entries were missed: everyone is to be read again.
    pub(super) fn forget_all(&mut self) {
        self.joined.clear();
        self.idle_memberships = 0;
        self.known.retain(|_, known| known.polls > 0);
        for known in self.known.values_mut() {
            known.loaded = false;
            known.rooms.clear();
            known.joined.clear();
            known.moved.clear();
            known.counts = Counts::default();
            known.wake.send_modify(|_| {});
        }
    }

    /// Wakes the polls of those joined to a room.
    pub(super) fn wake_room(&self, room: RoomNid) {
        for user in self.joined.get(&room).into_iter().flatten() {
            self.wake(*user);
        }
    }

    /// Wakes the polls of a user.
    pub(super) fn wake(&self, user: UserNid) {
        self.wake_with(user, |_| {});
    }

    /// Wakes the polls of a user, whose turn it is to hear who is online.
    pub(super) fn give_turn(&self, user: UserNid) {
        self.wake_with(user, |turns| *turns += 1);
    }

    fn wake_with(&self, user: UserNid, modify: impl FnOnce(&mut u64)) {
        if let Some(known) = self.known.get(&user).filter(|known| known.polls > 0) {
            known.wake.send_modify(modify);
        }
    }

    /// Of some users, those whose past must be read.
    pub(super) fn not_loaded(&self, users: &[UserNid]) -> Vec<UserNid> {
        users.iter().copied().filter(|user| self.loaded(*user).is_none()).collect()
    }

    /// A user whose past was read.
    pub(super) fn loaded(&self, user: UserNid) -> Option<&Known> {
        self.known.get(&user).filter(|known| known.loaded)
    }

    /// The connected users who are joined to a room.
    pub(super) fn connected(&self, room: RoomNid) -> impl Iterator<Item = UserNid> + '_ {
        let connected = |user: &UserNid| self.known.get(user).is_some_and(|known| known.polls > 0);
        self.joined.get(&room).into_iter().flatten().copied().filter(connected)
    }

    fn leave_room(&mut self, user: UserNid, room: RoomNid) {
        if let Some(joined) = self.joined.get_mut(&room) {
            joined.remove(&user);
            if joined.is_empty() {
                self.joined.remove(&room);
            }
        }
    }

    fn remove(&mut self, user: UserNid) {
        let Some(known) = self.known.remove(&user) else { return };
        for room in known.rooms.keys() {
            self.leave_room(user, *room);
        }
    }

    /// Forgets idle users, the longest idle first, until few enough memberships are kept.
    fn make_room(&mut self) {
        while self.idle_memberships > MAX_IDLE_MEMBERSHIPS {
            let Some((user, since)) = self.idle.pop_front() else { return };
            let Some(known) = self.known.get(&user).filter(|known| known.is_idle(since)) else { continue };
            self.idle_memberships -= known.rooms.len();
            self.remove(user);
        }
        if self.idle.len() > 2 * self.known.len() + 1 {
            let mut idle = std::mem::take(&mut self.idle);
            idle.retain(|(user, since)| self.known.get(user).is_some_and(|known| known.is_idle(*since)));
            self.idle = idle;
        }
    }
}

impl Known {
    fn new() -> Self {
        Self {
            wake: watch::Sender::new(0),
            polls: 0,
            loaded: false,
            rooms: HashMap::new(),
            joined: Vec::new(),
            moved: BTreeMap::new(),
            account_data: Position::ZERO,
            sessions_closed: Position::ZERO,
            counts: Counts::default(),
            idle_since: 0,
        }
    }

    /// What the user is to every room they ever had to do with.
    pub(super) const fn rooms(&self) -> &HashMap<RoomNid, Member> {
        &self.rooms
    }

    /// The rooms that the user is joined to, ascending.
    pub(super) fn joined(&self) -> &[RoomNid] {
        &self.joined
    }

    /// Whether the user is without a poll since then, and did not come back.
    const fn is_idle(&self, since: u64) -> bool {
        self.polls == 0 && self.idle_since == since
    }

    /// The rooms in which the membership changed after `since`.
    pub(super) fn moved_after(&self, since: Position) -> impl Iterator<Item = RoomNid> + '_ {
        self.moved.range(since.next()..).flat_map(|(_, rooms)| rooms.iter().copied())
    }

    /// When a membership last changed.
    pub(super) fn last_moved(&self) -> Position {
        self.moved.last_key_value().map_or(Position::ZERO, |(pos, _)| *pos)
    }

    /// When account data last changed.
    pub(super) const fn account_data(&self) -> Position {
        self.account_data
    }

    /// When a session was last closed, as far as the log was heard.
    pub(super) const fn sessions_closed(&self) -> Position {
        self.sessions_closed
    }

    fn forget_move(&mut self, pos: Position, room: RoomNid) {
        if let Some(rooms) = self.moved.get_mut(&pos) {
            rooms.retain(|moved| *moved != room);
            if rooms.is_empty() {
                self.moved.remove(&pos);
            }
        }
    }
}

#[cfg(test)]
mod tests;
