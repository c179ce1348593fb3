//! Commands about people. What they change goes through the log, so that a running server hears of it.

use std::time::Duration;

use hearth_core::id::UserNid;
use hearth_services::accounts::{AccountError, Accounts, NewAccount, Restriction};
use hearth_services::log::CommitError;
use hearth_store::log::{Change, Proposal};
use ruma::{OwnedUserId, UserId};

use super::output::say;
use super::{PasswordFrom, password};
use crate::app::{Failure, Foundation, Role, new_registration_token};
use crate::config::Config;

/// A command commits one proposal, and waits for it: nothing is left to write afterwards.
const FLUSH: Duration = Duration::from_secs(5);

/// Accounts read at a time.
const PAGE: i64 = 1000;

/// Makes an account.
pub(super) async fn create(
    config: &Config,
    name: String,
    admin: bool,
    from: &PasswordFrom,
) -> Result<(), Failure> {
    let password = password::read(from)?;
    let mut foundation = Foundation::open(config, Role::Command).await?;
    foundation.begin();
    let made = async {
        let user_id = foundation.accounts.free_name(Some(&name)).await?;
        let account = NewAccount {
            user_id: user_id.clone(),
            password: Some(password),
            admin,
            counted_token: None,
            device: None,
        };
        foundation.accounts.create(account).await?;
        Ok::<OwnedUserId, AccountError>(user_id)
    };
    let made = made.await;
    foundation.close(FLUSH).await;
    let kind = if admin { "the administrator's account" } else { "the account" };
    say(&format!("made {kind} {}", made?));
    Ok(())
}

/// What is done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Lock,
    Unlock,
    Suspend,
    Unsuspend,
    Deactivate { erase: bool },
}

impl Deed {
    async fn carry_out(self, accounts: &Accounts, user: UserNid) -> Result<&'static str, AccountError> {
        match self {
            Self::Lock => accounts.restrict(user, Restriction::Locked(true)).await?,
            Self::Unlock => accounts.restrict(user, Restriction::Locked(false)).await?,
            Self::Suspend => accounts.restrict(user, Restriction::Suspended(true)).await?,
            Self::Unsuspend => accounts.restrict(user, Restriction::Suspended(false)).await?,
            Self::Deactivate { erase } => accounts.deactivate(user, erase).await?,
        }
        Ok(match self {
            Self::Lock => "is locked",
            Self::Unlock => "is not locked any more",
            Self::Suspend => "is suspended",
            Self::Unsuspend => "is not suspended any more",
            Self::Deactivate { erase: true } => "is deactivated and erased",
            Self::Deactivate { erase: false } => "is deactivated",
        })
    }
}

/// Changes what an account may do, or ends it.
pub(super) async fn change(config: &Config, name: &str, deed: Deed) -> Result<(), Failure> {
    let user_id = user_id(config, name)?;
    let mut foundation = Foundation::open(config, Role::Command).await?;
    foundation.begin();
    let done = async {
        let user = foundation.accounts.in_use(&user_id).await?.user;
        deed.carry_out(&foundation.accounts, user).await
    };
    let done = done.await;
    foundation.close(FLUSH).await;
    say(&format!("{user_id} {}", done?));
    Ok(())
}

/// Prints every account, one a line, and what is special about it.
pub(super) async fn list(config: &Config) -> Result<(), Failure> {
    let foundation = Foundation::open(config, Role::Command).await?;
    let listed = list_from(&foundation.accounts).await;
    foundation.close(FLUSH).await;
    Ok(listed?)
}

async fn list_from(accounts: &Accounts) -> Result<(), AccountError> {
    let mut after = String::new();
    loop {
        let page = accounts.list(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for account in page {
            let marks = [
                (account.admin, "admin"),
                (account.restrictions.locked, "locked"),
                (account.restrictions.suspended, "suspended"),
                (account.deactivated, "deactivated"),
            ];
            let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| format!("  {mark}"));
            say(&format!("{}{}", account.id, marks.collect::<String>()));
        }
    }
}

fn user_id(config: &Config, name: &str) -> Result<OwnedUserId, Failure> {
    UserId::parse_with_server_name(name, &config.server_name)
        .map_err(|_| Failure::Input(format!("“{name}” is not the name of a user")))
}

/// Gives an account another password.
pub(super) async fn reset_password(config: &Config, name: &str, from: &PasswordFrom) -> Result<(), Failure> {
    let user_id = user_id(config, name)?;
    let password = password::read(from)?;
    let mut foundation = Foundation::open(config, Role::Command).await?;
    foundation.begin();
    let done = foundation.accounts.reset_password(&user_id, password).await;
    foundation.close(FLUSH).await;
    done?;
    say(&format!("{user_id} has another password, and is logged out everywhere"));
    Ok(())
}

/// Prints the registration token, made anew or not.
pub(super) async fn token(config: &Config, new: bool) -> Result<(), Failure> {
    if let Some(token) = &config.registration_token {
        if new {
            let what = "`registration.token` is set in the configuration: change it there";
            return Err(Failure::Input(what.to_owned()));
        }
        say(&token.0);
        return Ok(());
    }
    let mut foundation = Foundation::open(config, Role::Command).await?;
    foundation.begin();
    let mut token = foundation.server.registration_token.clone();
    let mut changed = Ok(());
    if new {
        token = new_registration_token();
        let change = Change::SetStandingToken { token: token.clone() };
        changed = foundation.log.commit(Proposal::change(change)).await.map(|_| ());
    }
    foundation.close(FLUSH).await;
    changed.map_err(|error: CommitError| AccountError::from(error))?;
    say(&token);
    Ok(())
}
