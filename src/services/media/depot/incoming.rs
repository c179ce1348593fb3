//! Writing an object, piece by piece as it comes.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hearth_store::media::{Loose, hexadecimal};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, UploadPart};
use sha2::{Digest, Sha256};

use super::{Backend, Depot, DepotError, INCOMING, failed, unique};
use crate::clock;

/// How much is written at a time to a directory: more is no faster, and every upload under way holds so much.
const WRITE: usize = 128 * 1024;

/// How much is sent at a time to a bucket: no part but the last may have less.
const SEND: usize = 5 * 1024 * 1024;

/// An object on its way. Dropped before it has arrived, it is discarded.
pub struct Incoming {
    depot: Depot,
    /// What is to be written next. Copied: a few bytes as they came can hold on to thousands.
    buffer: BytesMut,
    hash: Sha256,
    size: u64,
    writing: Option<Writing>,
}

/// An object too long for one write.
struct Writing {
    held: Held,
    parts: Parts,
}

enum Parts {
    /// Of a file.
    File { upload: Box<dyn MultipartUpload>, under_way: Option<UploadPart> },
    /// Of an upload of the bucket's.
    Bucket { id: String, sent: Vec<PartId> },
}

/// An object that is discarded unless it becomes a blob's.
struct Held {
    depot: Depot,
    object: String,
    kept: bool,
}

/// An object that is whole and safe on disk. Dropped before a blob names it, it is discarded.
pub struct Stored {
    /// Its hash.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub size: u64,
    held: Held,
}

impl Incoming {
    pub(super) fn new(depot: Depot) -> Self {
        Self { depot, buffer: BytesMut::new(), hash: Sha256::new(), size: 0, writing: None }
    }

    /// How many bytes have come.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), DepotError> {
        self.hash.update(&bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let most = self.depot.piece();
        while !bytes.is_empty() {
            if self.buffer.len() == most {
                self.flush().await?;
            }
            let room = (most - self.buffer.len()).min(bytes.len());
            self.buffer.extend_from_slice(&bytes.split_to(room));
        }
        Ok(())
    }

    /// There are no more bytes: returns when they are safe.
    pub async fn finish(mut self) -> Result<Stored, DepotError> {
        let sha256: [u8; 32] = self.hash.finalize_reset().into();
        if self.writing.is_some() {
            self.flush().await?;
        }
        let name = |unique: &str| format!("{:02x}/{}-{unique}", sha256[0], hexadecimal(&sha256));
        let held = if let Some(writing) = self.writing.take() {
            self.depot.complete(writing, name).await?
        } else {
            let held = self.depot.hold(name(&unique()), None).await?;
            let payload = PutPayload::from(self.buffer.split().freeze());
            self.depot.objects().put(&held.path(), payload).await.map_err(failed)?;
            held
        };
        Ok(Stored { sha256, size: self.size, held })
    }

    /// Writes what waits. One write is under way while the next is filled.
    async fn flush(&mut self) -> Result<(), DepotError> {
        if self.writing.is_none() {
            self.writing = Some(self.depot.begin_parts().await?);
        }
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let next = BytesMut::with_capacity(self.depot.piece());
        let payload = PutPayload::from(std::mem::replace(&mut self.buffer, next).freeze());
        match (&mut writing.parts, &self.depot.0.backend) {
            (Parts::File { upload, under_way }, _) => {
                if let Some(part) = under_way.take() {
                    part.await.map_err(failed)?;
                }
                let mut part = upload.put_part(payload);
                match futures_util::poll!(&mut part) {
                    Poll::Ready(written) => written.map_err(failed)?,
                    Poll::Pending => *under_way = Some(part),
                }
                Ok(())
            }
            (Parts::Bucket { id, sent }, Backend::S3(bucket)) => {
                let part = bucket.put_part(&writing.held.path(), id, sent.len(), payload).await;
                sent.push(part.map_err(failed)?);
                Ok(())
            }
            (Parts::Bucket { .. }, Backend::Directory { .. }) => Ok(()),
        }
    }
}

impl Depot {
    fn piece(&self) -> usize {
        match self.0.backend {
            Backend::Directory { .. } => WRITE,
            Backend::S3(_) => SEND,
        }
    }

    async fn begin_parts(&self) -> Result<Writing, DepotError> {
        let object = format!("{INCOMING}/{}", unique());
        match &self.0.backend {
            Backend::Directory { files, .. } => {
                let held = self.hold(object, None).await?;
                let upload = files.put_multipart(&held.path()).await.map_err(failed)?;
                Ok(Writing { held, parts: Parts::File { upload, under_way: None } })
            }
            Backend::S3(bucket) => {
                let id = bucket.create_multipart(&Path::from(object.as_str())).await.map_err(failed)?;
                let held = match self.hold(object.clone(), Some(id.clone())).await {
                    Ok(held) => held,
                    Err(error) => {
                        // Whoever looks after the bucket finds what even this does not reach.
                        let _ = bucket.abort_multipart(&Path::from(object.as_str()), &id).await;
                        return Err(error);
                    }
                };
                Ok(Writing { held, parts: Parts::Bucket { id, sent: Vec::new() } })
            }
        }
    }

    /// Puts the parts together. A file moves to the name of its content; in a bucket that would be a copy.
    async fn complete(
        &self,
        Writing { mut held, parts }: Writing,
        name: impl Fn(&str) -> String,
    ) -> Result<Held, DepotError> {
        match (parts, &self.0.backend) {
            (Parts::File { mut upload, under_way }, _) => {
                if let Some(part) = under_way {
                    part.await.map_err(failed)?;
                }
                upload.complete().await.map_err(failed)?;
                let from = held.path();
                let settled = name(held.object.rsplit('/').next().unwrap_or_default());
                if !self.0.store.rename_loose(&held.object, &settled).await? {
                    return Err(DepotError::Absent(settled));
                }
                held.object = settled;
                self.objects().rename(&from, &held.path()).await.map_err(failed)?;
            }
            (Parts::Bucket { id, sent }, Backend::S3(bucket)) => {
                bucket.complete_multipart(&held.path(), &id, sent).await.map_err(failed)?;
            }
            (Parts::Bucket { .. }, Backend::Directory { .. }) => {}
        }
        Ok(held)
    }

    /// Notes an object that is about to be written, so that it is found if it never becomes a blob's.
    async fn hold(&self, object: String, upload_id: Option<String>) -> Result<Held, DepotError> {
        if !self.is_home().await? {
            return Err(DepotError::Stray);
        }
        let loose = Loose { object: object.clone(), upload_id };
        self.0.store.add_loose(&loose, self.0.incarnation, clock::now_ms()).await?;
        Ok(Held { depot: self.clone(), object, kept: false })
    }
}

impl Held {
    fn path(&self) -> Path {
        Path::from(self.object.as_str())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.kept {
            self.depot.abandon(std::mem::take(&mut self.object));
        }
    }
}

impl Stored {
    /// Where it is.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.held.object
    }

    /// A blob or a part names it from now on.
    pub fn keep(mut self) {
        self.held.kept = true;
    }
}
