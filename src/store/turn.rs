//! Taking turns at one room among all processes.

use hearth_core::id::RoomNid;
use sqlx::{Postgres, Transaction};

use crate::{Result, Store, statements};

/// The turn at one room. It ends when this is dropped, and with the process.
#[derive(Debug)]
pub struct RoomTurn {
    /// Holds the lock, and nothing else: neither a snapshot nor a row.
    _transaction: Transaction<'static, Postgres>,
}

impl Store {
    /// How many connections all of this process's statements share.
    #[must_use]
    pub fn connections(&self) -> usize {
        usize::try_from(self.pool().options().get_max_connections()).unwrap_or(usize::MAX)
    }

    /// Waits for the turn at a room; those who wait get it in the order they came.
    ///
    /// An advisory lock whose key is the room's number below zero: the clock's and the migrations' are above.
    pub async fn room_turn(&self, room: RoomNid) -> Result<RoomTurn> {
        let mut transaction = self.pool().begin().await?;
        statements::count();
        sqlx::query("SELECT pg_advisory_xact_lock(-$1)").bind(room.get()).execute(&mut *transaction).await?;
        Ok(RoomTurn { _transaction: transaction })
    }
}
