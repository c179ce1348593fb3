//! The room on the disk of a private PostgreSQL.
//!
//! A PostgreSQL that cannot write its log stops altogether, and with it everybody who only reads. So nothing new is
//! taken while there is still room for what it writes by itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

/// What must be free: eight segments of the log, more than are written before the disk is looked at again, and
/// than a quiet database writes in days.
const RESERVE: u64 = 128 << 20;

/// So much more must be free before anything is taken again, so that it is not switched to and fro.
const MARGIN: u64 = 16 << 20;

/// How long a look at the disk is good for.
const GOOD_FOR: Duration = Duration::from_millis(100);

/// Watches the room beside a database.
#[derive(Debug)]
pub struct Space {
    dir: PathBuf,
    begun: Instant,
    /// Milliseconds after `begun` from which on the disk is to be looked at again.
    next: AtomicU64,
    low: AtomicBool,
}

impl Space {
    /// The room on the disk that holds `dir`.
    pub(super) fn beside(dir: PathBuf) -> Self {
        Self { dir, begun: Instant::now(), next: AtomicU64::new(0), low: AtomicBool::new(false) }
    }

    /// Whether so little is left that nothing new should be taken.
    pub fn is_low(&self) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next = now.saturating_add(u64::try_from(GOOD_FOR.as_millis()).unwrap_or(u64::MAX));
        let due =
            self.next.fetch_update(Ordering::AcqRel, Ordering::Acquire, |due| (due <= now).then_some(next));
        if due.is_ok() {
            // A disk that cannot be asked is not taken for a full one: PostgreSQL would say more.
            if let Ok(disk) = statvfs(&self.dir) {
                self.judge(disk.blocks_available().saturating_mul(disk.fragment_size()));
            }
        }
        self.low.load(Ordering::Acquire)
    }

    fn judge(&self, free: u64) {
        let was_low = self.low.load(Ordering::Acquire);
        let low = free < if was_low { RESERVE + MARGIN } else { RESERVE };
        if low != was_low {
            self.low.store(low, Ordering::Release);
            let (dir, free) = (self.dir.display(), free >> 20);
            if low {
                tracing::warn!(
                    "only {free} MB are free in {dir}: nothing new is taken before there is room again"
                );
            } else {
                tracing::info!("there is room again in {dir}: {free} MB");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_before_its_end_and_has_room_again_only_with_a_margin() {
        let space = Space::beside(PathBuf::from("/"));
        let mut said = Vec::new();
        for free in [RESERVE, RESERVE - 1, 0, RESERVE + MARGIN - 1, RESERVE + MARGIN, RESERVE] {
            space.judge(free);
            said.push(space.low.load(Ordering::Acquire));
        }
        assert_eq!(said, [false, true, true, true, false, false]);
    }

    #[test]
    fn a_disk_that_cannot_be_asked_is_not_full() {
        assert!(!Space::beside(PathBuf::from("/nonexistent")).is_low());
    }
}
