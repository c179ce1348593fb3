//! What PostgreSQL does at best: the writer's rows, by one connection, without a server.

use std::time::{Duration, Instant};

use hearth_bench::{Figures, Result};
use sqlx::{FromRow, PgConnection};

/// Inserts what the writer inserts for messages, in one statement, which is one commit.
const INSERT: &str = "
    WITH new AS (
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[])
            AS n (pos, nid, id, room, json, txn)
    ), events AS (
        INSERT INTO event (nid, id, room_nid, type, sender_nid, depth, origin_server_ts, outlier, rejected,
                           soft_failed, partial_state, root_before, auth_events, auth_order, device_id, txn_id, json)
        SELECT nid, id, room, 'm.room.message', $7, pos, pos, false, false, false, false, $9, $10, 5, 'BENCH', txn,
               json
        FROM new
    ), places AS (
        INSERT INTO timeline (room_nid, anchor, sub, event_nid) SELECT room, pos, 0, nid FROM new
    ), entries AS (
        INSERT INTO log (pos, kind, room_nid, subject_nid, ref_nid, incarnation, batch, item)
        SELECT pos, 1, room, $7, nid, 1, $11, 1 FROM new
    )
    INSERT INTO transaction_id (user_nid, device_id, scope, txn_id, reply_nid, created_ts)
    SELECT $7, 'BENCH', $12, txn, nid, $8 FROM new";

/// One connection to a copy of the server's database.
pub(crate) struct Baseline {
    connection: PgConnection,
    /// An event to copy.
    pattern: Option<Pattern>,
    rooms: Vec<i64>,
    /// Events inserted so far.
    inserted: i64,
}

/// What an event's rows hold that inserting does not change.
#[derive(FromRow)]
struct Pattern {
    sender_nid: i64,
    origin_server_ts: i64,
    root_before: i64,
    auth_events: Vec<i64>,
    json: String,
    scope: String,
}

/// What was inserted.
pub(crate) struct Inserted {
    events: u32,
    took: Duration,
}

impl Inserted {
    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.events) / self.took.as_secs_f64()
    }

    /// So much time for each event, in milliseconds.
    pub(crate) fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1000.0 / f64::from(self.events)
    }
}

/// Positions and numbers that no event of the copied database has.
const FIRST: i64 = 1 << 40;

impl Baseline {
    pub(crate) fn new(connection: PgConnection) -> Self {
        Self { connection, pattern: None, rooms: Vec::new(), inserted: 0 }
    }

    /// Looks at an event that the server stored, to make others of its size, and at the rooms there are.
    pub(crate) async fn learn(&mut self, served: &mut PgConnection) -> Result<()> {
        let pattern = sqlx::query_as(
            "SELECT e.sender_nid, e.origin_server_ts, e.root_before, e.auth_events, e.json, t.scope
             FROM event e JOIN transaction_id t ON t.reply_nid = e.nid ORDER BY e.nid DESC LIMIT 1",
        )
        .fetch_one(served)
        .await?;
        self.pattern = Some(pattern);
        let rooms = sqlx::query_scalar("SELECT nid FROM room ORDER BY nid");
        self.rooms = rooms.fetch_all(&mut self.connection).await?;
        Ok(())
    }

    /// Inserts for so long, `mean_batch` events in a commit on average.
    pub(crate) async fn insert(
        &mut self,
        rooms: usize,
        mean_batch: f64,
        seconds: Duration,
    ) -> Result<Inserted> {
        let (begun, first) = (Instant::now(), self.inserted);
        let (mut commits, mut due) = (0, 0.0);
        while begun.elapsed() < seconds {
            commits += 1;
            due += mean_batch.max(1.0);
            self.insert_batch(rooms, first, commits, due).await?;
        }
        Ok(Inserted { events: u32::try_from(self.inserted - first)?, took: begun.elapsed() })
    }

    /// Inserts until `due` events are there since `first`.
    async fn insert_batch(&mut self, rooms: usize, first: i64, batch: i64, due: f64) -> Result<()> {
        let pattern = self.pattern.as_ref().ok_or("no event was learned from")?;
        let (mut positions, mut ids, mut of, mut texts, mut txns) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        #[expect(clippy::cast_precision_loss, reason = "counts of what was measured are small")]
        while ((self.inserted - first) as f64) + 1.0 <= due {
            let number = FIRST + self.inserted;
            let room = usize::try_from(self.inserted)? % rooms.min(self.rooms.len());
            positions.push(number);
            ids.push(format!("$baseline{number:034}"));
            of.push(self.rooms.get(room).copied().ok_or("no room")?);
            texts.push(pattern.json.as_str());
            txns.push(format!("{batch}.{number}"));
            self.inserted += 1;
        }
        sqlx::query(INSERT)
            .bind(&positions)
            .bind(&positions)
            .bind(&ids)
            .bind(&of)
            .bind(&texts)
            .bind(&txns)
            .bind(pattern.sender_nid)
            .bind(pattern.origin_server_ts)
            .bind(pattern.root_before)
            .bind(&pattern.auth_events)
            .bind(batch)
            .bind(&pattern.scope)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Commits one small row after the other for so long; how long each took.
    pub(crate) async fn commit_bare(&mut self, seconds: Duration) -> Result<Figures> {
        sqlx::query("CREATE TABLE IF NOT EXISTS bare (n bigint)").execute(&mut self.connection).await?;
        let begun = Instant::now();
        let mut took = Vec::new();
        while begun.elapsed() < seconds {
            let at = Instant::now();
            sqlx::query("INSERT INTO bare (n) VALUES ($1)").bind(1_i64).execute(&mut self.connection).await?;
            took.push(at.elapsed());
        }
        Ok(Figures::of(took))
    }
}
