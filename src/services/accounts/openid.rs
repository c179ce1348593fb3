//! Telling third parties, such as integration servers, who somebody is.

use std::time::Duration;

use hearth_core::id::UserNid;
use ruma::OwnedUserId;

use super::refresh::end;
use super::{AccountError, Accounts, secret};
use crate::clock;

impl Accounts {
    /// A token that tells who this is, and for how long it does. It is good for nothing else.
    pub async fn new_openid_token(&self, user: UserNid) -> Result<(String, Duration), AccountError> {
        let (token, lifetime) = (secret::random(), self.0.openid_token_lifetime);
        let expires_ts = end(clock::now_ms(), lifetime);
        self.0.store.add_openid_token(&secret::hash(&token), user, expires_ts).await?;
        Ok((token, lifetime))
    }

    /// Whom such a token tells of; none where it is not known, or the account is locked or no longer in use.
    pub async fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, AccountError> {
        let owner = self.0.store.openid_token_owner(&secret::hash(token), clock::now_ms()).await?;
        let Some(owner) = owner else { return Ok(None) };
        let user =
            self.local_user(owner).await?.filter(|user| !user.deactivated && !user.restrictions.locked);
        Ok(user.map(|user| user.user_id.clone()))
    }
}
