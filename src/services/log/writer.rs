//! The one task of a process that commits: it drains whatever proposals wait, and commits them in one call.

mod batch;
mod target;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_core::id::Position;
use hearth_store::PgConnectOptions;
use hearth_store::StoreError;
use hearth_store::log::{LogConnection, Outcome, Proposal, Recovered};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::batch::Batch;
use self::target::{PostgresTarget, Target};
use super::apply::Applier;
use super::chain::Chain;
use super::outcome::{CommitError, Committed};

/// Proposals in one commit. More make commits longer without making them cheaper: measured, beyond some
/// hundred rows the rate falls.
const BATCH_ITEMS: usize = 512;

/// Bytes of one commit: a few milliseconds of write-ahead log.
const BATCH_BYTES: usize = 4 << 20;

/// A proposal on its way to the writer.
pub(super) struct Submission {
    pub(super) proposal: Proposal,
    pub(super) chain: Option<Arc<Chain>>,
    pub(super) answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Waits between attempts to reach the database.
const RETRY: Duration = Duration::from_millis(200);

pub(super) struct Writer<T> {
    target: T,
    applier: Arc<Applier>,
    /// Batches begun so far; the number of the newest.
    batches: i64,
    /// Taken from the channel, not yet in a batch.
    waiting: VecDeque<Submission>,
}

impl Writer<PostgresTarget> {
    pub(super) fn new(
        connection: LogConnection,
        connect: PgConnectOptions,
        incarnation: i64,
        applier: Arc<Applier>,
    ) -> Self {
        Self::over(PostgresTarget::new(connection, connect, incarnation), applier)
    }
}

impl<T: Target> Writer<T> {
    fn over(target: T, applier: Arc<Applier>) -> Self {
        Self { target, applier, batches: 0, waiting: VecDeque::new() }
    }

    /// Commits until the channel closes, or, once `stop` is cancelled, until nothing waits.
    pub(super) async fn run(mut self, mut proposals: mpsc::Receiver<Submission>, stop: CancellationToken) {
        let mut arrived = Vec::with_capacity(BATCH_ITEMS);
        loop {
            if self.waiting.is_empty() {
                let count = tokio::select! {
                    count = proposals.recv_many(&mut arrived, BATCH_ITEMS) => count,
                    () = stop.cancelled(), if !proposals.is_closed() => {
                        proposals.close();
                        continue;
                    }
                };
                if count == 0 {
                    return;
                }
            } else {
                while arrived.len() < BATCH_ITEMS
                    && let Ok(submission) = proposals.try_recv()
                {
                    arrived.push(submission);
                }
            }
            self.waiting.extend(arrived.drain(..));
            let batch = Batch::draw(&mut self.waiting, BATCH_ITEMS, BATCH_BYTES);
            self.settle(batch).await;
        }
    }

    /// Sees a batch through: committed and applied, or refused, every requester is answered.
    async fn settle(&mut self, mut batch: Batch) {
        batch.fail_broken_chains();
        if batch.is_empty() {
            return;
        }
        batch.take_bases();
        match self.commit(&mut batch).await {
            Ok(outcome) => self.finish(batch, &outcome).await,
            Err(StoreError::Refused(_) | StoreError::Conflict(_)) if batch.len() > 1 => {
                // One of them is bad: it shall fail alone. The second half waits its turn again, behind
                // whatever of the first half must be sent again.
                self.put_back(batch.split_half());
                Box::pin(self.settle(batch)).await;
            }
            Err(error) => batch.fail(error),
        }
    }

    /// Commits the batch exactly once, however often the connection dies over it.
    async fn commit(&mut self, batch: &mut Batch) -> Result<Outcome, StoreError> {
        self.batches += 1;
        let since = self.applier.applied();
        loop {
            let begun = Instant::now();
            let sent = self.target.commit(self.batches, &batch.proposals()).await;
            let unknown = match sent {
                Err(error) if error.leaves_commit_unknown() => error,
                answered => {
                    record(batch, begun, answered.is_ok());
                    return answered;
                }
            };
            tracing::warn!(error = %unknown, batch = self.batches, "a commit was not heard of; finding out");
            match self.recover(since, batch).await {
                Recovered::Absent => {
                    tracing::info!(batch = self.batches, "it had not happened; sending again");
                }
                Recovered::Committed { head, present } => {
                    tracing::info!(batch = self.batches, "it had happened");
                    return Ok(batch.outcome_of(head, &present));
                }
            }
        }
    }

    async fn recover(&mut self, since: Position, batch: &Batch) -> Recovered {
        loop {
            match self.target.recover(self.batches, since, &batch.sizes()).await {
                Ok(recovered) => return recovered,
                Err(error) => {
                    tracing::warn!(%error, "the database is away; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn finish(&mut self, batch: Batch, outcome: &Outcome) {
        let applied = batch.entries(outcome);
        // The numbers of dropped entries at the end are given out again.
        let head = applied.last().map_or(outcome.head, |entry| entry.pos);
        gauge("hearth_log_head", head);
        // Nothing is answered before every cache has heard of it; what is committed cannot be taken back.
        while let Err(error) = self.applier.apply_own(outcome.head, head, &applied).await {
            tracing::warn!(%error, "the log cannot be read; trying again");
            tokio::time::sleep(RETRY).await;
        }
        gauge("hearth_log_applied", self.applier.applied());
        let again = batch.answer(outcome);
        self.put_back(again);
    }

    fn put_back(&mut self, submissions: Vec<Submission>) {
        for submission in submissions.into_iter().rev() {
            self.waiting.push_front(submission);
        }
    }
}

fn record(batch: &Batch, begun: Instant, committed: bool) {
    let outcome = if committed { "committed" } else { "failed" };
    metrics::counter!("hearth_commits_total", "outcome" => outcome).increment(1);
    metrics::histogram!("hearth_commit_seconds").record(begun.elapsed().as_secs_f64());
    metrics::histogram!("hearth_commit_batch_size").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
}

#[expect(clippy::cast_precision_loss, reason = "positions stay below 2^53")]
fn gauge(name: &'static str, pos: Position) {
    metrics::gauge!(name).set(pos.get() as f64);
}

#[cfg(test)]
mod model;
