//! Tokens with which one device logs another in.

use hearth_core::id::UserNid;

use crate::account::TokenHash;
use crate::{Result, Store};

impl Store {
    /// Adds a token that logs `user` in until `expires_ts`, milliseconds since the epoch.
    pub async fn add_login_token(&self, hash: &TokenHash, user: UserNid, expires_ts: i64) -> Result<()> {
        sqlx::query("INSERT INTO login_token (hash, user_nid, expires_ts) VALUES ($1, $2, $3)")
            .bind(&hash[..])
            .bind(user.get())
            .bind(expires_ts)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Uses a token up, and returns whom it logs in; none where there is none that is good at `now`, milliseconds
    /// since the epoch. Served by `login_token_pkey`.
    pub async fn use_login_token(&self, hash: &TokenHash, now: i64) -> Result<Option<UserNid>> {
        let user: Option<i64> = sqlx::query_scalar(
            "DELETE FROM login_token WHERE hash = $1 AND expires_ts > $2 RETURNING user_nid",
        )
        .bind(&hash[..])
        .bind(now)
        .fetch_optional(self.db())
        .await?;
        Ok(user.map(UserNid::new))
    }

    /// Deletes the tokens that expired before `ts`, milliseconds since the epoch. Served by
    /// `login_token_expires`.
    pub async fn delete_login_tokens_before(&self, ts: i64) -> Result<u64> {
        let done =
            sqlx::query("DELETE FROM login_token WHERE expires_ts < $1").bind(ts).execute(self.db()).await?;
        Ok(done.rows_affected())
    }
}
