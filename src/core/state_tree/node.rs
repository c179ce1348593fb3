//! A node in memory, and the path that leads to a key.

use super::{Corrupt, Entry, StateHash};
use crate::id::{NodeId, StateKeyNid};

/// The most entries of a leaf; one more makes it a branch. Measured against smaller and bigger ones: with 32
/// most rooms are a single node, a whole state of 100,000 is 6,800 rows instead of the 38,600 that branches
/// alone would take, and a change still writes less than half a kilobyte.
pub const LEAF_MAX: usize = 32;

/// How many slots a branch has, one for each value of four bits.
pub(super) const FAN_OUT: usize = 16;

/// The deepest a node can stand: at depth 15 the last four bits of the path are used.
pub(super) const DEPTH_MAX: u8 = 15;

/// A node of a state tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(super) depth: u8,
    /// Only in a root node, which is the one at depth 0.
    pub(super) summary: Option<Summary>,
    pub(super) body: Body,
}

/// What a root node says of the whole state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) hash: StateHash,
    pub(super) len: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// In the order of their paths.
    Leaf(Box<[Entry]>),
    Branch(Branch),
}

/// The slots of a branch that are not empty, in order; the bits of `occupied` say which they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) occupied: u16,
    pub(super) slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Entry(Entry),
    Child(NodeId),
}

impl Node {
    /// Reads a node as the store keeps it. Anything that [`update`](super::update) could not have
    /// written is an error.
    pub fn decode(data: &[u8]) -> Result<Self, Corrupt> {
        super::encoding::decode(data)
    }

    /// The bytes that the store keeps.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        super::encoding::encode(self)
    }

    /// The children it names.
    pub fn children(&self) -> impl Iterator<Item = NodeId> {
        let slots: &[Slot] = match &self.body {
            Body::Leaf(_) => &[],
            Body::Branch(branch) => &branch.slots,
        };
        slots.iter().filter_map(|slot| match slot {
            Slot::Child(id) => Some(*id),
            Slot::Entry(_) => None,
        })
    }

    /// How many bytes of memory it takes, for a cache that counts them.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.body {
                Body::Leaf(entries) => size_of_val::<[Entry]>(entries),
                Body::Branch(branch) => size_of_val::<[Slot]>(&branch.slots),
            }
    }

    pub(super) fn depth(&self) -> u8 {
        self.depth
    }
}

impl Branch {
    /// From all slots in order.
    pub(super) fn new(all: &[Option<Slot>; FAN_OUT]) -> Self {
        let occupied = all.iter().rev().fold(0, |bits, slot| bits << 1 | u16::from(slot.is_some()));
        Self { occupied, slots: all.iter().copied().flatten().collect() }
    }

    pub(super) fn slot(&self, nibble: usize) -> Option<Slot> {
        let bit = 1_u16 << nibble;
        if self.occupied & bit == 0 {
            return None;
        }
        let before = (self.occupied & (bit - 1)).count_ones();
        self.slots.get(before as usize).copied()
    }

    /// All slots in order, empty ones too.
    pub(super) fn all(&self) -> [Option<Slot>; FAN_OUT] {
        std::array::from_fn(|nibble| self.slot(nibble))
    }
}

/// The bits that lead to a key: `splitmix64`'s finalizer, which is one-to-one.
pub(super) fn path(key: StateKeyNid) -> u64 {
    let mut bits = key.get().cast_unsigned();
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The slot that a path takes in the branch at a depth.
pub(super) fn nibble(path: u64, depth: u8) -> usize {
    (path.rotate_left(4 * (u32::from(depth) + 1)) & 0xf) as usize
}

/// What the paths to everything under a node of that depth have in common.
pub(super) fn prefix(path: u64, depth: u8) -> u64 {
    path.checked_shr(64 - 4 * u32::from(depth)).unwrap_or(0)
}

/// Cuts a list that is in the order of paths into one piece for each slot at a depth.
pub(super) fn split<T>(list: &[T], depth: u8, path_of: impl Fn(&T) -> u64) -> [&[T]; FAN_OUT] {
    let mut rest = list;
    std::array::from_fn(|slot| {
        let here = rest.iter().take_while(|item| nibble(path_of(item), depth) == slot).count();
        let (piece, behind) = rest.split_at(here);
        rest = behind;
        piece
    })
}
