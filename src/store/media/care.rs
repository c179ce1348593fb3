//! What administrators and retention do with media.

use hearth_core::id::Position;
use sqlx::FromRow;

use super::blob::BLOB;
use super::commit::PREVIEWS;
use super::part::release_parts;
use super::{COLUMNS, Medium, MediumRow, TABLES};
use crate::{Result, Store, statements};

/// Which media.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// One.
    One {
        /// The server that it is of.
        server: &'a str,
        /// Its media id.
        id: &'a str,
    },
    /// Those that a local user uploaded.
    User(&'a str),
    /// Those of a server.
    Server(&'a str),
    /// Those with this content.
    Hash(&'a [u8; 32]),
    /// Those named in a room's events.
    Room(&'a str),
    /// All.
    All,
}

/// Whose media retention looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This server's.
    Local,
    /// Other servers'.
    Remote,
    /// Pictures of URL previews.
    Previews,
}

/// A medium in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The server that it is of.
    pub server: String,
    /// Its media id.
    pub id: String,
    /// The user id of who uploaded it here.
    pub user: Option<String>,
    /// The medium.
    pub medium: Medium,
}

#[derive(FromRow)]
struct ListedRow {
    server: String,
    id: String,
    uploader: Option<String>,
    #[sqlx(flatten)]
    medium: MediumRow,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Totals {
    /// How many.
    pub count: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// How much there is of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalsOf {
    /// Of media of this server.
    pub local: Totals,
    /// Of media of others.
    pub remote: Totals,
    /// Of thumbnails.
    pub thumbnails: Totals,
    /// Of what is in the storage, each content once.
    pub stored: Totals,
}

/// What a room's events show, but for avatars of members, who are in other rooms as well. What holds U+0000 cannot
/// be looked into.
const ROOM: &str = r"(m.server, m.id) IN (
    SELECT split_part(uri, '/', 3), split_part(uri, '/', 4)
    FROM event e,
         LATERAL (SELECT CASE WHEN e.json LIKE '%\\u0000%' THEN '{}' ELSE e.json::json -> 'content' END) c (content),
         unnest(ARRAY[content ->> 'url', content #>> '{file,url}', content #>> '{info,thumbnail_url}',
                      content #>> '{info,thumbnail_file,url}']) AS uri
    WHERE e.room_nid = (SELECT nid FROM room WHERE id = $2) AND e.type <> 'm.room.member' AND uri LIKE 'mxc://%')
    AND $1 = $1";

impl Selection<'_> {
    /// The condition on `m`, and its two parameters.
    fn condition(&self) -> (&'static str, Vec<u8>, String) {
        let text = |text: &str| (Vec::new(), text.to_owned());
        let (condition, (bytes, text)) = match self {
            Self::One { server, id } => (
                "m.server = split_part($2, '/', 1) AND m.id = split_part($2, '/', 2) AND $1 = $1",
                text(&format!("{server}/{id}")),
            ),
            Self::User(user) => (
                "m.user_nid = (SELECT nid FROM interned_user WHERE id = $2) AND NOT m.preview AND $1 = $1",
                text(user),
            ),
            Self::Server(server) => ("m.server = $2 AND $1 = $1", text(server)),
            Self::Hash(hash) => (
                "m.blob_nid = (SELECT nid FROM media_blob WHERE sha256 = $1) AND $2 = $2",
                (hash.to_vec(), String::new()),
            ),
            Self::Room(room) => (ROOM, text(room)),
            Self::All => ("$1 = $1 AND $2 = $2", text("")),
        };
        (condition, bytes, text)
    }
}

impl Store {
    /// A page of media, oldest first, after the number `after`.
    pub async fn list_media(&self, of: Selection<'_>, after: i64, limit: i64) -> Result<Vec<Listed>> {
        let (condition, bytes, text) = of.condition();
        let query = format!(
            "SELECT m.server, m.id, u.id AS uploader, {COLUMNS}, {BLOB}
             FROM {TABLES} LEFT JOIN interned_user u ON u.nid = m.user_nid
             WHERE {condition} AND m.nid > $3 ORDER BY m.nid LIMIT $4"
        );
        let rows: Vec<ListedRow> = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(bytes)
            .bind(text)
            .bind(after)
            .bind(limit)
            .fetch_all(self.db())
            .await?;
        let listed = |row: ListedRow| {
            Ok(Listed { server: row.server, id: row.id, user: row.uploader, medium: row.medium.medium()? })
        };
        rows.into_iter().map(listed).collect()
    }

    /// Forbids to serve media, or allows it again where `by` is none. Returns how many that changed.
    pub async fn quarantine_media(&self, of: Selection<'_>, by: Option<&str>) -> Result<u64> {
        let (condition, bytes, text) = of.condition();
        let query = format!(
            "UPDATE media m SET quarantined_by = $3
             WHERE {condition} AND (m.quarantined_by IS NULL) <> ($3::text IS NULL)"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(bytes)
            .bind(text)
            .bind(by)
            .execute(self.db())
            .await?;
        Ok(done.rows_affected())
    }

    /// Forbids content, or allows it again where `by` is none. False where nothing changed.
    pub async fn block_content(&self, sha256: &[u8; 32], by: Option<&str>, now: i64) -> Result<bool> {
        let query = if by.is_some() {
            "INSERT INTO media_blocked (sha256, blocked_by, blocked_ts) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM media_blocked WHERE sha256 = $1 AND $2::text IS NULL AND $3 = $3"
        };
        let done = sqlx::query(query).bind(&sha256[..]).bind(by).bind(now).execute(self.db()).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Media of a scope that nobody asked for since `before`, but for those that last: at most `limit` of them.
    /// Served by `media_used` and `media_preview_used`.
    pub async fn unused_media(
        &self,
        scope: Scope,
        server: &str,
        before: i64,
        limit: i64,
    ) -> Result<Vec<i64>> {
        let of_scope = match scope {
            Scope::Local => "NOT preview AND quarantined_by IS NULL AND server = $2",
            Scope::Remote => "NOT preview AND quarantined_by IS NULL AND server <> $2",
            Scope::Previews => "preview AND server = $2",
        };
        let query = format!(
            "SELECT nid FROM media m
             WHERE blob_nid IS NOT NULL AND NOT lasting AND used_ts < $1 AND {of_scope}
               AND NOT EXISTS (SELECT 1 FROM profile_field f
                               WHERE f.key = 'avatar_url'
                                 AND f.value = to_json('mxc://' || m.server || '/' || m.id)::text)
             ORDER BY used_ts LIMIT $3"
        );
        let nids = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(before)
            .bind(server)
            .bind(limit)
            .fetch_all(self.db())
            .await?;
        Ok(nids)
    }

    /// Deletes media, where `unused_since` is given only those that nobody asked for since and that do not last, and
    /// the blobs and thumbnails that nothing names any more; their objects can be deleted then. Returns how many
    /// media there were.
    pub async fn delete_media(&self, nids: &[i64], unused_since: Option<i64>, now: i64) -> Result<u64> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        // Before anything else, as who uploads does.
        sqlx::query(
            "SELECT 1 FROM media_usage
             WHERE user_nid IN (SELECT CASE WHEN preview THEN $2 ELSE user_nid END FROM media WHERE nid = ANY ($1))
             ORDER BY user_nid FOR UPDATE",
        )
        .bind(nids)
        .bind(PREVIEWS)
        .execute(&mut *tx)
        .await?;
        let doomed: Vec<i64> = sqlx::query_scalar(
            "SELECT nid FROM media
             WHERE nid = ANY ($1) AND ($2::bigint IS NULL OR used_ts < $2 AND NOT lasting)
             ORDER BY nid FOR UPDATE",
        )
        .bind(nids)
        .bind(unused_since)
        .fetch_all(&mut *tx)
        .await?;
        release_parts(&mut tx, &doomed, now).await?;
        let mut blobs: Vec<i64> = sqlx::query_scalar(
            "WITH gone AS (
                 DELETE FROM media WHERE nid = ANY ($1) RETURNING blob_nid, user_nid, size, preview),
             freed AS (
                 SELECT CASE WHEN preview THEN $2 ELSE user_nid END AS user_nid, sum(size)::bigint AS bytes,
                        count(*) AS files
                 FROM gone WHERE blob_nid IS NOT NULL AND user_nid IS NOT NULL GROUP BY 1),
             settled AS (
                 UPDATE media_usage u SET bytes = u.bytes - f.bytes, files = u.files - f.files
                 FROM freed f WHERE u.user_nid = f.user_nid)
             SELECT blob_nid FROM gone WHERE blob_nid IS NOT NULL",
        )
        .bind(&doomed)
        .bind(PREVIEWS)
        .fetch_all(&mut *tx)
        .await?;
        blobs.sort_unstable();
        blobs.dedup();
        delete_unused_blobs(&mut tx, &blobs, now).await?;
        tx.commit().await?;
        Ok(u64::try_from(doomed.len()).unwrap_or(u64::MAX))
    }

    /// How much there is.
    pub async fn media_totals(&self, server: &str) -> Result<TotalsOf> {
        let media = "SELECT count(*) AS count, coalesce(sum(size), 0)::bigint AS bytes FROM media
                     WHERE blob_nid IS NOT NULL AND";
        let local = format!("{media} server = $1");
        let remote = format!("{media} server <> $1");
        let thumbnails = "SELECT count(*) AS count, coalesce(sum(b.size), 0)::bigint AS bytes
                          FROM media_thumbnail t JOIN media_blob b ON b.nid = t.image_nid WHERE $1 = $1";
        let stored =
            "SELECT count(*) AS count, coalesce(sum(size), 0)::bigint AS bytes FROM media_blob WHERE $1 = $1";
        Ok(TotalsOf {
            local: self.totals(&local, server).await?,
            remote: self.totals(&remote, server).await?,
            thumbnails: self.totals(thumbnails, server).await?,
            stored: self.totals(stored, server).await?,
        })
    }

    async fn totals(&self, query: &str, server: &str) -> Result<Totals> {
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(server).fetch_one(self.db()).await?)
    }

    /// Marks the media as lasting that became avatars or stickers by the log's entries after `from`, at most `limit`
    /// of them. Returns how far that came; none where there is nothing after `from`. Served by `log_pkey`.
    pub async fn mark_lasting_media(&self, from: Position, limit: i64) -> Result<Option<Position>> {
        statements::count();
        let mut tx = self.pool().begin().await?;
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(pos) FROM (SELECT pos FROM log WHERE pos > $1 ORDER BY pos LIMIT $2) AS page",
        )
        .bind(from.get())
        .bind(limit)
        .fetch_one(&mut *tx)
        .await?;
        let Some(last) = last else { return Ok(None) };
        sqlx::query(
            "UPDATE media m SET lasting = true
             FROM log l JOIN event e ON e.nid = l.ref_nid,
                  regexp_matches(e.json, 'mxc://([]A-Za-z0-9.:[-]+)/([A-Za-z0-9_-]+)', 'g') AS uri
             WHERE l.pos > $1 AND l.pos <= $2 AND l.kind = 1 AND e.type = ANY ($3)
               AND m.server = uri[1] AND m.id = uri[2] AND NOT m.lasting",
        )
        .bind(from.get())
        .bind(last)
        .bind(vec!["m.sticker", "m.room.avatar", "m.room.member"])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(Position::new(last)))
    }
}

