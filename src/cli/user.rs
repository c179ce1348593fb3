//! Commands about people. What they change goes through the log, so that a running server hears of it.

use std::time::Duration;

use hearth_services::accounts::{AccountError, NewAccount};
use hearth_services::log::CommitError;
use hearth_store::log::{Change, Proposal};
use ruma::{OwnedUserId, UserId};

use super::output::say;
use super::{PasswordFrom, password};
use crate::app::{Failure, Foundation, Role, new_registration_token};
use crate::config::Config;

/// A command commits one proposal, and waits for it: nothing is left to write afterwards.
const FLUSH: Duration = Duration::from_secs(5);

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

/// Gives an account another password.
pub(super) async fn reset_password(config: &Config, name: &str, from: &PasswordFrom) -> Result<(), Failure> {
    let user_id = UserId::parse_with_server_name(name, &config.server_name)
        .map_err(|_| Failure::Input(format!("“{name}” is not the name of a user")))?;
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
