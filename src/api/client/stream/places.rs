//! How many streams are open, from where, and what is configured about them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hearth_services::rate::network;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::error::{Error, Result};

/// What is configured about streams.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// How often each end says that it is there.
    pub heartbeat: Duration,
    /// The origins of pages that may open streams; `*` for all.
    pub origins: Vec<String>,
    /// The most from one address.
    pub per_address: usize,
}

/// The open streams of this process.
#[derive(Debug)]
pub struct Streams {
    settings: StreamSettings,
    connections: TaskTracker,
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A stream's place among those of its address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    _counted: Option<Arc<Counted>>,
}

#[derive(Debug)]
struct Counted {
    from: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Streams {
    /// None are open. What `connections` tracks is waited for when the server stops.
    #[must_use]
    pub fn new(settings: StreamSettings, connections: TaskTracker) -> Self {
        Self { settings, connections, from: Arc::default() }
    }

    pub(super) const fn settings(&self) -> &StreamSettings {
        &self.settings
    }

    /// A connection that was upgraded is one still.
    pub(super) fn hold(&self) -> TaskTrackerToken {
        self.connections.token()
    }

    /// Takes a place, unless the address has too many.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Result<Place> {
        let Some(address) = address.map(network) else { return Ok(Place { _counted: None }) };
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let count = from.entry(address).or_default();
        if *count >= self.settings.per_address {
            return Err(Error::overloaded());
        }
        *count += 1;
        let counted = Counted { from: Arc::clone(&self.from), address };
        Ok(Place { _counted: Some(Arc::new(counted)) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = from.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                from.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_number_of_places() {
        let settings =
            StreamSettings { heartbeat: Duration::from_secs(1), origins: Vec::new(), per_address: 2 };
        let streams = Streams::new(settings, TaskTracker::new());
        let enter = |address: &str| streams.enter(Some(address.parse().unwrap()));
        let (first, second) = (enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_err() && enter("192.0.2.2").is_ok() && streams.enter(None).is_ok());
        let again = first.clone();
        drop(first);
        assert!(enter("192.0.2.1").is_err());
        drop((again, second));
        assert!(enter("192.0.2.1").is_ok());
        assert!(streams.from.lock().unwrap().is_empty());
    }
}
