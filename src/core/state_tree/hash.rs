//! A hash of a set of entries that does not depend on their order.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Entry;

/// A 128-bit hash of a whole state: the sum of a strong hash of each entry.
///
/// A sum can be carried along from one state to the next by subtracting what went and adding what came.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct StateHash(u128);

impl StateHash {
    /// Of the empty state.
    pub const EMPTY: Self = Self(0);

    /// Adds an entry.
    #[must_use]
    pub fn with(self, entry: Entry) -> Self {
        Self(self.0.wrapping_add(of_entry(entry)))
    }

    /// Takes an entry away.
    #[must_use]
    pub fn without(self, entry: Entry) -> Self {
        Self(self.0.wrapping_sub(of_entry(entry)))
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({:032x})", self.0)
    }
}

fn of_entry(entry: Entry) -> u128 {
    let mut input = [0; 16];
    let (key, event) = input.split_at_mut(8);
    key.copy_from_slice(&entry.key.get().to_be_bytes());
    event.copy_from_slice(&entry.event.get().to_be_bytes());
    let digest = Sha256::digest(input);
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
