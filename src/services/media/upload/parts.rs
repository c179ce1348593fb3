//! Uploads that are made in several requests: what came before a connection broke is kept.

use bytes::Bytes;
use futures_util::TryStreamExt;
use hearth_core::id::UserNid;
use hearth_store::media::Part;

use super::underway::Place;
use super::{Declared, Target, Uploaded, milliseconds, to_u64};
use crate::clock;
use crate::media::depot::Incoming;
use crate::media::{Media, MediaError};

/// What has come is safe at least so often: a connection that breaks loses less than this.
const PIECE: u64 = 4 * 1024 * 1024;

/// The next bytes of an upload.
pub struct Continuation {
    _place: Place,
    media: Media,
    nid: i64,
    next: u64,
    incoming: Incoming,
}

impl Media {
    /// How many bytes of a reserved medium have come.
    pub async fn progress(&self, target: &Target) -> Result<u64, MediaError> {
        let Target::Reserved { nid, .. } = target else { return Ok(0) };
        Ok(came(&self.inner.store.media_parts(*nid).await?))
    }

    /// Goes on with an upload. `offset` is the number of bytes that came before.
    pub async fn resume(
        &self,
        user: UserNid,
        target: &Target,
        offset: u64,
    ) -> Result<Continuation, MediaError> {
        let Target::Reserved { nid, .. } = target else { return Err(MediaError::Absent) };
        let next = self.progress(target).await?;
        if offset != next {
            return Err(MediaError::WrongOffset(next));
        }
        let waiting = self.inner.store.media_parts_of(user).await?;
        self.must_have_room(user, u64::try_from(waiting).unwrap_or_default()).await?;
        Ok(Continuation {
            _place: self.inner.underway.enter(user)?,
            media: self.clone(),
            nid: *nid,
            next,
            incoming: self.inner.depot.receive(),
        })
    }

    /// All parts have come: the medium is made of them.
    pub async fn complete(
        &self,
        user: UserNid,
        target: Target,
        declared: Declared,
    ) -> Result<Uploaded, MediaError> {
        let Target::Reserved { nid, .. } = &target else { return Err(MediaError::Absent) };
        let nid = *nid;
        let parts = self.inner.store.media_parts(nid).await?;
        let came = came(&parts);
        if let Some(announced) = declared.length.filter(|announced| *announced != came) {
            return Err(MediaError::WrongLength { came, announced });
        }
        let declared = Declared { length: Some(came), ..declared };
        let mut intake = self.begin(user, target, declared).await?;
        for part in parts {
            let size = u64::try_from(part.size).unwrap_or_default();
            let mut bytes = self.inner.depot.read(&part.object, 0..size).await?;
            while let Some(piece) = bytes.try_next().await? {
                intake.write(piece).await?;
            }
        }
        let uploaded = intake.finish().await?;
        self.inner.store.release_media_parts(nid, clock::now_ms()).await?;
        Ok(uploaded)
    }
}

impl Continuation {
    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), MediaError> {
        let most = self.media.settings().max_upload;
        if self.next + self.incoming.size() + to_u64(bytes.len()) > most {
            return Err(MediaError::TooLarge(most));
        }
        if self.media.inner.store.is_full() {
            return Err(MediaError::Full);
        }
        self.incoming.write(bytes).await?;
        if self.incoming.size() >= PIECE {
            self.keep().await?;
        }
        Ok(())
    }

    /// No more bytes come for now. Returns how many there are of the medium.
    pub async fn finish(mut self) -> Result<u64, MediaError> {
        if self.incoming.size() > 0 {
            self.keep().await?;
        }
        Ok(self.next)
    }

    async fn keep(&mut self) -> Result<(), MediaError> {
        let incoming = std::mem::replace(&mut self.incoming, self.media.inner.depot.receive());
        let stored = incoming.finish().await?;
        let part = Part {
            start: i64::try_from(self.next).unwrap_or(i64::MAX),
            size: i64::try_from(stored.size).unwrap_or(i64::MAX),
            object: stored.object().to_owned(),
        };
        let now = clock::now_ms();
        let expires = now.saturating_add(milliseconds(self.media.settings().reserved_for));
        if !self.media.inner.store.add_media_part(self.nid, &part, now, expires).await? {
            let parts = self.media.inner.store.media_parts(self.nid).await?;
            return Err(MediaError::WrongOffset(came(&parts)));
        }
        self.next += stored.size;
        stored.keep();
        Ok(())
    }
}

fn came(parts: &[Part]) -> u64 {
    u64::try_from(parts.iter().map(|part| part.size).sum::<i64>()).unwrap_or_default()
}
