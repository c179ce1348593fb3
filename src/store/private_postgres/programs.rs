//! Where the system keeps PostgreSQL's server programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::PrivatePostgresError;
use crate::connect::MINIMUM_MAJOR;

/// Folders with one folder a version, as (parent, prefix of the version's folder, path below it).
const VERSIONED: [(&str, &str, &str); 4] = [
    // Debian, Ubuntu.
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr/local/lib/postgresql", "", "bin"),
    // Fedora, Rocky with the packages of postgresql.org.
    ("/usr", "pgsql-", "bin"),
    // Alpine.
    ("/usr/libexec", "postgresql", ""),
];

/// The server programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The major version.
    pub major: u32,
    /// The folder that holds them.
    pub dir: PathBuf,
}

impl Programs {
    /// The programs to run the database in `pgdata` with: those of the version that made it, or the newest
    /// for a database that is still to be made. With `only`, nothing but that folder is looked at.
    pub fn find(pgdata: &Path, only: Option<&Path>) -> Result<Self, PrivatePostgresError> {
        let installed = installed(only);
        let newest = installed.last().ok_or(PrivatePostgresError::NoPrograms)?;
        match made_by(pgdata) {
            Some(major) => {
                installed.iter().rfind(|programs| programs.major == major).cloned().ok_or_else(|| {
                    PrivatePostgresError::WrongVersion { pgdata: pgdata.to_owned(), made_by: major }
                })
            }
            None if newest.major < MINIMUM_MAJOR => Err(PrivatePostgresError::TooOld { found: newest.major }),
            None => Ok(newest.clone()),
        }
    }

    /// The path of one of them.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The client programs (`pg_dump`, `pg_restore`) able to talk to a server of this major version: its own or
/// newer ones.
#[must_use]
pub fn for_server(major: u32, only: Option<&Path>) -> Option<Programs> {
    candidates(only)
        .into_iter()
        .filter(|dir| dir.join("pg_dump").is_file() && dir.join("pg_restore").is_file())
        .filter_map(|dir| Some(Programs { major: version(&dir.join("pg_dump"))?, dir }))
        .filter(|programs| programs.major >= major)
        .min_by_key(|programs| programs.major)
}

/// All versions found, the newest last.
fn installed(only: Option<&Path>) -> Vec<Programs> {
    let mut found: Vec<Programs> = candidates(only)
        .into_iter()
        .filter(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        .filter_map(|dir| Some(Programs { major: version(&dir.join("postgres"))?, dir }))
        .collect();
    found.sort_by_key(|programs| programs.major);
    found
}

fn candidates(only: Option<&Path>) -> Vec<PathBuf> {
    if let Some(dir) = only {
        return vec![dir.to_owned()];
    }
    let mut dirs = vec![PathBuf::from("/usr/local/pgsql/bin")];
    for (parent, prefix, below) in VERSIONED {
        // A folder that is not there simply holds no programs.
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                dirs.push(entry.path().join(below));
            }
        }
    }
    // Last: what Debian has there is a wrapper that guesses which version is meant.
    dirs.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    dirs
}

/// The major version that a program says it is: "postgres (PostgreSQL) 15.13 (Debian 15.13-0)".
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<u32> {
    let (_, after) = text.split_once("(PostgreSQL) ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The major version that made the database, if there is one.
fn made_by(pgdata: &Path) -> Option<u32> {
    fs::read_to_string(pgdata.join("PG_VERSION")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_programs_say() {
        let said = [
            "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n",
            "pg_dump (PostgreSQL) 18beta1\n",
            "something else\n",
        ];
        assert_eq!(said.map(parse_version), [Some(15), Some(18), None]);
    }

    #[test]
    fn a_folder_without_programs_is_a_sentence() {
        let empty = tempfile::tempdir().unwrap();
        let error = Programs::find(&empty.path().join("pgdata"), Some(empty.path())).unwrap_err();
        assert_eq!(error.to_string(), PrivatePostgresError::NoPrograms.to_string());
    }

    #[test]
    fn a_database_of_a_version_that_is_not_installed_names_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let pgdata = dir.path().join("pgdata");
        fs::create_dir(&pgdata).unwrap();
        fs::write(pgdata.join("PG_VERSION"), "9\n").unwrap();
        let error = Programs::find(&pgdata, None).unwrap_err().to_string();
        assert!(error.ends_with("install the package `postgresql-9`"), "{error}");
    }
}
