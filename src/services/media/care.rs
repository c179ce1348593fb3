//! Looking after media: freeing what has had its time, and what administrators ask for.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use hearth_core::id::Position;
use hearth_store::StoreError;
use hearth_store::lease::Epoch;
use hearth_store::media::{Blob, Listed, Scope, Selection, TotalsOf};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::depot::{Depot, DepotError};
use super::upload::milliseconds;
use super::{Media, MediaError};
use crate::clock;
use crate::log::Lease;

/// How often something is looked for that can go.
const INTERVAL: Duration = Duration::from_secs(10);

/// The lease lasts from one round to the next, and is soon another's when its process dies.
const LEASE: Duration = Duration::from_secs(15);

/// Pictures of previews go when nobody looked at them for so long: longer than any preview is kept.
const PREVIEW_PICTURES: Duration = Duration::from_hours(7 * 24);

/// Rows and objects of one round.
const BATCH: i64 = 500;

/// Entries of the log that are looked through at a time for avatars and stickers.
const ENTRIES: i64 = 2000;

/// The consumer of the log that looks for them.
const LASTING: &str = "lasting media";

/// Media listed, checked or deleted at a time.
const PAGE: i64 = 200;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are there, and are what they were.
    Whole,
    /// They are not what they were.
    Damaged,
    /// They are not there.
    Lost,
    /// Nothing names this object.
    Unknown,
}

/// An object that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where it is, or should be, in the storage.
    pub object: String,
    /// How many bytes it has.
    pub size: u64,
    /// What was found.
    pub verdict: Verdict,
}

