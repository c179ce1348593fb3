//! Thumbnails: made when they are first asked for, or ahead of that, and kept.

mod command;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hearth_store::media::{Arrived, Blob, PictureFacts, ThumbnailKey};
use tokio::sync::{Notify, Semaphore};

use super::picture::{self, Picture, Rendered};
use super::turns::Turns;
use super::{Found, Media, MediaError, PictureLimits, Uploaded, kind};
use crate::clock;

/// > `32x32, crop` `96x96, crop` `320x240, scale` `640x480, scale` `800x600, scale`
///
/// The sizes that every server has, and that are made ahead.
const USUAL: [ThumbnailKey; 5] = [
    still(32, 32, true),
    still(96, 96, true),
    still(320, 240, false),
    still(640, 480, false),
    still(800, 600, false),
];

/// What the usual thumbnails are made of, all from one.
const ROUGH: ThumbnailKey = still(1600, 1200, false);

/// The boxes that thumbnails fit into. What is asked for is rounded up to one, so that nobody has thousands made.
const BOXES: [(u32, u32); 6] = [(320, 240), (640, 480), (800, 600), (1280, 960), (1920, 1440), (3840, 2880)];

/// The sides of thumbnails that are cropped, likewise.
const SIDES: [u32; 8] = [32, 96, 160, 320, 640, 960, 1280, 1920];

/// The short side of what is cropped is one of so many parts of the long one: whole numbers of them for all shapes that
/// pictures usually have, and a bound on how many thumbnails one picture has.
const SHAPES: u64 = 48;

/// Pictures that may wait to be decoded, for each that is: some seconds of it.
const WAITING: usize = 32;

/// Pictures whose thumbnails wait to be made ahead; of more they are made when asked for.
const AHEAD: usize = 1000;

const fn still(width: u32, height: u32, crop: bool) -> ThumbnailKey {
    ThumbnailKey { width, height, crop, animated: false }
}

/// The thumbnail that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its width at the least.
    pub width: u32,
    /// Its height at the least.
    pub height: u32,
    /// Whether it is to have this shape, or its picture's.
    pub crop: bool,
    /// Whether it may move.
    pub animated: bool,
}

/// Thumbnails in the making.
pub(super) struct Thumbnails {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    making: Turns<(i64, ThumbnailKey)>,
    ahead: Mutex<VecDeque<i64>>,
    bell: Notify,
}

impl Thumbnails {
    /// As many pictures are decoded at a time as there are processors.
    pub(super) fn new() -> Self {
        let turns = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            turns: Arc::new(Semaphore::new(turns)),
            waiting: Arc::new(Semaphore::new(turns * WAITING)),
            making: Turns::new(),
            ahead: Mutex::default(),
            bell: Notify::new(),
        }
    }

    /// Loads bytes and does something with them where it keeps no other request waiting. Only as many are in memory
    /// as are worked on.
    pub(super) async fn work<T, E, F>(
        &self,
        load: impl Future<Output = Result<Bytes, E>>,
        work: F,
    ) -> Result<T, MediaError>
    where
        T: Send + 'static,
        MediaError: From<E>,
        F: FnOnce(&Bytes) -> Result<T, MediaError> + Send + 'static,
    {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| MediaError::Busy)?;
        // It is never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| MediaError::Busy)?;
        let bytes = load.await?;
        // The work goes on where nobody waits for it any more, and so does its turn.
        let held = (waiting, turn);
        // A decoder that panics is one that met a picture it did not foresee.
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&bytes);
            drop(held);
            done
        })
        .await;
        done.unwrap_or(Err(MediaError::NoThumbnail("the picture is damaged")))
    }
}

impl Wanted {
    /// The thumbnail that is made for it: never a smaller one, unless it asks for more than there is any sense in.
    /// One that is cropped has the shape that is asked for.
    fn class(self) -> ThumbnailKey {
        let fits = |(width, height): &(u32, u32)| *width >= self.width && *height >= self.height;
        let (width, height) = if self.crop {
            let (long, short) = (self.width.max(self.height), self.width.min(self.height));
            let side = SIDES.into_iter().find(|side| *side >= long).unwrap_or(1920);
            let parts = (u64::from(short) * SHAPES).div_ceil(u64::from(long.max(1)));
            let other = u32::try_from(u64::from(side) * parts / SHAPES).unwrap_or(side).max(1);
            if self.width >= self.height { (side, other) } else { (other, side) }
        } else {
            BOXES.into_iter().find(fits).unwrap_or((3840, 2880))
        };
        ThumbnailKey { width, height, crop: self.crop, animated: self.animated }
    }
}

impl Media {
    /// The thumbnail of a medium that was found.
    pub async fn thumbnail(&self, of: &Found, wanted: Wanted) -> Result<Found, MediaError> {
        let key = wanted.class();
        if let Some(found) = self.made(of, key).await? {
            return Ok(found);
        }
        // One makes it, the others wait for that.
        let _turn = self.inner.thumbnails.making.at((of.blob.nid, key)).await;
        if let Some(found) = self.made(of, key).await? {
            return Ok(found);
        }
        let limits = self.settings().pictures;
        let picture = self.picture_of(&of.blob, &of.content_type);
        let work = move |bytes: &Bytes| render(bytes, key, limits);
        let rendered = self.inner.thumbnails.work(picture, work).await?;
        self.keep(&of.blob, key, rendered).await?;
        self.made(of, key).await?.ok_or(MediaError::Absent)
    }

    /// Has the usual thumbnails made soon, where that is wanted.
    pub(super) fn prepare_thumbnails(&self, blob: i64, content_type: &str) {
        if !self.settings().premade_thumbnails || !picture::is_picture(content_type) {
            return;
        }
        let thumbnails = &self.inner.thumbnails;
        let mut ahead = thumbnails.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.len() < AHEAD {
            ahead.push_back(blob);
            thumbnails.bell.notify_one();
        }
    }

