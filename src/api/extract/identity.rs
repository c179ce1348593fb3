//! Who makes a request, by the endpoint's kind of authentication.

use std::future::Future;
use std::net::IpAddr;

use axum::extract::Query;
use hearth_core::id::UserNid;
use hearth_services::accounts::{Caller, TokenHash};
use hearth_services::rooms::viewer::Viewer;
use http::header::AUTHORIZATION;
use http::request::Parts;
use ruma::UserId;
use ruma::api::auth_scheme::{
    AccessToken, AccessTokenOptional, AppserviceTokenOptional, NoAccessToken, NoAuthentication,
};
use serde::Deserialize;

use super::address;
use crate::app::App;
use crate::error::{Error, Result};

/// A kind of authentication, and whom it yields. An endpoint of another kind has no route.
pub(crate) trait Identify {
    /// Whom it yields.
    type Caller: Who + Send;

    /// Finds out who it is from the headers alone, before anything of the body is read.
    fn identify(app: &App, parts: &Parts) -> impl Future<Output = Result<Self::Caller>> + Send;
}

/// Anybody who may make a request.
pub(crate) trait Who {
    /// They, where they have an account.
    fn account(&self) -> Option<&Caller>;

    /// Their user, where they have one.
    fn user(&self) -> Option<UserNid> {
        self.account().map(|caller| caller.user)
    }
}

/// Somebody without a session who is about to begin one: known by nothing but where they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stranger {
    /// Their address, as far as it is known.
    pub(crate) address: Option<IpAddr>,
}

/// What a caller may do.
pub(crate) trait CallerExt {
    /// Refuses whoever is not this user.
    fn must_be(&self, user_id: &UserId) -> Result<()>;

    /// They as one who looks at rooms.
    fn viewer(&self) -> Viewer;
}

impl Identify for NoAuthentication {
    type Caller = ();

    async fn identify(_: &App, _: &Parts) -> Result<()> {
        Ok(())
    }
}

impl Identify for NoAccessToken {
    type Caller = ();

    async fn identify(_: &App, _: &Parts) -> Result<()> {
        Ok(())
    }
}

/// There are no application services yet. A token that comes along is one that the client forgot to leave
/// out, and says nothing.
impl Identify for AppserviceTokenOptional {
    type Caller = Stranger;

    async fn identify(app: &App, parts: &Parts) -> Result<Stranger> {
        Ok(Stranger { address: address::of(app, parts) })
    }
}

impl Identify for AccessToken {
    type Caller = Caller;

    async fn identify(app: &App, parts: &Parts) -> Result<Caller> {
        // A request that came over a stream is its reader's.
        let caller = if let Some(hash) = parts.extensions.get::<TokenHash>() {
            app.accounts.caller_of(hash).await?
        } else {
            let token = token(app, parts).ok_or_else(Error::missing_token)?;
            app.accounts.caller(&token).await?
        };
        caller.ok_or_else(Error::unknown_token)
    }
}

impl Identify for AccessTokenOptional {
    type Caller = Option<Caller>;

    async fn identify(app: &App, parts: &Parts) -> Result<Option<Caller>> {
        match token(app, parts) {
            Some(token) => Ok(Some(app.accounts.caller(&token).await?.ok_or_else(Error::unknown_token)?)),
            None => Ok(None),
        }
    }
}

impl Who for () {
    fn account(&self) -> Option<&Caller> {
        None
    }
}

impl Who for Stranger {
    fn account(&self) -> Option<&Caller> {
        None
    }
}

impl Who for Caller {
    fn account(&self) -> Option<&Caller> {
        Some(self)
    }
}

impl Who for Option<Caller> {
    fn account(&self) -> Option<&Caller> {
        self.as_ref()
    }
}

impl CallerExt for Caller {
    fn must_be(&self, user_id: &UserId) -> Result<()> {
        if self.user_id == user_id { Ok(()) } else { Err(Error::forbidden("This belongs to another user.")) }
    }

    fn viewer(&self) -> Viewer {
        let device = Some(self.device_id.to_string());
        Viewer { user: self.user, id: self.user_id.clone(), device }
    }
}

#[derive(Deserialize)]
struct TokenQuery {
    access_token: Option<String>,
}

/// The access token: from the header, or from the query where that is still accepted.
pub(crate) fn token(app: &App, parts: &Parts) -> Option<String> {
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        return bearer(header.as_bytes());
    }
    if !app.settings.query_tokens {
        return None;
    }
    // A query that cannot be read has no token in it.
    Query::<TokenQuery>::try_from_uri(&parts.uri).ok()?.0.access_token
}

fn bearer(header: &[u8]) -> Option<String> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    let token = scheme.eq_ignore_ascii_case(SCHEME).then_some(token)?;
    Some(str::from_utf8(token).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_in_any_case_and_nothing_else_is() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc".into()));
        assert_eq!(bearer(b"bEARER  abc "), Some("abc".into()));
        for other in [&b"Basic abc"[..], b"Bearer", b"", b"Bearer \xff"] {
            assert_eq!(bearer(other), None);
        }
    }
}
