//! Having users prove, by their password, that a token is in the hands of its owner.

use hearth_services::accounts::Caller;
use hearth_services::accounts::uia::{Attempt, Passed, Stage};

use crate::app::App;
use crate::error::Result;

/// Lets a request through that brings its user's password. Passwords are counted with those of logins, so that
/// a stolen token is no way around that limit.
pub(super) async fn password(app: &App, caller: &Caller, attempt: &Attempt) -> Result<Passed> {
    if attempt.tries_password() {
        app.limits.check_account(caller.user_id.as_str())?;
    }
    Ok(app.uia.pass(attempt, &[vec![Stage::Password]]).await?)
}
