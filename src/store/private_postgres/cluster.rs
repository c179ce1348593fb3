//! Makes the database, and says how it is run.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::error::{Doing, PrivatePostgresError};
use super::home::{self, Home};
use super::launcher::{Launcher, Sweep, open_log};
use super::programs::Programs;

/// The role that owns everything.
pub(super) const ROLE: &str = "hearth";

/// The database; every cluster has it from the start.
pub(super) const DATABASE: &str = "postgres";

/// What a database is called while it is made; the process id follows.
const UNFINISHED: &str = "pgdata.new-";

/// A log longer than this is set aside at the next start, so that at most two such are kept.
const LONGEST_LOG: u64 = 16 << 20;

/// How long leftover processes get to end cleanly (a checkpoint may be under way), then at once, then killed.
const SWEEPS: [(Sweep, Duration); 3] = [
    (Sweep::Fast, Duration::from_mins(1)),
    (Sweep::Quit, Duration::from_secs(5)),
    (Sweep::Kill, Duration::from_secs(10)),
];

/// How much of its log is shown when a start fails.
const LAST_WORDS: u64 = 2000;

/// Everything needed to run one database.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) home: Home,
    pub(super) launcher: Launcher,
    pub(super) programs: Programs,
    pub(super) max_connections: u32,
}

impl Cluster {
    /// Makes the database where there is none: aside, and renamed when it is whole.
    pub(super) fn make_if_absent(&self) -> Result<(), PrivatePostgresError> {
        let pgdata = self.home.pgdata();
        if pgdata.exists() {
            return Ok(());
        }
        tracing::info!(
            "making a new database in {} with PostgreSQL {}",
            pgdata.display(),
            self.programs.major
        );
        self.remove_unfinished();
        // A name of our own: the initdb of a server that was killed a moment ago may still be cleaning up its own.
        let new = self.home.dir.join(format!("{UNFINISHED}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&new).doing("create the directory", &new)?;
        home::give(&new, &self.launcher.account)?;
        let mut initdb = self.launcher.exec(&self.programs.path("initdb"));
        initdb.arg("--pgdata").arg(&new).args(["--username", ROLE, "--encoding", "UTF8", "--locale", "C"]);
        initdb.args(["--data-checksums", "--auth-local", "peer", "--auth-host", "reject"]);
        run("initdb", &mut initdb)?;
        fs::rename(&new, &pgdata).doing("rename", &new)?;
        home::sync_dir(&self.home.dir)?;
        self.home.dir.parent().map_or(Ok(()), home::sync_dir)
    }

    /// Removes databases that were never finished, as far as that can be done now.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.home.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // One that is still being written to is removed at the next first start, or by its writer.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Ends and removes what an earlier run left behind. We hold the lock, so nobody else uses these processes.
    pub(super) fn clear(&self) -> Result<(), PrivatePostgresError> {
        let pgdata = self.home.pgdata();
        for (sweep, patience) in SWEEPS {
            let since = Instant::now();
            let mut found = self.sweep(sweep)?;
            if found > 0 {
                tracing::info!("ending {found} processes of an earlier PostgreSQL in {}", pgdata.display());
            }
            while found > 0 && since.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(20));
                found = self.sweep(Sweep::Count)?;
            }
            if found == 0 {
                return self.remove_stale_locks();
            }
        }
        Err(PrivatePostgresError::Leftovers { pgdata })
    }

