//! Buckets: how much of a rate is left to whom.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hearth_core::id::UserNid;
use hearth_services::rate::Rate;
use quick_cache::sync::Cache;

use super::family::Family;

/// Buckets kept. One that is forgotten is full again, so an attacker with this many addresses is limited
/// less; each takes about a hundred bytes.
const BUCKETS: usize = 100_000;

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// An address, or the network that stands for it.
    Address(IpAddr),
    /// A user with a session.
    User(UserNid),
    /// A room, or a user, by id.
    Named(String),
}

/// The buckets of this process. One that has never been taken from is full.
///
/// A bucket is the time at which it is full again. What is taken moves that time on by the rate's period; it
/// may lie ahead of now by as many periods as the burst has.
#[derive(Debug)]
pub(super) struct Buckets {
    start: Instant,
    full_at: Cache<(Family, Key), Arc<AtomicU64>>,
}

impl Buckets {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), full_at: Cache::new(BUCKETS) }
    }

    /// The time by which buckets count.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Takes so many; where there are not as many, takes none and tells how long to wait. More than a whole
    /// burst is never there, so who asks for that empties the bucket.
    pub(super) fn take(
        &self,
        (family, key): (Family, Key),
        rate: Rate,
        count: usize,
        now: Duration,
    ) -> Result<(), Duration> {
        if rate.is_unlimited() {
            return Ok(());
        }
        let bucket = self.full_at.get_or_insert_with(&(family, key), || Ok::<_, ()>(Arc::default()));
        let Ok(bucket) = bucket else { return Ok(()) };
        let (now, every, depth) = (nanoseconds(now), nanoseconds(rate.every()), nanoseconds(rate.depth()));
        let most = now.saturating_add(depth);
        let taken = every.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)).min(depth);
        let next = |full_at: u64| full_at.max(now).saturating_add(taken);
        let fill = |full_at: u64| Some(next(full_at)).filter(|next| *next <= most);
        match bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill) {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos(next(full_at).saturating_sub(most))),
        }
    }

    /// Whether there is one; otherwise how long to wait.
    pub(super) fn look(&self, bucket: &(Family, Key), rate: Rate, now: Duration) -> Result<(), Duration> {
        let Some(full_at) = self.full_at.get(bucket) else { return Ok(()) };
        let next =
            Duration::from_nanos(full_at.load(Ordering::Relaxed)).max(now).saturating_add(rate.every());
        let wait = next.saturating_sub(now.saturating_add(rate.depth()));
        if wait.is_zero() || rate.is_unlimited() { Ok(()) } else { Err(wait) }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { count: 1, per: Duration::from_secs(6), burst: 10 };

    fn bucket(name: &str) -> (Family, Key) {
        (Family::Message, Key::Named(name.to_owned()))
    }

    #[test]
    fn a_burst_passes_and_then_one_for_each_period() {
        let buckets = Buckets::new();
        let (at, every) = (Duration::from_secs(100), RATE.every());
        let take = |at| buckets.take(bucket("alice"), RATE, 1, at);
        assert!((0..RATE.burst).all(|_| take(at) == Ok(())));
        assert_eq!(take(at), Err(every));
        assert_eq!(take(at + every / 2), Err(every / 2));
        assert_eq!(take(at + every), Ok(()));
        assert_eq!(take(at + every), Err(every));
        assert_eq!(buckets.take(bucket("bob"), RATE, 1, at), Ok(()));
    }

    #[test]
    fn several_are_taken_together_or_none() {
        let buckets = Buckets::new();
        let (at, every) = (Duration::from_secs(100), RATE.every());
        let take = |count| buckets.take(bucket("alice"), RATE, count, at);
        assert_eq!((take(8), take(3), take(2)), (Ok(()), Err(every), Ok(())));
        assert_eq!(buckets.take(bucket("bob"), RATE, 1000, at), Ok(()));
        assert_eq!(buckets.take(bucket("bob"), RATE, 1, at), Err(every));
    }

    #[test]
    fn looking_takes_nothing() {
        let buckets = Buckets::new();
        let at = Duration::from_secs(100);
        assert!((0..100).all(|_| buckets.look(&bucket("alice"), RATE, at) == Ok(())));
        assert_eq!(buckets.take(bucket("alice"), RATE, 10, at), Ok(()));
        assert_eq!(buckets.look(&bucket("alice"), RATE, at), Err(RATE.every()));
    }
}
