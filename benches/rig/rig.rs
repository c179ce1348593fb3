//! The server to be measured.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hearth_store::private_postgres::{Options, PrivatePostgres};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Connection, Counters, Cpu, Request, Result};

/// The part of every user's name behind the colon.
pub const SERVER_NAME: &str = "bench.test";

/// Enough for a server, a filler and a few onlookers.
const CONNECTIONS: u32 = 100;

/// The most clients that a server is measured with.
const CLIENTS: &str = "30000";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(2);

/// A PostgreSQL of its own, with the settings of every private one, and the server's program.
#[derive(Debug)]
pub struct Rig {
    postgres: PrivatePostgres,
    program: PathBuf,
    folder: TempDir,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: String,
    metrics: String,
    /// From its start to its first answer that it is ready.
    pub start_time: Duration,
    /// Whose CPU time is to be told apart.
    pub cpu: Cpu,
}

impl Rig {
    /// Starts PostgreSQL, and lets this process have as many connections as it may. `program` is the server's.
    pub async fn start(program: &str) -> Result<Self> {
        let (_, descriptors) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, descriptors, descriptors)?;
        let passable = Permissions::from_mode(0o711);
        let folder = tempfile::Builder::new().prefix("hearth-bench-").permissions(passable).tempdir()?;
        let mut options = Options::new(folder.path().join("data"), program);
        options.connections = CONNECTIONS;
        let postgres = PrivatePostgres::start(options).await?;
        Ok(Self { postgres, program: program.into(), folder })
    }

    /// Stops PostgreSQL and removes everything.
    pub async fn stop(self) {
        self.postgres.stop().await;
    }

    /// Makes a database; as a copy, if another is named, which nobody may use then.
    pub async fn new_database(&self, name: &str, copy_of: Option<&str>) -> Result<()> {
        let template = copy_of.map_or(String::new(), |copy| format!(" TEMPLATE {copy}"));
        let mut connection = self.postgres.connect_options().connect().await?;
        let statement = format!("CREATE DATABASE {name}{template}");
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// A connection to a database.
    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(database)).await?)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.postgres.url(database)
    }

    /// Lets a server make its schema and its key in a database, and ends it again.
    pub async fn found(&self, database: &str) -> Result<()> {
        self.new_database(database, None).await?;
        self.serve(database).await?.stop().await
    }

    /// Where everything is that goes with the rig.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a server over a database and waits until it is ready.
    pub async fn serve(&self, database: &str) -> Result<Server> {
        self.serve_with(database, &[]).await
    }

    /// Starts a server with more settings, as variables of its environment.
    pub async fn serve_with(&self, database: &str, settings: &[(&str, &str)]) -> Result<Server> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let (address, metrics) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{metrics_port}"));
        let log_path = self.folder.path().join("server.log");
        let log = File::create(&log_path)?;
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HEARTH_"))
        {
            command.env_remove(name);
        }
        command
            .arg("serve")
            .current_dir(self.folder.path())
            .env("HEARTH_SERVER_NAME", SERVER_NAME)
            .env("HEARTH_DATA_DIR", self.folder.path().join("files"))
            .env("HEARTH_DATABASE__URL", self.url(database))
            .env("HEARTH_LISTEN", &address)
            .env("HEARTH_METRICS__LISTEN", &metrics)
            .env("HEARTH_LIMITS__ENABLED", "false")
            // Everybody comes from one address.
            .env("HEARTH_LIMITS__MAX_CONNECTIONS", CLIENTS)
            .env("HEARTH_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", CLIENTS)
            .envs(settings.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let since = Instant::now();
        let mut child = command.spawn()?;
        while !is_ready(&address).await {
            if child.try_wait()?.is_some() || since.elapsed() > PATIENCE {
                return Err(format!("the server did not start: {}", fs::read_to_string(&log_path)?).into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let start_time = since.elapsed();
        let cpu = Cpu {
            server: child.id().ok_or("the server has ended")?,
            postgres: u32::try_from(self.postgres.pid().ok_or("PostgreSQL has ended")?)?,
        };
        Ok(Server { child, address, metrics, start_time, cpu })
    }
}

impl Server {
    /// What it counted.
    pub async fn counters(&self) -> Result<Counters> {
        Counters::read(&self.metrics).await
    }

    /// Ends it as a service manager does.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.cpu.server.to_string();
        Command::new("kill").args(["-s", "TERM", &pid]).status().await?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.map_err(|_| "the server does not stop")??;
        Ok(())
    }
}

async fn is_ready(address: &str) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    let request = Request { method: "GET", path: "/ready", token: "", body: "" };
    connection.request(&request).await.is_ok_and(|reply| reply.status == 200)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
