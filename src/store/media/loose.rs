//! Objects of the storage that no blob names.

use crate::{Result, Store};

/// A process unheard of for this long has let go of what it was writing. Database clock.
const GONE_AFTER: &str = "15 seconds";

/// An object that no blob names.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Loose {
    /// Where it is in the storage.
    pub object: String,
    /// The storage's own id of an upload in parts.
    pub upload_id: Option<String>,
}

impl Store {
    /// An object is about to be written by this process.
    pub async fn add_loose(&self, loose: &Loose, incarnation: i64, now: i64) -> Result<()> {
        sqlx::query(
            "INSERT INTO media_loose (object, incarnation, upload_id, since_ts) VALUES ($1, $2, $3, $4)",
        )
        .bind(&loose.object)
        .bind(incarnation)
        .bind(&loose.upload_id)
        .bind(now)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// An object is about to get another name. False where it was cleaned away. Served by `media_loose_pkey`.
    pub async fn rename_loose(&self, from: &str, to: &str) -> Result<bool> {
        let done = sqlx::query("UPDATE media_loose SET object = $2 WHERE object = $1 AND incarnation > 0")
            .bind(from)
            .bind(to)
            .execute(self.db())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The objects that nobody needs or writes any more: at most `limit`, the oldest first. Those of this process
    /// are not among them.
    pub async fn gone_loose(&self, incarnation: i64, limit: i64) -> Result<Vec<Loose>> {
        let loose = sqlx::query_as(
            "SELECT object, upload_id FROM media_loose l
             WHERE incarnation <> $1 AND NOT EXISTS (
                 SELECT 1 FROM replica r
                 WHERE r.incarnation = l.incarnation AND r.seen_at > now() - $2::text::interval)
             ORDER BY since_ts LIMIT $3",
        )
        .bind(incarnation)
        .bind(GONE_AFTER)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(loose)
    }

    /// Claims an object for deletion: false where it has become a blob's meanwhile, or is another's already. Served
    /// by `media_loose_pkey`.
    pub async fn claim_loose(&self, object: &str, incarnation: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE media_loose SET incarnation = $2 WHERE object = $1")
            .bind(object)
            .bind(-incarnation)
            .execute(self.db())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The storage's own id of the upload in parts of an object. Served by `media_loose_pkey`.
    pub async fn loose_upload(&self, object: &str) -> Result<Option<String>> {
        let id: Option<Option<String>> =
            sqlx::query_scalar("SELECT upload_id FROM media_loose WHERE object = $1")
                .bind(object)
                .fetch_optional(self.db())
                .await?;
        Ok(id.flatten())
    }

    /// An object is gone. Served by `media_loose_pkey`.
    pub async fn loose_is_gone(&self, object: &str) -> Result<()> {
        sqlx::query("DELETE FROM media_loose WHERE object = $1").bind(object).execute(self.db()).await?;
        Ok(())
    }

    /// The objects that the storage may hold, of those named: with a blob, a part or a row here.
    pub async fn known_objects(&self, objects: &[String]) -> Result<Vec<String>> {
        let known = sqlx::query_scalar(
            "SELECT object FROM media_blob WHERE object = ANY ($1)
             UNION ALL SELECT object FROM media_part WHERE object = ANY ($1)
             UNION ALL SELECT object FROM media_loose WHERE object = ANY ($1)",
        )
        .bind(objects)
        .fetch_all(self.db())
        .await?;
        Ok(known)
    }
}
