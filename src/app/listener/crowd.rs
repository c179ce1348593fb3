//! How many connections there are, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hearth_services::rate::network;
use hearth_services::seldom::Seldom;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections of a listener. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Inner>);

struct Inner {
    /// One permit for each connection.
    slots: Arc<Semaphore>,
    per_address: u32,
    /// Behind these are many.
    proxies: Vec<IpNet>,
    from: Mutex<HashMap<IpAddr, u32>>,
    refused: Seldom,
}

/// Room for one connection, from anywhere.
pub(super) type Slot = OwnedSemaphorePermit;

/// A connection among the others, for as long as this lives.
pub(super) struct Place {
    crowd: Crowd,
    from: Option<IpAddr>,
    _slot: Slot,
}

impl Crowd {
    /// Room for so many connections, and so many from each address that is no proxy of ours.
    pub(crate) fn new(most: u32, per_address: u32, proxies: Vec<IpNet>) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let (slots, from, refused) = (Arc::new(Semaphore::new(most)), Mutex::default(), Seldom::new());
        Self(Arc::new(Inner { slots, per_address, proxies, from, refused }))
    }

    /// Waits for room.
    pub(super) async fn slot(&self) -> Option<Slot> {
        // It is never closed.
        Arc::clone(&self.0.slots).acquire_owned().await.ok()
    }

    /// Takes a connection in; none where its address has too many.
    pub(super) fn enter(&self, slot: Slot, peer: Option<IpAddr>) -> Option<Place> {
        let is_proxy = |address: &IpAddr| self.0.proxies.iter().any(|proxies| proxies.contains(address));
        let from = peer.filter(|address| !is_proxy(address)).map(network);
        if let Some(from) = from {
            let mut counts = self.0.from.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(from).or_default();
            if *count >= self.0.per_address {
                drop(counts);
                self.refuse(from);
                return None;
            }
            *count += 1;
        }
        Some(Place { crowd: self.clone(), from, _slot: slot })
    }

    fn refuse(&self, from: IpAddr) {
        if let Some(count) = self.0.refused.count() {
            let most = self.0.per_address;
            tracing::warn!(
                count,
                "connections were refused, the last from {from}, which has {most} open; a reverse proxy belongs \
                 into `trusted_proxies`"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(from) = self.from else { return };
        let mut counts = self.crowd.0.from.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_a_number_of_places_and_a_proxy_any() {
        let crowd = Crowd::new(10, 2, vec!["10.0.0.0/8".parse().unwrap()]);
        let enter = async |address: &str| {
            let slot = crowd.slot().await.unwrap();
            crowd.enter(slot, Some(address.parse().unwrap()))
        };
        let (first, second) = (enter("2001:db8::1").await, enter("2001:db8::2").await);
        assert!(first.is_some() && second.is_some() && enter("2001:db8::3").await.is_none());
        assert!(enter("192.0.2.1").await.is_some());
        drop(first);
        assert!(enter("2001:db8::3").await.is_some());
        let proxied = [enter("10.0.0.1").await, enter("10.0.0.1").await, enter("10.0.0.1").await];
        assert!(proxied.iter().all(Option::is_some));
        drop((second, proxied));
        assert!(crowd.0.from.lock().unwrap().is_empty());
    }
}
