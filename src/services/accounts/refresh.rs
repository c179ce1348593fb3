//! Access tokens that expire, and the refresh tokens that are traded for new ones.

use std::time::Duration;

use hearth_core::id::UserNid;
use hearth_store::account::TokenHash;
use hearth_store::log::{Change, Proposal};

use super::{AccountError, Accounts, secret};
use crate::clock;
use crate::log::CommitError;

/// What lets a device go on when its access token expires. This is the only time that the token is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The refresh token.
    pub refresh_token: String,
    /// How long the access token is good for.
    pub expires_in: Duration,
}

/// What was traded for a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The new access token.
    pub access_token: String,
    /// What comes after it.
    pub renewal: Renewal,
}

impl Accounts {
    /// Trades a refresh token for another pair of tokens. The old one stays good until the new pair is used, for
    /// a client that never got the answer.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Refreshed, AccountError> {
        let old = secret::hash(refresh_token);
        let owner = self.0.store.refresh_token_owner(&old).await?;
        let (user, device_id) = owner.ok_or(AccountError::UnknownRefreshToken)?;
        self.check_unlocked(user).await?;
        let access_token = secret::access_token();
        let (renewal, ts) = (self.new_renewal(), clock::now_ms());
        let change = Change::RefreshSession {
            user,
            device_id,
            used_hash: secret::hex(&old),
            token_hash: secret::hex(&secret::hash(&access_token)),
            refresh_hash: secret::hex(&secret::hash(&renewal.refresh_token)),
            expires_ts: end(ts, renewal.expires_in),
            ts,
        };
        match self.0.log.commit(Proposal::change(change)).await {
            Ok(_) => Ok(Refreshed { access_token, renewal }),
            Err(CommitError::Absent) => Err(AccountError::UnknownRefreshToken),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn new_renewal(&self) -> Renewal {
        Renewal { refresh_token: secret::refresh_token(), expires_in: self.0.access_token_lifetime }
    }

    /// Takes note that a token which came of a refresh is used: what was before it ends.
    pub(super) async fn confirm(&self, user: UserNid, device_id: &str, hash: &TokenHash) {
        let token_hash = secret::hex(hash);
        let change = Change::ConfirmToken { user, device_id: device_id.to_owned(), token_hash };
        // Nobody is turned away because it cannot be written now: the next request notes it.
        if let Err(error) = self.0.log.commit(Proposal::change(change)).await {
            tracing::debug!(%error, "the first use of a token was not written");
        }
    }
}

/// When something ends that begins now and lasts so long, milliseconds since the epoch.
pub(super) fn end(now: i64, lifetime: Duration) -> i64 {
    now.saturating_add(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}
