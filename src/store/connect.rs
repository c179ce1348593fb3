//! Getting to a database that this release can serve from.

mod check;
mod migrate;
mod pooler;
mod status;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

pub use self::check::Advice;
pub use self::migrate::{SchemaStatus, schema_status};
pub use self::status::{DatabaseStatus, database_status};
use crate::Store;
use crate::error::StoreError;
use crate::private_postgres::{self, PrivatePostgres, PrivatePostgresError};

/// The oldest major version of PostgreSQL that is supported.
pub const MINIMUM_MAJOR: u32 = 13;

/// The part of the log that the driver's own lines are in.
pub const DRIVER_LOGS_AS: &str = "sqlx";

/// A connection that lay idle this long is tried before it is used, in case the database went away.
const IDLE_TRUST: Duration = Duration::from_secs(1);

/// A connection is replaced after this long, so that what sessions gather in memory is given back.
const LONGEST_SESSION: Duration = Duration::from_mins(30);

/// Where the database is.
#[derive(Clone)]
pub enum Source {
    /// Somewhere else, at this URL.
    Url(String),
    /// In the data directory, run by us.
    Private(private_postgres::Options),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // It may hold a password.
            Self::Url(_) => f.write_str("Url"),
            Self::Private(options) => f.debug_tuple("Private").field(options).finish(),
        }
    }
}

/// How the pool is made.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// How many connections at most.
    pub size: u32,
    /// How long a request waits for one.
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

/// Why there is no database to serve from. Every message is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The private PostgreSQL.
    #[error(transparent)]
    Private(#[from] PrivatePostgresError),
    /// Another process runs the private PostgreSQL, and it does not answer.
    #[error("{in_use}, and its database does not answer")]
    CannotJoin {
        /// Who runs it.
        in_use: PrivatePostgresError,
    },
    /// The URL makes no sense.
    #[error(
        "`database.url` is not the URL of a PostgreSQL database (postgres://user:password@host/database): {0}"
    )]
    Url(#[source] sqlx::Error),
    /// It cannot be reached.
    #[error("cannot connect to the database: {0}")]
    Unreachable(#[source] sqlx::Error),
    /// It is not one we can use.
    #[error("the database cannot be used: {0}")]
    Unsuitable(String),
    /// There is a pooler in between.
    #[error(
        "`database.url` leads to a connection pooler that does not pass sessions on whole, such as PgBouncer, and this \
         server needs sessions of its own (it pools them itself): give it the address of PostgreSQL"
    )]
    Pooler,
    /// A migration failed.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(String),
    /// The schema is of a release to come.
    #[error(
        "the database was brought up to date by a newer release (schema {found}; this release, {}, knows up to {known}): \
         start that release or a later one", env!("CARGO_PKG_VERSION")
    )]
    NewerSchema {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this release.
        known: i64,
    },
    /// Any other failure of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An open database and, where it is private, our hold on it.
#[derive(Debug)]
pub struct Database {
    /// The store over it.
    pub store: Store,
    options: PgConnectOptions,
    postgres: Option<PrivatePostgres>,
}

impl Database {
    /// Opens the database for serving: starts it where it is private, checks it, brings its schema up to date.
    pub async fn open(source: Source, settings: &PoolSettings) -> Result<Self, ConnectError> {
        let (options, postgres) = match source {
            Source::Url(url) => {
                let options = url_options(&url)?;
                pooler::refuse_pooler(&options).await?;
                (options, None)
            }
            Source::Private(options) => {
                let postgres = PrivatePostgres::start(options).await?;
                (postgres.connect_options(), Some(postgres))
            }
        };
        Self::ready(options, postgres, settings).await
    }

    /// Opens the database for one command: as [`Database::open`], but where another process runs the private
    /// PostgreSQL already, joins it there.
    pub async fn open_for_command(source: Source, settings: &PoolSettings) -> Result<Self, ConnectError> {
        let (options, postgres) = reach_for_command(source).await?;
        Self::ready(options, postgres, settings).await
    }

