//! What the writer commits to.

use std::future::Future;

use hearth_core::id::Position;
use hearth_store::PgConnectOptions;
use hearth_store::StoreError;
use hearth_store::log::{LogConnection, Outcome, Proposal, Recovered};

/// The far end of the writer's commits. A trait, so that failures can be put in between.
pub(in crate::log) trait Target: Send {
    /// Commits a batch. `Unavailable` without a database's answer leaves it unknown whether it committed.
    fn commit(
        &mut self,
        batch: i64,
        proposals: &[&Proposal],
    ) -> impl Future<Output = Result<Outcome, StoreError>> + Send;

    /// Finds out what became of a batch of unknown fate.
    fn recover(
        &mut self,
        batch: i64,
        since: Position,
        sizes: &[usize],
    ) -> impl Future<Output = Result<Recovered, StoreError>> + Send;
}

/// PostgreSQL, over a connection of the writer's own that is made anew when it dies.
pub(in crate::log) struct PostgresTarget {
    connection: Option<LogConnection>,
    connect: PgConnectOptions,
    incarnation: i64,
}

impl PostgresTarget {
    pub(super) const fn new(connection: LogConnection, connect: PgConnectOptions, incarnation: i64) -> Self {
        Self { connection: Some(connection), connect, incarnation }
    }

    async fn connection(&mut self) -> Result<&mut LogConnection, StoreError> {
        if self.connection.is_none() {
            let mut connection = LogConnection::connect(&self.connect).await?;
            if connection.jump_if_moved(self.incarnation).await? {
                tracing::warn!("another PostgreSQL cluster than before: positions continue far ahead");
            }
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| StoreError::corrupt("log", "connection"))
    }

    fn drop_if_unavailable<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Unavailable(_))) {
            self.connection = None;
        }
        result
    }
}

impl Target for PostgresTarget {
    async fn commit(&mut self, batch: i64, proposals: &[&Proposal]) -> Result<Outcome, StoreError> {
        let incarnation = self.incarnation;
        let result = match self.connection().await {
            Ok(connection) => connection.commit(incarnation, batch, proposals).await,
            Err(error) => Err(error),
        };
        self.drop_if_unavailable(result)
    }

    async fn recover(
        &mut self,
        batch: i64,
        since: Position,
        sizes: &[usize],
    ) -> Result<Recovered, StoreError> {
        let incarnation = self.incarnation;
        let result = match self.connection().await {
            Ok(connection) => connection.recover(incarnation, batch, since, sizes).await,
            Err(error) => Err(error),
        };
        self.drop_if_unavailable(result)
    }
}
