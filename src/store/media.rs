//! Media: what an mxc URI names.

mod blob;
mod care;
mod commit;
mod loose;
mod part;
mod preview;

use hearth_core::id::UserNid;
use sqlx::FromRow;

use self::blob::BLOB;
use crate::{Result, Store, statements};

pub use self::blob::{Blob, PictureFacts, Thumbnail, ThumbnailKey, hexadecimal};
pub use self::care::{Listed, Scope, Selection, Totals, TotalsOf};
pub use self::commit::{Arrived, Committed, Destination, Filling, NewMedia, Quota};
pub use self::loose::Loose;
pub use self::part::Part;
pub use self::preview::StoredPreview;

/// A medium and, where they have come, its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Its number here.
    pub nid: i64,
    /// The local user who uploaded it.
    pub user: Option<UserNid>,
    /// What its uploader said it is.
    pub content_type: String,
    /// What its uploader called it.
    pub file_name: Option<String>,
    /// When the id was made, milliseconds since the epoch.
    pub created_ts: i64,
    /// Until when a reserved id waits for its bytes.
    pub expires_ts: Option<i64>,
    /// When it was last asked for, within an hour.
    pub used_ts: i64,
    /// An administrator forbids to serve it.
    pub quarantined: bool,
    /// Its bytes; none while the id is only reserved.
    pub blob: Option<Blob>,
}

#[derive(FromRow)]
struct MediumRow {
    nid: i64,
    user_nid: Option<i64>,
    content_type: String,
    file_name: Option<String>,
    created_ts: i64,
    expires_ts: Option<i64>,
    used_ts: i64,
    quarantined: bool,
    #[sqlx(flatten)]
    blob: blob::BlobRow,
}

/// What a query for media with their blobs asks for, and of which tables.
const COLUMNS: &str = "m.nid, m.user_nid, m.content_type, m.file_name, m.created_ts, m.expires_ts, m.used_ts,
            (m.quarantined_by IS NOT NULL OR k.sha256 IS NOT NULL) AS quarantined";
const TABLES: &str =
    "media m LEFT JOIN media_blob b ON b.nid = m.blob_nid LEFT JOIN media_blocked k USING (sha256)";

impl MediumRow {
    fn medium(self) -> Result<Medium> {
        Ok(Medium {
            nid: self.nid,
            user: self.user_nid.map(UserNid::new),
            content_type: self.content_type,
            file_name: self.file_name,
            created_ts: self.created_ts,
            expires_ts: self.expires_ts,
            used_ts: self.used_ts,
            quarantined: self.quarantined,
            blob: self.blob.blob()?,
        })
    }
}

impl Store {
    /// What an mxc URI names. Served by `media_server_id_key`.
    pub async fn medium(&self, server: &str, id: &str) -> Result<Option<Medium>> {
        let query = format!("SELECT {COLUMNS}, {BLOB} FROM {TABLES} WHERE m.server = $1 AND m.id = $2");
        let row: Option<MediumRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(server)
            .bind(id)
            .fetch_optional(self.db())
            .await?;
        row.map(MediumRow::medium).transpose()
    }

    /// Reserves an id for bytes to come, unless its user has `most` such ids already. False where they have.
    /// Served by `media_user`.
    pub async fn reserve_media(&self, new: &NewMedia<'_>, expires_ts: i64, most: i64) -> Result<bool> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        // One after the other, so that each sees those before it.
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended('reserved media of ' || $1::bigint::text, 0))",
        )
        .bind(new.user.map_or(0, UserNid::get))
        .execute(&mut *tx)
        .await?;
        let done = sqlx::query(
            "INSERT INTO media (server, id, user_nid, created_ts, used_ts, expires_ts)
             SELECT $1, $2, $3, $4, $4, $5
             WHERE (SELECT count(*) FROM media
                    WHERE user_nid = $3 AND blob_nid IS NULL AND expires_ts > $4) < $6",
        )
        .bind(new.server)
        .bind(new.id)
        .bind(new.user.map(UserNid::get))
        .bind(new.now)
        .bind(expires_ts)
        .bind(most)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// A medium was asked for.
    pub async fn medium_is_used(&self, nid: i64, now: i64) -> Result<()> {
        sqlx::query("UPDATE media SET used_ts = $2 WHERE nid = $1 AND used_ts < $2")
            .bind(nid)
            .bind(now)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Whether nothing was ever stored.
    pub async fn has_no_media(&self) -> Result<bool> {
        let any: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM media_blob)").fetch_one(self.db()).await?;
        Ok(!any)
    }

    /// The id of the storage that holds the bytes; `proposed` where it has none yet. Served by the primary key.
    pub async fn media_store_id(&self, proposed: &str) -> Result<String> {
        let id = sqlx::query_scalar(
            "INSERT INTO media_store AS s (id) VALUES ($1) ON CONFLICT (one) DO UPDATE SET id = s.id RETURNING id",
        )
        .bind(proposed)
        .fetch_one(self.db())
        .await?;
        Ok(id)
    }
}
