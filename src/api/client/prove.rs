//! Having users prove, by their password, that a token is in the hands of its owner.

use hearth_services::accounts::uia::{Attempt, Passed, Stage};

use crate::app::App;
use crate::error::Result;

/// Lets a request through that brings its user's password. Wrong ones are counted, so
/// that a stolen token is no way to guess on.
pub(super) async fn password(app: &App, attempt: &Attempt) -> Result<Passed> {
    Ok(app.uia.pass(attempt, &[vec![Stage::Password]]).await?)
}
