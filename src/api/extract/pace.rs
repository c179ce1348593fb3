//! How fast a body comes.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use hearth_services::seldom::Seldom;
use http_body::Frame;
use http_body_util::BodyExt;
use ruma::api::error::ErrorKind;
use tokio::time::{Instant, timeout_at};

use crate::admission::Turn;
use crate::error::{Error, Result};

/// What must come in the time that a body may stand still: a slow telephone sends more in a second, and one byte
/// now and then is meant to hold the connection.
const LEAST: usize = 1024;

static SLOW: Seldom = Seldom::new();

/// Watches over a body. While its client is waited for, others are worked on.
pub(super) struct Pace {
    stall: Duration,
    turn: Option<Turn>,
    until: Instant,
    had: usize,
}

impl Pace {
    /// Something must come every so often.
    pub(super) fn new(stall: Duration, turn: Option<Turn>) -> Self {
        Self { stall, turn, until: Instant::now() + stall, had: 0 }
    }

    /// The next piece, `received` bytes having come before; none at the end.
    pub(super) async fn next(&mut self, body: &mut Body, received: usize) -> Result<Option<Bytes>> {
        if let Some(frame) = body.frame().now_or_never() {
            return frame.map(data).transpose();
        }
        self.wait_for(body, received).await
    }

    /// Waits for a piece, and lays the turn down meanwhile.
    async fn wait_for(&mut self, body: &mut Body, received: usize) -> Result<Option<Bytes>> {
        if let Some(turn) = &self.turn {
            turn.pause();
        }
        loop {
            match timeout_at(self.until, body.frame()).await {
                Ok(frame) => return frame.map(data).transpose(),
                Err(_) => self.judge(received)?,
            }
        }
    }

    /// Gives it more time if enough has come in that which it had.
    fn judge(&mut self, received: usize) -> Result<()> {
        if received < self.had + LEAST {
            if let Some(count) = SLOW.count() {
                tracing::warn!(count, "bodies of requests came too slowly and were given up");
            }
            return Err(Error::slow_body());
        }
        self.had = received;
        self.until = Instant::now() + self.stall;
        Ok(())
    }

    /// All of it is there.
    pub(super) async fn end(self) -> Result<()> {
        match self.turn {
            Some(turn) => turn.resume().await,
            None => Ok(()),
        }
    }
}

/// What a frame holds; what is no data follows after it, and says nothing here.
fn data<E>(frame: std::result::Result<Frame<Bytes>, E>) -> Result<Bytes> {
    frame
        .map(|frame| frame.into_data().unwrap_or_default())
        .map_err(|_| Error::bad_request(ErrorKind::Unknown, "The body broke off."))
}
