//! What others are told of everybody's presence, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use hearth_core::id::{Position, UserNid};
use hearth_store::log::Change;
use hearth_store::presence::{Presence, PresenceState};
use ruma::UserId;

use super::shown::{Names, Shown};

/// Changes remembered: what a large server hears within minutes.
const MAX_CHANGES: usize = 100_000;

/// The presence of all who are not offline, or went offline lately.
#[derive(Default)]
pub(super) struct Board {
    /// Every change above it is here; nothing is known to be complete where there is none.
    floor: Option<Position>,
    /// Whoever is not offline is here.
    filled: bool,
    shown: HashMap<UserNid, Arc<Shown>>,
    changes: VecDeque<(Position, UserNid)>,
}

impl Board {
    /// Adds what was read; what the log said meanwhile is newer and stays.
    pub(super) fn fill(&mut self, read: Vec<Presence>) {
        self.filled = true;
        for presence in read {
            if self.shown.get(&presence.user).is_none_or(|known| known.pos < presence.pos) {
                self.shown.insert(presence.user, Arc::new(presence.into()));
            }
        }
    }

    /// Takes an entry of the log.
    pub(super) fn hear(&mut self, pos: Position, change: &Change) {
        match change {
            Change::SetPresence {
                user,
                user_id,
                presence,
                status_msg,
                last_active_ts,
                currently_active,
                ..
            } => {
                let Ok(user_id) = UserId::parse(&**user_id) else { return };
                let names = self.shown.get(user).map(|shown| shown.names().clone());
                let presence = Presence {
                    user: *user,
                    user_id,
                    state: *presence,
                    status_msg: status_msg.clone(),
                    last_active_ts: *last_active_ts,
                    currently_active: *currently_active,
                    pos,
                };
                self.show(Shown::new(presence, names.unwrap_or_default()));
            }
            Change::SetProfileField { user, key, value, spread } => {
                self.rename(*user, |names| names.set(key, value.as_deref()));
                if let Some(shown) = self.of(*user).filter(|_| *spread) {
                    self.show(Shown::new(Presence { pos, ..Presence::clone(&shown) }, shown.names().clone()));
                }
            }
            Change::DeactivateAccount { user, .. } => self.rename(*user, |names| *names = Names::default()),
            _ => {}
        }
    }

    /// What is told of a user from their next change on.
    fn rename(&mut self, user: UserNid, set: impl FnOnce(&mut Names)) {
        if let Some(shown) = self.shown.get_mut(&user) {
            let mut names = shown.names().clone();
            set(&mut names);
            *shown = Arc::new(Shown::new(Presence::clone(shown), names));
        }
    }

    fn show(&mut self, shown: Shown) {
        let (pos, user) = (shown.pos, shown.user);
        self.shown.insert(user, Arc::new(shown));
        self.changes.push_back((pos, user));
        if self.changes.len() > MAX_CHANGES {
            self.forget_oldest();
        }
    }

    /// Everything after `pos` will be heard.
    pub(super) fn begin(&mut self, pos: Position) {
        self.floor.get_or_insert(pos);
    }

    /// Those of some users whose presence changed after `since`; none where memory does not reach back.
    pub(super) fn changed(&self, users: &[UserNid], since: Position) -> Option<Vec<Arc<Shown>>> {
        if self.floor.is_none_or(|floor| since < floor) {
            return None;
        }
        let shown = users.iter().filter_map(|user| self.shown.get(user));
        Some(shown.filter(|shown| shown.pos > since).cloned().collect())
    }

    /// Whether whoever is not offline is here.
    pub(super) const fn is_filled(&self) -> bool {
        self.filled
    }

    /// Everybody who is not offline; none where that is not known.
    pub(super) fn present(&self) -> Option<Vec<Arc<Shown>>> {
        let present = |shown: &&Arc<Shown>| shown.state != PresenceState::Offline;
        self.filled.then(|| self.shown.values().filter(present).cloned().collect())
    }

    /// One of them.
    pub(super) fn of(&self, user: UserNid) -> Option<Arc<Shown>> {
        self.shown.get(&user).filter(|shown| shown.state != PresenceState::Offline).cloned()
    }

    fn forget_oldest(&mut self) {
        let Some((pos, user)) = self.changes.pop_front() else { return };
        self.floor = Some(pos);
        let is_gone = |shown: &Arc<Shown>| shown.pos == pos && shown.state == PresenceState::Offline;
        if self.shown.get(&user).is_some_and(is_gone) {
            self.shown.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(user: i64, presence: PresenceState) -> Change {
        Change::SetPresence {
            user: UserNid::new(user),
            user_id: format!("@u{user}:d"),
            presence,
            status_msg: None,
            last_active_ts: 0,
            currently_active: false,
            base: Position::ZERO,
            process: 1,
            seen: presence,
            seen_active_ts: 0,
            gone: Vec::new(),
        }
    }

    #[test]
    fn everybody_is_told_of_once_as_of_their_last_change() {
        let mut board = Board::default();
        board.begin(Position::ZERO);
        for (pos, user, state) in
            [(1, 1, PresenceState::Online), (2, 2, PresenceState::Online), (3, 1, PresenceState::Offline)]
        {
            board.hear(Position::new(pos), &change(user, state));
        }
        let told = |since| -> Vec<i64> {
            let changed = board.changed(&[1, 2, 3].map(UserNid::new), Position::new(since)).unwrap();
            changed.iter().map(|told| told.user.get()).collect()
        };
        assert_eq!((told(0), told(2), told(3)), (vec![1, 2], vec![1], vec![]));
        assert_eq!(board.present(), None);
        board.fill(Vec::new());
        assert_eq!(board.present().map(|present| present.len()), Some(1));
        assert_eq!(board.of(UserNid::new(1)), None);
    }

    #[test]
    fn a_new_name_is_told_of_whoever_is_there() {
        let mut board = Board::default();
        board.begin(Position::ZERO);
        board.hear(Position::new(1), &change(1, PresenceState::Online));
        board.hear(Position::new(2), &change(2, PresenceState::Offline));
        for (pos, user, spread) in [(3, 1, true), (4, 2, true), (5, 1, false), (6, 3, true)] {
            let (key, value) = ("displayname".to_owned(), spread.then(|| "\"A\"".to_owned()));
            let named = Change::SetProfileField { user: UserNid::new(user), key, value, spread };
            board.hear(Position::new(pos), &named);
        }
        let users = [1, 2, 3].map(UserNid::new);
        let told = board.changed(&users, Position::new(2)).unwrap();
        assert_eq!(told.iter().map(|told| (told.user.get(), told.pos.get())).collect::<Vec<_>>(), [(1, 3)]);
        // Whoever was away is told with it later; one that was kept from rooms takes the older one's place.
        board.hear(Position::new(7), &change(1, PresenceState::Unavailable));
        board.hear(Position::new(8), &change(2, PresenceState::Online));
        let told = board.changed(&users, Position::new(6)).unwrap();
        let named = told.iter().map(|told| {
            let mut event = String::new();
            told.write_event(&mut event, 0);
            event.contains("\"displayname\":\"A\"")
        });
        assert_eq!(named.collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn what_is_older_than_memory_is_not_answered_from_it() {
        let mut board = Board::default();
        assert_eq!(board.changed(&[], Position::new(5)), None);
        board.begin(Position::new(5));
        assert_eq!(board.changed(&[], Position::new(4)), None);
        assert_eq!(board.changed(&[], Position::new(5)), Some(Vec::new()));
    }
}
