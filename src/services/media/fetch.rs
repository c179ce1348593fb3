//! Finding media that are asked for.

use std::collections::HashMap;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearth_store::media::{Blob, Medium};
use ruma::ServerName;
use tokio::sync::{Notify, Semaphore};

use super::upload::milliseconds;
use super::{Bytestream, Media, MediaError};
use crate::clock;

/// How often bytes are looked for that may come to another replica.
const LOOK: Duration = Duration::from_millis(500);

/// Requests that wait at a time; one more is answered as if it had waited.
const WAITERS: usize = 1000;

/// That a medium is used is written at most this often, or four times in the time that unused media are kept.
const USED: Duration = Duration::from_hours(1);

/// The longest id there is any sense in.
const LONGEST_ID: usize = 255;

/// How a medium is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// With a token, or by another server.
    Authenticated,
    /// By anybody: only what was there before such media were frozen.
    Anybody,
}

/// A medium and its bytes.
#[derive(Clone, Debug)]
pub struct Found {
    /// What they are served as.
    pub content_type: String,
    /// What they are called.
    pub file_name: Option<String>,
    /// The bytes.
    pub blob: Blob,
}

/// Whoever waits for bytes to come.
pub(super) struct Waiting {
    bells: Mutex<HashMap<i64, Arc<Bell>>>,
    places: Semaphore,
}

/// What rings when the bytes of a medium have come.
#[derive(Default)]
struct Bell {
    rung: Notify,
    /// Held by the one who looks for bytes that come to another replica, for all who wait.
    lookout: tokio::sync::Mutex<()>,
}

/// Somebody's hold on a bell.
struct Listener<'a> {
    waiting: &'a Waiting,
    nid: i64,
    bell: Arc<Bell>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { bells: Mutex::default(), places: Semaphore::new(WAITERS) }
    }

    /// The bytes of a medium have come.
    pub(super) fn tell(&self, nid: i64) {
        let bell = self.bells.lock().unwrap_or_else(PoisonError::into_inner).get(&nid).cloned();
        if let Some(bell) = bell {
            bell.rung.notify_waiters();
        }
    }

    fn listen(&self, nid: i64) -> Listener<'_> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Listener { waiting: self, nid, bell: Arc::clone(bells.entry(nid).or_default()) }
    }
}

impl Drop for Listener<'_> {
    /// Takes the bell away where nobody else has it.
    fn drop(&mut self) {
        let mut bells = self.waiting.bells.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.bell) == 2 {
            bells.remove(&self.nid);
        }
    }
}

impl Media {
    /// A medium that is asked for; waits up to `timeout` for bytes that have not come yet.
    pub async fn find(
        &self,
        server: &ServerName,
        id: &str,
        timeout: Duration,
        reach: Reach,
    ) -> Result<Found, MediaError> {
        // Media of other servers come with federation.
        if !is_id(id) || !self.is_own(server) {
            return Err(MediaError::Absent);
        }
        let medium = self.look(server, id, reach).await?;
        let medium =
            if medium.blob.is_some() { medium } else { self.wait(medium, server, id, timeout).await? };
        let blob = medium.blob.ok_or(MediaError::NotYetUploaded)?;
        self.must_be_clean(&blob).await?;
        let now = clock::now_ms();
        let settings = self.settings();
        let kept = [settings.keep_local, settings.keep_remote].into_iter().flatten().min();
        let often = kept.map_or(USED, |kept| USED.min(kept / 4));
        if now.saturating_sub(medium.used_ts) > milliseconds(often) {
            self.inner.store.medium_is_used(medium.nid, now).await?;
        }
        Ok(Found { content_type: medium.content_type, file_name: medium.file_name, blob })
    }

    /// The bytes of what was found, from the first of the range to before the last.
    pub async fn read(&self, blob: &Blob, range: Range<u64>) -> Result<Bytestream, MediaError> {
        Ok(self.inner.depot.read(&blob.object, range).await?)
    }

    /// Where the bytes can be read without this server; none where they cannot.
    pub async fn address(&self, found: &Found, disposition: &str) -> Result<Option<String>, MediaError> {
        let Some(lifetime) = self.settings().redirects else { return Ok(None) };
        let (object, content_type) = (&found.blob.object, &found.content_type);
        Ok(self.inner.depot.address(object, content_type, disposition, lifetime).await?)
    }

    async fn look(&self, server: &ServerName, id: &str, reach: Reach) -> Result<Medium, MediaError> {
        let medium = self.inner.store.medium(server.as_str(), id).await?.ok_or(MediaError::Absent)?;
        let frozen = reach == Reach::Anybody && medium.created_ts >= self.settings().frozen_from;
        let expired =
            medium.blob.is_none() && medium.expires_ts.is_none_or(|expires| expires <= clock::now_ms());
        let infected = medium.blob.as_ref().is_some_and(|blob| blob.infected);
        if frozen || expired || infected || medium.quarantined {
            return Err(MediaError::Absent);
        }
        Ok(medium)
    }

    async fn wait(
        &self,
        medium: Medium,
        server: &ServerName,
        id: &str,
        timeout: Duration,
    ) -> Result<Medium, MediaError> {
        let Ok(_place) = self.inner.waiting.places.try_acquire() else { return Ok(medium) };
        let listener = self.inner.waiting.listen(medium.nid);
        // An id that expires is waited for no longer.
        let left = medium.expires_ts.unwrap_or_default().saturating_sub(clock::now_ms()).saturating_add(1);
        let until =
            Instant::now() + timeout.min(Duration::from_millis(u64::try_from(left).unwrap_or_default()));
        loop {
            let rung = listener.bell.rung.notified();
            // It may have rung before this one listened.
            let medium = self.look(server, id, Reach::Authenticated).await?;
            if medium.blob.is_some() || Instant::now() >= until {
                return Ok(medium);
            }
            self.wait_for(&listener.bell, rung, (server, id), until).await?;
        }
    }

    /// Waits until the bell rings, or it is too late.
    async fn wait_for(
        &self,
        bell: &Bell,
        rung: impl Future<Output = ()>,
        (server, id): (&ServerName, &str),
        until: Instant,
    ) -> Result<(), MediaError> {
        let mut rung = pin!(rung);
        loop {
            let left = until.saturating_duration_since(Instant::now()).min(LOOK);
            if left.is_zero() || tokio::time::timeout(left, &mut rung).await.is_ok() {
                return Ok(());
            }
            let Ok(_lookout) = bell.lookout.try_lock() else { continue };
            if !self.inner.log.is_alone() && self.look(server, id, Reach::Authenticated).await?.blob.is_some()
            {
                bell.rung.notify_waiters();
                return Ok(());
            }
        }
    }
}

/// > The media ID … `[A-Za-z0-9_-]+`
fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