/// Deletes of these blobs those that nothing names, and their thumbnails.
async fn delete_unused_blobs(
    tx: &mut sqlx::Transaction<'_, sqlx::Postgres>,
    blobs: &[i64],
    now: i64,
) -> Result<()> {
    // Locked first and asked about after: whoever gives one a new use meanwhile holds the same lock.
    sqlx::query("SELECT 1 FROM media_blob WHERE nid = ANY ($1) ORDER BY nid FOR UPDATE")
        .bind(blobs)
        .execute(&mut **tx)
        .await?;
    let images: Vec<i64> = sqlx::query_scalar(
        "DELETE FROM media_thumbnail t
         WHERE blob_nid = ANY ($1) AND NOT EXISTS (SELECT 1 FROM media m WHERE m.blob_nid = t.blob_nid)
           AND NOT EXISTS (SELECT 1 FROM media_thumbnail o WHERE o.image_nid = t.blob_nid AND o.blob_nid <> t.blob_nid)
         RETURNING image_nid",
    )
    .bind(blobs)
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query("SELECT 1 FROM media_blob WHERE nid = ANY ($1) ORDER BY nid FOR UPDATE")
        .bind(&images)
        .execute(&mut **tx)
        .await?;
    let all: Vec<i64> = blobs.iter().chain(&images).copied().collect();
    sqlx::query(
        "WITH gone AS (
             DELETE FROM media_blob b
             WHERE nid = ANY ($1) AND NOT EXISTS (SELECT 1 FROM media m WHERE m.blob_nid = b.nid)
               AND NOT EXISTS (SELECT 1 FROM media_thumbnail t WHERE t.image_nid = b.nid OR t.blob_nid = b.nid)
             RETURNING object)
         INSERT INTO media_loose (object, incarnation, since_ts) SELECT object, 0, $2 FROM gone",
    )
    .bind(&all)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
