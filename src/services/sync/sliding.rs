//! Simplified sliding sync (MSC4186): windows over lists of rooms.
//!
//! A connection keeps one row: what its client was told, as far as its position does not tell. It is written before
//! the reply, and only when it changed.

mod account;
mod answer;
mod connections;
mod encode;
mod extensions;
mod face;
mod known;
mod order;
mod ranking;
mod state;
mod traits;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::{Position, UserNid};
use hearth_core::sliding_sync::{self, Form};
use hearth_core::token::SlidingToken;
use hearth_store::sliding::ConnectionKey;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use self::account::Accounts;
use self::answer::{Answer, Asked};
use self::connections::{Connections, KnownAs};
use self::known::Known;
use self::order::Order;
use self::ranking::{READERS, Ranking};
use self::traits::Traits;
use super::memory::Connection;
use super::polls::Poll;
use super::{Sync, SyncError};
use crate::log::{Apply, Log};
use crate::rooms::RoomReader;
use crate::rooms::viewer::Viewer;

/// A request of sliding sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub asked: sliding_sync::Request,
    /// In which form, and in which the answer is.
    pub form: Form,
    /// The position of the last response; none at the first.
    pub pos: Option<SlidingToken>,
    /// How long to wait for news.
    pub timeout: Duration,
}

/// What sliding sync keeps beside the engine.
pub(super) struct Sliding {
    connections: Connections,
    order: Arc<Order>,
    traits: Arc<Traits>,
    accounts: Accounts,
    rankings: Cache<UserNid, Arc<Ranking>>,
}

impl Sliding {
    /// Connections that nobody uses are forgotten after `lifetime`.
    pub(super) fn new(reader: &RoomReader, lifetime: Duration) -> Self {
        let store = &reader.store;
        Self {
            connections: Connections::new(store.clone(), lifetime),
            order: Arc::new(Order::new(store.clone())),
            traits: Arc::new(Traits::new()),
            accounts: Accounts::new(store.clone(), reader.interned.clone()),
            rankings: Cache::new(READERS),
        }
    }

    /// Its caches must hear the log before anybody is woken.
    pub(super) fn register(&self, log: &Log) {
        log.register(Arc::clone(&self.order) as Arc<dyn Apply>);
        log.register(Arc::clone(&self.traits) as Arc<dyn Apply>);
    }
}

/// A window that is held open: what its client asks for, what it knows, and up to where it was told.
pub struct Window {
    sync: Sync,
    viewer: Viewer,
    request: Request,
    key: ConnectionKey,
    known: Option<Arc<KnownAs>>,
    since: Option<Position>,
    connection: Connection,
    sessions_closed: Option<Position>,
    _poll: Poll,
}

impl Sync {
    /// Answers a request, at once or when there is something to tell: the response's JSON.
    pub async fn sliding(&self, viewer: &Viewer, request: Request) -> Result<String, SyncError> {
        let timeout = request.timeout.min(self.inner.longest_wait);
        let deadline = Instant::now() + timeout;
        let mut window = self.window(viewer.clone(), request).await?;
        loop {
            let is_late = window.since.is_none() || Instant::now() >= deadline;
            if let Some(answer) = window.next(is_late).await? {
                return Ok(answer);
            }
            tokio::select! {
                () = window.woken() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.stopped() => return window.next(true).await.map(Option::unwrap_or_default),
            }
        }
    }

    /// Opens a window, and holds it open. It counts among the reader's syncs.
    pub async fn window(&self, viewer: Viewer, request: Request) -> Result<Window, SyncError> {
        let poll = self.inner.polls.begin(&viewer)?;
        let engine = &self.inner.engine;
        let key = ConnectionKey {
            user: viewer.user,
            device: viewer.device.clone().unwrap_or_default(),
            conn_id: request.asked.conn_id.clone(),
        };
        let known = match request.pos {
            Some(token) => {
                let known = engine.sliding.connections.get(&key, token, engine.log.is_alone()).await?;
                Some(known.ok_or(SyncError::UnknownPos)?)
            }
            None => None,
        };
        let since = request.pos.map(|token| token.pos);
        engine.check(since).await?;
        let connection = Connection::open(&engine.memory, viewer.user);
        let (sync, sessions_closed) = (self.clone(), None);
        Ok(Window { sync, viewer, request, key, known, since, connection, sessions_closed, _poll: poll })
    }
}

impl Window {
    /// Wants something else of the same connection from here on.
    pub fn ask(&mut self, asked: sliding_sync::Request) {
        self.request.asked = asked;
    }

    /// Waits until something may have changed. Nothing is lost when it is not waited for any longer.
    pub async fn woken(&mut self) {
        self.connection.woken().await;
    }

    /// What the client is told next, if there is anything to tell, or in any case. When it fails the window stays
    /// where it was.
    pub async fn next(&mut self, in_any_case: bool) -> Result<Option<String>, SyncError> {
        let Self { sync, viewer, request, known, since, connection, .. } = self;
        let engine = &sync.inner.engine;
        let nothing = Known::default();
        let asked = Asked {
            viewer,
            request,
            known: known.as_ref().map_or(&nothing, |known| &known.known),
            since: *since,
        };
        let mut answer = {
            // It is never closed; were it, nothing would be limited.
            let _turn = sync.inner.turns.acquire().await.ok();
            engine.answer(connection, asked).await?
        };
        let closed_before = *self.sessions_closed.get_or_insert(answer.sessions_closed);
        let was_closed = answer.sessions_closed > closed_before;
        if answer.is_empty(request.form) && !in_any_case && !was_closed {
            return Ok(None);
        }
        let token = self.keep(&mut answer).await?;
        let json = encode::encode(&answer, &self.viewer, &self.request, token)?;
        // The token must not be ahead of what the rest of this process answers.
        self.sync.inner.engine.wait_applied(answer.upto).await?;
        self.since = Some(answer.upto);
        Ok(Some(json))
    }

    /// Keeps what the client knows that gets an answer; returns the position that it is given.
    async fn keep(&mut self, answer: &mut Answer) -> Result<SlidingToken, SyncError> {
        let known = match (answer.known.take(), &self.known) {
            (None, Some(known)) => Arc::clone(known),
            (next, before) => {
                let connections = &self.sync.inner.engine.sliding.connections;
                connections.keep(&self.key, next.unwrap_or_default(), before.as_ref()).await?
            }
        };
        let token = SlidingToken { pos: answer.upto, known: known.hash };
        self.known = Some(known);
        Ok(token)
    }
}
