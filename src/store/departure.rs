//! Users whose account ended and who are still being seen out.

use std::collections::HashSet;

use hearth_core::id::UserNid;
use sqlx::FromRow;

use crate::{Result, Store};

/// A user whose account ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The user.
    pub user: UserNid,
    /// When their account ended, milliseconds since the epoch.
    pub ts: i64,
}

#[derive(FromRow)]
struct DepartureRow {
    user_nid: i64,
    ts: i64,
}

impl Store {
    /// Those to be looked after at `now`, the longest due first, at most `limit`. Served by `departure_due`.
    pub async fn departures(&self, now: i64, limit: i64) -> Result<Vec<Departure>> {
        let rows: Vec<DepartureRow> = sqlx::query_as(
            "SELECT user_nid, ts FROM departure WHERE due_ts <= $1 ORDER BY due_ts, user_nid LIMIT $2",
        )
        .bind(now)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(rows.into_iter().map(|row| Departure { user: UserNid::new(row.user_nid), ts: row.ts }).collect())
    }

    /// A user is to be looked after again at `due_ts`, milliseconds since the epoch.
    pub async fn postpone_departure(&self, user: UserNid, due_ts: i64) -> Result<()> {
        sqlx::query("UPDATE departure SET due_ts = $2 WHERE user_nid = $1")
            .bind(user.get())
            .bind(due_ts)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Nothing is left to be done for a user.
    pub async fn end_departure(&self, user: UserNid) -> Result<()> {
        sqlx::query("DELETE FROM departure WHERE user_nid = $1").bind(user.get()).execute(self.db()).await?;
        Ok(())
    }

    /// Deletes what was the user's alone. Served by the primary keys.
    pub async fn delete_private_data(&self, user: UserNid) -> Result<()> {
        for statement in [
            "DELETE FROM account_data WHERE user_nid = $1",
            "DELETE FROM filter WHERE user_nid = $1",
            "DELETE FROM profile_field WHERE user_nid = $1",
        ] {
            sqlx::query(statement).bind(user.get()).execute(self.db()).await?;
        }
        Ok(())
    }

    /// Everybody who asked for erasure. Served by `account_erased`.
    pub async fn erased_users(&self) -> Result<HashSet<UserNid>> {
        let users: Vec<i64> =
            sqlx::query_scalar("SELECT user_nid FROM account WHERE erased").fetch_all(self.db()).await?;
        Ok(users.into_iter().map(UserNid::new).collect())
    }
}
