//! URL previews that were made.

use sqlx::FromRow;

use crate::{Result, Store};

/// A preview as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct StoredPreview {
    /// The OpenGraph data as JSON; none where the page could not be had.
    pub preview: Option<String>,
    /// When it was fetched, milliseconds since the epoch.
    pub fetched_ts: i64,
    /// Until when it is believed.
    pub expires_ts: i64,
}

impl Store {
    /// The preview of a URL in a language. Served by `url_preview_pkey`.
    pub async fn url_preview(&self, hash: &[u8; 32]) -> Result<Option<StoredPreview>> {
        let preview =
            sqlx::query_as("SELECT preview, fetched_ts, expires_ts FROM url_preview WHERE url_hash = $1")
                .bind(&hash[..])
                .fetch_optional(self.db())
                .await?;
        Ok(preview)
    }

    /// Keeps the preview of a URL in a language, in place of an older one.
    pub async fn keep_url_preview(
        &self,
        hash: &[u8; 32],
        url: &str,
        language: &str,
        preview: &StoredPreview,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO url_preview (url_hash, url, language, preview, fetched_ts, expires_ts)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (url_hash) DO UPDATE SET preview = $4, fetched_ts = $5, expires_ts = $6",
        )
        .bind(&hash[..])
        .bind(url)
        .bind(language)
        .bind(&preview.preview)
        .bind(preview.fetched_ts)
        .bind(preview.expires_ts)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Forgets at most `limit` previews that nobody believes any more. Served by `url_preview_expires`.
    pub async fn delete_expired_previews(&self, before: i64, limit: i64) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM url_preview WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM url_preview WHERE expires_ts < $1 LIMIT $2))",
        )
        .bind(before)
        .bind(limit)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }
}
