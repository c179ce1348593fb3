//! Local accounts, their devices and access tokens. They are written by the log; this reads them.

use hearth_core::id::UserNid;
use ruma::OwnedUserId;
use sqlx::FromRow;

use crate::{Result, Store, StoreError};

/// SHA-256 of an access token.
pub type TokenHash = [u8; 32];

/// What a password is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// PHC string; none where no password logs in.
    pub password_hash: Option<String>,
    /// The account is in use no more.
    pub deactivated: bool,
}

/// A local user and their sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUser {
    /// The user.
    pub user: UserNid,
    /// Their user id.
    pub user_id: OwnedUserId,
    /// May use the admin API.
    pub admin: bool,
    /// The account is in use no more.
    pub deactivated: bool,
    /// What an administrator keeps them from.
    pub restrictions: Restrictions,
    /// Their sessions.
    pub sessions: Vec<Session>,
}

/// What an administrator keeps a user from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Restrictions {
    /// Everything but logging out.
    pub locked: bool,
    /// Taking part in rooms.
    pub suspended: bool,
}

/// An account, for a list of them.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ListedAccount {
    /// The user id.
    pub id: String,
    /// May use the admin API.
    pub admin: bool,
    /// The account is in use no more.
    pub deactivated: bool,
    /// What an administrator keeps its user from.
    #[sqlx(flatten)]
    pub restrictions: Restrictions,
}

/// A device that is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its token.
    pub token_hash: TokenHash,
    /// The device.
    pub device_id: String,
    /// When the token expires, milliseconds since the epoch; none for one that lasts until logout.
    pub expires_ts: Option<i64>,
    /// It came of a refresh and was never used.
    pub unused: bool,
}

impl Store {
    /// What a password of this account is checked against; none where there is no account. Served by
    /// `account_pkey`.
    pub async fn credentials(&self, user: UserNid) -> Result<Option<Credentials>> {
        let row = sqlx::query!(
            r#"SELECT password_hash, deactivated_ts IS NOT NULL AS "deactivated!" FROM account WHERE user_nid = $1"#,
            user.get()
        )
        .fetch_optional(self.db())
        .await?;
        Ok(row.map(|row| Credentials { password_hash: row.password_hash, deactivated: row.deactivated }))
    }

    /// A local user and their sessions; none where there is no account. Served by `account_pkey` and
    /// `access_token_device`.
    pub async fn local_user(&self, user: UserNid) -> Result<Option<LocalUser>> {
        let rows = sqlx::query!(
            r#"SELECT i.id, a.admin, a.deactivated_ts IS NOT NULL AS "deactivated!",
                      a.locked, a.suspended, t.hash AS "hash?", t.device_id AS "device_id?", t.expires_ts AS "expires_ts?",
                      coalesce(t.unused, false) AS "unused!"
               FROM account a
               JOIN interned_user i ON i.nid = a.user_nid
               LEFT JOIN access_token t ON t.user_nid = a.user_nid
               WHERE a.user_nid = $1"#,
            user.get()
        )
        .fetch_all(self.db())
        .await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let user_id = OwnedUserId::try_from(first.id.as_str())
            .map_err(|_| StoreError::corrupt("interned_user", &first.id))?;
        let (admin, deactivated) = (first.admin, first.deactivated);
        let restrictions = Restrictions { locked: first.locked, suspended: first.suspended };
        let mut sessions = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(hash), Some(device_id)) = (row.hash, row.device_id) else { continue };
            let token_hash =
                TokenHash::try_from(hash).map_err(|_| StoreError::corrupt("access_token", user))?;
            sessions.push(Session { token_hash, device_id, expires_ts: row.expires_ts, unused: row.unused });
        }
        Ok(Some(LocalUser { user, user_id, admin, deactivated, restrictions, sessions }))
    }

    /// Whose a token is. Served by `access_token_pkey`.
    pub async fn token_owner(&self, hash: &TokenHash) -> Result<Option<UserNid>> {
        let user = sqlx::query_scalar!("SELECT user_nid FROM access_token WHERE hash = $1", &hash[..])
            .fetch_optional(self.db())
            .await?;
        Ok(user.map(UserNid::new))
    }

    /// Every account, by user id: at most `limit` after the one of `after`. Served by `interned_user_id_key`.
    pub async fn accounts(&self, after: &str, limit: i64) -> Result<Vec<ListedAccount>> {
        let accounts = sqlx::query_as(
            "SELECT i.id, a.admin, a.deactivated_ts IS NOT NULL AS deactivated, a.locked, a.suspended
             FROM account a JOIN interned_user i ON i.nid = a.user_nid
             WHERE i.id > $1 ORDER BY i.id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(self.db())
        .await?;
        Ok(accounts)
    }

    /// The user and the device that a refresh token is of. Served by `access_token_refresh`.
    pub async fn refresh_token_owner(&self, hash: &TokenHash) -> Result<Option<(UserNid, String)>> {
        let row: Option<(i64, String)> =
            sqlx::query_as("SELECT user_nid, device_id FROM access_token WHERE refresh_hash = $1")
                .bind(&hash[..])
                .fetch_optional(self.db())
                .await?;
        Ok(row.map(|(user, device_id)| (UserNid::new(user), device_id)))
    }
}
