//! What the client of a connection knows, as far as its position does not tell.
//!
//! The hash of it is part of the position, so that a position says all there is to say: what was told of a room,
//! and up to where. Nothing else is kept, and the same knowledge is the same hash at every replica.

use std::collections::{BTreeMap, BTreeSet};

use hearth_core::id::{Position, RoomNid, StateKeyNid};
use hearth_core::sliding_sync::RoomView;
use hearth_store::StoreError;
use hearth_store::sliding::KnownRow;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Members of a room that are remembered as told. Beyond it those of the newest timeline are; a client may be told
/// of a member twice.
const MAX_MEMBERS: usize = 200;

/// Views that are remembered. A client has a few; what is not remembered is told anew.
const MAX_VIEWS: usize = 64;

/// No view is remembered.
const NO_VIEW: u16 = u16::MAX;

/// What of a room beside its events was told, up to where the room was.
pub(super) const ACCOUNT_DATA: u8 = 1;
pub(super) const RECEIPTS: u8 = 2;
pub(super) const TYPING: u8 = 4;

/// What a client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    views: Vec<RoomView>,
    rooms: BTreeMap<i64, KnownRoom>,
    /// The account data of the whole account.
    pub(super) account_data: bool,
}

/// What it knows of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownRoom {
    /// Up to where it was told; nothing, if that is the position.
    since: Option<i64>,
    view: u16,
    /// What beside the events it was told.
    pub(super) told: u8,
    /// The members told beside timelines.
    members: BTreeSet<i64>,
}

impl KnownRoom {
    /// Up to where it was told, at a position.
    pub(super) fn since(&self, position: Position) -> Position {
        self.since.map_or(position, Position::new)
    }

    /// Whether something was held back.
    pub(super) const fn is_behind(&self) -> bool {
        self.since.is_some()
    }

    /// Whether a member was told.
    pub(super) fn knows_member(&self, member: StateKeyNid) -> bool {
        self.members.contains(&member.get())
    }

    /// The members told.
    pub(super) fn members(&self) -> impl Iterator<Item = StateKeyNid> + '_ {
        self.members.iter().copied().map(StateKeyNid::new)
    }
}

impl Known {
    /// What it knows of a room.
    pub(super) fn room(&self, room: RoomNid) -> Option<&KnownRoom> {
        self.rooms.get(&room.get())
    }

    /// As what it was told of a room, if that is remembered.
    pub(super) fn view(&self, room: &KnownRoom) -> Option<&RoomView> {
        self.views.get(usize::from(room.view))
    }

