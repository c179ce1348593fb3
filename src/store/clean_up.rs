//! Freeing what has had its time. Every statement deletes a bounded number of rows, so that none holds locks
//! for long.

use hearth_core::id::Position;

use crate::{Result, Store};

/// Rows one statement deletes at the most: some tens of milliseconds.
const BATCH: i64 = 5_000;

/// The name under which the trimmed end of the log is kept among the cursors.
pub const TRIMMED: &str = "trimmed";

impl Store {
    /// Deletes transaction ids made before `ts`, in milliseconds since the epoch. Returns how many; ask again
    /// until there are none. Served by `transaction_id_age`.
    pub async fn delete_transaction_ids_before(&self, ts: i64) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM transaction_id WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM transaction_id WHERE created_ts < $1 LIMIT $2))",
        )
        .bind(ts)
        .bind(BATCH)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }

    /// Deletes user-interactive sessions begun before `ts`. Served by `uia_session_created`.
    pub async fn delete_uia_sessions_before(&self, ts: i64) -> Result<u64> {
        let done =
            sqlx::query("DELETE FROM uia_session WHERE created_ts < $1").bind(ts).execute(self.db()).await?;
        Ok(done.rows_affected())
    }

    /// Deletes when devices were last used that are gone. Served by `device_pkey`.
    pub async fn delete_sightings_of_gone_devices(&self) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM device_seen WHERE ctid = ANY (ARRAY(
                 SELECT s.ctid FROM device_seen s
                 WHERE NOT EXISTS (SELECT FROM device d WHERE d.user_nid = s.user_nid AND d.id = s.device_id)
                 LIMIT $1))",
        )
        .bind(BATCH)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }

    /// The end of what was trimmed: a process that is as of an earlier position has missed something.
    pub async fn trimmed(&self) -> Result<Position> {
        Ok(self.cursor(TRIMMED).await?.unwrap_or(Position::ZERO))
    }

    /// The position up to which every consumer of the log has come, and at least `keep` positions back.
    pub async fn trimmable(&self, keep: i64) -> Result<Position> {
        let pos: i64 = sqlx::query_scalar(
            "SELECT least((SELECT coalesce(max(pos), 0) FROM log) - $1,
                          (SELECT coalesce(min(pos), 9007199254740991) FROM log_cursor WHERE name <> $2))",
        )
        .bind(keep)
        .bind(TRIMMED)
        .fetch_one(self.db())
        .await?;
        Ok(Position::new(pos))
    }

    /// Deletes log rows up to `pos`. Returns how many; ask again until there are none. Served by the primary
    /// key.
    pub async fn trim_log(&self, pos: Position) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM log WHERE pos IN (SELECT pos FROM log WHERE pos <= $1 ORDER BY pos LIMIT $2)",
        )
        .bind(pos.get())
        .bind(BATCH)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }
}
