//! A stream: what changes for a reader, told again and again on one connection.
//!
//! It holds a position and no queue. What changed is worked out when its connection can take it, from the position
//! up to which it was told: a slow reader gets one merged update, and costs no memory meanwhile.

use std::sync::Arc;
use std::time::Duration;

use hearth_core::sync_filter::FilterDefinition;
use hearth_core::token::SyncToken;

use super::memory::Connection;
use super::polls::Poll;
use super::v2::{self, Request};
use super::{Sync, SyncError};
use crate::rooms::viewer::Viewer;

/// What changes for a reader from a position on.
pub struct Follow {
    sync: Sync,
    viewer: Viewer,
    /// As of the position up to which the reader was told.
    request: Request,
    connection: Connection,
    _poll: Poll,
}

/// What a reader is told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The response that a sync from where the last update ended would have had.
    pub json: String,
    /// The token that it ends with.
    pub next_batch: SyncToken,
}

impl Sync {
    /// Follows what changes for a reader, from where a request begins. It counts among the reader's syncs.
    pub async fn follow(&self, viewer: Viewer, request: Request) -> Result<Follow, SyncError> {
        let poll = self.inner.polls.begin(&viewer)?;
        let engine = &self.inner.engine;
        engine.check(request.position()).await?;
        let connection = Connection::open(&engine.memory, viewer.user);
        let request = Request { timeout: Duration::ZERO, ..request };
        Ok(Follow { sync: self.clone(), viewer, request, connection, _poll: poll })
    }

    /// Waits until connections are to end.
    pub async fn stopped(&self) {
        self.inner.stop.cancelled().await;
    }
}

impl Follow {
    /// Waits until something may have changed. Nothing is lost when it is not waited for any longer.
    pub async fn woken(&mut self) {
        self.connection.woken().await;
    }

    /// What changed up to now, if anything did. When it fails the position stays where it was.
    pub async fn next(&mut self) -> Result<Option<Update>, SyncError> {
        let Self { sync, viewer, request, connection, .. } = self;
        let inner = &sync.inner;
        let since = request.position();
        let changes = inner.changes(connection, viewer, since, request.view()).await?;
        let next_batch = SyncToken(changes.upto);
        let told = since.is_none() || request.full_state || !changes.is_empty();
        let json = if told { Some(v2::encode(&changes, viewer, request)?) } else { None };
        // The token must not be ahead of what the rest of this process answers.
        inner.engine.wait_applied(changes.upto).await?;
        request.since = Some(next_batch);
        request.full_state = false;
        Ok(json.map(|json| Update { json, next_batch }))
    }

    /// Up to where the reader was told everything; none before the first update.
    #[must_use]
    pub const fn token(&self) -> Option<SyncToken> {
        self.request.since
    }

    /// Wants what another filter lets through, from here on.
    pub fn set_filter(&mut self, filter: Arc<FilterDefinition>) {
        self.request.filter = filter;
    }
}
