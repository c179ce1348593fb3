//! Bytes in the storage, and the thumbnails made of them.

use std::fmt::Write as _;

use sqlx::FromRow;

use super::commit::Arrived;
use crate::{Result, Store, StoreError, statements};

/// Bytes in the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Their number here.
    pub nid: i64,
    /// Their hash.
    pub sha256: [u8; 32],
    /// How many they are.
    pub size: u64,
    /// Where they are in the storage.
    pub object: String,
    /// When they were stored, milliseconds since the epoch.
    pub stored_ts: i64,
    /// Whether the scanner said what they are.
    pub scanned: bool,
    /// Whether it said that they must not be served.
    pub infected: bool,
    /// What they are as a picture, where they were looked at as one.
    pub picture: Option<PictureFacts>,
}

/// What bytes are as a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PictureFacts {
    /// Width and height in pixels, upright; none where it is no picture.
    pub size: Option<(u32, u32)>,
    /// Its blurhash, where it was made.
    pub blurhash: Option<String>,
}

/// Which thumbnail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbnailKey {
    /// The width of its size class.
    pub width: u32,
    /// The height of its size class.
    pub height: u32,
    /// Cropped to that, or scaled to fit.
    pub crop: bool,
    /// Whether it moves.
    pub animated: bool,
}

/// A thumbnail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Its bytes.
    pub blob: Blob,
    /// What they are.
    pub content_type: String,
}

/// Bytes as people write hashes.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[derive(FromRow)]
pub(super) struct BlobRow {
    blob_nid: Option<i64>,
    sha256: Option<Vec<u8>>,
    size: Option<i64>,
    object: Option<String>,
    stored_ts: Option<i64>,
    scanned: Option<bool>,
    infected: Option<bool>,
    examined: Option<bool>,
    width: Option<i32>,
    height: Option<i32>,
    blurhash: Option<String>,
}

#[derive(FromRow)]
struct ThumbnailRow {
    content_type: String,
    #[sqlx(flatten)]
    blob: BlobRow,
}

impl BlobRow {
    /// None where the row was joined and there is none.
    pub(super) fn blob(self) -> Result<Option<Blob>> {
        let Some(nid) = self.blob_nid else { return Ok(None) };
        let corrupt = || StoreError::corrupt("media_blob", nid);
        let size = self.width.zip(self.height);
        let size = size.and_then(|(width, height)| Some((width.try_into().ok()?, height.try_into().ok()?)));
        let picture = PictureFacts { size, blurhash: self.blurhash };
        Ok(Some(Blob {
            nid,
            sha256: self.sha256.and_then(|hash| hash.try_into().ok()).ok_or_else(corrupt)?,
            size: self.size.and_then(|size| size.try_into().ok()).ok_or_else(corrupt)?,
            object: self.object.ok_or_else(corrupt)?,
            stored_ts: self.stored_ts.ok_or_else(corrupt)?,
            scanned: self.scanned.unwrap_or(false),
            infected: self.infected.unwrap_or(false),
            picture: self.examined.unwrap_or(false).then_some(picture),
        }))
    }
}

/// The columns of a blob, in a query where it is `b`.
pub(super) const BLOB: &str = "b.nid AS blob_nid, b.sha256, b.size, b.object, b.stored_ts,
                    b.scanned_ts IS NOT NULL AS scanned, b.infected, b.examined, b.width, b.height, b.blurhash";

impl Store {
    /// A blob by its number. Served by `media_blob_pkey`.
    pub async fn blob(&self, nid: i64) -> Result<Option<Blob>> {
        let query = format!("SELECT {BLOB} FROM media_blob b WHERE b.nid = $1");
        let row: Option<BlobRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(nid).fetch_optional(self.db()).await?;
        row.map_or(Ok(None), BlobRow::blob)
    }

    /// A page of blobs after a number. Served by `media_blob_pkey`.
    pub async fn blobs(&self, after: i64, limit: i64) -> Result<Vec<Blob>> {
        let query = format!("SELECT {BLOB} FROM media_blob b WHERE b.nid > $1 ORDER BY b.nid LIMIT $2");
        let rows: Vec<BlobRow> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(after).bind(limit).fetch_all(self.db()).await?;
        rows.into_iter().filter_map(|row| row.blob().transpose()).collect()
    }

    /// The scanner said what a blob is. Served by `media_blob_pkey`.
    pub async fn blob_is_scanned(&self, nid: i64, infected: bool, now: i64) -> Result<()> {
        sqlx::query("UPDATE media_blob SET scanned_ts = $3, infected = $2 WHERE nid = $1")
            .bind(nid)
            .bind(infected)
            .bind(now)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// A blob was looked at as a picture. A blurhash that is known stays. Served by `media_blob_pkey`.
    pub async fn blob_is_examined(&self, nid: i64, facts: &PictureFacts) -> Result<()> {
        let (width, height) = facts.size.unzip();
        let number = |size: Option<u32>| size.and_then(|size| i32::try_from(size).ok());
        sqlx::query(
            "UPDATE media_blob SET examined = true, width = $2, height = $3, blurhash = coalesce($4, blurhash)
             WHERE nid = $1",
        )
        .bind(nid)
        .bind(number(width))
        .bind(number(height))
        .bind(&facts.blurhash)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// A thumbnail that was made. Served by `media_thumbnail_pkey`.
    pub async fn thumbnail(&self, blob: i64, key: ThumbnailKey) -> Result<Option<Thumbnail>> {
        let query = format!(
            "SELECT t.content_type, {BLOB} FROM media_thumbnail t JOIN media_blob b ON b.nid = t.image_nid
             WHERE t.blob_nid = $1 AND t.width = $2 AND t.height = $3 AND t.crop = $4 AND t.animated = $5"
        );
        let row: Option<ThumbnailRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(blob)
            .bind(i64::from(key.width))
            .bind(i64::from(key.height))
            .bind(key.crop)
            .bind(key.animated)
            .fetch_optional(self.db())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let blob = row.blob.blob()?.ok_or_else(|| StoreError::corrupt("media_thumbnail", blob))?;
        Ok(Some(Thumbnail { blob, content_type: row.content_type }))
    }

    /// Keeps a thumbnail whose bytes have arrived; returns the object that is not needed, because there are the
    /// same bytes already. None where its source, or the object itself, was deleted meanwhile,
    /// or where it was made by another at the same moment.
    pub async fn add_thumbnail(
        &self,
        source: i64,
        key: ThumbnailKey,
        content_type: &str,
        arrived: &Arrived<'_>,
    ) -> Result<Option<Option<String>>> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        let there: Option<i64> =
            sqlx::query_scalar("SELECT nid FROM media_blob WHERE nid = $1 FOR KEY SHARE")
                .bind(source)
                .fetch_optional(&mut *tx)
                .await?;
        if there.is_none() {
            return Ok(None);
        }
        let Some((image, leftover)) = arrived.keep(&mut tx).await? else { return Ok(None) };
        let added = sqlx::query(
            "INSERT INTO media_thumbnail
                 (blob_nid, width, height, crop, animated, image_nid, content_type, made_ts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(source)
        .bind(i64::from(key.width))
        .bind(i64::from(key.height))
        .bind(key.crop)
        .bind(key.animated)
        .bind(image)
        .bind(content_type)
        .bind(arrived.now)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(leftover))
    }
}