impl Media {
    /// Looks after media until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.discard_abandoned() => {}
            () = self.make_ahead() => {}
            () = self.rounds() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn discard_abandoned(&self) {
        loop {
            if let Err(error) = self.inner.depot.discard_abandoned().await {
                tracing::warn!(%error, "what is left of an upload could not be deleted; trying again later");
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    async fn rounds(&self) {
        let mut lease = self.inner.log.lease("media", LEASE);
        loop {
            if let Err(error) = self.round(&mut lease).await {
                tracing::warn!(%error, "media could not be tidied up; trying again later");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn round(&self, lease: &mut Lease) -> Result<(), MediaError> {
        let Some(epoch) = lease.claim().await? else { return Ok(()) };
        let (store, settings) = (&self.inner.store, self.settings());
        self.mark_lasting(epoch).await?;
        store.delete_expired_media(clock::now_ms(), BATCH).await?;
        store.release_parts_of_filled_media(clock::now_ms(), BATCH).await?;
        store.delete_expired_previews(clock::now_ms(), BATCH).await?;
        for (scope, age) in [
            (Scope::Local, settings.keep_local),
            (Scope::Remote, settings.keep_remote),
            (Scope::Previews, Some(PREVIEW_PICTURES)),
        ] {
            let Some(age) = age else { continue };
            let before = clock::now_ms().saturating_sub(milliseconds(age));
            let unused = store.unused_media(scope, settings.server_name.as_str(), before, BATCH).await?;
            if !unused.is_empty() {
                let count = store.delete_media(&unused, Some(before), clock::now_ms()).await?;
                tracing::info!(count, "media were deleted that nobody asked for any more");
            }
        }
        self.free(lease).await
    }

    /// Deletes the objects that nothing names.
    async fn free(&self, lease: &Lease) -> Result<(), MediaError> {
        let incarnation = self.inner.log.incarnation();
        for loose in self.inner.store.gone_loose(incarnation, BATCH).await? {
            if lease.held().is_none() {
                break;
            }
            // One that cannot be deleted keeps no other.
            if let Err(error) = self.inner.depot.discard(&loose).await {
                tracing::warn!(%error, object = loose.object, "what nothing names could not be deleted");
            }
        }
        Ok(())
    }

    /// Marks what became an avatar or a sticker since the last time.
    async fn mark_lasting(&self, epoch: Epoch) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let mut from = store.cursor(LASTING).await?.unwrap_or(Position::new(0));
        while let Some(reached) = store.mark_lasting_media(from, ENTRIES).await? {
            if !store.move_cursor(LASTING, reached, epoch).await? {
                break;
            }
            from = reached;
        }
        Ok(())
    }

    /// A page of media, oldest first, after the number `after`.
    pub async fn list(&self, of: Selection<'_>, after: i64) -> Result<Vec<Listed>, MediaError> {
        Ok(self.inner.store.list_media(of, after, PAGE).await?)
    }

    /// Makes the storage that is configured the one of this database's media, whatever was before.
    pub async fn adopt_storage(&self) -> Result<(), MediaError> {
        Ok(self.inner.depot.adopt().await?)
    }

    /// How much there is.
    pub async fn totals(&self) -> Result<TotalsOf, MediaError> {
        Ok(self.inner.store.media_totals(self.settings().server_name.as_str()).await?)
    }

    /// Deletes media, and frees what only they took. Returns how many there were.
    pub async fn delete(&self, of: Selection<'_>) -> Result<u64, MediaError> {
        let mut deleted = 0;
        loop {
            let page = self.list(of, 0).await?;
            if page.is_empty() {
                break;
            }
            let nids: Vec<i64> = page.iter().map(|listed| listed.medium.nid).collect();
            deleted += self.inner.store.delete_media(&nids, None, clock::now_ms()).await?;
        }
        self.free_all().await?;
        Ok(deleted)
    }

    /// Deletes media of other servers that nobody asked for lately: they can be had again.
    pub async fn purge_remote(&self, age: Duration) -> Result<u64, MediaError> {
        let before = clock::now_ms().saturating_sub(milliseconds(age));
        let server = self.settings().server_name.as_str();
        let mut deleted = 0;
        loop {
            let unused = self.inner.store.unused_media(Scope::Remote, server, before, BATCH).await?;
            if unused.is_empty() {
                break;
            }
            let gone = self.inner.store.delete_media(&unused, Some(before), clock::now_ms()).await?;
            if gone == 0 {
                break;
            }
            deleted += gone;
        }
        self.free_all().await?;
        Ok(deleted)
    }

    async fn free_all(&self) -> Result<(), MediaError> {
        let incarnation = self.inner.log.incarnation();
        loop {
            let gone = self.inner.store.gone_loose(incarnation, BATCH).await?;
            if gone.is_empty() {
                return Ok(());
            }
            for loose in gone {
                self.inner.depot.discard(&loose).await?;
            }
        }
    }

    /// Forbids to serve media, or allows it again where `by` is none. Returns how many that changed.
    pub async fn quarantine(&self, of: Selection<'_>, by: Option<&str>) -> Result<u64, MediaError> {
        Ok(self.inner.store.quarantine_media(of, by).await?)
    }

    /// Forbids content, whoever has it and whoever brings it again, or allows it where `by` is none.
    pub async fn block(&self, sha256: &[u8; 32], by: Option<&str>) -> Result<bool, MediaError> {
        Ok(self.inner.store.block_content(sha256, by, clock::now_ms()).await?)
    }

    /// Reads all bytes there are, and says of each object whether it is what it was; then names the objects that
    /// nothing names.
    pub async fn verify(&self, mut tell: impl FnMut(Checked)) -> Result<(), MediaError> {
        let mut after = 0;
        loop {
            let blobs = self.inner.store.blobs(after, PAGE).await?;
            let Some(last) = blobs.last() else { break };
            after = last.nid;
            for blob in blobs {
                let verdict = self.check(&blob).await?;
                tell(Checked { object: blob.object, size: blob.size, verdict });
            }
        }
        let mut listed = self.inner.depot.objects().list(None).try_chunks(1000);
        while let Some(objects) = listed.try_next().await.map_err(|error| failed(error.1))? {
            let names: Vec<String> = objects.iter().map(|object| object.location.to_string()).collect();
            let known = self.inner.store.known_objects(&names).await?;
            for object in objects {
                let name = object.location.to_string();
                if !known.contains(&name) && !Depot::is_marker(&name) {
                    tell(Checked { object: name, size: object.size, verdict: Verdict::Unknown });
                }
            }
        }
        Ok(())
    }

    async fn check(&self, blob: &Blob) -> Result<Verdict, MediaError> {
        match self.inner.depot.size(&blob.object).await? {
            None => return Ok(Verdict::Lost),
            Some(size) if size != blob.size => return Ok(Verdict::Damaged),
            Some(_) => {}
        }
        let mut bytes = self.inner.depot.read(&blob.object, 0..blob.size).await?;
        let mut hash = Sha256::new();
        while let Some(piece) = bytes.next().await {
            // A bad sector is of this object alone.
            let Ok(piece) = piece else { return Ok(Verdict::Damaged) };
            hash.update(&piece);
        }
        let found: [u8; 32] = hash.finalize().into();
        Ok(if found == blob.sha256 { Verdict::Whole } else { Verdict::Damaged })
    }
}

fn failed(error: object_store::Error) -> MediaError {
    MediaError::Storage(DepotError::Failed(Box::new(error)))
}
