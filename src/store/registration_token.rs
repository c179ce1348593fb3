//! Registration tokens.

use crate::{Result, Store};

impl Store {
    /// The standing token, made at the first start. Served by `server_pkey`.
    pub async fn standing_token(&self) -> Result<Option<String>> {
        Ok(sqlx::query_scalar!("SELECT registration_token FROM server").fetch_optional(self.db()).await?)
    }

    /// Whether an administrator made this token, and it is neither used up nor expired at `now`, in
    /// milliseconds since the epoch. Served by `registration_token_pkey`.
    pub async fn registration_token_is_valid(&self, token: &str, now: i64) -> Result<bool> {
        let valid = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM registration_token
                              WHERE token = $1 AND (uses_allowed IS NULL OR completed < uses_allowed)
                                AND (expires_ts IS NULL OR expires_ts > $2)) AS "valid!""#,
            token,
            now
        )
        .fetch_one(self.db())
        .await?;
        Ok(valid)
    }
}
