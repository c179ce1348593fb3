//! Profiles of local users. Written by the log; this reads them.

use hearth_core::id::{Position, UserNid};

use crate::{Result, Store};

/// A user whose rooms are still to show a change of their profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unspread {
    /// The user.
    pub user: UserNid,
    /// When the profile changed last.
    pub pos: Position,
}

impl Store {
    /// The fields of a profile and their JSON; none where there is no account in use. Served by
    /// `account_pkey` and `profile_field_pkey`.
    pub async fn profile(&self, user: UserNid) -> Result<Option<Vec<(String, String)>>> {
        let rows = sqlx::query!(
            r#"SELECT f.key AS "key?", f.value AS "value?"
               FROM account a LEFT JOIN profile_field f ON f.user_nid = a.user_nid AND f.value IS NOT NULL
               WHERE a.user_nid = $1 AND a.deactivated_ts IS NULL"#,
            user.get()
        )
        .fetch_all(self.db())
        .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(rows.into_iter().filter_map(|row| Some((row.key?, row.value?))).collect()))
    }

    /// At most `limit` users whose rooms are still to show a change of their profile. Reads no more of
    /// `profile_spread`, in which they stay for seconds.
    pub async fn unspread_profiles(&self, limit: i64) -> Result<Vec<Unspread>> {
        let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT user_nid, pos FROM profile_spread LIMIT $1")
            .bind(limit)
            .fetch_all(self.db())
            .await?;
        let unspread = |(user, pos)| Unspread { user: UserNid::new(user), pos: Position::new(pos) };
        Ok(rows.into_iter().map(unspread).collect())
    }

    /// All rooms of a user show their profile as of a change. Served by the primary key of `profile_spread`.
    pub async fn profile_is_spread(&self, spread: Unspread) -> Result<()> {
        sqlx::query("DELETE FROM profile_spread WHERE user_nid = $1 AND pos = $2")
            .bind(spread.user.get())
            .bind(spread.pos.get())
            .execute(self.db())
            .await?;
        Ok(())
    }
}
