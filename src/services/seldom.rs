//! What an attacker can cause again and again is logged seldom.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first of a kind is logged at once, those that follow together once in this time.
const INTERVAL: Duration = Duration::from_mins(1);

/// Counts what is logged seldom.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    last: Option<Instant>,
    since: u64,
}

impl Seldom {
    /// Nothing was logged yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Counted { last: None, since: 0 }))
    }

    /// Counts one. Says how many there were since the last line of the log where it is time for another.
    pub fn count(&self) -> Option<u64> {
        self.count_at(Instant::now())
    }

    fn count_at(&self, now: Instant) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.since += 1;
        if counted.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            return None;
        }
        counted.last = Some(now);
        Some(std::mem::take(&mut counted.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let (seldom, now) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.count_at(now), Some(1));
        assert!((0..1000).all(|_| seldom.count_at(now).is_none()));
        assert_eq!(seldom.count_at(now + INTERVAL), Some(1001));
        assert_eq!(seldom.count_at(now + INTERVAL), None);
    }
}
