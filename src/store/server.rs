//! What this server is: its name, its signing keys, its standing registration token.

use crate::Store;
use crate::error::{Result, StoreError};

/// The one row that says what this server is.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Server {
    /// Part of every id; can never change.
    pub server_name: String,
    /// The standing registration token, used when none is configured.
    pub registration_token: String,
    /// First start, milliseconds since the epoch.
    pub created_ts: i64,
}

/// An Ed25519 key of this server.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SigningKey {
    /// With its algorithm: `ed25519:abcd`.
    pub key_id: String,
    /// The private seed, 32 bytes.
    pub seed: Vec<u8>,
    /// Milliseconds since the epoch.
    pub created_ts: i64,
    /// When it stopped being used for signing; none for the one in use.
    pub expired_ts: Option<i64>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Store {
    /// What this server is, once it was started. Index: the primary key.
    pub async fn server(&self) -> Result<Option<Server>> {
        let row = sqlx::query_as("SELECT server_name, registration_token, created_ts FROM server")
            .fetch_optional(self.db())
            .await?;
        Ok(row)
    }

    /// Writes down what this server is and its first signing key, unless that was done before; returns what
    /// holds. Index: the primary keys.
    pub async fn found_server(&self, new: &Server, key: &SigningKey) -> Result<Server> {
        let mut transaction = self.pool().begin().await?;
        let made = sqlx::query(
            "INSERT INTO server (server_name, created_ts, registration_token, system_identifier, timeline)
             SELECT $1, $2, $3, s.system_identifier, c.timeline_id
             FROM pg_control_system() s, pg_control_checkpoint() c
             ON CONFLICT (singleton) DO NOTHING",
        )
        .bind(&new.server_name)
        .bind(new.created_ts)
        .bind(&new.registration_token)
        .execute(&mut *transaction)
        .await?;
        if made.rows_affected() == 1 {
            insert_key(&mut transaction, key).await?;
        }
        transaction.commit().await?;
        self.server().await?.ok_or_else(|| StoreError::corrupt("server", "the only one"))
    }

    /// Whether anybody has an account. Reads at most one row.
    pub async fn has_accounts(&self) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM account)").fetch_one(self.db()).await?)
    }

    /// All signing keys, the one in use first. Reads the whole table, which has a row a key.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        let rows = sqlx::query_as(
            "SELECT key_id, seed, created_ts, expired_ts FROM signing_key
             ORDER BY expired_ts DESC NULLS FIRST, created_ts DESC",
        )
        .fetch_all(self.db())
        .await?;
        Ok(rows)
    }

    /// Makes `key` the one in use; the one until now is kept as expired. Index: the primary key.
    pub async fn change_signing_key(&self, key: &SigningKey) -> Result<()> {
        let mut transaction = self.pool().begin().await?;
        sqlx::query("UPDATE signing_key SET expired_ts = $1 WHERE expired_ts IS NULL AND key_id <> $2")
            .bind(key.created_ts)
            .bind(&key.key_id)
            .execute(&mut *transaction)
            .await?;
        insert_key(&mut transaction, key).await?;
        transaction.commit().await?;
        Ok(())
    }
}

async fn insert_key(connection: &mut sqlx::PgConnection, key: &SigningKey) -> Result<()> {
    sqlx::query("INSERT INTO signing_key (key_id, seed, created_ts, expired_ts) VALUES ($1, $2, $3, $4)")
        .bind(&key.key_id)
        .bind(&key.seed)
        .bind(key.created_ts)
        .bind(key.expired_ts)
        .execute(connection)
        .await?;
    Ok(())
}