    /// Makes the usual thumbnails of pictures as they come, one after the other.
    pub(super) async fn make_ahead(&self) {
        let thumbnails = &self.inner.thumbnails;
        let next = || thumbnails.ahead.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        loop {
            while let Some(blob) = next() {
                if let Err(error) = self.make_usual(blob).await {
                    tracing::debug!(%error, "no thumbnails made ahead");
                }
            }
            thumbnails.bell.notified().await;
        }
    }

    async fn make_usual(&self, blob: i64) -> Result<(), MediaError> {
        let Some(blob) = self.inner.store.blob(blob).await? else { return Ok(()) };
        let limits = self.settings().pictures;
        let work = move |bytes: &Bytes| {
            // The largest of them is made of much less than a photograph has, and so are the others.
            let picture = Picture::decode(bytes, limits)?.reduced(ROUGH)?;
            USUAL
                .iter()
                .map(|key| Ok((*key, picture.thumbnail(*key)?)))
                .collect::<Result<Vec<_>, MediaError>>()
        };
        for (key, rendered) in self.inner.thumbnails.work(self.load(&blob), work).await? {
            if self.inner.store.thumbnail(blob.nid, key).await?.is_none() {
                self.keep(&blob, key, rendered).await?;
            }
        }
        Ok(())
    }

    /// What an uploaded picture is, for who shows something in its place. Nothing for what is no picture.
    pub async fn blurhash(&self, uploaded: &Uploaded) -> Result<Option<String>, MediaError> {
        let Some(blob) = self.inner.store.blob(uploaded.blob).await? else { return Ok(None) };
        if let Some(blurhash) = blob.picture.as_ref().and_then(|picture| picture.blurhash.clone()) {
            return Ok(Some(blurhash));
        }
        let limits = self.settings().pictures;
        let work = move |bytes: &Bytes| {
            let picture = Picture::decode(bytes, limits)?;
            Ok(PictureFacts { size: Some(picture.size()), blurhash: picture.blurhash() })
        };
        let facts = match self.inner.thumbnails.work(self.load(&blob), work).await {
            Ok(facts) => facts,
            Err(MediaError::NoThumbnail(_) | MediaError::PictureTooLarge | MediaError::Busy) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.inner.store.blob_is_examined(blob.nid, &facts).await?;
        Ok(facts.blurhash)
    }

    async fn made(&self, of: &Found, key: ThumbnailKey) -> Result<Option<Found>, MediaError> {
        let found = self.inner.store.thumbnail(of.blob.nid, key).await?;
        let file_name = of.file_name.clone();
        Ok(found.map(|made| Found { content_type: made.content_type, file_name, blob: made.blob }))
    }

    async fn keep(&self, of: &Blob, key: ThumbnailKey, rendered: Rendered) -> Result<(), MediaError> {
        let mut incoming = self.inner.depot.receive();
        incoming.write(rendered.bytes.into()).await?;
        let stored = incoming.finish().await?;
        let size = i64::try_from(stored.size).unwrap_or(i64::MAX);
        let (object, sha256, now) = (stored.object(), &stored.sha256, clock::now_ms());
        let arrived = Arrived { object, sha256, size, now };
        let kept = self.inner.store.add_thumbnail(of.nid, key, rendered.content_type, &arrived).await?;
        if kept == Some(None) {
            stored.keep();
        }
        Ok(())
    }

    /// A picture to make thumbnails of: the medium itself, or what a command makes of it.
    async fn picture_of(&self, blob: &Blob, content_type: &str) -> Result<Bytes, MediaError> {
        if picture::is_picture(content_type) {
            return self.load(blob).await;
        }
        let essence = kind::essence(content_type);
        let main = essence.split('/').next().unwrap_or_default();
        if self.settings().thumbnailer.is_empty()
            || !(matches!(main, "image" | "video") || essence == "application/pdf")
            || essence == "image/svg+xml"
        {
            return Err(MediaError::NoThumbnail("it is no picture"));
        }
        command::run(self, blob).await
    }

    /// All bytes of a picture that is not too large.
    async fn load(&self, blob: &Blob) -> Result<Bytes, MediaError> {
        if blob.size > self.settings().pictures.bytes {
            return Err(MediaError::PictureTooLarge);
        }
        Ok(self.inner.depot.read_all(&blob.object, blob.size).await?)
    }
}

fn render(bytes: &[u8], key: ThumbnailKey, limits: PictureLimits) -> Result<Rendered, MediaError> {
    if key.animated
        && let Some(rendered) = picture::animate(bytes, key, limits)?
    {
        return Ok(rendered);
    }
    Picture::decode(bytes, limits)?.thumbnail(key)
}

/// Width and height of a picture, where it is one that is known here.
pub(super) fn size_of(bytes: &[u8], limits: PictureLimits) -> Option<(u32, u32)> {
    picture::measure(bytes, limits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_rounded_up() {
        let class = |width, height, crop| {
            let key = Wanted { width, height, crop, animated: false }.class();
            (key.width, key.height)
        };
        assert_eq!(class(1, 1, false), (320, 240));
        assert_eq!(class(320, 240, false), (320, 240));
        assert_eq!(class(321, 10, false), (640, 480));
        assert_eq!(class(u32::MAX, 1, false), (3840, 2880));
        assert_eq!(class(32, 32, true), (32, 32));
        assert_eq!(class(33, 97, true), (56, 160));
        assert_eq!(class(240, 320, true), (240, 320));
        assert_eq!(class(1600, 900, true), (1920, 1080));
        assert_eq!(class(u32::MAX, 5, true), (1920, 40));
    }
}
