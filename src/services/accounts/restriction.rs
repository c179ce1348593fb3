//! What administrators keep users from.

use std::sync::Arc;

use hearth_core::id::UserNid;
use hearth_store::account::{ListedAccount, LocalUser};
use hearth_store::log::{Change, Proposal};
use ruma::UserId;

use super::{AccountError, Accounts};
use crate::log::CommitError;

/// Another restriction of an account, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Whether nothing can be done with it but log out.
    Locked(bool),
    /// Whether it can take part in nothing.
    Suspended(bool),
}

impl Accounts {
    /// Locks or suspends an account, or lifts that.
    pub async fn restrict(&self, user: UserNid, restriction: Restriction) -> Result<(), AccountError> {
        let (locked, suspended) = match restriction {
            Restriction::Locked(locked) => (Some(locked), None),
            Restriction::Suspended(suspended) => (None, Some(suspended)),
        };
        let change = Change::RestrictAccount { user, locked, suspended };
        match self.0.log.commit(Proposal::change(change)).await {
            Ok(_) => Ok(()),
            Err(CommitError::Absent) => Err(AccountError::NoAccount),
            Err(error) => Err(error.into()),
        }
    }

    /// The account in use of a user.
    pub async fn in_use(&self, user_id: &UserId) -> Result<Arc<LocalUser>, AccountError> {
        let found = self.find(user_id).await?;
        found.filter(|user| !user.deactivated).ok_or(AccountError::NoAccount)
    }

    /// Accounts by user id, after the one of `after`.
    pub async fn list(&self, after: &str, limit: i64) -> Result<Vec<ListedAccount>, AccountError> {
        Ok(self.0.store.accounts(after, limit).await?)
    }
}
