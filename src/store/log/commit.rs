//! One batch of proposals, one call, one commit.
//!
//! The function `hearth_commit_r2` takes the clock (an advisory lock that is the first and only lock it waits
//! for), decides what must be decided once, inserts everything that was not dropped, and notifies the new
//! head. It is called in autocommit, so each of its statements sees a fresh snapshot taken under the clock.

mod columns;

pub(in crate::log) use self::columns::LogKind;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};

use self::columns::Columns;
use super::Proposal;
use crate::{Result, StoreError};
use hearth_core::id::{EventNid, Position};

/// Why an item of a batch had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The room has an entry newer than the item's base.
    RoomMoved,
    /// Its transaction id was used before.
    Repeated,
    /// The name it claims belongs to somebody.
    Taken,
    /// What it changes does not exist.
    Absent,
    /// An earlier item of the same room was dropped.
    Predecessor,
}

/// An item of a batch that had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its place in the batch, from 0.
    pub item: usize,
    /// Why.
    pub reason: Reason,
    /// For a repeated transaction id, the event it made the first time.
    pub reply: Option<EventNid>,
}

/// What came of a committed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The head before the batch; its entry number n, counted from 1 over the whole batch, has this plus n.
    pub head: Position,
    /// Items without effect, in order.
    pub dropped: Vec<Dropped>,
}

/// What a search for a batch of unknown fate found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// It never committed, and never will.
    Absent,
    /// It committed with this head before it; the items in `present` took effect.
    Committed {
        /// The head before the batch.
        head: Position,
        /// Items that took effect, from 0, in order.
        present: Vec<usize>,
    },
}

/// The writer's own connection to the database.
#[derive(Debug)]
pub struct LogConnection {
    connection: PgConnection,
}

/// A writer's statement takes milliseconds; one that takes this long holds up every replica.
const STATEMENT_TIMEOUT: &str = "20s";
/// How long the clock may be waited for. Longer than a statement may take under it.
const LOCK_TIMEOUT: &str = "25s";
/// A paused process must not hold the clock.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";
/// Nor one whose network is gone, in milliseconds.
const TCP_USER_TIMEOUT: &str = "20000";

/// Left to itself PostgreSQL plans the commit function's statements anew each time, since it takes arrays of
/// unknown length for long: planning then costs three times what the rest of a commit does. A plan made once
/// must not be one for empty tables, hence no sequential scans.
const PLAN_ONCE: &str = "force_generic_plan";

impl LogConnection {
    /// Connects, with the settings that keep a stuck writer from stopping the others.
    pub async fn connect(options: &PgConnectOptions) -> Result<Self> {
        let options = options.clone().options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            ("tcp_user_timeout", TCP_USER_TIMEOUT),
            ("jit", "off"),
            ("synchronous_commit", "on"),
            ("plan_cache_mode", PLAN_ONCE),
            ("enable_seqscan", "off"),
        ]);
        Ok(Self { connection: options.connect().await? })
    }

    /// Commits a batch whole, but for the items it reports as dropped.
    ///
    /// `StoreError::Refused` and `StoreError::Conflict` mean that nothing was committed because of some item.
    /// `StoreError::Unavailable` may leave it unknown whether the batch committed; see [`Self::recover`].
    pub async fn commit(&mut self, incarnation: i64, batch: i64, proposals: &[&Proposal]) -> Result<Outcome> {
        let columns = Columns::of(proposals)?;
        let row = columns.bind(incarnation, batch).fetch_one(&mut self.connection).await?;
        let items: Vec<i32> = row.try_get("dropped_item")?;
        let reasons: Option<Vec<i16>> = row.try_get("dropped_why")?;
        let replies: Option<Vec<Option<i64>>> = row.try_get("dropped_reply")?;
        let dropped = items
            .into_iter()
            .zip(reasons.unwrap_or_default())
            .zip(replies.unwrap_or_default())
            .map(|((item, why), reply)| dropped(item, why, reply))
            .collect::<Result<_>>()?;
        Ok(Outcome { head: Position::new(row.try_get("head")?), dropped })
    }

    /// Finds out what became of a batch whose commit was not heard of.
    ///
    /// Takes the clock, so that a backend still at work on the batch has finished. `sizes` are the numbers of
    /// entries of its items.
    pub async fn recover(
        &mut self,
        incarnation: i64,
        batch: i64,
        since: Position,
        sizes: &[usize],
    ) -> Result<Recovered> {
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7236838441)").execute(&mut *transaction).await?;
        let found: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT item, min(pos) FROM log
             WHERE pos > $1 AND incarnation = $2 AND batch = $3
             GROUP BY item ORDER BY item",
        )
        .bind(since.get())
        .bind(incarnation)
        .bind(batch)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        let Some(&(item, pos)) = found.first() else {
            return Ok(Recovered::Absent);
        };
        let before: usize = sizes.iter().take(place(item)?).sum();
        let entry = i64::try_from(before).map_err(|_| StoreError::corrupt("log", pos))? + 1;
        let present = found.iter().map(|&(item, _)| place(item)).collect::<Result<_>>()?;
        Ok(Recovered::Committed { head: Position::new(pos - entry), present })
    }

    /// Which cluster this is: its system identifier and timeline, where the role may know them.
    pub async fn cluster(&mut self) -> Result<Option<(i64, i32)>> {
        let found = sqlx::query_as(
            "SELECT s.system_identifier, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c",
        )
        .fetch_one(&mut self.connection)
        .await;
        match found {
            Ok(cluster) => Ok(Some(cluster)),
            // The administrator of a shared server may not let us ask.
            Err(error)
                if error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref()
                    == Some("42501") =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// After a restore or a failover: moves the clock far ahead, so that no position given out before, though
    /// lost, is given out again. Does nothing where the cluster is the one last served.
    pub async fn jump_if_moved(&mut self, incarnation: i64) -> Result<bool> {
        let Some((system, timeline)) = self.cluster().await? else { return Ok(false) };
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(7236838441)").execute(&mut *transaction).await?;
        let moved = sqlx::query(
            "UPDATE server SET system_identifier = $1, timeline = $2
             WHERE (system_identifier, timeline) IS DISTINCT FROM ($1, $2)",
        )
        .bind(system)
        .bind(timeline)
        .execute(&mut *transaction)
        .await?
        .rows_affected()
            > 0;
        if moved {
            sqlx::query(
                "INSERT INTO log (pos, kind, incarnation, batch, item)
                 SELECT coalesce(max(pos), 0) + $1, $2, $3, 0, 0 FROM log",
            )
            .bind(CLOCK_JUMP)
            .bind(LogKind::Clock.number())
            .bind(incarnation)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(moved)
    }
}

/// More positions than any standby can be behind, few enough for two million failovers below 2^53.
const CLOCK_JUMP: i64 = 1 << 32;

fn dropped(item: i32, why: i16, reply: Option<i64>) -> Result<Dropped> {
    let reason = match why {
        1 => Reason::RoomMoved,
        2 => Reason::Repeated,
        3 => Reason::Taken,
        4 => Reason::Absent,
        5 => Reason::Predecessor,
        other => return Err(StoreError::corrupt("hearth_commit_r2", other)),
    };
    Ok(Dropped { item: place(item)?, reason, reply: reply.map(EventNid::new) })
}

/// An item's number in the database, from 1, as its place in the batch, from 0.
fn place(item: i32) -> Result<usize> {
    item.checked_sub(1)
        .and_then(|place| usize::try_from(place).ok())
        .ok_or_else(|| StoreError::corrupt("log", item))
}
