//! A set of rooms that is asked often.

use hearth_core::id::RoomNid;

/// Bits that say of most rooms at once that they are not in the set. Numbers of rooms are dense.
const BITS: usize = 4096;

/// Some rooms, to be compared with those of many users.
#[derive(Debug)]
pub(in crate::sync) struct RoomSet {
    /// Ascending.
    rooms: Vec<RoomNid>,
    bits: [u64; BITS / 64],
}

impl RoomSet {
    pub(in crate::sync) fn new(mut rooms: Vec<RoomNid>) -> Self {
        rooms.sort_unstable();
        let mut bits = [0; BITS / 64];
        for room in &rooms {
            let (word, bit) = place(*room);
            if let Some(word) = bits.get_mut(word) {
                *word |= bit;
            }
        }
        Self { rooms, bits }
    }

    /// The rooms, ascending.
    pub(in crate::sync) fn rooms(&self) -> &[RoomNid] {
        &self.rooms
    }

    /// Whether one of some rooms, which are ascending, is in the set.
    pub(super) fn meets(&self, rooms: &[RoomNid]) -> bool {
        // Each of the few is searched among the many.
        if self.rooms.len() < rooms.len() / 8 {
            return self.rooms.iter().any(|room| rooms.binary_search(room).is_ok());
        }
        rooms.iter().any(|room| self.may_contain(*room) && self.rooms.binary_search(room).is_ok())
    }

    fn may_contain(&self, room: RoomNid) -> bool {
        let (word, bit) = place(room);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word of a room's bit, and the bit.
fn place(room: RoomNid) -> (usize, u64) {
    let bit = usize::try_from(room.get()).unwrap_or_default() % BITS;
    (bit / 64, 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(numbers: impl IntoIterator<Item = i64>) -> Vec<RoomNid> {
        numbers.into_iter().map(RoomNid::new).collect()
    }

    #[test]
    fn sets_meet_where_one_room_is_in_both_however_large_each_is() {
        let of_size = [0, 1, 7, 50, 3000];
        for (one, other) in of_size.iter().flat_map(|one| of_size.iter().map(move |other| (*one, *other))) {
            let even = RoomSet::new(rooms((0..one).rev().map(|n| 2 * n)));
            assert!(!even.meets(&rooms((0..other).map(|n| 2 * n + 1))), "{one} and {other}");
            // The same bits, other rooms.
            let shift = 2 * i64::try_from(BITS).unwrap();
            assert!(!even.meets(&rooms((0..other).map(|n| 2 * n + shift))), "{one} and {other}");
            let last = (one > 0).then_some(2 * (one - 1));
            let with_last = rooms((0..other).map(|n| 2 * n + 1).filter(|n| Some(*n) < last).chain(last));
            assert_eq!(even.meets(&with_last), one > 0, "{one} and {other}");
        }
        assert!(RoomSet::new(Vec::new()).rooms().is_empty());
    }
}
