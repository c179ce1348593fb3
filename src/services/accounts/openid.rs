//! Telling third parties, such as integration servers, who somebody is.

use std::time::Duration;

use hearth_core::id::UserNid;
use ruma::OwnedUserId;

use super::refresh::end;
use super::{AccountError, Accounts, secret};
use crate::clock;

/// How long such a token is good for: whoever it is given to exchanges it at once, or asks again.
const LIFETIME: Duration = Duration::from_hours(1);

impl Accounts {
    /// A token that tells who this is, and for how long it does. It is good for nothing else.
    pub async fn new_openid_token(&self, user: UserNid) -> Result<(String, Duration), AccountError> {
        let token = secret::random();
        let expires_ts = end(clock::now_ms(), LIFETIME);
        self.0.store.add_openid_token(&secret::hash(&token), user, expires_ts).await?;
        Ok((token, LIFETIME))
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
