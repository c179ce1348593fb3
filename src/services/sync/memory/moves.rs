//! Whose presence changed lately, by the rooms they are in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use hearth_core::id::{Position, RoomNid, UserNid};

use super::NotLoaded;
use super::room_set::RoomSet;

/// Rooms kept of those whose presence changed, some fifty bytes each.
const MAX_PLACES: usize = 1_000_000;

/// The last change of each user's presence, kept true by the log.
///
/// A reader is told of whoever is in one of their rooms. Few changes are compared with the reader's rooms; in a
/// crowd the rooms say who changed in them.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Every change above it is here; nothing is known to be complete where there is none.
    floor: Option<Position>,
    moved: HashMap<UserNid, Moved>,
    order: BTreeMap<Position, UserNid>,
    /// Who changed in a room, and when, oldest first: each user's last change.
    rooms: HashMap<RoomNid, VecDeque<(Position, UserNid)>>,
    /// Those whose rooms were not known when their presence changed.
    unplaced: BTreeMap<Position, UserNid>,
    places: usize,
}

#[derive(Debug)]
struct Moved {
    pos: Position,
    /// The rooms they are joined to, ascending; none where these are not known.
    rooms: Option<Vec<RoomNid>>,
}

impl Moves {
    /// Everything after `pos` will be heard.
    pub(super) fn begin(&mut self, pos: Position) {
        self.floor.get_or_insert(pos);
    }

    /// A user's presence changed, who is joined to these rooms, as far as that is known.
    pub(super) fn hear(&mut self, pos: Position, user: UserNid, rooms: Option<&[RoomNid]>) {
        self.remove(user);
        self.moved.insert(user, Moved { pos, rooms: None });
        self.order.insert(pos, user);
        self.unplaced.insert(pos, user);
        if let Some(rooms) = rooms {
            self.place(user, rooms);
        }
        while self.places > MAX_PLACES {
            let Some((pos, user)) = self.order.pop_first() else { return };
            self.floor = Some(pos);
            self.remove(user);
        }
    }

    /// The rooms that a user is joined to are these, if it was not known.
    pub(super) fn place(&mut self, user: UserNid, rooms: &[RoomNid]) {
        let Some(moved) = self.moved.get_mut(&user).filter(|moved| moved.rooms.is_none()) else { return };
        moved.rooms = Some(rooms.to_vec());
        self.unplaced.remove(&moved.pos);
        let pos = moved.pos;
        self.places += rooms.len() + 1;
        for room in rooms {
            self.enter_room(pos, user, *room);
        }
    }

    /// The rooms of a user are not known any more.
    pub(super) fn unplace(&mut self, user: UserNid) {
        if let Some(moved) = self.moved.get(&user) {
            self.hear(moved.pos, user, None);
        }
    }

    /// A user whose rooms are known joined a room, or is not joined to it any more.
    pub(super) fn set(&mut self, user: UserNid, room: RoomNid, is_joined: bool) {
        let Some(moved) = self.moved.get_mut(&user) else { return };
        let (pos, Some(rooms)) = (moved.pos, &mut moved.rooms) else { return };
        match (rooms.binary_search(&room), is_joined) {
            (Err(place), true) => {
                rooms.insert(place, room);
                self.places += 1;
                self.enter_room(pos, user, room);
            }
            (Ok(place), false) => {
                rooms.remove(place);
                self.places -= 1;
                self.leave_room(pos, room);
            }
            _ => {}
        }
    }

    /// Whose presence last changed in `(since, upto]`, of the reader and of those in a room with them. Who changed
    /// again after it is told of from there on. None where memory does not reach back so far.
    pub(super) fn since(
        &self,
        reader: UserNid,
        joined: &[RoomNid],
        (since, upto): (Position, Position),
    ) -> Result<Option<Vec<UserNid>>, NotLoaded> {
        if self.floor.is_none_or(|floor| since < floor) {
            return Ok(None);
        }
        if since >= upto {
            return Ok(Some(Vec::new()));
        }
        let newer = since.next()..=upto;
        if self.order.range(newer.clone()).next().is_none() {
            return Ok(Some(Vec::new()));
        }
        let unplaced: Vec<UserNid> = self.unplaced.range(newer.clone()).map(|(_, user)| *user).collect();
        if !unplaced.is_empty() {
            return Err(NotLoaded(unplaced));
        }
        let changed = self.order.range(newer.clone()).map(|(_, user)| *user);
        let mut found: Vec<UserNid> = if changed.clone().take(joined.len()).count() < joined.len() {
            let joined = RoomSet::new(joined.to_vec());
            let shares = |user: &UserNid| {
                let rooms = self.moved.get(user).and_then(|moved| moved.rooms.as_deref());
                *user == reader || rooms.is_some_and(|rooms| joined.meets(rooms))
            };
            changed.filter(shares).collect()
        } else {
            let of_room = |room| {
                let changed = self.rooms.get(room).into_iter().flat_map(|changed| changed.iter().rev());
                let changed = changed.skip_while(|(pos, _)| *pos > upto).take_while(|(pos, _)| *pos > since);
                changed.map(|(_, user)| *user)
            };
            let own = self.moved.get(&reader).filter(|moved| newer.contains(&moved.pos)).map(|_| reader);
            joined.iter().flat_map(of_room).chain(own).collect()
        };
        found.sort_unstable();
        found.dedup();
        Ok(Some(found))
    }

    fn remove(&mut self, user: UserNid) {
        let Some(Moved { pos, rooms }) = self.moved.remove(&user) else { return };
        self.order.remove(&pos);
        self.unplaced.remove(&pos);
        let Some(rooms) = rooms else { return };
        self.places -= rooms.len() + 1;
        for room in rooms {
            self.leave_room(pos, room);
        }
    }

    fn enter_room(&mut self, pos: Position, user: UserNid, room: RoomNid) {
        let changed = self.rooms.entry(room).or_default();
        let place = changed.partition_point(|(other, _)| *other < pos);
        changed.insert(place, (pos, user));
    }

    fn leave_room(&mut self, pos: Position, room: RoomNid) {
        let Some(changed) = self.rooms.get_mut(&room) else { return };
        if let Ok(place) = changed.binary_search_by_key(&pos, |(pos, _)| *pos) {
            changed.remove(place);
        }
        if changed.is_empty() {
            self.rooms.remove(&room);
        }
    }
}

#[cfg(test)]
mod tests;
