//! A program of the operator's that makes a picture of a film, a document, or a picture that is not known here.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use hearth_store::media::Blob;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::media::depot::DepotError;
use crate::media::{Media, MediaError};

/// How long it may take.
const TIME: Duration = Duration::from_secs(30);

/// The largest picture that it may make.
const LARGEST: u64 = 32 * 1024 * 1024;

/// Runs the program with the path of a copy of the file as its last argument. What it writes to its standard output
/// is the picture.
pub(super) async fn run(media: &Media, blob: &Blob) -> Result<Bytes, MediaError> {
    let settings = media.settings();
    let Some((program, arguments)) = settings.thumbnailer.split_first() else {
        return Err(MediaError::NoThumbnail("it is no picture"));
    };
    let copy = copy(media, blob).await?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(copy.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut picture = Vec::new();
    let made = async {
        if let Some(output) = child.stdout.take() {
            output.take(LARGEST).read_to_end(&mut picture).await?;
        }
        child.wait().await
    };
    match tokio::time::timeout(TIME, made).await {
        Ok(Ok(status)) if status.success() => Ok(picture.into()),
        Ok(Ok(_)) => Err(MediaError::NoThumbnail("nothing can be made of it")),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(MediaError::NoThumbnail("making one took too long")),
    }
}

/// A file that is gone when it is dropped.
async fn copy(media: &Media, blob: &Blob) -> Result<NamedTempFile, MediaError> {
    let scratch = &media.settings().scratch;
    tokio::fs::create_dir_all(scratch).await.map_err(failed)?;
    let copy = NamedTempFile::new_in(scratch).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(copy.reopen().map_err(failed)?);
    let mut bytes = media.inner.depot.read(&blob.object, 0..blob.size).await?;
    while let Some(piece) = bytes.try_next().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(copy)
}

fn failed(error: std::io::Error) -> MediaError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => MediaError::Full,
        _ => MediaError::Storage(DepotError::Failed(Box::new(error))),
    }
}
