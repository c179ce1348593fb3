//! A PostgreSQL of our own, for those who configured none.
//!
//! The system's server programs, run as our child: on a Unix socket only, with durable settings, by an
//! unprivileged user when we are root. It is made at the first start, ends with us however we end, is started
//! again when it ends without us, and is taken over from a run that was killed.

mod account;
mod cluster;
mod error;
mod home;
mod keeper;
mod launcher;
mod programs;
mod space;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use self::account::Account;
use self::cluster::{Cluster, DATABASE, ROLE};
pub use self::error::PrivatePostgresError;
use self::home::Home;
use self::keeper::Keeper;
use self::launcher::Launcher;
pub use self::launcher::{SUBCOMMAND, run as run_subcommand};
pub use self::programs::{Programs, for_server};
pub use self::space::Space;

/// Recovery after a crash replays at most `max_wal_size`; ten minutes is far beyond that on any disk.
const START_LIMIT: Duration = Duration::from_mins(10);

/// A start that takes this long says so, and again after twice as long.
const PROGRESS: Duration = Duration::from_secs(1);

/// What the processes of one server and an administrator's programs need beside the pool.
const SPARE_CONNECTIONS: u32 = 12;

/// How a private PostgreSQL is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's data directory.
    pub data_dir: PathBuf,
    /// Where the database goes when the user that runs it cannot reach the data directory.
    pub state_dir: PathBuf,
    /// The binary of the server, which holds the hidden subcommand.
    pub exe: PathBuf,
    /// Where alone to look for PostgreSQL's server programs.
    pub programs: Option<PathBuf>,
    /// How many connections are wanted.
    pub connections: u32,
}

impl Options {
    /// The usual ones. `exe` is the path of the `hearth` binary: a test's own binary is not one.
    ///
    /// A test that runs as root should make its data directory passable (`0o711`), or the database ends up in
    /// `state_dir`.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, exe: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            state_dir: PathBuf::from("/var/lib/hearth"),
            exe: exe.into(),
            programs: None,
            connections: 40,
        }
    }
}

/// A running private PostgreSQL. Dropped, it is told to stop; [`PrivatePostgres::stop`] waits for that.
#[derive(Debug)]
pub struct PrivatePostgres {
    keeper: Keeper,
    home: Home,
    programs: Programs,
}

impl PrivatePostgres {
    /// Makes the database if there is none, starts it, and returns when it answers.
    pub async fn start(options: Options) -> Result<Self, PrivatePostgresError> {
        let (keeper, cluster) = Keeper::start(move || prepare(&options)).await?;
        let log_start = cluster.log_length();
        let postgres = Self { keeper, home: cluster.home.clone(), programs: cluster.programs.clone() };
        postgres.wait_until_it_answers(&cluster, log_start).await?;
        postgres.keeper.answered();
        Ok(postgres)
    }

    /// How to connect to it.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        socket_options(&self.home)
    }

    /// A URL of one of its databases, for a process of its own.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{ROLE}@localhost/{database}?host={}", self.home.socket_dir().display())
    }

    /// The directory of its socket.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.home.socket_dir()
    }

    /// The directory of the database itself.
    #[must_use]
    pub fn pgdata(&self) -> PathBuf {
        self.home.pgdata()
    }

    /// The room on its disk.
    #[must_use]
    pub fn space(&self) -> Space {
        Space::beside(self.pgdata())
    }

    /// The programs that run it.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The postmaster's process id, while there is one.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.keeper.pid()
    }

    /// Shuts it down, cleanly if it can, and returns when it has ended.
    pub async fn stop(self) {
        let keeper = self.keeper.clone();
        // Fails only where the runtime is being torn down; then the drop below has asked it to stop.
        let _ = tokio::task::spawn_blocking(move || keeper.stop()).await;
    }

    async fn wait_until_it_answers(
        &self,
        cluster: &Cluster,
        log_start: u64,
    ) -> Result<(), PrivatePostgresError> {
        let options = self.connect_options();
        let since = Instant::now();
        let mut patience = PROGRESS;
        loop {
            if let Some(status) = self.keeper.ended() {
                let message = cluster.last_words(log_start);
                return Err(PrivatePostgresError::Program { program: "postgres", status, message });
            }
            if let Ok(connection) = options.connect().await {
                // It answered; whether the goodbye arrives does not matter.
                let _ = connection.close().await;
                return Ok(());
            }
            if since.elapsed() > START_LIMIT {
                return Err(PrivatePostgresError::Silent {
                    seconds: START_LIMIT.as_secs(),
                    log: self.home.log(),
                });
            }
            if since.elapsed() > patience {
                patience *= 2;
                tracing::info!("still waiting for PostgreSQL, {} s so far", since.elapsed().as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.keeper.ask_to_stop();
    }
}

/// How to connect to the private PostgreSQL that another process runs for this data directory, if that one
/// answers.
pub async fn join(options: &Options) -> Option<PgConnectOptions> {
    let options = socket_options(&Home::of(&options.data_dir).ok()?);
    // Any failure means that there is none to join.
    let connection = options.connect().await.ok()?;
    let _ = connection.close().await;
    Some(options)
}

/// Whether the data directory holds a database already, here or elsewhere.
#[must_use]
pub fn exists(options: &Options) -> bool {
    Home::of(&options.data_dir).is_ok_and(|home| home.pgdata().exists())
}

fn prepare(options: &Options) -> Result<(Cluster, home::Locks), PrivatePostgresError> {
    // Looked for before anything is made, so that without programs nothing is left behind.
    let programs = |pgdata: &Path| Programs::find(pgdata, options.programs.as_deref());
    programs(
        &Home::of(&options.data_dir).map_or_else(|_| options.data_dir.join("pgdata"), |home| home.pgdata()),
    )?;
    Account::ours()?;
    let data_dir = home::make_data_dir(&options.data_dir)?;
    let launcher =
        |pgdata: &Path| Ok(Launcher { exe: options.exe.clone(), account: Account::for_database(pgdata)? });
    let (home, launcher, locks) = home::open(&data_dir, &options.state_dir, launcher)?;
    let programs = programs(&home.pgdata())?;
    let max_connections = options.connections + SPARE_CONNECTIONS;
    let cluster = Cluster { home, launcher, programs, max_connections };
    cluster.make_if_absent()?;
    cluster.clear()?;
    Ok((cluster, locks))
}

fn socket_options(home: &Home) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(home.socket_dir())
        .port(5432)
        .username(ROLE)
        .database(DATABASE)
        .ssl_mode(PgSslMode::Disable)
}