    /// Closes the connections and stops the private PostgreSQL.
    pub async fn close(self) {
        self.store.pool().close().await;
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }

    /// How to connect to it, for connections beside the pool.
    #[must_use]
    pub const fn connect_options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The private PostgreSQL, where we run it.
    #[must_use]
    pub const fn private(&self) -> Option<&PrivatePostgres> {
        self.postgres.as_ref()
    }

    async fn ready(
        options: PgConnectOptions,
        postgres: Option<PrivatePostgres>,
        settings: &PoolSettings,
    ) -> Result<Self, ConnectError> {
        let opened = async {
            let mut connection = options.connect().await.map_err(ConnectError::Unreachable)?;
            let advice = check::check(&mut connection, settings.size).await?;
            for warning in advice.warnings {
                tracing::warn!("{warning}");
            }
            for note in advice.notes {
                tracing::debug!("{note}");
            }
            migrate::migrate(&mut connection).await?;
            // Whether the goodbye arrives does not matter.
            let _ = connection.close().await;
            pool(options.clone(), settings).await
        };
        match opened.await {
            Ok(pool) => {
                let space = postgres.as_ref().map(PrivatePostgres::space);
                Ok(Self { store: Store::new(pool).with_space(space), options, postgres })
            }
            Err(error) => {
                if let Some(postgres) = postgres {
                    postgres.stop().await;
                }
                Err(error)
            }
        }
    }
}

/// Looks at a PostgreSQL elsewhere, changing nothing: whether it can be served from, and what is unwise about it.
pub async fn examine(url: &str, settings: &PoolSettings) -> Result<Advice, ConnectError> {
    let options = url_options(url)?;
    pooler::refuse_pooler(&options).await?;
    let mut connection = options.connect().await.map_err(ConnectError::Unreachable)?;
    let advice = check::check(&mut connection, settings.size).await?;
    schema_status(&mut connection).await?.refuse_newer()?;
    // Whether the goodbye arrives does not matter.
    let _ = connection.close().await;
    Ok(advice)
}

/// The way to the database for one command, without a look at what is in it: to the private PostgreSQL of
/// another process, or to one that is started now.
pub async fn reach_for_command(
    source: Source,
) -> Result<(PgConnectOptions, Option<PrivatePostgres>), ConnectError> {
    let options = match source {
        Source::Url(url) => {
            let options = url_options(&url)?;
            pooler::refuse_pooler(&options).await?;
            return Ok((options, None));
        }
        Source::Private(options) => options,
    };
    if let Some(joined) = private_postgres::join(&options).await {
        return Ok((joined, None));
    }
    match PrivatePostgres::start(options.clone()).await {
        Ok(postgres) => Ok((postgres.connect_options(), Some(postgres))),
        Err(in_use @ PrivatePostgresError::InUse { .. }) => match private_postgres::join(&options).await {
            Some(joined) => Ok((joined, None)),
            None => Err(ConnectError::CannotJoin { in_use }),
        },
        Err(error) => Err(error.into()),
    }
}

fn url_options(url: &str) -> Result<PgConnectOptions, ConnectError> {
    PgConnectOptions::from_str(url).map_err(ConnectError::Url)
}

async fn pool(options: PgConnectOptions, settings: &PoolSettings) -> Result<PgPool, ConnectError> {
    let statement_timeout = settings.statement_timeout.as_millis().to_string();
    let session = [
        ("jit", "off"),
        ("synchronous_commit", "on"),
        ("statement_timeout", &*statement_timeout),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ];
    PgPoolOptions::new()
        .max_connections(settings.size)
        .acquire_timeout(settings.acquire_timeout)
        .max_lifetime(LONGEST_SESSION)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < IDLE_TRUST || connection.ping().await.is_ok()) })
        })
        .connect_with(options.application_name("hearth").options(session))
        .await
        .map_err(ConnectError::Unreachable)
}
