//! Which replicas live, and what the head is.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hearth_core::id::Position;
use hearth_store::{Store, StoreError};
use tokio::sync::Mutex;

/// A process that has not heard the head for this long stops serving; far below the time after which the
/// others take it for gone.
const DEAF_AFTER: Duration = Duration::from_secs(8);

/// What a newcomer waits for the others to count it before it commits anything. They hear of it by
/// notification, at the latest when they next look.
const INTRODUCTION: Duration = Duration::from_millis(1500);

pub(super) struct Replicas {
    store: Store,
    incarnation: i64,
    live: AtomicI64,
    begun: Instant,
    /// Milliseconds after `begun` at which the head was last heard.
    heard: AtomicU64,
    /// The same for when this process was last able to say that it lives.
    beaten: AtomicU64,
    /// It could not, because the database's disk is full.
    full: AtomicBool,
    /// Queries for the head begun so far.
    queries: AtomicU64,
    /// The last query that was answered, and its answer.
    answer: Mutex<(u64, Position)>,
}

impl Replicas {
    pub(super) fn new(store: Store, incarnation: i64) -> Self {
        Self {
            store,
            incarnation,
            live: AtomicI64::new(1),
            begun: Instant::now(),
            heard: AtomicU64::new(0),
            beaten: AtomicU64::new(0),
            full: AtomicBool::new(false),
            queries: AtomicU64::new(0),
            answer: Mutex::new((0, Position::ZERO)),
        }
    }

    /// Begins to serve: where others do, they are told and given the time to take note.
    pub(super) async fn join(&self) -> Result<(), StoreError> {
        self.beat().await?;
        if !self.alone() {
            self.store.announce_replica(self.incarnation).await?;
            tokio::time::sleep(INTRODUCTION).await;
        }
        Ok(())
    }

    /// Ceases to serve.
    pub(super) async fn leave(&self) -> Result<(), StoreError> {
        self.store.leave_replicas(self.incarnation).await?;
        self.store.announce_replica(self.incarnation).await
    }

    pub(super) fn incarnation(&self) -> i64 {
        self.incarnation
    }

    /// How many processes serve, as far as is known.
    pub(super) fn live(&self) -> u32 {
        u32::try_from(self.live.load(Ordering::Acquire)).unwrap_or(1).max(1)
    }

    /// Whether no other process serves. One that could not say that it lives cannot know.
    pub(super) fn alone(&self) -> bool {
        self.live.load(Ordering::Acquire) <= 1 && self.may_write()
    }

    /// Whether the others know that this process lives, so that they hear of what it commits.
    pub(super) fn may_write(&self) -> bool {
        !self.full.load(Ordering::Acquire) || self.is_recent(&self.beaten)
    }

    /// Says that this process lives; returns the head. Where the disk is full it goes on reading.
    pub(super) async fn beat(&self) -> Result<Position, StoreError> {
        let live = match self.store.heartbeat(self.incarnation, env!("CARGO_PKG_VERSION")).await {
            Ok(live) => live,
            Err(error) if error.is_full() => {
                if !self.full.swap(true, Ordering::AcqRel) {
                    tracing::warn!("the database's disk is full: it can only be read");
                }
                return self.head().await;
            }
            Err(error) => return Err(error),
        };
        if self.full.swap(false, Ordering::AcqRel) {
            tracing::info!("the database's disk has room again");
        }
        self.note(&self.beaten);
        if self.live.swap(live.replicas, Ordering::AcqRel) != live.replicas {
            tracing::info!(replicas = live.replicas, "replicas over this database");
        }
        self.hear();
        Ok(live.head)
    }

    /// The head, by a query begun after this call; callers at the same time share one.
    pub(super) async fn head(&self) -> Result<Position, StoreError> {
        let arrived = self.queries.load(Ordering::Acquire);
        let mut answer = self.answer.lock().await;
        if answer.0 <= arrived {
            let query = self.queries.fetch_add(1, Ordering::AcqRel) + 1;
            *answer = (query, self.store.head().await?);
            self.hear();
        }
        Ok(answer.1)
    }

    fn hear(&self) {
        self.note(&self.heard);
    }

    fn note(&self, when: &AtomicU64) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        when.fetch_max(now, Ordering::AcqRel);
    }

    /// Whether the head was heard lately.
    pub(super) fn is_current(&self) -> bool {
        self.is_recent(&self.heard)
    }

    fn is_recent(&self, when: &AtomicU64) -> bool {
        let when = Duration::from_millis(when.load(Ordering::Acquire));
        self.begun.elapsed().saturating_sub(when) < DEAF_AFTER
    }
}
