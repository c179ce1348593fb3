//! Bytes that have arrived become a medium's, all at once.

use hearth_core::id::UserNid;
use sqlx::{Postgres, Transaction};

use crate::{Result, Store, StoreError, statements};

/// Who the pictures of previews count for.
pub(super) const PREVIEWS: i64 = 0;

/// A medium to be.
#[derive(Clone, Copy, Debug)]
pub struct NewMedia<'a> {
    /// The server that it is of.
    pub server: &'a str,
    /// Its media id.
    pub id: &'a str,
    /// The local user who uploads it.
    pub user: Option<UserNid>,
    /// The time, milliseconds since the epoch.
    pub now: i64,
}

/// Where bytes go.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    /// To a new medium; `preview` where it is a picture of a URL preview.
    New {
        /// The medium.
        media: NewMedia<'a>,
        /// Whether it is a picture of a URL preview.
        preview: bool,
    },
    /// To one whose id was reserved by this user.
    Reserved {
        /// The medium.
        nid: i64,
        /// Its user.
        user: UserNid,
    },
}

/// What a medium becomes by its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The medium.
    pub to: Destination<'a>,
    /// What it is served as.
    pub content_type: &'a str,
    /// What its uploader called it.
    pub file_name: Option<&'a str>,
}

/// Bytes that are in the storage.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Where.
    pub object: &'a str,
    /// Their hash.
    pub sha256: &'a [u8; 32],
    /// How many they are.
    pub size: i64,
    /// The time, milliseconds since the epoch.
    pub now: i64,
}

/// How many bytes may be uploaded; none for any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quota {
    /// By one user.
    pub user: Option<i64>,
    /// By all of them together.
    pub server: Option<i64>,
}

/// What became of bytes that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// They are a medium's. The blob, and the object that is not needed because the same bytes were there already.
    Done {
        /// The blob.
        blob: i64,
        /// What can go.
        leftover: Option<String>,
    },
    /// The user has no room for them.
    UserFull,
    /// The server has no room for them.
    ServerFull,
    /// An administrator forbids them.
    Blocked,
    /// The reserved id was filled, or expired, meanwhile.
    Taken,
    /// They were cleaned away, because this process was taken to be dead.
    Lost,
}

impl Arrived<'_> {
    /// Makes the object a blob, or finds the blob of the same bytes and returns the object as what can go. None
    /// where the object was cleaned away.
    pub(super) async fn keep(
        &self,
        tx: &mut Transaction<'_, Postgres>,
    ) -> Result<Option<(i64, Option<String>)>> {
        // The row of the blob is locked by this until the end, so that nobody deletes it who finds no use of it.
        let (blob, object): (i64, String) = sqlx::query_as(
            "INSERT INTO media_blob AS b (sha256, size, object, stored_ts) VALUES ($1, $2, $3, $4)
             ON CONFLICT (sha256) DO UPDATE SET sha256 = b.sha256 RETURNING nid, object",
        )
        .bind(&self.sha256[..])
        .bind(self.size)
        .bind(self.object)
        .bind(self.now)
        .fetch_one(&mut **tx)
        .await?;
        let leftover = (object != self.object).then(|| self.object.to_owned());
        let settle = if leftover.is_some() {
            "UPDATE media_loose SET incarnation = 0 WHERE object = $1 AND incarnation > 0"
        } else {
            "DELETE FROM media_loose WHERE object = $1 AND incarnation > 0"
        };
        let done = sqlx::query(settle).bind(self.object).execute(&mut **tx).await?;
        Ok((done.rows_affected() > 0).then_some((blob, leftover)))
    }
}

impl Destination<'_> {
    /// Whose usage it counts to; nobody's where it is another server's.
    fn counts_to(&self) -> Option<i64> {
        match self {
            Self::New { media: NewMedia { user: Some(_), .. }, preview: true } => Some(PREVIEWS),
            Self::New { media, .. } => media.user.map(UserNid::get),
            Self::Reserved { user, .. } => Some(user.get()),
        }
    }
}

