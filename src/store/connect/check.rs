//! Whether a database can be served from at all, and how well it keeps what it is given.

use sqlx::PgConnection;

use super::{ConnectError, MINIMUM_MAJOR};

/// Connections that a process has beside its pool: the writer's, the listener's, and one to spare.
const BESIDE_THE_POOL: u32 = 3;

/// What is asked of a database at the start.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Facts {
    version: i32,
    encoding: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    standbys: String,
    connections: i32,
    recovering: bool,
}

/// What is worth saying about a database that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// What should be changed.
    pub warnings: Vec<String>,
    /// What should be known.
    pub notes: Vec<String>,
}

/// Refuses a database that is too old, not in UTF-8, or not to be written to; says what is unwise about another.
///
/// `pool_size` is how many connections are wanted.
pub(super) async fn check(connection: &mut PgConnection, pool_size: u32) -> Result<Advice, ConnectError> {
    let facts: Facts = sqlx::query_as(
        "SELECT current_setting('server_version_num')::integer AS version,
                getdatabaseencoding()::text AS encoding,
                current_setting('fsync') AS fsync,
                current_setting('full_page_writes') AS full_page_writes,
                current_setting('synchronous_commit') AS synchronous_commit,
                current_setting('synchronous_standby_names') AS standbys,
                current_setting('max_connections')::integer
                    - current_setting('superuser_reserved_connections')::integer AS connections,
                pg_is_in_recovery() AS recovering",
    )
    .fetch_one(connection)
    .await
    .map_err(ConnectError::Unreachable)?;
    match facts.refusal() {
        Some(reason) => Err(ConnectError::Unsuitable(reason)),
        None => Ok(Advice { warnings: facts.warnings(pool_size), notes: facts.notes() }),
    }
}

impl Facts {
    /// Why it cannot be used, if it cannot.
    fn refusal(&self) -> Option<String> {
        let major = self.version / 10_000;
        if u32::try_from(major).unwrap_or(0) < MINIMUM_MAJOR {
            return Some(format!("it runs PostgreSQL {major}, and {MINIMUM_MAJOR} is the oldest supported"));
        }
        if self.encoding != "UTF8" {
            return Some(format!(
                "its encoding is {}, not UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)",
                self.encoding
            ));
        }
        self.recovering.then(|| "it is a standby that accepts no writes".to_owned())
    }

    /// What should be changed about it.
    fn warnings(&self, pool_size: u32) -> Vec<String> {
        let mut warnings = Vec::new();
        for (name, value) in [("fsync", &self.fsync), ("full_page_writes", &self.full_page_writes)] {
            if value == "off" {
                warnings.push(format!(
                    "the database's setting {name} is off: a crash of its machine can lose what was acknowledged, \
                     or all of it; switch it on"
                ));
            }
        }
        if self.synchronous_commit == "off" {
            warnings.push(
                "the database's setting synchronous_commit is off: this server switches it on for itself, but what \
                 others write there can be lost; switch it on"
                    .to_owned(),
            );
        }
        let wanted = pool_size.saturating_add(BESIDE_THE_POOL);
        if u32::try_from(self.connections).unwrap_or(0) < wanted {
            warnings.push(format!(
                "the database takes {} connections at most, and a server wants {wanted} (`database.pool_size` and \
                 {BESIDE_THE_POOL}): raise max_connections, or lower `database.pool_size`",
                self.connections
            ));
        }
        warnings
    }

    /// What should be known about it.
    fn notes(&self) -> Vec<String> {
        if !self.standbys.is_empty() {
            return Vec::new();
        }
        vec![
            "the database has no synchronous standby (synchronous_standby_names): what the server acknowledged \
             last can be lost in a failover"
                .to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Facts {
        Facts {
            version: 150_013,
            encoding: "UTF8".into(),
            fsync: "on".into(),
            full_page_writes: "on".into(),
            synchronous_commit: "remote_apply".into(),
            standbys: "ANY 1 (*)".into(),
            connections: 97,
            recovering: false,
        }
    }

    #[test]
    fn a_durable_database_of_a_supported_version_is_accepted_without_a_word() {
        assert_eq!((good().refusal(), good().warnings(20), good().notes()), (None, vec![], vec![]));
    }

    #[test]
    fn each_unsuitable_database_is_told_why() {
        let cases = [
            (Facts { version: 120_004, ..good() }, "PostgreSQL 12"),
            (Facts { encoding: "SQL_ASCII".into(), ..good() }, "SQL_ASCII"),
            (Facts { recovering: true, ..good() }, "standby"),
        ];
        for (facts, word) in cases {
            assert!(facts.refusal().is_some_and(|reason| reason.contains(word)), "{facts:?}");
        }
    }

    #[test]
    fn whatever_is_unwise_is_a_warning_of_its_own() {
        let cases = [
            (Facts { fsync: "off".into(), ..good() }, "fsync is off"),
            (Facts { full_page_writes: "off".into(), ..good() }, "full_page_writes is off"),
            (Facts { synchronous_commit: "off".into(), ..good() }, "synchronous_commit is off"),
            (Facts { connections: 22, ..good() }, "22 connections"),
        ];
        for (facts, words) in cases {
            assert_eq!(facts.refusal(), None);
            let warnings = facts.warnings(20);
            assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}");
        }
    }

    #[test]
    fn without_a_synchronous_standby_a_failover_may_lose() {
        let notes = Facts { standbys: String::new(), ..good() }.notes();
        assert!(notes.len() == 1 && notes[0].contains("failover"), "{notes:?}");
    }
}
