//! The log as the rest of the server sees it: commit a proposal, hear what was committed.
//!
//! ```text
//! commit(proposal) ─▶ writer ─▶ one commit ─▶ apply (every cache, in position order) ─▶ wake ─▶ answer
//! other replicas' commits ─▶ bus ─▶ read the gap ─▶ apply ─▶ wake
//! ```

mod apply;
mod bus;
mod cache;
mod chain;
mod clean_up;
mod head;
mod lease;
mod outcome;
mod writer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hearth_core::id::Position;
use hearth_store::PgConnectOptions;
use hearth_store::log::{LogConnection, Proposal};
use hearth_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::apply::{Apply, Logged, What};
pub use self::cache::{Cache, Reading};
pub use self::chain::Chain;
pub use self::lease::Lease;
pub use self::outcome::{CommitError, Committed};

use self::apply::Applier;
use self::head::Replicas;
use self::writer::{Submission, Writer};

/// Proposals that may wait for the writer: some tenths of a second of its work. More are refused at once.
const WAITING_PROPOSALS: usize = 4096;

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    incarnation: i64,
    proposals: mpsc::Sender<Submission>,
    applier: Arc<Applier>,
    replicas: Arc<Replicas>,
}

/// A task that serves the log for as long as the process lives.
pub struct Task {
    /// What it is called in logs.
    pub name: &'static str,
    /// The task.
    pub run: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Durations that an operator may change.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// How often the log is looked at although no replica said anything.
    pub poll_interval: Duration,
    /// How long transaction ids are remembered.
    pub transaction_lifetime: Duration,
    /// How long a user-interactive session lives.
    pub uia_lifetime: Duration,
    /// How long a connection of sliding sync lives that nobody uses.
    pub sliding_lifetime: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            transaction_lifetime: Duration::from_hours(168),
            uia_lifetime: Duration::from_hours(1),
            sliding_lifetime: Duration::from_hours(168),
        }
    }
}

impl Log {
    /// Opens the log, and returns beside it the tasks that must be run for it to move.
    ///
    /// When `stop` is cancelled, the writer commits what waits and ends; the others end at once.
    pub async fn open(
        store: Store,
        connect: PgConnectOptions,
        settings: LogSettings,
        stop: CancellationToken,
    ) -> Result<(Self, Vec<Task>), StoreError> {
        let incarnation = store.new_incarnation().await?;
        let mut connection = LogConnection::connect(&connect).await?;
        if connection.jump_if_moved(incarnation).await? {
            tracing::warn!("another PostgreSQL cluster than last time: positions continue far ahead");
        }
        let applier = Arc::new(Applier::new(store.clone(), store.head().await?));
        let replicas = Arc::new(Replicas::new(store.clone(), incarnation));
        let (proposals, receiver) = mpsc::channel(WAITING_PROPOSALS);
        let log = Self {
            inner: Arc::new(Inner {
                store: store.clone(),
                incarnation,
                proposals,
                applier: Arc::clone(&applier),
                replicas: Arc::clone(&replicas),
            }),
        };
        replicas.join().await?;
        let writer = Writer::new(connection, connect.clone(), incarnation, Arc::clone(&applier));
        let tasks = vec![
            Task { name: "log writer", run: Box::pin(writer.run(receiver, stop.clone())) },
            Task {
                name: "log bus",
                run: Box::pin(bus::run(connect, applier, replicas, settings.poll_interval, stop.clone())),
            },
            Task { name: "clean-up", run: Box::pin(clean_up::run(store, incarnation, settings, stop)) },
        ];
        Ok((log, tasks))
    }

    /// Adds a cache that the log keeps true. Caches are told in the order they were added.
    pub fn register(&self, cache: Arc<dyn Apply>) {
        self.inner.applier.register(cache);
    }

    /// Adds a cache that the log keeps true, and returns the position after which it hears everything.
    pub async fn register_from_here(&self, cache: Arc<dyn Apply>) -> Position {
        self.inner.applier.register_from_here(cache).await
    }

    /// Commits one proposal. Returns when it is committed and every cache of this process has applied it.
    pub async fn commit(&self, proposal: Proposal) -> Result<Committed, CommitError> {
        self.submit(proposal, None)?.wait().await
    }

    /// Hands one proposal to the writer, in order with those handed over before it, and does not wait.
    ///
    /// Refused while the database's disk is full, or while this process cannot tell the others that it lives: one
    /// that takes itself to be alone would not hear of it.
    ///
    /// With a chain it builds on the proposals of that chain: it takes its base from them, and fails with them.
    pub fn submit(&self, proposal: Proposal, chain: Option<Arc<Chain>>) -> Result<Pending, CommitError> {
        if self.inner.store.is_full() || !self.inner.replicas.may_write() {
            return Err(CommitError::Full);
        }
        let (answer, receiver) = oneshot::channel();
        self.inner.proposals.try_send(Submission { proposal, chain, answer }).map_err(
            |refused| match refused {
                mpsc::error::TrySendError::Full(_) => CommitError::Busy,
                mpsc::error::TrySendError::Closed(_) => CommitError::Stopping,
            },
        )?;
        Ok(Pending { receiver })
    }

    /// What this process's caches are as of.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.inner.applier.applied()
    }

    /// Whether no other replica lives, as far as this process has heard.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.inner.replicas.alone()
    }

    /// With several live replicas: learns the head and waits until it is applied here, so that what was
    /// answered anywhere before this call is seen after it. With one: returns at once.
    pub async fn catch_up(&self) -> Result<Position, StoreError> {
        if self.inner.replicas.alone() {
            return Ok(self.applied());
        }
        let head = self.inner.replicas.head().await?;
        self.inner.applier.catch_up_to(head).await?;
        Ok(self.applied())
    }

    /// Waits until entries up to `pos` are applied here; at once where they are.
    pub async fn wait_applied(&self, pos: Position) {
        self.inner.applier.wait_applied(pos).await;
    }

    /// Whether `pos` was ever given out: a token ahead of the head is of another server, or made up.
    pub async fn is_known(&self, pos: Position) -> Result<bool, StoreError> {
        if pos <= self.applied() {
            return Ok(true);
        }
        Ok(pos <= self.inner.replicas.head().await?)
    }

    /// Whether the head was heard of lately. A process that has not must not serve what others may have
    /// changed.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.inner.replicas.is_current()
    }

    /// How many processes serve, as far as this one knows.
    #[must_use]
    pub fn live_replicas(&self) -> u32 {
        self.inner.replicas.live()
    }

    /// This process's number.
    #[must_use]
    pub fn incarnation(&self) -> i64 {
        self.inner.incarnation
    }

    /// A lease on work that has one owner among all replicas.
    #[must_use]
    pub fn lease(&self, name: &'static str, duration: Duration) -> Lease {
        Lease::new(self.inner.store.clone(), name, self.inner.incarnation, duration)
    }

    /// Tells the other replicas that this one serves no more.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.inner.replicas.leave().await
    }
}

/// A proposal on its way.
#[derive(Debug)]
pub struct Pending {
    receiver: oneshot::Receiver<Result<Committed, CommitError>>,
}

impl Pending {
    /// Waits for what becomes of it.
    pub async fn wait(self) -> Result<Committed, CommitError> {
        self.receiver.await.unwrap_or(Err(CommitError::Stopping))
    }
}
