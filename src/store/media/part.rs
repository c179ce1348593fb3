//! Uploads that are made in several requests: what has come of them.

use hearth_core::id::UserNid;
use sqlx::{FromRow, Postgres, Transaction};

use crate::{Result, Store, statements};

/// A piece of an upload.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Part {
    /// The offset of its first byte.
    pub start: i64,
    /// How many bytes it has.
    pub size: i64,
    /// Where it is in the storage.
    pub object: String,
}

impl Store {
    /// What has come of a reserved medium, in order. Served by `media_part_pkey`.
    pub async fn media_parts(&self, media: i64) -> Result<Vec<Part>> {
        let parts =
            sqlx::query_as("SELECT start, size, object FROM media_part WHERE media_nid = $1 ORDER BY start")
                .bind(media)
                .fetch_all(self.db())
                .await?;
        Ok(parts)
    }

    /// How many bytes have come of all that a user uploads in several requests. Served by `media_user`.
    pub async fn media_parts_of(&self, user: UserNid) -> Result<i64> {
        let bytes = sqlx::query_scalar(
            "SELECT coalesce(sum(p.size), 0)::bigint FROM media_part p JOIN media m ON m.nid = p.media_nid
             WHERE m.user_nid = $1",
        )
        .bind(user.get())
        .fetch_one(self.db())
        .await?;
        Ok(bytes)
    }

    /// Keeps a part that has arrived, if it begins where the last one ends; false where it does not, where the
    /// medium is no longer waited for, or where its object was cleaned away. The medium waits until `expires_ts`
    /// from then on.
    pub async fn add_media_part(&self, media: i64, part: &Part, now: i64, expires_ts: i64) -> Result<bool> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        // Locks the medium, so that of two that come at once the second sees the first.
        let waiting = sqlx::query(
            "UPDATE media SET expires_ts = greatest(expires_ts, $3)
             WHERE nid = $1 AND blob_nid IS NULL AND expires_ts > $2",
        )
        .bind(media)
        .bind(now)
        .bind(expires_ts)
        .execute(&mut *tx)
        .await?;
        if waiting.rows_affected() == 0 {
            return Ok(false);
        }
        let added = sqlx::query(
            "WITH arrived AS (DELETE FROM media_loose WHERE object = $4 AND incarnation > 0 RETURNING object)
             INSERT INTO media_part (media_nid, start, size, object)
             SELECT $1, $2, $3, object FROM arrived
             WHERE $2 = (SELECT coalesce(sum(size), 0) FROM media_part WHERE media_nid = $1)",
        )
        .bind(media)
        .bind(part.start)
        .bind(part.size)
        .bind(&part.object)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Lets go of what has come of a medium. Its objects can be deleted then.
    pub async fn release_media_parts(&self, media: i64, now: i64) -> Result<()> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        release_parts(&mut tx, &[media], now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets go of at most `limit` parts whose media are whole.
    pub async fn release_parts_of_filled_media(&self, now: i64, limit: i64) -> Result<()> {
        sqlx::query(
            "WITH gone AS (
                 DELETE FROM media_part WHERE object = ANY (ARRAY(
                     SELECT p.object FROM media_part p JOIN media m ON m.nid = p.media_nid
                     WHERE m.blob_nid IS NOT NULL LIMIT $2))
                 RETURNING object)
             INSERT INTO media_loose (object, incarnation, since_ts) SELECT object, 0, $1 FROM gone",
        )
        .bind(now)
        .bind(limit)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Lets go of at most `limit` ids that were reserved and not filled in time. Returns how many. Served by
    /// `media_expires`.
    pub async fn delete_expired_media(&self, now: i64, limit: i64) -> Result<u64> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        let expired: Vec<i64> = sqlx::query_scalar(
            "SELECT nid FROM media WHERE blob_nid IS NULL AND expires_ts < $1
             ORDER BY expires_ts LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .bind(now)
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        release_parts(&mut tx, &expired, now).await?;
        let done =
            sqlx::query("DELETE FROM media WHERE nid = ANY ($1)").bind(&expired).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

/// Lets go of what has come of media.
pub(super) async fn release_parts(tx: &mut Transaction<'_, Postgres>, media: &[i64], now: i64) -> Result<()> {
    sqlx::query(
        "WITH gone AS (DELETE FROM media_part WHERE media_nid = ANY ($1) RETURNING object)
         INSERT INTO media_loose (object, incarnation, since_ts) SELECT object, 0, $2 FROM gone",
    )
    .bind(media)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
