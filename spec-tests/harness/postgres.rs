//! A PostgreSQL elsewhere: one that the server finds, with settings that its own would never have.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use hearth_store::private_postgres::Programs;
use nix::unistd::{User, geteuid};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::server::{free_port, new_folder};

/// A cluster is made in seconds, on a busy machine in more.
const START: Duration = Duration::from_mins(2);

/// A cluster with a port on the loopback; it ends, and is gone, when dropped.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    folder: TempDir,
    _child: Child,
}

/// A cluster that is to be started.
#[derive(Debug)]
pub struct Making {
    folder: TempDir,
    programs: Programs,
    account: Option<User>,
    settings: Vec<String>,
}

impl Postgres {
    /// Makes a cluster in a new folder.
    pub async fn make() -> Making {
        Making::new(new_folder(), None).await
    }

    /// Makes a cluster in a folder on a disk of its own, with its write-ahead log elsewhere.
    pub async fn make_on(folder: TempDir, log: &Path) -> Making {
        Making::new(folder, Some(log)).await
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        self.url_at("127.0.0.1", database)
    }

    /// The same by another name of its host.
    pub fn url_at(&self, host: &str, database: &str) -> String {
        format!("postgres://hearth@{host}:{}/{database}", self.port)
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection for looking inside.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url("postgres")).await.expect("it answers")
    }
}

impl Making {
    async fn new(folder: TempDir, log: Option<&Path>) -> Self {
        let programs = Programs::find(&folder.path().join("pgdata"), None).expect("PostgreSQL's programs");
        // It does not run as root.
        let account = geteuid().is_root().then(|| {
            let mut users =
                ["postgres", "nobody"].into_iter().filter_map(|name| User::from_name(name).unwrap());
            users.next().expect("a user that is not root")
        });
        let making = Self { folder, programs, account, settings: Vec::new() };
        making.give(making.folder.path());
        let mut initdb = making.command("initdb");
        initdb.args(["-U", "hearth", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        if let Some(log) = log {
            initdb.arg("--waldir").arg(log);
        }
        let output = initdb.output().await.expect("initdb runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        making
    }

    /// With a setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// With a file in its folder that it alone can read.
    pub fn with_file(self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode can be set");
        self.give(&path);
        self
    }

    /// Where such a file is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, and waits until it answers.
    pub async fn start(self) -> Postgres {
        let port = free_port();
        let mut command = self.command("postgres");
        command.args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories="]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("postgres runs");
        let since = Instant::now();
        let url = format!("postgres://hearth@127.0.0.1:{port}/postgres");
        while PgConnection::connect(&url).await.is_err() {
            let ended = child.try_wait().expect("it can be waited for");
            let said = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && since.elapsed() < START, "PostgreSQL does not start: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Postgres { port, folder: self.folder, _child: child }
    }

    fn give(&self, path: &Path) {
        if let Some(account) = &self.account {
            chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
                .expect("it can be given away");
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command.arg("-D").arg(self.folder.path().join("pgdata")).current_dir("/").stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command
    }
}
