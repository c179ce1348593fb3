//! Where the bytes are: a directory, or a bucket of an S3-compatible service.
//!
//! An object is written whole and never changed. Its name begins with the hash of what it holds where that is
//! known before it is written, and ends with something random, so that the same bytes written twice at once, or
//! written again while they are being deleted, never meet. The database says which objects count; those on their
//! way in or out are rows of `media_loose`, so that what a process leaves behind when it dies is found.

mod incoming;
mod outlet;

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hearth_store::media::Loose;
use hearth_store::{Store, StoreError};
use http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::Notify;

pub(super) use self::incoming::{Incoming, Stored};
pub use self::outlet::Bytestream;

/// The object that holds the id of the storage.
const MARKER: &str = "hearth-media-id";

/// Whose storage it is: the database's, another's, or nobody could tell yet.
const UNKNOWN: u8 = 0;
const HOME: u8 = 1;
const STRAY: u8 = 2;

/// A bucket that says nothing for so long has gone away. What takes long because it is much does not.
const SILENCE: Duration = Duration::from_mins(1);

/// Where uploads are that are too long for one write.
const INCOMING: &str = "incoming";

/// Where the bytes are.
#[derive(Clone, Debug)]
pub enum DepotSettings {
    /// In a directory.
    Directory(PathBuf),
    /// In a bucket.
    S3(S3Settings),
}

/// A bucket.
#[derive(Clone)]
pub struct S3Settings {
    /// Its name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Where the service is, if not at Amazon.
    pub endpoint: Option<String>,
    /// The id of the key.
    pub access_key: Option<String>,
    /// The key.
    pub secret_key: Option<String>,
    /// Whether the bucket is part of the host's name.
    pub virtual_hosts: bool,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Why the storage did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// There is no room.
    #[error("the storage is full")]
    Full,
    /// There is no such object.
    #[error("there is no object {0}")]
    Absent(String),
    /// It cannot be reached, or refuses.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// It is not the one that the database's media are in.
    #[error("the storage is not the one that the database's media are in")]
    Stray,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The storage. Cheap to clone.
#[derive(Clone)]
pub struct Depot(Arc<Inner>);

struct Inner {
    backend: Backend,
    store: Store,
    incarnation: i64,
    /// What is known about whose storage it is.
    home: AtomicU8,
    abandoned: Abandoned,
}

enum Backend {
    Directory { files: LocalFileSystem, root: PathBuf },
    S3(AmazonS3),
}

/// Objects whose writers went away over them.
#[derive(Default)]
struct Abandoned {
    objects: Mutex<Vec<String>>,
    bell: Notify,
}

impl fmt::Debug for Depot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Depot {
    /// Opens the storage; makes the directory where there is none.
    pub fn open(settings: &DepotSettings, store: Store, incarnation: i64) -> Result<Self, DepotError> {
        let backend = match settings {
            DepotSettings::Directory(root) => {
                DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
                let files = LocalFileSystem::new_with_prefix(root).map_err(failed)?.with_fsync(true);
                // The objects of what the database forgot are found by their staged names.
                let root = root.canonicalize().map_err(failed)?;
                Backend::Directory { files, root }
            }
            DepotSettings::S3(settings) => Backend::S3(bucket(settings)?),
        };
        Ok(Self(Arc::new(Inner {
            backend,
            store,
            incarnation,
            home: AtomicU8::new(UNKNOWN),
            abandoned: Abandoned::default(),
        })))
    }

