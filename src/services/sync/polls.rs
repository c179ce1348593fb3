//! How many syncs of a user wait at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_core::id::UserNid;

use super::SyncError;
use crate::rooms::viewer::Viewer;

/// Syncs under way, by user and device.
pub(super) struct Polls {
    per_device: u32,
    per_user: u32,
    open: Mutex<HashMap<UserNid, Open>>,
}

#[derive(Default)]
struct Open {
    all: u32,
    by_device: HashMap<String, u32>,
}

/// A sync under way.
pub(super) struct Poll {
    polls: Arc<Polls>,
    user: UserNid,
    device: String,
}

impl Polls {
    pub(super) fn new(per_device: u32, per_user: u32) -> Self {
        Self { per_device, per_user, open: Mutex::default() }
    }

    /// Begins a sync, unless the device or its user has too many. A client has one, and for a moment two when it
    /// gives one up: more of them are a fault of its, or an attack.
    pub(super) fn begin(self: &Arc<Self>, viewer: &Viewer) -> Result<Poll, SyncError> {
        let device = viewer.device.clone().unwrap_or_default();
        let mut open = self.lock();
        let known = open.get(&viewer.user);
        let of_user = known.map_or(0, |known| known.all);
        let of_device = known.and_then(|known| known.by_device.get(&device)).copied().unwrap_or(0);
        if of_user >= self.per_user || of_device >= self.per_device {
            return Err(SyncError::TooMany);
        }
        let known = open.entry(viewer.user).or_default();
        known.all += 1;
        *known.by_device.entry(device.clone()).or_default() += 1;
        drop(open);
        Ok(Poll { polls: Arc::clone(self), user: viewer.user, device })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserNid, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let mut open = self.polls.lock();
        let Entry::Occupied(mut known) = open.entry(self.user) else { return };
        known.get_mut().all -= 1;
        if known.get().all == 0 {
            known.remove();
            return;
        }
        if let Entry::Occupied(mut count) = known.get_mut().by_device.entry(std::mem::take(&mut self.device))
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