    /// The command that runs the database, its log open, its socket's directory and access files in place.
    pub(super) fn postgres(&self) -> Result<Command, PrivatePostgresError> {
        let account = &self.launcher.account;
        let socket_dir = self.home.make_socket_dir(account)?;
        home::write_for(account, &self.home.hba(), "local all all peer map=hearth\n")?;
        home::write_for(account, &self.home.ident(), &ident(&Account::ours()?, account))?;
        let mut command = self.launcher.exec(&self.programs.path("postgres"));
        command.arg("-D").arg(self.home.pgdata()).arg("-k").arg(socket_dir);
        let mut set = |name: &str, value: &Path| {
            command.arg("-c").arg(format!("{name}={}", value.display()));
        };
        set("hba_file", &self.home.hba());
        set("ident_file", &self.home.ident());
        set("max_connections", Path::new(&self.max_connections.to_string()));
        for (name, value) in SETTINGS {
            set(name, Path::new(value));
        }
        let path = self.home.log();
        if fs::metadata(&path).is_ok_and(|log| log.len() > LONGEST_LOG) {
            fs::rename(&path, path.with_extension("log.old")).doing("rename", &path)?;
        }
        let log = open_log(&path).doing("open", &path)?;
        let copy = log.try_clone().doing("open", &path)?;
        command.stdout(copy).stderr(log);
        Ok(command)
    }

    /// How long the log is now.
    pub(super) fn log_length(&self) -> u64 {
        fs::metadata(self.home.log()).map_or(0, |log| log.len())
    }

    /// What the log says after `start`, in one line.
    pub(super) fn last_words(&self, start: u64) -> String {
        let read = || -> io::Result<String> {
            let mut log = fs::File::open(self.home.log())?;
            let end = log.seek(SeekFrom::End(0))?;
            log.seek(SeekFrom::Start(start.max(end.saturating_sub(LAST_WORDS)).min(end)))?;
            let mut text = Vec::new();
            log.read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).trim().replace('\n', " | "))
        };
        // The status is reported in any case.
        read().unwrap_or_default()
    }

    /// PostgreSQL's own lock files name a process id. One that is a zombie, or is another program's by now,
    /// would keep it from starting; that nobody uses the database has just been seen.
    fn remove_stale_locks(&self) -> Result<(), PrivatePostgresError> {
        let socket_lock = self.home.socket_dir().join(".s.PGSQL.5432.lock");
        for path in [self.home.pgdata().join("postmaster.pid"), socket_lock] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).doing("remove", &path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sweep(&self, sweep: Sweep) -> Result<usize, PrivatePostgresError> {
        self.launcher.sweep(&self.home.pgdata(), sweep).doing("look for processes in", &self.home.pgdata())
    }
}

/// How the database is run. The first three are what "acknowledged" rests on.
const SETTINGS: [(&str, &str); 20] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    // Backups while serving.
    ("wal_level", "replica"),
    ("max_wal_senders", "4"),
    // Bounds the disk it takes, and how long recovery does.
    ("max_wal_size", "1GB"),
    ("checkpoint_timeout", "15min"),
    ("shared_buffers", "128MB"),
    ("random_page_cost", "1.1"),
    ("jit", "off"),
    ("autovacuum_max_workers", "2"),
    ("max_parallel_workers_per_gather", "0"),
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("port", "5432"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_min_messages", "warning"),
    ("log_line_prefix", "%m [%p] "),
    ("log_checkpoints", "off"),
];

/// Maps the server's user, the one that runs the database, and root to the role: root's commands join the
/// database of an ordinary user's server.
fn ident(ours: &Account, other: &Account) -> String {
    let names = BTreeSet::from([&*ours.name, &*other.name, "root"]);
    let lines: Vec<String> = names.into_iter().map(|name| format!("hearth \"{name}\" {ROLE}\n")).collect();
    lines.concat()
}

fn run(program: &'static str, command: &mut Command) -> Result<(), PrivatePostgresError> {
    let path = Path::new(program);
    let Output { status, stderr, .. } = command.stdout(Stdio::null()).output().doing("start", path)?;
    if status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&stderr).trim().replace('\n', " | ");
    Err(PrivatePostgresError::Program { program, status: status.to_string(), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_the_database_are_mapped_to_its_role() {
        let [ours, postgres] =
            [(1000, "me"), (101, "postgres")].map(|(uid, name)| Account { uid, gid: uid, name: name.into() });
        assert_eq!(
            ident(&ours, &postgres),
            "hearth \"me\" hearth\nhearth \"postgres\" hearth\nhearth \"root\" hearth\n"
        );
        assert_eq!(ident(&ours, &ours), "hearth \"me\" hearth\nhearth \"root\" hearth\n");
    }
}