    /// All rooms it knows of.
    pub(super) fn rooms(&self) -> impl Iterator<Item = RoomNid> + '_ {
        self.rooms.keys().copied().map(RoomNid::new)
    }

    /// Whether it was told everything of a room as it is asked for now.
    pub(super) fn is_told(
        &self,
        room: RoomNid,
        (view, told): (&RoomView, u8),
        members: &BTreeSet<StateKeyNid>,
    ) -> bool {
        self.room(room).is_some_and(|known| {
            !known.is_behind()
                && known.told == told
                && self.view(known) == Some(view)
                && known.members().eq(members.iter().copied())
        })
    }

    /// It is told everything of a room that its view shows.
    pub(super) fn tell(
        &mut self,
        room: RoomNid,
        (view, told): (&RoomView, u8),
        members: BTreeSet<StateKeyNid>,
        newest: &BTreeSet<StateKeyNid>,
    ) {
        let kept = if members.len() > MAX_MEMBERS { newest.clone() } else { members };
        let members = kept.into_iter().take(MAX_MEMBERS).map(StateKeyNid::get).collect();
        // What it was told as before makes room for what it is told as now.
        self.rooms.remove(&room.get());
        let view = self.number_of(view);
        self.rooms.insert(room.get(), KnownRoom { since: None, view, told, members });
    }

    /// Something happened in a room after `since` that it is not told.
    pub(super) fn hold_back(&mut self, room: RoomNid, since: Position) {
        if let Some(room) = self.rooms.get_mut(&room.get()) {
            room.since.get_or_insert(since.get());
        }
    }

    /// It has nothing to do with a room any longer.
    pub(super) fn forget(&mut self, room: RoomNid) {
        self.rooms.remove(&room.get());
    }

    fn number_of(&mut self, view: &RoomView) -> u16 {
        if let Some(place) = self.views.iter().position(|known| known == view) {
            return u16::try_from(place).unwrap_or(NO_VIEW);
        }
        if self.views.len() >= MAX_VIEWS {
            self.drop_unused_views();
        }
        if self.views.len() >= MAX_VIEWS {
            return NO_VIEW;
        }
        self.views.push(view.clone());
        u16::try_from(self.views.len() - 1).unwrap_or(NO_VIEW)
    }

    fn drop_unused_views(&mut self) {
        let used: BTreeSet<u16> = self.rooms.values().map(|room| room.view).collect();
        let mut numbers = BTreeMap::new();
        let mut kept = Vec::new();
        for (old, view) in (0_u16..).zip(std::mem::take(&mut self.views)) {
            if used.contains(&old) {
                numbers.insert(old, u16::try_from(kept.len()).unwrap_or(NO_VIEW));
                kept.push(view);
            }
        }
        self.views = kept;
        for room in self.rooms.values_mut() {
            room.view = numbers.get(&room.view).copied().unwrap_or(NO_VIEW);
        }
    }

    /// As it is kept.
    pub(super) fn row(&self) -> Result<KnownRow, StoreError> {
        let known = postcard::to_stdvec(self).map_err(|_| corrupt())?;
        let digest = Sha256::digest(&known);
        let hash = digest.first_chunk().map_or(0, |first: &[u8; 8]| u64::from_be_bytes(*first));
        Ok(KnownRow { hash, known })
    }

    /// From what was kept.
    pub(super) fn read(known: &[u8]) -> Result<Self, StoreError> {
        postcard::from_bytes(known).map_err(|_| corrupt())
    }
}

fn corrupt() -> StoreError {
    StoreError::corrupt("sliding_connection", "what a client knows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(timeline_limit: usize) -> RoomView {
        RoomView { timeline_limit, ..RoomView::default() }
    }

    #[test]
    fn what_is_known_comes_back_as_it_was_kept_and_the_same_has_the_same_hash() {
        let mut known = Known::default();
        let members = BTreeSet::from([StateKeyNid::new(7), StateKeyNid::new(9)]);
        known.tell(RoomNid::new(3), (&view(5), RECEIPTS), members.clone(), &members);
        known.hold_back(RoomNid::new(3), Position::new(8));
        known.hold_back(RoomNid::new(3), Position::new(9));
        let row = known.row().unwrap();
        let read = Known::read(&row.known).unwrap();
        assert_eq!((read.row().unwrap().hash, &read), (row.hash, &known));
        let room = read.room(RoomNid::new(3)).unwrap();
        assert_eq!(room.since(Position::new(20)), Position::new(8), "it is behind since the first of them");
        assert!(room.knows_member(StateKeyNid::new(7)) && !room.knows_member(StateKeyNid::new(8)));
        assert!(Known::read(&row.known[1..]).is_err());
    }

    #[test]
    fn thousands_of_rooms_take_few_bytes_each() {
        let mut known = Known::default();
        for room in 0..5_000 {
            known.tell(RoomNid::new(room), (&view(1), RECEIPTS), BTreeSet::new(), &BTreeSet::new());
        }
        assert!(known.row().unwrap().known.len() < 5_000 * 8);
    }

    #[test]
    fn more_views_than_are_remembered_are_not_mistaken_for_each_other() {
        let mut known = Known::default();
        for number in 0..200 {
            let room = RoomNid::new(i64::try_from(number).unwrap());
            known.tell(room, (&view(number), 0), BTreeSet::new(), &BTreeSet::new());
        }
        for number in 0..200 {
            let room = known.room(RoomNid::new(i64::try_from(number).unwrap())).unwrap();
            assert!(known.view(room).is_none_or(|known| *known == view(number)), "{number}");
        }
        known.tell(RoomNid::new(0), (&view(500), 0), BTreeSet::new(), &BTreeSet::new());
        assert_eq!(
            known.view(known.room(RoomNid::new(0)).unwrap()),
            Some(&view(500)),
            "room was made for it"
        );
    }
}
