//! When and from where devices were last used.
//!
//! Nobody waits for it and nothing is decided by it, so it is kept in memory at first and written by and by, in one
//! statement for all devices. What a killed process had not written is lost.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_core::id::UserNid;
use hearth_store::Store;
use hearth_store::device::{Device, Sighting};
use quick_cache::sync::Cache;
use tokio_util::sync::CancellationToken;

use super::{Accounts, Caller};
use crate::clock;

/// Devices whose last sighting is remembered, some hundred bytes each: those in use at a large process.
const DEVICES: usize = 65_536;

/// A device that is used on and on from one place is noted as often as this.
const GRAIN_MS: i64 = 60_000;

/// How often sightings are written.
const INTERVAL: Duration = Duration::from_secs(15);

/// The longest name of a client program; the rest is cut off.
const MAX_USER_AGENT_CHARS: usize = 200;

/// A device and its owner.
type Key = (UserNid, String);

/// The sightings of this process.
pub(super) struct LastSeen {
    noted: Cache<Key, Sighting>,
    /// Those that are not written yet: at most one for each device that was used since the last time.
    waiting: Mutex<HashMap<Key, Sighting>>,
}

impl LastSeen {
    pub(super) fn new() -> Self {
        Self { noted: Cache::new(DEVICES), waiting: Mutex::default() }
    }

    fn note(&self, key: Key, sighting: Sighting) {
        let is_known = self.noted.get(&key).is_some_and(|before| {
            before.ip == sighting.ip
                && before.user_agent == sighting.user_agent
                && sighting.ts - before.ts < GRAIN_MS
        });
        if !is_known {
            self.noted.insert(key.clone(), sighting.clone());
            self.lock().insert(key, sighting);
        }
    }

    /// What is known here of a device may be newer than what the database has.
    pub(super) fn complete(&self, user: UserNid, mut device: Device) -> Device {
        let newer = self
            .noted
            .get(&(user, device.id.clone()))
            .filter(|noted| noted.ts > device.seen.as_ref().map_or(device.created_ts, |written| written.ts));
        device.seen = newer.or(device.seen);
        device
    }

    async fn write(&self, store: &Store) {
        let waiting = std::mem::take(&mut *self.lock());
        if waiting.is_empty() {
            return;
        }
        let sightings: Vec<_> =
            waiting.into_iter().map(|((user, device_id), sighting)| (user, device_id, sighting)).collect();
        if let Err(error) = store.add_sightings(&sightings).await {
            tracing::warn!(%error, "it was not written when devices were last used");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Sighting>> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Takes note that a device makes a request.
    pub fn note_use(&self, caller: &Caller, address: Option<IpAddr>, user_agent: Option<&str>) {
        let sighting = Sighting {
            ip: address.map(|address| address.to_canonical().to_string()),
            user_agent: user_agent.map(|name| name.chars().take(MAX_USER_AGENT_CHARS).collect()),
            ts: clock::now_ms(),
        };
        self.0.last_seen.note((caller.user, caller.device_id.to_string()), sighting);
    }

    /// Writes when devices were last used, until `stop` is cancelled.
    pub async fn write_last_seen(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            self.0.last_seen.write(&self.0.store).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(ts: i64, ip: &str) -> Sighting {
        Sighting { ip: Some(ip.to_owned()), user_agent: None, ts }
    }

    #[test]
    fn a_device_in_steady_use_is_noted_now_and_then_and_one_that_moves_at_once() {
        let seen = LastSeen::new();
        let key = || (UserNid::new(1), "PHONE".to_owned());
        let noted = |ts, ip| {
            seen.note(key(), sighting(ts, ip));
            std::mem::take(&mut *seen.lock()).len()
        };
        assert_eq!(noted(1_000, "192.0.2.1"), 1);
        assert_eq!(noted(1_000 + GRAIN_MS - 1, "192.0.2.1"), 0);
        assert_eq!(noted(1_000 + GRAIN_MS, "192.0.2.1"), 1);
        assert_eq!(noted(1_001 + GRAIN_MS, "192.0.2.2"), 1);
    }

    #[test]
    fn a_device_that_was_made_anew_was_not_seen_before() {
        let seen = LastSeen::new();
        seen.note((UserNid::new(1), "PHONE".to_owned()), sighting(1_000, "192.0.2.1"));
        let device =
            |created_ts| Device { id: "PHONE".to_owned(), display_name: None, created_ts, seen: None };
        assert_eq!(seen.complete(UserNid::new(1), device(999)).seen, Some(sighting(1_000, "192.0.2.1")));
        assert_eq!(seen.complete(UserNid::new(1), device(1_000)).seen, None);
    }
}
