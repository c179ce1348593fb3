//! Proposals that build on each other.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use hearth_core::id::Position;

/// The proposals that one view of a room led to, one building on the other.
///
/// The first that has no effect ends the chain: those after it were built on something that never happened.
#[derive(Debug)]
pub struct Chain {
    base: AtomicI64,
    failed: AtomicBool,
}

impl Chain {
    /// A chain that begins on a view of the room as of `base`.
    #[must_use]
    pub const fn new(base: Position) -> Self {
        Self { base: AtomicI64::new(base.get()), failed: AtomicBool::new(false) }
    }

    /// The position of its newest committed proposal, or the one it began on.
    #[must_use]
    pub fn base(&self) -> Position {
        Position::new(self.base.load(Ordering::Acquire))
    }

    /// One of its proposals had no effect.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn advance(&self, to: Position) {
        self.base.fetch_max(to.get(), Ordering::AcqRel);
    }

    /// Ends the chain: its proposals not yet committed fail.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }
}
