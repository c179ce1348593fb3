//! Logging another device in from one that is logged in.

use std::time::Duration;

use hearth_core::id::UserNid;

use super::refresh::end;
use super::{AccountError, Accounts, NewDevice, OpenedSession, secret};
use crate::clock;

impl Accounts {
    /// A token that logs a device of this user in, once, and for how long it is good.
    pub async fn new_login_token(&self, user: UserNid) -> Result<(String, Duration), AccountError> {
        let (token, lifetime) = (secret::random(), self.0.login_token_lifetime);
        self.0.store.add_login_token(&secret::hash(&token), user, end(clock::now_ms(), lifetime)).await?;
        Ok((token, lifetime))
    }

    /// Logs a device in by such a token.
    pub async fn log_in_by_token(
        &self,
        token: &str,
        device: NewDevice,
    ) -> Result<OpenedSession, AccountError> {
        device.check()?;
        let user = self.0.store.use_login_token(&secret::hash(token), clock::now_ms()).await?;
        let user = user.ok_or(AccountError::WrongLoginToken)?;
        let user_id = self.0.interned.user_id(user).await?;
        self.open_session(user, user_id, device).await
    }
}
