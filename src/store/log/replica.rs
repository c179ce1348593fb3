//! The processes that serve from this database.

use hearth_core::id::Position;

use crate::{Result, Store};

/// How many processes serve, and how far the log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Processes heard of lately, this one among them.
    pub replicas: i64,
    /// The head.
    pub head: Position,
}

/// A process unheard of for this long no longer serves: it stops by itself long before. Database clock.
const LIVE_FOR: &str = "15 seconds";

impl Store {
    /// A number for this process that no other has had.
    pub async fn new_incarnation(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT nextval('incarnation')").fetch_one(self.db()).await?)
    }

    /// Says that this process serves, and hears how many do and what the head is.
    pub async fn heartbeat(&self, incarnation: i64, release: &str) -> Result<Live> {
        let (replicas, head): (i64, i64) = sqlx::query_as(
            "WITH own AS (
                 INSERT INTO replica (incarnation, started_at, seen_at, release) VALUES ($1, now(), now(), $2)
                 ON CONFLICT (incarnation) DO UPDATE SET seen_at = now())
             SELECT (SELECT count(*) FROM replica
                     WHERE incarnation <> $1 AND seen_at > now() - $3::text::interval) + 1,
                    (SELECT coalesce(max(pos), 0) FROM log)",
        )
        .bind(incarnation)
        .bind(release)
        .bind(LIVE_FOR)
        .fetch_one(self.db())
        .await?;
        Ok(Live { replicas, head: Position::new(head) })
    }

    /// Tells the other processes that this one begins or ceases to serve.
    pub async fn announce_replica(&self, incarnation: i64) -> Result<()> {
        sqlx::query("SELECT pg_notify('hearth', $1::bigint || ':replica')")
            .bind(incarnation)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Takes this process off the list: it serves no more.
    pub async fn leave_replicas(&self, incarnation: i64) -> Result<()> {
        sqlx::query("DELETE FROM replica WHERE incarnation = $1 OR seen_at < now() - interval '1 hour'")
            .bind(incarnation)
            .execute(self.db())
            .await?;
        Ok(())
    }
}
