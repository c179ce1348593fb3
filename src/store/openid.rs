//! Tokens that tell third parties who somebody is.

use hearth_core::id::UserNid;

use crate::account::TokenHash;
use crate::{Result, Store};

impl Store {
    /// Adds a token that tells of `user` until `expires_ts`, milliseconds since the epoch.
    pub async fn add_openid_token(&self, hash: &TokenHash, user: UserNid, expires_ts: i64) -> Result<()> {
        sqlx::query("INSERT INTO openid_token (hash, user_nid, expires_ts) VALUES ($1, $2, $3)")
            .bind(&hash[..])
            .bind(user.get())
            .bind(expires_ts)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Whom a token tells of at `now`, milliseconds since the epoch. Served by `openid_token_pkey`.
    pub async fn openid_token_owner(&self, hash: &TokenHash, now: i64) -> Result<Option<UserNid>> {
        let user: Option<i64> =
            sqlx::query_scalar("SELECT user_nid FROM openid_token WHERE hash = $1 AND expires_ts > $2")
                .bind(&hash[..])
                .bind(now)
                .fetch_optional(self.db())
                .await?;
        Ok(user.map(UserNid::new))
    }

    /// Deletes the tokens that expired before `ts`, milliseconds since the epoch. Served by
    /// `openid_token_expires`.
    pub async fn delete_openid_tokens_before(&self, ts: i64) -> Result<u64> {
        let done =
            sqlx::query("DELETE FROM openid_token WHERE expires_ts < $1").bind(ts).execute(self.db()).await?;
        Ok(done.rows_affected())
    }
}
