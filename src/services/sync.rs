//! Sync: one engine, and the encoders over it.
//!
//! The engine answers one question: *given a user, a device, a position and a view, what changed?* Nothing about
//! a client is remembered between its requests: the same token gives the same answer again.
//!
//! What happened lately is in memory, kept true by the log; see [`memory`]. A sync whose token is recent makes no
//! statement unless its user's memberships or account data changed.
//!
//! A long poll asks once and waits; a stream ([`Follow`]) asks again and again on one connection.

mod engine;
mod ephemeral;
mod follow;
mod heroes;
mod json;
mod judge;
mod memory;
mod pieces;
mod plan;
mod polls;
mod presence;
mod shown;
mod sliding;
mod state;
mod stripped;
mod timeline;
mod turns;
mod unread;
pub mod v2;

use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::{Position, UserNid};
use hearth_core::sync_filter::FilterDefinition;
use hearth_store::StoreError;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::ephemeral::Passing;
pub use self::follow::{Follow, Update};
pub use self::sliding::{Request as SlidingRequest, Window};

use self::engine::{Changes, Engine, View};
use self::memory::Connection;
use self::polls::Polls;
use self::sliding::Sliding;
use crate::filters::{FilterError, Filters};
use crate::log::{Apply, Log};
use crate::rooms::RoomReader;
use crate::rooms::viewer::Viewer;

/// Filters kept in memory, read. They never change.
const FILTERS: usize = 10_000;

/// Syncs worked on at a time: enough to keep the database busy. After a restart everybody comes at once, and
/// those who wait for a turn cost nothing.
const AT_WORK: usize = 64;

/// What is configured about syncs.
#[derive(Clone, Copy, Debug)]
pub struct SyncSettings {
    /// The longest that one waits.
    pub longest_wait: Duration,
    /// The most of one device at a time.
    pub per_device: u32,
    /// The most of one user at a time.
    pub per_user: u32,
    /// How long a connection of sliding sync is kept that nobody uses.
    pub connection_lifetime: Duration,
}

/// Why a sync has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The position is not one of this connection's, or it was long not used.
    #[error("the position is unknown or has expired: begin anew without one")]
    UnknownPos,
    /// The token is ahead of everything that ever happened here.
    #[error("this token was not given out by this server")]
    UnknownToken,
    /// There is no such filter, or it is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filter is malformed.
    #[error(transparent)]
    BadFilter(#[from] hearth_core::sync_filter::FilterError),
    /// The filter asks for what relates to events, which is not indexed.
    #[error("this server does not filter by relations yet")]
    Relations,
    /// The device, or its user, has too many under way.
    #[error("too many syncs at a time")]
    TooMany,
    /// This process has not applied what is committed.
    #[error("this process is behind the log")]
    Behind,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What syncing needs of the rest of the server.
pub struct Parts {
    /// Events and states of rooms.
    pub reader: RoomReader,
    /// The log.
    pub log: Log,
    /// The filters of users.
    pub filters: Filters,
    /// What passes in rooms.
    pub passing: Passing,
}

/// Sync. Cheap to clone.
#[derive(Clone)]
pub struct Sync {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    filters: Filters,
    read_filters: Cache<(UserNid, String), Arc<FilterDefinition>>,
    longest_wait: Duration,
    polls: Arc<Polls>,
    /// One for each sync that is worked on, not those that wait.
    turns: Semaphore,
    stop: CancellationToken,
}

impl Sync {
    /// Over a log. To be made after every other cache: it wakes, and whoever is woken must find the others told.
    ///
    /// Waiting syncs are answered when `stop` is cancelled.
    pub async fn new(parts: Parts, settings: SyncSettings, stop: CancellationToken) -> Self {
        let Parts { reader, log, filters, passing } = parts;
        let SyncSettings { longest_wait, per_device, per_user, connection_lifetime } = settings;
        let sliding = Sliding::new(&reader, connection_lifetime);
        let engine = Engine::new(reader, log.clone(), passing, sliding);
        log.register(Arc::clone(&engine.heroes) as Arc<dyn Apply>);
        engine.sliding.register(&log);
        let applied = log.register_from_here(Arc::clone(&engine.memory) as Arc<dyn Apply>).await;
        engine.memory.begin(applied);
        let read_filters = Cache::new(FILTERS);
        let (polls, turns) = (Arc::new(Polls::new(per_device, per_user)), Semaphore::new(AT_WORK));
        Self { inner: Arc::new(Inner { engine, filters, read_filters, longest_wait, polls, turns, stop }) }
    }

    /// The filter that a client means: an inline definition, or the id of one it uploaded.
    pub async fn filter(&self, user: UserNid, filter: &str) -> Result<Arc<FilterDefinition>, SyncError> {
        if filter.starts_with('{') {
            return read(filter);
        }
        let key = (user, filter.to_owned());
        if let Some(read) = self.inner.read_filters.get(&key) {
            return Ok(read);
        }
        let read = read(&self.inner.filters.get(user, filter).await?)?;
        self.inner.read_filters.insert(key, Arc::clone(&read));
        Ok(read)
    }

    /// What changed for a reader: at once where something did or nothing may be waited for, and otherwise when
    /// something does.
    async fn wait(
        &self,
        viewer: &Viewer,
        since: Option<Position>,
        view: View<'_>,
        timeout: Duration,
    ) -> Result<Changes, SyncError> {
        let engine = &self.inner.engine;
        let _poll = self.inner.polls.begin(viewer)?;
        engine.check(since).await?;
        let deadline = Instant::now() + timeout.min(self.inner.longest_wait);
        let mut connection = Connection::open(&engine.memory, viewer.user);
        let mut closed_before = None;
        loop {
            let changes = self.inner.changes(&mut connection, viewer, since, view).await?;
            let closed_before = *closed_before.get_or_insert(changes.sessions_closed);
            let answer = since.is_none()
                || view.full_state
                || !changes.is_empty_but_for_presence()
                || changes.sessions_closed > closed_before
                || Instant::now() >= deadline
                || (!changes.presence.is_empty() && connection.has_turn());
            if !answer {
                tokio::select! {
                    () = connection.woken() => continue,
                    () = tokio::time::sleep_until(deadline) => {}
                    () = self.inner.stop.cancelled() => {}
                }
            }
            // The token must not be ahead of what the rest of this process answers.
            engine.wait_applied(changes.upto).await?;
            return Ok(changes);
        }
    }
}

impl Inner {
    /// What changed for a reader, when it is their turn.
    async fn changes(
        &self,
        connection: &mut Connection,
        viewer: &Viewer,
        since: Option<Position>,
        view: View<'_>,
    ) -> Result<Changes, SyncError> {
        // It is never closed; were it, nothing would be limited.
        let _turn = self.turns.acquire().await.ok();
        self.engine.changes(connection, viewer, since, view).await
    }
}

/// Reads a filter's definition.
fn read(definition: &str) -> Result<Arc<FilterDefinition>, SyncError> {
    let filter = FilterDefinition::parse(definition)?;
    let room = &filter.room;
    if room.timeline.asks_for_relations() || room.state.asks_for_relations() {
        return Err(SyncError::Relations);
    }
    Ok(Arc::new(filter))
}
