//! Bringing the schema up to date, while other processes may serve from it or try the same.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

use super::ConnectError;
use crate::error::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// The advisory lock that migrating processes hold, polled: a waiter in PostgreSQL's own queue would hold a
/// snapshot, and `CREATE INDEX CONCURRENTLY` waits for old snapshots.
const MIGRATION_LOCK: i64 = 7_236_838_442;

/// How often the lock is tried.
const POLL: Duration = Duration::from_millis(200);

/// Another process may have a large table to change.
const LOCK_PATIENCE: Duration = Duration::from_hours(1);

/// A migration that cannot lock a table gives way to those that use it and tries again, this often.
const ATTEMPTS: u32 = 30;

/// The pause between those attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// How the database's schema compares with this release's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The newest migration applied, if any.
    pub applied: Option<i64>,
    /// The newest migration that this release knows.
    pub known: i64,
    /// How many of this release's migrations are still to be applied.
    pub pending: usize,
}

impl SchemaStatus {
    /// Fails where a newer release has changed the schema.
    pub(super) fn refuse_newer(&self) -> Result<(), ConnectError> {
        match self.applied.filter(|found| *found > self.known) {
            Some(found) => Err(ConnectError::NewerSchema { found, known: self.known }),
            None => Ok(()),
        }
    }
}

/// Compares the database's schema with this release's, changing nothing.
pub async fn schema_status(connection: &mut PgConnection) -> Result<SchemaStatus, ConnectError> {
    let made: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    let mut applied: Vec<i64> = Vec::new();
    if made {
        applied = sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(StoreError::from)?;
    }
    let pending = MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count();
    Ok(SchemaStatus { applied: applied.last().copied(), known: newest_known(), pending })
}

/// Applies what is missing.
pub(super) async fn migrate(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let status = schema_status(connection).await?;
    status.refuse_newer()?;
    lock(connection).await?;
    let since = Instant::now();
    let migrated = run(connection).await;
    // The session ends right after, and the lock with it.
    let _ = sqlx::query("SELECT pg_advisory_unlock($1)").bind(MIGRATION_LOCK).execute(connection).await;
    migrated?;
    if status.pending > 0 {
        let took = since.elapsed().as_secs_f64();
        tracing::info!("applied {} migrations to the database in {took:.1} s", status.pending);
    }
    Ok(())
}

async fn lock(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let since = Instant::now();
    let mut said = false;
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(MIGRATION_LOCK)
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreError::from)?;
        if locked {
            return Ok(());
        }
        if since.elapsed() > LOCK_PATIENCE {
            return Err(ConnectError::Migration("another process has been at it for an hour".to_owned()));
        }
        if !said && since.elapsed() > Duration::from_secs(1) {
            said = true;
            tracing::info!("waiting for another process that brings the schema up to date");
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn run(connection: &mut PgConnection) -> Result<(), ConnectError> {
    sqlx::query("SET lock_timeout = '5s'").execute(&mut *connection).await.map_err(StoreError::from)?;
    let mut attempt = 1;
    loop {
        // Its own lock would wait in PostgreSQL's queue; we hold ours.
        let migrator =
            Migrator { locking: false, migrations: MIGRATOR.migrations.clone(), ..Migrator::DEFAULT };
        match migrator.run_direct(None, &mut *connection, false).await {
            Ok(()) => return Ok(()),
            Err(error) if attempt < ATTEMPTS && is_lock_timeout(&error) => {
                attempt += 1;
                tracing::info!("a migration waits for a table that is in use");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(describe(&error)),
        }
    }
}

fn is_lock_timeout(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

fn describe(error: &MigrateError) -> ConnectError {
    match error {
        MigrateError::VersionMissing(found) => {
            ConnectError::NewerSchema { found: *found, known: newest_known() }
        }
        MigrateError::VersionMismatch(version) => ConnectError::Migration(format!(
            "migration {version} is not the one that was applied to it; an unreleased version made this database"
        )),
        error => ConnectError::Migration(error.to_string()),
    }
}

fn newest_known() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}
