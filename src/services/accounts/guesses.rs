//! Wrong passwords: how many are borne before nobody is let in for a while, not even by the right one.
//!
//! An account is guessed at from many addresses, and from one address at many accounts: both are counted. Only
//! logins are: whoever is logged in stays so, whatever others try.

use std::net::IpAddr;

use hearth_core::id::UserNid;
use hearth_store::Store;
use hearth_store::failed_login::Charge;
use ruma::UserId;
use sha2::{Digest, Sha256};

use super::AccountError;
use crate::rate::{Rate, network};

/// How many wrong passwords are borne.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one account, from wherever.
    pub per_account: Rate,
    /// From one address, for whatever account.
    pub per_address: Rate,
}

impl Patience {
    /// Any number.
    pub const ENDLESS: Self = Self { per_account: Rate::UNLIMITED, per_address: Rate::UNLIMITED };
}

/// Whose wrong passwords are counted together.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// Logins to an account.
    Account(&'a UserId),
    /// Logins from an address.
    Address(IpAddr),
    /// Proofs of a user who is logged in: apart from logins, by which a stranger could keep them from it.
    Proof(UserNid),
}

/// What a wrong password will have cost.
#[derive(Debug)]
pub(super) struct Guess(Vec<Charge>);

impl Guess {
    /// Charges a guess before it is made, so that a thousand at once are not all let through.
    pub(super) async fn charge(
        store: &Store,
        patience: Patience,
        about: impl IntoIterator<Item = About<'_>>,
    ) -> Result<Self, AccountError> {
        let charges: Vec<Charge> = about.into_iter().filter_map(|about| about.charge(patience)).collect();
        if charges.is_empty() {
            return Ok(Self(charges));
        }
        match store.charge_failed_logins(&charges).await? {
            None => Ok(Self(charges)),
            Some(wait) => Err(AccountError::TooManyGuesses(wait)),
        }
    }

    /// It was no wrong password. What cannot be given back is forgotten with time.
    pub(super) async fn refund(self, store: &Store) {
        if self.0.is_empty() {
            return;
        }
        if let Err(error) = store.refund_failed_logins(&self.0).await {
            tracing::warn!(%error, "a right password is counted as a wrong one");
        }
    }
}

impl About<'_> {
    /// What one wrong password costs, unless any number is borne.
    fn charge(self, patience: Patience) -> Option<Charge> {
        let (name, rate) = match self {
            Self::Account(user_id) => (format!("account {user_id}"), patience.per_account),
            Self::Address(address) => (format!("address {}", network(address)), patience.per_address),
            Self::Proof(user) => (format!("proof {user}"), patience.per_account),
        };
        let subject = Sha256::digest(name).into();
        (!rate.is_unlimited()).then(|| Charge { subject, every: rate.every(), depth: rate.depth() })
    }
}
