//! Why there is no private PostgreSQL. Every message is one sentence that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL could not be started, joined or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// The server programs are not installed.
    #[error(
        "PostgreSQL's server programs were not found: install your distribution's package `postgresql` \
         (on Debian and Ubuntu: apt-get install postgresql), or set `database.url` to a PostgreSQL that runs elsewhere"
    )]
    NoPrograms,
    /// The server programs of the major version that made the database are not installed.
    #[error(
        "the database in {} was made by PostgreSQL {made_by}, whose server programs were not found: \
         install the package `postgresql-{made_by}`",
        pgdata.display()
    )]
    WrongVersion {
        /// The database's directory.
        pgdata: PathBuf,
        /// The major version that made it.
        made_by: u32,
    },
    /// All the server programs found are too old.
    #[error(
        "PostgreSQL {found} is too old: install the package `postgresql` of version {} or newer",
        crate::connect::MINIMUM_MAJOR
    )]
    TooOld {
        /// The newest one found.
        found: u32,
    },
    /// Another process holds the lock of the data directory.
    #[error("the data directory {} is in use by {}", dir.display(), holder(*.pid))]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// Who uses it, as far as is known.
        pid: Option<i32>,
    },
    /// The recorded directory of the database belongs to a data directory that still exists elsewhere.
    #[error(
        "{} is a copy of {} and the database of both is {}: use `hearth db backup` and `hearth db restore` to copy a server, \
         or delete {}/{record} to begin with an empty one",
        copy.display(), original.display(), home.display(), copy.display(), record = super::home::RECORD
    )]
    Copied {
        /// The data directory in use now.
        copy: PathBuf,
        /// The one that the database belongs to.
        original: PathBuf,
        /// Where the database is.
        home: PathBuf,
    },
    /// The database was made by another user of the system.
    #[error("the database in {} belongs to another user of this system (id {owner}): start the server as that user or as root", pgdata.display())]
    NotOurs {
        /// The database's directory.
        pgdata: PathBuf,
        /// The user id that owns it.
        owner: u32,
    },
    /// The database is where the user that must run it cannot go.
    #[error("the user {user} cannot reach the database in {}: make its parent directories passable for that user (chmod o+x)", pgdata.display())]
    OutOfReach {
        /// The database's directory.
        pgdata: PathBuf,
        /// The user's name.
        user: String,
    },
    /// PostgreSQL insists on a name for its user.
    #[error(
        "the user id {0} has no name on this system (no line in /etc/passwd), and PostgreSQL does not run without one"
    )]
    NoUserName(u32),
    /// PostgreSQL does not run as root and there is nobody else.
    #[error(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor a user `nobody`: start the server as an ordinary user"
    )]
    NobodyToRunAs,
    /// One of the programs failed.
    #[error("{program} failed ({status}): {message}")]
    Program {
        /// Its name.
        program: &'static str,
        /// How it ended.
        status: String,
        /// What it said last.
        message: String,
    },
    /// It neither came up nor ended.
    #[error("PostgreSQL did not answer within {seconds} seconds; its log is {}", log.display())]
    Silent {
        /// How long we waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// Processes of an earlier run would not end.
    #[error("processes of an earlier PostgreSQL still use {} and do not end", pgdata.display())]
    Leftovers {
        /// The database's directory.
        pgdata: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
}

/// Gives an input/output error the words that make it a sentence.
pub(super) trait Doing<T> {
    /// `doing` is a verb phrase that the path completes: "create the directory".
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, PrivatePostgresError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, PrivatePostgresError> {
        self.map_err(|source| PrivatePostgresError::Io { doing, path: path.to_owned(), source })
    }
}

fn holder(pid: Option<i32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("another server (process {pid})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_one_sentence_that_names_the_package() {
        let sentence = PrivatePostgresError::NoPrograms.to_string();
        assert!(sentence.contains("package `postgresql`"), "{sentence}");
        assert!(!sentence.contains('\n') && !sentence.contains("  "), "{sentence}");
    }

    #[test]
    fn a_data_directory_in_use_names_its_user() {
        let error = PrivatePostgresError::InUse { dir: "/srv/hearth".into(), pid: Some(7) };
        assert_eq!(
            error.to_string(),
            "the data directory /srv/hearth is in use by another server (process 7)"
        );
    }
}
