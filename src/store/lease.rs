//! Work that has one owner at a time, and how far it has come.

use hearth_core::id::Position;

use crate::{Result, Store};

/// A lease held: writes of its owner carry the epoch, so that an owner that is late is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub i64);

impl Store {
    /// Claims or renews the lease `name` for `seconds` by the database's clock. None where another holds it.
    ///
    /// The epoch grows when the owner changes and stays when the owner renews.
    pub async fn claim_lease(&self, name: &str, owner: i64, seconds: f64) -> Result<Option<Epoch>> {
        let epoch: Option<i64> = sqlx::query_scalar(
            "INSERT INTO lease AS l (name, owner, epoch, expires_at)
             VALUES ($1, $2, 1, now() + make_interval(secs => $3))
             ON CONFLICT (name) DO UPDATE
             SET owner = $2, expires_at = now() + make_interval(secs => $3),
                 epoch = CASE WHEN l.owner = $2 AND l.expires_at > now() THEN l.epoch ELSE l.epoch + 1 END
             WHERE l.owner = $2 OR l.expires_at <= now()
             RETURNING epoch",
        )
        .bind(name)
        .bind(owner)
        .bind(seconds)
        .fetch_optional(self.db())
        .await?;
        Ok(epoch.map(Epoch))
    }

    /// Gives the lease up, so that another owner need not wait for it to expire.
    pub async fn release_lease(&self, name: &str, owner: i64) -> Result<()> {
        sqlx::query("UPDATE lease SET expires_at = now() WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(owner)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Where the consumer `name` has come to; none before it has moved.
    pub async fn cursor(&self, name: &str) -> Result<Option<Position>> {
        let pos: Option<i64> = sqlx::query_scalar("SELECT pos FROM log_cursor WHERE name = $1")
            .bind(name)
            .fetch_optional(self.db())
            .await?;
        Ok(pos.map(Position::new))
    }

    /// Moves the consumer `name` forward. False where a later owner moved it already: stop.
    pub async fn move_cursor(&self, name: &str, pos: Position, epoch: Epoch) -> Result<bool> {
        let moved = sqlx::query(
            "INSERT INTO log_cursor AS c (name, pos, epoch, moved_at) VALUES ($1, $2, $3, now())
             ON CONFLICT (name) DO UPDATE SET pos = greatest(c.pos, $2), epoch = $3, moved_at = now()
             WHERE c.epoch <= $3",
        )
        .bind(name)
        .bind(pos.get())
        .bind(epoch.0)
        .execute(self.db())
        .await?;
        Ok(moved.rows_affected() > 0)
    }
}
