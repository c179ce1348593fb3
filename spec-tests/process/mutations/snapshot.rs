//! A look inside the database: how many rows each table has, and how far the log is.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::time::sleep;

use crate::harness::cluster;

/// What a refused request may write: the state of an authentication under way, rate limits, when a device was last
/// used, and what a process notes of itself, such as how far it has read the log; who is online changes by itself.
const FREE: [&str; 8] = [
    "uia_session",
    "replica",
    "lease",
    "log_cursor",
    "device_seen",
    "failed_login",
    "presence",
    "presence_session",
];
/// Work that is done in the background: while there is any, more is to come.
const PENDING: [&str; 1] = ["profile_spread"];
/// The log without what happens by itself: somebody goes idle, or ceases to type.
const HEAD: &str = "SELECT 'head of the log', coalesce(max(pos), 0) FROM log
     WHERE payload IS NULL OR payload NOT SIMILAR TO '%\"set_(presence|typing)\"%'";
/// How long nothing must happen for what was begun to have ended.
const QUIET: Duration = Duration::from_millis(15);

/// What is inside.
pub type Snapshot = BTreeMap<String, i64>;

/// What there is more of than before.
pub fn grown(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let more = after.iter().filter(|(name, rows)| before.get(*name).is_none_or(|before| before < rows));
    more.map(|(name, rows)| format!("{name}: {:?} to {rows}", before.get(name))).collect()
}

/// A connection to the database of the server under test.
pub struct Inside {
    connection: PgConnection,
    query: String,
}

impl Inside {
    /// Finds out which tables there are.
    pub async fn look(url: &str) -> Self {
        let mut connection = cluster::connect(url).await;
        let tables = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'");
        let tables: Vec<String> = tables.fetch_all(&mut connection).await.expect("the tables can be listed");
        // The log is trimmed behind its readers, so it is its head that counts.
        let bound = |table: &&String| !FREE.contains(&table.as_str()) && table.as_str() != "log";
        let mut parts: Vec<String> = tables
            .iter()
            .filter(bound)
            .map(|table| format!("SELECT '{table}' AS name, count(*) AS rows FROM {table}"))
            .collect();
        assert!(parts.len() > 10, "the schema is there");
        parts.push(HEAD.to_owned());
        Self { connection, query: parts.join(" UNION ALL ") }
    }

    /// What is inside now.
    pub async fn now(&mut self) -> Snapshot {
        let query = sqlx::query(AssertSqlSafe(self.query.clone()));
        let rows = query.fetch_all(&mut self.connection).await.expect("the tables can be counted");
        rows.iter().map(|row| (row.get("name"), row.get("rows"))).collect()
    }

    /// What is inside once nothing changes any more.
    pub async fn settled(&mut self) -> Snapshot {
        let mut last = self.now().await;
        loop {
            sleep(QUIET).await;
            let now = self.now().await;
            let pending = PENDING.iter().any(|table| now.get(*table).is_none_or(|rows| *rows > 0));
            if now == last && !pending {
                return now;
            }
            last = now;
        }
    }
}