impl Filling<'_> {
    /// Gives the medium its blob. Says whether it could still have one.
    async fn fill(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        blob: i64,
        arrived: &Arrived<'_>,
    ) -> Result<bool> {
        let filled = match self.to {
            Destination::New { media, preview } => sqlx::query(
                "INSERT INTO media (server, id, user_nid, blob_nid, size, content_type, file_name, created_ts,
                                    filled_ts, used_ts, preview)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8, $9)",
            )
            .bind(media.server)
            .bind(media.id)
            .bind(media.user.map(UserNid::get))
            .bind(blob)
            .bind(arrived.size)
            .bind(self.content_type)
            .bind(self.file_name)
            .bind(media.now)
            .bind(preview),
            Destination::Reserved { nid, .. } => sqlx::query(
                "UPDATE media SET blob_nid = $2, size = $3, content_type = $4, file_name = $5, filled_ts = $6,
                                  used_ts = $6
                 WHERE nid = $1 AND blob_nid IS NULL AND expires_ts > $6",
            )
            .bind(nid)
            .bind(blob)
            .bind(arrived.size)
            .bind(self.content_type)
            .bind(self.file_name)
            .bind(arrived.now),
        };
        Ok(filled.execute(&mut **tx).await?.rows_affected() > 0)
    }
}

impl Store {
    /// Makes bytes that have arrived a medium's, and counts them against the quota.
    pub async fn commit_media(
        &self,
        filling: &Filling<'_>,
        arrived: &Arrived<'_>,
        quota: Quota,
    ) -> Result<Committed> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        if is_blocked(&mut tx, arrived.sha256).await? {
            return Ok(Committed::Blocked);
        }
        // Usage is locked before blobs and media, here and where they are deleted, so that neither waits for the other.
        if let Some(user) = filling.to.counts_to() {
            if !has_room(&mut tx, arrived.size, quota.server).await? {
                return Ok(Committed::ServerFull);
            }
            let most = quota.user.filter(|_| user != PREVIEWS);
            if !add_usage(&mut tx, user, arrived.size, most).await? {
                return Ok(Committed::UserFull);
            }
        }
        let Some((blob, leftover)) = arrived.keep(&mut tx).await? else { return Ok(Committed::Lost) };
        if !filling.fill(&mut tx, blob, arrived).await? {
            return Ok(Committed::Taken);
        }
        tx.commit().await?;
        Ok(Committed::Done { blob, leftover })
    }

    /// Whether a user, or the server, has no room for so many bytes more: to be told before they are sent.
    pub async fn media_quota_left(
        &self,
        user: UserNid,
        size: i64,
        quota: Quota,
    ) -> Result<Option<Committed>> {
        if quota.user.is_none() && quota.server.is_none() {
            return Ok(None);
        }
        let (own, all): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(bytes) FILTER (WHERE user_nid = $1), 0)::bigint, coalesce(sum(bytes), 0)::bigint
             FROM media_usage",
        )
        .bind(user.get())
        .fetch_one(self.db())
        .await?;
        let is_full =
            |used: i64, most: Option<i64>| most.is_some_and(|most| used.saturating_add(size) > most);
        if is_full(own, quota.user) {
            return Ok(Some(Committed::UserFull));
        }
        Ok(is_full(all, quota.server).then_some(Committed::ServerFull))
    }
}

/// Whether there is room for so many bytes more of anybody's. Where that is bounded, uploads are counted one after the
/// other, by a lock that no table has.
async fn has_room(tx: &mut Transaction<'_, Postgres>, size: i64, most: Option<i64>) -> Result<bool> {
    let Some(most) = most else { return Ok(true) };
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('media quota', 0))")
        .execute(&mut **tx)
        .await?;
    let used: i64 = sqlx::query_scalar("SELECT coalesce(sum(bytes), 0)::bigint FROM media_usage")
        .fetch_one(&mut **tx)
        .await?;
    Ok(used.saturating_add(size) <= most)
}

async fn is_blocked(tx: &mut Transaction<'_, Postgres>, sha256: &[u8; 32]) -> Result<bool> {
    let blocked: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM media_blocked WHERE sha256 = $1)")
        .bind(&sha256[..])
        .fetch_one(&mut **tx)
        .await?;
    Ok(blocked)
}

/// Counts a medium of so many bytes, unless that would be more than `most`. Says whether it did.
async fn add_usage(
    tx: &mut Transaction<'_, Postgres>,
    user: i64,
    size: i64,
    most: Option<i64>,
) -> Result<bool, StoreError> {
    let most = most.unwrap_or(i64::MAX);
    let done = sqlx::query(
        "INSERT INTO media_usage AS u (user_nid, bytes, files) SELECT $1, $2, 1 WHERE $2 <= $3
         ON CONFLICT (user_nid) DO UPDATE SET bytes = u.bytes + $2, files = u.files + 1
         WHERE u.bytes + $2 <= $3",
    )
    .bind(user)
    .bind(size)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}
