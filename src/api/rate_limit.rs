//! Rate limits: a bucket for each family of requests and whoever makes them.
//!
//! Buckets are in memory, so that each of several processes gives out its part. Wrong passwords are counted in
//! the database, by the accounts.

mod bucket;
mod family;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hearth_core::id::UserNid;
use hearth_services::log::Log;
use hearth_services::rate::{Rate, network};

pub use self::family::Family;

pub(crate) use self::bucket::Key;

use self::bucket::Buckets;
use self::family::By;
use crate::error::Error;

/// The rate of each family.
pub type Rates = Arc<dyn Fn(Family) -> Rate + Send + Sync>;

/// The rate limits of this process.
pub struct RateLimits {
    rates: RwLock<Option<Rates>>,
    buckets: Buckets,
    log: Log,
}

/// Room for one more of something that is counted only once it has come about: who fails at it empties
/// nobody's bucket.
#[must_use]
pub(crate) struct Vacancy<'a> {
    limits: &'a RateLimits,
    bucket: (Family, Key),
}

impl RateLimits {
    /// Limits at these rates; with none, everything passes. `log` tells how many processes there are.
    #[must_use]
    pub fn new(rates: Option<Rates>, log: Log) -> Self {
        Self { rates: RwLock::new(rates), buckets: Buckets::new(), log }
    }

    /// Puts other rates in force.
    pub fn set(&self, rates: Option<Rates>) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// Counts a request of a family that is limited by address; others pass.
    pub(crate) fn check_address(&self, family: Family, address: Option<IpAddr>) -> Result<(), Error> {
        match (family.by(), address) {
            (By::Address, Some(address)) => self.take(family, Key::Address(network(address))),
            _ => Ok(()),
        }
    }

    /// Counts a request of a family that is limited by user, by the address of who has none; others pass.
    pub(crate) fn check_user(
        &self,
        family: Family,
        user: Option<UserNid>,
        address: Option<IpAddr>,
    ) -> Result<(), Error> {
        match (family.by(), user, address) {
            (By::User, Some(user), _) => self.take(family, Key::User(user)),
            (By::User, None, Some(address)) => self.take(family, Key::Address(network(address))),
            _ => Ok(()),
        }
    }

    /// Counts one.
    pub(crate) fn take(&self, family: Family, key: Key) -> Result<(), Error> {
        self.take_several(family, key, 1)
    }

    /// Counts several at once.
    pub(crate) fn take_several(&self, family: Family, key: Key, count: usize) -> Result<(), Error> {
        let taken = self.buckets.take((family, key), self.rate(family), count, self.buckets.now());
        taken.map_err(Error::limit_exceeded)
    }

    /// Looks whether there is room for one more, to be counted when it has come about.
    pub(crate) fn vacancy(&self, family: Family, key: Key) -> Result<Vacancy<'_>, Error> {
        let bucket = (family, key);
        self.buckets.look(&bucket, self.rate(family), self.buckets.now()).map_err(Error::limit_exceeded)?;
        Ok(Vacancy { limits: self, bucket })
    }

    /// The part of a rate that is this process's to give out.
    fn rate(&self, family: Family) -> Rate {
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        let whole = rates.as_ref().map_or(Rate::UNLIMITED, |rates| rates(family));
        whole.shared_by(self.log.live_replicas())
    }
}

impl Vacancy<'_> {
    /// It has come about. Where others were quicker it is one too many, which is borne.
    pub(crate) fn take(self) {
        let rate = self.limits.rate(self.bucket.0);
        let _ = self.limits.buckets.take(self.bucket, rate, 1, self.limits.buckets.now());
    }
}
