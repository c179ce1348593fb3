//! Reading an object, piece by piece.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStoreExt};

use super::{Depot, DepotError, failed};
use crate::media::upload::to_u64;

/// How much of a file is read at a time: every download under way holds so much, and what waits to be sent.
const READ: usize = 128 * 1024;

/// Bytes as they come.
pub type Bytestream = BoxStream<'static, Result<Bytes, DepotError>>;

impl Depot {
    /// The bytes of an object, from the first of the range to before the last.
    pub async fn read(&self, object: &str, range: Range<u64>) -> Result<Bytestream, DepotError> {
        if range.is_empty() {
            return Ok(futures_util::stream::empty().boxed());
        }
        let end = range.end;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = match self.objects().get_opts(&Path::from(object), options).await {
            Err(object_store::Error::NotFound { .. }) => return Err(DepotError::Absent(object.to_owned())),
            found => found.map_err(failed)?,
        };
        if found.range.end != end {
            return Err(DepotError::Absent(object.to_owned()));
        }
        let range = found.range.clone();
        match found.payload {
            GetResultPayload::File(file, _) => Ok(pieces(file, range).boxed()),
            GetResultPayload::Stream(stream) => Ok(stream.map_err(failed).boxed()),
        }
    }

    /// How many bytes an object has; none where there is no such object.
    pub async fn size(&self, object: &str) -> Result<Option<u64>, DepotError> {
        match self.objects().head(&Path::from(object)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// All of an object that is known to be small.
    pub async fn read_all(&self, object: &str, size: u64) -> Result<Bytes, DepotError> {
        let mut stream = self.read(object, 0..size).await?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(size).unwrap_or_default());
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }
}

/// A file's bytes, each piece read when it is asked for.
fn pieces(file: File, range: Range<u64>) -> impl Stream<Item = Result<Bytes, DepotError>> {
    futures_util::stream::try_unfold((Arc::new(file), range), |(file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let length = usize::try_from(range.end - range.start).map_or(READ, |left| left.min(READ));
        let (start, source) = (range.start, Arc::clone(&file));
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; length];
            source.read_exact_at(&mut piece, start).map(|()| piece)
        });
        let piece = read.await.map_err(failed)?.map_err(failed)?;
        let rest = range.start + to_u64(piece.len())..range.end;
        Ok(Some((Bytes::from(piece), (file, rest))))
    })
}
