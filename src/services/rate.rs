//! Rates: how often something may happen, and to whom an address belongs.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// So many at once, and then so many in every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may happen in each period.
    pub count: u32,
    /// The period; zero for no limit.
    pub per: Duration,
    /// How many may happen at once.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { count: 1, per: Duration::ZERO, burst: u32::MAX };

    /// Whether there is no limit.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.per.is_zero()
    }

    /// The time after which there is room for one more.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.per / self.count.max(1)
    }

    /// How far ahead of now a bucket may be full.
    #[must_use]
    pub fn depth(&self) -> Duration {
        self.every().saturating_mul(self.burst.max(1))
    }

    /// The part of one of so many processes that each count for themselves.
    #[must_use]
    pub fn shared_by(self, processes: u32) -> Self {
        let processes = processes.max(1);
        Self { per: self.per.saturating_mul(processes), burst: self.burst.div_ceil(processes), ..self }
    }
}

/// The network that stands for an address: who has one IPv6 address has the 2^64 beside it.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
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
    fn processes_that_share_a_rate_have_a_part_of_it_each() {
        let rate = Rate { count: 10, per: Duration::from_secs(1), burst: 5 };
        assert_eq!(rate.every(), Duration::from_millis(100));
        let half = rate.shared_by(2);
        assert_eq!((half.every(), half.burst), (Duration::from_millis(200), 3));
        assert_eq!(rate.shared_by(0), rate);
        assert!(Rate::UNLIMITED.shared_by(3).is_unlimited());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_a_bucket() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