    /// Where it is, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.0.backend {
            Backend::Directory { root, .. } => root.display().to_string(),
            Backend::S3(bucket) => bucket.to_string(),
        }
    }

    /// Whether this is the storage that the database's media are in. A storage that is new is made it, where nothing
    /// was stored yet and no other process serves that may have one of its own.
    pub async fn find_home(&self, alone: bool) -> Result<bool, DepotError> {
        let marker = self.marker().await?;
        let proposed = marker.clone().unwrap_or_else(unique);
        let id = self.0.store.media_store_id(&proposed).await?;
        let known = marker.as_ref() == Some(&id);
        let fresh = marker.is_none() && (id == proposed || alone && self.0.store.has_no_media().await?);
        if fresh {
            self.mark(id).await?;
        }
        self.0.home.store(if known || fresh { HOME } else { STRAY }, Ordering::Relaxed);
        Ok(known || fresh)
    }

    /// Makes this the storage that the database's media are in, whatever was before.
    pub async fn adopt(&self) -> Result<(), DepotError> {
        let id = self.0.store.media_store_id(&unique()).await?;
        self.mark(id).await?;
        self.0.home.store(HOME, Ordering::Relaxed);
        Ok(())
    }

    /// As [`Depot::find_home`] found, or finds now if it could not before.
    async fn is_home(&self) -> Result<bool, DepotError> {
        match self.0.home.load(Ordering::Relaxed) {
            HOME => Ok(true),
            STRAY => Ok(false),
            _ => self.find_home(false).await,
        }
    }

    async fn marker(&self) -> Result<Option<String>, DepotError> {
        match self.objects().get(&Path::from(MARKER)).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(failed)?;
                Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn mark(&self, id: String) -> Result<(), DepotError> {
        let put = self.objects().put(&Path::from(MARKER), PutPayload::from(id.into_bytes())).await;
        put.map(drop).map_err(failed)
    }

    /// Begins to write an object.
    #[must_use]
    pub fn receive(&self) -> Incoming {
        Incoming::new(self.clone())
    }

    /// An address under which whoever has it can read an object for a while, with these headers; none where the
    /// storage has no such addresses.
    pub async fn address(
        &self,
        object: &str,
        content_type: &str,
        disposition: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, DepotError> {
        let Backend::S3(bucket) = &self.0.backend else { return Ok(None) };
        let headers =
            [("response-content-type", content_type), ("response-content-disposition", disposition)];
        let options = SignedUrlOptions::new().with_query(headers);
        let url = bucket.signed_url_opts(Method::GET, &Path::from(object), lifetime, &options).await;
        Ok(Some(url.map_err(failed)?.to_string()))
    }

    /// Deletes an object that no blob names, with whatever is left of writing it, and forgets it.
    pub async fn discard(&self, loose: &Loose) -> Result<(), DepotError> {
        if !self.0.store.claim_loose(&loose.object, self.0.incarnation).await? {
            return Ok(());
        }
        let path = Path::from(loose.object.as_str());
        if let (Backend::S3(bucket), Some(id)) = (&self.0.backend, &loose.upload_id) {
            gone(bucket.abort_multipart(&path, id).await)?;
        }
        if let Backend::Directory { root, .. } = &self.0.backend {
            // What it is called while it is written, and before it moves to its name.
            let before = loose.object.rsplit('-').next().map(|unique| format!("{INCOMING}/{unique}"));
            for name in [Some(loose.object.clone()), before].into_iter().flatten() {
                remove(&root.join(&name)).await?;
                remove(&root.join(format!("{name}#1"))).await?;
            }
        }
        gone(self.objects().delete(&path).await)?;
        Ok(self.0.store.loose_is_gone(&loose.object).await?)
    }

    /// Waits until this process gave something up, and discards it. What cannot be discarded is tried again when this
    /// is called again.
    pub async fn discard_abandoned(&self) -> Result<(), DepotError> {
        self.0.abandoned.bell.notified().await;
        let mut objects =
            std::mem::take(&mut *self.0.abandoned.objects.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(object) = objects.pop() {
            if let Err(error) = self.discard_own(&object).await {
                objects.push(object);
                objects.drain(..).for_each(|object| self.abandon(object));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn discard_own(&self, object: &str) -> Result<(), DepotError> {
        // The storage's own id of an upload in parts is in the row.
        let upload_id = self.0.store.loose_upload(object).await?;
        self.discard(&Loose { object: object.to_owned(), upload_id }).await
    }

    /// Every object's name and size, for a check of everything.
    pub(super) fn objects(&self) -> &dyn ObjectStore {
        match &self.0.backend {
            Backend::Directory { files, .. } => files,
            Backend::S3(bucket) => bucket,
        }
    }

    /// What is not one of the objects.
    pub(super) fn is_marker(object: &str) -> bool {
        object == MARKER
    }

    fn abandon(&self, object: String) {
        self.0.abandoned.objects.lock().unwrap_or_else(PoisonError::into_inner).push(object);
        self.0.abandoned.bell.notify_one();
    }
}

fn bucket(settings: &S3Settings) -> Result<AmazonS3, DepotError> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.virtual_hosts)
        .with_client_options(
            ClientOptions::new().with_allow_http(true).with_timeout_disabled().with_read_timeout(SILENCE),
        );
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let (Some(id), Some(key)) = (&settings.access_key, &settings.secret_key) {
        builder = builder.with_access_key_id(id).with_secret_access_key(key);
    }
    builder.build().map_err(failed)
}

/// Sixteen hexadecimal digits that nothing else is called.
fn unique() -> String {
    format!("{:016x}", rand::random::<u64>())
}

async fn remove(file: &std::path::Path) -> Result<(), DepotError> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// What is gone already need not be deleted.
fn gone(result: object_store::Result<()>) -> Result<(), DepotError> {
    match result {
        Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A full disk is told from other failures by the error underneath.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> DepotError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        let kind = inner.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return DepotError::Full;
        }
        source = inner.source();
    }
    DepotError::Failed(Box::new(error))
}
