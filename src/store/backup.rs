//! Backups: one file in PostgreSQL's own format, of one moment, written while the server serves.
//!
//! The database is everything: the events, the accounts, the keys.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::connect::{ConnectError, Source, reach_for_command};
use crate::private_postgres::{PrivatePostgres, Programs, for_server};

/// Why there is no backup, or nothing restored. Every message is one sentence.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The programs that copy a database are not installed.
    #[error(
        "`pg_dump` and `pg_restore` of PostgreSQL {0} or newer were not found: install the package `postgresql-client`"
    )]
    NoPrograms(u32),
    /// The database to restore into holds something.
    #[error("the database is not empty: restore into another `data_dir`, or an empty database")]
    NotEmpty,
    /// One of the programs failed.
    #[error("{program} failed: {message}")]
    Program {
        /// Its name.
        program: &'static str,
        /// What it said.
        message: String,
    },
    /// The file cannot be read or written.
    #[error("cannot use the file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A database within reach, and the programs that can copy it.
struct Reached {
    connection: PgConnection,
    address: Address,
    programs: Programs,
    postgres: Option<PrivatePostgres>,
}

/// Writes the whole database, as of one moment, into `file`, which is new when this returns and not there
/// when it fails. Returns its size.
pub async fn write(source: Source, only: Option<&Path>, file: &Path) -> Result<u64, BackupError> {
    let reached = reach(source, only).await?;
    let aside = aside(file);
    let mut command = reached.program("pg_dump");
    command.args(["--format=custom", "--no-owner", "--no-acl"]);
    let written = (|| {
        let output = private_file(&aside).map_err(failed(&aside))?;
        command.stdout(output.try_clone().map_err(failed(&aside))?);
        run("pg_dump", &mut command)?;
        output.sync_all().map_err(failed(&aside))?;
        fs::rename(&aside, file).map_err(failed(file))?;
        output.metadata().map(|metadata| metadata.len()).map_err(failed(file))
    })();
    if written.is_err() {
        // It may not even be there; what failed first is what counts.
        let _ = fs::remove_file(&aside);
    }
    reached.leave().await;
    written
}

/// Reads such a file into an empty database, all of it or nothing.
pub async fn read(source: Source, only: Option<&Path>, file: &Path) -> Result<(), BackupError> {
    File::open(file).map_err(failed(file))?;
    let mut reached = reach(source, only).await?;
    let empty = is_empty(&mut reached.connection).await;
    let restored = match empty {
        Ok(true) => {
            let mut command = reached.program("pg_restore");
            command.args(["--exit-on-error", "--single-transaction", "--no-owner", "--no-acl", "--dbname"]);
            command.arg(&reached.address.dbname).arg(file).stdout(Stdio::null());
            run("pg_restore", &mut command)
        }
        Ok(false) => Err(BackupError::NotEmpty),
        Err(error) => Err(error.into()),
    };
    reached.leave().await;
    restored
}

impl Reached {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.path(name));
        command.stdin(Stdio::null()).envs(self.address.environment.iter().map(|(name, value)| (name, value)));
        if name == "pg_dump" {
            command.arg("--dbname").arg(&self.address.dbname);
        }
        command
    }

    async fn leave(self) {
        // Whether the goodbye arrives does not matter.
        let _ = self.connection.close().await;
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

async fn reach(source: Source, only: Option<&Path>) -> Result<Reached, BackupError> {
    let url = match &source {
        Source::Url(url) => Some(url.clone()),
        Source::Private(_) => None,
    };
    let (options, postgres) = reach_for_command(source).await?;
    let connected = async {
        let mut connection = options.connect().await.map_err(ConnectError::Unreachable)?;
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
            .fetch_one(&mut connection)
            .await
            .map_err(ConnectError::Unreachable)?;
        let major = u32::try_from(version / 10_000).unwrap_or_default();
        let programs = for_server(major, only).ok_or(BackupError::NoPrograms(major))?;
        Ok::<_, BackupError>((connection, programs))
    };
    match connected.await {
        Ok((connection, programs)) => {
            let address = url.map_or_else(|| Address::of_socket(&options), |url| Address::of_url(&url));
            Ok(Reached { connection, address, programs, postgres })
        }
        Err(error) => {
            if let Some(postgres) = postgres {
                postgres.stop().await;
            }
            Err(error)
        }
    }
}

async fn is_empty(connection: &mut PgConnection) -> Result<bool, ConnectError> {
    sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'public')",
    )
    .fetch_one(connection)
    .await
    .map_err(ConnectError::Unreachable)
}

/// How PostgreSQL's programs are told where the database is: nothing secret is an argument.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    dbname: String,
    environment: Vec<(&'static str, String)>,
}

impl Address {
    fn of_socket(options: &PgConnectOptions) -> Self {
        let host = options.get_socket().map(|dir| dir.display().to_string()).unwrap_or_default();
        let environment = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string()),
            ("PGUSER", options.get_username().to_owned()),
        ];
        Self { dbname: options.get_database().unwrap_or("postgres").to_owned(), environment }
    }

    /// Everybody on the machine can read arguments: the password goes into the environment.
    fn of_url(url: &str) -> Self {
        let as_it_is = || Self { dbname: url.to_owned(), environment: Vec::new() };
        let Some((scheme, rest)) = url.split_once("://") else { return as_it_is() };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let Some((user, host)) = authority.rsplit_once('@') else { return as_it_is() };
        let Some((user, password)) = user.split_once(':') else { return as_it_is() };
        Self {
            dbname: format!("{scheme}://{user}@{host}{rest}"),
            environment: vec![("PGPASSWORD", decode_percent(password))],
        }
    }
}

fn decode_percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn aside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or(OsStr::new("backup")).to_owned();
    name.push(".partial");
    file.with_file_name(name)
}

/// A new file that only its owner can read: a backup holds the signing keys.
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    |source| BackupError::File { path: path.to_owned(), source }
}

fn run(program: &'static str, command: &mut Command) -> Result<(), BackupError> {
    let failure = |message: String| BackupError::Program { program, message };
    let Output { status, stderr, .. } = command
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| failure(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    Err(failure(String::from_utf8_lossy(&stderr).trim().replace('\n', " | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_the_arguments() {
        assert_eq!(
            Address::of_url("postgres://me:p%40ss@db.example:5433/hearth?sslmode=require"),
            Address {
                dbname: "postgres://me@db.example:5433/hearth?sslmode=require".into(),
                environment: vec![("PGPASSWORD", "p@ss".into())],
            }
        );
        let without = "postgres://me@localhost/hearth";
        assert_eq!(Address::of_url(without), Address { dbname: without.into(), environment: vec![] });
    }

    #[test]
    fn an_unfinished_backup_has_another_name() {
        assert_eq!(aside(Path::new("/a/b.dump")), Path::new("/a/b.dump.partial"));
    }
}
