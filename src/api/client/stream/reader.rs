//! Whoever a stream is for, for as long as it is open.

use std::time::Duration;

use hearth_services::accounts::Caller;
use hearth_services::clock;
use hearth_services::ephemeral::presence::{Poll, PresenceState};
use hearth_services::sync::{Follow, Update};
use ruma::api::error::ErrorKind;
use tokio::time::Instant;

use super::places::Place;
use super::views::Views;
use crate::app::App;
use crate::client::sync::SyncRequest;
use crate::error::{Error, Result};
use crate::route::Admits;

/// Whoever a stream is for, and how far they were told.
pub(super) struct Reader {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) follow: Follow,
    pub(super) views: Views,
    /// Their device is there.
    poll: Option<Poll>,
    /// When the access token ends.
    until: Option<Instant>,
    _place: Place,
}

/// What a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Something may have changed.
    Woken,
    /// The access token expired.
    Expired,
    /// The server stops.
    Stopping,
}

impl Reader {
    /// Begins to follow what a request asks for.
    pub(super) async fn open(app: App, caller: Caller, wanted: &SyncRequest, place: Place) -> Result<Self> {
        let asked = wanted.resolve(&app, &caller).await?;
        let follow = app.sync.follow(crate::extract::CallerExt::viewer(&caller), asked).await?;
        let poll = wanted.poll(&app, &caller).await;
        let until = end_of(&caller);
        let views = Views::default();
        Ok(Self { app, caller, follow, views, poll, until, _place: place })
    }

    /// Waits for something to happen. Nothing is lost when it is not waited for any longer.
    pub(super) async fn event(&mut self) -> Event {
        let expired = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.app.sync.stopped() => Event::Stopping,
            () = expired => Event::Expired,
            () = self.follow.woken() => Event::Woken,
        }
    }

    /// Refuses whose session ended meanwhile, or whose account an administrator locked.
    pub(super) async fn check(&self) -> Result<()> {
        let caller = self.app.accounts.caller_of(&self.caller.token_hash).await?;
        Admits::Suspended.check(&caller.ok_or_else(Error::unknown_token)?)
    }

    /// What changed since the last update, if anything did.
    pub(super) async fn update(&mut self) -> Result<Option<Update>> {
        self.check().await?;
        Ok(self.follow.next().await?)
    }

    /// The token to go on from, once there is one.
    pub(super) fn token(&self) -> Option<String> {
        self.follow.token().map(|token| token.to_string())
    }

    /// What the device is to be taken for from now on.
    pub(super) fn set_presence(&mut self, state: PresenceState) {
        self.poll = self.app.presences.poll(&self.caller, state);
    }

    /// Goes on with another access token of the same device.
    pub(super) async fn renew(&mut self, token: &str) -> Result<()> {
        let caller = self.app.accounts.caller(token).await?.ok_or_else(Error::unknown_token)?;
        Admits::Suspended.check(&caller)?;
        if (&caller.user, &caller.device_id) != (&self.caller.user, &self.caller.device_id) {
            let message = "This token is another device's: open a stream of its own.";
            return Err(Error::bad_request(ErrorKind::InvalidParam, message));
        }
        self.until = end_of(&caller);
        self.caller = caller;
        Ok(())
    }
}

/// When a caller's access token ends.
fn end_of(caller: &Caller) -> Option<Instant> {
    let left = caller.expires_ts?.saturating_sub(clock::now_ms());
    // A moment later it has certainly expired.
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0) + 1);
    Instant::now().checked_add(left)
}
