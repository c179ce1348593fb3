//! The PostgreSQL that the servers of one run share, each with a database of its own: making a cluster takes
//! seconds, making a database does not.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hearth_store::private_postgres::{self, Options, PrivatePostgres, PrivatePostgresError};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::server::new_folder;

/// For all servers of a run together.
const CONNECTIONS: u32 = 400;

static CLUSTER: Mutex<Option<Cluster>> = Mutex::const_new(None);
static DATABASES: AtomicU64 = AtomicU64::new(1);

struct Cluster {
    postgres: PrivatePostgres,
    _folder: TempDir,
}

impl Cluster {
    async fn start() -> Result<Self, PrivatePostgresError> {
        let folder = new_folder();
        let mut options = Options::new(folder.path().join("data"), env!("CARGO_BIN_EXE_hearth"));
        options.connections = CONNECTIONS;
        Ok(Self { postgres: PrivatePostgres::start(options).await?, _folder: folder })
    }
}

/// The URL of a new, empty database.
pub async fn new_database() -> Result<String, PrivatePostgresError> {
    let mut cluster: MutexGuard<Option<Cluster>> = CLUSTER.lock().await;
    if cluster.is_none() {
        *cluster = Some(Cluster::start().await?);
    }
    let postgres = &cluster.as_ref().expect("it has just been started").postgres;
    let name = format!("spec_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let mut connection = postgres.connect_options().connect().await.expect("the cluster answers");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database can be made");
    connection.close().await.expect("the cluster lets go");
    Ok(postgres.url(&name))
}

/// A connection to a database, for looking inside.
pub async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database answers")
}

/// Stops the cluster, if there is one.
pub async fn stop() {
    if let Some(cluster) = CLUSTER.lock().await.take() {
        cluster.postgres.stop().await;
    }
}

/// A connection to the private PostgreSQL that a server runs for its data directory.
pub async fn connect_private(data_dir: &Path) -> PgConnection {
    let options = Options::new(data_dir, env!("CARGO_BIN_EXE_hearth"));
    let found = private_postgres::join(&options).await.expect("the server's database answers");
    found.connect().await.expect("the server's database answers")
}
