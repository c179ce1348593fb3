//! Whether a connection is a session of PostgreSQL.
//!
//! A pooler that gives out sessions for one transaction each keeps what this server builds on from working, and
//! silently: notifications are not heard, advisory locks are held by nobody in particular, timeouts are not in
//! force.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};

use super::ConnectError;

/// A setting that means nothing to PostgreSQL, given at the start of a session.
const MARK: &str = "hearth.session";

/// Protocol violations, which is what poolers call what they do not let through.
const PROTOCOL_VIOLATION: &str = "08P01";

/// A pooler whose sessions are all taken lets a statement wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refuses the way to the database where a pooler is on it that does not pass sessions on whole.
pub(super) async fn refuse_pooler(options: &PgConnectOptions) -> Result<(), ConnectError> {
    let options = options.clone().options([(MARK, "whole")]);
    let tried = tokio::time::timeout(PATIENCE * 2, is_session(&options)).await;
    match tried {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(ConnectError::Pooler),
        Ok(Err(error)) if is_refusal(&error) => Err(ConnectError::Pooler),
        Ok(Err(error)) => Err(ConnectError::Unreachable(error)),
        Err(_) => Err(ConnectError::Unreachable(sqlx::Error::PoolTimedOut)),
    }
}

/// Whether two connections are two sessions that last.
async fn is_session(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut first = options.connect().await?;
    let mut second = options.connect().await?;
    let (begun, mark) = session_of(&mut first).await?;
    sqlx::raw_sql("BEGIN").execute(&mut second).await?;
    // While the second is in a transaction, a session that it was given is not there for the first.
    let (other, _) = session_of(&mut second).await?;
    let again = tokio::time::timeout(PATIENCE, session_of(&mut first)).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut second).await?;
    let lasts = matches!(again, Ok(Ok((pid, _))) if pid == begun) && other != begun;
    // Whether the goodbyes arrive does not matter.
    let _ = (first.close().await, second.close().await);
    Ok(lasts && mark == "whole")
}

/// The process that serves a connection, and the mark it was begun with. In the simple protocol: a pooler may
/// spread a prepared statement over two sessions.
async fn session_of(connection: &mut PgConnection) -> Result<(i32, String), sqlx::Error> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid(), coalesce(current_setting('hearth.session', true), '')")
        .fetch_one(connection)
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == PROTOCOL_VIOLATION)
}
