//! What there is, for people.

use sqlx::{ConnectOptions, Connection, PgConnection};

use super::migrate::{SchemaStatus, schema_status};
use super::{ConnectError, Source, reach_for_command};

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// PostgreSQL's version.
    pub version: String,
    /// It is run by us.
    pub private: bool,
    /// Its size, with a unit.
    pub size: String,
    /// Its schema.
    pub schema: SchemaStatus,
    /// The server that it belongs to, once that was started.
    pub server_name: Option<String>,
    /// How far the log has come, where there is one.
    pub head: Option<i64>,
}

/// Looks at a database, changing nothing in it.
pub async fn database_status(source: Source) -> Result<DatabaseStatus, ConnectError> {
    let private = matches!(source, Source::Private(_));
    let (options, postgres) = reach_for_command(source).await?;
    let status = async {
        let mut connection = options.connect().await.map_err(ConnectError::Unreachable)?;
        let status = look(&mut connection, private).await?;
        // Whether the goodbye arrives does not matter.
        let _ = connection.close().await;
        Ok(status)
    };
    let status = status.await;
    if let Some(postgres) = postgres {
        postgres.stop().await;
    }
    status
}

async fn look(connection: &mut PgConnection, private: bool) -> Result<DatabaseStatus, ConnectError> {
    let schema = schema_status(connection).await?;
    let (version, size): (String, String) = sqlx::query_as(
        "SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database()))",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(ConnectError::Unreachable)?;
    let (mut server_name, mut head) = (None, None);
    if schema.applied.is_some() {
        server_name = sqlx::query_scalar("SELECT server_name FROM server")
            .fetch_optional(&mut *connection)
            .await
            .map_err(ConnectError::Unreachable)?;
        head = sqlx::query_scalar("SELECT max(pos) FROM log")
            .fetch_one(connection)
            .await
            .map_err(ConnectError::Unreachable)?;
    }
    Ok(DatabaseStatus { version, private, size, schema, server_name, head })
}
