//! Rate limits: a bucket for each family of requests and whoever makes them.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hearth_core::id::UserNid;
use quick_cache::sync::Cache;

use crate::error::Error;

/// Buckets kept. One that is forgotten is full again, so an attacker with this many addresses is limited
/// less; each takes about a hundred bytes.
const BUCKETS: usize = 100_000;

/// Requests that share a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// No limit.
    Unlimited,
    /// Logins from one address.
    Login,
    /// Logins to one account, from wherever.
    LoginAccount,
    /// Access tokens refreshed from one address: those of everybody in one house.
    Refresh,
    /// Registrations from one address.
    Register,
    /// Questions about names and registration tokens from one address.
    Lookup,
    /// Changes of one user's profile, which their rooms hear of.
    Profile,
    /// Rooms that one user makes.
    CreateRoom,
    /// Invites that one user sends.
    Invite,
    /// Rooms that one user joins.
    Join,
    /// Events that one user sends.
    Message,
    /// Receipts and typing of one user.
    Ephemeral,
    /// Presence that one user sets.
    Presence,
}

/// What makes a request one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Nothing, or something only the handler knows.
    Handler,
    /// The client's address.
    Address,
    /// The user.
    User,
}

/// `burst` at once, then one every so often.
struct Rate {
    burst: u32,
    every: Duration,
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    User(UserNid),
    Account(String),
}

/// The rate limits of this process.
#[derive(Debug)]
pub struct RateLimits {
    enabled: AtomicBool,
    start: Instant,
    buckets: Cache<(Family, Key), Arc<AtomicU64>>,
}

impl Family {
    /// The table of families.
    const fn row(self) -> (By, Rate) {
        match self {
            Self::Unlimited => (By::Handler, Rate { burst: u32::MAX, every: Duration::ZERO }),
            Self::Login => (By::Address, Rate { burst: 20, every: Duration::from_secs(3) }),
            Self::LoginAccount => (By::Handler, Rate { burst: 10, every: Duration::from_secs(6) }),
            Self::Refresh => (By::Address, Rate { burst: 100, every: Duration::from_millis(100) }),
            Self::Register => (By::Address, Rate { burst: 20, every: Duration::from_secs(6) }),
            Self::Lookup => (By::Address, Rate { burst: 20, every: Duration::from_secs(1) }),
            Self::Profile => (By::User, Rate { burst: 10, every: Duration::from_secs(2) }),
            Self::CreateRoom => (By::User, Rate { burst: 20, every: Duration::from_secs(5) }),
            Self::Invite => (By::User, Rate { burst: 50, every: Duration::from_secs(2) }),
            Self::Join => (By::User, Rate { burst: 50, every: Duration::from_secs(1) }),
            Self::Message => (By::User, Rate { burst: 600, every: Duration::from_millis(20) }),
            Self::Ephemeral => (By::User, Rate { burst: 300, every: Duration::from_millis(100) }),
            Self::Presence => (By::User, Rate { burst: 20, every: Duration::from_secs(2) }),
        }
    }
}

impl RateLimits {
    /// Limits that hold if `enabled`.
    #[must_use]
    pub fn new(enabled: bool) -> Self {
        Self { enabled: enabled.into(), start: Instant::now(), buckets: Cache::new(BUCKETS) }
    }

    /// Puts the limits in force, or out of it.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Counts a request of a family that is limited by address; others pass.
    pub(crate) fn check_address(&self, family: Family, address: Option<IpAddr>) -> Result<(), Error> {
        match address {
            Some(address) if family.row().0 == By::Address => {
                self.check(family, Key::Address(network(address)))
            }
            _ => Ok(()),
        }
    }

    /// Counts a request of a family that is limited by user; others pass.
    pub(crate) fn check_user(&self, family: Family, user: Option<UserNid>) -> Result<(), Error> {
        match user {
            Some(user) if family.row().0 == By::User => self.check(family, Key::User(user)),
            _ => Ok(()),
        }
    }

    /// Counts an attempt to log in to an account.
    pub(crate) fn check_account(&self, name: &str) -> Result<(), Error> {
        self.check(Family::LoginAccount, Key::Account(name.to_ascii_lowercase()))
    }

    fn check(&self, family: Family, key: Key) -> Result<(), Error> {
        if !self.enabled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.take(family, key, self.start.elapsed()).map_err(Error::limit_exceeded)
    }

    /// Takes one from a bucket at a time since the start; where it is empty, tells how long to wait.
    ///
    /// A bucket is the time at which it is full again. One request moves that time on by the rate's period;
    /// it may lie ahead of now by `burst` periods.
    fn take(&self, family: Family, key: Key, now: Duration) -> Result<(), Duration> {
        let Rate { burst, every } = family.row().1;
        let bucket = self.buckets.get_or_insert_with(&(family, key), || Ok::<_, ()>(Arc::default()));
        let Ok(bucket) = bucket else { return Ok(()) };
        let (now, every) = (nanoseconds(now), nanoseconds(every));
        let room = every.saturating_mul(u64::from(burst));
        let fill = |full_at: u64| {
            let next = full_at.max(now).saturating_add(every);
            (next <= now.saturating_add(room)).then_some(next)
        };
        match bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fill) {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let next = full_at.max(now).saturating_add(every);
                Err(Duration::from_nanos(next.saturating_sub(now.saturating_add(room))))
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Who has one IPv6 address has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_period() {
        let limits = RateLimits::new(true);
        let key = || Key::Account("alice".into());
        let (_, Rate { burst, every }) = Family::LoginAccount.row();
        let at = Duration::from_secs(100);
        for _ in 0..burst {
            assert_eq!(limits.take(Family::LoginAccount, key(), at), Ok(()));
        }
        assert_eq!(limits.take(Family::LoginAccount, key(), at), Err(every));
        let half = at + every / 2;
        assert_eq!(limits.take(Family::LoginAccount, key(), half), Err(every / 2));
        assert_eq!(limits.take(Family::LoginAccount, key(), at + every), Ok(()));
        assert_eq!(limits.take(Family::LoginAccount, key(), at + every), Err(every));
        assert_eq!(limits.take(Family::LoginAccount, Key::Account("bob".into()), at), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_a_bucket() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn limits_that_are_off_let_everything_pass() {
        let limits = RateLimits::new(false);
        assert!((0..1000).all(|_| limits.check_account("alice").is_ok()));
    }
}
